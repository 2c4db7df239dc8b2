"""Notices: what agents are to be told, written with what causes it. `send` makes mails of them later (digest.py).

A notice is a row and nothing more, so that it costs the line little; with its token an agent proves who answers the mail.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from . import rules, tables
from .compose import Outgoing
from .letter import Address, Letter, canonical
from .people import is_own
from .post import Post, Voice, plain
from .settings import Settings
from .store import Store, among, now
from .unit import Row, Shelf

NEW, REPLIED, ASSIGNED, FAILED = KINDS = ("new", "replied", "assigned", "failed")  # each agent says which of these are wanted
RULE, ANSWER, OLD = "rule", "answer", "old"
LONGEST_LINE = 1_000  # characters of what is kept to say why
LONGEST_LOCAL = 64  # before an @ (RFC 5321, 4.5.3.1.1)

TOKEN_BYTES = 16
_TOKEN = re.compile(r"[a-z2-7]{26}")  # 128 bits in base32 (RFC 4648, 6)
ADDRESSES = 100  # of To, of Cc and of a header, that may bear a token
HEADER = 2_000  # characters of a header
DELIVERED = ("delivered-to", "x-original-to")  # where servers say for whom a mail was
_BETWEEN = re.compile(r"[\s<>,;:\"()]+")
_EVERYBODY = ""  # the one key of the shelf of agents


class Reader(NamedTuple):
    """Who is told: an agent, or an address that is no agent's."""

    address: str
    agent: Row | None = None

    @property
    def may_be_told(self) -> bool:
        return self.agent is None or not (self.agent["disabled"] or self.agent["is_own"])

    def wants(self, kind: str) -> bool:
        return self.agent is None or kind in self.agent["notify"].split()


Concerned = tuple[str, list[Reader]]  # why they are told, and who they are


class Notices(Post):
    """A desk's post, with what its agents are to be told."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        notice, agent = tables.Notice, tables.Agent
        self._tickets = self._shelf(tables.Ticket.select(), tables.Ticket.id)
        theirs = [agent._meta.fields[name].alias(f"agent_{name}") for name in ("address", "name", "disabled")]
        columns = (notice.id, notice.token, notice.ticket, notice.agent, notice.created)
        self._notices = self._shelf(notice.select(*columns, *theirs).join(agent), notice.token)
        untold = notice.select(notice.id, notice.ticket).where((notice.kind == OLD) & notice.told.is_null())
        self._old = self._shelf(untold, notice.ticket)
        self._everybody_here = Shelf(self._fetch_agents)
        self._shelves.append(self._everybody_here)

    def _fetch_agents(self, keys: Sequence[str]) -> Iterable[tuple[str, Row]]:
        for row in self.store.rows(tables.Agent.select().order_by(tables.Agent.id)):
            yield _EVERYBODY, {**row, "is_own": is_own(row["address"], self.settings)}

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        super()._prefetch(letters)
        self._notices.prefetch(token for letter in letters for token in tokens_in(letter, self.settings))

    # -- asking ------------------------------------------------------------------------------------------------------

    def notice(self, token: str) -> Row | None:
        """Return the notice of a token: id, ticket, agent, created, and the agent's agent_address, agent_name, agent_disabled."""
        return self._notices.last(token)

    def agents(self) -> list[Row]:
        """Return every agent who may answer."""
        return [row for row in self._everybody_here.find(_EVERYBODY) if not row["disabled"]]

    def readers(self) -> list[Reader]:
        """Return every agent who may answer, as whom a mail is written to."""
        return [one._replace(address=one.agent["written"]) for one in self._everybody_there() if one.agent]

    def can_tell(self) -> bool:
        """Can a mail go out at all? What is written up for weeks would be worse than nothing."""
        return self.settings.smtp_configured and self.settings.send_enabled

    def told(self, ticket: int) -> list[str]:
        """Return who is told something of a ticket by what is on the page now."""
        addresses = {row["id"]: row["address"] for row in self._everybody_here.find(_EVERYBODY)}
        return [row["address"] or addresses[row["agent"]] for row in self._on_page(ticket)]

    def _on_page(self, ticket: int) -> Iterator[Row]:
        for model, row in self._page.inserts:
            if model is tables.Notice and row["ticket"] == ticket and row["kind"] not in (OLD, ANSWER):
                yield row

    # -- telling -----------------------------------------------------------------------------------------------------

    def tell(self, kind: str, ticket: int, what: str, who: str, message: int | None = None) -> None:
        """Tell those whom it concerns and who want to know: of each piece of work once, and never of their own.

        `kind` is one of KINDS; `who` did it; `message` is the message that came, or the answer that failed.
        """
        row = self._tickets.last(ticket)
        if row is None or not self.can_tell():
            return
        found = (concerned(self, row, message) for concerned in CONCERNED[kind])
        why, readers = next((one for one in found if one[1]), ("", []))
        self._note(kind, ticket, f"{what}; {why}", who, message, [one for one in readers if one.wants(kind)])

    def tell_named(self, addresses: Sequence[str], ticket: int, what: str, who: str, message: int | None = None) -> None:
        """Tell whom a rule names, wanted or not; who is no agent gets no token."""
        if addresses and self.can_tell():
            self._note(RULE, ticket, what, who, message, self._readers(addresses))

    def tell_back(self, agent: Row, ticket: int, what: str) -> None:
        """Tell an agent what became of a mail of theirs."""
        if self.can_tell():
            self._write(ANSWER, ticket, None, Reader(agent["address"], agent), **_lines(what, agent["address"]))

    def note_old(self, ticket: int, message: int | None, is_new: bool) -> bool:
        """Note a ticket for the summary of old mail; return whether there is anybody to read it."""
        if is_new:
            self._old.made(ticket)
        if self.agents() and not self._old.find(ticket):
            row = self._insert(tables.Notice, kind=OLD, ticket=ticket, message=message, who="", what="", created=self.now)
            self._old.put(ticket, row)
        return bool(self.agents())

    def _note(self, kind: str, ticket: int, what: str, who: str, message: int | None, readers: list[Reader]) -> None:
        if not readers:
            return
        spared, lines = {*self.told(ticket), *(self.addresses_of(canonical(who)) if who else ())}, _lines(what, who)
        to_tell = {one.address: one for one in readers if one.address not in spared}
        for reader, token in zip(to_tell.values(), new_tokens(len(to_tell)), strict=True):
            self._write(kind, ticket, message, reader, token if reader.agent else None, **lines)

    def _write(
        self, kind: str, ticket: int, message: int | None, reader: Reader, token: str | None = None, *, what: str, who: str
    ) -> None:
        agent = reader.agent
        self._insert(
            tables.Notice,
            kind=kind,
            ticket=ticket,
            message=message,
            agent=agent["id"] if agent else None,
            address=None if agent else reader.address,
            token=token,
            who=who,
            what=what,
            created=self.now,
        )

    # -- whom it concerns --------------------------------------------------------------------------------------------

    def _readers(self, addresses: Iterable[str]) -> list[Reader]:
        """Return who is told at these addresses: no agent who is disabled, and never the desk itself."""
        known = {row["address"]: Reader(row["address"], row) for row in self._everybody_here.find(_EVERYBODY)}
        found = [known.get(one) or Reader(one) for one in map(canonical, addresses)]
        return [one for one in found if (one.may_be_told if one.agent else not is_own(one.address, self.settings))]

    def _assignee(self, ticket: Row, message: int | None) -> Concerned:
        agents = self._readers([ticket["assignee"]] if ticket["assignee"] else [])
        return "the ticket is yours", [one for one in agents if one.agent]

    def _members(self, ticket: Row, message: int | None) -> Concerned:
        queue = rules.current(self.settings.rules_file).queue(ticket["queue"])
        return f"you work on the queue {ticket['queue']}", self._readers(queue.members) if queue else []

    def _everybody(self, ticket: Row, message: int | None) -> Concerned:
        return "every agent is told", self._everybody_there()

    def _everybody_there(self) -> list[Reader]:
        found = (Reader(row["address"], row) for row in self._everybody_here.find(_EVERYBODY))
        return [one for one in found if one.may_be_told]

    def _author(self, ticket: Row, message: int | None) -> Concerned:
        table = tables.Message
        wrote = self.store.values(table.select(table.author_address).where(table.id == message)) if message else []
        agents = self._readers(address for address in wrote if address)
        return "you wrote it", [one for one in agents if one.agent]

    # -- the mail ----------------------------------------------------------------------------------------------------

    def lay_notification(self, outgoing: Outgoing, ticket: int | None = None) -> int:
        """Lay a mail into the outbox that tells notices; return its id there.

        Raises:
            CannotSend
        """
        self._put_out("notification", outgoing, ticket, envelope_from=outgoing.sender.address or "")
        return self._counters["outbox"]

    def mark_told(self, notices: Sequence[int], outbox: int | None = None) -> None:
        """Mark notices as told, by a mail of the outbox or by none."""
        table = tables.Notice
        self._page.later.append(table.update(told=self.now, outbox=outbox).where(among(table.id, notices)))

    def mark_digested(self, agent: Row) -> None:
        """Note when an agent got a digest."""
        self._change(tables.Agent, agent["id"], digested=self.now)


# Whom it concerns, by kind: the first of these who are there.
CONCERNED: dict[str, tuple[Callable[[Notices, Row, int | None], Concerned], ...]] = {
    NEW: (Notices._members, Notices._everybody),
    REPLIED: (Notices._assignee, Notices._members, Notices._everybody),
    ASSIGNED: (Notices._assignee,),
    FAILED: (Notices._author, Notices._assignee, Notices._members, Notices._everybody),
}


def _lines(what: str, who: str) -> dict[str, str]:
    return {"what": plain(what)[:LONGEST_LINE], "who": plain(who)[:LONGEST_LINE]}


# -- tokens ----------------------------------------------------------------------------------------------------------


def new_tokens(count: int) -> list[str]:
    """Make tokens: 128 random bits each, as 26 letters and digits that stand in every address."""
    drawn = secrets.token_bytes(TOKEN_BYTES * count)  # at once: on some systems each question costs a millisecond
    bits = (drawn[start : start + TOKEN_BYTES] for start in range(0, len(drawn), TOKEN_BYTES))
    return [base64.b32encode(one).decode().rstrip("=").lower() for one in bits]


def token_of(address: str, settings: Settings) -> str | None:
    """Return what stands behind the last `+` of an address of ours, if it has the form of a token."""
    local, _, domain = canonical(address).rpartition("@")
    ours, plus, token = local.rpartition("+")
    return token if plus and _TOKEN.fullmatch(token) and is_own(f"{ours}@{domain}", settings) else None


def tokens_in(letter: Letter, settings: Settings) -> list[str]:
    """Return the tokens in the addresses that a mail went to, each once: To, Cc, and where servers say for whom it was."""
    mail = letter.mail
    found = [one.address for people in (mail.to, mail.cc) for one in people[:ADDRESSES] if one.address]
    for name, value in mail.headers:
        if name in DELIVERED and "+" in value:
            found += _BETWEEN.split(value[:HEADER])[:ADDRESSES]
    tokens = (token_of(address, settings) for address in found if "+" in address)
    return list(dict.fromkeys(token for token in tokens if token))


def answer_address(voice: Voice, token: str) -> Address | None:
    """Return the address to which an agent answers, or None where the desk's own is too long to bear a token."""
    local, _, domain = (voice.reply_to.address or "").rpartition("@")
    tokened = f"{local}+{token}"
    return Address(voice.reply_to.name, f"{tokened}@{domain}") if len(tokened) <= LONGEST_LOCAL else None
