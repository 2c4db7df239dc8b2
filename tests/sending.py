"""An outbox, filled, and a storm over it: `helpdesk send` is killed again and again while it delivers."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from pipeline import tables
from pipeline.compose import Outgoing, compose, new_message_id
from pipeline.letter import Address
from pipeline.settings import Settings, load
from pipeline.store import Store, now

from .conftest import House
from .servers import Smtp

DESK = Address("Support Desk", "desk@desk.example")


@pytest.fixture
def servers() -> Iterator[Callable[..., Smtp]]:
    """Start SMTP servers; they end with the test."""
    running: list[Smtp] = []

    def start(*args: Any, **kwargs: Any) -> Smtp:
        running.append(Smtp(*args, **kwargs))
        return running[-1]

    yield start
    for one in running:
        one.close()


def settings_of(house: House, **environment: str) -> Settings:
    return load({"HELPDESK_HOME": str(house.home), **environment})


def mail_to(*recipients: str, number: int = 1, text: str = "Good morning.\n") -> tuple[str, bytes]:
    """Build a mail; return its Message-ID and its bytes."""
    message_id = new_message_id("desk.example")
    people = tuple(Address("", one) for one in recipients)
    subject = f"Re: [TICKET-{number:03d}] Printer"
    return message_id, compose(Outgoing(message_id, DESK, people, subject, text, datetime(2026, 11, 22, tzinfo=UTC)))


def put(store: Store, *recipients: str, text: str = "Good morning.\n", **columns: Any) -> int:
    """Lay a mail into the outbox; return its number."""
    message_id, raw = mail_to(*(recipients or ("ann@example.com",)), text=text)
    row = {
        "kind": "reply",
        "message_id": message_id,
        "envelope_from": "desk@desk.example",
        "recipients": json.dumps(recipients or ["ann@example.com"]),
        "created": now(),
        "raw": raw,
        **columns,
    }
    with store.transaction():
        return int(tables.Outbox.insert(**row).execute(store.database))


def rows(store: Store) -> list[dict[str, Any]]:
    return store.rows(tables.Outbox.select().order_by(tables.Outbox.id))


class Storm(NamedTuple):
    """What came of it: ids that were put in, how often each arrived, which were on the wire at a kill, and the kills."""

    put_in: set[str]
    arrived: Counter[str]
    in_the_window: set[str]  # taken by the server and not marked yet when we were killed
    kills: int

    @property
    def twice(self) -> set[str]:
        return {one for one, count in self.arrived.items() if count > 1}

    def __str__(self) -> str:
        copies = sum(self.arrived.values()) - len(self.arrived)
        never, foreign = len(self.put_in - self.arrived.keys()), len(self.arrived.keys() - self.put_in)
        return (
            f"{len(self.put_in)} mails, {self.kills} kills: {never} never arrived, {foreign} foreign ids, "
            f"{len(self.twice)} arrived more than once ({copies} copies); {len(self.in_the_window)} were caught between "
            f"acceptance and commit, all that came twice among them: {self.twice <= self.in_the_window}"
        )


TROUBLE = ("drop", "take and drop", "451 later")


def storm(house: House, smtp: Smtp, mails: int, kills: int, seed: int = 1, trouble: float = 0.0) -> Storm:
    """Deliver mails while `helpdesk send` is killed at random moments, then to the end; `trouble`: chance of a bad answer."""
    chance, window, done = random.Random(seed), set[str](), 0
    with Store.open(settings_of(house), migrate=True) as store:
        left = mails - _fill(store, mails // 2)
        while done < kills:
            left -= _fill(store, min(left, -(-left // (kills - done))))  # there is always something to send
            if chance.random() < trouble:
                smtp.finals.append(chance.choice(TROUBLE))
            done += _killed(house, smtp, chance)
            window |= set(smtp.ids()) - _marked(store)
            _wake(store)
        while house.run("send", code=None, **smtp.env()).returncode == 75:
            window |= set(smtp.ids()) - _marked(store)
            _wake(store)
        put_in = {row["message_id"] for row in rows(store)}
    return Storm(put_in, Counter(smtp.ids()), window, done)


def _fill(store: Store, mails: int) -> int:
    for number in range(mails):
        put(store, f"ann{number}@example.com")
    return mails


def _marked(store: Store) -> set[str]:
    return {row["message_id"] for row in rows(store) if row["state"] == "sent"}


def _wake(store: Store) -> None:
    """Let what was put off be tried again at once: a minute is long here."""
    with store.transaction():
        store.run(tables.Outbox.update(next_try=None))


def _killed(house: House, smtp: Smtp, chance: random.Random) -> bool:
    """Start a sender and kill it some moments after it delivered a few mails, or none; say whether it still ran."""
    before = len(smtp.ids())
    running = subprocess.Popen(
        house.command("send"),
        cwd=house.home,
        env={**house.environment, **smtp.env()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    mails = chance.choice((0, 1, 1, 2, 3))
    end = time.monotonic() + 5
    while len(smtp.ids()) < before + mails and running.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    time.sleep(chance.random() * (0.02 if mails else 0.5))  # without a mail it is killed while it starts
    running.send_signal(signal.SIGKILL)
    killed = running.wait() == -signal.SIGKILL
    time.sleep(smtp.seconds * 2)  # what was on the wire arrives
    return killed
