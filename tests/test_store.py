"""The store: opening, schema, transactions, raw mails."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peewee
import pytest
from playhouse.schema_diff import diff_models

from pipeline import tables
from pipeline.errors import HelpdeskError, SchemaNewer, SchemaOlder, TryLater
from pipeline.settings import Settings, load
from pipeline.store import Store, among, pack, passing_trouble


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({}, tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.open(settings) as store:
        yield store


def a_box(name: str) -> dict[str, object]:
    return {"name": name, "baseline": None}


def test_migrations_make_what_the_models_say(store: Store) -> None:
    """No table, column or index of tables.py is missing from the migrations, and none is extra."""
    difference = diff_models(store.database, list(tables.ALL))
    drop = {model._meta.table_name for model in difference.create_tables}
    assert not drop
    assert not difference.add_columns and not difference.drop_columns
    assert not difference.add_indexes and not difference.drop_indexes


def test_it_is_durable_and_strict(store: Store) -> None:
    """A write-ahead log, every commit on disk, foreign keys on."""
    asked = {
        name: store.database.execute_sql(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert asked == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    """What an exception ends leaves nothing behind."""
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.insert(tables.Box, [a_box("INBOX")])
        raise ZeroDivisionError
    assert store.rows(tables.Box.select()) == []


def test_a_lost_transaction_is_noticed(store: Store) -> None:
    """Where SQLite gave the transaction up behind our back, nothing passes for committed."""
    with pytest.raises(TryLater), store.transaction():
        store.insert(tables.Box, [a_box("INBOX")])
        store.database.execute_sql("ROLLBACK")
    assert store.rows(tables.Box.select()) == []


def test_columns_find_their_values_in_any_order(store: Store) -> None:
    """Peewee orders columns its own way; names decide which value goes where."""
    with store.transaction():
        store.insert(
            tables.Ticket, [{"updated": "u", "created": "c", "subject": "s", "ticket_number": "n", "id": 7, "status": "open"}]
        )
        store.update(tables.Ticket, [(7, {"updated": "u2", "status": "closed", "assignee": "a"})])
    row = store.row(tables.Ticket.select())
    assert row is not None
    assert (row["status"], row["assignee"], row["updated"], row["created"]) == ("closed", "a", "u2", "c")


def test_among_takes_many_values(store: Store) -> None:
    """One parameter carries as many values as there are, also odd ones."""
    names = [f"box-{i}" for i in range(50_000)] + ["it's", 'a "b"', "ü"]
    with store.transaction():
        store.insert(tables.Box, [a_box("it's"), a_box('a "b"'), a_box("ü"), a_box("other")])
    assert len(store.values(tables.Box.select().where(among(tables.Box.name, names)))) == 3


def test_a_database_of_a_newer_version_is_left_alone(settings: Settings) -> None:
    """Older code never opens what a newer one has migrated."""
    with Store.open(settings) as store, store.transaction():
        store.database.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01')")
    with pytest.raises(SchemaNewer):
        Store.open(settings)
    with pytest.raises(SchemaNewer):
        Store.open_readonly(settings)


def an_old_database(settings: Settings) -> None:
    """Make a database that has seen another first migration than ours."""
    settings.data_dir.mkdir()
    with sqlite3.connect(settings.database_path) as old:
        old.execute("CREATE TABLE schema_migration (id INTEGER PRIMARY KEY, name TEXT UNIQUE, applied TEXT)")
        old.execute("INSERT INTO schema_migration (name, applied) VALUES ('0000_before', '2020-01-01')")
    old.close()


def test_an_older_database_is_migrated_only_when_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading command says which command to run; that command copies the database first."""
    an_old_database(settings)
    from pipeline import store as room

    known = room._known_migrations() | {"0000_before"}
    monkeypatch.setattr(room, "_known_migrations", lambda: known)
    for opened in (Store.open, Store.open_readonly):
        with pytest.raises(SchemaOlder, match="helpdesk migrate"):
            opened(settings)
    Store.open(settings, migrate=True).close()
    assert settings.database_path.with_name("helpdesk.db.before-0000_before").exists()
    Store.open(settings).close()


def test_six_open_an_empty_place_at_once(settings: Settings) -> None:
    """Making the database is done once, whoever comes first."""

    def opened(_: int) -> list[str]:
        with Store.open(settings) as store:
            return sorted(store.applied())

    with ThreadPoolExecutor(6) as threads:
        assert len({tuple(names) for names in threads.map(opened, range(6))}) == 1


def test_a_dry_look_leaves_no_file(settings: Settings) -> None:
    """Read-only opening makes nothing, whether a database is there or not."""
    with Store.open_readonly(settings) as store:
        assert store.rows(tables.Mail.select()) == []
    assert not settings.data_dir.exists()
    Store.open(settings).close()
    before = sorted((path.name, path.stat().st_mtime_ns) for path in settings.data_dir.iterdir())
    with Store.open_readonly(settings) as store:
        assert store.rows(tables.Mail.select()) == []
        with pytest.raises(peewee.OperationalError):
            store.database.execute_sql("INSERT INTO box (name) VALUES ('x')")
    assert sorted((path.name, path.stat().st_mtime_ns) for path in settings.data_dir.iterdir()) == before


def a_mail_row(raw: bytes, packed: bytes | None) -> dict[str, object]:
    return {"id": 1, "digest": hashlib.sha256(raw).hexdigest(), "received": "", "size": len(raw), "version": "", "packed": packed}


def test_raw_mails_come_back_as_they_were(store: Store) -> None:
    """The bytes are kept compressed and checked against their digest."""
    raw = bytes(range(256)) * 10
    with store.transaction():
        store.insert(tables.Mail, [a_mail_row(raw, pack(raw))])
    assert store.raw(1) == raw


@pytest.mark.parametrize("packed", [pack(b"other"), b"no zlib", None])
def test_changed_bytes_are_never_passed_for_true(store: Store, packed: bytes | None) -> None:
    """Other bytes, broken bytes and missing bytes are errors that name the mail."""
    with store.transaction():
        store.insert(tables.Mail, [a_mail_row(b"true", packed)])
    with pytest.raises(HelpdeskError, match="mail 1"):
        store.raw(1)


def test_large_mails_are_files_named_by_their_digest(store: Store) -> None:
    """A large mail is written once, under nothing but its digest."""
    raw = b"x" * 3_000_000
    digest = hashlib.sha256(raw).hexdigest()
    first, second = store.keep_large(digest, io.BytesIO(raw)), store.keep_large(digest, io.BytesIO(raw))
    assert first == second == store.mails / digest[:2] / digest
    assert first.read_bytes() == raw
    assert [path.name for path in first.parent.iterdir()] == [digest]


def test_undecided_asks_the_index_for_each_key(store: Store) -> None:
    """Known keys fall out, waiting ones and those of other boxes stay, the order is kept."""
    place = {"mail": None, "digest": None, "seen": ""}
    with store.transaction():
        store.insert(
            tables.Place,
            [
                {"id": 1, "box": "INBOX", "key": "filed", "state": "filed", **place},
                {"id": 2, "box": "INBOX", "key": "waiting", "state": "waiting", **place},
                {"id": 3, "box": ".", "key": "elsewhere", "state": "filed", **place},
            ],
        )
    assert store.undecided("INBOX", ["waiting", "filed", "elsewhere", "b\udcffd"]) == ["b\udcffd", "waiting", "elsewhere"]


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OSError(28, "No space left on device", "x"), True),
        (OSError(5, "Input/output error"), True),
        (FileNotFoundError(2, "No such file"), False),
        (MemoryError(), True),
        (ValueError("a stage's own"), False),
        (peewee.IntegrityError("UNIQUE constraint failed"), False),
    ],
)
def test_trouble_that_passes_is_told_from_a_mails_own(error: Exception, passes: bool) -> None:
    """Full, unreadable and out of memory pass; what the mail or the program did does not."""
    assert (passing_trouble(error) is not None) == passes


def test_a_lock_of_another_program_passes(store: Store, settings: Settings) -> None:
    """A locked database is told as such, through Peewee's wrapping."""
    other = sqlite3.connect(settings.database_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.database.execute_sql("PRAGMA busy_timeout = 10")
    try:
        with pytest.raises(TryLater, match="locked"), store.transaction():
            pass
    finally:
        other.close()
