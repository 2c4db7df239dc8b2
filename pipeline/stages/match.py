"""Find the ticket a mail belongs to. The checks are asked in order; the first that holds decides, and each says why."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable

from ..age import why_old
from ..desk import MAX_LINKS, WHO, Desk, Row, sender_of
from ..letter import Bounce, Kind, Letter, Link, Mail, Outcome, Undelivered, canonical
from ..notices import FAILED, tokens_in
from ..settings import Settings

TOKEN_DAYS = 90  # for which an answer to a notification proves its agent

Check = Callable[[Letter, Desk, Settings], Letter]


def match(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Say whether the mail is in already, ours, a bounce, held, a comment on a ticket, or new."""
    for check in CHECKS:
        letter = check(letter, desk, settings)
        if letter.outcome:
            return letter
        if letter.ticket:
            return _admitted(letter, desk, settings)
    letter = _flag_lookalike(letter, desk)
    return letter.because("match: nothing names a ticket that takes this sender, so it opens a new one")


# -- mail that is no new message ---------------------------------------------------------------------------------------


def _known(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Is the mail in already? Then nothing stored changes but what follows from the same bytes."""
    known = desk.known(letter)
    if known is None:
        return _reused_id(letter, desk)
    if known["outcome"] in (None, Outcome.FAILED):
        return letter.because(f"match: the mail was seen before and {known['outcome'] or 'not decided'}, so it is tried again")
    if "approved" in letter.marks and known["outcome"] == Outcome.HELD:
        return letter.because("match: it was held, and an agent let it through")
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


def _sent_folder(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Was it sent by one of us from another mail client? Then it is a reply on the ticket that it answers."""
    if not settings.sent_folder or letter.place.box != settings.sent_folder:
        return letter
    for message_id in letter.named_ids:
        named = [row["ticket"] for row in (desk.ours(message_id), *reversed(desk.received(message_id))) if row and row["ticket"]]
        tickets = [ticket for number in dict.fromkeys(named) if (ticket := desk.ticket(number))]
        if tickets:  # several where somebody else used that id too: whom the answer went to decides
            ticket = next((one for one in tickets if _goes_to_participant(letter, one["id"], desk)), tickets[0])
            return _sent(letter, ticket, f"it answers {message_id} on {ticket['ticket_number']}")
    for number in reversed(letter.mail.ticket_numbers):
        ticket = desk.ticket(number)
        if ticket and _goes_to_participant(letter, ticket["id"], desk):
            return _sent(letter, ticket, f"its subject names {ticket['ticket_number']} and it went to a participant")
    return letter.settle(Outcome.IGNORED, "match: sent by us, and an answer to nothing that came here")


def _sent(letter: Letter, ticket: Row, why: str) -> Letter:
    """What lies in our own Sent folder came by no server that could prove it, and needs none."""
    return letter.marked("sent").because(f"match: sent by us, {why}", ticket=ticket["id"], verified=None)


def _goes_to_participant(letter: Letter, ticket: int, desk: Desk) -> bool:
    return any(desk.takes(ticket, canonical(one.address)) for one in (*letter.mail.to, *letter.mail.cc) if one.address)


def _bounce(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """A bounce makes no ticket; where it names a message of ours, that ticket's history says so, and the address is marked."""
    if letter.mail.kind is not Kind.BOUNCE:
        return letter
    report = letter.mail.bounce or Bounce(None)
    for message_id in dict.fromkeys((report.message_id, *letter.named_ids)):
        sent = desk.ours(message_id) if message_id else None
        if sent and sent["ticket"] is None:
            return letter.settle(Outcome.IGNORED, f"match: a bounce of {message_id}, which told an agent of several tickets")
        if sent:
            lost = _note_bounce(letter.mail, report, sent, desk)
            if lost and sent["kind"] != "notification" and not why_old(letter, desk.now, settings):
                message = sent["id"] if sent["kind"] == "reply" else sent["message"]
                desk.tell(FAILED, sent["ticket"], f"did not reach {'; '.join(lost)}", WHO, message)
            label = desk.label(sent["ticket"])
            return letter.settle(Outcome.IGNORED, f"match: a bounce of {message_id} on {label}", ticket=sent["ticket"])
    return letter.settle(Outcome.IGNORED, "match: a bounce that names no message of ours")


WORDS = {"failed": "bounced: did not reach", "delayed": "delayed: did not reach yet"}
STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")  # RFC 3464, 6533


def _note_bounce(mail: Mail, report: Bounce, sent: Row, desk: Desk) -> list[str]:
    """Tell a ticket whom our message did not reach, and mark the addresses; return those that it did not reach for good.

    A report is a claim too: it speaks of nobody to whom that message did not go. One that names nobody means the only addressee,
    unless a machine's part says that all went well.
    """
    addressees = json.loads(sent["sent_to"] or "[]")
    recipients = report.recipients
    if not recipients and not any(part.content_type in STATUS_PARTS for part in mail.attachments):
        recipients = (Undelivered(addressees[0] if len(addressees) == 1 else None),)
    lost = []
    for one in recipients:
        why = " ".join(filter(None, (one.status, one.reason))) or mail.subject
        desk.event(sent["ticket"], f"{WORDS.get(one.action, f'{one.action}:')} {one.address or 'the recipient'}", why)
        if one.action == "failed" and one.address and canonical(one.address) in addressees:
            desk.bounced(one.address, why)
            lost.append(f"{one.address}: {why}")
    return lost


def _unwanted(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Is it flagged as spam on its way, or was its sender's mail called spam by an agent? It waits for an agent."""
    if "approved" in letter.marks:
        return letter
    if "spam" in letter.marks:
        return letter.settle(Outcome.HELD, "match: flagged as spam on its way (X-Spam-Flag, X-Spam-Status)")
    if desk.is_blocked(sender_of(letter)):
        return letter.settle(Outcome.HELD, f"match: mail from {sender_of(letter)} was called spam by an agent")
    return letter


def _answers_notice(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does an agent answer a notification? Its address bears a token that only this agent was told."""
    for token in tokens_in(letter, settings):
        notice = desk.notice(token)
        if notice is None:
            letter = letter.because("match: it went to an address with a token that nobody was given")
            continue
        ticket, agent = desk.ticket(notice["ticket"]), notice["agent_address"]
        if why := _no_answer(letter, notice, desk.now):
            letter = letter.because(f"match: it went to an address that {agent} was told, but {why}")
            continue
        assert ticket is not None
        why = f"match: {agent} answers a notification of {ticket['ticket_number']}, proven by its token"
        if letter.mail.kind is not Kind.MESSAGE:
            return letter.settle(Outcome.IGNORED, f"{why}, but by a program ({letter.mail.kind})", ticket=ticket["id"])
        return letter.marked("agent").because(why, ticket=ticket["id"], verified=_proven_by_token(letter))
    return letter


def _no_answer(letter: Letter, notice: Row, now: str) -> str:
    """Say why a token proves nothing here: who had it may have passed it on, or is no agent any more."""
    if len(letter.mail.authors) != 1 or sender_of(letter) != notice["agent_address"]:
        return f"{_who(letter)} somebody else"
    if notice["agent_disabled"]:
        return "they are disabled"
    age = _days_since(notice["created"], now)
    return f"that is {age} days ago, more than {TOKEN_DAYS}" if age > TOKEN_DAYS else ""


def _proven_by_token(letter: Letter) -> bool:
    return "dmarc-failed" not in letter.marks or "approved" in letter.marks


# -- the ticket that it names ------------------------------------------------------------------------------------------


def _answers_ours(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does it name a message that we sent? Our ids cannot be guessed, so whoever names one has seen it."""
    for message_id in letter.named_ids:
        sent = desk.ours(message_id)
        ticket = desk.ticket(sent["ticket"]) if sent else None
        if sent is None or ticket is None:
            continue
        written_to = len(letter.mail.authors) == 1 and sender_of(letter) in json.loads(sent["sent_to"] or "[]")
        written_to = written_to and not desk.was_agent(sender_of(letter))
        why = f"match: it names {message_id}, which we sent on {ticket['ticket_number']}"
        if sent.get("kind") == "notification" and desk.agent(sender_of(letter)):
            letter = letter.marked("token-lost")
        if written_to or _belongs(letter, ticket["id"], desk):
            return letter.because(why, ticket=ticket["id"])
        return letter.because(
            f"{why}, but {_who(letter)} no participant: shown as not verified",
            ticket=ticket["id"],
            verified=False,
            welcome=False,
        )
    return letter.because("match: it names no message of ours") if letter.named_ids else letter


def _answers_theirs(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does it name a mail that we received, and does that mail's ticket take the sender?"""
    in_reply_to = letter.mail.in_reply_to
    found = False
    for message_id in letter.named_ids:
        header = "In-Reply-To" if message_id in in_reply_to else "References"
        for mail in reversed(desk.received(message_id)):
            ticket = desk.ticket(mail["ticket"]) if mail["ticket"] else None
            if ticket is None:
                continue
            found = True
            if _may_join(letter, ticket["id"], desk, settings):
                return letter.because(f"match: {header} {message_id} is on {ticket['ticket_number']}", ticket=ticket["id"])
            letter = _stranger(letter, f"{header} {message_id}", ticket, desk)
    if letter.named_ids and not found:
        return letter.because(f"match: none of the {len(letter.named_ids)} mails that it names came here")
    return letter


def _names_number(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Does the subject name a ticket that takes the sender? Of several, the last."""
    for number in reversed(letter.mail.ticket_numbers):
        ticket = desk.ticket(number)
        if ticket is None:
            letter = letter.because(f"match: the subject names {number}, but there is no such ticket")
        elif _belongs(letter, ticket["id"], desk) or (settings.reply_policy == "anyone" and not _is_theirs(letter, number)):
            return letter.because(f"match: the subject names {ticket['ticket_number']}", ticket=ticket["id"])
        else:
            letter = _stranger(letter, "the subject", ticket, desk)
    return letter


def _is_theirs(letter: Letter, number: int) -> bool:
    """Is the number a machine's own? Newsletters count their issues, other helpdesks their tickets; our tag is ours."""
    return letter.mail.kind is not Kind.MESSAGE and not re.search(rf"-0*{number}\s*\]", letter.mail.subject)


def _may_join(letter: Letter, ticket: int, desk: Desk, settings: Settings) -> bool:
    return settings.reply_policy == "anyone" or _belongs(letter, ticket, desk)


def _belongs(letter: Letter, ticket: int, desk: Desk) -> bool:
    """Is the sender a participant, or a proven agent? From is a claim, and two claims prove nothing.

    Who is proven to be no agent counts as one, to be held like anybody who speaks in a participant's name.
    """
    if len(letter.mail.authors) != 1:
        return False
    sender = sender_of(letter)
    return desk.takes(ticket, sender) or bool((letter.verified or "dmarc-failed" in letter.marks) and desk.agent(sender))


def _who(letter: Letter) -> str:
    return "several senders are" if len(letter.mail.authors) > 1 else f"{sender_of(letter) or 'nobody'} is"


def _stranger(letter: Letter, names_it: str, ticket: Row, desk: Desk) -> Letter:
    """Somebody who is no participant named a ticket: never joined, but linked for the agent."""
    if len(letter.links) >= MAX_LINKS or any(link.ticket == ticket["id"] for link in letter.links):
        return letter
    return letter.because(
        f"match: {names_it} names {ticket['ticket_number']}, but {_who(letter)} no participant there: linked, not joined",
        links=_linked(letter, ticket["id"], "a sender who is no participant there named it"),
    )


# -- may it come in? ---------------------------------------------------------------------------------------------------


def _admitted(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Let a mail onto its ticket, unless its sender is proven to be false or the ticket was closed too long ago."""
    assert letter.ticket is not None
    if "dmarc-failed" in letter.marks and "approved" not in letter.marks and "sent" not in letter.marks:
        sender, label = sender_of(letter), desk.label(letter.ticket)
        return letter.settle(Outcome.HELD, f"match: {sender} on {label} failed dmarc: the sender is not who From says")
    ticket = desk.ticket(letter.ticket)
    if "agent" in letter.marks:
        return letter
    age = _days_since(ticket["closed"], desk.now) if ticket and ticket["status"] == "closed" and ticket["closed"] else 0
    if settings.reopen_days and age > settings.reopen_days and desk.may_reopen(letter):
        label = desk.label(letter.ticket)
        why = f"match: {label} was closed {age} days ago, more than REOPEN_DAYS={settings.reopen_days}: a new one, linked"
        return letter.because(
            why, ticket=None, links=_linked(letter, letter.ticket, f"an answer to it, {age} days after it was closed")
        )
    return letter


def _linked(letter: Letter, ticket: int, why: str) -> tuple[Link, ...]:
    return letter.links if any(link.ticket == ticket for link in letter.links) else (*letter.links, Link(ticket, why))


def _days_since(then: str, now: str) -> int:
    return (datetime.datetime.fromisoformat(now) - datetime.datetime.fromisoformat(then)).days


def _flag_lookalike(letter: Letter, desk: Desk) -> Letter:
    """Flag an address that looks like somebody else's whom we know; it is another person."""
    alike = desk.lookalikes(sender_of(letter))
    if not alike:
        return letter
    defect = f"{sender_of(letter)} looks like {alike[0]}, but is another address"
    letter = letter.with_mail(defects=(*letter.mail.defects, defect)).marked("lookalike")
    return letter.because(f"match: {defect}")


CHECKS: tuple[Check, ...] = (
    _known,
    _own_mail,
    _sent_folder,
    _bounce,
    _unwanted,
    _answers_notice,
    _answers_ours,
    _answers_theirs,
    _names_number,
)
