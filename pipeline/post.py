"""The post: what goes out for a ticket. Every mail of ours is a row of the outbox, written with what causes it."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from . import rules, tables
from .compose import LONGEST_NAME, Outgoing, compose, new_message_id, reply_subject, strict_address, writable
from .errors import HelpdeskError, SettingsError
from .letter import REPLY_ABOVE, Address, Letter, canonical
from .people import People
from .settings import ADDRESS, Settings
from .store import Store, now
from .templates import language_of, languages
from .unit import Row, Shelf
from .wording import Said, language_for, templates_of

DAY, HOUR = datetime.timedelta(days=1), datetime.timedelta(hours=1)
KEPT = 2 * DAY  # for which it is kept whom an acknowledgement was written to

# Nobody reads what is sent there: noreply and its sisters, lists' machinery, servers' own voices (RFC 3834, 2).
UNREAD = re.compile(
    r"(?:.*[-_.+])?(?:no|not|do[-_.]?not|dont|never|nicht|keine|ne[-_.]pas|nao)[-_.]?(?:reply|answer|respond|repondre|responder?"
    r"|antwort(?:en)?|rispondere|replies)\d{0,3}(?:[-_.+].*)?"
    r"|owner-.*|.+-(?:owner|request|bounces?)|bounces?(?:[-+=.].*)?|mailer-?daemon|postmaster|daemon|nobody|msprvs\d.*|prvs=.*",
    re.IGNORECASE,
)

# What tells other programs that no person wrote this (RFC 3834, 3.1.7; MS-OXCMAIL for Exchange; the rest for old ones).
AUTOMATIC = (("Auto-Submitted", "auto-replied"), ("Precedence", "auto_reply"), ("X-Auto-Response-Suppress", "All"))

HEAD = 64 << 10  # bytes of a stored mail in which its language is looked for
_SAYS_LANGUAGE = re.compile(rb"^((?:Content|Accept)-Language):[ \t]*(?:\r?\n[ \t]+)?([A-Za-z]{2,3}(?![A-Za-z]))", re.M | re.I)


class Voice(NamedTuple):
    """As whom the desk writes: From, where answers are read, and the words of the queue."""

    sender: Address
    reply_to: Address
    signature: str = ""
    acknowledgement: str = ""  # as the rules file has it


class Post(People):
    """A desk's people, and the mail that goes out to them."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        message, outbox = tables.Message, tables.Outbox
        ours = message.select(message.id, message.ticket, message.message_id, message.sent_to, message.kind)
        self._ours = self._shelf(ours.where(message.kind == "reply"), message.message_id)
        posted = outbox.select(outbox.id, outbox.ticket, outbox.message_id, outbox.recipients, outbox.kind, outbox.message)
        self._posted = self._shelf(posted, outbox.message_id)
        self._acknowledged = Shelf(self._fetch_acknowledged)
        self._shelves.append(self._acknowledged)

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        ids = list(dict.fromkeys(i for letter in letters for i in (letter.mail.message_id, *letter.named_ids) if i))
        self._ours.prefetch(ids)
        self._posted.prefetch(ids)

    def ours(self, message_id: str) -> Row | None:
        """Return what we sent under this id: kind, ticket (None: of several), to whom (`sent_to`, JSON); None: no id of ours."""
        sent = self._ours.last(message_id)
        if sent:
            return sent
        posted = self._posted.last(message_id)
        if posted is None:
            return None
        addresses = [canonical(address) for address in json.loads(posted["recipients"])]
        return {**posted, "sent_to": json.dumps(addresses)}

    def _put_out(
        self, kind: str, outgoing: Outgoing, ticket: int | None, message: int | None = None, envelope_from: str = ""
    ) -> bytes:
        """Build a mail and lay it into the outbox; return its bytes.

        Raises:
            CannotSend
        """
        raw = compose(outgoing)
        self._lay_out(kind, outgoing, raw, ticket, message, envelope_from)
        return raw

    def _lay_out(
        self, kind: str, outgoing: Outgoing, raw: bytes, ticket: int | None, message: int | None = None, envelope_from: str = ""
    ) -> None:
        """Lay a mail that was built into the outbox."""
        addressees = [strict_address("To", one.address) for one in (*outgoing.recipients, *outgoing.cc)]
        self._lay(kind, outgoing.message_id, envelope_from, addressees, raw, ticket, message)

    def _lay(
        self,
        kind: str,
        message_id: str,
        envelope_from: str,
        addressees: list[str],
        raw: bytes,
        ticket: int | None,
        message: int | None,
    ) -> None:
        row = self._insert(
            tables.Outbox,
            ticket=ticket,
            message=message,
            kind=kind,
            message_id=message_id,
            envelope_from=envelope_from,
            recipients=json.dumps(addressees),
            created=self.now,
            raw=raw,
        )
        self._posted.put(message_id, {name: value for name, value in row.items() if name != "raw"})

    # -- what it says --------------------------------------------------------------------------------------------------------

    def saved_reply(self, row: Row, name: str, author: Address) -> str:
        """Return a saved reply, rendered for a ticket and an agent.

        Raises:
            NotFound: there is none of this name.
            WrongTemplate
        """
        templates, voice = templates_of(self.settings), voice_of(self.settings, row["queue"], author)
        path = templates.find_saved(name, row["queue"], languages(self._language(row)))
        return writable(templates.render(path, self._variables(row, voice, author)))

    def _variables(self, row: Row, voice: Voice, author: Address) -> dict[str, str]:
        return {
            "ticket.subject": "",
            **words_of_ours(voice, row["queue"], row["ticket_number"], row["subject"]),
            "agent.name": plain(author.name),
            "customer.name": plain(row["requester_name"])[:LONGEST_NAME],
        }

    def _language(self, row: Row) -> str:
        return language_for(self.settings, row["queue"], lambda: self._language_of_opening(row["id"]))

    def _language_of_opening(self, ticket: int) -> str:
        """Return the language that a ticket's first mail names; it is read only where there is a template to choose."""
        message = tables.Message
        first = message.select(message.mail).where((message.ticket == ticket) & message.mail.is_null(False)).order_by(message.id)
        row = self.store.row(first) if self.settings.templates_dir.is_dir() else None
        try:
            raw = self.store.raw(row["mail"])[:HEAD] if row else b""
        except HelpdeskError:  # its bytes are lost: `audit` says so
            return ""
        head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
        return language_of((name.decode(), value.decode()) for name, value in _SAYS_LANGUAGE.findall(head))

    def unreached(self, addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield those of the addresses that mail did not reach before, each with why."""
        for address in addresses:
            why = next((row["bounced"] for row in self._people.find(canonical(address)) if row["bounced"]), "")
            if why:
                yield address, why

    def _moment(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.now)

    # -- whom an acknowledgement was written to --------------------------------------------------------------------------

    def _fetch_acknowledged(self, keys: Sequence[tuple[str, str]]) -> Iterable[tuple[tuple[str, str], Row]]:
        book = tables.Acknowledged
        columns = {"address": book.address, "domain": book.domain}
        for key in keys:
            name, value = key
            period = (columns[name] == value) & (book.at > self._ago(DAY)) if name in columns else book.at > self._ago(HOUR)
            for row in self.store.rows(book.select().where(period).order_by(book.id)):
                yield key, row

    def _ago(self, period: datetime.timedelta) -> str:
        return (self._moment() - period).isoformat(timespec="seconds")

    def too_many(self, address: str, subject: str) -> str:
        """Say which bound on acknowledgements is reached for this sender and subject; "" for none.

        They keep two programs that answer each other, and a robot with ever new addresses, from writing for ever.
        """
        limits, domain = self.settings, address.rpartition("@")[2]
        to_them = self._acknowledged.find(("address", address))
        if any(row["subject"] == subject_digest(subject) for row in to_them):
            return f"{address} had one on this subject within 24 hours"
        to_theirs, to_all = self._acknowledged.find(("domain", domain)), self._acknowledged.find(("all", ""))
        counts = (
            (to_them, limits.acknowledge_per_sender, f"to {address} within 24 hours"),
            (to_theirs, limits.acknowledge_per_domain, f"to {domain} within 24 hours"),
            (to_all, limits.acknowledge_per_hour, "within an hour"),
        )
        return next((f"{len(rows)} were written {where}" for rows, most, where in counts if len(rows) >= most), "")

    def _note_acknowledged(self, address: str, subject: str, ticket: int) -> None:
        domain = address.rpartition("@")[2]
        book = tables.Acknowledged
        self._page.queries.append(book.delete().where(book.at < self._ago(KEPT)))
        digest = subject_digest(subject)
        row = self._insert(book, address=address, domain=domain, subject=digest, ticket=ticket, at=self.now)
        for key in (("address", address), ("domain", domain), ("all", "")):
            self._acknowledged.put(key, row)


# -- how we write ----------------------------------------------------------------------------------------------------


def voice_of(settings: Settings, queue: str, agent: Address | None = None) -> Voice:
    """Return as whom we write for a queue: an agent by name, always from an address of the desk.

    Raises:
        SettingsError: there is no address to write from.
    """
    found = rules.current(settings.rules_file).queue(queue)
    desk = _mailbox((found and found.sender) or settings.default_from_email or settings.email_host_user)
    names = [name for name in dict.fromkeys((agent.name if agent else "", desk.name)) if name]
    answers = found.addresses[0] if found and found.addresses else desk.address
    if is_unread(answers or "") and settings.email_host_user and ADDRESS.fullmatch(settings.email_host_user):
        answers = _mailbox(settings.email_host_user).address  # DEFAULT_FROM_EMAIL is often noreply@, from another program
    voice = Voice(Address(" via ".join(names), desk.address), Address(desk.name, answers))
    if found and found.signature:
        voice = voice._replace(signature=writable(found.signature).strip("\n"))
    return voice._replace(acknowledgement=found.acknowledgement) if found and found.acknowledgement else voice


def _mailbox(written: str | None) -> Address:
    found = ADDRESS.fullmatch((written or "").strip())
    if not found:
        raise SettingsError(["DEFAULT_FROM_EMAIL: an address is expected, from which answers are sent"])
    return Address((found[1] or "").rstrip("<").strip().strip('"'), found[2])


def is_unread(address: str) -> bool:
    """Does the address say that nobody reads what is sent to it?"""
    return bool(UNREAD.fullmatch(address.rpartition("@")[0][:200]))


def subject_digest(subject: str) -> str:
    """Digest a subject as it is for people: without marks of answers, letter case and spacing."""
    bare = reply_subject(subject, "TICKET-0").partition("]")[2]
    return hashlib.sha256(" ".join(bare.casefold().split()).encode()).hexdigest()


def acknowledgement(
    voice: Voice, to: str, number: str, subject: str, said: Said, parent: str | None, date: datetime.datetime
) -> Outgoing:
    """Return the mail that says that another has arrived; of that one it holds its id, and `subject` where that is not empty."""
    return Outgoing(
        message_id=new_message_id(domain_of(voice)),
        sender=voice.sender,
        recipients=(Address("", to),),
        reply_to=(voice.reply_to,),
        subject=reply_subject(subject, number) if subject else f"[{number}] {said.subject}",
        text=f"{REPLY_ABOVE}\n\n{writable(said.text).strip()}\n\n[{number}]\n",
        date=date,
        in_reply_to=parent,
        references=(parent,) if parent else (),
        headers=AUTOMATIC,
    )


def words_of_ours(voice: Voice, queue: str, number: str, subject: str) -> dict[str, str]:
    """Return what any text may name: words of ours, and the subject where it is not empty."""
    subject = plain(reply_subject(subject, number).partition("]")[2]) if subject else ""
    return {
        "signature": voice.signature,
        "ticket.number": number,
        **({"ticket.subject": subject} if subject else {}),
        "queue": queue,
        "desk.name": voice.reply_to.name,
        "desk.address": voice.reply_to.address or "",
    }


def domain_of(voice: Voice) -> str:
    """Return the domain in which our Message-IDs are made."""
    return (voice.sender.address or "").rpartition("@")[2]


def renamed(raw: bytes, old: str, new: str) -> bytes:
    """Give a mail another Message-ID; ours have 128 random bits, so the old one stands nowhere else by chance."""
    return raw.replace(f"Message-ID: <{old}>".encode(), f"Message-ID: <{new}>".encode(), 1)


def sent_to(outgoing: Outgoing) -> list[str]:
    """Return to whom a mail goes, as addresses compare."""
    return [canonical(one.address) for one in (*outgoing.recipients, *outgoing.cc) if one.address]


def plain(text: str | None) -> str:
    """Return text that may stand in a header: in one line, without controls."""
    return " ".join(writable(text or "").split())
