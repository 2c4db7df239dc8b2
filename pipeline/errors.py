"""Every error a user can meet. Each class carries its sentence and its exit code; one place (cli) shows them.

HelpdeskError
+-- SettingsError      78  a setting is wrong or missing; all problems at once
+-- UsageError          2  the command was called in a way that cannot work
+-- NotFound            1  no such ticket, mail, person
+-- InputError         65  a file that was named cannot be read
+-- CannotSend          1  a value cannot stand in a mail that goes out
+-- WrongTemplate       1  a template or a saved reply has an error
+-- OutOfReach         69  a server is out of reach
+-- LoginRefused       77  a server refuses the log-in
+-- CannotCreate       73  a file or folder cannot be made
+-- TryLater           75  full, locked, or changing under us: nothing was recorded
|   +-- SchemaNewer    75  a newer Letterdesk has migrated the database
+-- SchemaOlder        78  the database is of an older Letterdesk
Retry                      raised by a stage: not now; never shown to a user
"""

from __future__ import annotations


class HelpdeskError(Exception):
    """An error with a sentence for the user: what is wrong, and what to try next."""

    exit_code = 1

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence}\n  {self.hint}" if self.hint else self.sentence


class SettingsError(HelpdeskError):
    """One or more settings are wrong; `problems` holds a line for each."""

    exit_code = 78

    def __init__(
        self, problems: list[str], hint: str | None = "Mend .env or the environment, then try `helpdesk config`."
    ) -> None:
        count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
        super().__init__(f"{count} wrong:\n" + "\n".join(f"  {problem}" for problem in problems), hint)
        self.problems = problems


class UsageError(HelpdeskError):
    exit_code = 2


class NotFound(HelpdeskError):
    exit_code = 1


def no_ticket(number: int) -> NotFound:
    """Return the error of a number that no ticket has."""
    return NotFound(f"There is no ticket {number}.", "`helpdesk ticket list --all` shows every ticket.")


def no_mail(number: int, outcome: str) -> NotFound:
    """Return the error of an id that no held mail, or no failed one, has."""
    return NotFound(f"No {outcome} mail has the id {number}.", f"`helpdesk {outcome} list` shows them.")


class InputError(HelpdeskError):
    exit_code = 65


class CannotSend(HelpdeskError):
    """A value cannot stand in a mail that goes out; `field` names the header or the part."""

    exit_code = 1

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"The mail cannot be sent as it is: {field}: {why}.")
        self.field = field
        self.why = why


class WrongTemplate(HelpdeskError):
    """A template cannot be read or rendered; `line` is 0 where the error is in none."""

    exit_code = 1

    def __init__(self, file: str, line: int, why: str) -> None:
        self.file, self.line, self.why = file, line, why
        self.place = f"{file}:{line}" if line else file
        super().__init__(f"{self.place}: {why}.", "Mend the file, then try `helpdesk templates check`.")


class OutOfReach(HelpdeskError):
    exit_code = 69


class LoginRefused(HelpdeskError):
    exit_code = 77


class CannotCreate(HelpdeskError):
    exit_code = 73


class TryLater(HelpdeskError):
    exit_code = 75


class SchemaNewer(TryLater):
    """A newer version has migrated the database; this one must not touch it."""


class SchemaOlder(HelpdeskError):
    exit_code = 78


class Retry(Exception):
    """Raise from a stage to be asked again later; the mail gets no outcome and counts as left.

    `after` is in seconds; None lets the desk choose (it doubles with every try).
    """

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.after = after
