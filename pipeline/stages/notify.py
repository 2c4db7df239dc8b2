"""Note what agents are to be told of a mail that is on its ticket; the mails to them are written later, by `send`."""

from __future__ import annotations

from collections.abc import Callable

from ..age import why_old
from ..desk import Desk, sender_of
from ..letter import Kind, Letter, Outcome
from ..notices import NEW, REPLIED
from ..settings import Settings

NAMED = 10  # addresses on the trail
SUMMARY = "for the summary of old mail"
AUTOMATIC = {Kind.AUTO_REPLY: "an automatic mail", Kind.BOUNCE: "a bounce"}
OURS = {"sent": "one of us wrote it from another mail client", "agent": "an agent answered by mail"}
TOLD = {Outcome.OPENED: (NEW, "a new ticket"), Outcome.COMMENTED: (REPLIED, "a reply")}

Against = Callable[[Letter, Desk, Settings], str]


def notify(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Note whom of the agents a new ticket or a reply concerns, or say why nobody is told."""
    if letter.outcome not in TOLD or letter.ticket is None or not settings.smtp_configured:
        return letter
    against = next((why for asked in ASKED if (why := asked(letter, desk, settings))), "")
    if against:
        return letter.because(f"notify: nobody: {against}")
    if old := why_old(letter, desk.now, settings):
        noted = desk.note_old(letter.ticket, desk.message_of(letter), letter.outcome is Outcome.OPENED)
        return letter.because(f"notify: {SUMMARY if noted else 'nobody: there is no agent'}: {old}")
    return letter.because(f"notify: {_told(letter, letter.ticket, desk)}")


def _told(letter: Letter, ticket: int, desk: Desk) -> str:
    """Tell whom it concerns, and whom a rule names; say who that is, with those whom a rule gave the ticket to."""
    assert letter.outcome is not None
    kind, what = TOLD[letter.outcome]
    # Whom a trusted server could not prove may have taken an agent's name to keep the mail from that agent.
    who, message = sender_of(letter) if letter.verified is not False else None, desk.message_of(letter)
    desk.tell(kind, ticket, what, who or "", message)
    desk.tell_named(letter.orders.notify, ticket, f"{what}; a rule names you", who or "", message)
    addresses = desk.told(ticket)
    if not addresses:
        return f"nobody: {'who it concerns wrote it, or does not want to know' if desk.agents() else 'there is no agent'}"
    rest = len(addresses) - NAMED
    return f"told {', '.join(addresses[:NAMED])}{f' and {rest} more' if rest > 0 else ''}"


def _switched_off(letter: Letter, desk: Desk, settings: Settings) -> str:
    return "" if settings.send_enabled else "SEND_ENABLED=no"


def _one_of_us(letter: Letter, desk: Desk, settings: Settings) -> str:
    return next((why for mark, why in OURS.items() if mark in letter.marks), "")


def _two_programs(letter: Letter, desk: Desk, settings: Settings) -> str:
    """Would a program be told of what a program wrote? They could keep each other busy for ever."""
    what = AUTOMATIC.get(letter.mail.kind)
    if what and letter.outcome is Outcome.COMMENTED:
        return f"it is {what}"
    return f"it is {what} from the address of an agent" if what and desk.agent(sender_of(letter)) else ""


ASKED: tuple[Against, ...] = (_switched_off, _one_of_us, _two_programs)
