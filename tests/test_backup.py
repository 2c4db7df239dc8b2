"""Backups through the command line: taken while a worker works, restored into an empty place, killed, damaged, without room."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import backup
from pipeline.settings import load

from .conftest import House, a_mail, needs
from .test_migrations import MIGRATIONS, filled, made_by, stored

MIB = 1 << 20
SECRET = "correct horse battery"
KILLS = 12
DAMAGES = 150
SMTP = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "9", "SMTP_SECURITY": "none", "EMAIL_HOST_USER": "support@desk.example"}


def attached(number: int, size: int) -> bytes:
    """Make a mail with an attachment of so many bytes, which are different in every mail."""
    file = random.Random(number).randbytes(1024) * (size // 1024)
    text = base64.encodebytes(file).decode()
    body = f"--x\n\nSee the file.\n--x\nContent-Type: application/pdf; name=file-{number}.pdf\n"
    body += f"Content-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n{text}\n--x--"
    kind = {"content_type": "multipart/mixed; boundary=x", "mime_version": "1.0"}
    return a_mail(f"File {number}", "Bob <bob@example.com>", body, f"<file{number}@example.com>", **kind)


def at_work(home: Path, large: int = 2) -> House:
    """Make a desk: tickets with an answer, a note, attachments, large mails and a failed one; rules, templates, secrets."""
    home.mkdir()
    house = House(home)
    (home / ".env").write_text(f'IMAP_PASSWORD="{SECRET}"\n')
    (home / ".env").chmod(0o600)
    (home / "config" / "templates" / "Sales").mkdir(parents=True)
    (home / "config" / "rules.toml").write_text("# no rules yet\n")
    (home / "config" / "templates" / "Sales" / "signature.txt").write_text("Yours, Sales\n")
    house.drop(a_mail(), "1.eml")
    house.drop(a_mail("Re: Hello", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    house.drop(attached(1, 3000), "3.eml")
    for number in range(2, 2 + large):
        house.drop(attached(number, MIB), f"large-{number}.eml")
    house.drop(b"\n\nno header at all\n", "9.eml")
    house.process(code=1)
    house.run("ticket", "note", "1", "--text", "Ask the boss.")
    return house


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A desk with its backup desk.tar beside it, made once; tests work on copies."""
    house = at_work(tmp_path_factory.mktemp("made") / "old")
    backed_up(house)
    return house


@pytest.fixture(scope="module")
def as_it_was(made: House) -> dict[str, Any]:
    """All that is seen at that desk."""
    return seen(made)


@pytest.fixture
def old(made: House, tmp_path: Path) -> House:
    """A desk at work."""
    return House(shutil.copytree(made.home, tmp_path / "old"))


@pytest.fixture
def file(made: House, tmp_path: Path) -> Path:
    """A backup of that desk."""
    return Path(shutil.copy(made.home.with_name("desk.tar"), tmp_path))


@pytest.fixture
def place(tmp_path: Path) -> House:
    """An empty place."""
    (tmp_path / "place").mkdir()
    return House(tmp_path / "place")


def backed_up(house: House, name: str = "desk.tar") -> Path:
    file = house.home.with_name(name)
    house.run("backup", str(file))
    return file


def seen(house: House) -> dict[str, Any]:
    """Return all that a user sees of tickets, mails and people, and the bytes of every attachment."""
    tickets = house.json("ticket", "list", "--all")
    shown = [house.json("ticket", "show", ticket["number"]) for ticket in tickets]
    for ticket in tickets:
        house.run("ticket", "save", ticket["number"], f"saved/{ticket['number']}", code=None)
    saved = {str(path.relative_to(house.home)): path.read_bytes() for path in (house.home / "saved").rglob("*.pdf")}
    shutil.rmtree(house.home / "saved", ignore_errors=True)
    return {
        "tickets": tickets,
        "shown": shown,
        "saved": saved,
        "failed": house.json("failed", "list"),
        "people": house.json("people", "list"),
    }


def lines(database: Path) -> list[str]:
    """Return the whole database as text."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
        return list(db.iterdump())


def nothing_is_there(house: House) -> bool:
    """Is there no more than an empty folder and a lock?"""
    left = {path.name for path in house.home.rglob("*")}
    return left <= {"data", "migrate.lock"}


# -- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["desk.tar", "desk.tgz"])
def test_a_restored_desk_is_the_same_desk(old: House, place: House, as_it_was: dict[str, Any], name: str) -> None:
    """Tickets, people, failed mails and every attachment, large mails too, are what they were; rules and templates lie there."""
    said = old.run("backup", str(old.home.with_name(name)))
    file = old.home.with_name(name)
    assert f"{name}, " in said.stderr.decode() and "mails 6 (large ones 2)" in said.stderr.decode()
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [name]
    assert len(as_it_was["saved"]) == 3 and {MIB, 2048} == {len(saved) for saved in as_it_was["saved"].values()}
    assert place.run("restore", str(file)).stdout == b""
    assert seen(place) == as_it_was
    assert place.json("audit")["complete"]
    for path in ("config/rules.toml", "config/templates/Sales/signature.txt"):
        assert (place.home / path).read_bytes() == (old.home / path).read_bytes()
    held = {path.name for path in (place.home / "data").iterdir()}
    assert not any("part" in one or "journal" in one for one in held)
    assert "Whole" in old.run("backup", "--verify", str(file)).stdout.decode()


def test_a_backup_holds_no_secret_and_is_its_owners_alone(old: House) -> None:
    """.env is not in it, the user is told so, and nobody else may read it."""
    said = old.run("backup", "../desk.tar").stderr.decode()
    file = old.home.with_name("desk.tar")
    assert ".env" in said and SECRET.encode() not in file.read_bytes()
    with tarfile.open(file) as tar:
        assert not [name for name in tar.getnames() if "env" in name]
        assert {entry.mode for entry in tar} == {0o600}
    assert file.stat().st_mode & 0o077 == 0


def test_the_manifest_names_version_schema_rows_and_digests(file: Path) -> None:
    """The first file of a backup says what the others are."""
    with tarfile.open(file) as tar:
        first, *others = tar.getmembers()
        manifest = json.loads(read(tar, first))
        assert first.name == "manifest.json" and manifest["version"] and manifest["schema"] == MIGRATIONS[-1].stem
        assert manifest["counts"]["mail"] == 6 and manifest["counts"]["ticket"] == 4
        digests = {entry.name: hashlib.sha256(read(tar, entry)).hexdigest() for entry in others}
    assert digests == {name: member["sha256"] for name, member in manifest["members"].items()}


def read(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file
    return file.read()


def test_backups_while_a_worker_works(old: House, tmp_path: Path) -> None:
    """Each holds one moment: every mail has its ticket and its bytes; the last one, restored, is whole."""
    worker = old.start("worker")
    try:
        for number in range(100, 140):
            old.drop(attached(number, MIB if number % 10 == 0 else 2000), f"{number}.eml")
            if number % 20 == 9:
                old.run("backup", "--force", f"../{number}.tar")
        file = backed_up(old)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    counts = []
    for number, backup_file in enumerate([*sorted(tmp_path.glob("1*.tar")), file]):
        old.run("backup", "--verify", str(backup_file))
        house = House(tmp_path / f"place{number}")
        house.home.mkdir()
        house.run("restore", str(backup_file))
        tickets, mails = house.json("ticket", "list", "--all"), house.json("audit")
        assert mails["complete"] and mails["by_outcome"]["opened"] == len(tickets) and not mails["by_outcome"].get("undecided")
        counts.append(len(tickets))
    assert counts == sorted(counts) and len(counts) == 3 and counts[-1] > 4
    last = tickets[-1] if tickets[0]["id"] == 1 else tickets[0]
    house.run("ticket", "save", last["number"], "saved")
    assert list((house.home / "saved").glob("*.pdf"))
    old.process()
    assert old.json("audit")["complete"] and len(old.json("ticket", "list", "--all")) == 44


# -- the Maildir beside it -------------------------------------------------------------------------------------------


def test_newer_files_in_the_maildir_are_new_mail(old: House, place: House, file: Path) -> None:
    """Files that the backup knows cause nothing; what was filed after it, or lies in new/, is processed, once."""
    old.drop(a_mail("Newer", message_id="<newer@example.com>"), "newer.eml")
    old.process()
    old.drop(a_mail("Newest", message_id="<newest@example.com>"), "newest.eml")
    shutil.copytree(old.maildir, place.maildir)
    place.run("restore", str(file))
    before = place.json("audit", code=1)
    assert before["missing"] and not before["orphaned"]
    mails, summary = place.process()
    assert {mail["outcome"] for mail in mails} == {"opened"} and summary["opened"] == 2
    assert place.process()[0] == [] and place.json("audit")["complete"]
    assert [ticket["subject"] for ticket in place.json("ticket", "list", "--all")].count("Newer") == 1


def test_a_file_that_was_not_moved_yet_is_moved(old: House, place: House, as_it_was: dict[str, Any]) -> None:
    """A backup between a commit and its rename: the file in new/ is filed, and makes nothing a second time."""
    with closing(sqlite3.connect(old.database)) as db, db:
        [(key, original)] = db.execute("SELECT key, original FROM place WHERE original LIKE '%1.eml'").fetchall()
        db.execute("UPDATE place SET state = 'noted' WHERE key = ?", (key,))
    [filed] = [path for path in old.cur.iterdir() if path.name.startswith(key)]
    filed.rename(old.new / original)
    file = backed_up(old)
    shutil.copytree(old.maildir, place.maildir)
    place.run("restore", str(file))
    assert place.process()[0] == [] and not list(place.new.iterdir())
    assert any(path.name.startswith(key) for path in place.cur.iterdir())
    assert place.json("audit")["complete"] and seen(place) == as_it_was


def test_mail_that_is_fetched_again_is_in_already(old: House, place: House, file: Path) -> None:
    """With an empty Maildir the server's mails come again, under other names: duplicates, and no ticket changes."""
    raws = [path.read_bytes() for path in sorted(old.cur.iterdir())]
    place.run("restore", str(file))
    for number, raw in enumerate(raws):
        place.drop(raw, f"again-{number}.eml")
    mails, summary = place.process(code=None)
    assert summary["duplicate"] == 5 and summary["failed"] == 1 and len(mails) == 6
    assert place.json("ticket", "list", "--all") == old.json("ticket", "list", "--all")


def test_a_mail_that_was_not_decided_yet_is_processed(old: House, place: House) -> None:
    """The only copy of an undecided mail may be in the backup: it waits in the drop box of the restored desk."""
    raw = a_mail("Undecided", message_id="<undecided@example.com>")
    row = (hashlib.sha256(raw).hexdigest(), "2026-11-22T07:31:00+00:00", len(raw), backup.zlib.compress(raw))
    with closing(sqlite3.connect(old.database)) as db, db:
        db.execute(
            """INSERT INTO mail (id, digest, received, size, packed, identity_version, trail, tries, version)
               SELECT value + 1, ?, ?, ?, ?, 0, '[]', 1, '0' FROM counter WHERE name = 'mail'""",
            row,
        )
        db.execute("UPDATE counter SET value = value + 1 WHERE name = 'mail'")
    assert "drop box again: 1." in place.run("restore", str(backed_up(old))).stderr.decode()
    [mail], _ = place.process()
    assert mail["outcome"] == "opened" and place.json("audit")["complete"]


def test_nothing_goes_out_before_the_operator_has_looked(old: House, place: House) -> None:
    """Mails that waited are kept and told; sending is paused by the file that the user is told to remove."""
    old.run("ticket", "reply", "1", "--text", "Try again.", **SMTP)
    said = place.run("restore", str(backed_up(old))).stderr.decode()
    pause = place.home / "data" / "PAUSE"
    assert "mails that wait: 1." in said and "helpdesk outbox list" in said and str(pause) in said
    [row] = place.json("outbox", "list")
    assert row["state"] == "waiting"
    assert "paused" in place.run("send", **SMTP).stderr.decode()
    pause.unlink()
    place.run("send", code=69, **SMTP)  # it tries: there is no server


def test_rules_and_templates_that_are_there_stay(place: House, file: Path) -> None:
    """A file of another content keeps its place; the one of the backup lies beside it, and the user is told."""
    rules = place.home / "config" / "rules.toml"
    rules.parent.mkdir()
    rules.write_text("# mine\n")
    said = place.run("restore", str(file)).stderr.decode()
    assert rules.read_text() == "# mine\n"
    assert rules.with_name("rules.toml.restored").read_text() == "# no rules yet\n" and "rules.toml.restored" in said
    assert (place.home / "config" / "templates" / "Sales" / "signature.txt").is_file()


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_file_that_is_there_is_written_over_only_by_force(old: House) -> None:
    """Without --force an existing FILE stays as it is; a folder, another ending, or no database are refused too."""
    file = old.home.with_name("desk.tar")
    file.write_bytes(b"mine")
    assert "--force" in old.run("backup", str(file), code=73).stderr.decode()
    assert file.read_bytes() == b"mine"
    old.run("backup", "--force", str(file))
    old.run("backup", "--verify", str(file))
    old.home.with_name("folder.tar").mkdir()
    old.run("backup", "--force", "../folder.tar", code=73)
    old.run("backup", "../desk.zip", code=2)
    old.run("backup", "../nowhere/desk.tar", code=73)
    old.run("backup", "--verify", "../nothing.tar", code=65)


def test_without_a_database_there_is_no_backup(place: House) -> None:
    """A cron job in the wrong folder is told; it makes no database, and no backup of nothing."""
    assert "HELPDESK_HOME" in place.run("backup", "desk.tar", code=1).stderr.decode()
    assert not list(place.home.iterdir())


@pytest.mark.parametrize("taken", ["data/helpdesk.db", "data/helpdesk.db-wal", "data/mails/ab/cd"])
def test_a_place_that_is_not_empty_is_left_alone(place: House, file: Path, taken: str) -> None:
    """A database, the log of one, or large mails: refused with what to move away, and untouched."""
    path = place.home / taken
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something")
    said = place.run("restore", str(file), code=73).stderr.decode()
    assert "move" in said and "Traceback" not in said
    assert path.read_bytes() == b"something" and not (place.home / "config").exists()


def test_an_empty_file_is_no_database(place: House, file: Path) -> None:
    """What a process that died at once may leave, a database of no bytes, is in nobody's way."""
    place.database.parent.mkdir()
    place.database.touch()
    place.run("restore", str(file))
    assert len(place.json("ticket", "list", "--all")) == 4


def test_one_backup_at_a_time(old: House) -> None:
    """Two at once would write into one another: the second is told to come back."""
    from pipeline.locks import file_lock

    with file_lock(old.home / "data" / "backup.lock"):
        old.run("backup", "../desk.tar", code=75)
    old.run("backup", "../desk.tar")


def rewritten(file: Path, change: Callable[[dict[str, bytes]], Iterator[tarfile.TarInfo] | None]) -> None:
    """Write a tar anew after a change of its files by name; further entries may be given. The manifest's digests follow."""
    with tarfile.open(file) as tar:
        files = {entry.name: read(tar, entry) for entry in tar}
    before = dict(files)
    further = list(change(files) or ())
    if files["manifest.json"] == before["manifest.json"]:
        manifest = json.loads(files["manifest.json"])
        for name, data in files.items():
            if before.get(name) != data:
                manifest["members"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(file, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in further:
            tar.addfile(entry)


def an_entry(name: str, kind: bytes, target: str = "") -> Callable[[dict[str, bytes]], Iterator[tarfile.TarInfo]]:
    """Add an entry of a kind to a tar."""

    def change(_: dict[str, bytes]) -> Iterator[tarfile.TarInfo]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        yield entry

    return change


def listed(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[dict[str, bytes]], Iterator[tarfile.TarInfo]]:
    """Add an entry that the manifest names as well."""

    def change(files: dict[str, bytes]) -> Iterator[tarfile.TarInfo]:
        manifest = json.loads(files["manifest.json"])
        manifest["members"][name] = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
        files["manifest.json"] = json.dumps(manifest).encode()
        yield from an_entry(name, kind, target)(files)

    return change


def manifest_of(text: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda files: files.update({"manifest.json": text})


CRAFTED: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "a file too many": an_entry("config/rules.toml.py", tarfile.REGTYPE),
    "a file twice": an_entry("helpdesk.db", tarfile.REGTYPE),
    "above the folder": listed("../evil"),
    "above the templates": listed("config/templates/../../evil"),
    "absolute": listed("/tmp/evil"),
    "hidden": listed("config/templates/.evil"),
    "a name of Windows": listed("config/templates/a\\..\\evil"),
    "a symlink": listed("config/templates/a.txt", tarfile.SYMTYPE, "/etc/passwd"),
    "a symlink as a folder": an_entry("mails", tarfile.SYMTYPE, "/etc"),
    "a hard link": listed("config/templates/a.txt", tarfile.LNKTYPE, "helpdesk.db"),
    "a device": listed("config/templates/a.txt", tarfile.CHRTYPE),
    "a pipe": listed("config/templates/a.txt", tarfile.FIFOTYPE),
    "a folder": listed("config/templates/a", tarfile.DIRTYPE),
    "another name": listed("data/evil"),
    "no database": lambda files: files.pop("helpdesk.db") and None,
    "no SQLite": lambda files: files.update({"helpdesk.db": b"something else" * 1000}),
    "an empty database": lambda files: files.update({"helpdesk.db": b""}),
    "no JSON": manifest_of(b"{"),
    "deep JSON": manifest_of(b"[" * 100_000),
    "a list": manifest_of(b"[]"),
    "another format": manifest_of(b'{"format": 2}'),
    "no members": manifest_of(b'{"format": 1, "schema": "", "counts": {}}'),
    "odd members": manifest_of(b'{"format": 1, "schema": "", "counts": {}, "members": {"helpdesk.db": 7}}'),
    "odd sizes": manifest_of(
        b'{"format": 1, "schema": "", "counts": {}, "members": {"helpdesk.db": {"size": "7", "sha256": 7}}}'
    ),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_backup_is_refused(place: House, file: Path, kind: str) -> None:
    """Whatever its names, kinds and manifest are, nothing is put anywhere, and the user is told why."""
    rewritten(file, CRAFTED[kind])
    said = place.run("restore", str(file), code=65).stderr.decode()
    assert re.match(r"helpdesk: .*(damaged|not whole)", said) and "Traceback" not in said
    assert nothing_is_there(place)
    _, [sentence] = backup.verify(load({"HELPDESK_HOME": str(place.home)}), file)
    assert sentence in said


def damaged(data: bytes) -> dict[str, bytes]:
    """Damage a backup as disks, networks and people do."""
    middle = len(data) // 2
    flipped = bytes([data[middle] ^ 1])
    foreign = io.BytesIO()
    with tarfile.open(fileobj=foreign, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("README"))
    return {
        "empty": b"",
        "cut": data[:middle],
        "cut in its head": data[:300],
        "flipped": data[:middle] + flipped + data[middle + 1 :],
        "foreign": foreign.getvalue(),
        "text": b"Dear all,\n" * 1000,
        "zeros": bytes(20_000),
    }


@pytest.mark.parametrize("name", ["desk.tar", "desk.tar.gz"])
def test_a_damaged_backup_is_refused(old: House, place: House, name: str) -> None:
    """Cut, flipped, foreign: refused with a sentence, and the place is as empty as before."""
    file = backed_up(old, name)
    for kind, data in damaged(file.read_bytes()).items():
        file.write_bytes(data)
        said = place.run("restore", str(file), code=65).stderr.decode()
        assert "damaged" in said or "not whole" in said, kind
        assert nothing_is_there(place), kind
    assert "Not whole" in place.run("backup", "--verify", str(file), code=1).stdout.decode()
    place.run("restore", "../nothing.tar", code=65)


@pytest.mark.parametrize("name", ["desk.tar", "desk.tar.gz"])
def test_no_damage_goes_unseen(old: House, name: str) -> None:
    """A hundred and fifty random damages: each is found, or every byte of every file in the backup is what it was."""
    file, settings, rnd = backed_up(old, name), load({"HELPDESK_HOME": str(old.home)}), random.Random(7)
    good, data = backup.verify(settings, file)[0], file.read_bytes()
    assert good
    found = 0
    for _ in range(DAMAGES):
        hurt = bytearray(data)
        at = rnd.randrange(len(hurt)) if rnd.random() < 0.7 else rnd.randrange(4096)
        if rnd.random() < 0.3:
            del hurt[at:]
        else:
            hurt[at] ^= 1 << rnd.randrange(8)
        file.write_bytes(hurt)
        manifest, wrong = backup.verify(settings, file)
        found += bool(wrong)
        assert wrong or (manifest and manifest.members == good.members and manifest.counts == good.counts)
    assert found > DAMAGES / 2


def test_what_was_damaged_before_is_told_and_restored(old: House, place: House) -> None:
    """A large mail that is gone or changed stops neither backup nor restore: each names it and exits 1."""
    gone, changed = sorted(path for path in (old.home / "data" / "mails").rglob("*") if path.is_file())
    gone.unlink()
    changed.write_bytes(b"other bytes")
    file = old.home.with_name("desk.tar")
    assert gone.name in old.run("backup", str(file), code=1).stderr.decode()
    said = place.run("backup", "--verify", str(file), code=1).stdout.decode()
    assert len(re.findall(r"^mail \d+: its bytes are (?:missing|not what they were)$", said, re.MULTILINE)) == 2
    assert "its bytes are missing" in place.run("restore", str(file), code=1).stderr.decode()
    assert place.json("ticket", "list", "--all") == old.json("ticket", "list", "--all")


# -- other versions --------------------------------------------------------------------------------------------------


def test_an_older_schema_is_migrated_afterwards(place: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of an older Letterdesk is restored as it is; `helpdesk migrate` brings it to today, every value kept."""
    (tmp_path / "old").mkdir()
    old = House(tmp_path / "old")
    settings = load({"HELPDESK_HOME": str(old.home)})
    made_by(settings, MIGRATIONS[:3], tmp_path / "then", monkeypatch)
    before = filled(settings.database_path)
    place.run("restore", str(backed_up(old)), code=1)  # the bytes of its mails are made up, which is told
    assert "helpdesk migrate" in place.run("ticket", "list", code=78).stderr.decode()
    with closing(sqlite3.connect(place.database)) as db:
        assert stored(db) == before | {"place": [row | {"state": row["state"]} for row in before["place"]]}
    place.run("migrate")
    assert len(place.json("people", "list")) == 2


def test_a_newer_schema_is_refused(old: House, place: House) -> None:
    """A backup of a newer Letterdesk is not touched by this one."""
    with closing(sqlite3.connect(old.database)) as db, db:
        db.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', 0)")
    file = backed_up(old)
    assert "newer Letterdesk" in place.run("restore", str(file), code=75).stderr.decode()
    assert nothing_is_there(place)
    assert "newer" in place.run("backup", "--verify", str(file), code=1).stdout.decode()


# -- no room, and kills ----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    if os.name != "posix" or os.getuid():
        pytest.skip("needs root, to mount a small disk")
    needs("mount", "mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "letterdesk-test", str(folder)], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_backup_without_room_leaves_nothing(old: House, small_disk: Path) -> None:
    """A full disk, in the snapshot or in the tar: a sentence, 73 or 75, and no file; one that was there stays."""
    (small_disk / "desk.tar").write_bytes(b"mine")
    for spare in (2 * MIB, MIB):  # with room for the snapshot alone, and not even that
        (small_disk / "ballast").write_bytes(bytes(2 * MIB - spare))
        done = old.run("backup", "--force", str(small_disk / "desk.tar"), code=None)
        assert done.returncode in (73, 75) and b"space" in done.stderr or b"full" in done.stderr
        assert {path.name for path in small_disk.iterdir()} == {"ballast", "desk.tar"}
        assert (small_disk / "desk.tar").read_bytes() == b"mine"


def test_a_restore_without_room_leaves_nothing(place: House, file: Path, small_disk: Path) -> None:
    """A full disk: a sentence, 73 or 75, and a place as empty as before; with room it goes on."""
    disk = {"DATA_DIR": str(small_disk / "data")}
    done = place.run("restore", str(file), code=None, **disk)
    assert done.returncode in (73, 75) and b"space" in done.stderr
    assert {path.name for path in small_disk.rglob("*")} == {"data", "migrate.lock"}
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    place.run("restore", str(file), **disk)
    assert len(json.loads(place.run("ticket", "list", "--all", "--json", **disk).stdout)) == 4


def test_a_restore_killed_at_any_moment(tmp_path: Path) -> None:
    """Thirty kills: each leaves no database, and the next run completes it, or all of it, and the next run is refused."""
    old = at_work(tmp_path / "old", large=6)
    file, whole = backed_up(old), House(tmp_path / "whole")
    whole.home.mkdir()
    start = time.monotonic()
    whole.run("restore", str(file))
    longest, wanted = time.monotonic() - start, lines(whole.database)
    mails = {path.name for path in (whole.home / "data" / "mails").rglob("*") if path.is_file()}
    rnd = random.Random(23)
    for number in range(KILLS):
        place = House(tmp_path / f"killed-{number}")
        place.home.mkdir()
        # Every other kill waits for the moves to begin, which last a few milliseconds only.
        mark, most = (("mails", 0.02), ("restore.part", longest / 2))[number % 2]
        kill(place, file, place.home / "data" / mark, rnd.uniform(0, most))
        if place.database.exists():
            assert lines(place.database) == wanted
            assert "already" in place.run("restore", str(file), code=73).stderr.decode()
        else:
            place.run("restore", str(file))
        assert lines(place.database) == wanted
        found = [path for path in (place.home / "data" / "mails").rglob("*") if path.is_file()]
        assert {path.name for path in found} == mails
        assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in found)
        assert (place.home / "data" / "PAUSE").exists() and (place.home / "config" / "rules.toml").exists()
        shutil.rmtree(place.home)


def kill(place: House, file: Path, mark: Path, seconds: float) -> None:
    """Start a restore, and kill it so long after a path has come up."""
    process = place.start("restore", str(file))
    with contextlib.ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        end = time.monotonic() + 30
        while not mark.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.0005)
        time.sleep(seconds)


def test_a_killed_backup_leaves_no_file_that_looks_like_one(old: House) -> None:
    """Killed while it writes, there is no FILE; the next backup takes away what was left, and is whole."""
    file = old.home.with_name("desk.tar")
    work = file.with_name("desk.tar.part")
    process = old.start("backup", str(file))
    while not work.exists() and process.poll() is None:
        time.sleep(0.0005)
    process.kill()
    process.wait()
    assert work.exists() != file.exists()
    old.run("backup", "--force", str(file))
    assert not work.exists()
    old.run("backup", "--verify", str(file))
