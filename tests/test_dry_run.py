"""`process --dry-run` says what would happen, with the very lines of the real pass, and writes nothing at all."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import House, a_mail, needs

IMAP = "IMAP_HOST=imap.invalid\nIMAP_USERNAME=u\nIMAP_PASSWORD=p\n"
SIDE_FILES = (".db-wal", ".db-shm")
LOG = re.compile(rb" (ms|seconds)=[\d.]+")


def entry(path: Path) -> tuple[object, ...]:
    """Return what a write would change of a file or folder; a read changes only the atime."""
    status = path.lstat()
    bytes_ = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, bytes_


def tree(home: Path, without: tuple[str, ...] = ()) -> dict[str, tuple[object, ...]]:
    """Return names, bytes and times of every file and folder, home itself too."""
    paths = [home, *home.rglob("*")]
    return {str(path.relative_to(home)): entry(path) for path in paths if not path.name.endswith(without or ("\0",))}


def a_talk() -> list[bytes]:
    """Return mails that lean on each other: a question, its reply, two duplicates, a stranger, a failure, a number."""
    question, reply = a_mail(), a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>")
    return [
        question,
        reply,
        question,
        b"Received: by b; Sun, 22 Nov 2026 08:00:00 +0000\n" + reply,
        a_mail("Re", "eve@elsewhere.example", message_id="<3@example.com>", references="<1@example.com>"),
        b"",
        b"",
        a_mail("[TICKET-002] it is me", "eve@elsewhere.example", message_id="<4@example.com>"),
        a_mail("Re: Re", message_id="<5@example.com>", in_reply_to="<2@example.com>"),
        a_mail("Other", body="Other.", message_id="<1@example.com>"),
    ]


def drop_all(house: House, mails: list[bytes], prefix: str = "") -> None:
    for number, raw in enumerate(mails):
        path, when = house.drop(raw, f"{prefix}{number:02d}.eml"), time.time() - 500 + number
        os.utime(path, (when, when))


TALK = ["opened", "commented", "duplicate", "duplicate", "opened", "failed", "failed", "commented", "commented", "opened"]


def test_the_dry_run_says_what_the_real_pass_says(house: House) -> None:
    """Outcomes, tickets and reasons of the dry run are those of the real pass, also for mails that lean on each other."""
    drop_all(house, a_talk())
    dry, dry_summary = house.process("--dry-run", code=1)
    real, real_summary = house.process(code=1)
    assert [line["outcome"] for line in real] == TALK
    assert dry == real
    assert {**dry_summary, "seconds": 0} == {**real_summary, "seconds": 0}


def test_the_dry_run_knows_what_is_stored(house: House) -> None:
    """On a stored desk too the dry run says what the real pass says: replies to old mail, duplicates, next numbers."""
    drop_all(house, a_talk()[:2])
    house.process()
    drop_all(house, [*a_talk(), a_mail("[TICKET-001] again", message_id="<9@example.com>")], "later")
    dry, _ = house.process("--dry-run", code=1)
    real, _ = house.process(code=1)
    assert dry == real
    assert [line["outcome"] for line in dry[:2]] == ["duplicate", "duplicate"] and dry[4]["ticket"] == "TICKET-002"


def test_limit_and_folder_hold_for_a_dry_run(house: House) -> None:
    """`--limit` and `--folder` mean the same in a dry run."""
    drop_all(house, a_talk()[:3])
    lines, summary = house.process("--dry-run", "--limit", "1")
    assert (len(lines), summary["left"]) == (1, 2)
    assert house.process("--dry-run", "--folder", "INBOX")[0] == []
    house.run("process", "--dry-run", "--folder", "Sales", code=78)


@pytest.mark.parametrize("words", [("--dry-run",), ("--dry-run", "-v"), ("--dry-run", "--json")])
def test_the_phrases_of_a_dry_run(house: House, words: tuple[str, ...]) -> None:
    """A dry run says `Would create` and `Would add` on stderr, and never a phrase that is counted."""
    drop_all(house, a_talk()[:3])
    said = house.run("process", *words).stderr.decode()
    assert said.count("Would create") == 1 and said.count("Would add") == 1
    for counted in ("Email processing", "Created new Ticket", "Added comment"):
        assert counted not in said
    assert not house.log.exists()


def test_a_dry_run_with_nothing_to_do(house: House) -> None:
    """A dry run with nothing to do is silent and exits 0."""
    done = house.run("process", "--dry-run")
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_lines_on_stderr_match_those_of_the_log(house: House) -> None:
    """Ticket, message id, file and outcome stand in the dry run's lines as in the real pass's."""
    drop_all(house, a_talk()[:2])
    dry = [LOG.sub(b"", line).split(b" ticket=")[1] for line in house.run("process", "--dry-run").stderr.splitlines()[:2]]
    house.run("process")
    real = [LOG.sub(b"", line).split(b" ticket=")[1] for line in house.log.read_bytes().splitlines()[:2]]
    assert dry == real


# It writes nothing


def nothing_there(house: House) -> None:
    pass


def only_mail(house: House) -> None:
    drop_all(house, a_talk())


def after_a_pass(house: House) -> None:
    drop_all(house, a_talk())
    house.process(code=1)
    drop_all(house, a_talk(), "later")
    house.drop(a_mail("Synced", message_id="<s@x.example>"), "1.h,U=1,FMD5=7e33429f656f1e6e9d79b29c3f82c57e", "INBOX")


def with_a_large_mail(house: House) -> None:
    house.drop(a_mail(body="large\n" * 250_000), "large.eml")


def with_imap(house: House) -> None:
    (house.home / ".env").write_text(IMAP)
    os.chmod(house.home / ".env", 0o600)
    only_mail(house)


def with_mail_waiting_to_be_moved(house: House) -> None:
    """Known mails in new/, read mail in cur/, a directory: what a real pass would move or write down."""
    after_a_pass(house)
    name = "2.h,U=2,FMD5=7e33429f656f1e6e9d79b29c3f82c57e"
    house.drop(a_mail("2", message_id="<s2@x.example>"), name, "INBOX")
    house.process("--folder", "INBOX")
    inbox = house.maildir / "INBOX"
    (inbox / "cur" / f"{name}:2,S").rename(inbox / "new" / name)
    (inbox / "cur" / "3.h,U=3,FMD5=7e33429f656f1e6e9d79b29c3f82c57e:2,S").write_bytes(a_mail("3", message_id="<s3@x.example>"))
    (house.new / "folder").mkdir()


STATES = [nothing_there, only_mail, after_a_pass, with_a_large_mail, with_imap, with_mail_waiting_to_be_moved]


@pytest.mark.parametrize("state", STATES)
def test_a_dry_run_changes_no_byte_and_no_time(house: House, state: object) -> None:
    """After a dry run every file and folder has the bytes and the times that it had before."""
    assert callable(state)
    state(house)
    before = tree(house.home)
    house.run("process", "--dry-run", "-v", code=None)
    house.run("process", "--dry-run", "--json", code=None)
    assert tree(house.home) == before


def test_explain_changes_nothing_either(house: House) -> None:
    """`explain --now` is a dry run too: of a stored mail, and of a file that was never seen."""
    after_a_pass(house)
    (house.home / "other.eml").write_bytes(a_mail("Other", message_id="<o@x.example>"))
    before = tree(house.home)
    house.run("explain", "--now", "1@example.com")
    house.run("explain", "--now", "other.eml")
    assert tree(house.home) == before


def wait_for(said: object, seconds: float = 30) -> None:
    assert callable(said)
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def worker(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker that has processed a mail and is idle."""
    house.drop(a_mail(), "1.eml")
    process = house.start("worker")
    try:
        wait_for(lambda: house.log.exists() and "Email processing" in house.log.read_text())
        wait_for(lambda: not os.listdir(house.new))
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_a_dry_run_beside_a_worker(house: House, worker: subprocess.Popen[bytes]) -> None:
    """While a worker has the database open, a dry run sees what it stored and changes nothing but SQLite's side files."""
    raw = a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>")
    other = house.home / "other"
    os.makedirs(other / "new")
    (other / "new" / "2.eml").write_bytes(raw)
    time.sleep(0.5)  # the worker's last write, after its last line
    before = tree(house.home, SIDE_FILES)
    done = house.run("process", "--dry-run", "--json", MAILDIR="other")
    assert tree(house.home, SIDE_FILES) == before
    assert b'"outcome": "commented", "ticket": "TICKET-001"' in done.stdout
    assert worker.poll() is None


# System calls that write; of those that open, only with a flag that writes.
WRITES = re.compile(
    r"^(rename|link|symlink|unlink|mkdir|rmdir|mknod|creat|truncate|ftruncate|chmod|fchmod|chown|lchown|fchown|utime"
    r"|futimes|utimens|setxattr|fsetxattr|fallocate)"
)
OPENS_TO_WRITE = re.compile(r"^open(at|at2)?\(.*O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)")
TRACED = "open,openat,?openat2,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat"
TRACED += ",rmdir,mknod,mknodat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,utimensat,utime,utimes"
TRACED += ",setxattr,fsetxattr,fallocate"


def writing_calls(trace: Path, home: Path) -> list[str]:
    """Return the calls that would write to a path below home; -y shows the path of every descriptor."""
    text = re.sub(r"^\d+ +", "", trace.read_text(errors="replace"), flags=re.MULTILINE)
    text = re.sub(r'AT_FDCWD<([^>]*)>, "(?!/)', r'AT_FDCWD, "\1/', text)  # a relative path, made absolute
    calls = re.sub(r"AT_FDCWD<[^>]*>", "AT_FDCWD", text).splitlines()
    assert any(str(home) in call for call in calls), "the trace shows nothing"
    ours = (call for call in calls if str(home) in call)
    return [call for call in ours if WRITES.match(call) or OPENS_TO_WRITE.match(call)]


def traced(house: House, trace: Path, *words: str) -> None:
    """Run a command under strace, with every process that it starts."""
    strace = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={TRACED}", "-o", str(trace)]
    command = [*strace, *house.command(*words)]
    done = subprocess.run(command, cwd=house.home, env=house.environment, capture_output=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
@pytest.mark.parametrize("state", STATES)
def test_a_dry_run_makes_no_call_that_writes(house: House, tmp_path_factory: pytest.TempPathFactory, state: object) -> None:
    """No process of a dry run opens anything below HELPDESK_HOME for writing, renames, links, makes or removes it."""
    needs("strace", "strace")
    assert callable(state)
    state(house)
    trace = tmp_path_factory.mktemp("trace") / "calls"
    traced(house, trace, "process", "--dry-run", "-v")
    assert writing_calls(trace, house.home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
def test_the_trace_sees_a_real_pass(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The trace that finds nothing in a dry run finds the writes of a real pass, so its silence is worth something."""
    needs("strace", "strace")
    house.drop(a_mail())
    trace = tmp_path_factory.mktemp("trace") / "calls"
    traced(house, trace, "process")
    calls = " ".join(writing_calls(trace, house.home))
    assert "rename" in calls and "helpdesk.db" in calls and "helpdesk.log" in calls


def test_a_dry_run_after_a_crash(house: House, worker: subprocess.Popen[bytes]) -> None:
    """Where a worker was killed and left its write-ahead log, a dry run sees all that was committed and mends nothing."""
    worker.kill()
    worker.wait(30)
    house.drop(a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    log = house.database.with_name("helpdesk.db-wal")
    before, kept = tree(house.home, SIDE_FILES), log.read_bytes()
    lines, _ = house.process("--dry-run")
    assert [(line["outcome"], line["ticket"]) for line in lines] == [("commented", "TICKET-001")]
    assert (tree(house.home, SIDE_FILES), log.read_bytes()) == (before, kept)
