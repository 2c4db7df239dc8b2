"""Write what was found onto the desk."""

from __future__ import annotations

from ..desk import Desk
from ..letter import Letter, Outcome


def persist(letter: Letter, desk: Desk) -> Letter:
    """Open a ticket, or add the mail to the one it belongs to."""
    if letter.ticket is None:
        ticket = desk.open_ticket(letter)
        outcome, what = Outcome.OPENED, "opened"
    else:
        ticket = letter.ticket
        desk.comment(letter, ticket)
        outcome, what = Outcome.COMMENTED, "added to"
    _tell_agents(letter, desk, ticket)
    return letter.settle(outcome, f"persist: {what} {desk.label(ticket)}", ticket=ticket)


def _tell_agents(letter: Letter, desk: Desk, ticket: int) -> None:
    """Note on the ticket what an agent should know: named by a stranger, reused id, replies that came before."""
    for other in letter.links:
        desk.link(ticket, other, "a sender who is no participant there named it")
    message_id = letter.mail.message_id
    if message_id is None:
        return
    if "reused-id" in letter.marks:
        desk.event(ticket, "Message-ID used twice", f"{message_id} came before with other content")
    for other in desk.named_before(message_id):
        desk.link(ticket, other, f"{message_id} came after a mail that answers it")
