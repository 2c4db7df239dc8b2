"""Write what was found onto the desk."""

from __future__ import annotations

from .. import answering
from ..desk import MAX_LINKS, Desk, sender_of
from ..letter import Letter, Outcome


def persist(letter: Letter, desk: Desk) -> Letter:
    """Open a ticket, or add the mail to the one it belongs to."""
    if letter.ticket is None:
        ticket, how = _opened(letter, desk)
        outcome, what = Outcome.OPENED, f"opened {desk.label(ticket)}{how}"
    else:
        ticket = letter.ticket
        outcome, what = Outcome.COMMENTED, f"added to {desk.label(ticket)}{_added(letter, desk, ticket)}"
    desk.obey(ticket, letter)
    _tell_agents(letter, desk, ticket)
    return letter.settle(outcome, f"persist: {what}", ticket=ticket)


def _opened(letter: Letter, desk: Desk) -> tuple[int, str]:
    """Open a ticket: for its sender, or, where a proven agent forwards a customer's mail, for that customer."""
    original = letter.mail.original
    if original and original.author and original.author.address and letter.verified and desk.agent(sender_of(letter)):
        return desk.open_forwarded(letter, original), f" for {original.author.address}, whose mail the agent forwarded"
    return desk.open_ticket(letter), ""


def _added(letter: Letter, desk: Desk, ticket: int) -> str:
    """Add a mail to a ticket: what a proven agent answers by mail, what was sent from elsewhere, or a comment."""
    if "agent" in letter.marks:
        return f": {answering.take(letter, desk, ticket)}"
    if "sent" in letter.marks:
        desk.sent_elsewhere(letter, ticket)
    else:
        desk.comment(letter, ticket)
    if "token-lost" in letter.marks:
        answering.tell_unproven(letter, desk, ticket)
    return ""


def _tell_agents(letter: Letter, desk: Desk, ticket: int) -> None:
    """Note on the ticket what an agent should know: named by a stranger, reused id, look-alike, replies that came before."""
    for link in letter.links:
        desk.link(ticket, link.ticket, link.why)
    if "lookalike" in letter.marks:
        desk.event(ticket, "look-alike", letter.mail.defects[-1])
    message_id = letter.mail.message_id
    if message_id is None:
        return
    if "reused-id" in letter.marks:
        desk.event(ticket, "Message-ID used twice", f"{message_id} came before with other content")
    for other in desk.named_before(message_id)[:MAX_LINKS]:
        desk.link(ticket, other, f"{message_id} came after a mail that answers it")
