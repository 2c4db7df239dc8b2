"""The Maildir, on real files: what waits, when it is whole, and how it is filed beside other programs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline import maildir
from pipeline.letter import Place
from pipeline.maildir import Found, Maildir, NotAMail, NotWhole, Vanished, boxes, join_name, split_name

INBOX_MD5 = "7e33429f656f1e6e9d79b29c3f82c57e"
ROOT = Path(__file__).resolve().parents[1]
real_link = os.link
needs_lease = pytest.mark.skipif(maildir.SETLEASE is None, reason="only Linux has leases")
needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such file")


@pytest.fixture
def inbox(tmp_path: Path) -> Maildir:
    return made(Maildir(tmp_path / "maildir" / "INBOX", "INBOX"))


@pytest.fixture
def drop_box(tmp_path: Path) -> Maildir:
    return made(Maildir(tmp_path / "maildir", "."))


@pytest.fixture(params=["all", "no renameat2", "renameat2 refuses", "no links", "links refuse"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take away what a machine or a file system may lack."""
    if request.param != "all":
        monkeypatch.setattr(maildir, "RENAMEAT2", no_such_call if request.param == "renameat2 refuses" else None)
    if request.param == "no links":
        monkeypatch.setattr(maildir, "LINKS", False)
    if request.param == "links refuse":
        monkeypatch.setattr(os, "link", refusing_link)
    return str(request.param)


def no_such_call(*_: object) -> int:
    maildir.ctypes.set_errno(maildir.errno.ENOSYS)
    return -1


def refusing_link(*_: object) -> None:
    raise PermissionError(maildir.errno.EPERM, "no links on FAT")


def made(box: Maildir) -> Maildir:
    box.create()
    return box


def put(box: Maildir, name: str, raw: bytes = b"Subject: x\n\nhello\n", age: float = 10, folder: str = "new") -> str:
    """Write a file that was last written to `age` seconds ago."""
    path = box.root / folder / name
    path.write_bytes(raw)
    os.utime(path, (time.time() - age, time.time() - age))
    return str(path)


def synced(uid: int, flags: str = "") -> str:
    return f"179533366{uid % 10}_0.24998.vm,U={uid},FMD5={INBOX_MD5}:2,{flags}"


def only(box: Maildir) -> Found:
    (found,) = box.new()
    return found


def read(box: Maildir, found: Found) -> bytes:
    with box.hold(found) as file:
        return file.read()


def names(box: Maildir, folder: str = "cur") -> list[str]:
    return sorted(os.listdir(box.root / folder))


# Names


@pytest.mark.parametrize(
    ("name", "key", "flags"),
    [
        ("a.b.host", "a.b.host", ""),
        ("a:2,", "a", ""),
        ("a:2,SF", "a", "FS"),
        ("a:2,SSR", "a", "RS"),
        ("a!2,RS", "a", "RS"),
        ("a!2,", "a", ""),
        ("a,U=7,FMD5=00:2,Sab", "a,U=7,FMD5=00", "Sab"),
        ("a:2,S1\u00e9F", "a", "FS"),
        ("a:2,S,T123", "a", "S"),
        ("a:1,x", "a:1,x", ""),
        ("offer!2,50 EUR.eml", "offer!2,50 EUR.eml", ""),
        ("offer!2,50 EUR.eml:2,S", "offer!2,50 EUR.eml", "S"),
        (":2,S", ":2,S", ""),
        ("mail.eml", "mail.eml", ""),
    ],
)
def test_a_name_is_key_and_flags(name: str, key: str, flags: str) -> None:
    """What stands before `:2,` or `!2,` is the key, the letters after it are the flags, sorted."""
    assert split_name(name) == (key, flags)


@pytest.mark.parametrize("separator", [":", "!"])
def test_a_joined_name_splits_again(separator: str) -> None:
    """A name that we write has its flags in ASCII order and reads back, with either separator."""
    assert join_name("a.b", "SFaS", separator) == f"a.b{separator}2,FSa"
    assert split_name(join_name("a.b", "SF", separator)) == ("a.b", "FS")


def test_boxes_are_folders_below_the_root(tmp_path: Path) -> None:
    """`.` is the root itself and the drop box; an account's folder lies deeper."""
    made_boxes = boxes(tmp_path, [".", "INBOX", "billing/INBOX"], "!")
    assert [box.root for box in made_boxes.values()] == [tmp_path, tmp_path / "INBOX", tmp_path / "billing" / "INBOX"]
    assert [box.is_drop_box for box in made_boxes.values()] == [True, False, False]
    assert made_boxes["INBOX"].separator == "!"


# Looking


def test_a_missing_box_is_empty(tmp_path: Path) -> None:
    """Before offlineimap's first sync there is no INBOX, and nothing waits."""
    box = Maildir(tmp_path / "INBOX", "INBOX")
    assert (box.new(), box.cur_names(), box.cur_mtime_ns(), box.find("a"), box.strange(), box.sweep_tmp()) == (
        [],
        [],
        0,
        None,
        [],
        0,
    )


@needs_posix
def test_create_makes_private_folders(drop_box: Maildir) -> None:
    """tmp/, new/ and cur/ are the owner's only, and making them twice changes nothing."""
    put(drop_box, "a")
    drop_box.create()
    assert {folder: (drop_box.root / folder).stat().st_mode & 0o777 for folder in ("tmp", "new", "cur")} == dict.fromkeys(
        ("tmp", "new", "cur"), 0o700
    )
    assert only(drop_box).place == Place(".", "a")


def test_synced_mails_come_by_uid_the_others_after_them_by_mtime(inbox: Maildir) -> None:
    """Order is offlineimap's UID whatever the mtime; foreign files follow by mtime, equal ones by name."""
    for uid, age in ((10, 50), (9, 5), (100, 90)):
        put(inbox, synced(uid), age=age)
    put(inbox, "young.eml", age=1)
    put(inbox, "old.eml", age=1000)
    for name in ("b", "a"):
        os.utime(put(inbox, name), (1000, 1000))
    listing = inbox.new()
    assert [found.uid or found.place.key for found in listing] == [9, 10, 100, "a", "b", "old.eml", "young.eml"]
    assert [found.whole_by_name for found in listing] == [True] * 3 + [False] * 4


def test_a_name_proves_nothing_in_the_drop_box(drop_box: Maildir) -> None:
    """offlineimap's marks on a file that somebody copied into the drop box give neither order nor trust."""
    put(drop_box, synced(7, "F"))
    found = only(drop_box)
    assert (found.uid, found.whole_by_name, found.flags) == (None, False, "F")


@pytest.mark.parametrize("name", [f"a,U=7,FMD5={INBOX_MD5[:-1]}", "a,U=7", f"a,U=x,FMD5={INBOX_MD5}", f"a,XU=7,FMD5={INBOX_MD5}"])
def test_half_a_mark_is_no_mark(inbox: Maildir, name: str) -> None:
    """Only `,U=<number>,FMD5=<32 hex digits>` says that offlineimap named a file."""
    put(inbox, name)
    assert not only(inbox).whole_by_name


def test_the_drop_box_takes_eml_files_lying_in_it(drop_box: Maildir) -> None:
    """`*.eml` in maildir/ itself waits too, in any letter case; anything else there, and folders of other boxes, do not."""
    for name in ("a.eml", "b.EML", "notes.txt", ".hidden.eml", "c.eml~"):
        put(drop_box, name, folder="")
    (drop_box.root / "INBOX" / "new").mkdir(parents=True)
    put(drop_box, "in-new.txt", age=5)
    assert [(found.folder, found.place.key) for found in drop_box.new()] == [("", "a.eml"), ("", "b.EML"), ("new", "in-new.txt")]


def test_a_synced_box_has_no_loose_files(inbox: Maildir) -> None:
    """Only the drop box takes files beside its folders."""
    put(inbox, "a.eml", folder="")
    assert inbox.new() == []


def test_editors_files_are_no_mails(inbox: Maildir) -> None:
    """Hidden, back-up and swap files are passed over in new/ and in cur/."""
    for folder in ("new", "cur"):
        for name in (".mail.swp", ".#mail", "mail~", "mail.swp"):
            put(inbox, name, folder=folder)
    assert (inbox.new(), inbox.strange(), inbox.cur_names()) == ([], [], [])


@needs_posix
def test_what_is_no_file_is_strange_and_never_followed(drop_box: Maildir, tmp_path: Path) -> None:
    """Directories, symlinks, FIFOs and sockets are told apart, and nothing opens them, not even a stale listing."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    new = drop_box.root / "new"
    (new / "directory").mkdir()
    (new / "link").symlink_to(secret)
    os.mkfifo(new / "fifo")
    (drop_box.root / "loop.eml").symlink_to("loop.eml")
    assert [os.path.basename(path) for path in drop_box.strange()] == ["loop.eml", "directory", "fifo", "link"]
    assert drop_box.new() == []
    for path in drop_box.strange():
        stale = Found(Place(".", "x"), path, "new", "", None, 0, 0, (0, 0))
        with pytest.raises(NotAMail):
            read(drop_box, stale)


@needs_posix
@pytest.mark.parametrize("kind", ["symlink", "fifo", "socket"])
def test_a_file_swapped_after_the_look_is_not_followed(
    drop_box: Maildir, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the open somebody puts a symlink, FIFO or socket there: still not followed, still no waiting."""
    found = Found(Place(".", "a"), put(drop_box, "a"), "new", "", None, 0, 0, (0, 0))
    looked = os.lstat(found.path)
    os.unlink(found.path)
    if kind == "symlink":
        os.symlink(tmp_path, found.path)
    elif kind == "fifo":
        os.mkfifo(found.path)
    else:
        monkeypatch.chdir(drop_box.root / "new")  # a socket's path is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lambda path: looked)
        with pytest.raises(NotAMail):
            maildir._open_regular(found.path)


def test_two_names_of_one_file_are_one_mail(inbox: Maildir) -> None:
    """A mail linked twice in new/ is listed once, under the name that comes first."""
    os.link(put(inbox, "a"), inbox.root / "new" / "b")
    put(inbox, "c")
    assert [found.place.key for found in inbox.new()] == ["a", "c"]


def test_a_file_that_goes_during_the_listing_is_left_out(inbox: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is listed and gone a moment later costs nothing."""
    put(inbox, "a")
    monkeypatch.setattr(os, "listdir", lambda folder: ["a", "ghost"])
    assert [found.place.key for found in inbox.new()] == ["a"]
    assert inbox.found_in_cur(["ghost"]) == []


def test_cur_is_listed_by_name_and_looked_at_by_wish(inbox: Maildir) -> None:
    """cur_names only lists; found_in_cur looks at the names that it is given, in order of arrival."""
    for uid in (12, 3):
        put(inbox, synced(uid, "S"), folder="cur")
    before = inbox.cur_mtime_ns()
    assert sorted(inbox.cur_names()) == sorted([synced(12, "S"), synced(3, "S")])
    assert [(found.uid, found.folder, found.flags) for found in inbox.found_in_cur(inbox.cur_names())] == [
        (3, "cur", "S"),
        (12, "cur", "S"),
    ]
    os.utime(inbox.root / "cur", (1, 1))
    assert inbox.cur_mtime_ns() == 10**9 != before


def test_many_files_in_cur_are_only_listed(inbox: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20,000 files in cur/ none is looked at by a scan, nor by filing a mail beside them."""
    for number in range(20_000):
        (inbox.root / "cur" / f"{number}.vm:2,S").touch()
    put(inbox, "a")
    looks = []
    monkeypatch.setattr(maildir, "_lstat", lambda path, real=maildir._lstat: looks.append(path) or real(path))
    assert len(inbox.cur_names()) == 20_000
    inbox.file(only(inbox), add="S")
    assert len(looks) < 20


@pytest.mark.parametrize(
    ("folder", "name"),
    [("new", "k"), ("new", "k:2,F"), ("cur", "k:2,"), ("cur", "k:2,S"), ("cur", "k:2,DFPRSTab"), ("cur", "k!2,S")],
)
def test_a_key_is_found_wherever_it_went(inbox: Maildir, folder: str, name: str) -> None:
    """A key is found in new/ and cur/, with common and rare flags, and never mistaken for one that begins alike."""
    for other in ("k2:2,S", "k:2,S~"):
        put(inbox, other, folder="cur")
    path = put(inbox, name, folder=folder)
    found = inbox.find("k")
    assert found is not None
    assert (found.path, found.place) == (path, Place("INBOX", "k"))
    assert inbox.find("k3") is None


# Reading


def test_a_quiet_file_is_read_from_its_start(inbox: Maildir) -> None:
    """A file that nobody writes to is given whole, with or without offlineimap's name."""
    put(inbox, synced(1), b"synced", age=0)
    put(inbox, "foreign", b"foreign")
    assert [read(inbox, found) for found in inbox.new()] == [b"synced", b"foreign"]


@needs_lease
def test_a_file_that_is_open_for_writing_is_not_whole(drop_box: Maildir) -> None:
    """While a writer has it open, however long it pauses, a mail is not read; once closed it is, in the next pass."""
    path = drop_box.root / "new" / "a"
    with open(path, "wb") as writer:
        writer.write(b"first half, ")
        writer.flush()
        os.utime(path, (time.time() - 300, time.time() - 300))
        with pytest.raises(NotWhole):
            read(drop_box, only(drop_box))
        writer.write(b"second half")
    assert read(drop_box, only(drop_box)) == b"first half, second half"


@needs_lease
def test_a_writer_that_holds_a_file_for_an_hour_holds_no_mail(drop_box: Maildir) -> None:
    """After an hour without a byte a refused lease means a file system without delegations, and the mail is taken."""
    path = put(drop_box, "a", b"x", age=3700)
    with open(path, "ab"):
        assert read(drop_box, only(drop_box)) == b"x"


@needs_lease
def test_a_file_that_is_copied_in_is_never_read_half(drop_box: Maildir) -> None:
    """A naive reader sees halves of a slow copy nearly every time; this one none of twenty."""
    raw = os.urandom(300_000)

    def copy(name: str) -> None:
        with open(drop_box.root / "new" / name, "wb", buffering=0) as file:
            for start in range(0, len(raw), 30_000):
                file.write(raw[start : start + 30_000])
                time.sleep(0.001)

    for number in range(20):
        writer = threading.Thread(target=copy, args=(f"{number}.eml",))
        writer.start()
        got = None
        while got is None:
            with contextlib.suppress(NotWhole):
                got = next((read(drop_box, found) for found in drop_box.new()), None)
        writer.join()
        assert got == raw
        drop_box.file(only(drop_box), key=drop_box.fresh_key(), add="S")


@pytest.mark.parametrize(("age", "whole"), [(-1, False), (-30, False), (5, True), (-3600 * 24 * 365, False)])
@pytest.mark.parametrize("lacking", ["fcntl", "SETLEASE"])
def test_without_leases_a_second_of_quiet_decides(
    drop_box: Maildir, monkeypatch: pytest.MonkeyPatch, age: float, whole: bool, lacking: str
) -> None:
    """Where there are no leases, or no fcntl at all, a file is whole one second after its last write; never by a forged mtime."""
    monkeypatch.setattr(maildir, lacking, None)
    put(drop_box, "a", b"x", age=age)
    with contextlib.nullcontext() if whole else pytest.raises(NotWhole):
        assert read(drop_box, only(drop_box)) == b"x"


def test_a_lease_that_is_refused_otherwise_means_a_second_of_quiet(drop_box: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another owner's file gives EACCES, which says nothing about writers."""
    if maildir.fcntl is None:
        pytest.skip("no fcntl")

    def refuse(*_: object) -> None:
        raise PermissionError(maildir.errno.EACCES, "not yours")

    monkeypatch.setattr(maildir.fcntl, "fcntl", refuse)
    monkeypatch.setattr(maildir, "SETLEASE", 1024)
    monkeypatch.setattr(maildir.fcntl, "F_SETSIG", 10, raising=False)
    put(drop_box, "a", age=-30)
    with pytest.raises(NotWhole):
        read(drop_box, only(drop_box))
    put(drop_box, "a", b"x", age=3)
    assert read(drop_box, only(drop_box)) == b"x"


def test_a_file_with_an_mtime_in_the_future_is_read_one_day(drop_box: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that runs ahead by years does not keep a mail out for years: the ctime counts then."""
    monkeypatch.setattr(maildir, "SETLEASE", None)
    put(drop_box, "a", b"x", age=-3600 * 24 * 365)
    found = only(drop_box)
    monkeypatch.setattr(maildir.time, "time", lambda now=time.time(): now + 5)  # noqa: B008
    assert read(drop_box, found) == b"x"


@pytest.mark.parametrize("name", ["a", synced(1)])
def test_an_empty_file_waits_a_minute(inbox: Maildir, name: str) -> None:
    """An empty file is given out, to fail, only after 60 seconds."""
    put(inbox, name, b"", age=30)
    with pytest.raises(NotWhole):
        read(inbox, only(inbox))
    put(inbox, name, b"", age=61)
    assert read(inbox, only(inbox)) == b""


@pytest.mark.parametrize("name", ["a", synced(1)])
def test_a_file_that_changes_while_it_is_read_is_not_whole(inbox: Maildir, name: str) -> None:
    """Bytes that come while the mail is read make the reading void."""
    path = put(inbox, name)
    with pytest.raises(NotWhole), inbox.hold(only(inbox)) as file:
        file.read()
        with open(path, "ab") as writer:
            writer.write(b"more")


def test_a_file_that_changed_since_it_was_listed_waits_for_the_next_listing(drop_box: Maildir) -> None:
    """Only the bytes that were listed are read, so that only these are filed."""
    put(drop_box, "a", b"one")
    stale = only(drop_box)
    put(drop_box, "a", b"another")
    with pytest.raises(NotWhole):
        read(drop_box, stale)
    assert read(drop_box, only(drop_box)) == b"another"


def test_an_error_of_the_reader_passes_through_and_the_file_is_closed(inbox: Maildir) -> None:
    """hold raises what the block raised, and closes the file."""
    put(inbox, "a")
    with pytest.raises(ZeroDivisionError), inbox.hold(only(inbox)) as file:
        descriptor = file.fileno()
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_reader_may_close_the_file_itself(inbox: Maildir) -> None:
    """A reader that closes what it was given changes nothing."""
    put(inbox, "a")
    with inbox.hold(only(inbox)) as file:
        file.close()


def test_a_mail_that_another_program_moved_is_read_where_it_went(inbox: Maildir) -> None:
    """mutt moves new/x to cur/x:2,RS between our look and our read: the mail is read there."""
    path = put(inbox, synced(1), b"x")
    found = only(inbox)
    os.rename(path, inbox.root / "cur" / synced(1, "DRS"))
    assert read(inbox, found) == b"x"
    os.unlink(inbox.root / "cur" / synced(1, "DRS"))
    with pytest.raises(Vanished):
        read(inbox, found)


def test_a_file_gone_from_the_drop_box_is_not_looked_for(drop_box: Maildir) -> None:
    """A name means nothing in the drop box: a file in cur/ that bears it may be another mail."""
    path = put(drop_box, "a")
    found = only(drop_box)
    os.rename(path, drop_box.root / "cur" / "a:2,")
    with pytest.raises(Vanished):
        read(drop_box, found)


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_oserror(inbox: Maildir) -> None:
    """Permission denied passes through: it is for the caller to report."""
    os.chmod(put(inbox, "a"), 0)
    with pytest.raises(PermissionError):
        read(inbox, only(inbox))


@needs_lease
def test_a_writer_that_breaks_a_lease_harms_nobody(tmp_path: Path) -> None:
    """Without ignore_lease_signal, too, a lease that is broken at the wrong moment does not end the process."""
    program = """
import fcntl, signal, sys, threading, os
from pipeline import maildir
path = sys.argv[1]
open(path, "w").close()
real = fcntl.fcntl
def slow(fd, command, value):
    if command == maildir.SETLEASE and value == fcntl.F_UNLCK:
        writer = threading.Thread(target=lambda: open(path, "a").close())
        writer.start()
        writer.join(0.2)  # it waits in open(2): the lease is being broken
        assert writer.is_alive()
    return real(fd, command, value)
fcntl.fcntl = slow
print(maildir._writer(os.open(path, os.O_RDONLY)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "free\n"), done.stderr


@needs_lease
def test_ignore_lease_signal_ignores_sigio() -> None:
    """After it SIGIO does nothing; in another thread it does nothing itself."""
    before = signal.getsignal(signal.SIGIO)
    try:
        thread = threading.Thread(target=maildir.ignore_lease_signal)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGIO) == before
        maildir.ignore_lease_signal()
        assert signal.getsignal(signal.SIGIO) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGIO, before)


# Delivering


def test_a_delivered_mail_is_whole_and_private(drop_box: Maildir, machine: str) -> None:
    """deliver puts the very bytes into new/, for the owner only, and leaves nothing in tmp/."""
    key = drop_box.deliver(b"Subject: x\r\n\r\n\0\xff")
    found = only(drop_box)
    assert (found.place.key, names(drop_box, "new"), names(drop_box, "tmp")) == (key, [key], [])
    assert Path(found.path).read_bytes() == b"Subject: x\r\n\r\n\0\xff"
    assert os.name == "nt" or os.stat(found.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_delivery_that_fails_leaves_nothing(drop_box: Maildir, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """A full disk is an OSError, with no half mail in new/ and no rest in tmp/."""

    def full(*_: object) -> None:
        raise OSError(maildir.errno.ENOSPC, "disk full")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (maildir, "_move")), full)
    with pytest.raises(OSError, match="disk full"):
        drop_box.deliver(b"x")
    assert names(drop_box, "new") == names(drop_box, "tmp") == []


def test_a_delivery_never_replaces_a_mail(drop_box: Maildir, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a fresh name taken after all, the mail that has it stays and the delivery fails."""
    put(drop_box, "taken", b"first")
    monkeypatch.setattr(drop_box, "fresh_key", lambda: "taken")
    with pytest.raises(FileExistsError):
        drop_box.deliver(b"second")
    assert (Path(only(drop_box).path).read_bytes(), names(drop_box, "tmp")) == (b"first", [])


def test_four_processes_deliver_two_hundred_each(drop_box: Maildir) -> None:
    """Names are unique across processes, and whoever lists new/ meanwhile sees only whole mails."""
    program = "import sys; from pipeline.maildir import Maildir; box = Maildir(sys.argv[1], '.'); " + (
        "[box.deliver(f'{sys.argv[2]}-{n}-'.encode() + b'x' * 9000) for n in range(200)]"
    )
    command = [sys.executable, "-c", program, str(drop_box.root)]
    writers = [subprocess.Popen([*command, str(number)], cwd=ROOT) for number in range(4)]
    while any(writer.poll() is None for writer in writers):
        assert all(found.size > 9000 for found in drop_box.new())
        time.sleep(0.05)
    assert [writer.wait() for writer in writers] == [0] * 4
    bodies = {(drop_box.root / "new" / name).read_bytes().rstrip(b"x") for name in names(drop_box, "new")}
    assert bodies == {f"{writer}-{number}-".encode() for writer in range(4) for number in range(200)}
    assert names(drop_box, "tmp") == []


def test_a_host_name_cannot_break_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/` and `:` in a host's name are escaped as maildir(5) says."""
    monkeypatch.setattr(socket, "gethostname", lambda: "a/b:2,c")
    key = Maildir.fresh_key()
    assert key.endswith(r".a\057b\0722,c")
    assert split_name(key) == (key, "")


def test_only_what_a_dead_delivery_left_is_swept(drop_box: Maildir) -> None:
    """Files in tmp/ go after 36 hours; younger ones, and folders, stay."""
    put(drop_box, "dead", age=37 * 3600, folder="tmp")
    put(drop_box, "alive", age=35 * 3600, folder="tmp")
    (drop_box.root / "tmp" / "folder").mkdir()
    assert drop_box.sweep_tmp() == 1
    assert names(drop_box, "tmp") == ["alive", "folder"]
    assert drop_box.sweep_tmp(older_than=3600) == 1


# Filing


def test_a_mail_is_filed_under_its_key_with_its_flags(inbox: Maildir, machine: str) -> None:
    """The flags that a mail had survive: a star set before we came stays beside our S."""
    put(inbox, synced(1, "F"), b"hello")
    path = inbox.file(only(inbox), add="S")
    assert (path, names(inbox, "new")) == (str(inbox.root / "cur" / synced(1, "FS")), [])
    assert Path(path).read_bytes() == b"hello"


@pytest.mark.parametrize("folder", ["new", ""])
def test_a_dropped_file_is_filed_under_a_fresh_key(drop_box: Maildir, machine: str, folder: str) -> None:
    """A file from the drop box, or from maildir/ itself, gets a Maildir name in cur/."""
    put(drop_box, "my mail.eml", folder=folder)
    key = drop_box.fresh_key()
    assert drop_box.file(only(drop_box), key=key, add="FS") == str(drop_box.root / "cur" / f"{key}:2,FS")
    assert (drop_box.new(), names(drop_box)) == ([], [f"{key}:2,FS"])


def test_the_separator_is_a_setting(tmp_path: Path) -> None:
    """With `!` the flags are written as offlineimap writes them on Windows."""
    box = made(Maildir(tmp_path / "INBOX", "INBOX", "!"))
    put(box, "a!2,F")
    assert os.path.basename(box.file(only(box), add="S")) == "a!2,FS"
    assert box.reflag("a", drop="S")
    assert box.cur_names() == ["a!2,F"]


def test_an_offlineimap_name_is_never_changed(inbox: Maildir) -> None:
    """Another key would be another mail on the server."""
    put(inbox, synced(1))
    with pytest.raises(ValueError, match="offlineimap"):
        inbox.file(only(inbox), key="other")


@pytest.mark.parametrize("standing", ["a:2,S", "a:2,R"])
def test_filing_never_replaces_another_file(inbox: Maildir, machine: str, standing: str) -> None:
    """Another mail with that key in cur/, with whatever flags, stays as it is, and so does the one in new/."""
    put(inbox, standing, b"other", folder="cur")
    put(inbox, "a", b"mine")
    with pytest.raises(FileExistsError):
        inbox.file(only(inbox), add="S")
    assert (names(inbox), names(inbox, "new")) == ([standing], ["a"])
    assert (inbox.root / "cur" / standing).read_bytes() == b"other"


def test_a_name_that_is_taken_after_the_look_is_not_replaced(
    inbox: Maildir, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if another file gets the name between our look and our rename, neither is lost."""
    put(inbox, "a", b"mine")
    found = only(inbox)
    put(inbox, "a:2,S", b"other", folder="cur")
    monkeypatch.setattr(inbox, "_standing", lambda source, key: None)
    with pytest.raises(FileExistsError):
        inbox.file(found, add="S")
    assert (inbox.root / "new" / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("linked", ["k:2,S", "k:2,FRSab"])
def test_a_crash_between_link_and_unlink_is_mended(inbox: Maildir, machine: str, linked: str) -> None:
    """Two names of one file, left by a crash, become the one in cur/, whatever flags it got meanwhile."""
    real_link(put(inbox, "k:2,"), inbox.root / "cur" / linked)
    path = inbox.file(only(inbox), add="S")
    assert (names(inbox, "new"), names(inbox), os.path.basename(path)) == ([], [linked], linked)


def test_a_dropped_file_that_is_half_filed_tells_its_key(drop_box: Maildir) -> None:
    """After such a crash in the drop box the fresh key is found by the file, so that it can be filed under the same one."""
    alone = put(drop_box, "alone", age=99)
    os.link(put(drop_box, "a.eml"), drop_box.root / "cur" / "fresh:2,S")
    os.link(alone, drop_box.root / "elsewhere")
    first, second = drop_box.new()
    assert drop_box.twin(first) is None
    twin = drop_box.twin(second)
    assert twin is not None and twin.place.key == "fresh"
    drop_box.file(second, key=twin.place.key, add="S")
    assert (names(drop_box), names(drop_box, "new")) == (["fresh:2,S"], ["alone"])


def test_two_workers_that_link_the_same_mail_lose_nothing(inbox: Maildir, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker links, another sees both names and takes the first away: the mail stands once."""
    monkeypatch.setattr(maildir, "RENAMEAT2", None)
    put(inbox, "a")
    found = only(inbox)

    def link_then_meet(source: str, target: str) -> None:
        real_link(source, target)
        Maildir(inbox.root, "INBOX").file(found, add="S")

    monkeypatch.setattr(os, "link", link_then_meet)
    inbox.file(found, add="S")
    assert (names(inbox, "new"), names(inbox)) == ([], ["a:2,S"])


def test_filing_twice_is_filing_once(inbox: Maildir, drop_box: Maildir, machine: str) -> None:
    """A rename is repeated after a crash, with the listing from before, and finds its work done."""
    for box, key in ((inbox, None), (drop_box, "fresh")):
        put(box, "a")
        found = only(box)
        path = box.file(found, key=key, add="S")
        assert box.file(found, key=key, add="S") == path
        assert names(box) == [os.path.basename(path)]


def test_a_mail_that_another_program_moved_gets_its_flags_where_it_is(inbox: Maildir, machine: str) -> None:
    """mutt moved it to cur/ and added R: we add S there."""
    path = put(inbox, synced(1))
    found = only(inbox)
    os.rename(path, inbox.root / "cur" / synced(1, "R"))
    inbox.file(found, add="S")
    assert (names(inbox), names(inbox, "new")) == ([synced(1, "RS")], [])


def test_flags_that_came_since_the_listing_stay(inbox: Maildir) -> None:
    """The server starred the mail in new/ after we listed it: the star is kept."""
    path = put(inbox, synced(1))
    found = only(inbox)
    os.rename(path, inbox.root / "new" / synced(1, "F"))
    inbox.file(found, add="S")
    assert names(inbox) == [synced(1, "FS")]


def test_a_move_at_the_very_moment_is_followed(inbox: Maildir, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes between our second look and our rename: it is looked up again."""
    path = put(inbox, "a")

    def move_late(source: str, target: str, real=maildir._move) -> None:
        if os.path.exists(path):
            os.rename(path, inbox.root / "cur" / "a:2,F")
        real(source, target)

    monkeypatch.setattr(maildir, "_move", move_late)
    inbox.file(only(inbox), add="S")
    assert names(inbox) == ["a:2,FS"]


def test_a_deleted_mail_has_vanished(inbox: Maildir) -> None:
    """A mail that a human deleted meanwhile is Vanished, not an error of the disk."""
    path = put(inbox, "a")
    found = only(inbox)
    os.unlink(path)
    with pytest.raises(Vanished):
        inbox.file(found, add="S")


@pytest.mark.parametrize("box_name", ["inbox", "drop_box"])
def test_other_bytes_under_the_same_name_are_not_filed(request: pytest.FixtureRequest, box_name: str) -> None:
    """Somebody drops another a.eml over the one that we read: that one waits for its own turn."""
    box = request.getfixturevalue(box_name)
    put(box, "a.eml", b"first")
    found = only(box)
    put(box, "draft", b"the second", folder="tmp")
    os.replace(box.root / "tmp" / "draft", found.path)
    with pytest.raises(Vanished):
        box.file(found, add="S")
    assert read(box, only(box)) == b"the second"


def test_a_missing_cur_is_an_error(inbox: Maildir, machine: str) -> None:
    """If cur/ was taken away the mail stays where it is, and the error says so."""
    put(inbox, "a")
    (inbox.root / "cur").rmdir()
    with pytest.raises(FileNotFoundError):
        inbox.file(only(inbox), add="S")
    assert names(inbox, "new") == ["a"]


def test_flags_change_in_cur(inbox: Maildir, machine: str) -> None:
    """reflag adds and drops, keeps what others set, and says whether there was such a mail."""
    put(inbox, "a:2,FRb", folder="cur")
    assert inbox.reflag("a", add="S", drop="F")
    assert inbox.reflag("a", add="S")
    assert names(inbox) == ["a:2,RSb"]
    assert not inbox.reflag("b", add="S")


def test_a_known_mail_goes_back_to_cur_with_flags_untouched(inbox: Maildir) -> None:
    """A mail that a human un-read comes back in new/ and is filed without S."""
    put(inbox, synced(4, "F"))
    inbox.file(only(inbox))
    assert names(inbox) == [synced(4, "F")]
