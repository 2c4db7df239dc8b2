"""Judge a round of offlineimap by what it printed.

It exits 0 on a wrong password, an unknown host and a bad certificate (8.0.3, measured), so the exit code alone says little:
a round is good when every wanted folder was walked through and nothing was skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..store import now

UIDVALIDITY = re.compile(r"LETTERDESK UIDVALIDITY (.+) (\d+) (\d+)")  # our patch prints it
SYNCED = re.compile(r"^ ?Syncing (.+): IMAP -> Maildir", re.MULTILINE)
COPIED = re.compile(r"^ ?Copy message UID .* -> desk-local:", re.MULTILINE)


@dataclass(frozen=True)
class Trouble:
    """A way in which a round fails: what offlineimap prints, what the user is told, and the exit code of `sync --once`."""

    kind: str
    pattern: re.Pattern[str]
    sentence: str
    hint: str
    code: int


# (kind, pattern, sentence, hint, exit code): the first that is found in the output is the one that is told.
TROUBLES = tuple(
    Trouble(kind, re.compile(pattern, re.IGNORECASE), sentence, hint, code)
    for kind, pattern, sentence, hint, code in (
        (
            "uidvalidity",
            UIDVALIDITY.pattern,
            "the server numbered its mails anew (UIDVALIDITY changed)",
            "The folder is put aside and fetched again; nothing is doubled.",
            75,
        ),
        (
            "login",
            r"AUTHENTICATIONFAILED|All authentication types failed|Invalid credentials|Login failed",
            "the server refused the log-in",
            "Check IMAP_USERNAME and IMAP_PASSWORD. The next try is in 5 minutes, so that the account is not locked.",
            77,
        ),
        (
            "name",
            r"Could not resolve name|Name or service not known|nodename nor servname",
            "the server's name is not known",
            "Check IMAP_HOST, and whether this machine has a network.",
            69,
        ),
        (
            "certificate",
            r"certificate verify failed|Could not connect via SSL|WRONG_VERSION_NUMBER"
            r"|doesn't match|no commonName|no matching domain name",
            "the server's certificate is not trusted, or no TLS is spoken there",
            "Check IMAP_HOST and IMAP_PORT (993). IMAP_CA_FILE names a certificate of your own.",
            69,
        ),
        (
            "silent",
            r"rfc6555|Connection refused|ConnectionRefusedError|timed out|Network is unreachable|No route to host",
            "the server does not answer",
            "Check IMAP_HOST and IMAP_PORT, and whether the server runs.",
            69,
        ),
        ("full", r"No space left on device|Disk quota exceeded", "the disk is full", "Make room; nothing is lost.", 75),
        (
            "busy",
            r"Could not lock account|in use by another",
            "another offlineimap works on the mailbox",
            "It is tried again.",
            75,
        ),
        (
            "lost",
            r"connection lost|connection closed|ConnectionResetError|BrokenPipeError|\babort\b|EOF occurred|dropped",
            "the connection to the server was lost",
            "It is tried again.",
            69,
        ),
    )
)


@dataclass
class Round:
    """One run of offlineimap, judged; `kind` is None when all went well."""

    started: str
    ended: str
    came: int = 0
    kind: str | None = None
    reason: str | None = None
    hint: str | None = None
    code: int = 0
    folders: list[str] = field(default_factory=list)
    renumbered: list[str] = field(default_factory=list)  # folders whose UIDVALIDITY changed

    @property
    def good(self) -> bool:
        return self.kind is None


def judge(output: str, exit_code: int, wanted: tuple[str, ...], started: str) -> Round:
    """Say what a round did."""
    done = Round(started, now(), came=len(COPIED.findall(output)))
    done.folders = [name for name in SYNCED.findall(output) if name in wanted]
    done.renumbered = list(dict.fromkeys(match[1] for match in UIDVALIDITY.finditer(output)))
    missing = [name for name in wanted if name not in done.folders]
    if exit_code == 0 and not missing:
        return done
    found = next((trouble for trouble in TROUBLES if trouble.pattern.search(output)), None)
    if found:
        done.kind, done.reason, done.hint, done.code = found.kind, found.sentence, found.hint, found.code
    elif missing and exit_code == 0:
        done.kind, done.code, done.hint = "folder", 78, "Check IMAP_FOLDER; letter case counts."
        done.reason = f"the server has no folder {', '.join(missing)}"
    else:
        done.kind, done.code, done.hint = "other", 69, "LOG_FILE has what it printed. It is tried again."
        done.reason = f"offlineimap ended with {exit_code}: {_last_error(output)}"
    return done


def _last_error(output: str) -> str:
    lines = [line.partition("ERROR:")[2].strip() for line in output.splitlines() if line.strip().startswith("ERROR:")]
    lines = [line for line in lines if not line.startswith("Exceptions occurred")]
    return lines[-1][:200] if lines else "it gave no reason"
