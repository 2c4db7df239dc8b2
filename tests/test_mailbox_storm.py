"""The whole house under a storm: `helpdesk up` and a real IMAP server, mail coming in all the while, and kill after kill."""

from __future__ import annotations

import contextlib
import imaplib
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import ROOT, House, a_mail
from .killing import FMD5, Check, File, Sent, left_running, looked_at
from .servers import Dovecot
from .test_up import Running, children, command_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

KILLS = 20
RESETS = 2  # of UIDVALIDITY
QUIET = 120.0  # seconds until all that was appended must be on a ticket
STEP = 5  # kills after which `up` is stopped and started: who dies often is started late, and late kills hit nobody
TARGETS = {"sync": 3, "offlineimap": 4, "worker": 5, "reader": 4, "dovecot": 4}  # how often each is killed
LIVES = 8.0  # seconds to wait for a process that is to be killed


# -- the mailbox -----------------------------------------------------------------------------------------------------


class Feeder:
    """Appends new mails and replies to earlier ones, each until the server says OK; some of them twice."""

    def __init__(self, server: Dovecot, seed: int, pause: float = 0.5) -> None:
        self.server, self.pause = server, pause
        self.rnd = random.Random(seed)
        self.mails: list[Sent] = []
        self.refused = 0  # appends that failed, and were made again
        self.again = 0  # appends made twice on purpose
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the mail in hand."""
        self._stop.set()
        self._thread.join()

    def _feed(self) -> None:
        while not self._stop.wait(self.rnd.uniform(0, self.pause)):
            mail = self._next()
            self._append(mail)
            self.mails.append(mail)
            if self.rnd.random() < 0.05:
                self._append(mail)
                self.again += 1

    def _next(self) -> Sent:
        number = len(self.mails) + 1
        parent = self.rnd.choice(self.mails[-20:]) if self.mails and self.rnd.random() < 0.4 else None
        names = {"in_reply_to": f"<{parent.message_id}>"} if parent else {}
        body = f"Mail {number}.\n \nFrom a line: \xe4\xf6 \n" + "x" * self.rnd.randrange(2000) + "\n.\n"
        raw = a_mail(f"Case {number}", "Ann <ann@example.com>", body, f"<{number}@storm.example>", **names)
        return Sent(f"{number}@storm.example", "INBOX", [raw], parent)

    def _append(self, mail: Sent) -> None:
        """Append until it is said to be in; where the connection died after the server took it, it is there twice."""
        while True:
            try:
                return self.server.append(mail.raws[0])
            except (OSError, imaplib.IMAP4.error, AssertionError):
                self.refused += 1
                time.sleep(0.1)


# -- the storm -------------------------------------------------------------------------------------------------------


@dataclass
class Storm:
    """A house with a mailbox, both under kills."""

    house: House
    server: Dovecot
    kills: int
    seed: int = 1
    targets: dict[str, int] = field(default_factory=lambda: dict(TARGETS))
    killed: Counter[str] = field(default_factory=Counter)
    stops: list[tuple[int, list[str]]] = field(default_factory=list)  # exit codes of `up`, and what outlived it
    read: int = -1  # mails on tickets when a reader was killed last
    diary: list[str] = field(default_factory=list)  # who was killed when
    quiet_after: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.rnd = random.Random(self.seed)
        self.feeder = Feeder(self.server, self.seed)
        furnish(self.house, self.server)

    def blow(self) -> None:
        """Kill so often, wait until all mail is in, and stop."""
        self.started = time.monotonic()
        self.up = start_up(self.house)
        self.feeder.start()
        try:
            self._strikes()
            self.feeder.stop()
            self._wait_until_quiet()
            self._stop()
        finally:
            self.feeder.stop()
            self.up.end()
        self.seconds = time.monotonic() - self.started

    def _strikes(self) -> None:
        plan = self._plan()
        resets = {len(plan) * (turn + 1) // (RESETS + 1) for turn in range(RESETS)}
        for turn, name in enumerate(plan):
            if turn in resets:
                self.server.new_uidvalidity()
            if turn and turn % STEP == 0:
                time.sleep(1)  # the stop ends readers: let a mail whose reader was killed just now be read
                self._stop()
                self.up = start_up(self.house)
            self._strike(name)

    def _plan(self) -> list[str]:
        """Return whom to kill, in turn."""
        bag = [name for name, often in self.targets.items() for _ in range(often)]
        plan = [name for _ in range(self.kills // len(bag) + 1) for name in self.rnd.sample(bag, len(bag))]
        return plan[: self.kills]

    def _strike(self, name: str) -> None:
        """Kill one of that kind; the server where there is none for long."""
        time.sleep(self.rnd.uniform(0, 1.5))
        strikes = {"sync": self._strike_sync, "reader": self._strike_reader, "dovecot": lambda: False}
        if not strikes.get(name, lambda: self._kill(name, self._moment()))():
            name = "dovecot"
            self.server.kill()
            time.sleep(self.rnd.uniform(0, 1.5))
            again(self.server.start)
        self.killed[name] += 1
        self.diary.append(f"{time.monotonic() - self.started:.1f} {name}")

    def _moment(self) -> float:
        return self.rnd.choice((0.0, self.rnd.uniform(0, 0.1), self.rnd.uniform(0, 0.4)))

    def _strike_sync(self) -> bool:
        """Every other time while offlineimap runs: that is left without its keeper."""
        if self.rnd.random() < 0.5:
            self._find("offlineimap")
            time.sleep(self.rnd.uniform(0, 0.3))
        return self._kill("sync", 0.0)

    def _strike_reader(self) -> bool:
        """Never two readers of one mail: that would call it guilty."""
        end = time.monotonic() + LIVES
        while (read := len(on_tickets(self.house))) == self.read and time.monotonic() < end:
            time.sleep(0.02)
        if read == self.read or not self._kill("reader", self.rnd.uniform(0, 0.1)):
            return False
        self.read = len(on_tickets(self.house))
        return True

    def _kill(self, name: str, seconds: float) -> bool:
        """Kill one of the processes that we started, so long after it was seen; another if that has ended."""
        while pid := self._find(name):
            time.sleep(seconds)
            if pid in self._named(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
            seconds /= 2
        return False

    def _find(self, name: str) -> int:
        """Return a process of that kind, soon; 0 if none comes to life."""
        end = time.monotonic() + LIVES
        while not (found := self._named(name)):
            if time.monotonic() > end:
                return 0
            time.sleep(0.01)
        return self.rnd.choice(found)

    def _named(self, name: str) -> list[int]:
        """Return the processes of that kind below our `up`."""
        return [pid for pid in children(self.up.process.pid) if name_of(pid) == name]

    def _stop(self) -> None:
        code = self.up.stop(signal.SIGTERM)
        self.stops.append((code, left_running(self.house.home.parent)))

    def _wait_until_quiet(self) -> None:
        started = time.monotonic()
        while len(on_tickets(self.house)) < len(self.feeder.mails) or waiting(self.house):
            if time.monotonic() > started + QUIET:
                return
            time.sleep(0.1)
        self.quiet_after = time.monotonic() - started


def furnish(house: House, server: Dovecot, seconds: int = 5, level: str = "DEBUG") -> None:
    """Write what a user writes: .env and the Procfile."""
    house.home.mkdir(parents=True, exist_ok=True)
    values = server.env(SYNC_SECONDS=str(seconds), LOG_LEVEL=level)
    (house.home / ".env").write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))
    (house.home / ".env").chmod(0o600)
    shutil.copy(ROOT / "Procfile", house.home / "Procfile")


def start_up(house: House) -> Running:
    """Start `helpdesk up`; what an earlier one said is kept."""
    said = house.home / "said"
    if said.exists():
        said.rename(house.home / f"said.{time.monotonic_ns()}")
    return Running(house, house.command("up"))


def name_of(pid: int) -> str:
    """Say which part of the house a process is."""
    words = command_of(pid)
    if "pipeline.readers" in words:
        return "reader"
    if any(word.endswith("/offlineimap") for word in words):
        return "offlineimap"
    return words[-1] if words[-3:-1] == ["-m", "pipeline"] else ""


def again(what: Callable[[], None]) -> None:
    """Do it, and once more where the dead server's port was not free yet."""
    with contextlib.suppress(AssertionError):
        return what()
    time.sleep(0.5)
    what()


def until(said: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def on_tickets(house: House) -> set[str]:
    """Return the Message-IDs of the mails that are messages."""
    with contextlib.suppress(sqlite3.Error), looked_at(house.database) as database:
        return {row[0] for row in database.execute("SELECT m.message_id FROM mail m JOIN message s ON s.mail_id = m.id")}
    return set()


def waiting(house: House) -> int:
    return sum(len(os.listdir(root / "new")) for root in (house.maildir, house.maildir / "INBOX") if (root / "new").exists())


def last_round(house: House) -> list[str]:
    """Fetch and process once more by hand, and again after a new UIDVALIDITY; return what did not go well.

    One more fetch takes up the flags.
    """
    found = []
    for code in (75, 0):
        fetched = house.run("sync", "--once", code=None)
        found += [] if fetched.returncode in (0, code) else [f"SYNC exit {fetched.returncode} {fetched.stderr!r}"]
        done = house.run("process", code=None)
        found += [] if done.returncode == 0 else [f"PROCESS exit {done.returncode} {done.stderr!r}"]
    code = house.run("sync", "--once", code=None).returncode
    return found + [f"SYNC exit {code}"] * bool(code)


# -- what must hold --------------------------------------------------------------------------------------------------


class FetchedCheck(Check):
    """What must hold of replies that were fetched.

    A server that numbers its mails anew may list a mail that came in at that moment before all others (Dovecot does, where it
    is appended while the list is made), so a reply before its parent; then the parent's file is the later one.
    """

    def _may_be_late(self, database: sqlite3.Connection, reply: sqlite3.Row, parent: sqlite3.Row) -> bool:
        return first_file(database, parent["id"]) >= first_file(database, reply["id"])


class HouseCheck(FetchedCheck):
    """What must hold of a house whose folder may have been put aside: its files are judged by the server's list instead."""

    def __init__(self, house: House, mails: list[Sent], server: Dovecot) -> None:
        super().__init__(house, mails, [File("INBOX", "", raw) for mail in mails for raw in mail.raws])
        self.server = server

    def violations(self) -> list[str]:
        super().violations()
        self._server()
        return self.found

    def _counters(self, database: sqlite3.Connection) -> None:
        """The book of rounds counts for itself: nothing points to its rows."""
        super()._counters(database)
        self.found = [line for line in self.found if not line.startswith("COUNTER sync_round:")]

    def _maildir(self) -> None:
        for root in (self.house.maildir, self.house.maildir / "INBOX"):
            for path in [*(root / "new").iterdir(), *root.glob("*.eml")]:
                self._say("LEFT", path.relative_to(self.house.maildir))
            for path in (root / "cur").iterdir():
                if "S" not in path.name.partition(":2,")[2]:
                    self._say("UNMARKED", path.relative_to(self.house.maildir))

    def _server(self) -> None:
        """The server has what was appended and nothing else, all of it read and no flag beside that: no mail failed."""
        sent = {raw for mail in self.mails for raw in mail.raws}
        listed = {uid: raw.replace(b"\r\n", b"\n") for uid, raw in self.server.listing().items()}
        for uid, raw in listed.items():
            if raw not in sent:
                self._say("ON THE SERVER", f"{uid} {raw[:200]!r}")
        for raw in sent - set(listed.values()):
            self._say("GONE FROM THE SERVER", raw[:200])
        for uid, flags in self.server.flags().items():
            if flags != {"\\Seen"}:
                self._say("FLAGS", (uid, flags))
        if folders := self.server.folders() - {"INBOX"}:
            self._say("FOLDERS", folders)


def first_file(database: sqlite3.Connection, mail: int) -> tuple[int, int]:
    """Return when the first file of a mail was made: a name's second, and offlineimap's count within it."""
    names = database.execute("SELECT coalesce(original, key) FROM place WHERE mail_id = ?", (mail,)).fetchall()
    return min((int(found[1]), int(found[2] or 0)) for (name,) in names if (found := re.match(r"(\d+)(?:_(\d+))?", name)))


def storm(folder: Path, kills: int, seed: int = 1, targets: dict[str, int] | None = None) -> tuple[Storm, list[str]]:
    """Blow a storm in a fresh house; return it and what does not hold."""
    server = Dovecot(tls=True)
    try:
        wild = Storm(House(folder / "house"), server, kills, seed, targets or dict(TARGETS))
        wild.blow()
        found = [] if wild.quiet_after else [f"NOT QUIET after {QUIET:.0f} s"]
        found += [f"STOP exit {code}, left {left}" for code, left in wild.stops if code or left]
        found += last_round(wild.house)
        return wild, found + HouseCheck(wild.house, wild.feeder.mails, server).violations()
    finally:
        server.kill()
        server.close()


def kill_readers(pid: int, most: int, ended: Callable[[], bool]) -> int:
    """Kill so many readers below a process, each as soon as it is seen; return how many it were."""
    dead: set[int] = set()
    end = time.monotonic() + LIVES
    while len(dead) < most and not ended() and time.monotonic() < end:
        for reader in children(pid):
            if name_of(reader) == "reader" and reader not in dead:
                os.kill(reader, signal.SIGKILL)
                dead.add(reader)
        time.sleep(0.002)
    return len(dead)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert left_running(tmp_path) == [], "something outlives the house"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")  # imaplib's sockets
def test_every_mail_of_the_mailbox_is_in_once_after_a_storm(folder: Path) -> None:
    """Whoever dies, the server included, and whatever it numbers anew: each appended mail is one message, byte for byte."""
    wild, found = storm(folder, KILLS)
    figures = f"{len(wild.feeder.mails)} mails, {wild.feeder.refused} appends refused, {wild.feeder.again} made twice"
    print(f"{dict(wild.killed)}, {figures}, quiet after {wild.quiet_after:.0f} of {wild.seconds:.0f} s")
    assert not found, f"{found[:20]} after {wild.diary}"
    assert sum(wild.killed.values()) == KILLS and wild.killed.keys() == TARGETS.keys()
    assert len(wild.feeder.mails) > KILLS


PARENT = Sent("1@storm.example", "INBOX", [a_mail("Case 1", message_id="<1@storm.example>")])
REPLY = Sent(
    "2@storm.example",
    "INBOX",
    [a_mail("Re: Case 1", body="More.", message_id="<2@storm.example>", in_reply_to="<1@storm.example>")],
    PARENT,
)


def test_a_reply_that_the_server_lists_before_its_parent_is_linked_to_it(folder: Path) -> None:
    """The reply opens a ticket, the parent behind it another; both histories say so, and a new numbering moves nothing."""
    server = Dovecot(tls=True)
    try:
        house = House(folder / "house")
        furnish(house, server)
        house.run("sync", "--once")
        for mail in (REPLY, PARENT):
            server.append(mail.raws[0])
        house.run("sync", "--once")
        house.run("process")
        assert last_round(house) == []
        tickets = [house.json("ticket", "show", number) for number in ("1", "2")]
        assert [[mail["message_id"] for mail in one["messages"]] for one in tickets] == [[REPLY.message_id], [PARENT.message_id]]
        for ticket, what in zip(tickets, ("linked from TICKET-002", "linked to TICKET-001"), strict=True):
            said = [event["why"] for event in ticket["events"] if event["what"] == what]
            assert said == ["1@storm.example came after a mail that answers it"]
        assert HouseCheck(house, [REPLY, PARENT], server).violations() == []
    finally:
        server.close()


DAMAGE = {  # what would make the product guilty of a reply beside its parent, and what the checker must say of it
    "DELETE FROM link": "no link says that it came late",
    "DELETE FROM event WHERE what LIKE 'linked from %'": "1 of the two tickets' histories tell it",
    "UPDATE mail SET message_id = id || '@storm.example'": "the parent was decided first",
    "UPDATE place SET key = '1_0.' || key WHERE mail_id = 2": "the parent came first",
    "UPDATE mail SET outcome = 'commented' WHERE id = 1": "it was commented",
}


def replies_found(house: House) -> list[str]:
    """Return what the checker says of the replies."""
    check = FetchedCheck(house, [REPLY, PARENT], [])
    with looked_at(house.database) as database:
        database.row_factory = sqlite3.Row
        check._replies(database)
    return check.found


@pytest.mark.parametrize("sql", DAMAGE)
def test_the_checker_excuses_no_other_reply_beside_its_parent(house: House, sql: str) -> None:
    """A reply apart from its parent is found unless the parent's file came later and both tickets tell it."""
    for uid, mail in enumerate((REPLY, PARENT), 1):
        house.drop(mail.raws[0], f"1764000000_{uid}.77.host,U={uid},FMD5={FMD5}:2,", "INBOX")
    house.run("process")
    assert replies_found(house) == []
    with contextlib.closing(sqlite3.connect(house.database)) as database, database:
        database.execute(sql)
    (found,) = replies_found(house)
    assert found.startswith("STRAYED") and found.endswith(DAMAGE[sql])


def test_a_reader_that_died_idle_is_no_try_of_a_mail(folder: Path) -> None:
    """A mail whose reader is killed once is read by another, also where readers lay dead before it came."""
    house = House(folder / "house")
    house.home.mkdir()
    worker = house.start("worker")
    try:
        until(lambda: house.log.exists() and "Worker watches" in house.log.read_text())
        house.drop(a_mail("First", message_id="<1@storm.example>"), "1.eml")
        until(lambda: "1@storm.example" in on_tickets(house))
        assert kill_readers(worker.pid, 1, lambda: False) == 1
        time.sleep(0.2)
        house.drop(a_mail("Second", message_id="<2@storm.example>"), "2.eml")
        assert kill_readers(worker.pid, 1, lambda: False) == 1
        until(lambda: not waiting(house))
        assert house.json("failed", "list") == []
        assert "2@storm.example" in on_tickets(house)
    finally:
        worker.terminate()
        worker.wait(30)


def test_our_star_goes_when_a_mail_is_mended_after_a_new_uidvalidity(folder: Path) -> None:
    """A failed mail that comes again under another name and is read now has no star of ours on the server any more."""
    server = Dovecot(tls=True)
    try:
        house = House(folder / "house")
        furnish(house, server)
        house.run("sync", "--once")
        server.append(a_mail(message_id="<1@storm.example>"))
        house.run("sync", "--once")
        process = house.start("process")
        kill_readers(process.pid, 9, lambda: process.poll() is not None)
        assert process.wait(30) == 1, "the mail must fail first"
        house.run("sync", "--once")
        assert list(server.flags().values()) == [{"\\Seen", "\\Flagged"}]
        server.new_uidvalidity()
        house.run("sync", "--once", code=75)
        house.run("sync", "--once")
        house.run("process")
        house.run("sync", "--once")
        assert on_tickets(house) == {"1@storm.example"}
        assert list(server.flags().values()) == [{"\\Seen"}]
    finally:
        server.close()


def test_a_stop_of_up_fails_no_mail(folder: Path) -> None:
    """SIGTERM to `up` while mails are read ends their readers too; the mails wait, or are read, and none is called guilty."""
    house = House(folder / "house")
    house.home.mkdir()
    (house.home / ".env").write_text("IMAP_ENABLED=no\n")
    shutil.copy(ROOT / "Procfile", house.home / "Procfile")
    body = "<p>A line of <b>text</b>, as <i>people</i> write it.</p>\n" * 150_000
    long = a_mail("Long", body=body, message_id="<long@storm.example>", mime_version="1.0", content_type="text/html")
    house.drop(a_mail(message_id="<first@storm.example>"))
    house.run("process")  # where a mail is stored, no demo is loaded
    up = start_up(house)
    try:
        until(up.watches)
        house.drop(long, "long.eml")
        until(lambda: "reader" in map(name_of, children(up.process.pid)))
        time.sleep(0.5)  # it is read for three seconds
        assert up.stop(signal.SIGTERM) == 0
    finally:
        up.end()
    house.run("process", code=None)
    assert [one["reason"] for one in house.json("failed", "list")] == []
    assert "long@storm.example" in on_tickets(house)


def test_up_ends_a_worker_that_does_not_answer(folder: Path) -> None:
    """Four seconds after SIGTERM what does not end is killed, also where a shell stands between."""
    house = House(folder / "house")
    house.home.mkdir()
    (house.home / ".env").write_text("IMAP_ENABLED=no\n")
    shutil.copy(ROOT / "Procfile", house.home / "Procfile")
    up = start_up(house)
    try:
        until(up.watches)
        worker = next(pid for pid in children(up.process.pid) if name_of(pid) == "worker")
        os.kill(worker, signal.SIGSTOP)
        up.process.send_signal(signal.SIGTERM)
        until(lambda: up.process.poll() is not None, 15)
        assert (up.process.returncode, up.family()) == (0, [])
    finally:
        up.end()
