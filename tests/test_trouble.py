"""Trouble from outside: locks, full disks, limits, strange files, slow writers, dying readers. Mail waits, and arrives once."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import House, a_mail, needs
from .killing import Check, Feeder, File, Sent, sha

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
LINUX = sys.platform == "linux"
PATIENCE = 90.0  # seconds that a loaded machine may need for what takes one

linux = pytest.mark.skipif(not LINUX, reason="asks for something that only Linux has")


@pytest.fixture
def feeder(house: House) -> Feeder:
    return Feeder(house.home, random.Random(7))


def load(feeder: Feeder, count: int, size: int = 200) -> None:
    """Deliver new mails of bodies that do not compress."""
    for _ in range(count):
        number = len(feeder.mails) + 1
        body = base64.encodebytes(feeder.rnd.randbytes(size)).decode()
        raw = a_mail(f"Case {number}", body=body, message_id=f"<{number}@kill.example>")
        send(feeder, raw, feeder.rnd.choice((".", "INBOX")))


def send(feeder: Feeder, raw: bytes, box: str = ".") -> None:
    feeder.mails.append(Sent(f"{len(feeder.mails) + 1}@kill.example", box, [raw]))
    feeder.deliver(box, raw)


def whole(house: House, feeder: Feeder) -> list[str]:
    """Run a clean pass, and return what does not hold afterwards."""
    house.run("process")
    return Check(house, feeder.mails, feeder.files).violations()


def soon(holds: Callable[[], Any], seconds: float = PATIENCE) -> bool:
    """Wait until something holds; return False if it never did."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(holds())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextlib.contextmanager
def working(house: House, args: list[str] | None = None, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; it must live to the end of the block, and end well on SIGTERM."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    worker = subprocess.Popen(args or house.command("worker"), cwd=house.home, env=house.environment, **quiet)
    try:
        yield worker
        assert worker.poll() in (None, 0), "the worker died"
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
        if worker.stderr:
            worker.stderr.close()


# -- the database ----------------------------------------------------------------------------------------------------


def test_six_at_once_on_an_empty_home(house: House, feeder: Feeder) -> None:
    """Six passes that start together where there is no database all end well, and each mail is in once."""
    load(feeder, 50)
    passes = [house.start("process", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
    told = [(one.communicate(timeout=PATIENCE), one.returncode) for one in passes]
    assert [code for _, code in told] == [0] * 6, [error for (_, error), code in told if code]
    assert sum(out.count(b'"outcome": "opened"') for (out, _), _ in told) == 50
    assert whole(house, feeder) == []


def test_a_mail_that_another_pass_took_is_no_duplicate(house: House, feeder: Feeder) -> None:
    """Passes side by side tell of no duplicate where every mail was delivered once."""
    load(feeder, 200)
    passes = [house.start("process") for _ in range(6)]
    assert [one.wait(PATIENCE) for one in passes] == [0] * 6
    assert house.json("audit")["by_outcome"]["duplicate"] == 0


@contextlib.contextmanager
def locked(house: House) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(house.database, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        yield database
    finally:
        database.close()


def test_a_database_locked_for_long(house: House, feeder: Feeder) -> None:
    """While another program holds the database the pass ends with 75 and leaves the mail; the next one takes it."""
    house.run("process")
    load(feeder, 10)
    with locked(house):
        lines, summary = house.process(code=75)
    assert (lines, summary["left"], feeder.waiting()) == ([], 10, 10)
    assert whole(house, feeder) == []


def test_a_database_locked_for_a_moment(house: House, feeder: Feeder) -> None:
    """A pass waits for a lock that is soon given back."""
    house.run("process")
    load(feeder, 10)
    with locked(house) as database:
        one = house.start("process")
        time.sleep(2)
        assert one.poll() is None
        database.execute("ROLLBACK")
        assert one.wait(PATIENCE) == 0
    assert whole(house, feeder) == []


def test_a_worker_outlives_a_locked_database(house: House, feeder: Feeder) -> None:
    """A worker that found the database locked takes the mail by itself once it is free."""
    house.run("process")
    with working(house):
        with locked(house):
            load(feeder, 10)
            time.sleep(11)  # above its patience with SQLite
            assert feeder.waiting() == 10
        assert soon(lambda: feeder.waiting() == 0)
    assert whole(house, feeder) == []


def test_a_worker_clears_what_dead_deliveries_left(house: House) -> None:
    """At its start a worker removes files that lie in tmp/ for days, and leaves the one that is being written."""
    house.run("process")
    old, young = house.maildir / "tmp" / "old", house.maildir / "tmp" / "young"
    for path, age in ((old, 3 * 86_400), (young, 60)):
        path.write_bytes(b"half a mail")
        os.utime(path, (time.time() - age,) * 2)
    with working(house):
        assert soon(lambda: not old.exists())
        assert young.exists()


# -- the disk --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk(folder: Path, size: str = "6m") -> Iterator[Path]:
    """Mount a small disk of memory there."""
    if not (LINUX and ROOT):
        pytest.skip("needs root, to mount a small disk")
    needs("mount", "mount")
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "letterdesk-test", str(folder)], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, room: int) -> Path:
    """Take all the disk but `room` bytes."""
    hog, free = folder / "hog", os.statvfs(folder)
    with open(hog, "wb") as file:
        file.write(bytes(max(0, free.f_bavail * free.f_frsize - room)))
    return hog


@pytest.fixture
def small(tmp_path: Path) -> Iterator[House]:
    with disk(tmp_path / "disk", "16m") as folder:
        yield House(folder)


@pytest.mark.parametrize("room", [0, 8 << 10, 100 << 10, 400 << 10, 900 << 10])
def test_a_full_disk(small: House, room: int) -> None:
    """Mails that the disk has no room for wait with exit 75, without a traceback; once there is room each is in once."""
    feeder = Feeder(small.home, random.Random(room))
    small.run("process")
    load(feeder, 30, 20_000)
    hog = fill(small.home, room)
    done = small.run("process", code=None)
    assert done.returncode in (0, 75)
    assert b"Traceback" not in done.stderr
    assert done.returncode == 75 or not feeder.waiting()
    hog.unlink()
    assert whole(small, feeder) == []


def test_a_full_disk_before_there_is_a_database(small: House) -> None:
    """The first pass of all on a full disk ends with a sentence; the second, with room, takes the mail."""
    feeder = Feeder(small.home, random.Random(1))
    load(feeder, 5)
    hog = fill(small.home, 0)
    done = small.run("process", code=None)
    assert done.returncode in (73, 75), done.stderr
    assert b"Traceback" not in done.stderr
    hog.unlink()
    assert whole(small, feeder) == []


def test_a_large_mail_on_a_full_disk(small: House) -> None:
    """A mail that is kept as a file of its own waits for room, and leaves no torn file behind."""
    feeder = Feeder(small.home, random.Random(2))
    small.run("process")
    send(feeder, a_mail(message_id="<1@kill.example>", body="x" * 1_500_000))
    hog = fill(small.home, 500_000)
    small.run("process", code=75)
    assert [path for path in (small.home / "data" / "mails").rglob("*") if path.is_file()] == []
    hog.unlink()
    assert whole(small, feeder) == []


@pytest.mark.parametrize("room", [0, 20_000, 300_000])
def test_a_worker_outlives_a_full_disk(small: House, room: int) -> None:
    """A worker whose disk fills up lives on, and takes the mail by itself once there is room."""
    feeder = Feeder(small.home, random.Random(3))
    with working(small, stderr=subprocess.PIPE) as worker:
        load(feeder, 1)
        assert soon(lambda: feeder.waiting() == 0)
        worker.send_signal(signal.SIGSTOP)
        load(feeder, 30, 20_000)
        hog = fill(small.home, room)
        worker.send_signal(signal.SIGCONT)
        time.sleep(3)
        assert feeder.waiting() > 0
        assert worker.poll() is None
        hog.unlink()
        assert soon(lambda: feeder.waiting() == 0)
        worker.terminate()
        assert b"Traceback" not in worker.communicate(timeout=PATIENCE)[1]
    assert whole(small, feeder) == []


def test_a_disk_that_cannot_be_written(house: House, feeder: Feeder) -> None:
    """While data/ is read-only a pass ends with 75 or 73 and a sentence, and leaves the mail; afterwards each is in once."""
    with disk(house.home / "data") as data:
        house.run("process")
        load(feeder, 10)
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        done = house.run("process", code=None)
        assert done.returncode in (73, 75)
        assert b"Traceback" not in done.stderr
        assert feeder.waiting() == 10
        subprocess.run(["mount", "-o", "remount,rw", str(data)], check=True)
        assert whole(house, feeder) == []


def test_a_maildir_that_cannot_be_written(house: House, tmp_path: Path) -> None:
    """A Maildir that is read-only for a time loses nothing: what was decided is filed later, and is not decided twice."""
    with disk(tmp_path / "maildir") as maildir:
        feeder = Feeder(house.home, random.Random(4))
        house.run("process")
        load(feeder, 10)
        subprocess.run(["mount", "-o", "remount,ro", str(maildir)], check=True)
        done = house.run("process", code=None)
        assert b"Traceback" not in done.stderr
        assert feeder.waiting() == 10
        house.run("process", code=None)
        subprocess.run(["mount", "-o", "remount,rw", str(maildir)], check=True)
        assert whole(house, feeder) == []


@linux
@pytest.mark.parametrize("blocks", [8, 64, 256, 600])
def test_a_limit_on_the_size_of_files(house: House, feeder: Feeder, blocks: int) -> None:
    """Under a small RLIMIT_FSIZE nothing is lost or torn; without it each mail is in once."""
    house.run("process")
    load(feeder, 20, 20_000)
    send(feeder, a_mail(message_id=f"<{len(feeder.mails) + 1}@kill.example>", body="x" * 1_500_000))
    limited = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *house.command("process")]
    done = subprocess.run(limited, cwd=house.home, env=house.environment, capture_output=True, timeout=PATIENCE)
    assert done.returncode in (0, 75), done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert whole(house, feeder) == []


# -- what lies in new/ -----------------------------------------------------------------------------------------------


@linux
def test_what_is_no_mail_stays_where_it_is(house: House, feeder: Feeder, tmp_path: Path) -> None:
    """A folder, links, a pipe and a socket are left alone with one warning each, and the mails among them are processed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(a_mail("A secret"))
    (house.new / "folder").mkdir()
    (house.new / "link").symlink_to(elsewhere)
    (house.new / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(house.new / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(house.new / "socket"))
        load(feeder, 5)
        _, summary = house.process()
    assert (summary["opened"], summary["left"]) == (5, 0)
    stayed = ["dangling", "folder", "link", "pipe", "socket"]
    assert names(house.new) == stayed
    warned = [line for line in house.log.read_text().splitlines() if "Not a mail" in line]
    assert sorted(line.rpartition("/")[2] for line in warned) == stayed
    assert elsewhere.exists()


@linux
def test_a_worker_warns_of_them_once(house: House, feeder: Feeder) -> None:
    """However often a worker looks, it tells of a strange file once."""
    os.mkfifo(house.new / "pipe")
    with working(house):
        for count in range(1, 4):
            load(feeder, 1)
            assert soon(lambda: feeder.waiting() == 1), f"mail {count} was not taken"  # the pipe
    assert house.log.read_text().count("Not a mail") == 1


@pytest.mark.skipif(os.name == "nt", reason="rights are other things there")
def test_a_file_that_cannot_be_read(house: House, feeder: Feeder) -> None:
    """A file that we may not read waits with exit 75 while the others are processed, and comes in once its rights are mended."""
    load(feeder, 5)
    send(feeder, a_mail(message_id="<6@kill.example>"), "INBOX")
    secret = house.maildir / "INBOX" / "new" / feeder.files[-1].name
    secret.chmod(0)
    done = subprocess.run(bound(house.command("process", "--json")), cwd=house.home, env=house.environment, capture_output=True)
    assert done.returncode == 75, done.stderr
    assert done.stdout.count(b'"outcome": "opened"') == 5
    assert names(secret.parent) == [secret.name]
    secret.chmod(0o600)
    assert whole(house, feeder) == []


@linux
def test_a_worker_outlives_a_folder_that_it_may_not_list(house: House, feeder: Feeder) -> None:
    """While new/ cannot be listed a worker waits, and takes what came once the rights are mended."""
    house.run("process")
    with working(house, args=bound(house.command("worker"))) as worker:
        assert soon(lambda: house.log.exists() and "Worker watches" in house.log.read_text())
        house.new.chmod(0o300)
        load(feeder, 6)
        time.sleep(3)
        assert worker.poll() is None
        house.new.chmod(0o700)
        assert soon(lambda: feeder.waiting() == 0)
    assert whole(house, feeder) == []


def test_a_traceback_changes_no_exit_code(house: House) -> None:
    """-vv shows more, and the exit code stays what it is."""
    house.run("process", "--folder", "nowhere", code=78)
    house.run("process", "--folder", "nowhere", "-vv", code=78)


def bound(command: list[str]) -> list[str]:
    """Let a command be bound by rights, also where root runs it: capabilities(7)."""
    if not ROOT:
        return command
    needs("setpriv", "util-linux")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search", *command]


def test_an_empty_file_is_given_a_minute(house: House, feeder: Feeder) -> None:
    """A fresh empty file waits with exit 75; an old one fails with its reason, and its file gets a star."""
    draft = house.new / "hollow.eml"
    draft.touch()
    _, summary = house.process(code=75)
    assert (summary["left"], summary["failed"]) == (1, 0)
    os.utime(draft, (time.time() - 120,) * 2)
    _, summary = house.process(code=1)
    assert (summary["left"], summary["failed"]) == (0, 1)
    assert house.json("failed", "list")[0]["reason"]
    (name,) = names(house.cur)
    assert name.endswith(":2,FS")
    assert house.run("process").stdout == b""


def test_a_large_mail_is_kept_as_a_file(house: House, feeder: Feeder) -> None:
    """A mail of 3 MiB lies in data/mails under its digest, with its bytes, and opens a ticket."""
    raw = a_mail(message_id="<1@kill.example>", body="0123456789abcde\n" * (3 << 16))
    send(feeder, raw)
    assert house.process()[1]["opened"] == 1
    kept = house.home / "data" / "mails" / sha(raw)[:2] / sha(raw)
    assert kept.read_bytes() == raw
    assert house.json("ticket", "list")[0]["messages"] == 1
    assert whole(house, feeder) == []


def test_a_mail_above_the_limit(house: House, feeder: Feeder) -> None:
    """A mail above MAX_MESSAGE_MB is kept whole, read at its head, and its message says so."""
    (house.home / ".env").write_text("MAX_MESSAGE_MB=1\n")
    send(feeder, a_mail(message_id="<1@kill.example>", body="All of it.\n" * 200_000))
    assert house.process()[1]["opened"] == 1
    (message,) = house.json("ticket", "show", "1")["messages"]
    assert any("larger than 1 MB" in defect for defect in message["defects"])
    assert message["text"].startswith("All of it.")
    assert whole(house, feeder) == []


def test_a_mail_that_kills_its_reader(house: House, feeder: Feeder) -> None:
    """A mail for which the reader's memory does not do fails alone, with its reason and its bytes; the others go on."""
    (house.home / ".env").write_text("READER_MB=64\n")
    raw = a_mail("Huge", message_id="<h@x.example>", body="Ein Wort \xe4 und mehr\n" * 1_000_000)
    house.drop(raw, "0-huge.eml")
    load(feeder, 12)
    _, summary = house.process(code=1)
    assert (summary["failed"], summary["opened"], summary["left"]) == (1, 12, 0)
    (failure,) = house.json("failed", "list")
    assert failure["sha256"] == sha(raw)
    assert failure["reason"]
    assert (house.home / "data" / "mails" / sha(raw)[:2] / sha(raw)).read_bytes() == raw


# -- who writes slowly, who dies in between --------------------------------------------------------------------------


def test_a_slow_writer_is_waited_for(house: House, feeder: Feeder) -> None:
    """A mail that is half written is left with exit 75, and taken whole once its writer is done."""
    raw = a_mail(message_id="<1@kill.example>", body="word " * 40_000)
    with open(house.new / "slow.eml", "wb") as writer:
        writer.write(raw[:100_000])
        writer.flush()
        for _ in range(2):
            assert house.process(code=75)[1]["left"] == 1
        writer.write(raw[100_000:])
    feeder.mails.append(Sent("1@kill.example", ".", [raw]))
    feeder.files.append(File(".", "slow.eml", raw))
    assert soon(lambda: house.run("process", code=None).returncode == 0)
    assert whole(house, feeder) == []


def test_slow_writers_beside_a_worker(house: House, feeder: Feeder) -> None:
    """Whatever the worker sees while mails are written piece by piece, it takes each of them whole."""
    house.run("process")
    with working(house):
        for number in range(1, 6):
            raw = a_mail(f"Slow {number}", message_id=f"<{number}@kill.example>", body="word " * 20_000)
            feeder.mails.append(Sent(f"{number}@kill.example", ".", [raw]))
            feeder.files.append(File(".", f"slow{number}.eml", raw))
            with open(house.new / f"slow{number}.eml", "wb", buffering=0) as writer:
                for start in range(0, len(raw), 10_000):
                    writer.write(raw[start : start + 10_000])
                    time.sleep(0.02)
        assert soon(lambda: feeder.waiting() == 0)
    assert whole(house, feeder) == []


def readers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Return the children of a process that read mails (proc(5))."""
    found = []
    for task in Path(f"/proc/{process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    return [pid for pid in found if b"pipeline.readers" in _command(pid)]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@linux
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15])
def test_a_reader_that_is_killed_is_replaced(house: House, feeder: Feeder, delay: float) -> None:
    """When a reader is killed from outside its mail is read again by another, and no mail fails."""
    load(feeder, 200, 3000)
    one = house.start("process")
    try:
        assert soon(lambda: readers_of(one) or one.poll() is not None)
        time.sleep(delay)
        for pid in readers_of(one)[:1]:
            os.kill(pid, signal.SIGKILL)
        assert one.wait(PATIENCE) == 0
    finally:
        one.kill()
        one.wait()
    assert whole(house, feeder) == []


def test_sigterm_ends_a_worker_after_its_batch(house: House, feeder: Feeder) -> None:
    """SIGTERM in the middle of work ends a worker within 4 seconds with exit 0; what it left waits for the next."""
    load(feeder, 600, 3000)
    worker = house.start("worker")
    try:
        assert soon(lambda: feeder.waiting() < 600)
        start = time.monotonic()
        worker.terminate()
        assert worker.wait(PATIENCE) == 0
        assert time.monotonic() - start < 4
    finally:
        worker.kill()
        worker.wait()
    assert not list((house.home / "data").glob("inflight.*"))
    assert whole(house, feeder) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_pass_after_its_batch(house: House, feeder: Feeder, signum: int) -> None:
    """A pass that is told to stop ends soon, commits what it has in hand, and leaves the rest where it is."""
    load(feeder, 600, 3000)
    one = house.start("process")
    try:
        assert soon(lambda: feeder.waiting() < 600 or one.poll() is not None)
        one.send_signal(signum)
        assert one.wait(PATIENCE) in (0, 75)
    finally:
        one.kill()
        one.wait()
    assert whole(house, feeder) == []


def test_a_worker_outlives_its_folder(house: House, feeder: Feeder) -> None:
    """new/ may be removed and made again under a worker: what lands in it afterwards is processed."""
    house.run("process")
    with working(house):
        load(feeder, 2)
        assert soon(lambda: feeder.waiting() == 0)
        house.new.rmdir()
        time.sleep(1)
        house.new.mkdir()
        load(feeder, 4)
        assert soon(lambda: feeder.waiting() == 0)
    assert whole(house, feeder) == []


def test_a_worker_outlives_its_maildir(house: House, feeder: Feeder) -> None:
    """The whole Maildir may be moved away and another put in its place: the worker goes on in the new one."""
    house.run("process")
    with working(house):
        house.maildir.rename(house.home / "maildir.old")
        Feeder(house.home, feeder.rnd)
        load(feeder, 6)
        assert soon(lambda: feeder.waiting() == 0)
    assert whole(house, feeder) == []


@linux
def test_a_burst_that_overflows_the_kernels_queue(house: House) -> None:
    """3,000 files that land at once beside a worker are all processed, though the kernel drops most events."""
    with few_events(64), working(house):
        assert soon(lambda: house.log.exists() and "Worker watches" in house.log.read_text())
        for folder in ("tmp", "new"):
            (house.maildir / folder).mkdir(exist_ok=True, parents=True)
        for number in range(3000):
            (house.maildir / "tmp" / f"{number}.eml").write_bytes(a_mail(f"Case {number}", message_id=f"<{number}@x.example>"))
        for number in range(3000):
            (house.maildir / "tmp" / f"{number}.eml").rename(house.new / f"{number}.eml")
        assert soon(lambda: not names(house.new), 2 * PATIENCE)
    report = house.json("audit")
    assert (report["complete"], report["by_outcome"]["opened"], report["files"]) == (True, 3000, 3000)


@contextlib.contextmanager
def few_events(count: int) -> Iterator[None]:
    """Shorten the kernel's queue of file events for who asks for one now; without the right to it, the burst alone must do."""
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text()
    with contextlib.suppress(OSError):
        limit.write_text(str(count))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            limit.write_text(before)
