"""The doctor: looks at settings, folders, database and servers, and says for each what is wrong and how to mend it.

It changes nothing but a probe file, which it makes in a tmp/ of the Maildir and removes. The hands work side by side and
have five seconds together: what has not answered by then (a server, a dead network disk) is told as that.
"""

from __future__ import annotations

import base64
import datetime
import threading
import time
from collections.abc import Iterable
from typing import Any

from ..errors import HelpdeskError, SettingsError
from ..log import safe
from ..settings import SETTINGS, Settings, load
from . import books, house, network
from .finding import FAIL, OK, WARN, Case, Check, Finding, NoStore, fail

SECONDS = 3.7  # for all checks, counted from when the command began to be read; the rest of the five is for the start of Python
LEAST_SECONDS = 2.0  # for them on a machine that was slow to begin
LONGEST = 600  # characters of a detail or a fix
SHORTEST_SECRET = 4  # below, masking it would maim every line

# In the order in which they are told.
CHECKS = (
    Check("settings", "house", house.settings),
    Check("stages", "house", house.stages),
    Check("rules", "house", house.rules_file),
    Check("templates", "house", house.templates),
    Check("subjects", "house", house.subjects),
    Check("clock", "house", house.clock),
    Check("disk", "disk", house.disk),
    Check("maildir", "disk", house.maildir),
    Check("rename", "disk", house.rename),
    Check("inotify", "disk", house.inotify),
    Check("waiting", "disk", house.waiting),
    Check("aside", "disk", house.aside),
    Check("database", "books", books.database),
    Check("undecided", "books", books.undecided),
    Check("failed", "books", books.failed),
    Check("held", "books", books.held),
    Check("offlineimap", "house", house.offlineimap),
    Check("imap", "imap", network.imap),
    Check("sync", "books", books.sync),
    Check("authserv-id", "books", books.authserv_id),
    Check("smtp", "smtp", network.smtp),
    Check("sender", "house", house.sender),
    Check("outbox", "books", books.outbox),
    Check("acknowledgements", "books", books.acknowledgements),
    Check("plus addresses", "books", books.plus_addresses),
)


def examine(send_to: str | None = None, began: float | None = None) -> list[Finding]:
    """Make all checks; with `send_to` also send a mail there. Never raises for what it finds.

    `began`: when the five seconds began, by time.monotonic; now, if it is not given.
    """
    now = time.monotonic()
    deadline = max((now if began is None else began) + SECONDS, now + LEAST_SECONDS)
    try:
        settings = load()
    except SettingsError as error:
        hint = error.hint or "Mend .env or the environment."
        return [Finding("settings", FAIL, safe(problem, LONGEST), hint) for problem in error.problems]
    case = Case(settings, datetime.datetime.now(datetime.UTC))
    answers = _answers(case, deadline)
    found = [finding for check in CHECKS for finding in answers.get(check.name, [])]
    if send_to is not None:
        found += _asked(Check("send-test", "", lambda case: network.send_test(case, send_to, found)), case)
    return [_clean(finding, _secrets(settings)) for finding in found]


def _answers(case: Case, deadline: float) -> dict[str, list[Finding]]:
    answers: dict[str, list[Finding]] = {}
    hands = [_start(hand, case, answers) for hand in dict.fromkeys(check.hand for check in CHECKS)]
    for hand in hands:
        hand.join(max(deadline - time.monotonic(), 0.0))
    # Of a hand that hangs the first check is told: the others have not begun.
    late = {check.hand: check for check in reversed(CHECKS) if check.name not in answers}
    return answers | {check.name: [_too_late(check)] for check in late.values()}


def _start(hand: str, case: Case, answers: dict[str, list[Finding]]) -> threading.Thread:
    """Start a hand's checks; its thread ends with the process, whatever it hangs in."""

    def work() -> None:
        try:
            for check in CHECKS:
                if check.hand == hand:
                    answers[check.name] = _asked(check, case)
        finally:
            if hand == "books" and case.store:
                case.store.close()

    thread = threading.Thread(target=work, name=hand, daemon=True)
    thread.start()
    return thread


def _asked(check: Check, case: Case) -> list[Finding]:
    """Make a check; one that cannot be made has failed, with the reason."""
    found: list[Finding] = []
    try:
        found.extend(check.ask(case))
    except NoStore:
        pass
    except HelpdeskError as error:
        found.append(fail(error.sentence, error.hint or "Mend that, then try again."))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        found.append(fail(f"{error.strerror or error}{where}", "Mend the rights or the room there, then try again."))
    except Exception as error:  # whatever is broken, the other checks are told
        found.append(fail(f"it could not be looked at: {type(error).__name__}: {error}", "Report it, with this line."))
    return [finding if finding.name else finding._replace(name=check.name) for finding in found]


def _too_late(check: Check) -> Finding:
    fix = network.LATE.get(check.hand, "A disk or a lock keeps it waiting: see which, then try again.")
    return Finding(check.name, FAIL, f"no answer within {SECONDS:g} seconds", fix)


def _secrets(settings: Settings) -> list[str]:
    """Return what must not be shown: every secret, and how it goes over a line; a server may say it back to us."""
    plain = [str(getattr(settings, row.name) or "") for row in SETTINGS if row.secret and row.key != "DATABASE_URL"]
    pairs = [f"\0{settings.smtp_username}\0{settings.smtp_password}", f"\0{settings.imap_username}\0{settings.imap_password}"]
    packed = [base64.b64encode(text.encode()).decode() for text in (*plain, *pairs)]
    words = {word for text in (*plain, *packed) for word in (text, safe(text, None))}
    return sorted((word for word in words if len(word) >= SHORTEST_SECRET), key=len, reverse=True)


def _clean(finding: Finding, secrets: Iterable[str]) -> Finding:
    detail, fix = finding.detail, finding.fix
    for secret in secrets:
        detail, fix = detail.replace(secret, "****"), fix.replace(secret, "****")
    return finding._replace(detail=safe(detail, LONGEST), fix=safe(fix, LONGEST))


def document(found: list[Finding]) -> dict[str, Any]:
    """Return the findings as a health document: healthy where no check failed."""
    wrong = [finding for finding in found if finding.state != OK]
    return {
        "healthy": all(finding.state != FAIL for finding in found),
        "checks": [finding._asdict() for finding in found],
        "issues": [f"{finding.name}: {finding.detail}" for finding in wrong],
        "actions": list(dict.fromkeys(finding.fix for finding in wrong if finding.fix)),
    }


def summary(found: list[Finding]) -> str:
    """Say in a sentence how it stands."""
    failed, warned = (sum(finding.state == state for finding in found) for state in (FAIL, WARN))
    if failed:
        return f"Not healthy: {failed} of {len(found)} checks failed."
    return f"Healthy: {len(found)} checks, {warned} with a warning." if warned else f"Healthy: {len(found)} checks."
