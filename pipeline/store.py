"""The store: one SQLite file, the raw mails in it, and data/mails/ for raw mails above 1 MiB.

All that is particular to SQLite lives in this module. Everybody else speaks Peewee to `rows`, `insert` and `update`.
"""

from __future__ import annotations

import datetime
import errno
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

import peewee

from . import tables
from .errors import CannotCreate, HelpdeskError, SchemaNewer, SchemaOlder, SettingsError, TryLater
from .locks import file_lock
from .settings import Settings

MIGRATIONS = Path(__file__).with_name("migrations")
LARGE = 1 << 20  # a raw mail above this is a file in data/mails
BUSY_SECONDS = 10.0
PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "foreign_keys": "on", "busy_timeout": int(BUSY_SECONDS * 1000)}
COMPRESSION = 6
MIGRATE_LOCK = "migrate.lock"
CHUNK = 10_000  # keys in one question

# SQLite's names for what passes by itself or by the operator's hand: nothing is recorded, the mail waits where it is.
PASSING = {
    "SQLITE_BUSY": "the database is locked by another program",
    "SQLITE_LOCKED": "the database is locked by another program",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk cannot be read or written",
    "SQLITE_READONLY": "the database cannot be written",
    "SQLITE_CANTOPEN": "the database file cannot be opened",
    "SQLITE_NOMEM": "there is not enough memory",
    "SQLITE_INTERRUPT": "the database was interrupted",
    "SQLITE_CORRUPT": "the database file is damaged, or changed while it was read",
    "SQLITE_NOTADB": "the database file is no SQLite database",
    "SQLITE_PROTOCOL": "the database is locked by another program",
}

PASSING_ERRNO = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "ENFILE", "ENOMEM") if hasattr(errno, name)
)


def now() -> str:
    """Return the time as the store writes it: UTC, ISO 8601, seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def passing_trouble(error: BaseException) -> TryLater | None:
    """Return the error as one that passes (full, locked, I/O), or None if it is the mail's or the program's own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TryLater):
            return cause
        if isinstance(cause, OSError) and cause.errno in PASSING_ERRNO:
            return TryLater(f"{cause.strerror}: {cause.filename}" if cause.filename else str(cause.strerror))
        if isinstance(cause, MemoryError):
            return TryLater("there is not enough memory")
        name = getattr(cause, "sqlite_errorname", None) or ""
        sentence = next((text for prefix, text in PASSING.items() if name.startswith(prefix)), None)
        if sentence:
            return TryLater(f"{sentence} ({cause})", "Nothing was recorded and no mail is lost; it is tried again.")
        cause = getattr(cause, "orig", None) or cause.__cause__  # Peewee keeps the driver's error as `orig`
    return None


@contextmanager
def as_helpdesk_error() -> Iterator[None]:
    """Turn database trouble that passes into TryLater."""
    try:
        yield
    except (peewee.PeeweeException, sqlite3.Error) as error:
        trouble = passing_trouble(error)
        if trouble is None:
            raise
        raise trouble from error


def among(field: Any, values: Iterable[Any]) -> Any:
    """Return `field IN values` with one parameter, however many the values are."""
    return field.in_(peewee.SQL("(SELECT value FROM json_each(?))", (json.dumps(list(values)),)))


def _in_order(model: type[tables.Table], names: Iterable[str]) -> tuple[str, ...]:
    """Return column names in the order in which Peewee writes them into a statement."""
    fields = model._meta.fields
    return tuple(sorted(names, key=lambda name: fields[name]._sort_key))


@cache
def defaults_of(model: type[tables.Table]) -> dict[str, Any]:
    """Return a row of defaults, its columns in the order in which Peewee writes them into a statement."""
    return {f.name: f.default for f in model._meta.sorted_fields}


@cache
def _insert_sql(model: type[tables.Table]) -> str:
    """Let Peewee build an INSERT once; building it for every row costs ten times what SQLite does."""
    return str(model.insert(dict.fromkeys(model._meta.sorted_fields)).sql()[0])


@cache
def _update_sql(model: type[tables.Table], columns: tuple[str, ...]) -> str:
    fields = model._meta.fields
    key = model._meta.primary_key
    return str(model.update({fields[name]: None for name in columns}).where(key == 0).sql()[0])


UNDECIDED = """SELECT value FROM json_each(?)
    WHERE NOT EXISTS (SELECT 1 FROM place WHERE box = ? AND key = value AND state <> 'waiting')"""


class Store:
    """An open database. Use `open` to work, `open_readonly` to look without leaving a trace."""

    def __init__(self, database: peewee.SqliteDatabase, settings: Settings, readonly: bool = False) -> None:
        self.database = database
        self.settings = settings
        self.readonly = readonly
        self.mails = settings.data_dir / "mails"

    # -- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, settings: Settings, migrate: bool = False) -> Store:
        """Open for work; make a missing database. An older schema is migrated only if asked, else exit 78."""
        path = _sqlite_path(settings)
        for folder in (settings.data_dir, path.parent):
            _make_folder(folder)
        database = peewee.SqliteDatabase(str(path), pragmas=PRAGMAS, timeout=BUSY_SECONDS)
        database.bind(tables.ALL)
        # Switching an empty file to a write-ahead log wants it alone.
        fresh = not path.exists() or path.stat().st_size == 0
        with as_helpdesk_error():
            with file_lock(settings.data_dir / MIGRATE_LOCK) if fresh else nullcontext():
                database.connect()
            store = cls(database, settings)
            store._bring_up_to_date(path, migrate)
        return store

    @classmethod
    def open_readonly(cls, settings: Settings) -> Store:
        """Open for a dry run: no file is made or changed. A missing database is an empty one in memory."""
        path = _sqlite_path(settings)
        if not path.exists() or path.stat().st_size == 0:
            database = peewee.SqliteDatabase(":memory:")
            database.bind(tables.ALL)
            _migrations(database).up()
            return cls(database, settings, readonly=True)
        # A write-ahead log means that somebody has it open. Without one, even SQLite's own side files must not appear.
        quiet = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
        database = peewee.SqliteDatabase(f"{path.as_uri()}?{quiet}", uri=True, timeout=BUSY_SECONDS, pragmas={"query_only": "on"})
        database.bind(tables.ALL)
        with as_helpdesk_error():
            database.connect()
            store = cls(database, settings, readonly=True)
            store.check_schema()
        return store

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the schema --------------------------------------------------------------------------------------------------

    def _bring_up_to_date(self, path: Path, migrate: bool) -> None:
        if not self.pending() and self.applied():
            return self.check_schema()
        # Six processes may start on an empty database at once: playhouse.migrations takes no lock of its own.
        with file_lock(self.settings.data_dir / MIGRATE_LOCK):
            applied = self.applied()
            if applied and self.pending():
                if not migrate:
                    raise SchemaOlder("The database is of an older Letterdesk.", "Run `helpdesk migrate` once, then try again.")
                self._copy_aside(path, sorted(applied)[-1])
            if self.pending():
                _migrations(self.database).up()
        self.check_schema()

    def _copy_aside(self, path: Path, version: str) -> None:
        copy = path.with_name(f"{path.name}.before-{version}")
        with suppress(FileNotFoundError):
            copy.unlink()
        self.database.execute_sql("VACUUM INTO ?", (str(copy),))

    def applied(self) -> set[str]:
        """Return the names of the migrations that this database has seen."""
        if not self.database.table_exists("schema_migration"):
            return set()
        return {name for (name,) in self.database.execute_sql("SELECT name FROM schema_migration")}

    def pending(self) -> list[str]:
        """Return the names of the migrations that this program has and the database has not."""
        return sorted(_known_migrations() - self.applied())

    def check_schema(self) -> None:
        """Raise SchemaNewer or SchemaOlder unless the database is exactly of this program's schema."""
        applied = self.applied()
        newer = sorted(applied - _known_migrations())
        if newer:
            raise SchemaNewer(
                f"The database has been migrated by a newer Letterdesk ({newer[-1]}).",
                "Update this installation; it touches nothing.",
            )
        if _known_migrations() - applied:
            raise SchemaOlder("The database is of an older Letterdesk.", "Run `helpdesk migrate` once, then try again.")

    # -- transactions and rows ---------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one IMMEDIATE transaction: all of it is on disk afterwards, or nothing."""
        connection = self.database.connection()
        with as_helpdesk_error():
            self.database.execute_sql("BEGIN IMMEDIATE")
            try:
                yield
                # A full disk or an interrupt may have rolled back behind our back; what follows would run unprotected.
                if not connection.in_transaction:
                    raise TryLater("the database gave up the transaction")
                self.database.execute_sql("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    self.database.execute_sql("ROLLBACK")
                raise

    def rows(self, query: Any) -> list[dict[str, Any]]:
        """Run a query; return its rows as dicts, foreign keys as ids."""
        return list(query.dicts().execute(self.database))

    def row(self, query: Any) -> dict[str, Any] | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(query.limit(1))), None)

    def values(self, query: Any) -> list[Any]:
        """Return the first column of a query."""
        return [row[0] for row in query.tuples().execute(self.database)]

    def count(self, query: Any) -> int:
        return int(query.count(self.database))

    def insert(self, model: type[tables.Table], rows: Sequence[dict[str, Any]]) -> None:
        """Insert rows; a column that a row does not name gets its default."""
        defaults = defaults_of(model)
        complete = ({**defaults, **row} for row in rows)
        self._many(_insert_sql(model), [tuple(row.values()) for row in complete])

    def update(self, model: type[tables.Table], rows: Sequence[tuple[Any, dict[str, Any]]]) -> None:
        """Set columns of rows, given as (primary key, columns); they name the same columns."""
        if rows:
            names = _in_order(model, rows[0][1])
            self._many(_update_sql(model, names), [(*(columns[name] for name in names), key) for key, columns in rows])

    def run(self, query: Any) -> None:
        """Run an UPDATE, DELETE or REPLACE."""
        query.execute(self.database)

    def _many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self.database.connection().executemany(sql, rows)

    def undecided(self, box: str, keys: Sequence[str]) -> list[str]:
        """Return those keys of a box that the ledger has not decided, in the order given; a probe of the index each."""
        found = [key for key in keys if not key.isprintable()]  # never filed under such a name, so never decided
        keys = [key for key in keys if key.isprintable()]
        for start in range(0, len(keys), CHUNK):
            chunk = json.dumps(keys[start : start + CHUNK])
            found += [row[0] for row in self.database.execute_sql(UNDECIDED, (chunk, box))]
        return found

    # -- raw mails ---------------------------------------------------------------------------------------------------

    def mail_file(self, digest: str) -> Path:
        """Return where a large raw mail lies: named by its digest, never by anything in it."""
        return self.mails / digest[:2] / digest

    def keep_large(self, digest: str, source: IO[bytes]) -> Path:
        """Copy a large raw mail into data/mails, on disk before any row speaks of it. Return its path."""
        target = self.mail_file(digest)
        if target.exists():
            return target
        _make_folder(target.parent)
        part = target.with_name(f"{digest}.{os.getpid()}.part")
        try:
            with open(part, "wb") as file:
                while block := source.read(LARGE):
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        _sync_folder(target.parent)
        return target

    def raw(self, mail_id: int) -> bytes:
        """Return the bytes of a mail, checked against their digest.

        Raises:
            HelpdeskError: the bytes are not there or are not what they were.
        """
        row = self.row(tables.Mail.select(tables.Mail.digest, tables.Mail.packed).where(tables.Mail.id == mail_id))
        if row is None:
            raise HelpdeskError(f"There is no mail {mail_id} in the ledger.")
        try:
            raw = zlib.decompress(row["packed"]) if row["packed"] is not None else self.mail_file(row["digest"]).read_bytes()
        except (OSError, zlib.error) as error:
            raise HelpdeskError(f"The bytes of mail {mail_id} cannot be read: {error}", "See `helpdesk audit`.") from error
        if hashlib.sha256(raw).hexdigest() != row["digest"]:
            raise HelpdeskError(f"The bytes of mail {mail_id} are not what they were.", "See `helpdesk audit`.")
        return raw


def pack(raw: bytes) -> bytes:
    """Compress a raw mail as the ledger keeps it."""
    return zlib.compress(raw, COMPRESSION)


def unpack(packed: bytes) -> bytes:
    """Return the raw mail that was packed."""
    return zlib.decompress(packed)


def _sqlite_path(settings: Settings) -> Path:
    path = settings.database_path
    if path is None:
        raise SettingsError(["DATABASE_URL: only sqlite:/// is served by this version"])
    return path


def _migrations(database: peewee.Database) -> Any:
    from playhouse.migrations import Runner

    return Runner(database, str(MIGRATIONS))


@cache
def _known_migrations() -> frozenset[str]:
    return frozenset(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(
            f"The folder {folder} cannot be made: {error.strerror}.", "Set DATA_DIR, or mend its rights."
        ) from error


def _sync_folder(folder: Path) -> None:
    """Flush a directory, where the system lets one be opened (not on Windows)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
