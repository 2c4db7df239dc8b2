"""Backups: the desk in one tar, as it stood at one moment, and the way back into an empty place.

A snapshot of the database is taken first: the large mails that its rows name are in data/mails by then, and never change.
A restore lays everything down beside its place, checks it, and renames the database last: without it there is no desk.
Nothing is ever unpacked by the name that a tar gives it: names come from the manifest, and only three kinds are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

import peewee

from . import __version__, tables
from .errors import CannotCreate, HelpdeskError, InputError, SchemaNewer, SchemaOlder, TryLater, UsageError
from .locks import file_lock
from .maildir import Maildir, boxes, split_name
from .outbox import PAUSE
from .settings import DROP_BOX, Settings
from .store import BUSY_SECONDS, LARGE, MIGRATE_LOCK, Store, as_helpdesk_error, now

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "helpdesk.db"
RULES = "config/rules.toml"
TEMPLATES = "config/templates/"
SUFFIXES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
BACKUP_LOCK = "backup.lock"
STAGING = "restore.part"  # in DATA_DIR; while it is there, what lies in DATA_DIR/mails came from a restore that died
SIDECARS = ("-wal", "-journal")  # SQLite would play those of another database into the restored one
MOST_MANIFEST = 64 << 20  # bytes; 160 for each large mail
BESIDE_SUFFIX = ".restored"  # of a file of config/ whose place is taken

_NAME = r"[^./\\:\x00-\x1f][^/\\:\x00-\x1f]*"
_TEMPLATE = re.compile(rf"{TEMPLATES}(?:{_NAME}/)*{_NAME}")
_MAIL = re.compile(r"mails/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGE = (tarfile.TarError, zlib.error, EOFError, ValueError, RecursionError)


class Member(NamedTuple):
    """A file of a backup, as the manifest has it."""

    size: int
    sha256: str


@dataclass
class Manifest:
    """What a backup says of itself, before anything else in it."""

    schema: str  # the last migration of the database
    counts: dict[str, int]  # rows by table
    members: dict[str, Member] = field(default_factory=dict)
    version: str = __version__
    created: str = field(default_factory=now)
    format: int = FORMAT

    def as_json(self) -> bytes:
        members = {name: member._asdict() for name, member in self.members.items()}
        return json.dumps({**vars(self), "members": members}, indent=1).encode()

    def __str__(self) -> str:
        large = sum(bool(_MAIL.fullmatch(name)) for name in self.members)
        config = sum(name.startswith("config/") for name in self.members)
        mails, tickets = (self.counts.get(name, 0) for name in ("mail", "ticket"))
        return f"mails {mails} (large ones {large}), tickets {tickets}, files of rules and templates {config}"


@dataclass
class Restored:
    """What a restore did, beside putting everything in its place."""

    manifest: Manifest
    damaged: list[str]  # what was wrong before the backup was made
    beside: list[Path] = field(default_factory=list)  # files of config/ whose place was taken
    again: int = 0  # undecided mails that wait in the drop box again
    waiting: int = 0  # mails in the outbox


# -- writing ---------------------------------------------------------------------------------------------------------


def write(settings: Settings, target: Path, force: bool = False) -> tuple[Manifest, list[str]]:
    """Write a backup while others work; return its manifest, and what could not be taken along.

    It needs twice its size of room for a while; whatever fails, nothing is left behind.

    Raises:
        UsageError: the name does not end as it should.
        CannotCreate: there is a file already.
        HelpdeskError: there is no database.
        TryLater: another backup is being written, or the disk is full.
    """
    mode = next((mode for suffix, mode in SUFFIXES.items() if target.name.lower().endswith(suffix)), None)
    if mode is None:
        raise UsageError(f"{target} does not end in {', '.join(SUFFIXES)}.", "Say desk.tar, or desk.tar.gz to have it smaller.")
    if os.path.lexists(target) and (target.is_dir() or not force):
        raise CannotCreate(f"{target} is there already.", "Give another name, or write over it with --force.")
    if not settings.database_path.exists() or not settings.database_path.stat().st_size:
        raise HelpdeskError(f"There is no database at {settings.database_path}.", "Is HELPDESK_HOME the right folder?")
    work = target.with_name(f"{target.name}.part")
    with file_lock(settings.data_dir / BACKUP_LOCK, seconds=0), _folder_of_its_own(work):
        manifest, sources, lost = _gathered(settings, work)
        with open(work / "tar", "xb") as file:
            _write_tar(file, mode, manifest, sources)
            file.flush()
            os.fsync(file.fileno())
        os.replace(work / "tar", target)
        _flush(target.parent)
    return manifest, lost


@contextlib.contextmanager
def _folder_of_its_own(folder: Path) -> Iterator[None]:
    """Work in a new folder, and take it away; one that is there was left by a process that was killed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _gathered(settings: Settings, work: Path) -> tuple[Manifest, dict[str, Path], list[str]]:
    """Take the snapshot, and copies of what may change; return what goes into the tar, and what is not there any more."""
    snapshot, mail = work / DATABASE, tables.Mail
    with _opened(settings.database_path, settings) as store:
        store.database.execute_sql("VACUUM INTO ?", (str(snapshot),))
    with _opened(snapshot, settings) as store:
        digests = store.values(mail.select(mail.digest).where(mail.packed.is_null()).order_by(mail.digest))
        manifest = Manifest(max(store.applied(), default=""), _counts(store))
        sources = {_mail_name(digest): store.mail_file(digest) for digest in digests}
    sources |= {name: _copied(path, work / name) for name, path in _config(settings)}
    lost = []
    for name, path in {DATABASE: snapshot, **sources}.items():
        try:
            manifest.members[name] = _measured(path)
        except FileNotFoundError:
            lost.append(f"{path} is not there any more: see `helpdesk audit`")
    return manifest, {DATABASE: snapshot, **sources}, lost


def _config(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the rules and templates, by the names that they have in a backup, wherever they are kept."""
    if settings.rules_file.is_file():
        yield RULES, settings.rules_file
    for path in sorted(settings.templates_dir.rglob("*")):
        name = TEMPLATES + path.relative_to(settings.templates_dir).as_posix()
        if path.is_file() and _TEMPLATE.fullmatch(name):
            yield name, path


def _copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))


def _measured(path: Path) -> Member:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(file.tell(), digest)


def _write_tar(file: IO[bytes], mode: str, manifest: Manifest, sources: dict[str, Path]) -> None:
    text = manifest.as_json()
    with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]
        tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
        for name, member in manifest.members.items():
            with open(sources[name], "rb") as source:
                tar.addfile(_entry(name, member.size), source)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
    return entry


# -- reading back ----------------------------------------------------------------------------------------------------


def verify(settings: Settings, file: Path) -> tuple[Manifest | None, list[str]]:
    """Read a backup to its end; return its manifest, and what is wrong in it or in the mails that it holds.

    Raises:
        InputError: it cannot be read at all.
    """
    with _readable(file) as raw, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE
        try:
            manifest = _unpacked(raw, lambda name: path if name == DATABASE else None)
            return manifest, _checked(path, settings, manifest)
        except (InputError, SchemaNewer) as error:
            return None, [error.sentence]


def _readable(file: Path) -> IO[bytes]:
    try:
        return open(file, "rb")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error


def _unpacked(raw: IO[bytes], place: Callable[[str], Path | None]) -> Manifest:
    """Check every file of a backup against the manifest, and write those for which `place` names a path.

    Raises:
        InputError: it is no backup, or not what was written.
    """
    try:
        with tarfile.open(fileobj=raw, mode="r|*") as tar:
            manifest = _manifest(tar)
            left = dict(manifest.members)
            while entry := tar.next():
                _take(tar, entry, left, place)
    except _DAMAGE as error:
        raise InputError(f"{raw.name} is no backup, or a damaged one: {str(error)[:300]}.") from error
    if left:
        raise InputError(f"{raw.name} is not whole: of its {len(manifest.members)} files {len(left)} are missing.")
    return manifest


def _manifest(tar: tarfile.TarFile) -> Manifest:
    entry = tar.next()
    if entry is None or entry.name != MANIFEST or not _is_plain(entry) or entry.size > MOST_MANIFEST:
        raise tarfile.ReadError(f"it does not begin with {MANIFEST}")
    said = json.loads(_stream(tar, entry).read())
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise tarfile.ReadError(f"its manifest is not of format {FORMAT}; a newer Letterdesk may have made it")
    try:
        said["members"] = {name: Member(**member) for name, member in said["members"].items()}
        manifest = Manifest(**said)
        good = DATABASE in manifest.members and all(map(_is_known, manifest.members.items()))
        good = good and all(type(count) is int for count in manifest.counts.values())
    except (TypeError, AttributeError, KeyError):
        good = False
    if not good:
        raise tarfile.ReadError("its manifest names what no backup holds")
    return manifest


def _is_known(item: tuple[str, Member]) -> bool:
    name, (size, sha256) = item
    named = name in (DATABASE, RULES) or _MAIL.fullmatch(name) or _TEMPLATE.fullmatch(name)
    return bool(named) and type(size) is int and size >= 0 and bool(_DIGEST.fullmatch(sha256))


def _is_plain(entry: tarfile.TarInfo) -> bool:
    return entry.type == tarfile.REGTYPE and not entry.issparse()


def _stream(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(entry)
    assert stream is not None  # it is a plain file
    return stream


def _take(tar: tarfile.TarFile, entry: tarfile.TarInfo, left: dict[str, Member], place: Callable[[str], Path | None]) -> None:
    """Read one file, which must be one that is left of the manifest, and write it where it belongs."""
    member = left.pop(entry.name, None)
    if member is None or not _is_plain(entry) or entry.size != member.size:
        raise tarfile.ReadError(f"{entry.name!r} is not the file that its manifest names")
    path = place(entry.name)
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest, stream = hashlib.sha256(), _stream(tar, entry)
    with open(os.devnull if path is None else path, "wb") as file:
        while block := stream.read(LARGE):
            digest.update(block)
            file.write(block)
        if path is not None:
            file.flush()
            os.fsync(file.fileno())
    if digest.hexdigest() != member.sha256:
        raise tarfile.ReadError(f"the bytes of {entry.name!r} are not what they were")


@contextlib.contextmanager
def _opened(path: Path, settings: Settings) -> Iterator[Store]:
    """Open a database of any schema, one that others work with too."""
    database = peewee.SqliteDatabase(str(path), timeout=BUSY_SECONDS)
    database.bind(tables.ALL)
    with as_helpdesk_error():
        database.connect()
        try:
            yield Store(database, settings)
        finally:
            database.close()


def _checked(path: Path, settings: Settings, manifest: Manifest) -> list[str]:
    """Check the database of a backup; return what was wrong when it was made.

    Raises:
        InputError: it is no database that can be worked with.
        SchemaNewer
    """
    try:
        with _opened(path, settings) as store:
            [(sound,)] = store.database.execute_sql("PRAGMA integrity_check(1)").fetchall()
            if sound != "ok" or not store.applied():
                raise InputError(f"The database of the backup is damaged: {sound}.")
            with contextlib.suppress(SchemaOlder):  # the next command migrates it, or says how
                store.check_schema()
            return [*_wrong_rows(store, manifest), *_wrong_mails(store, manifest)]
    except (peewee.PeeweeException, TryLater) as error:
        if isinstance(error, SchemaNewer):
            raise
        raise InputError(f"The database of the backup is damaged: {str(error)[:300]}.") from error


def _wrong_rows(store: Store, manifest: Manifest) -> Iterator[str]:
    if rows := store.database.execute_sql("PRAGMA foreign_key_check").fetchall():
        yield f"{len(rows)} rows point to rows that are not there, the first in table {rows[0][0]}"
    if _counts(store) != manifest.counts:
        yield "the manifest counts other rows than the database holds"


def _wrong_mails(store: Store, manifest: Manifest) -> Iterator[str]:
    for number, digest, packed in store.database.execute_sql("SELECT id, digest, packed FROM mail"):
        if packed is None:
            member = manifest.members.get(_mail_name(digest))
            found = member.sha256 if member else None
        else:
            found = _digest_of(packed)
        if found != digest:
            yield f"mail {number}: its bytes are {'missing' if found is None else 'not what they were'}"


def _digest_of(packed: bytes) -> str:
    try:
        return hashlib.sha256(zlib.decompressobj().decompress(packed, 2 * LARGE)).hexdigest()
    except (zlib.error, TypeError):
        return ""


def _counts(store: Store) -> dict[str, int]:
    """Count the rows of every table that there is: an older schema has fewer."""
    names = sorted(name for name in store.database.get_tables() if not name.startswith("sqlite_"))
    count = 'SELECT COUNT(*) FROM "{}"'
    return {name: store.database.execute_sql(count.format(name.replace('"', '""'))).fetchone()[0] for name in names}


def _mail_name(digest: str) -> str:
    return f"mails/{digest[:2]}/{digest}"


# -- restoring -------------------------------------------------------------------------------------------------------


def restore(settings: Settings, file: Path) -> Restored:
    """Put a backup into an empty place, and pause sending there.

    Killed at any moment, there is no database and it can be run again, or all is in its place.

    Raises:
        CannotCreate: something is there already, or cannot be made.
        InputError: it is no backup, or a damaged one; nothing was put into its place.
        SchemaNewer
    """
    staging = settings.data_dir / STAGING
    staged = settings.database_path.with_name(f"{settings.database_path.name}.{STAGING}")
    with _readable(file) as raw, _place_alone(settings):
        _refuse_what_is_there(settings, staging)
        try:
            _remove(staging, staged)
            staging.mkdir(mode=0o700)
            manifest = _unpacked(raw, lambda name: staged if name == DATABASE else staging / name)
            restored = Restored(manifest, _checked(staged, settings, manifest))
        except BaseException:
            _remove(staging, staged)
            raise
        _put_into_place(settings, staging, restored)
        _fit_to_maildir(settings, staged, restored)
        os.replace(staged, settings.database_path)
        _flush(settings.database_path.parent)
        shutil.rmtree(staging, ignore_errors=True)
    return restored


@contextlib.contextmanager
def _place_alone(settings: Settings) -> Iterator[None]:
    """Let whoever finds no database wait before making an empty one."""
    for folder in (settings.data_dir, settings.database_path.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file_lock(settings.data_dir / MIGRATE_LOCK):
        yield


def _refuse_what_is_there(settings: Settings, staging: Path) -> None:
    path, mails = settings.database_path, settings.data_dir / "mails"
    there = [path, *(path.with_name(path.name + suffix) for suffix in SIDECARS)]
    taken = next((found for found in there if found.exists() and (found.is_dir() or found.stat().st_size)), None)
    if taken is None and not staging.exists() and mails.exists() and any(mails.iterdir()):
        taken = mails
    if taken:
        raise CannotCreate(
            f"{taken} is there already; a backup is restored into an empty place only.",
            f"Stop everything, move {path}* and {mails} away (or set DATA_DIR), then try again.",
        )


def _remove(staging: Path, staged: Path) -> None:
    """Remove what a restore laid down that did not come to its end."""
    shutil.rmtree(staging, ignore_errors=True)
    for suffix in ("", "-shm", *SIDECARS):
        staged.with_name(staged.name + suffix).unlink(missing_ok=True)


def _put_into_place(settings: Settings, staging: Path, restored: Restored) -> None:
    """Move all but the database; done again after a kill it comes to the same."""
    for name in restored.manifest.members:
        if found := _MAIL.fullmatch(name):
            target = settings.data_dir / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.replace(staging / "mails" / found[1] / found[2], target)
            _flush(target.parent)
        elif name != DATABASE:
            templates = settings.templates_dir / name.removeprefix(TEMPLATES)
            _put_beside(staging / name, settings.rules_file if name == RULES else templates, restored)
    pause = settings.data_dir / PAUSE
    if not pause.exists():
        pause.write_text(f"Restored at {now()}: nothing is sent while this file is here.\n")
    for folder in filter(Path.exists, (settings.data_dir / "mails", settings.data_dir)):
        _flush(folder)


def _put_beside(source: Path, target: Path, restored: Restored) -> None:
    """Put a file of rules or templates into its place, or beside another that is there."""
    if os.path.lexists(target):
        if target.is_file() and _measured(target) == _measured(source):
            return
        target = target.with_name(target.name + BESIDE_SUFFIX)
        restored.beside.append(target)
    part = target.with_name(f"{target.name}.part")
    _copied(source, part)
    _flush(part)
    os.replace(part, target)
    _flush(target.parent)


def _fit_to_maildir(settings: Settings, staged: Path, restored: Restored) -> None:
    """Note which files are gone, let undecided mails wait in the drop box again, and see what waits to be sent."""
    known = boxes(settings.maildir, settings.boxes, settings.maildir_separator)
    mail, place = tables.Mail, tables.Place
    with _opened(staged, settings) as store:
        filed = store.rows(place.select(place.id, place.box, place.key).where(place.state == "filed"))
        keys = {name: _keys(box) for name, box in known.items()}
        gone = [row["id"] for row in filed if row["box"] in keys and row["key"] not in keys[row["box"]]]
        with store.transaction():
            store.update(place, [(number, {"state": "gone"}) for number in gone])
        for number in store.values(mail.select(mail.id).where(mail.outcome.is_null())):
            with contextlib.suppress(HelpdeskError):  # damaged, and told as that
                raw = store.raw(number)
                known[DROP_BOX].create()
                known[DROP_BOX].deliver(raw)
                restored.again += 1
        if store.database.table_exists("outbox"):
            restored.waiting = store.count(tables.Outbox.select().where(tables.Outbox.state == "waiting"))
        # Several processes may start on it at once, and switching would want it alone.
        store.database.execute_sql("PRAGMA journal_mode = wal")


def _keys(box: Maildir) -> set[str]:
    return {split_name(name)[0] for name in box.cur_names()} | {found.place.key for found in box.new()}


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk, where the system lets a folder be opened (not on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
