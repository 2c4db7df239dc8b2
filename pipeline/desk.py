"""The desk: the verbs on tickets, inside one transaction. Stages, command line and page use the same.

A desk is a unit of work (unit.py) that knows the ledger (ledger.py): nothing is written before `flush`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from . import tables
from .ledger import Delivery, Ledger, ids_of, sender_of
from .letter import Address, Attachment, Kind, Letter, canonical
from .settings import Settings
from .store import Store, now
from .unit import Row, delete

__all__ = ["Delivery", "Desk", "Row", "own_addresses", "sender_of"]

MAX_PARTICIPANTS = 40  # To and Cc of an opening mail beyond these are not taken in (Zammad's bound)
WHO = "letterdesk"  # who does what no person did


class Desk(Ledger):
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
        self._people = self._shelf(tables.PersonAddress.select(), tables.PersonAddress.address)
        self._addresses = self._shelf(tables.PersonAddress.select(), tables.PersonAddress.person)

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        ids = ids_of(letters)
        self._ours.prefetch(ids)
        self._people.prefetch(sender for letter in letters if (sender := sender_of(letter)))
        self._addresses.prefetch(
            row["person"] for letter in letters if (sender := sender_of(letter)) for row in self._people.find(sender)
        )
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
        if not address:
            return False
        own = {address}
        for row in self._people.find(address):
            own.update(other["address"] for other in self._addresses.find(row["person"]))
        return not own.isdisjoint(self.participants(ticket))

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
        self._person(author)
        number = self._counters.get("ticket", 0) + 1
        row = self._insert(
            tables.Ticket,
            ticket_number=self._number(number),
            subject=letter.mail.subject,
            requester_name=author.name,
            requester_address=author.address,
            email_from=author.address,
            created=self.now,
            updated=self.now,
        )
        for shelf in (self._tickets, self._participants, self._tags, self._links):
            shelf.made(row["id"])
        self._tickets.put(row["id"], row)
        self._take_in(row["id"], letter)
        self._event_of(letter, row["id"], "opened")
        self._message(row["id"], letter)
        return int(row["id"])

    def _take_in(self, ticket: int, letter: Letter) -> None:
        mail = letter.mail
        roles = [("requester", mail.author)]
        roles += [("to", address) for address in mail.to] + [("cc", address) for address in mail.cc]
        seen: set[str] = set()
        for role, address in roles:
            compared = canonical(address.address) if address and address.address else None
            if (
                compared
                and compared not in seen
                and compared not in own_addresses(self.settings)
                and len(seen) <= MAX_PARTICIPANTS
            ):
                seen.add(compared)
                self._participants.put(ticket, self._insert(tables.Participant, ticket=ticket, address=compared, role=role))

    def comment(self, letter: Letter, ticket: int) -> None:
        """Add a mail to a ticket; what one who belongs there writes reopens it, an automatic reply does not."""
        mail = letter.mail
        author = mail.author or Address()
        self._person(author)
        self._message(ticket, letter)
        self._event_of(letter, ticket, "commented")
        status = (self._tickets.last(ticket) or {}).get("status")
        if status != "open" and letter.welcome and mail.kind is not Kind.AUTO_REPLY:
            self.set(ticket, "a reply came", who=author.address or WHO, status="open")
        else:
            self._touch(ticket)

    def set(self, ticket: int, why: str, who: str = WHO, **columns: Any) -> None:
        """Change status, priority, queue, assignee of a ticket; an event says who and why."""
        before = self._tickets.last(ticket) or {}
        self._touch(ticket, **columns)
        for name, value in columns.items():
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

    def _person(self, author: Address) -> None:
        """Make a person of a sender who is not one yet."""
        compared = canonical(author.address) if author.address else None
        if compared is None or self._people.find(compared):
            return
        person = self._insert(tables.Person, name=author.name, created=self.now)
        self._addresses.made(person["id"])
        row = self._insert(tables.PersonAddress, address=compared, written=author.address, person=person["id"])
        self._people.put(compared, row)
        self._addresses.put(person["id"], row)

    # -- messages ----------------------------------------------------------------------------------------------------

    def _message(self, ticket: int, letter: Letter) -> None:
        author = letter.mail.author or Address()
        mail_id = self._mail_id(letter)
        row = self._insert(
            tables.Message,
            ticket=ticket,
            mail=mail_id,
            kind="mail",
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


@cache
def own_addresses(settings: Settings) -> frozenset[str]:
    """Return the addresses that are ours, as addresses compare."""
    return frozenset(canonical(address) for address in settings.own_addresses)


def _derived(letter: Letter) -> Row:
    """Return the columns of a message that follow from the bytes alone."""
    mail = letter.mail
    return {
        "text": mail.text,
        "reply_text": None if mail.reply_text == mail.text else mail.reply_text,
        "has_html": mail.has_html,
        "defects": json.dumps(mail.defects, ensure_ascii=False),
    }
