"""Mark what the headers say a mail is: bounce, automatic reply, list, ours; and read ticket numbers off its subject.

Only marks: what follows from a mark is decided where the desk is known.
"""

from __future__ import annotations

import re

from ..desk import is_own, sender_of
from ..kinds import has_null_sender, kind_of, says_spam, wants_no_answer
from ..letter import Authentication, Letter, canonical
from ..mime.authentication import trusted
from ..rules import current
from ..settings import Settings

MAX_NUMBERS = 20  # of one subject; the last ones count

# A ticket's number: `#123` or `Ticket #123` as words of their own; nothing may be glued to either end but the letters of
# scripts that write no blanks between words, or glue particles to them.
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"  # kana, Han, Hangul
HASH = re.compile(
    rf"""(?<![^\s(:,;"'“„»–—\u3000-\u303f\uff08\uff0c\uff1a\uff1b{UNSPACED}-])"""
    rf"""(?:ticket\s?)?\#0*(\d{{1,9}})(?![^\W{UNSPACED}]|[#@&/-]|[.,]\d)""",
    re.IGNORECASE,
)
BRACKETS = re.compile(r"\[[^\[\]]*\]?")


def screen(letter: Letter, settings: Settings) -> Letter:
    """Mark kind, null sender, who wants no answer, and what claims to be ours; read the ticket numbers of the subject."""
    mail = letter.mail
    kind, why = kind_of(mail)
    numbers = ticket_numbers(mail.subject, settings.ticket_prefix, *current(settings.rules_file).prefixes)
    letter = letter.with_mail(kind=kind, ticket_numbers=numbers)
    if why:
        letter = letter.because(f"screen: {kind} by its {why}")
    if has_null_sender(mail):
        letter = letter.marked("null-sender")
    if wants_no_answer(mail):
        letter = letter.marked("no-answer")
    if says_spam(mail):
        letter = letter.marked("spam")
    if is_own(sender_of(letter) or "", settings):
        letter = letter.marked("ours")
    return _proven(letter, settings) if settings.trusted_authserv_id else letter


def _proven(letter: Letter, settings: Settings) -> Letter:
    """Say whether the trusted server proved the sender: its dmarc=pass does, fail disproves it, none leaves it a claim."""
    found = trusted(letter.mail.auth, settings.trusted_authserv_id or "")
    dmarc = (found.dmarc if found else None) or "none"
    if dmarc == "pass" and len(letter.mail.authors) == 1 and _speaks_of(found, sender_of(letter)):
        return letter.because(f"screen: {settings.trusted_authserv_id} says dmarc=pass", verified=True)
    letter = letter.because(f"screen: {settings.trusted_authserv_id} says dmarc={dmarc}", verified=False)
    return letter.marked("dmarc-failed") if dmarc == "fail" else letter


def _speaks_of(found: Authentication | None, sender: str | None) -> bool:
    """Did the server judge the domain that we read in From? Readers of a broken From may differ (RFC 7489, 6.6.1)."""
    if found is None or sender is None:
        return False
    judged = canonical(f"@{found.domain or ''}")[1:]
    return not judged or f".{sender.rpartition('@')[2]}".endswith(f".{judged}")


def ticket_numbers(subject: str, *prefixes: str) -> tuple[int, ...]:
    """Return the ticket numbers that a subject names, in order.

    `[TICKET-123]` counts anywhere, `#123` and `Ticket #123` as words of their own, also in brackets of their own; never
    inside foreign brackets (`[OTHER-123]`, `[list #5]`), never a bare number (`ticket 123`), never `#123abc`.
    """
    if "#" not in subject and "[" not in subject:
        return ()
    named = "|".join(map(re.escape, sorted(prefixes)))
    own = re.compile(rf"\[\s*(?:(?:{named})-|(?:ticket\s?)?\#)0*(\d{{1,9}})\s*\]", re.IGNORECASE)
    found = [(match.start(), int(match[1])) for match in own.finditer(subject)]
    bare = BRACKETS.sub(lambda match: " " * len(match[0]), subject)
    found += [(match.start(), int(match[1])) for match in HASH.finditer(bare)]
    return tuple(dict.fromkeys(number for _, number in sorted(found) if number))[-MAX_NUMBERS:]
