"""The desk as a unit of work: pages, look-ups, and what is written in the end."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.desk import Delivery, Desk
from pipeline.errors import Retry
from pipeline.letter import Address, Attachment, Letter, Mail, Outcome, Place
from pipeline.settings import load
from pipeline.stages.match import match
from pipeline.stages.persist import persist
from pipeline.store import Store, pack
from pipeline.unit import Shelf

NOON = "2026-11-22T12:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(load({}, tmp_path)) as store:
        yield store


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, store.settings, clock=lambda: NOON)


def a_letter(name: str = "one", sender: str = "ann@example.com", **mail: Any) -> Letter:
    values = {
        "message_id": name,
        "identity": name,
        "subject": name,
        "text": f"text of {name}",
        "authors": (Address("Ann", sender),),
    }
    return Letter(hashlib.sha256(name.encode()).hexdigest(), Place(".", name), mail=Mail(**{**values, **mail}))


def a_delivery(letter: Letter) -> Delivery:
    return Delivery(letter.place, 3, pack(b"raw"), original=f"{letter.place.key}.eml")


def work(desk: Desk, letter: Letter) -> Letter:
    """Run a letter through match and persist on a page of its own, and keep it."""
    desk.turn()
    letter = match(letter, desk, desk.settings)
    letter = letter if letter.outcome else persist(letter, desk)
    desk.settle(letter, a_delivery(letter))
    desk.keep()
    return letter


def commit(desk: Desk, *letters: Letter) -> list[Letter]:
    with desk.store.transaction():
        desk.begin(letters)
        done = [work(desk, letter) for letter in letters]
        desk.flush()
    return done


def test_nothing_is_written_before_the_flush(desk: Desk, store: Store) -> None:
    """Stages change pages, not tables."""
    with store.transaction():
        desk.begin()
        work(desk, a_letter())
        assert store.count(tables.Ticket.select()) == 0
        desk.flush()
    assert store.count(tables.Ticket.select()) == 1


def test_a_letter_sees_what_came_before_it_in_the_batch(desk: Desk) -> None:
    """A reply and a second copy in one batch find the first mail, which no table holds yet."""
    first, reply, copy = commit(desk, a_letter("one"), a_letter("two", in_reply_to=("one",)), a_letter("one"))
    assert [(x.outcome, x.ticket) for x in (first, reply, copy)] == [("opened", 1), ("commented", 1), ("duplicate", 1)]


def test_a_dropped_page_leaves_nothing_and_gives_its_numbers_back(desk: Desk, store: Store) -> None:
    """What a failing letter caused is gone: rows, look-ups and ticket numbers."""
    with store.transaction():
        desk.begin()
        desk.turn()
        persist(a_letter("bad"), desk)
        desk.drop()
        assert desk.known(a_letter("bad")) is None
        good = work(desk, a_letter("good"))
        desk.flush()
    assert good.ticket == 1
    assert store.values(tables.Ticket.select(tables.Ticket.subject)) == ["good"]


def test_a_failed_letter_is_one_row_with_its_reason(desk: Desk, store: Store) -> None:
    """A failure keeps the bytes, the stage and the sentence, and causes nothing else."""
    letter = a_letter().settle(Outcome.FAILED, "persist: RuntimeError: boom")
    with store.transaction():
        desk.begin([letter])
        desk.turn()
        desk.settle(letter, a_delivery(letter))
        desk.keep()
        desk.flush()
    row = store.row(tables.Mail.select())
    assert row is not None
    assert (row["outcome"], row["stage"], row["reason"], row["tries"]) == ("failed", "persist", "RuntimeError: boom", 1)
    assert store.count(tables.Ticket.select()) == 0
    place = store.row(tables.Place.select())
    assert place is not None
    assert (place["state"], place["starred"], place["original"]) == ("noted", True, "one.eml")


def test_a_star_of_a_human_is_not_ours(desk: Desk, store: Store) -> None:
    """Only a star that we set may be taken away later."""
    letter = a_letter().settle(Outcome.FAILED, "x: y")
    with store.transaction():
        desk.begin([letter])
        desk.turn()
        desk.settle(letter, a_delivery(letter)._replace(flags="F"))
        desk.keep()
        desk.flush()
    assert store.values(tables.Place.select(tables.Place.starred)) == [False]


def test_a_copy_of_a_failed_mail_tries_it_again(desk: Desk, store: Store) -> None:
    """The row stays one; its outcome, reason and tries move on."""
    letter = a_letter()
    failed = letter.settle(Outcome.FAILED, "x: y")
    with store.transaction():
        desk.begin([failed])
        desk.turn()
        desk.settle(failed, a_delivery(failed))
        desk.keep()
        desk.flush()
    (again,) = commit(desk, dataclasses.replace(letter, place=Place(".", "copy")))
    assert again.outcome is Outcome.OPENED
    row = store.row(tables.Mail.select())
    assert row is not None
    assert (row["outcome"], row["reason"], row["tries"], row["ticket"]) == ("opened", None, 2, 1)
    assert store.values(tables.Message.select(tables.Message.mail)) == [row["id"]]


def test_the_same_bytes_derive_the_message_anew(desk: Desk, store: Store) -> None:
    """A replay updates what follows from the bytes, and nothing else."""
    part = Attachment("a.pdf", "application/pdf", 3, "00", False, None, "2", 10, 20, "base64")
    commit(desk, a_letter("one", attachments=(part,)))
    with store.transaction():
        store.update(tables.Ticket, [(1, {"status": "closed", "subject": "changed by hand"})])
    better = a_letter("one", text="read better", reply_text="read better", attachments=(part, part), defects=("now seen",))
    (again,) = commit(desk, dataclasses.replace(better, place=Place(".", "copy")))
    assert again.outcome is Outcome.DUPLICATE
    message = store.row(tables.Message.select())
    ticket = store.row(tables.Ticket.select())
    assert message is not None and ticket is not None
    assert (message["text"], message["defects"]) == ("read better", '["now seen"]')
    assert (ticket["status"], ticket["subject"]) == ("closed", "changed by hand")
    assert store.count(tables.Attachment.select()) == 2


def test_another_delivery_changes_nothing_stored(desk: Desk, store: Store) -> None:
    """The first bytes win: the same mail in other bytes is one more place."""
    commit(desk, a_letter("one"))
    other = dataclasses.replace(a_letter("one", text="other"), digest="ff" * 32, place=Place("INBOX", "k"))
    (again,) = commit(desk, other)
    assert again.outcome is Outcome.DUPLICATE
    assert store.values(tables.Message.select(tables.Message.text)) == ["text of one"]
    assert store.values(tables.Place.select(tables.Place.outcome).order_by(tables.Place.id)) == ["opened", "duplicate"]


def test_later_is_noted_and_grows(desk: Desk, store: Store) -> None:
    """A stage that asks for later gets it after a minute, then two, then four; the mail has no outcome meanwhile."""
    letter = a_letter()
    waits = []
    for _ in range(3):
        with store.transaction():
            desk.begin([letter])
            desk.turn()
            desk.postpone(letter, a_delivery(letter), Retry("the network is down"))
            desk.keep()
            desk.flush()
        row = store.row(tables.Mail.select())
        assert row is not None
        waits.append((row["tries"], row["next_try"]))
    assert waits == [(1, "2026-11-22T12:01:00+00:00"), (2, "2026-11-22T12:02:00+00:00"), (3, "2026-11-22T12:04:00+00:00")]
    with store.transaction():
        desk.begin([letter])
        assert desk.rests(letter)
    assert row["outcome"] is None and row["reason"] == "the network is down"


def test_every_id_of_a_batch_is_asked_for_once(desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch costs one query a kind, not one a letter."""
    commit(desk, *(a_letter(f"old-{i}") for i in range(50)))
    asked: list[str] = []
    monkeypatch.setattr(store, "rows", lambda query, rows=store.rows: asked.append(str(query)) or rows(query))
    commit(desk, *(a_letter(f"new-{i}", in_reply_to=(f"old-{i}",), ticket_numbers=(i + 1,)) for i in range(50)))
    assert len(asked) < 20


def test_a_dry_desk_keeps_its_pages_and_writes_nothing(store: Store) -> None:
    """Over a read-only store the batches of a pass see each other, and no table changes."""
    with Store.open_readonly(store.settings) as looking:
        desk = Desk(looking, store.settings)
        desk.begin()
        first = work(desk, a_letter("one"))
        desk.flush()
        desk.begin()
        second = work(desk, a_letter("two", in_reply_to=("one",)))
        desk.flush()
    assert [(x.outcome, x.ticket) for x in (first, second)] == [("opened", 1), ("commented", 1)]
    assert store.count(tables.Mail.select()) == 0


def test_asking_as_of_a_mail_hides_it_and_what_came_later(desk: Desk) -> None:
    """To explain a mail by today's code, it must not meet itself."""
    commit(desk, a_letter("one"), a_letter("two", in_reply_to=("one",)), a_letter("three"))
    desk.begin()
    desk.look_back({"id": 2, "outcome": "commented", "ticket": 1})
    assert desk.known(a_letter("one")) is not None
    assert desk.known(a_letter("two")) is None
    assert desk.received("three") == []


def test_verbs_leave_events(desk: Desk, store: Store) -> None:
    """Every change says who, what and why."""
    commit(desk, a_letter("one"), a_letter("two"))
    with store.transaction():
        desk.begin()
        desk.turn()
        desk.set(1, "asked by phone", who="bob@desk.example", priority="high")
        desk.tag(1, "vip", "vip")
        desk.link(1, 2, "the same printer")
        desk.link(1, 2, "the same printer")
        desk.keep()
        desk.flush()
    events = store.rows(tables.Event.select().where(tables.Event.what != "opened").order_by(tables.Event.id))
    assert [(e["ticket"], e["who"], e["what"], e["why"]) for e in events] == [
        (1, "bob@desk.example", "priority normal -> high", "asked by phone"),
        (1, "letterdesk", "linked to TICKET-002", "the same printer"),
        (2, "letterdesk", "linked from TICKET-001", "the same printer"),
    ]
    assert store.values(tables.Tag.select(tables.Tag.name)) == ["vip"]
    ticket = store.row(tables.Ticket.select().where(tables.Ticket.id == 1))
    assert ticket is not None
    assert (ticket["priority"], ticket["version"]) == ("high", 2)


def test_numbers_are_never_used_twice(desk: Desk, store: Store) -> None:
    """The counter outlives the rows."""
    commit(desk, a_letter("one"))
    with store.transaction():
        for model in (tables.Event, tables.Participant, tables.Message, tables.Place, tables.Mail, tables.Ticket):
            store.run(model.delete())
    (again,) = commit(desk, a_letter("two"))
    assert again.ticket == 2


def test_a_shelf_asks_pages_then_what_was_fetched_then_the_store() -> None:
    """Rows come oldest first: stored, kept, the page's own; a known key is never asked for twice."""
    asked: list[list[str]] = []

    def fetch(keys: Any) -> Any:
        asked.append(list(keys))
        return [(key, {"from": "store"}) for key in keys if key == "a"]

    shelf = Shelf(fetch)
    shelf.prefetch(["a", "b"])
    shelf.put("a", {"from": "kept"})
    shelf.keep()
    shelf.put("a", {"from": "page"})
    assert [row["from"] for row in shelf.find("a")] == ["store", "kept", "page"]
    shelf.drop()
    assert shelf.last("a") == {"from": "kept"}
    assert shelf.find("b") == [] and shelf.find("c") == []
    shelf.made("d")
    assert shelf.find("d") == []
    assert asked == [["a", "b"], ["c"]]
