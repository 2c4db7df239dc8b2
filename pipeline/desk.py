"""The desk: the verbs on tickets, inside one transaction. Stages, command line and page use the same.

A desk is a unit of work (unit.py) that knows the ledger (ledger.py): nothing is written before `flush`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from . import mime, rules, tables
from .age import why_old
from .compose import File, Outgoing, compose, new_message_id, quoted, reply_subject, writable
from .errors import NotFound, UsageError, WrongTemplate, no_ticket
from .ledger import Delivery, ids_of, sender_of
from .letter import Address, Attachment, Kind, Letter, Original, canonical
from .notices import ASSIGNED, Notices
from .people import is_own, own_addresses
from .post import (
    acknowledgement,
    domain_of,
    plain,
    renamed,
    sent_to,
    voice_of,
    words_of_ours,
)
from .settings import Settings
from .store import Store, among, now
from .templates import language_of
from .unit import Row, delete
from .wording import answer_said, language_for, received_said

__all__ = ["Delivery", "Desk", "Row", "at_desk", "is_own", "own_addresses", "sender_of"]

MAX_PARTICIPANTS = 40  # To and Cc of an opening mail beyond these are not taken in (Zammad's bound)
MAX_LINKS = 10  # tickets beside which one mail is put: it may name hundreds, or be named by thousands
WHO = "letterdesk"  # who does what no person did
BY_HAND = "by hand"  # why, where a person gave no reason


class Desk(Notices):
    """The verbs on tickets. Made for a store; a batch runs `begin`, then per letter `turn` ... `keep` or `drop`, then `flush`."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        message = tables.Message
        messages = message.select(
            message.id, message.ticket, message.mail, message.kind, message.message_id, message.author_address
        )
        self._messages = self._shelf(messages, message.mail)
        self._participants = self._shelf(tables.Participant.select(), tables.Participant.ticket)
        self._tags = self._shelf(tables.Tag.select(), tables.Tag.ticket)
        self._links = self._shelf(tables.Link.select(), tables.Link.ticket)

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        ids = list(dict.fromkeys(ids_of(letters)))
        sent = [row for i in ids if (row := self.ours(i))]
        named = [row["ticket"] for row in (*(mail for i in ids for mail in self._by_message_id.find(i)), *sent) if row["ticket"]]
        named += [number for letter in letters for number in letter.mail.ticket_numbers]
        self._tickets.prefetch(named)
        self._participants.prefetch(named)

    # -- asking ------------------------------------------------------------------------------------------------------

    def ticket(self, number: int) -> Row | None:
        """Return a ticket by its number, or None; a merged one leads to where it went."""
        row, seen = self._tickets.last(number), {number}
        while row and row["merged_into"] and row["merged_into"] not in seen:
            seen.add(row["merged_into"])
            row = self._tickets.last(row["merged_into"])
        return row

    def must(self, number: int) -> Row:
        """Return the ticket of this very number, merged or not.

        Raises:
            NotFound
        """
        row = self._tickets.last(number)
        if row is None:
            raise no_ticket(number)
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

    def _number(self, ticket: int, queue: str | None = None) -> str:
        found = rules.current(self.settings.rules_file).queue(queue or rules.DEFAULT_QUEUE)
        return f"{(found and found.prefix) or self.settings.ticket_prefix}-{ticket:03d}"

    def open_tickets_of(self, addresses: Iterable[str]) -> list[int]:
        """Return the open and waiting tickets that these addresses opened."""
        part, ticket = tables.Participant, tables.Ticket
        asked = part.select(part.ticket).join(ticket).where(ticket.status.in_(("open", "waiting")) & (part.role == "requester"))
        return self.store.values(asked.where(among(part.address, map(canonical, addresses))).order_by(part.ticket))

    # -- verbs on tickets --------------------------------------------------------------------------------------------

    def open_ticket(self, letter: Letter) -> int:
        """Open a ticket for a mail: requester, participants, opening message. Return its number."""
        author = letter.mail.author or Address()
        requester = letter.orders.requester or author
        self.person(requester)
        columns = {"email_from": author.address, "reply_to": None if letter.orders.requester else self._reply_to(letter)}
        number = self._ticket(letter.mail.subject, requester, letter.orders.queue, **columns)
        self._take_in(number, letter, requester)
        self._event_of(letter, number, "opened")
        self._message(number, letter)
        return number

    def _reply_to(self, letter: Letter) -> str | None:
        """Return where the writer wants answers, if that is another address and none of ours (it would answer itself)."""
        wanted = [one.address for one in letter.mail.reply_to if one.address]
        foreign = (one for one in wanted if not is_own(canonical(one), self.settings))
        return next((one for one in foreign if canonical(one) != sender_of(letter)), None)

    def open_forwarded(self, letter: Letter, original: Original) -> int:
        """Open a ticket for a mail that an agent forwards: its author is the requester, the agent's words are a note."""
        agent, author = letter.mail.author or Address(), original.author or Address()
        self.person(author)
        subject = original.subject or letter.mail.subject
        number = self._ticket(subject, author, letter.orders.queue, email_from=agent.address)
        if author.address:
            self._join(number, canonical(author.address), "requester")
        self._event_of(letter, number, f"opened for {author.address}")
        self._message(number, _as_told(letter, original))
        if original.note.strip():
            self.note(number, original.note, agent)
        return number

    def _ticket(self, subject: str, requester: Address, queue: str | None, **columns: Any) -> int:
        number, queue = self._counters.get("ticket", 0) + 1, queue or rules.DEFAULT_QUEUE
        row = self._insert(
            tables.Ticket,
            ticket_number=self._number(number, queue),
            subject=subject,
            queue=queue,
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
        if not self.set(ticket, "we replied", who=sender_of(letter) or WHO, status="waiting"):
            self._touch(ticket)

    def obey(self, ticket: int, letter: Letter) -> None:
        """Do to a ticket what the rules ordered."""
        orders = letter.orders
        why = "; ".join(step.why for step in letter.trail if step.stage == "triage") or "triage"
        wanted = {"queue": orders.queue, "priority": orders.priority, "assignee": orders.assignee, "status": orders.status}
        before = self._tickets.last(ticket) or {}
        if changed := {name: value for name, value in wanted.items() if value and value != before.get(name)}:
            (self._set if why_old(letter, self.now, self.settings) else self.set)(ticket, why, **changed)
        self.tag(ticket, *(tag for tag in orders.tags if not tag.startswith("-")))
        self.untag(ticket, *(tag[1:] for tag in orders.tags if tag.startswith("-")))

    def may_reopen(self, letter: Letter) -> bool:
        """Is it one who belongs there who writes, not a program, and not somebody whom a trusted server could not prove?"""
        proven = letter.verified is not False or "approved" in letter.marks
        return letter.welcome and proven and letter.mail.kind not in (Kind.AUTO_REPLY, Kind.BOUNCE)

    def set(self, ticket: int, why: str, who: str = WHO, **columns: Any) -> list[str]:
        """Change status, priority, queue, assignee of a ticket; an event says who and why. Return what changed.

        Who gets it by another's hand is told.
        """
        before = (self._tickets.last(ticket) or {}).get("assignee")
        done = self._set(ticket, why, who, **columns)
        if columns.get("assignee") not in (None, before):
            self.tell(ASSIGNED, ticket, f"assigned to you: {why}", who)
        return done

    def _set(self, ticket: int, why: str, who: str = WHO, **columns: Any) -> list[str]:
        before = self._tickets.last(ticket) or {}
        changed = {name: value for name, value in columns.items() if before.get(name) != value}
        if not changed:
            return []
        if "status" in changed:
            columns["closed"] = self.now if changed["status"] == "closed" else None
        self._touch(ticket, **columns)
        done = [f"{name} {before.get(name) or 'nobody'} -> {value or 'nobody'}" for name, value in changed.items()]
        for what in done:
            self.event(ticket, what, why, who=who)
        return done

    def _touch(self, ticket: int, **columns: Any) -> None:
        row = self._tickets.last(ticket)
        assert row is not None, f"no ticket {ticket}"
        columns = {"updated": self.now, "version": row["version"] + 1, **columns}
        self._tickets.put(ticket, {**row, **columns})
        self._change(tables.Ticket, ticket, **columns)

    def tag(self, ticket: int, *names: str, who: str | None = None) -> list[str]:
        """Put tags on a ticket; one that it bears already changes nothing. An event says who, where a person did it."""
        borne = {row["name"] for row in self._tags.find(ticket)} if names else ()
        new = [name for name in dict.fromkeys(names) if name not in borne]
        for name in new:
            self._tags.put(ticket, self._insert(tables.Tag, ticket=ticket, name=name))
        return self._told_tags(ticket, "tagged", new, who)

    def untag(self, ticket: int, *names: str, who: str | None = None) -> list[str]:
        """Take tags off a ticket; an event says who, where a person did it."""
        rows = [row for row in self._tags.find(ticket) if row["name"] in names] if names else []
        for row in rows:
            self._page.queries.append(delete(tables.Tag, id=row["id"]))
        return self._told_tags(ticket, "no longer tagged", [row["name"] for row in rows], who)

    def _told_tags(self, ticket: int, what: str, names: list[str], who: str | None) -> list[str]:
        done = [f"{what} {', '.join(names)}"] if names else []
        if done and who:
            self.event(ticket, done[0], BY_HAND, who=who)
            self._touch(ticket)
        return done

    def are_linked(self, ticket: int, other: int) -> bool:
        """Do two tickets stand side by side?"""
        pairs = ((ticket, other), (other, ticket))
        return any(row["other"] == another for one, another in pairs for row in self._links.find(one))

    def link(self, ticket: int, other: int, why: str, who: str = WHO) -> None:
        """Put two tickets side by side, for the agent's eyes; both say why in their events."""
        if ticket == other or self.are_linked(ticket, other):
            return
        self._links.put(ticket, self._insert(tables.Link, ticket=ticket, other=other, why=why))
        self.event(ticket, f"linked to {self.label(other)}", why, who=who)
        self.event(other, f"linked from {self.label(ticket)}", why, who=who)

    def _event_of(self, letter: Letter, ticket: int, what: str) -> None:
        author, why = letter.mail.author, str(letter.trail[-1]) if letter.trail else ""
        self.event(ticket, what, why, who=author.address if author and author.address else WHO, mail=self._mail_id(letter))

    def event(self, ticket: int, what: str, why: str, who: str = WHO, mail: int | None = None) -> None:
        """Add a line to a ticket's history."""
        self._insert(tables.Event, ticket=ticket, mail=mail, at=self.now, who=who, what=what, why=why)

    def unlink(self, ticket: int, other: int, who: str) -> None:
        """Take two tickets apart again.

        Raises:
            UsageError: they are not linked.
        """
        if not self.are_linked(ticket, other):
            raise UsageError(f"{self.label(ticket)} and {self.label(other)} are not linked.")
        for one, another in ((ticket, other), (other, ticket)):
            for row in self._links.find(one):
                if row["other"] == another:
                    self._page.queries.append(delete(tables.Link, id=row["id"]))
            self.event(one, f"no longer linked to {self.label(another)}", "unlinked", who=who)

    def approve(self, ticket: int, address: str, who: str) -> bool:
        """Let somebody speak on a ticket; return whether they could not before.

        Raises:
            UsageError: the address is ours.
        """
        compared = canonical(address)
        if is_own(compared, self.settings):
            raise UsageError(f"{address} is the desk's own address, not a participant.")
        if compared in self.participants(ticket):
            return False
        self._join(ticket, compared, "approved")
        self.event(ticket, f"{compared} may speak here", "approved", who=who)
        return True

    def _join(self, ticket: int, compared: str, role: str) -> None:
        self._participants.put(ticket, self._insert(tables.Participant, ticket=ticket, address=compared, role=role))

    def spam(self, ticket: int, who: str) -> str | None:
        """Close a ticket as spam, and hold what its sender writes from now on; return that address, if there is one.

        Nobody is held whose mail the desk needs: neither an agent nor the desk itself.
        """
        self.set(ticket, "spam", who=who, status="closed")
        self.tag(ticket, "spam", who=who)
        sender = self._sender(ticket)
        if sender is None or self.agent(sender) or is_own(sender, self.settings):
            return None
        self.block(sender, ticket, who)
        self.event(ticket, f"mail from {sender} is held from now on", "spam", who=who)
        return sender

    def no_spam(self, ticket: int, who: str) -> str | None:
        """Take back that a ticket is spam: it is open, and its sender may write; return that address, if there is one.

        Raises:
            UsageError: nobody called it spam.
        """
        sender = self._sender(ticket)
        blocked = self.is_blocked(sender)
        if not blocked and all(row["name"] != "spam" for row in self._tags.find(ticket)):
            raise UsageError(f"{self.label(ticket)} was not called spam.")
        self.set(ticket, "no spam", who=who, status="open")
        self.untag(ticket, "spam", who=who)
        if sender is None or not blocked:
            return None
        self.unblock(sender)
        self.event(ticket, f"mail from {sender} is taken again", "no spam", who=who)
        return sender

    def _sender(self, ticket: int) -> str | None:
        requester = self.must(ticket)["requester_address"]
        return canonical(requester) if requester else None

    def reject(self, mail: Row, who: str) -> None:
        """Put a held mail aside for good; the ticket that it names says so."""
        self.put_aside(mail, f"held: {who} rejected it")
        if mail["ticket"]:
            why = f"it came from {mail['sender'] or 'nobody'}, and was held"
            self.event(mail["ticket"], "a mail was rejected", why, who=who, mail=mail["id"])

    # -- moving messages: asked of the store, so once in a piece of work -------------------------------------------------

    def merge(self, ticket: int, into: int, who: str) -> None:
        """Put a ticket's messages and people on another; replies to it go there from now on.

        Raises:
            NotFound
            UsageError: they are the same, or one of them is merged already.
        """
        self._must_stand_alone(ticket)
        self._must_stand_alone(into)
        if ticket == into:
            raise UsageError(f"{self.label(ticket)} cannot be merged with itself.")
        why = f"merged into {self.label(into)}"
        for message in self._messages_of(ticket):
            self._move(message, into, why, home=message["home"] or ticket)
        spoke = self.participants(into)
        for address in self.participants(ticket):
            if address not in spoke:
                self._join(into, address, "merged")
        was_closed = self.must(ticket)["status"] == "closed"
        self.set(ticket, why, who=who, status="merged")
        self._touch(ticket, merged_into=into)
        self.event(into, f"{self.label(ticket)} was merged into it", BY_HAND, who=who)
        self._touch(into)
        if self.must(into)["status"] == "closed" and not was_closed:  # what is still to be done must not be hidden
            self.set(into, f"{self.label(ticket)} was not closed", who=who, status="open")

    def _must_stand_alone(self, ticket: int) -> None:
        row = self.must(ticket)
        if row["merged_into"]:
            label = row["ticket_number"]
            sentence = f"{label} was merged into {self.label(row['merged_into'])} already."
            raise UsageError(sentence, f"`helpdesk ticket unmerge {label}` takes it out again.")

    def unmerge(self, ticket: int, who: str) -> int:
        """Take a merged ticket out again, with the messages and people that it brought; return where it was.

        Raises:
            NotFound
            UsageError: it is not merged.
        """
        row = self.must(ticket)
        if not row["merged_into"]:
            raise UsageError(f"{row['ticket_number']} is not merged.")
        holders, brought = self._holders(row), self._family(ticket)
        top = holders[-1]
        why = f"taken out of {self.label(top)}"
        for message in self._messages_of(top):
            if message["home"] in brought:
                self._move(message, ticket, why, home=message["home"] if message["home"] != ticket else None)
        for holder in holders:
            self._send_away(holder, brought)
        self._touch(ticket, merged_into=None)
        self.set(ticket, why, who=who, status="open")
        self.event(top, f"{row['ticket_number']} was taken out", BY_HAND, who=who)
        self._touch(top)
        return top

    def _holders(self, row: Row) -> list[int]:
        """Return the tickets that hold what a merged one brought: where it went, where that went, and so on."""
        holders: list[int] = []
        while row["merged_into"] and row["merged_into"] not in holders:
            holders.append(row["merged_into"])
            row = self.must(row["merged_into"])
        return holders

    def _family(self, head: int) -> frozenset[int]:
        """Return a ticket with all that were merged into it, directly or by a detour."""
        ticket, found, new = tables.Ticket, frozenset({head}), frozenset({head})
        while new:
            new = frozenset(self.store.values(ticket.select(ticket.id).where(among(ticket.merged_into, new)))) - found
            found |= new
        return found

    def _send_away(self, holder: int, brought: frozenset[int]) -> None:
        """Take those off a ticket's participants who came by a merge that is undone, and by no other."""
        part = tables.Participant
        others = part.select(part.address).where(among(part.ticket, self._family(holder) - brought) & (part.role != "merged"))
        stay = frozenset(self.store.values(others))
        for row in self._participants.find(holder):
            if row["role"] == "merged" and row["address"] not in stay:
                self._page.queries.append(delete(part, id=row["id"]))

    def split(self, ticket: int, message: str, who: str) -> int:
        """Move a mail, named by its id or Message-ID, to a ticket of its own with its author as requester; return the number.

        Raises:
            NotFound: the ticket has no such message.
            UsageError: it is no mail, or the only one.
        """
        mails, chosen = self._mails_and(ticket, message)
        old = self.label(ticket)
        if chosen["kind"] != "mail":
            raise UsageError(f"Message {chosen['id']} is a {chosen['kind']}; only a customer's mail can be split off {old}.")
        if len(mails) == 1:
            raise UsageError(f"Message {chosen['id']} is the only mail of {old}, so there is nothing to split.")
        author, before = Address(chosen["author_name"], chosen["author_address"]), self.must(ticket)
        new = self._ticket(before["subject"], author, before["queue"], priority=before["priority"], email_from=author.address)
        if author.address:
            self._join(new, canonical(author.address), "requester")
        why = f"split from {old}"
        self._move(chosen, new, why, home=None)
        if chosen["mail"]:
            self._change(tables.Mail, chosen["mail"], ticket=new)
        self.event(new, "opened", why, who=who)
        self.link(new, ticket, why, who=who)
        self._touch(ticket)
        return new

    def _mails_and(self, ticket: int, named: str) -> tuple[list[Row], Row]:
        """Return the mails on a ticket, and the message that is named."""
        named = named.strip().removeprefix("<").removesuffix(">")
        messages = self._messages_of(ticket)
        for row in messages:
            if named in (str(row["id"]), row["message_id"], row["mail_message_id"]):
                return [one for one in messages if one["kind"] == "mail"], row
        label = self.label(ticket)
        raise NotFound(f"{label} has no message {named}.", f"`helpdesk ticket show {label}` shows the number of each.")

    def _messages_of(self, ticket: int) -> list[Row]:
        message, pin, mail = tables.Message, tables.Pin, tables.Mail
        asked = message.select(message, pin.id.alias("pin"), pin.origin.alias("home"), mail.message_id.alias("mail_message_id"))
        asked = asked.left_outer_join(pin).switch(message).left_outer_join(mail)
        return self.store.rows(asked.where(message.ticket == ticket).order_by(message.id))

    def _move(self, message: Row, ticket: int, why: str, home: int | None) -> None:
        """Put a message on another ticket and pin it there; `home` is where it goes back to when a merge is undone."""
        self._change(tables.Message, message["id"], ticket=ticket)
        if message["pin"]:
            self._change(tables.Pin, message["pin"], origin=home, why=why)
        else:
            self._insert(tables.Pin, message=message["id"], origin=home, why=why)

    def note(self, ticket: int, text: str, author: Address, letter: Letter | None = None) -> None:
        """Write something that only agents see; `letter` is the mail in which it came."""
        self._written(ticket, "note", text, author, letter)
        self.event(ticket, "noted", "a note", who=author.address or WHO)
        self._touch(ticket)

    def _written(self, ticket: int, kind: str, text: str, author: Address, letter: Letter | None, **columns: Any) -> Row:
        """Add what an agent wrote, here or in a mail: a reply or a note."""
        mail = {"mail": self._mail_id(letter), "verified": letter.verified} if letter else {}
        row = self._insert(
            tables.Message,
            ticket=ticket,
            kind=kind,
            author_name=author.name,
            author_address=author.address,
            is_from_email=letter is not None,
            date=(letter and letter.mail.date) or self.now,
            created=self.now,
            text=text,
            **mail,
            **columns,
        )
        if letter:
            self._messages.made(row["mail"])
            self._messages.put(row["mail"], row)
            self._attach(row["id"], letter.mail.attachments)
        return row

    # -- what goes out -----------------------------------------------------------------------------------------------

    def reply(
        self,
        ticket: int,
        text: str,
        author: Address,
        *,
        html: str | None = None,
        cc: Sequence[str] = (),
        attachments: Sequence[File] = (),
        quote: bool = False,
        status: str = "waiting",
        letter: Letter | None = None,
    ) -> list[str]:
        """Answer the requester and those who were approved; the mail is in the outbox. Return to whom it goes.

        `html` is markup that was sanitised already, and says what `text` says. The message keeps only what the agent wrote.
        `letter` is the mail in which it came.

        Raises:
            UsageError: nobody knows where to, or a copy would go to the desk itself.
            CannotSend: something in it cannot stand in a mail.
            SettingsError: there is no address to write from.
        """
        row, who = self.must(ticket), author.address or WHO
        outgoing, wrong = self._answer(row, text, author, html, cc, attachments, quote)
        addressees, raw = sent_to(outgoing), compose(outgoing)  # it may refuse, and then nothing was written
        columns = {"message_id": outgoing.message_id, "sent_to": json.dumps(addressees)}
        message = self._written(ticket, "reply", writable(text).strip("\n"), author, letter, **columns)
        self._ours.put(outgoing.message_id, message)
        self._lay_out("reply", outgoing, raw, ticket, message["id"], outgoing.sender.address or "")
        if letter is None:
            self._attach(message["id"], mime.read_mail(raw).attachments if attachments else ())
        self.event(ticket, "replied", f"to {', '.join(addressees)}", who=who)
        self._tell_wrong(ticket, wrong)
        if not self.set(ticket, "we replied", who=who, status=status):
            self._touch(ticket)
        return addressees

    def _answer(
        self, row: Row, text: str, author: Address, markup: str | None, cc: Sequence[str], files: Sequence[File], quote: bool
    ) -> tuple[Outgoing, tuple[WrongTemplate, ...]]:
        voice = voice_of(self.settings, row["queue"], author)
        to = self._requester(row)
        ids, parent = self._thread(row["id"])
        below = self._quote(row["id"]) if quote else ""
        values = {**self._variables(row, voice, author), "text": text, "quote": below}
        said = answer_said(self.settings, self._language(row), values, markup)
        outgoing = Outgoing(
            message_id=new_message_id(domain_of(voice)),
            sender=voice.sender,
            recipients=(to,),
            cc=tuple(self._copies(row["id"], to, cc)),
            reply_to=(voice.reply_to,),
            subject=reply_subject(row["subject"], row["ticket_number"]),
            text=said.text,
            html=said.html,
            date=datetime.datetime.fromisoformat(self.now),
            in_reply_to=parent,
            references=tuple(ids),
            attachments=tuple(files),
        )
        return outgoing, said.wrong

    def _tell_wrong(self, ticket: int, wrong: Iterable[WrongTemplate]) -> None:
        for error in wrong:
            what = "HTML" if error.file.endswith(".html") else "text"
            self.event(ticket, f"the built-in {what} went out: {error.file} has an error", f"{error.place}: {error.why}")

    def _requester(self, row: Row) -> Address:
        address = row["reply_to"] or row["requester_address"]
        if not address:
            raise UsageError(
                f"Nobody knows who wrote {row['ticket_number']}, so there is nobody to answer.",
                f"`helpdesk ticket note {row['ticket_number']}` writes something for agents.",
            )
        if is_own(canonical(address), self.settings):
            raise UsageError(f"{row['ticket_number']} was written by the desk itself ({address}), so there is nobody to answer.")
        return Address(plain(row["requester_name"]), address)

    def _copies(self, ticket: int, to: Address, named: Sequence[str]) -> Iterator[Address]:
        """Yield who gets a copy: those whom an agent let speak here, and who is named now; each once."""
        seen = {canonical(to.address or "")}
        approved = [row["address"] for row in self._participants.find(ticket) if row["role"] == "approved"]
        for address in (*approved, *named):
            if is_own(canonical(address), self.settings):
                raise UsageError(f"{address} is the desk's own address, so it cannot get a copy.")
            if canonical(address) not in seen:
                seen.add(canonical(address))
                yield Address("", address)

    def _thread(self, ticket: int) -> tuple[list[str], str | None]:
        """Return the ids of what was said, the one that is answered last, and that one: the customer's newest, else ours."""
        message, mail = tables.Message, tables.Mail
        asked = message.select(message.kind, message.message_id, mail.message_id.alias("theirs")).left_outer_join(mail)
        said = asked.where((message.ticket == ticket) & (message.kind != "note")).order_by(message.id)
        rows = [(row["kind"], row["theirs"] or row["message_id"]) for row in self.store.rows(said)]
        ids = [one for _, one in rows if one]
        parent = next((one for kind, one in reversed(rows) if one and kind == "mail"), ids[-1] if ids else None)
        return [*(one for one in ids if one != parent), *([parent] if parent else [])], parent

    def _quote(self, ticket: int) -> str:
        message = tables.Message
        newest = message.select().where((message.ticket == ticket) & (message.kind == "mail")).order_by(message.id.desc())
        row = self.store.row(newest)
        if row is None:
            return ""
        said = row["text"] if row["reply_text"] is None else row["reply_text"]
        author = Address(row["author_name"], row["author_address"])
        return quoted(said, author, datetime.datetime.fromisoformat(row["date"]))

    def acknowledge(self, ticket: int, letter: Letter) -> str:
        """Write to the requester of a new ticket that it is here; return to whom. Whether it may be is asked before.

        No word of the mail is in it, but for its subject where the sender is known: else a stranger could let us carry
        words to whomever the From names.

        Raises:
            CannotSend: the address is none.
            SettingsError: there is no address to write from.
        """
        row = self.must(ticket)
        address = row["requester_address"]
        voice = voice_of(self.settings, row["queue"])
        subject = letter.mail.subject if letter.verified or self._was_answered(address) else ""
        moment = datetime.datetime.fromisoformat(self.now)
        number, language = (
            row["ticket_number"],
            language_for(self.settings, row["queue"], lambda: language_of(letter.mail.headers)),
        )
        values = words_of_ours(voice, row["queue"], number, subject)
        said = received_said(self.settings, language, values, voice.acknowledgement)
        outgoing = acknowledgement(voice, address, number, subject, said, letter.mail.message_id, moment)
        self._put_out("acknowledgement", outgoing, ticket)
        self._note_acknowledged(canonical(address), letter.mail.subject, ticket)
        self.event(ticket, f"acknowledged to {address}", "a new ticket", mail=self._mail_id(letter))
        self._tell_wrong(ticket, said.wrong)
        return str(address)

    def _was_answered(self, address: str) -> bool:
        """Did an agent ever write to this person? Then the address is known to be theirs, as far as one can know."""
        part, message = tables.Participant, tables.Message
        they = among(part.address, self.addresses_of(canonical(address)))
        theirs = part.select(part.ticket).where(they & (part.role == "requester"))
        replies = message.select(message.id).where(message.ticket.in_(theirs) & (message.kind == "reply"))
        return self.store.row(replies) is not None

    def cancel(self, ticket: int, message: str, who: str) -> None:
        """Keep an answer that still waits from going out.

        Raises:
            NotFound: the ticket has no such message.
            UsageError: it is no answer, or does not wait any more.
        """
        chosen, posted = self._posted_answer(ticket, message)
        if posted["state"] != "waiting":
            raise UsageError(f"Message {chosen['id']} of {self.label(ticket)} does not wait: it is {posted['state']}.")
        self._change(tables.Outbox, posted["id"], state="cancelled", reason=f"{who} cancelled it", next_try=None)
        self.event(ticket, f"message {chosen['id']} will not be sent", "cancelled", who=who)
        self._touch(ticket)

    def resend(self, ticket: int, message: str, who: str) -> list[str]:
        """Send an answer again under another Message-ID, as servers drop what they know; return to whom.

        Raises:
            NotFound: the ticket has no such message.
            UsageError: it is no answer that we sent, or it still waits.
        """
        chosen, posted = self._posted_answer(ticket, message)
        if posted["state"] == "waiting":
            sentence = f"Message {chosen['id']} of {self.label(ticket)} still waits to be sent."
            raise UsageError(sentence, "`helpdesk send` sends it.")
        new = new_message_id(posted["message_id"].rpartition("@")[2])
        raw = renamed(bytes(posted["raw"]), posted["message_id"], new)
        addressees = json.loads(chosen["sent_to"] or posted["recipients"])  # whom it reached leaves `recipients`
        self._lay("resend", new, posted["envelope_from"], addressees, raw, ticket, chosen["id"])
        self.event(ticket, f"message {chosen['id']} is sent again", f"to {', '.join(addressees)}", who=who)
        self._touch(ticket)
        return [str(address) for address in addressees]

    def _posted_answer(self, ticket: int, named: str) -> tuple[Row, Row]:
        """Return an answer on a ticket, and the row of the outbox that carried it last."""
        _, chosen = self._mails_and(ticket, named)
        outbox = tables.Outbox
        posted = self.store.row(outbox.select().where(outbox.message == chosen["id"]).order_by(outbox.id.desc()))
        if posted is None:
            what = "was sent from another mail client" if chosen["kind"] == "reply" else f"is a {chosen['kind']}"
            raise UsageError(f"Message {chosen['id']} of {self.label(ticket)} {what}; only answers from here can be sent.")
        return chosen, posted

    # -- messages ----------------------------------------------------------------------------------------------------

    def message_of(self, letter: Letter) -> int | None:
        """Return the id of the message that a letter became, or None."""
        row = self._messages.last(self._mail_id(letter))
        return int(row["id"]) if row else None

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
        """Make the derived fields of a stored message again from the same bytes; never its ticket, people or status.

        What an agent wrote by mail stays as it was: it has gone out.
        """
        message = self._messages.last(mail_id)
        if message is None or (message["kind"] != "mail" and message["message_id"] != letter.mail.message_id):
            return
        author, original = letter.mail.author or Address(), letter.mail.original
        forwarded = original and original.author and author.address != original.author.address == message["author_address"]
        self._change(tables.Message, message["id"], **_derived(_as_told(letter, original) if original and forwarded else letter))
        self._page.queries.append(delete(tables.Attachment, message=message["id"]))
        self._attach(message["id"], letter.mail.attachments)


@contextmanager
def at_desk(store: Store, settings: Settings, clock: Callable[[], str] = now) -> Iterator[Desk]:
    """Yield a desk for one piece of work of a person: all of it is committed at the end, or nothing."""
    with store.transaction():
        desk = Desk(store, settings, clock)
        desk.begin()
        desk.turn()
        yield desk
        desk.keep()
        desk.flush()


def _as_told(letter: Letter, original: Original) -> Letter:
    """Return a forwarded mail as its author's. The agent is proven; that the customer wrote it is only told."""
    author = original.author or Address()
    told = letter.with_mail(authors=(author,), text=original.text, reply_text=original.text, date=original.date)
    return replace(told, verified=None)


def _derived(letter: Letter) -> Row:
    """Return the columns of a message that follow from the bytes alone."""
    mail = letter.mail
    return {
        "text": mail.text,
        "reply_text": None if mail.reply_text == mail.text else mail.reply_text,
        "has_html": mail.has_html,
        "defects": json.dumps(mail.defects, ensure_ascii=False),
    }
