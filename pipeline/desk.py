"""The desk: the verbs on tickets, as a unit of work inside one transaction. Stages, command line and page use the same.

Nothing is written while stages run. Every effect goes on the letter's own page; the page joins the batch when the
letter ended well, and is dropped when it did not; `flush` writes what was kept. Look-ups ask the pages first, then what
was fetched for the batch, then the store, so that a reply finds the mail that came just before it. A desk over a
read-only store is a dry run: its pages are kept and never flushed. (No savepoints: a full disk inside one rolls back
everything and leaves autocommit behind.)
"""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from . import __version__, tables
from .errors import Retry
from .letter import Address, Attachment, Kind, Letter, Outcome, Place, canonical
from .mime import IDENTITY_VERSION
from .settings import Settings
from .store import Store, among, defaults_of, now

Row = dict[str, Any]

MAX_PARTICIPANTS = 40  # To and Cc of an opening mail beyond these are not taken in (Zammad's bound)
RETRY_SECONDS = (60, 3600)  # the first wait after a Retry, and the longest; it doubles in between
WHO = "letterdesk"  # who does what no person did


class Delivery(NamedTuple):
    """One file of a mail, as it was taken."""

    place: Place  # where it will be filed; fresh for a file from the drop box
    size: int
    packed: bytes | None  # compressed; None: kept in data/mails
    original: str | None = None  # the name it came with into the drop box
    flags: str = ""


class Shelf:
    """One kind of look-up: key -> rows, oldest first."""

    def __init__(self, fetch: Callable[[Sequence[Any]], Iterable[tuple[Any, Row]]]) -> None:
        self._fetch = fetch
        self._stored: dict[Any, list[Row]] = {}
        self._kept: dict[Any, list[Row]] = defaultdict(list)
        self._page: dict[Any, list[Row]] = defaultdict(list)

    def prefetch(self, keys: Iterable[Any]) -> None:
        """Ask the store once for all keys that were not asked for yet."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._stored]
        if missing:
            self._stored.update({key: [] for key in missing})
            for key, row in self._fetch(missing):
                self._stored[key].append(row)

    def find(self, key: Any) -> list[Row]:
        if key not in self._stored:
            self.prefetch([key])
        return [*self._stored[key], *self._kept.get(key, ()), *self._page.get(key, ())]

    def last(self, key: Any) -> Row | None:
        """Return the newest row; a changed row stands after the one it replaces."""
        rows = self.find(key)
        return rows[-1] if rows else None

    def put(self, key: Any, row: Row) -> None:
        self._page[key].append(row)

    def made(self, key: Any) -> None:
        """Note that this key was made just now, so the store need not be asked for it."""
        self._stored.setdefault(key, [])

    def keep(self) -> None:
        for key, rows in self._page.items():
            self._kept[key] += rows
        self._page.clear()

    def drop(self) -> None:
        self._page.clear()

    def forget(self) -> None:
        self._stored.clear()
        self._kept.clear()
        self._page.clear()


@dataclass
class Page:
    """What one letter causes: rows to insert, columns to change, queries to run before both."""

    inserts: list[tuple[type[tables.Table], Row]] = field(default_factory=list)
    changes: list[tuple[type[tables.Table], int, Row]] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)

    def join(self, other: Page) -> None:
        self.inserts += other.inserts
        self.changes += other.changes
        self.queries += other.queries


class Desk:
    """The verbs on tickets. Made for a store; a batch runs `begin`, then per letter `turn` ... `keep` or `drop`, then `flush`."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        self.store = store
        self.settings = settings
        self._clock = clock
        self.now = clock()
        self._as_of: int | None = None
        self._page = Page()
        self._kept = Page()
        self._counters: dict[str, int] = {}
        self._counters_before_turn: dict[str, int] = {}
        self._shelves: list[Shelf] = []
        mail, message = tables.Mail, tables.Message
        mails = mail.select(
            mail.id,
            mail.digest,
            mail.identity,
            mail.message_id,
            mail.sender,
            mail.outcome,
            mail.ticket,
            mail.tries,
            mail.next_try,
        )
        self._by_digest = self._shelf(mails, mail.digest)
        self._by_identity = self._shelf(mails, mail.identity)
        self._by_message_id = self._shelf(mails.order_by(mail.id), mail.message_id)
        ours = message.select(message.id, message.ticket, message.message_id, message.sent_to)
        self._ours = self._shelf(ours.where(message.kind == "reply"), message.message_id)
        self._messages = self._shelf(message.select(message.id, message.ticket, message.mail), message.mail)
        self._namers = self._shelf(
            tables.Reference.select(tables.Reference.message_id, mail.ticket).join(mail).where(mail.ticket.is_null(False)),
            tables.Reference.message_id,
        )
        self._tickets = self._shelf(tables.Ticket.select(), tables.Ticket.id)
        self._participants = self._shelf(tables.Participant.select(), tables.Participant.ticket)
        self._tags = self._shelf(tables.Tag.select(), tables.Tag.ticket)
        self._links = self._shelf(tables.Link.select(), tables.Link.ticket)
        self._people = self._shelf(tables.PersonAddress.select(), tables.PersonAddress.address)
        self._addresses = self._shelf(tables.PersonAddress.select(), tables.PersonAddress.person)
        self._places = Shelf(self._fetch_places)
        self._shelves.append(self._places)

    def _shelf(self, query: Any, key: Any) -> Shelf:
        def fetch(keys: Sequence[Any]) -> Iterable[tuple[Any, Row]]:
            for row in self.store.rows(query.where(among(key, keys))):
                yield row[key.name], row

        shelf = Shelf(fetch)
        self._shelves.append(shelf)
        return shelf

    def _fetch_places(self, places: Sequence[Place]) -> Iterable[tuple[Place, Row]]:
        by_box: dict[str, list[str]] = defaultdict(list)
        for place in places:
            by_box[place.box].append(place.key)
        for box, keys in by_box.items():
            where = (tables.Place.box == box) & among(tables.Place.key, keys)
            for row in self.store.rows(tables.Place.select().where(where)):
                yield Place(row["box"], row["key"]), row

    # -- the life of a batch -----------------------------------------------------------------------------------------

    def look_back(self, mail: Row | None) -> None:
        """Answer as if this mail of the ledger and later ones had not come (None: as it is now); for dry runs."""
        self._as_of = mail["id"] if mail else None
        if mail and mail["outcome"] == Outcome.OPENED:  # so that it opens the same ticket
            self._counters["ticket"] = mail["ticket"] - 1

    def begin(self, letters: Sequence[Letter] = (), places: Iterable[Place] = ()) -> None:
        """Start a batch inside a transaction: what was fetched before may be stale, what comes is fetched at once."""
        if not self.store.readonly:
            self._kept = Page()
            for shelf in self._shelves:
                shelf.forget()
        self.now = self._clock()
        if not self._counters or not self.store.readonly:
            rows = self.store.rows(tables.Counter.select())
            self._counters = {row["name"]: row["value"] for row in rows}
        self._prefetch(letters)
        self._places.prefetch([*places, *(letter.place for letter in letters)])

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        ids = [i for letter in letters for i in (letter.mail.message_id, *letter.named_ids) if i]
        self._by_digest.prefetch(letter.digest for letter in letters)
        self._by_identity.prefetch(letter.mail.identity for letter in letters if letter.mail.identity)
        self._by_message_id.prefetch(ids)
        self._ours.prefetch(ids)
        self._namers.prefetch(letter.mail.message_id for letter in letters if letter.mail.message_id)
        self._people.prefetch(sender for letter in letters if (sender := sender_of(letter)))
        self._addresses.prefetch(
            row["person"] for letter in letters if (sender := sender_of(letter)) for row in self._people.find(sender)
        )
        named = [row["ticket"] for i in ids for row in (*self._by_message_id.find(i), *self._ours.find(i)) if row["ticket"]]
        named += [number for letter in letters for number in letter.mail.ticket_numbers]
        self._tickets.prefetch(named)
        self._participants.prefetch(named)

    def turn(self) -> None:
        """Open a page for the next letter."""
        self._page = Page()
        self._counters_before_turn = dict(self._counters)

    def keep(self) -> None:
        """The letter ended well: its page joins the batch."""
        self._kept.join(self._page)
        for shelf in self._shelves:
            shelf.keep()
        self._page = Page()

    def drop(self) -> None:
        """The letter did not end well: forget what it caused, and give its numbers back."""
        for shelf in self._shelves:
            shelf.drop()
        self._counters = dict(self._counters_before_turn)
        self._page = Page()

    def flush(self) -> None:
        """Write what was kept; the caller commits. Does nothing on a dry run."""
        if self.store.readonly:
            return
        kept, self._kept = self._kept, Page()
        for query in kept.queries:
            self.store.run(query)
        by_model: dict[type[tables.Table], list[Row]] = defaultdict(list)
        for model, row in kept.inserts:
            by_model[model].append(row)
        for model in tables.ALL:
            if model in by_model:
                self.store.insert(model, by_model[model])
        self._flush_changes(kept)
        counters = [{"name": name, "value": value} for name, value in self._counters.items()]
        if by_model:
            self.store.run(_upsert(tables.Counter, counters))

    def _flush_changes(self, kept: Page) -> None:
        merged: dict[tuple[type[tables.Table], int], Row] = defaultdict(dict)
        for model, key, columns in kept.changes:
            merged[model, key].update(columns)
        alike: dict[tuple[type[tables.Table], frozenset[str]], list[tuple[int, Row]]] = defaultdict(list)
        for (model, key), columns in merged.items():
            alike[model, frozenset(columns)].append((key, columns))
        for (model, _), rows in alike.items():
            self.store.update(model, rows)

    def _insert(self, model: type[tables.Table], **values: Any) -> Row:
        name = model._meta.table_name
        self._counters[name] = self._counters.get(name, 0) + 1
        row = {**defaults_of(model), "id": self._counters[name], **values}
        self._page.inserts.append((model, row))
        return row

    def _change(self, model: type[tables.Table], key: int, **columns: Any) -> None:
        self._page.changes.append((model, key, columns))

    # -- asking ------------------------------------------------------------------------------------------------------

    def place(self, place: Place) -> Row | None:
        """Return what the ledger knows of a file, or None."""
        return self._places.last(place)

    def known(self, letter: Letter) -> Row | None:
        """Return the ledger's row of the same mail (same bytes, or same identity), or None."""
        identity = letter.mail.identity
        rows = self._by_digest.find(letter.digest) or (self._by_identity.find(identity) if identity else [])
        rows = self._before(rows)
        return rows[-1] if rows else None

    def _before(self, rows: list[Row]) -> list[Row]:
        return rows if self._as_of is None else [row for row in rows if row["id"] < self._as_of]

    def ours(self, message_id: str) -> Row | None:
        """Return the message of this id that we sent, or None."""
        return self._ours.last(message_id)

    def received(self, message_id: str) -> list[Row]:
        """Return the mails of this id that we received, oldest first."""
        return self._before(self._by_message_id.find(message_id))

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

    def named_before(self, message_id: str) -> list[int]:
        """Return the tickets of mails that named this id before it came."""
        return list(dict.fromkeys(row["ticket"] for row in self._namers.find(message_id)))

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
        self._page.queries.append(_delete(tables.Attachment, message=message["id"]))
        self._attach(message["id"], letter.mail.attachments)

    # -- the ledger --------------------------------------------------------------------------------------------------

    def _mail_id(self, letter: Letter) -> int:
        """Return the id that this letter's row in the ledger has or will have."""
        known = self.known(letter)
        return int(known["id"]) if known else self._counters.get("mail", 0) + 1

    def settle(self, letter: Letter, delivery: Delivery | None) -> None:
        """Write what became of a letter: its row, and the place of its file (none for a mail taken from the store)."""
        assert letter.outcome is not None
        known = self.known(letter)
        if letter.outcome is Outcome.DUPLICATE:
            if known is None:
                raise ValueError("a stage called the mail a duplicate of none")
            mail_id = known["id"]
        else:
            failure = letter.trail[-1] if letter.outcome is Outcome.FAILED and letter.trail else None
            mail_id = self._record(
                letter,
                delivery,
                known,
                outcome=letter.outcome.value,
                ticket=letter.ticket,
                stage=failure.stage if failure else None,
                reason=failure.why if failure else None,
                tries=(known["tries"] if known else 0) + 1,
                next_try=None,
            )
        if known and known["outcome"] == Outcome.FAILED:  # a copy, or a retry: what failed before is what this one is now
            self._page.queries.append(_renew_places(mail_id, str(letter.outcome)))
        self._settle_place(letter, delivery, mail_id)

    def postpone(self, letter: Letter, delivery: Delivery, retry: Retry) -> None:
        """Note that a stage asked for later; the mail has no outcome yet, and rests."""
        known = self.known(letter)
        tries = (known["tries"] if known else 0) + 1
        wait = retry.after if retry.after is not None else min(RETRY_SECONDS[0] * 2 ** (tries - 1), RETRY_SECONDS[1])
        at = datetime.datetime.fromisoformat(self.now) + datetime.timedelta(seconds=wait)
        self._record(
            letter, delivery, known, outcome=None, tries=tries, reason=retry.why, next_try=at.isoformat(timespec="seconds")
        )

    def note_baseline(self, box: str, keys: Iterable[str]) -> None:
        """Write down, once for ever, which read mail lay in a box before us; it is read later and causes nothing."""
        for key in keys:
            self._insert(tables.Place, box=box, key=key, state="waiting", seen=self.now)
        self._page.queries.append(_upsert(tables.Box, [{"name": box, "baseline": self.now}]))

    def rests(self, letter: Letter) -> bool:
        """Is the mail undecided, and its time not come yet?"""
        known = self.known(letter)
        return bool(known and known["outcome"] is None and known["next_try"] and known["next_try"] > self.now)

    def _record(self, letter: Letter, delivery: Delivery | None, known: Row | None, **decided: Any) -> int:
        columns = {
            "trail": json.dumps([str(step) for step in letter.trail], ensure_ascii=False),
            "version": __version__,
            **self._read_columns(letter),
            **decided,
        }
        if delivery is not None:
            columns |= {"digest": letter.digest, "size": delivery.size, "packed": delivery.packed}
        if known:
            self._change(tables.Mail, known["id"], **columns)
            self._page.queries.append(_delete(tables.Reference, mail=known["id"]))
            row = {**known, **columns}
        else:
            row = self._insert(tables.Mail, received=self.now, **columns)
        for message_id in letter.named_ids:
            self._insert(tables.Reference, mail=row["id"], message_id=message_id)
        self._remember(row, letter)
        return int(row["id"])

    def _read_columns(self, letter: Letter) -> Row:
        mail = letter.mail
        return {
            "identity": mail.identity,
            "identity_version": IDENTITY_VERSION if mail.identity else 0,
            "message_id": mail.message_id,
            "sender": sender_of(letter),
            "date": mail.date,
        }

    def _remember(self, row: Row, letter: Letter) -> None:
        self._by_digest.put(row["digest"], row)
        if row["identity"]:
            self._by_identity.put(row["identity"], row)
        if row["message_id"]:
            self._by_message_id.put(row["message_id"], row)
        for named in letter.named_ids if row["ticket"] else ():
            self._namers.put(named, row)

    def _settle_place(self, letter: Letter, delivery: Delivery | None, mail_id: int) -> None:
        failed, duplicate = letter.outcome is Outcome.FAILED, letter.outcome is Outcome.DUPLICATE
        columns: Row = {"mail": mail_id, "digest": letter.digest, "outcome": str(letter.outcome), "state": "noted"}
        if duplicate:
            columns["trail"] = json.dumps([str(step) for step in letter.trail], ensure_ascii=False)
        if delivery is None:
            return
        columns["starred"] = failed and "F" not in delivery.flags
        known = self._places.last(delivery.place)
        if known:
            self._change(tables.Place, known["id"], **columns)
            row = {**known, **columns}
        else:
            place = delivery.place
            row = self._insert(tables.Place, box=place.box, key=place.key, original=delivery.original, seen=self.now, **columns)
        self._places.put(delivery.place, row)


def _renew_places(mail_id: int, outcome: str) -> Any:
    place = tables.Place
    return place.update(outcome=outcome).where((place.mail == mail_id) & (place.outcome == Outcome.FAILED.value))


def _delete(model: type[tables.Table], **where: int) -> Any:
    """Build a delete of the rows that point to another."""
    [(name, key)] = where.items()
    return model.delete().where(model._meta.fields[name] == key)


def _upsert(model: type[tables.Table], rows: list[Row]) -> Any:
    """Build an insert that replaces rows of the same primary key."""
    rest = [f for f in model._meta.sorted_fields if not f.primary_key]
    return model.insert_many(rows).on_conflict(conflict_target=[model._meta.primary_key], preserve=rest)


@cache
def own_addresses(settings: Settings) -> frozenset[str]:
    """Return the addresses that are ours, as addresses compare."""
    return frozenset(canonical(address) for address in settings.own_addresses)


def sender_of(letter: Letter) -> str | None:
    """Return the one From address of a mail as addresses compare; None where there is none."""
    author = letter.mail.author
    return canonical(author.address) if author and author.address else None


def _derived(letter: Letter) -> Row:
    """Return the columns of a message that follow from the bytes alone."""
    mail = letter.mail
    return {
        "text": mail.text,
        "reply_text": None if mail.reply_text == mail.text else mail.reply_text,
        "has_html": mail.has_html,
        "defects": json.dumps(mail.defects, ensure_ascii=False),
    }
