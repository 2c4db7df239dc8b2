"""What dialogues are made of: a desk to write to, who writes, and what is expected."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.desk import at_desk
from pipeline.readers import Pool
from pipeline.runner import Runner, Settled
from pipeline.settings import load
from pipeline.store import Store

ANN, BOB, EVE = "Ann <ann@example.com>", "bob@example.com", "Eve <eve@stranger.example>"
DESK, AGENT = "support@desk.example", "Gus <gus@desk.example>"
TRUSTED = "mx.desk.example"  # where it is set, a mail without its header is nobody's


class Talk:
    """A desk to write to. `says` delivers one mail, works it and returns what became of it."""

    def __init__(self, home: Path, readers: Pool, **settings: str) -> None:
        self.settings = load({"EMAIL_HOST_USER": DESK, **settings}, home)
        self.store = Store.open(self.settings)
        self.heard: list[Settled] = []
        self.runner = Runner(self.store, self.settings, lambda settled, ms: self.heard.append(settled))
        self._own_readers, self.runner.line.pool = self.runner.line.pool, readers  # a start of one costs more than a dialogue
        self._ids = itertools.count(1)

    def close(self) -> None:
        self.runner.line.pool = self._own_readers
        self.runner.close()
        self.store.close()

    # -- what happens ------------------------------------------------------------------------------------------------

    def says(self, who: str, subject: str = "Hello", body: str = "Hello.", box: str = ".", **headers: str | None) -> Settled:
        """Write a mail with an id of its own; headers by keyword, None leaves one out."""
        headers = {"message_id": f"<{next(self._ids)}@{who[-4:].strip('<>')}>", **headers}
        return self.brings(written(who, subject, body, **headers), box)

    def brings(self, raw: bytes, box: str = ".") -> Settled:
        self.runner.boxes[box].deliver(raw)
        self.runner.sweep()
        return self.heard[-1]

    def we_answered(self, ticket: int, message_id: str, *to: str) -> None:
        """Put an answer of ours on a ticket; sending itself is another room's."""
        number = 1 + self.store.count(tables.Message.select())
        row: dict[str, Any] = {"id": -number, "ticket": ticket, "kind": "reply", "message_id": message_id}
        row |= {"sent_to": json.dumps(to), "text": "Our answer", "is_from_email": False}
        row |= {"date": "2026-11-22", "created": "2026-11-22"}
        with self.store.transaction():
            self.store.run(tables.Message.insert(row))

    def set(self, ticket: int, **columns: Any) -> None:
        with self.store.transaction():
            self.store.update(tables.Ticket, [(ticket, columns)])

    def hires(self, agent: str) -> None:
        name, _, address = agent.rstrip(">").rpartition(" <")
        with at_desk(self.store, self.settings) as desk:
            desk.add_agent(address, name)

    def merges(self, ticket: int, into: int) -> None:
        with at_desk(self.store, self.settings) as desk:
            desk.merge(ticket, into, "gus@desk.example")

    # -- what there is -----------------------------------------------------------------------------------------------

    def ticket(self, number: int) -> dict[str, Any]:
        row = self.store.row(tables.Ticket.select().where(tables.Ticket.id == number))
        assert row is not None
        return row

    def status(self, number: int) -> str:
        return str(self.ticket(number)["status"])

    def tickets(self) -> int:
        return self.store.count(tables.Ticket.select())

    def messages(self, ticket: int) -> list[dict[str, Any]]:
        return self.store.rows(tables.Message.select().where(tables.Message.ticket == ticket).order_by(tables.Message.id))

    def participants(self, ticket: int) -> list[str]:
        part = tables.Participant
        return self.store.values(part.select(part.address).where(part.ticket == ticket).order_by(part.id))

    def links(self) -> list[tuple[int, int]]:
        return [(row["ticket"], row["other"]) for row in self.store.rows(tables.Link.select())]

    def events(self, ticket: int) -> list[str]:
        event = tables.Event
        return self.store.values(event.select(event.what).where(event.ticket == ticket).order_by(event.id))


def written(who: str, subject: str = "Hello", body: str = "Hello.", **headers: str | None) -> bytes:
    """Write a plain mail to the desk; further headers by keyword, `in_reply_to` for In-Reply-To, None for none."""
    fields: dict[str, str | None] = {"From": who, "To": DESK, "Subject": subject, "Date": "Sun, 22 Nov 2026 07:31:00 +0000"}
    fields |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    return "\n".join([*(f"{name}: {value}" for name, value in fields.items() if value is not None), "", body, ""]).encode()


def found(dmarc: str, of: str = "example.com", server: str = TRUSTED) -> str:
    """Write what a server found in Authentication-Results."""
    return f"{server}; spf=none; dmarc={dmarc} header.from={of}"


def expect(settled: Settled, outcome: str, ticket: int | None) -> None:
    assert (settled.letter.outcome, settled.letter.ticket) == (outcome, ticket), settled.letter.trail


def why(settled: Settled) -> str:
    return " | ".join(str(step) for step in settled.letter.trail)


@pytest.fixture(name="readers", scope="module")
def some_readers() -> Iterator[Pool]:
    with Pool(("parse",)) as readers:
        yield readers


@pytest.fixture(name="desks")
def some_desks(tmp_path: Path, readers: Pool) -> Iterator[Callable[..., Talk]]:
    """Open desks with settings of their own."""
    with ExitStack() as stack:
        count = itertools.count(1)

        def open_one(**settings: str) -> Talk:
            home = tmp_path / f"desk-{next(count)}"
            home.mkdir()
            return stack.enter_context(closing(Talk(home, readers, **settings)))

        yield open_one


@pytest.fixture(name="talk")
def one_desk(desks: Callable[..., Talk]) -> Talk:
    return desks()


@pytest.fixture(name="guarded")
def one_guarded_desk(desks: Callable[..., Talk]) -> Talk:
    """A desk with an agent, behind a server whose findings it trusts."""
    talk = desks(TRUSTED_AUTHSERV_ID=TRUSTED)
    talk.hires(AGENT)
    return talk
