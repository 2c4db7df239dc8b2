"""What the tests of outgoing mail share: a desk that writes, and what it wrote as the customer's program reads it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from pipeline import tables
from pipeline.desk import Desk, at_desk
from pipeline.letter import Address
from pipeline.runner import Runner, Settled
from pipeline.settings import load
from pipeline.store import Store

from .conftest import a_mail

SMTP = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "support@desk.example"}
GUS = Address("Gus", "gus@desk.example")


class Office:
    """A desk that mail comes to and goes out from. `says` delivers a mail, works it and returns what became of it."""

    def __init__(self, home: Path, **settings: str) -> None:
        home.mkdir(exist_ok=True)
        self.settings = load({**SMTP, **settings}, home)
        self.store = Store.open(self.settings)
        self.heard: list[Settled] = []
        self.runner = Runner(self.store, self.settings, lambda settled, ms: self.heard.append(settled))
        self._ids = itertools.count(1)

    def takes(self, *mails: bytes, box: str = ".", mark: str = "") -> Settled:
        """Deliver mails and work them; return what became of the last."""
        for raw in mails:
            self.runner.boxes[box].deliver(raw, mark)
        self.runner.sweep()
        return self.heard[-1]

    def says(self, who: str = "Ann <ann@example.com>", subject: str = "Printer", body: str = "Hello.", **headers: str) -> Settled:
        """Deliver a mail of this writer."""
        return self.takes(a_mail(subject, who, body, **{"message_id": f"<{next(self._ids)}@theirs.example>", **headers}))

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        with at_desk(self.store, self.settings) as desk:
            yield desk

    def replies(self, ticket: int, text: str = "Try again.", author: Address = GUS, **more: Any) -> Message:
        """Answer a ticket; return the mail that waits."""
        with self.desk() as desk:
            desk.reply(ticket, text, author, **more)
        return self.written()[-1]

    def outbox(self) -> list[dict[str, Any]]:
        return self.store.rows(tables.Outbox.select().order_by(tables.Outbox.id))

    def written(self) -> list[Message]:
        """Return every mail of the outbox as another program reads it."""
        return [message_from_bytes(row["raw"]) for row in self.outbox()]

    def ticket(self, number: int) -> dict[str, Any]:
        row = self.store.row(tables.Ticket.select().where(tables.Ticket.id == number))
        assert row is not None
        return row

    def events(self, ticket: int) -> list[str]:
        event = tables.Event
        return self.store.values(event.select(event.what).where(event.ticket == ticket).order_by(event.id))

    def messages(self, ticket: int) -> list[dict[str, Any]]:
        message = tables.Message
        return self.store.rows(message.select().where(message.ticket == ticket).order_by(message.id))

    def close(self) -> None:
        self.runner.close()
        self.store.close()


def addressees(row: dict[str, Any]) -> list[str]:
    """Return the recipients of a row of the outbox."""
    found: list[str] = json.loads(row["recipients"])
    return found


def words(mail: Message) -> str:
    """Return the text of a mail."""
    part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode().replace("\r\n", "\n")


def reason(settled: Settled) -> str:
    """Return what the trail says of the acknowledgement."""
    return next((step.why for step in settled.letter.trail if step.stage == "acknowledge"), "")
