"""Fetching by IMAP: real servers, real offlineimap, through the command line."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.locks import file_lock

from .conftest import ROOT, House, a_mail, needs
from .servers import Dovecot, Imap, Pymap, free_port, make_certificate

MANY = 500
STOP_SECONDS = 4.0  # honcho kills after five
UMLAUT = "Gr&APYA3w-e Post"  # Größe Post, as the protocol writes it


class Office:
    """A house whose mail is on a server, and a day's work in it."""

    def __init__(self, house: House, server: Imap, **more: str) -> None:
        self.house = house
        self.server = server
        self.env = server.env(**more)
        self.inbox = house.maildir / "INBOX"

    def run(self, *words: str, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[bytes]:
        return self.house.run(*words, code=code, **{**self.env, **more})

    def sync(self, code: int | None = 0, **more: str) -> str:
        """Fetch once; return what was told."""
        return self.run("sync", "--once", code=code, **more).stderr.decode()

    def process(self, code: int | None = 0) -> Counter[str]:
        """Work what came; count the outcomes."""
        lines = self.run("process", "--json", code=code).stdout.decode().splitlines()
        return Counter(re.findall(r'"outcome": "(\w+)"', "\n".join(lines)))

    def day(self) -> Counter[str]:
        """Fetch, work, and carry the flags up."""
        self.sync()
        outcomes = self.process()
        self.sync()
        return outcomes

    def start(self, *words: str, **more: str) -> subprocess.Popen[bytes]:
        environment = {**self.house.environment, **self.env, "SYNC_SECONDS": "5", **more}
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self.house.command(*words), cwd=self.house.home, env=environment, **quiet)

    def subjects(self) -> list[str]:
        """Return the subject of every message: each mail of these tests opens its own ticket."""
        tickets = self.house.json("ticket", "list", "--all")
        return sorted(ticket["subject"] for ticket in tickets for _ in range(ticket["messages"]))

    def files(self, folder: str = "INBOX") -> dict[int, Path]:
        """Return the files that offlineimap brought, by UID; none may be there twice."""
        found: dict[int, Path] = {}
        for path in [*(self.house.maildir / folder / "new").iterdir(), *(self.house.maildir / folder / "cur").iterdir()]:
            if match := re.search(r",U=(\d+),", path.name):
                assert int(match[1]) not in found, f"UID {match[1]} is there twice"
                found[int(match[1])] = path
        return found

    def reflag(self, uid: int, flags: str, folder: str = "INBOX") -> None:
        """Set the flags of a file as mutt or notmuch would."""
        path = self.files(folder)[uid]
        path.rename(path.parent.parent / "cur" / f"{path.name.partition(':')[0]}:2,{flags}")

    def log(self) -> str:
        return self.house.log.read_text() if self.house.log.exists() else ""

    def complete(self) -> None:
        self.run("audit")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.house.database)) as database, database:
            return database.execute(sql).fetchall()


def mail(name: str, **headers: str) -> bytes:
    """Make a mail of its own sender, subject and id."""
    return a_mail(name, f"{name} <{name}@example.com>", f"This is {name}.", f"<{name}@example.com>", **headers)


def mails(count: int, name: str = "mail") -> list[bytes]:
    return [mail(f"{name}-{number:04}") for number in range(count)]


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)


def ends(process: subprocess.Popen[bytes]) -> int:
    """Ask a process to end; return its exit code, which must come before honcho would kill it."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    finally:
        process.kill()
        process.wait()


SERVERS: dict[str, Callable[[], Imap]] = {"pymap": Pymap, "dovecot": Dovecot}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Imap]:
    running = SERVERS[request.param]()
    yield running
    running.close()  # type: ignore[attr-defined]


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    running = Dovecot()
    yield running
    running.close()


@pytest.fixture
def office(house: House, server: Imap) -> Office:
    """An office whose first round is done, on each server in turn."""
    made = Office(house, server)
    made.sync()
    return made


@pytest.fixture
def tls(house: House, dovecot: Dovecot) -> Office:
    """An office on Dovecot, nothing fetched yet."""
    return Office(house, dovecot)


@pytest.fixture(scope="module", autouse=True)
def long_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Two fetches in trouble that run beside the other tests: what they wait for takes its time."""
    began = time.monotonic()
    down = Office(House(tmp_path_factory.mktemp("down")), Pymap(later=15))
    refused = Office(House(tmp_path_factory.mktemp("refused")), Pymap(), IMAP_PASSWORD="wrong")
    started = [(office, office.start("sync")) for office in (down, refused)]
    yield {"down": started[0], "refused": started[1], "began": began}
    for office, process in started:
        process.kill()
        process.wait()
        office.server.close()  # type: ignore[attr-defined]


# --- What comes, and what goes up -------------------------------------------------------------------------------------


def test_a_mail_becomes_a_ticket_and_is_seen_on_the_server(office: Office) -> None:
    """A mail on the server is a ticket after one round and one pass, read there after the next round, and never comes again."""
    office.server.append(mail("hello"))
    office.sync()
    assert list(office.server.flags().values()) == [set()]
    assert office.process() == {"opened": 1}
    assert office.house.json("ticket", "show", "1")["messages"][0]["text"] == "This is hello.\n"
    office.sync()
    assert list(office.server.flags().values()) == [{"\\Seen"}]
    assert office.day() == {}
    assert office.subjects() == ["hello"]
    office.complete()


def test_every_folder_named_is_fetched(tls: Office) -> None:
    """Each folder of IMAP_FOLDER is fetched, one with a blank and an umlaut too; others are left alone."""
    for folder in ("Sales", UMLAUT, "Other"):
        tls.server.create(folder)
        tls.server.append(mail(folder.split()[0].strip("&").replace("&", "")), folder)
    tls.server.append(mail("inbox"))
    tls.env["IMAP_FOLDER"] = f"INBOX,Sales,{UMLAUT}"
    assert tls.day() == {"opened": 3}
    assert [
        tls.server.flags(folder) and list(tls.server.flags(folder).values()) for folder in ("INBOX", "Sales", UMLAUT, "Other")
    ] == [
        [{"\\Seen"}],
        [{"\\Seen"}],
        [{"\\Seen"}],
        [set()],
    ]
    assert not (tls.house.maildir / "Other").exists()
    tls.complete()


def test_what_people_do_in_webmail_does_no_harm(office: Office) -> None:
    """A mail un-read, starred, deleted or moved in webmail makes no second ticket, stays here, and keeps its new flags there."""
    office.server.create("Archive")
    for name in ("unread", "starred", "deleted", "moved", "plain"):
        office.server.append(mail(name))
    office.day()
    first, second, third, fourth, fifth = sorted(office.server.flags())
    office.server.store(str(first), "-FLAGS", "(\\Seen)")
    office.server.store(str(second), "+FLAGS", "(\\Flagged)")
    office.server.expunge(str(third))
    office.server.move(str(fourth), "Archive")
    before = office.server.picture()
    assert office.day() == {}
    assert office.server.flags() == {first: set(), second: {"\\Seen", "\\Flagged"}, fifth: {"\\Seen"}}
    assert office.server.picture() == before
    assert office.subjects() == ["deleted", "moved", "plain", "starred", "unread"]
    assert len(office.files()) == 5
    office.complete()


def test_a_failed_mail_is_starred_on_the_server(office: Office) -> None:
    """A mail without a header line is read and starred on the server, and `failed list` names it."""
    office.server.append(b"no header line at all\n\nnor a second one\n")
    office.sync()
    assert office.process(code=1) == {"failed": 1}
    office.sync()
    assert list(office.server.flags().values()) == [{"\\Seen", "\\Flagged"}]
    assert [row["reason"] for row in office.house.json("failed", "list")] == ["no header line"]


def test_a_mail_read_elsewhere_before_us_is_processed(office: Office) -> None:
    """A mail that came after the first round and was read in webmail before we fetched it opens its ticket."""
    office.server.append(mail("read-before"), flags="(\\Seen)")
    office.server.append(mail("read-between"))
    office.sync()
    office.server.store("1:*", "+FLAGS", "(\\Seen)")
    office.sync()
    assert office.process() == {"opened": 2}
    assert office.subjects() == ["read-before", "read-between"]


def test_what_was_read_before_the_first_round_is_the_baseline(house: House, server: Imap) -> None:
    """At the first complete round read mail is kept without a ticket, and unread mail opens one."""
    office = Office(house, server)
    server.append(mail("old"), flags="(\\Seen)")
    server.append(mail("fresh"))
    assert office.day() == {"opened": 1, "ignored": 1}
    assert office.subjects() == ["fresh"]
    office.complete()


def test_a_round_that_failed_decides_no_baseline(tls: Office) -> None:
    """A refused log-in decides nothing: what is read on the server until the first good round is the baseline."""
    tls.sync(code=77, IMAP_PASSWORD="wrong")
    assert tls.process() == {}
    tls.server.append(mail("old"), flags="(\\Seen)")
    tls.server.append(mail("fresh"))
    assert tls.day() == {"opened": 1, "ignored": 1}


ODD = {
    "8 bit": mail("bytes").replace(b"This", b"Gr\xfc\xdfe \xff"),
    "no last boundary": mail("open", content_type='multipart/mixed; boundary="b"') + b"--b\n\nText\n",
    "blank line of header": mail("blanks").replace(b"\n\n", b"\nX-Nil:\nX-Two:  two\n\n", 1),
    "trailing blanks": mail("trailing") + b"-- \n\n  \n\n",
    "no line end": mail("ends").rstrip(b"\n"),
    "a From line": mail("from") + b"From here on\n>From\n",
    "a long line": mail("long") + b"x" * 5000 + b"\n",
}


def test_bytes_are_those_of_the_server(tls: Office) -> None:
    """A file here holds the server's bytes, CRLF as LF, and nothing else is changed."""
    for raw in [*ODD.values(), *(path.read_bytes() for path in sorted((ROOT / "tests/mails").glob("*.eml"))[:12])]:
        tls.server.append(raw)
    tls.sync()
    here = {uid: path.read_bytes() for uid, path in tls.files().items()}
    assert here == {uid: raw.replace(b"\r\n", b"\n") for uid, raw in tls.server.listing().items()}


# --- Nothing else is ever written there -------------------------------------------------------------------------------


def config_without(house: House, *lines: str) -> None:
    """Give the house offlineimap's configuration with patches cut out."""
    shutil.copytree(ROOT / "config", house.home / "config")
    path = house.home / "config" / "offlineimap_patches.py"
    text = path.read_text()
    for line in lines:
        assert text.count(line) == 1
        text = text.replace(line, "")
    path.write_text(text)


def foreign_file_stays_here(tls: Office) -> None:
    tls.sync()
    tls.server.append(mail("theirs"))
    dropped = tls.house.drop(mail("dropped"), "dropped.eml", "INBOX")
    tls.sync()
    assert dropped.exists(), "renamed"
    tls.process()
    told = tls.sync()
    assert list(tls.server.flags().values()) == [{"\\Seen"}], "uploaded"
    assert told.startswith("0 mails fetched"), "counted as fetched"
    assert len([path for path in (tls.inbox / "cur").iterdir() if path.name.startswith("dropped.eml")]) <= 1
    assert tls.subjects() == ["dropped", "theirs"]


def expunged_mail_stays_away(tls: Office) -> None:
    for name in ("one", "two", "three"):
        tls.server.append(mail(name))
    tls.day()
    tls.server.expunge(str(min(tls.server.flags())))
    tls.sync()
    shutil.rmtree(tls.house.home / "data" / "offlineimap")
    tls.sync()
    assert len(tls.server.flags()) == 2, "came back up"
    assert tls.day() == {}
    assert len(tls.server.flags()) == 2, "came back up"
    assert tls.subjects() == ["one", "three", "two"]
    assert len(tls.files()) == 3


def renumbered_mail_comes(tls: Office) -> None:
    assert isinstance(tls.server, Dovecot)
    for name in ("one", "two", "three"):
        tls.server.append(mail(name))
    tls.day()
    tls.server.expunge(",".join(map(str, sorted(tls.server.flags())[:2])))
    tls.server.new_uidvalidity()
    tls.server.append(mail("four"))
    tls.server.append(mail("five"))
    tls.sync(code=None)
    tls.sync(code=None)
    tls.process()
    assert tls.subjects() == ["five", "four", "one", "three", "two"], "missed"


def deep() -> bytes:
    parts = [f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}' for level in range(3000)]
    return mail("deep").partition(b"\n\n")[0] + b"\nMIME-Version: 1.0\n" + "\n".join(parts).encode() + b"\n\nbottom\n"


def deep_mail_comes(tls: Office) -> None:
    tls.sync()
    tls.server.append(mail("before"))
    tls.server.append(deep())
    tls.server.append(mail("after"))
    tls.sync(code=None)
    tls.process(code=None)
    tls.sync(code=None)
    assert [b"bottom" in path.read_bytes() for path in tls.files().values()].count(True) == 1, "never came"
    assert {uid: path.read_bytes() for uid, path in tls.files().items()} == {
        uid: raw.replace(b"\r\n", b"\n") for uid, raw in tls.server.listing().items()
    }
    assert all("\\Seen" in flags for flags in tls.server.flags().values())


def only_ours_go_up(tls: Office) -> None:
    names = ("replied", "trashed", "draft", "passed", "starred")
    for name in names:
        tls.server.append(mail(name))
    tls.day()
    uids = sorted(tls.server.flags())
    for uid, letter in zip(uids, "RTDPF", strict=True):
        tls.reflag(uid, "".join(sorted(letter + "S")))
    tls.day()
    tls.day()
    assert tls.server.flags() == dict(zip(uids, [{"\\Seen"}] * 4 + [{"\\Seen", "\\Flagged"}], strict=True)), "went up"
    assert tls.subjects() == sorted(names)


def only_ours_come_down(tls: Office) -> None:
    tls.sync()
    tls.server.append(mail("answered"), flags="(\\Answered \\Flagged)")
    tls.day()
    tls.reflag(1, "S")
    tls.day()
    assert tls.server.flags() == {1: {"\\Answered", "\\Seen"}}, "taken away"


UPLOAD = "MaildirFolder.copymessageto = _never_upload\n"
UIDVALIDITY = "IMAPFolder.check_uidvalidity = _check_or_end\n"
RAW = "IMAPFolder._fetch_from_imap = _fetch_raw\n"
ADD = "IMAPFolder.addmessagesflags = _only_ours(IMAPFolder.addmessagesflags)\n"
DELETE = "IMAPFolder.deletemessagesflags = _only_ours(IMAPFolder.deletemessagesflags)\n"
DAYS = (
    foreign_file_stays_here,
    expunged_mail_stays_away,
    renumbered_mail_comes,
    deep_mail_comes,
    only_ours_go_up,
    only_ours_come_down,
)
# (the patches that are cut out, the day that then ends badly, the loss)
LOSSES = (
    ((UPLOAD,), foreign_file_stays_here, "renamed|uploaded"),
    ((UPLOAD,), expunged_mail_stays_away, "came back up"),
    ((UIDVALIDITY,), renumbered_mail_comes, "missed"),
    ((RAW,), deep_mail_comes, "never came"),
    ((ADD,), only_ours_go_up, "went up"),
    ((DELETE,), only_ours_come_down, "taken away"),
)


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.__name__)
def test_with_the_patches_nothing_is_lost(tls: Office, day: Callable[[Office], None]) -> None:
    """With the patches of offlineimap nothing is lost or doubled, and nothing but \\Seen and the star is written there."""
    day(tls)


@pytest.mark.parametrize(("cut", "day", "loss"), LOSSES, ids=[loss for _, _, loss in LOSSES])
def test_each_patch_is_needed(tls: Office, cut: tuple[str, ...], day: Callable[[Office], None], loss: str) -> None:
    """With a patch cut out the same day ends in a loss, so the test above can tell."""
    config_without(tls.house, *cut)
    with pytest.raises(AssertionError, match=loss):
        day(tls)


def test_a_mail_kept_here_is_not_counted_as_fetched(tls: Office) -> None:
    """A mail that is gone on the server and kept here is not told as fetched in round after round once the metadata is lost."""
    tls.server.append(mail("kept"))
    tls.day()
    tls.server.expunge("1")
    tls.sync()
    shutil.rmtree(tls.house.home / "data" / "offlineimap")
    tls.sync()
    assert tls.sync().startswith("0 mails fetched")


def test_a_day_of_work_writes_nothing_but_seen_and_the_star(tls: Office) -> None:
    """Files removed, moved and dropped here, and a Maildir made here, change no mail, no folder and no other flag there."""
    tls.sync()
    for name in ("removed", "moved", "worked", "waits"):
        tls.server.append(mail(name))
    tls.server.append(mail("answered"), flags="(\\Answered \\Seen)")
    before = tls.server.picture()
    tls.sync()
    tls.house.drop(mail("foreign"), "foreign.eml", "INBOX")
    tls.house.drop(mail("box"), "box.eml")
    tls.house.drop(mail("failed"), "failed.eml", "Failed")
    tls.day()
    tls.files()[1].unlink()
    tls.files()[2].rename(tls.house.home / "moved.eml")
    tls.day()
    shutil.rmtree(tls.inbox)
    tls.day()
    listing, flags = before["INBOX"]  # type: ignore[misc]
    assert tls.server.picture() == before | {"INBOX": (listing, {uid: held | {"\\Seen"} for uid, held in flags.items()})}
    assert tls.subjects() == ["answered", "box", "foreign", "moved", "removed", "waits", "worked"]


# --- Did it run? ------------------------------------------------------------------------------------------------------


def test_the_status_says_whether_fetching_works(tls: Office) -> None:
    """`sync --status` is 0 after a good round and 1 before it and after a bad one, with the reason and the last good round."""
    assert "No round has run yet" in tls.run("sync", "--status", code=1).stdout.decode()
    tls.server.append(mail("hello"))
    tls.sync()
    good = json.loads(tls.run("sync", "--status", "--json").stdout)
    assert good["healthy"] and good["configured"]
    assert good["last_good"] == good["rounds"][0]["ended"]
    assert (good["rounds"][0]["came"], good["rounds"][0]["kind"], good["rounds"][0]["folders"]) == (1, None, "INBOX")
    tls.sync(code=77, IMAP_PASSWORD="wrong")
    bad = json.loads(tls.run("sync", "--status", "--json", code=1).stdout)
    assert not bad["healthy"]
    assert bad["last_good"] == good["last_good"]
    assert [one["kind"] for one in bad["rounds"]] == ["login", None]
    table = tls.run("sync", "--status", code=1).stdout.decode()
    assert "the server refused the log-in" in table.splitlines()[0]
    assert "good" in table.splitlines()[-1]


def test_a_pass_tells_that_no_round_was_good_for_an_hour(tls: Office) -> None:
    """`process` says on stderr that fetching fails once no round was good for an hour, and nothing while it works."""
    tls.sync()
    assert tls.run("process").stderr == b""
    tls.sync(code=77, IMAP_PASSWORD="wrong")
    assert tls.run("process").stderr == b""
    tls.rows(
        "update sync_round set started = '2026-01-01T00:00:00+00:00', ended = '2026-01-01T00:00:00+00:00' where kind is null"
    )
    assert b"Fetching fails: the server refused the log-in" in tls.run("process").stderr
    assert b"days ago" in tls.run("process").stderr
    assert tls.run("process", IMAP_ENABLED="no").stderr == b""


def test_process_fetches_when_asked(tls: Office) -> None:
    """`process --sync` fetches once and works what came; its exit code is the fetch's when that failed."""
    tls.server.append(mail("hello"))
    assert tls.run("process", "--sync").stderr == b""
    assert tls.subjects() == ["hello"]
    done = tls.run("process", "--sync", code=77, IMAP_PASSWORD="wrong")
    assert b"refused the log-in" in done.stderr
    assert tls.run("process", "--sync", "--dry-run").stdout == b""


def test_while_another_fetches_a_pass_works_what_is_here(tls: Office) -> None:
    """While another process fetches, `process --sync` leaves the fetch to it, works what is here, and ends with 0."""
    tls.sync()
    tls.server.append(mail("there"))
    tls.house.drop(mail("here"), "here.eml")
    with file_lock(tls.house.home / "data" / "sync.lock"):
        assert tls.run("process", "--sync").stderr == b""
        assert tls.subjects() == ["here"]
        assert "helpdesk: Another process holds sync.lock" in tls.sync(code=75)
    assert tls.run("process", "--sync").stderr == b""
    assert tls.subjects() == ["here", "there"]


def test_two_passes_at_once_fetch_and_work_each_mail_once(tls: Office) -> None:
    """Of two `process --sync` at once neither fails, and each mail is fetched and worked once."""
    for raw in mails(20):
        tls.server.append(raw)
    both = [tls.start("process", "--sync") for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    tls.day()
    assert tls.subjects() == [f"mail-{number:04}" for number in range(20)]
    assert len(tls.files()) == 20


# --- Another program on the Maildir ---


def notmuch(office: Office, *words: str) -> None:
    config = office.house.home / "notmuch.conf"
    config.write_text(
        f"[database]\npath={office.inbox}\n[user]\nname=A\nprimary_email=a@b.example\n[maildir]\nsynchronize_flags=true\n"
    )
    environment = {**os.environ, "NOTMUCH_CONFIG": str(config), "HOME": str(office.house.home)}
    subprocess.run(["notmuch", *words], check=True, env=environment, capture_output=True)


def test_notmuch_on_the_same_maildir_does_no_harm(tls: Office) -> None:
    """notmuch indexes and tags the folder between rounds: no mail is lost or doubled, and only \\Seen and the star go up."""
    needs("notmuch", "notmuch")
    tls.sync()
    for name in ("one", "two", "three"):
        tls.server.append(mail(name))
    before = tls.server.listing()
    tls.sync()
    notmuch(tls, "new")
    notmuch(tls, "tag", "-unread", "+replied", "+passed", "subject:one")
    assert tls.day() == {"opened": 3}
    notmuch(tls, "new")
    notmuch(tls, "tag", "+draft", "+flagged", "subject:two")
    notmuch(tls, "tag", "+unread", "subject:three")
    assert tls.day() == {}
    assert tls.day() == {}
    assert tls.server.listing() == before
    assert tls.server.flags() == {1: {"\\Seen"}, 2: {"\\Seen", "\\Flagged"}, 3: set()}
    assert tls.subjects() == ["one", "three", "two"]
    tls.complete()


def test_mutt_on_the_same_maildir_does_no_harm(tls: Office) -> None:
    """mutt reads, deletes and answers between rounds: no mail is lost or doubled, and nothing but \\Seen goes up."""
    needs("mutt", "mutt")
    needs("script", "bsdutils")
    tls.sync()
    for name in ("one", "two", "three"):
        tls.server.append(mail(name))
    before = tls.server.listing()
    tls.sync()
    keys = "<first-entry><set-flag>r<last-entry><delete-message><sync-mailbox><quit>"
    options = "set wait_key=no delete=yes quit=yes beep=no move=no folder=. sort=subject; push '" + keys + "'"
    command = ["mutt", "-n", "-F", "/dev/null", "-f", str(tls.inbox), "-e", options]
    environment = {**os.environ, "TERM": "xterm", "HOME": str(tls.house.home)}
    done = subprocess.run(
        ["script", "-qec", shlex.join(command), "/dev/null"],
        env=environment,
        capture_output=True,
        stdin=subprocess.PIPE,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout
    assert len(tls.files()) == 2, done.stdout
    outcomes = tls.day()
    assert outcomes == {"opened": 2}
    tls.day()
    assert tls.server.listing() == before
    assert set.union(*tls.server.flags().values()) == {"\\Seen"}
    assert tls.subjects() == ["one", "three"]


# --- The server numbers its mails anew --------------------------------------------------------------------------------


def put_aside(office: Office) -> list[Path]:
    return sorted((office.house.maildir / ".aside").glob("*/INBOX"))


def test_new_numbers_lose_and_double_nothing(tls: Office) -> None:
    """After a change of UIDVALIDITY, twice, each mail is a message once; the old folder is kept aside and told, by 75 once."""
    server = tls.server
    assert isinstance(server, Dovecot)
    server.append(mail("first-read"), flags="(\\Seen)")
    server.append(mail("first"))
    tls.day()
    for number in (1, 2):
        server.append(mail(f"fetched-{number}"))
        tls.sync()  # and not worked when the numbers change
        server.append(mail(f"before-{number}"))
        server.new_uidvalidity()
        server.append(mail(f"after-{number}"))
        assert "UIDVALIDITY" in tls.sync(code=75)
        assert len(put_aside(tls)) == number
        assert tls.log().count("Folder put aside") == number
        tls.day()
        tls.complete()
    assert Counter(tls.subjects()) == Counter(["first", "fetched-1", "before-1", "after-1", "fetched-2", "before-2", "after-2"])
    assert len(tls.files()) == 8
    assert all("\\Seen" in flags for flags in server.flags().values())
    assert sum(1 for path in put_aside(tls)[0].rglob("*") if path.is_file()) >= 3


def test_new_numbers_of_a_folder_with_a_blank(tls: Office) -> None:
    """A folder with a blank in its name is put aside and fetched again like any other, and so are several at once."""
    assert isinstance(tls.server, Dovecot)
    tls.env["IMAP_FOLDER"] = "INBOX,Team Post"
    tls.server.create("Team Post")
    tls.server.append(mail("in the inbox"))
    tls.server.append(mail("one"), "Team Post")
    tls.day()
    tls.server.new_uidvalidity()
    tls.server.append(mail("two"), "Team Post")
    tls.sync(code=75)
    assert sorted(path.name for path in (tls.house.maildir / ".aside").glob("*/*") if path.is_dir()) == ["INBOX", "Team Post"]
    tls.day()
    assert tls.subjects() == ["in the inbox", "one", "two"]


def test_new_numbers_before_the_baseline_is_read(tls: Office) -> None:
    """Mail that was read before us stays the baseline when the numbers change between the first round and the first pass."""
    assert isinstance(tls.server, Dovecot)
    tls.server.append(mail("old"), flags="(\\Seen)")
    tls.server.append(mail("fresh"))
    tls.sync()
    tls.server.new_uidvalidity()
    tls.sync(code=75)
    tls.day()
    tls.day()
    assert tls.subjects() == ["fresh"]
    tls.complete()


# --- Trouble ----------------------------------------------------------------------------------------------------------

# (settings, exit code, what the sentence says, what the hint names)
TROUBLES: dict[str, tuple[dict[str, str], int, str, str]] = {
    "wrong password": ({"IMAP_PASSWORD": "wrong"}, 77, "refused the log-in", "IMAP_PASSWORD"),
    "unknown host": ({"IMAP_HOST": "nowhere.invalid"}, 69, "name is not known", "IMAP_HOST"),
    "port closed": ({"IMAP_PORT": "CLOSED"}, 69, "does not answer", "IMAP_PORT"),
    "not trusted": ({"IMAP_CA_FILE": ""}, 69, "certificate is not trusted", "IMAP_CA_FILE"),
    "another's certificate": ({"IMAP_CA_FILE": "OTHER"}, 69, "certificate is not trusted", "IMAP_CA_FILE"),
    "another host name": ({"IMAP_HOST": "127.0.0.1"}, 69, "certificate", "IMAP_CA_FILE"),
    "no such folder": ({"IMAP_FOLDER": "INBOX,Nope"}, 78, "no folder Nope", "IMAP_FOLDER"),
    "letter case": ({"IMAP_FOLDER": "INBOX,SALES"}, 78, "no folder SALES", "IMAP_FOLDER"),
}


@pytest.fixture(scope="module")
def still() -> Iterator[Dovecot]:
    """A server that no test changes."""
    running = Dovecot()
    other = running.base / "other"
    other.mkdir()
    make_certificate(other)
    running.create("Sales")
    yield running
    running.close()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_told_by_its_name(house: House, still: Dovecot, trouble: str) -> None:
    """Each trouble is told in the first round by a sentence, a hint that names the setting, and its exit code."""
    settings, code, sentence, hint = TROUBLES[trouble]
    stand_ins = {"CLOSED": str(free_port()), "OTHER": str(still.base / "other" / "cert.pem")}
    office = Office(house, still, **{name: stand_ins.get(value, value) for name, value in settings.items()})
    told = office.sync(code=code)
    first, second, *more = told.splitlines()
    assert sentence in first
    assert hint in second
    assert not more
    status = house.json("sync", "--status", code=0)  # without IMAP in its environment nothing is configured
    assert status["rounds"][0]["reason"] in first


def test_a_port_without_tls_is_told(house: House) -> None:
    """Where the port speaks no TLS, that is told; the password never goes over it."""
    plain = Dovecot(tls=False)
    try:
        office = Office(house, plain, IMAP_SECURITY="ssl", IMAP_HOST="localhost", IMAP_CA_FILE=str(plain.certificate))
        assert "no TLS is spoken" in office.sync(code=69)
        assert plain.log().count("Login: user=") == 1  # the fixture's own, when the server was ready
    finally:
        plain.close()


def test_without_a_file_of_certificates_the_system_s_are_trusted(house: House) -> None:
    """Without IMAP_CA_FILE the fetch works, and no certificate is looked for where no TLS is spoken."""
    plain = Pymap()
    try:
        office = Office(house, plain)
        plain.append(mail("hello"))
        office.sync()
        assert office.process() == {"opened": 1}
    finally:
        plain.close()


def test_a_folder_named_like_a_maildir_s_own_is_not_touched(tls: Office) -> None:
    """A folder on the server called cur or new is neither fetched nor changed, and may not be asked for."""
    for folder in ("cur", "new"):
        tls.server.create(folder)
        tls.server.append(mail(f"in-{folder}"), folder)
    tls.server.append(mail("hello"))
    assert tls.day() == {"opened": 1}
    assert tls.server.flags("cur") == tls.server.flags("new") == {1: set()}
    assert tls.subjects() == ["hello"]
    tls.sync(code=78, IMAP_FOLDER="INBOX,cur")


def test_what_offlineimap_printed_is_in_the_log(tls: Office) -> None:
    """Trouble of no known kind is told by offlineimap's own error, and the log has what it printed, as the hint says."""
    shutil.copytree(ROOT / "config", tls.house.home / "config")
    with (tls.house.home / "config" / "offlineimap_patches.py").open("a") as file:
        file.write('raise RuntimeError("a plain trouble")\n')
    told = tls.sync(code=69)
    assert "a plain trouble" in told
    assert "LOG_FILE" in told
    assert "a plain trouble" in tls.log()


def test_another_offlineimap_on_the_mailbox_is_told(tls: Office) -> None:
    """While another offlineimap holds the account, a round is told as later (75), not as trouble of the server."""
    tls.sync()
    lock = tls.house.home / "data" / "offlineimap" / "Account-desk" / "lock"
    with contextlib.ExitStack() as stack:
        for path in (lock, lock.parents[1] / "desk.lock"):
            file = stack.enter_context(path.open("w"))
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "another offlineimap works on the mailbox" in tls.sync(code=75)


# --- Interrupted ------------------------------------------------------------------------------------------------------


def interrupted_copy(office: Office, *words: str, read: bool = False) -> subprocess.Popen[bytes]:
    """Start a fetch of many mails; return once some of them, and not all, are here."""
    assert isinstance(office.server, Dovecot)
    office.server.fill([] if read else mails(MANY), mails(MANY) if read else [])
    process = office.start(*words)
    place = office.inbox / ("cur" if read else "new")
    until(lambda: place.exists() and sum(1 for _ in place.iterdir()) > 20)
    return process


def everything_came_once(office: Office) -> None:
    office.sync()
    assert len(office.files()) == MANY
    assert office.process() == {"opened": MANY}
    assert office.subjects() == [f"mail-{number:04}" for number in range(MANY)]
    office.complete()


def test_a_server_that_dies_in_a_copy_loses_nothing(tls: Office) -> None:
    """A server killed while 500 mails are copied ends the round by 69; the next brings the rest, and none twice."""
    assert isinstance(tls.server, Dovecot)
    process = interrupted_copy(tls, "sync", "--once")
    tls.server.kill()
    assert process.wait(60) == 69
    assert len(tls.files()) < MANY
    assert tls.house.json("sync", "--status")["rounds"][0]["kind"] in ("lost", "silent")
    tls.server.start()
    everything_came_once(tls)


def test_a_fetch_ended_in_a_copy_loses_nothing(tls: Office) -> None:
    """SIGTERM while 500 mails are copied ends the fetch in under four seconds with 0; later all are here, and none twice."""
    assert ends(interrupted_copy(tls, "sync")) == 0
    assert len(tls.files()) < MANY
    everything_came_once(tls)


@pytest.mark.parametrize("words", [("sync",), ("process", "--sync")], ids=" ".join)
def test_a_first_fetch_that_is_ended_decides_no_baseline(tls: Office, words: tuple[str, ...]) -> None:
    """SIGTERM in the first copy of read mail decides no baseline: the rest, which comes later, opens no tickets."""
    process = interrupted_copy(tls, *words, read=True)
    ends(process)
    assert len(tls.files()) < MANY
    tls.sync()
    assert tls.process() == {"ignored": MANY}
    assert "no folder" not in tls.log()


def test_a_first_fetch_whose_server_dies_decides_no_baseline(tls: Office) -> None:
    """A server killed in the first copy of read mail decides no baseline either, and a pass meanwhile opens no tickets."""
    assert isinstance(tls.server, Dovecot)
    process = interrupted_copy(tls, "sync", "--once", read=True)
    tls.server.kill()
    process.wait(60)
    tls.process()
    tls.server.start()
    tls.sync()
    tls.process()
    assert tls.subjects() == []
    assert tls.house.json("audit")["by_outcome"]["ignored"] == MANY


def test_a_server_that_says_nothing_does_not_hold_the_fetch(house: House) -> None:
    """SIGTERM ends `sync` in under four seconds while a server has accepted and says nothing; that is no trouble to tell."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        hole = Imap(listener.getsockname()[1], house.home)
        office = Office(house, hole)
        process = office.start("sync")
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(listener.accept()[0])
            finally:
                code = ends(process)
            assert code == 0
    assert "Fetching mail failed" not in office.log()


def test_an_inbox_of_2000_mails_at_the_first_start(tls: Office) -> None:
    """All of 2,000 mails are in after the first round and pass: read ones as baseline, unread ones as tickets."""
    assert isinstance(tls.server, Dovecot)
    tls.server.fill(mails(200, "fresh"), mails(1800, "old"))
    tls.sync()
    assert tls.process() == {"opened": 200, "ignored": 1800}
    assert tls.subjects() == [f"fresh-{number:04}" for number in range(200)]
    assert tls.house.json("audit")["ledger"] == 2000
    tls.sync()
    assert all("\\Seen" in flags for flags in tls.server.flags().values())


# --- The fetch that runs on ---


def test_a_server_that_comes_back_is_used_again(long_runs: dict[str, Any]) -> None:
    """`sync` runs on while the server is down, tells it once for several rounds, and works round after round when it is back."""
    office, process = long_runs["down"]
    until(lambda: "Fetching mail works again" in office.log(), 120)
    assert [kind for kind, _ in first_rounds(office)] == ["silent", "silent"]
    assert office.log().count("Fetching mail failed") == 1
    office.server.append(mail("hello"))
    until(lambda: "Mail fetched came=1 folders=INBOX" in office.log())
    assert office.process() == {"opened": 1}
    until(lambda: list(office.server.flags().values()) == [{"\\Seen"}])
    assert ends(process) == 0


def test_a_refused_log_in_is_not_tried_again_soon(long_runs: dict[str, Any]) -> None:
    """After a refused log-in `sync` does not try again within 20 seconds, so that no account is locked."""
    office, process = long_runs["refused"]
    until(lambda: "refused the log-in" in office.log())
    time.sleep(max(0.0, 24 - (time.monotonic() - long_runs["began"])))
    (kind, when), *later = first_rounds(office)
    assert kind == "login"
    assert all((again - when).total_seconds() >= 20 for _, again in later)  # others may have run long before this
    assert ends(process) == 0


def first_rounds(office: Office) -> list[tuple[str | None, datetime.datetime]]:
    """Return what went wrong in the first two rounds, and when each began; `--status` shows the last ones only."""
    with contextlib.closing(sqlite3.connect(office.house.database)) as database:
        rows = database.execute("SELECT kind, started FROM sync_round ORDER BY id LIMIT 2").fetchall()
    return [(kind, datetime.datetime.fromisoformat(started)) for kind, started in rows]


IDLE: dict[str, tuple[dict[str, str], str]] = {
    "not configured": ({}, "Fetching is not configured; set IMAP_HOST, IMAP_USERNAME, IMAP_PASSWORD in .env"),
    "half configured": ({"IMAP_HOST": "mail.example", "IMAP_USERNAME": "me"}, "set IMAP_PASSWORD in .env"),
    "switched off": ({"IMAP_ENABLED": "no"}, "Fetching is switched off (IMAP_ENABLED=no)"),
}


@pytest.mark.parametrize("reason", IDLE)
def test_without_a_server_the_fetch_idles(house: House, reason: str) -> None:
    """With nothing to fetch `sync` says why in one line, runs on, and ends on SIGTERM with 0; `--once` says it and ends."""
    settings, line = IDLE[reason]
    environment = {**house.environment, **settings}
    process = subprocess.Popen(house.command("sync"), cwd=house.home, env=environment, stderr=subprocess.PIPE)
    assert process.stderr
    with process.stderr:
        told = process.stderr.readline().decode()
        assert line in told
        assert process.poll() is None
        assert ends(process) == 0
        assert process.stderr.read() == b""
    assert line in house.run("sync", "--once", **settings).stderr.decode()
    assert house.run("process", **settings).stderr == b""
