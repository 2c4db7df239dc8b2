"""The desk: the verbs on tickets, inside one transaction. Stages, command line and page use the same.

A desk is a unit of work (unit.py) that knows the ledger (ledger.py): nothing is written before `flush`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from . import tables
from .ledger import Delivery, ids_of, sender_of
from .letter import Address, Attachment, Kind, Letter, Original, canonical
from .people import People
from .settings import Settings
from .store import Store, now
from .unit import Row, delete

__all__ = ["Delivery", "Desk", "Row", "at_desk", "is_own", "own_addresses", "sender_of"]

MAX_PARTICIPANTS = 40  # To and Cc of an opening mail beyond these are not taken in (Zammad's bound)
WHO = "letterdesk"  # who does what no person did


class Desk(People):
    """The verbs on tickets. Made for a store; a batch runs `begin`, then per letter `turn` ... `keep` or `drop`, then `flush`."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        message = tables.Message
        ours = message.select(message.id, message.ticket, message.message_id, message.sent_to)
        self._ours = self._shelf(ours.where(message.kind == "reply"), message.message_id)
        self._messages = self._shelf(message.select(message.id, message.ticket, message.mail), message.mail)
        self._tickets = self._shelf(tables.Ticket.select(), tables.Ticket.id)
        self._participants = self._shelf(tables.Participant.select(), tables.Participant.ticket)
        self._tags = self._shelf(tables.Tag.select(), tables.Tag.ticket)
        self._links = self._shelf(tables.Link.select(), tables.Link.ticket)

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        ids = ids_of(letters)
        self._ours.prefetch(ids)
        named = [row["ticket"] for i in ids for row in (*self._by_message_id.find(i), *self._ours.find(i)) if row["ticket"]]
        named += [number for letter in letters for number in letter.mail.ticket_numbers]
        self._tickets.prefetch(named)
        self._participants.prefetch(named)

    # -- asking ------------------------------------------------------------------------------------------------------

    def ours(self, message_id: str) -> Row | None:
        """Return the message of this id that we sent, or None."""
        return self._ours.last(message_id)

    def ticket(self, number: int) -> Row | None:
        """Return a ticket by its number, or None; a merged one leads to where it went."""
        row, seen = self._tickets.last(number), {number}
        while row and row["merged_into"] and row["merged_into"] not in seen:
            seen.add(row["merged_into"])
            row = self._tickets.last(row["merged_into"])
        return row

    def participants(self, ticket: int) -> list[str]:
        """Return who may speak on a ticket, as addresses compare."""
        return [row["address"] for row in self._participants.find(ticket)]

    def takes(self, ticket: int, address: str | None) -> bool:
        """Is this sender, or another address of the same person, a participant of the ticket?"""
        return bool(address) and not self.addresses_of(address or "").isdisjoint(self.participants(ticket))

    def label(self, ticket: int) -> str:
        """Return a ticket's number as people write it: TICKET-001."""
        row = self._tickets.last(ticket)
        return row["ticket_number"] if row else self._number(ticket)

    def _number(self, ticket: int) -> str:
        return f"{self.settings.ticket_prefix}-{ticket:03d}"

    # -- verbs on tickets --------------------------------------------------------------------------------------------

    def open_ticket(self, letter: Letter) -> int:
        """Open a ticket for a mail: requester, participants, opening message. Return its number."""
        author = letter.mail.author or Address()
        self.person(author)
        number = self._ticket(letter.mail.subject, author, email_from=author.address)
        self._take_in(number, letter, author)
        self._event_of(letter, number, "opened")
        self._message(number, letter)
        return number

    def open_forwarded(self, letter: Letter, original: Original) -> int:
        """Open a ticket for a mail that an agent forwards: its author is the requester, the agent's words are a note."""
        agent, author = letter.mail.author or Address(), original.author or Address()
        self.person(author)
        number = self._ticket(original.subject or letter.mail.subject, author, email_from=agent.address)
        if author.address:
            self._join(number, canonical(author.address), "requester")
        self._event_of(letter, number, f"opened for {author.address}")
        told = letter.with_mail(authors=(author,), text=original.text, reply_text=original.text, date=original.date)
        self._message(number, told)
        if original.note.strip():
            self.note(number, original.note, agent)
        return number

    def _ticket(self, subject: str, requester: Address, **columns: Any) -> int:
        number = self._counters.get("ticket", 0) + 1
        row = self._insert(
            tables.Ticket,
            ticket_number=self._number(number),
            subject=subject,
            requester_name=requester.name,
            requester_address=requester.address,
            created=self.now,
            updated=self.now,
            **columns,
        )
        for shelf in (self._tickets, self._participants, self._tags, self._links):
            shelf.made(row["id"])
        self._tickets.put(row["id"], row)
        return int(row["id"])

    def _take_in(self, ticket: int, letter: Letter, requester: Address) -> None:
        mail = letter.mail
        roles = [("requester", requester)]
        roles += [("to", address) for address in mail.to] + [("cc", address) for address in mail.cc]
        seen: set[str] = set()
        for role, address in roles:
            compared = canonical(address.address) if address.address else None
            if compared and compared not in seen and not is_own(compared, self.settings) and len(seen) <= MAX_PARTICIPANTS:
                seen.add(compared)
                self._join(ticket, compared, role)

    def comment(self, letter: Letter, ticket: int) -> None:
        """Add a mail to a ticket; what one who belongs there writes reopens it, an automatic reply does not."""
        mail = letter.mail
        author = mail.author or Address()
        self.person(author)
        self._message(ticket, letter)
        self._event_of(letter, ticket, "commented")
        status = (self._tickets.last(ticket) or {}).get("status")
        if status != "open" and self.may_reopen(letter):
            self.set(ticket, "a reply came", who=author.address or WHO, status="open")
        else:
            self._touch(ticket)

    def sent_elsewhere(self, letter: Letter, ticket: int) -> None:
        """Add a reply that one of us sent from another mail client, as it was found in the Sent folder."""
        self._message(ticket, letter, kind="reply")
        self._event_of(letter, ticket, "replied from another mail client")
        self.set(ticket, "we replied", who=sender_of(letter) or WHO, status="waiting")

    def may_reopen(self, letter: Letter) -> bool:
        """Is it one who belongs there who writes, not a program, and not somebody whom a trusted server could not prove?"""
        proven = letter.verified is not False or "approved" in letter.marks
        return letter.welcome and proven and letter.mail.kind not in (Kind.AUTO_REPLY, Kind.BOUNCE)

    def set(self, ticket: int, why: str, who: str = WHO, **columns: Any) -> None:
        """Change status, priority, queue, assignee of a ticket; an event says who and why."""
        before = self._tickets.last(ticket) or {}
        changed = {name: value for name, value in columns.items() if before.get(name) != value}
        if "status" in changed:
            columns["closed"] = self.now if changed["status"] == "closed" else None
        self._touch(ticket, **columns)
        for name, value in changed.items():
            self.event(ticket, f"{name} {before.get(name)} -> {value}", why, who=who)

    def _touch(self, ticket: int, **columns: Any) -> None:
        row = self._tickets.last(ticket)
        assert row is not None, f"no ticket {ticket}"
        columns = {"updated": self.now, "version": row["version"] + 1, **columns}
        self._tickets.put(ticket, {**row, **columns})
        self._change(tables.Ticket, ticket, **columns)

    def tag(self, ticket: int, *names: str) -> None:
        """Put tags on a ticket; one that it bears already changes nothing."""
        for name in names:
            if all(row["name"] != name for row in self._tags.find(ticket)):
                self._tags.put(ticket, self._insert(tables.Tag, ticket=ticket, name=name))

    def untag(self, ticket: int, *names: str) -> None:
        """Take tags off a ticket."""
        for row in self._tags.find(ticket):
            if row["name"] in names:
                self._page.queries.append(delete(tables.Tag, id=row["id"]))

    def link(self, ticket: int, other: int, why: str) -> None:
        """Put two tickets side by side, for the agent's eyes; both say why in their events."""
        if ticket == other or any(row["other"] == other for row in self._links.find(ticket)):
            return
        self._links.put(ticket, self._insert(tables.Link, ticket=ticket, other=other, why=why))
        self.event(ticket, f"linked to {self.label(other)}", why)
        self.event(other, f"linked from {self.label(ticket)}", why)

    def _event_of(self, letter: Letter, ticket: int, what: str) -> None:
        author, why = letter.mail.author, str(letter.trail[-1]) if letter.trail else ""
        self.event(ticket, what, why, who=author.address if author and author.address else WHO, mail=self._mail_id(letter))

    def event(self, ticket: int, what: str, why: str, who: str = WHO, mail: int | None = None) -> None:
        """Add a line to a ticket's history."""
        self._insert(tables.Event, ticket=ticket, mail=mail, at=self.now, who=who, what=what, why=why)

    def unlink(self, ticket: int, other: int, who: str) -> None:
        """Take two tickets apart again."""
        for one, another in ((ticket, other), (other, ticket)):
            for row in self._links.find(one):
                if row["other"] == another:
                    self._page.queries.append(delete(tables.Link, id=row["id"]))
            self.event(one, f"no longer linked to {self.label(another)}", "unlinked", who=who)

    def approve(self, ticket: int, address: str, who: str) -> None:
        """Let somebody speak on a ticket."""
        compared = canonical(address)
        if compared not in self.participants(ticket):
            self._join(ticket, compared, "approved")
            self.event(ticket, f"{compared} may speak here", "approved", who=who)

    def _join(self, ticket: int, compared: str, role: str) -> None:
        self._participants.put(ticket, self._insert(tables.Participant, ticket=ticket, address=compared, role=role))

    def spam(self, ticket: int, who: str) -> None:
        """Close a ticket as spam, and hold what its sender writes from now on."""
        self.set(ticket, "spam", who=who, status="closed")
        self.tag(ticket, "spam")
        requester = (self._tickets.last(ticket) or {}).get("requester_address")
        if requester and self.agent(canonical(requester)) is None:
            self.block(requester, ticket, who)

    def no_spam(self, ticket: int, who: str) -> None:
        """Take back that a ticket is spam: it is open, and its sender may write."""
        self.set(ticket, "no spam", who=who, status="open")
        self.untag(ticket, "spam")
        requester = (self._tickets.last(ticket) or {}).get("requester_address")
        if requester:
            self.unblock(requester)

    def merge(self, ticket: int, into: int, who: str) -> None:
        """Put a ticket's messages and people on another; replies to it go there from now on."""
        why = f"merged into {self.label(into)}"
        for message in self._messages_of(ticket):
            self._move(message, into, why)
        for address in self.participants(ticket):
            if address not in self.participants(into):
                self._join(into, address, "merged")
        self.set(ticket, why, who=who, status="merged")
        self._touch(ticket, merged_into=into)
        self.event(into, f"{self.label(ticket)} was merged into it", why, who=who)
        self._touch(into)

    def unmerge(self, ticket: int, who: str) -> None:
        """Take a merged ticket out again, with the messages and people that it brought."""
        row = self._tickets.last(ticket)
        assert row is not None and row["merged_into"], f"ticket {ticket} is not merged"
        into, pin = row["merged_into"], tables.Pin
        for message in self.store.rows(tables.Message.select().join(pin).where(pin.origin == ticket)):
            self._change(tables.Message, message["id"], ticket=ticket)
            self._page.queries.append(delete(pin, message=message["id"]))
        for part in self._participants.find(into):
            if part["role"] == "merged" and part["address"] in self.participants(ticket):
                self._page.queries.append(delete(tables.Participant, id=part["id"]))
        self._touch(ticket, merged_into=None)
        self.set(ticket, f"taken out of {self.label(into)}", who=who, status="open")
        self.event(into, f"{self.label(ticket)} was taken out", "unmerged", who=who)
        self._touch(into)

    def split(self, message: Row, who: str) -> int:
        """Move a message to a new ticket of its own, whose requester is its author. Return the new number."""
        old = message["ticket"]
        author = Address(message["author_name"], message["author_address"])
        before = self._tickets.last(old) or {}
        new = self._ticket(f"{before.get('subject', '')}", author, queue=before.get("queue", "support"))
        if author.address:
            self._join(new, canonical(author.address), "requester")
        why = f"split from {self.label(old)}"
        self._move(message, new, why)
        if message["mail"]:
            self._change(tables.Mail, message["mail"], ticket=new)
        self.event(new, "opened", why, who=who)
        self.link(new, old, why)
        self._touch(old)
        return new

    def _messages_of(self, ticket: int) -> list[Row]:
        message = tables.Message
        return self.store.rows(message.select().where(message.ticket == ticket).order_by(message.id))

    def _move(self, message: Row, ticket: int, why: str) -> None:
        self._change(tables.Message, message["id"], ticket=ticket)
        pinned = self.store.row(tables.Pin.select().where(tables.Pin.message == message["id"]))
        if pinned is None:
            self._insert(tables.Pin, message=message["id"], origin=message["ticket"], why=why)

    def note(self, ticket: int, text: str, author: Address) -> None:
        """Write something that only agents see."""
        self._insert(
            tables.Message,
            ticket=ticket,
            kind="note",
            author_name=author.name,
            author_address=author.address,
            is_from_email=False,
            date=self.now,
            created=self.now,
            text=text,
        )
        self.event(ticket, "noted", "a note", who=author.address or WHO)
        self._touch(ticket)

    # -- messages ----------------------------------------------------------------------------------------------------

    def _message(self, ticket: int, letter: Letter, kind: str = "mail") -> None:
        author = letter.mail.author or Address()
        mail_id = self._mail_id(letter)
        sent_to = [canonical(one.address) for one in (*letter.mail.to, *letter.mail.cc) if one.address]
        row = self._insert(
            tables.Message,
            ticket=ticket,
            mail=mail_id,
            kind=kind,
            message_id=letter.mail.message_id if kind == "reply" else None,
            sent_to=json.dumps(sent_to) if kind == "reply" else None,
            author_name=author.name,
            author_address=author.address,
            date=letter.mail.date or self.now,
            verified=letter.verified,
            created=self.now,
            **_derived(letter),
        )
        self._messages.made(mail_id)
        self._messages.put(mail_id, row)
        self._attach(row["id"], letter.mail.attachments)

    def _attach(self, message: int, attachments: Sequence[Attachment]) -> None:
        for position, part in enumerate(attachments):
            values = {name: getattr(part, name) for name in Attachment.__dataclass_fields__}
            self._insert(tables.Attachment, message=message, position=position, **values)

    def derive_anew(self, mail_id: int, letter: Letter) -> None:
        """Make the derived fields of a stored message again from the same bytes; never its ticket, people or status."""
        message = self._messages.last(mail_id)
        if message is None:
            return
        self._change(tables.Message, message["id"], **_derived(letter))
        self._page.queries.append(delete(tables.Attachment, message=message["id"]))
        self._attach(message["id"], letter.mail.attachments)


@contextmanager
def at_desk(store: Store, settings: Settings) -> Iterator[Desk]:
    """Yield a desk for one piece of work of a person: all of it is committed at the end, or nothing."""
    with store.transaction():
        desk = Desk(store, settings)
        desk.begin()
        desk.turn()
        yield desk
        desk.keep()
        desk.flush()


@cache
def own_addresses(settings: Settings) -> frozenset[str]:
    """Return the addresses that are ours, as addresses compare."""
    return frozenset(canonical(address) for address in settings.own_addresses)


def is_own(address: str, settings: Settings) -> bool:
    """Is this address ours? `desk+anything@` is where `desk@` is."""
    own = own_addresses(settings)
    local, _, domain = address.rpartition("@")
    return address in own or ("+" in local and f"{local.partition('+')[0]}@{domain}" in own)


def _derived(letter: Letter) -> Row:
    """Return the columns of a message that follow from the bytes alone."""
    mail = letter.mail
    return {
        "text": mail.text,
        "reply_text": None if mail.reply_text == mail.text else mail.reply_text,
        "has_html": mail.has_html,
        "defects": json.dumps(mail.defects, ensure_ascii=False),
    }
