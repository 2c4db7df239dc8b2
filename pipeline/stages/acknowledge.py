"""Tell the sender of a new ticket that it has arrived; seldom enough that no two programs ever keep each other writing."""

from __future__ import annotations

from collections.abc import Callable

from ..age import OLD_MARKS, why_old
from ..desk import Desk, is_own
from ..errors import CannotSend, SettingsError
from ..letter import Kind, Letter, Outcome, canonical
from ..post import is_unread
from ..settings import Settings

# What a mark says against an acknowledgement.
AGAINST = {
    **OLD_MARKS,
    "approved": "it was held at first",
    "spam": "it was flagged as spam on its way",
    "dmarc-failed": "the sender is not who From says (dmarc failed)",
    "ours": "it claims to be from an address of ours",
    "null-sender": "its envelope sender is empty",
    "no-answer": "its sender wants no answer from programs (X-Auto-Response-Suppress)",
}
KINDS = {Kind.AUTO_REPLY: "it is an automatic mail", Kind.LIST: "it is list or bulk mail", Kind.BOUNCE: "it is a bounce"}

Against = Callable[[Letter, Desk, Settings], str]


def acknowledge(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Acknowledge a new ticket, or say why not."""
    if letter.outcome is not Outcome.OPENED or letter.ticket is None or not settings.smtp_configured:
        return letter
    against = next((why for asked in ASKED if (why := asked(letter, desk, settings))), "")
    if not against:
        try:
            return letter.because(f"acknowledge: acknowledged to {desk.acknowledge(letter.ticket, letter)}")
        except CannotSend as error:
            against = f"{error.field}: {error.why}"
        except SettingsError as error:
            against = "; ".join(error.problems)
    return letter.because(f"acknowledge: not acknowledged: {against}")


def _switched_off(letter: Letter, desk: Desk, settings: Settings) -> str:
    if not (settings.acknowledge and settings.send_enabled):  # one that went out weeks later would be worse than none
        return "SEND_ENABLED=no" if settings.acknowledge else "ACKNOWLEDGE=no"
    return "" if letter.orders.acknowledge else "a rule says so"


def _no_persons_mail(letter: Letter, desk: Desk, settings: Settings) -> str:
    return KINDS.get(letter.mail.kind) or next((why for mark, why in AGAINST.items() if mark in letter.marks), "")


def _no_good_address(letter: Letter, desk: Desk, settings: Settings) -> str:
    """Is there one whom the ticket came from, who reads mail, and who is neither the desk nor somebody it only tells of?"""
    assert letter.ticket is not None
    requester = desk.must(letter.ticket)["requester_address"]
    if not requester:
        return "nobody knows who wrote it"
    if len(letter.mail.authors) > 1:
        return "it has several senders"
    author = letter.mail.author
    if author and author.address != requester and not letter.orders.requester:
        return f"{requester} did not write it: it was forwarded"
    if is_own(canonical(requester), settings):
        return f"{requester} is an address of ours"
    unread = next((one for one in (requester, author.address if author else None) if one and is_unread(one)), "")
    return f"nobody reads {unread}" if unread else ""


def _old(letter: Letter, desk: Desk, settings: Settings) -> str:
    return why_old(letter, desk.now, settings)


def _too_many(letter: Letter, desk: Desk, settings: Settings) -> str:
    assert letter.ticket is not None
    return desk.too_many(canonical(desk.must(letter.ticket)["requester_address"]), letter.mail.subject)


ASKED: tuple[Against, ...] = (_switched_off, _no_persons_mail, _no_good_address, _old, _too_many)
