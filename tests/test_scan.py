"""What waits: the directory is the truth, the ledger says what is done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import tables
from pipeline.desk import Desk
from pipeline.maildir import Found, Maildir, boxes
from pipeline.scan import Look, Scan, in_turns
from pipeline.settings import load
from pipeline.store import Store

FMD5 = "FMD5=7e33429f656f1e6e9d79b29c3f82c57e"


def synced(uid: int, flags: str = "") -> str:
    return f"1795333663_{uid}.1.vm,U={uid},{FMD5}:2,{flags}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(load({}, tmp_path)) as store:
        yield store


@pytest.fixture
def inbox(store: Store) -> Maildir:
    box = boxes(store.settings.maildir, ["INBOX"])["INBOX"]
    box.create()
    return box


@pytest.fixture
def drop_box(store: Store) -> Maildir:
    box = boxes(store.settings.maildir, ["."])["."]
    box.create()
    return box


def put(box: Maildir, folder: str, *names: str) -> None:
    for name in names:
        (box.root / folder / name).write_bytes(b"Subject: x\n\nx\n")


def decided(store: Store, box: Maildir, *names: str, state: str = "filed") -> None:
    first = store.count(tables.Place.select()) + 1
    rows = [
        {"id": first + i, "box": box.name, "key": name.partition(":")[0], "state": state, "seen": ""}
        for i, name in enumerate(names)
    ]
    with store.transaction():
        store.insert(tables.Place, rows)


def keys(found: list[Found]) -> list[str]:
    return [one.place.key.partition(",FMD5")[0] for one in found]


def look(box: Maildir, store: Store) -> Look:
    scan = Scan(box, store)
    seen = scan.look()
    scan.decide_baseline(seen, Desk(store, store.settings))
    return seen


def test_new_files_wait_in_order_of_uid(inbox: Maildir, store: Store) -> None:
    """UIDs are numbers, and decide before anything else."""
    put(inbox, "new", synced(10), synced(9), synced(100))
    assert [found.uid for found in look(inbox, store).fresh] == [9, 10, 100]


def test_a_known_key_back_in_new_is_no_news(inbox: Maildir, store: Store) -> None:
    """A human un-read it: it is moved back, and nothing runs."""
    put(inbox, "new", synced(1), synced(2))
    decided(store, inbox, synced(1))
    seen = look(inbox, store)
    assert ([f.uid for f in seen.again], [f.uid for f in seen.fresh]) == ([1], [2])


def test_a_name_proves_nothing_in_the_drop_box(drop_box: Maildir, store: Store) -> None:
    """There every file in new/ waits, even under a name that the ledger has."""
    put(drop_box, "new", "mail.eml")
    decided(store, drop_box, "mail.eml")
    assert keys(look(drop_box, store).fresh) == ["mail.eml"]


def test_read_mail_before_the_first_scan_is_the_baseline(inbox: Maildir, store: Store) -> None:
    """What was there, read, before us causes nothing; what was there unread is worked."""
    put(inbox, "cur", synced(1, "S"), synced(2, ""), synced(3, "RS"))
    seen = look(inbox, store)
    assert ([f.uid for f in seen.baseline], [f.uid for f in seen.fresh]) == ([1, 3], [2])


def test_the_baseline_is_decided_once_for_ever(inbox: Maildir, store: Store) -> None:
    """A mail that was read elsewhere after the first scan is worked; one noted before still waits as the baseline."""
    put(inbox, "cur", synced(1, "S"))
    look(inbox, store)
    put(inbox, "cur", synced(2, "S"))
    seen = look(inbox, store)
    assert ([f.uid for f in seen.baseline], [f.uid for f in seen.fresh]) == ([1], [2])


def test_a_baseline_mail_that_is_un_read_stays_one(inbox: Maildir, store: Store) -> None:
    """It was decided before; moving back to new/ does not make it fresh."""
    put(inbox, "cur", synced(1, "S"))
    look(inbox, store)
    os.rename(inbox.root / "cur" / synced(1, "S"), inbox.root / "new" / synced(1))
    assert [f.uid for f in look(inbox, store).baseline] == [1]


def test_a_folder_that_did_not_change_is_not_read_again(inbox: Maildir, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """cur/ is listed once it is quiet, and again only after its time changed."""
    put(inbox, "cur", synced(1, "S"))
    decided(store, inbox, synced(1))
    long_ago = time.time() - 100
    os.utime(inbox.root / "cur", (long_ago, long_ago))
    scan, listed = Scan(inbox, store), []
    monkeypatch.setattr(inbox, "cur_names", lambda names=inbox.cur_names: listed.append(1) or names())
    scan.look()
    scan.look()
    assert len(listed) == 1
    put(inbox, "cur", synced(2, ""))
    assert [f.uid for f in scan.look().fresh] == [2]
    assert len(listed) == 2


def test_known_names_are_not_asked_for_again(inbox: Maildir, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ledger called known is remembered; only names that are new are asked for."""
    put(inbox, "cur", *(synced(i, "S") for i in range(50)))
    decided(store, inbox, *(synced(i) for i in range(50)))
    scan, asked = Scan(inbox, store), []
    monkeypatch.setattr(store, "undecided", lambda box, keys, real=store.undecided: asked.append(len(keys)) or real(box, keys))
    scan.look()
    put(inbox, "cur", synced(99, ""))
    scan.look()
    assert [count for count in asked if count] == [50, 1]


def a_found(box: str, mtime: int) -> Found:
    from pipeline.letter import Place

    return Found(Place(box, str(mtime)), str(mtime), "new", "", None, mtime, 1, (0, mtime))


def test_boxes_come_in_turns_the_oldest_head_first() -> None:
    """A backlog in one folder does not hold up another's mail."""
    backlog, other = [a_found("A", t) for t in (1, 2, 3, 4)], [a_found("B", 2)]
    assert [f.place.box for f in in_turns([other, backlog])] == ["A", "B", "A", "A", "A"]
