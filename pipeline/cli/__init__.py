"""The command line. Commands live in rooms and are imported when they are called: `--help` is instant."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import CannotCreate, HelpdeskError, SettingsError, TryLater

# Command -> room, and the line that `helpdesk --help` shows (a test holds it to the command's own).
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("run", "Start everything in the Procfile; demo mails first where nothing is configured and nothing stored."),
    "sync": ("fetch", "Fetch mail by offlineimap, round after round; idle while IMAP is not configured."),
    "worker": ("run", "Watch the Maildir and process each mail as it lands."),
    "process": ("run", "Process what waits, once, then exit; for cron."),
    "send": ("send", "Deliver the outbox over SMTP: once, or with --loop for ever."),
    "outbox": ("send", "Mails that go out: those that wait, and those that a server refused."),
    "deliver": ("mails", "Put the mail on standard input into the drop box, for a pipe from postfix, procmail or fetchmail."),
    "replay": ("mails", "Copy .eml files into the drop box, where they are processed like any mail."),
    "parse": ("mails", "Show how mails are understood: one JSON object a line; `-` is standard input. Nothing is stored."),
    "explain": ("mails", "Say what each stage decided about a mail, and why."),
    "selftest": (
        "selftest",
        "Try a folder of your own mails in a dry run, and say what looks wrong: charsets, cut replies, lost answers...",
    ),
    "failed": ("kept", "Mails that could not be processed: they are kept, starred, and can be tried again."),
    "held": (
        "kept",
        "Mails that wait for an agent: flagged as spam, from a sender who is not who From says, or held by a rule.",
    ),
    "ticket": ("tickets", "Tickets from a terminal."),
    "people": ("people", "Customers: every sender of a mail becomes one."),
    "agent": ("people", "Agents: who may answer, and log in to the page."),
    "templates": ("texts", "Templates of what goes out: which file is used for what, and whether it is right."),
    "replies": ("texts", "Saved replies, for `helpdesk ticket reply --saved NAME`."),
    "rules": ("rules", "Rules and queues of RULES_FILE: checked, and tried on the mail that is stored."),
    "audit": ("operate", "Prove that every file in the Maildir has its row in the ledger, and the other way round."),
    "doctor": (
        "doctor",
        "Look whether all is well: settings, Maildir, database, IMAP and SMTP with log-in, disk, inotify and more.",
    ),
    "config": ("operate", "Show every setting: its value (secrets masked), where it comes from, and what it is for."),
    "migrate": ("operate", "Bring the database to this version; an older one is copied first (helpdesk.db.before-...)."),
    "backup": ("backup", "Write database, large mails, rules and templates into FILE.tar or FILE.tar.gz, while everything runs."),
    "restore": ("backup", "Put a backup into an empty place, and pause sending there until you have looked."),
    "schedule": ("operate", "Print a ready entry for a scheduler, with absolute paths."),
    "demo": (
        "operate",
        "Put the demo mails into the drop box: a new one, a reply, a second delivery, an empty file, an attachment.",
    ),
    "stages": ("inside", "Show the line of stages in order, and the package and version that each comes from."),
}


@contextlib.contextmanager
def _pipe_may_close() -> Iterator[None]:
    """End quietly where nobody reads any more, as in `helpdesk ... | head`; click would exit with 1."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


class Commands(click.Group):
    """A group that imports a command's room only when the command is called."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _pipe_may_close():  # --help and --version print here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipe_may_close():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f".{COMMANDS[name][0]}", __name__)
        return module.__dict__[name]  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("-v", "--verbose", count=True, help="More: log lines with the reasons; -vv also tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Less: errors only.")
@click.version_option(__version__, prog_name="helpdesk")
@click.pass_context
def cli(ctx: click.Context, verbose: int, quiet: bool) -> None:
    """Letterdesk: email becomes tickets, no mail is lost, and every mail can say why it became what it became."""
    ctx.obj = {"verbose": verbose, "quiet": quiet}


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line: errors become their sentence and their exit code, here and nowhere else."""
    os.umask(0o077)
    arguments = sys.argv[1:] if arguments is None else arguments
    loud = any(word.startswith("-v") and word.count("v") > 1 for word in arguments if not word.startswith("--"))
    try:
        code: Any = cli.main(arguments, prog_name="helpdesk", standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if loud:
            traceback.print_exc()
        code = _tell(error)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception) -> int:
    from ..log import safe

    known = error if isinstance(error, HelpdeskError) else None
    if isinstance(error, OSError) and error.filename:
        known = CannotCreate(f"{error.strerror}: {error.filename}", "Mend the rights or the room there, then try again.")
    if known is None:
        from ..store import passing_trouble

        known = passing_trouble(error)
    if known is None:
        known = HelpdeskError(
            f"This should not have happened: {type(error).__name__}: {error}",
            "Run it again with -vv to see where, and report it.",
        )
    for line in f"helpdesk: {known}".splitlines():
        click.echo(safe(line, 2000), err=True)
    return _code(error, known)


def _code(error: Exception, known: HelpdeskError) -> int:
    """Return the exit code; what cannot be made or read for want of room, of file numbers or the like is to be tried again."""
    if not isinstance(known, CannotCreate | SettingsError):
        return known.exit_code
    from ..store import passing_trouble

    return TryLater.exit_code if passing_trouble(error) else known.exit_code
