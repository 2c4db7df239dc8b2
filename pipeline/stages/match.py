"""Find the ticket a mail belongs to. The checks are asked in order; the first that holds decides, and each says why."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..desk import Desk, sender_of
from ..letter import Kind, Letter, Outcome
from ..settings import Settings

Check = Callable[[Letter, Desk, Settings], Letter]


def match(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Say whether the mail is in already, ours, a bounce, a comment on a ticket, or new."""
    for check in CHECKS:
        letter = check(letter, desk, settings)
        if letter.outcome or letter.ticket:
            return letter
    return letter.because("match: nothing names a ticket that takes this sender, so it opens a new one")


def _known(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Is the mail in already? Then nothing stored changes but what follows from the same bytes."""
    known = desk.known(letter)
    if known is None:
        return _reused_id(letter, desk)
    if known["outcome"] in (None, Outcome.FAILED):
        return letter.because(f"match: the mail was seen before and {known['outcome'] or 'not decided'}, so it is tried again")
    same_bytes = known["digest"] == letter.digest
    if same_bytes:
        desk.derive_anew(known["id"], letter)
    where = f"on {desk.label(known['ticket'])}" if known["ticket"] else f"in the ledger ({known['outcome']})"
    how = "the same bytes are" if same_bytes else "the same mail (id, sender, date and content) is"
    return letter.settle(Outcome.DUPLICATE, f"match: {how} {where} already", ticket=known["ticket"])


def _reused_id(letter: Letter, desk: Desk) -> Letter:
    """Flag another mail under the same Message-ID: senders reuse ids, and a stranger may have sent it first."""
    message_id = letter.mail.message_id
    if not message_id or not desk.received(message_id):
        return letter
    defect = "another mail with other content came under this Message-ID before"
    letter = letter.with_mail(defects=(*letter.mail.defects, defect)).marked("reused-id")
    return letter.because(f"match: {message_id} was used before for other content; this is another mail")


def _own_mail(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Is it a message of ours that came back? Our id under a foreign From is another mail."""
    message_id = letter.mail.message_id
    if message_id and "ours" in letter.marks and desk.ours(message_id):
        return letter.settle(Outcome.IGNORED, f"match: {message_id} is our own message coming back")
    return letter


def _bounce(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """A bounce makes no ticket; where it names a message of ours, that ticket's history says so."""
    if letter.mail.kind is not Kind.BOUNCE:
        return letter
    for message_id in letter.named_ids:
        if sent := desk.ours(message_id):
            desk.event(sent["ticket"], "bounced", f"{message_id} did not arrive: {letter.mail.subject}")
            return letter.settle(
                Outcome.IGNORED, f"match: a bounce of {message_id} on {desk.label(sent['ticket'])}", ticket=sent["ticket"]
            )
    return letter.settle(Outcome.IGNORED, "match: a bounce that names no message of ours")


def _answers_ours(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does it name a message that we sent? Our ids cannot be guessed, so whoever names one has seen it."""
    for message_id in letter.named_ids:
        sent = desk.ours(message_id)
        ticket = desk.ticket(sent["ticket"]) if sent else None
        if sent is None or ticket is None:
            continue
        sender = sender_of(letter)
        welcome = bool(sender) and (sender in json.loads(sent["sent_to"] or "[]") or desk.takes(ticket["id"], sender))
        why = f"match: it names {message_id}, which we sent on {ticket['ticket_number']}"
        if welcome:
            return letter.because(why, ticket=ticket["id"])
        return letter.because(
            f"{why}, but {sender or 'nobody'} is no participant: shown as not verified",
            ticket=ticket["id"],
            verified=False,
            welcome=False,
        )
    return letter


def _answers_theirs(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does it name a mail that we received, and does that mail's ticket take the sender?"""
    in_reply_to = letter.mail.in_reply_to
    for message_id in letter.named_ids:
        header = "In-Reply-To" if message_id in in_reply_to else "References"
        for mail in reversed(desk.received(message_id)):
            ticket = desk.ticket(mail["ticket"]) if mail["ticket"] else None
            if ticket is None:
                continue
            if _may_join(letter, ticket["id"], desk, settings):
                return letter.because(f"match: {header} {message_id} is on {ticket['ticket_number']}", ticket=ticket["id"])
            letter = _stranger(letter, f"{header} {message_id}", ticket)
    return letter


def _names_number(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does the subject name a ticket that takes the sender? Of several, the last."""
    for number in reversed(letter.mail.ticket_numbers):
        ticket = desk.ticket(number)
        if ticket is None:
            letter = letter.because(f"match: the subject names {number}, but there is no such ticket")
        elif _may_join(letter, ticket["id"], desk, settings):
            return letter.because(f"match: the subject names {ticket['ticket_number']}", ticket=ticket["id"])
        else:
            letter = _stranger(letter, "the subject", ticket)
    return letter


def _may_join(letter: Letter, ticket: int, desk: Desk, settings: Settings) -> bool:
    """From is a claim, and two claims prove nothing: several From addresses never join by a name."""
    if settings.reply_policy == "anyone":
        return True
    return len(letter.mail.authors) == 1 and desk.takes(ticket, sender_of(letter))


def _stranger(letter: Letter, names_it: str, ticket: dict[str, object]) -> Letter:
    """Somebody who is no participant named a ticket: never joined, but linked for the agent."""
    number = ticket["id"]
    who = "several senders are" if len(letter.mail.authors) > 1 else f"{sender_of(letter) or 'nobody'} is"
    return letter.because(
        f"match: {names_it} names {ticket['ticket_number']}, but {who} no participant there: linked, not joined",
        links=(*letter.links, number) if number not in letter.links else letter.links,
    )


CHECKS: tuple[Check, ...] = (_known, _own_mail, _bounce, _answers_ours, _answers_theirs, _names_number)
