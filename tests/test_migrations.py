"""Every step of an upgrade, over a database that is full: nothing that was stored changes, and the end is today's schema."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playhouse.schema_diff import diff_models

from pipeline import store as room
from pipeline import tables
from pipeline.settings import Settings, load
from pipeline.store import Store

from .conftest import House

MIGRATIONS = sorted(room.MIGRATIONS.glob("[0-9]*.py"))
BOOKS = ("schema_migration", "sqlite_sequence")  # of the tools, not ours
Table = list[dict[str, Any]]


@pytest.fixture(name="settings")
def some_settings(tmp_path: Path) -> Settings:
    return load({}, tmp_path)


def made_by(settings: Settings, steps: list[Path], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the database as a program did that knew only these steps."""
    folder.mkdir()
    for step in steps:
        shutil.copy(step, folder)
    with patch.context() as then:
        then.setattr(room, "MIGRATIONS", folder)
        room._known_migrations.cache_clear()
        Store.open(settings, migrate=True).close()
    room._known_migrations.cache_clear()


def filled(path: Path) -> dict[str, Table]:
    """Put two rows into every table, with a value in every column; return all that is stored."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA foreign_keys = off")
        for name in names(db):
            columns = db.execute(f"PRAGMA table_info({name})").fetchall()
            for number in (1, 2):
                values = [value(column[1], column[2], number) for column in columns]
                db.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
        db.commit()
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return stored(db)


def value(column: str, kind: str, number: int) -> object:
    """Return a value that differs by row, and points to the row of the same number."""
    if column == "id" or column.endswith("_id") and kind == "INTEGER":
        return number
    return {"TEXT": f"{column} {number} é\n'\"", "BLOB": bytes([0, 255, number])}.get(kind, number)


def names(db: sqlite3.Connection) -> list[str]:
    found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return [name for (name,) in found if name not in BOOKS]


def stored(db: sqlite3.Connection) -> dict[str, Table]:
    db.row_factory = sqlite3.Row
    rows = {name: db.execute(f"SELECT * FROM {name} ORDER BY rowid") for name in names(db)}  # noqa: S608
    return {name: [dict(row) for row in found] for name, found in rows.items()}


@pytest.mark.parametrize("steps", range(1, len(MIGRATIONS)), ids=lambda steps: MIGRATIONS[steps - 1].stem)
def test_a_full_database_of_any_age_is_carried_over(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """From every older schema: each row is there with each value it had, keys hold, and the schema is today's."""
    made_by(settings, MIGRATIONS[:steps], tmp_path / "then", monkeypatch)
    assert settings.database_path
    before = filled(settings.database_path)
    with Store.open(settings, migrate=True) as store:
        difference = diff_models(store.database, list(tables.ALL))
        assert not any((difference.create_tables, difference.add_columns, difference.drop_columns, difference.add_indexes))
        assert not difference.drop_indexes
    with closing(sqlite3.connect(settings.database_path)) as db:
        after = stored(db)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for name, rows in before.items():
        kept = [{column: row[column] for column in old} for row, old in zip(after[name], rows, strict=True)]
        assert kept == rows, name


def test_an_agent_of_before_is_told_of_everything(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents who were there before notifications are told of each kind, at once, as new ones are."""
    made_by(settings, MIGRATIONS[:4], tmp_path / "then", monkeypatch)
    assert settings.database_path
    filled(settings.database_path)
    with Store.open(settings, migrate=True) as store:
        old = store.rows(tables.Agent.select(tables.Agent.notify, tables.Agent.digest_minutes, tables.Agent.digested))
    assert old == [{"notify": tables.Agent.notify.default, "digest_minutes": 0, "digested": None}] * 2


def test_the_command_migrates_and_keeps_a_copy(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`helpdesk migrate` brings an old database up to date once, and the copy beside it is the old one."""
    settings = load({"HELPDESK_HOME": str(house.home)})
    made_by(settings, MIGRATIONS[:3], tmp_path / "then", monkeypatch)
    assert settings.database_path
    before = filled(settings.database_path)
    assert "helpdesk migrate" in house.run("ticket", "list", code=78).stderr.decode()
    house.run("migrate")
    [copy] = settings.data_dir.glob("helpdesk.db.before-*")
    with closing(sqlite3.connect(copy)) as db:
        assert stored(db) == before
    house.run("migrate")
    assert len(list(settings.data_dir.glob("helpdesk.db.before-*"))) == 1  # there was nothing more to do
