"""Killing: a house under a storm of SIGKILL while mail keeps arriving, and the checker of what must hold afterwards.

The mistakes at the end are the classic ones of mail programs, planted in a child by a script in the test's folder: a storm
and a checker that find nothing in them would prove nothing in the product.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.letter import Place
from pipeline.settings import load
from pipeline.store import Store

from .conftest import House, a_mail

FMD5 = "7e33429f656f1e6e9d79b29c3f82c57e"  # of INBOX, as offlineimap writes it
FULL = 40  # files waiting, above which the feeder rests
INNOCENT = 2  # kills with one mail alone in hand that the killer allows itself: at the third the product calls it guilty
CALM = 20.0  # seconds to wait for work that does not come before a kill lands anyway


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# -- what arrives ----------------------------------------------------------------------------------------------------


@dataclass
class Sent:
    """One mail as the feeder knows it: all the bytes it was delivered as, and the mail that it answers."""

    message_id: str
    box: str
    raws: list[bytes]
    parent: Sent | None = None

    @property
    def root(self) -> Sent:
        return self if self.parent is None else self.parent.root


@dataclass
class File:
    """One delivered file."""

    box: str
    name: str
    raw: bytes


class Feeder:
    """Delivers new mails, replies, exact copies, re-serialised copies and empty files into the three places where mail lands."""

    def __init__(self, home: Path, rnd: random.Random) -> None:
        self.maildir = home / "maildir"
        self.rnd = rnd
        self.mails: list[Sent] = []
        self.files: list[File] = []
        self.empties = 0
        for folder in ("tmp", "new", "cur", "INBOX/tmp", "INBOX/new", "INBOX/cur"):
            (self.maildir / folder).mkdir(parents=True, exist_ok=True)

    def waiting(self) -> int:
        loose = [name for name in os.listdir(self.maildir) if name.endswith(".eml")]
        return len(loose) + sum(len(os.listdir(self.maildir / new)) for new in ("new", "INBOX/new"))

    def feed(self, count: int = 1) -> None:
        """Deliver some mails, unless enough wait."""
        if self.waiting() < FULL:
            for _ in range(count):
                self.rnd.choices((self.fresh, self.reply, self.copy, self.rewritten, self.empty), (40, 35, 10, 14, 1))[0]()

    def fresh(self) -> None:
        self._send(self.rnd.choice((".", "INBOX")), None)

    def reply(self) -> None:
        """Answer an earlier mail, in the box where that lies: between boxes nobody promises an order."""
        if not self.mails:
            return self.fresh()
        parent = self.rnd.choice(self.mails[-30:])
        self._send(parent.box, parent)

    def _send(self, box: str, parent: Sent | None) -> None:
        number = len(self.mails) + 1
        names = {"in_reply_to": f"<{parent.message_id}>"} if parent else {}
        body = f"Mail {number}.\n" + "x" * self.rnd.randrange(2000)
        raw = a_mail(f"Case {number}", "Ann <ann@example.com>", body, f"<{number}@kill.example>", **names)
        self.mails.append(Sent(f"{number}@kill.example", box, [raw], parent))
        self.deliver(box, raw)

    def copy(self) -> None:
        """Deliver the same bytes again."""
        if self.mails:
            mail = self.rnd.choice(self.mails[-30:])
            self.deliver(mail.box, self.rnd.choice(mail.raws))

    def rewritten(self) -> None:
        """Deliver the same mail as another server writes it: CRLF, a trace header, trailing blanks."""
        if self.mails:
            mail = self.rnd.choice(self.mails[-30:])
            raw = b"Received: by relay%d.example\r\n" % len(self.files) + mail.raws[0].replace(b"\n", b"\r\n") + b"\r\n"
            mail.raws.append(raw)
            self.deliver(mail.box, raw)

    def empty(self) -> None:
        self.empties += 1
        self.deliver(self.rnd.choice((".", "INBOX")), b"")

    def deliver(self, box: str, raw: bytes) -> None:
        """Put a file into tmp/ and rename it to where it waits."""
        number = len(self.files) + 1
        if box == "INBOX":
            name, folder = f"{int(time.time())}_{number}.77.host,U={number},FMD5={FMD5}:2,", self.maildir / "INBOX" / "new"
        else:
            name, folder = f"{number:06}.eml", self.rnd.choice((self.maildir / "new", self.maildir))
        draft = self.maildir / "tmp" / f"draft-{name}"
        draft.write_bytes(raw)
        if not raw:
            os.utime(draft, (time.time() - 600,) * 2)  # an empty file is given a minute
        self.files.append(File(box, name, raw))
        draft.rename(folder / name)


# -- the storm -------------------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """What a storm did."""

    kills: int = 0
    in_hand: int = 0  # kills while the note named mail
    decided: int = 0  # of these, with a mail that was committed and not filed
    spared: int = 0  # kills not made, for they would have been the third of one mail alone
    ends: Counter[int] = field(default_factory=Counter)  # exits of their own
    seconds: float = 0.0
    mails: int = 0
    files: int = 0


class Storm:
    """Keeps `workers` processes of a command alive, feeds them, and kills one after the other."""

    def __init__(self, house: House, words: list[str], workers: int, seed: int, script: Path | None = None) -> None:
        self.house = house
        self.words = words
        self.script = script
        self.rnd = random.Random(seed)
        self.feeder = Feeder(house.home, self.rnd)
        self.figures = Figures()
        self.lives: list[tuple[subprocess.Popen[bytes], float]] = []
        self.alone: Counter[Place] = Counter()
        self.workers = workers
        self.said = house.home.with_name("said.txt")  # what the processes say of errors
        self.start_up = 0.3  # seconds until a life first has mail in hand; measured as we go
        # How often: anywhere in a life, with mail in hand, between a commit and a rename, where a planted mistake is open.
        self.moments = (3, 4, 3, 0)
        self._drop = 0.0  # when the next mail may come

    def blow(self, kills: int) -> Figures:
        """Make so many kills; every process is dead afterwards."""
        start = time.monotonic()
        self.feeder.feed(20)
        try:
            self.lives = [self._life() for _ in range(self.workers)]
            while self.figures.kills < kills:
                self._kill_one(self.rnd.randrange(self.workers))
        finally:
            for process, _ in self.lives:
                process.kill()
                process.wait()
        self.figures.seconds = time.monotonic() - start
        self.figures.mails, self.figures.files = len(self.feeder.mails), len(self.feeder.files)
        return self.figures

    def _life(self) -> tuple[subprocess.Popen[bytes], float]:
        self.feeder.feed(8)
        start = ["-m", "pipeline"] if self.script is None else [str(self.script)]
        with open(self.said, "ab") as said:
            process = subprocess.Popen(
                [self.house.python, *start, "-q", *self.words],
                cwd=self.house.home,
                env=self.house.environment,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        return process, time.monotonic()

    def _kill_one(self, slot: int) -> None:
        """Choose a moment, start-up or work; a life that ends before it is followed by another."""
        moment = self.rnd.choices((self._anywhere, self._at_work, self._filing, self._in_the_gap), self.moments)[0]
        moment(slot)
        if self._strike(slot):
            self.lives[slot] = self._life()

    def _anywhere(self, slot: int) -> None:
        self._wait(slot, self.rnd.uniform(0, 1.5 * self.start_up))

    def _at_work(self, slot: int) -> None:
        """Wait until the note names mail, and a little longer."""
        self._until(slot, lambda: bool(self._note(slot)))
        self._wait(slot, self.rnd.choice((0, self.rnd.uniform(0, 0.005), self.rnd.uniform(0, 0.03))), feeding=False)

    def _filing(self, slot: int) -> None:
        """Wait until a mail in hand stands in the ledger: between commit and rename."""
        self._until(slot, lambda: bool(self._note(slot)) and self._decided(self._note(slot)) > 0)

    def _in_the_gap(self, slot: int) -> None:
        """Wait until a planted mistake says that it is open: a slow machine must not make the killer miss it."""
        self._until(slot, lambda: (self.house.home / f"gap.{self.lives[slot][0].pid}").exists())

    def _until(self, slot: int, here: Callable[[], bool]) -> None:
        end = time.monotonic() + CALM
        while not here() and time.monotonic() < end:
            process, born = self.lives[slot]
            if process.poll() is not None:
                self._follow(slot)
            elif time.monotonic() - born > self.start_up / 2:
                self._drip()
            time.sleep(0.001)
        born = self.lives[slot][1]
        self.start_up = 0.8 * self.start_up + 0.2 * min(time.monotonic() - born, 1.0)

    def _wait(self, slot: int, seconds: float, feeding: bool = True) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if feeding:
                self._drip()
            time.sleep(min(left, 0.005))

    def _drip(self) -> None:
        if time.monotonic() > self._drop:
            self._drop = time.monotonic() + self.rnd.uniform(0, 0.03)
            self.feeder.feed()

    def _follow(self, slot: int) -> None:
        self.figures.ends[self.lives[slot][0].returncode] += 1
        self.lives[slot] = self._life()

    def _strike(self, slot: int) -> bool:
        """Stop the process, look what it has in hand, and kill it; one mail alone is not killed a third time."""
        process, _ = self.lives[slot]
        if not _stop(process):
            self._follow(slot)
            return False
        places = self._note(slot)
        if len(places) == 1 and self.alone[places[0]] >= INNOCENT:
            self.figures.spared += 1
            process.send_signal(signal.SIGCONT)
            self._wait(slot, 0.02)
            return False
        self.figures.kills += 1
        self.figures.in_hand += bool(places)
        self.figures.decided += bool(places and self._decided(places))
        self.alone.update(places if len(places) == 1 else ())
        process.kill()
        process.wait()
        return True

    def _note(self, slot: int) -> list[Place]:
        path = self.house.home / "data" / f"inflight.{self.lives[slot][0].pid}"
        with contextlib.suppress(OSError, ValueError, TypeError):
            return [Place(*row) for row in json.loads(path.read_text("utf-8"))]
        return []

    def _decided(self, places: list[Place]) -> int:
        """Count mails in hand whose outcome is committed while their file still waits."""
        waiting = [place for place in places if self._file_of(place).exists()]
        with contextlib.suppress(sqlite3.Error), looked_at(self.house.database) as database:
            sql = "SELECT 1 FROM place WHERE box = ? AND (key = ? OR original = ?) AND state = 'noted'"
            return sum(database.execute(sql, (place.box, place.key, place.key)).fetchone() is not None for place in waiting)
        return 0

    def _file_of(self, place: Place) -> Path:
        if place.box == "INBOX":
            return self.house.maildir / "INBOX" / "new" / f"{place.key}:2,"
        return max((self.house.new / place.key, self.house.maildir / place.key), key=Path.exists)


def _stop(process: subprocess.Popen[bytes]) -> bool:
    """Stop a child; return False if it had ended. Nothing that it does can slip between our look and our kill."""
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGSTOP)
    ended = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    assert ended is not None
    if ended.si_code != os.CLD_STOPPED:
        process.wait()
        return False
    return True


@contextlib.contextmanager
def looked_at(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading only."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        yield database
    finally:
        database.close()


def left_running(folder: Path, seconds: float = 20.0) -> list[str]:
    """Return the command lines of processes that still work below a folder after that time (Linux)."""
    end = time.monotonic() + seconds
    while (left := list(_working_in(folder))) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def _working_in(folder: Path) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder in (process / "cwd").readlink().parents:
                yield (process / "cmdline").read_text().replace("\0", " ")


# -- what must hold --------------------------------------------------------------------------------------------------


class Check:
    """All that must hold between what was delivered, the Maildir and the database, once nothing runs and nothing waits.

    `ordered` is False where two processes ran without the line's lock: then a reply may have been decided before its parent,
    and a link between the two tickets is what is promised.
    """

    def __init__(self, house: House, mails: list[Sent], files: list[File], ordered: bool = True) -> None:
        self.house, self.mails, self.files, self.ordered = house, mails, files, ordered
        self.found: list[str] = []

    def violations(self) -> list[str]:
        """Return a line for everything that does not hold."""
        with looked_at(self.house.database) as database:
            database.row_factory = sqlite3.Row
            self._sound(database)
            self._each_mail_once(database)
            self._tickets(database)
            self._replies(database)
            self._counters(database)
            self._failures(database)
        self._bytes()
        self._maildir()
        self._audit()
        return self.found

    def _say(self, kind: str, what: object) -> None:
        self.found.append(f"{kind} {what}")

    def _sound(self, database: sqlite3.Connection) -> None:
        if (answer := [row[0] for row in database.execute("PRAGMA integrity_check")]) != ["ok"]:
            self._say("DAMAGED", answer)
        for row in database.execute("PRAGMA foreign_key_check"):
            self._say("DANGLING", tuple(row))

    def _each_mail_once(self, database: sqlite3.Connection) -> None:
        """Every mail is one row of the ledger and one message, and there is no other."""
        sql = "SELECT m.message_id AS id, count(DISTINCT m.id) AS mails, count(s.id) AS messages FROM mail m"
        rows = {row["id"]: row for row in database.execute(f"{sql} LEFT JOIN message s ON s.mail_id = m.id GROUP BY 1")}
        for mail in self.mails:
            row = rows.get(mail.message_id)
            if row is None:
                self._say("LOST", mail.message_id)
            elif (row["mails"], row["messages"]) != (1, 1):
                self._say("TWICE" if row["messages"] > 1 or row["mails"] > 1 else "SILENT", (mail.message_id, tuple(row)))
        for stranger in rows.keys() - {mail.message_id for mail in self.mails} - {None}:
            self._say("INVENTED", stranger)
        for row in database.execute("SELECT id FROM message WHERE mail_id IS NULL OR mail_id NOT IN (SELECT id FROM mail)"):
            self._say("FATHERLESS", row["id"])
        for row in database.execute("SELECT id FROM mail WHERE outcome IS NULL"):
            self._say("UNDECIDED", row["id"])

    def _tickets(self, database: sqlite3.Connection) -> None:
        for row in database.execute("SELECT id FROM ticket WHERE id NOT IN (SELECT ticket_id FROM message)"):
            self._say("EMPTY TICKET", row["id"])
        numbers = [row["id"] for row in database.execute("SELECT id FROM ticket ORDER BY id")]
        if numbers != list(range(1, len(numbers) + 1)):
            self._say("GAP", sorted(set(range(1, max(numbers) + 1)) - set(numbers)))

    def _replies(self, database: sqlite3.Connection) -> None:
        """A reply is on its parent's ticket, unless it came first: then it opened one, and both tickets say so (contract, 7)."""
        sql = "SELECT m.message_id, s.ticket_id, m.id, m.outcome FROM mail m JOIN message s ON s.mail_id = m.id"
        rows = {row[0]: row for row in database.execute(sql)}
        pairs = [(rows.get(mail.message_id), rows.get(mail.parent.message_id)) for mail in self.mails if mail.parent]
        for reply, parent in pairs:
            if reply is None or parent is None or reply["ticket_id"] == parent["ticket_id"]:
                continue
            if self._why_strayed(database, reply, parent):
                where = f"{reply['message_id']} is on {reply['ticket_id']}, its parent {parent['message_id']} on"
                self._say("STRAYED", f"{where} {parent['ticket_id']}: {self._why_strayed(database, reply, parent)}")

    def _why_strayed(self, database: sqlite3.Connection, reply: sqlite3.Row, parent: sqlite3.Row) -> str:
        """Say what is wrong with a reply on another ticket than its parent; nothing where the parent came late."""
        if parent["id"] < reply["id"]:
            return "the parent was decided first"
        if not self._may_be_late(database, reply, parent):
            return "the parent came first"
        if reply["outcome"] != "opened":
            return f"it was {reply['outcome']}"
        tickets = reply["ticket_id"], parent["ticket_id"]
        sql = "SELECT why FROM link WHERE ticket_id IN (?, ?) AND other_id IN (?, ?)"
        why = [row["why"] for row in database.execute(sql, (*tickets, *tickets))]
        if not any("came after a mail that answers it" in one for one in why):
            return "no link says that it came late"
        sql = "SELECT count(DISTINCT ticket_id) FROM event WHERE ticket_id IN (?, ?) AND what LIKE 'linked %' AND why = ?"
        told = database.execute(sql, (*tickets, why[0])).fetchone()[0]
        return "" if told == len(tickets) else f"{told} of the two tickets' histories tell it"

    def _may_be_late(self, database: sqlite3.Connection, reply: sqlite3.Row, parent: sqlite3.Row) -> bool:
        """Did nobody promise that the parent is decided first?"""
        return not self.ordered

    def _counters(self, database: sqlite3.Connection) -> None:
        counters = dict(tuple(row) for row in database.execute("SELECT name, value FROM counter"))
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table in ("counter", "box", "schema_migration") or table.startswith("sqlite_"):
                continue
            most = database.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0]  # noqa: S608
            if most > counters.get(table, 0):
                self._say("COUNTER", f"{table}: {counters.get(table, 0)} < {most}")

    def _failures(self, database: sqlite3.Connection) -> None:
        for row in database.execute("SELECT id, digest, stage, reason FROM mail WHERE outcome = 'failed'"):
            if row["digest"] != sha(b""):
                self._say("FAILED", tuple(row))
        failed = database.execute("SELECT count(*) FROM mail WHERE outcome = 'failed' AND digest = ?", (sha(b""),)).fetchone()[0]
        if failed != any(file.raw == b"" for file in self.files):
            self._say("EMPTY MAIL", f"{failed} rows")

    def _bytes(self) -> None:
        """Ask the store itself for the bytes of every mail."""
        by_id = {mail.message_id: {sha(raw) for raw in mail.raws} for mail in self.mails}
        settings = load(self.house.environment)
        with Store.open_readonly(settings) as store:
            for mail_id, message_id in store.database.execute_sql("SELECT id, message_id FROM mail").fetchall():
                if sha(store.raw(mail_id)) not in by_id.get(message_id, {sha(b"")}):
                    self._say("BYTES", message_id)

    def _maildir(self) -> None:
        """Every delivered file lies in its box's cur/, with its bytes, and nowhere else; offlineimap's under its name."""
        for box, root in ((".", self.house.maildir), ("INBOX", self.house.maildir / "INBOX")):
            standing = {path.name: sha(path.read_bytes()) for path in (root / "cur").iterdir()}
            sent = Counter(sha(file.raw) for file in self.files if file.box == box)
            there = Counter(standing.values())
            for kind, difference in (("FILE LOST", sent - there), ("FILE INVENTED", there - sent)):
                for digest, count in difference.items():
                    self._say(kind, f"{box} {digest[:12]} x{count}")
            for path in [*(root / "new").iterdir(), *root.glob("*.eml")]:
                self._say("LEFT", path.relative_to(self.house.maildir))
            for name in standing:
                if "S" not in name.partition(":2,")[2]:
                    self._say("UNMARKED", f"{box} {name}")
        keys = {path.name.partition(":2,")[0] for path in (self.house.maildir / "INBOX" / "cur").iterdir()}
        for file in self.files:
            if file.box == "INBOX" and file.name.partition(":2,")[0] not in keys:
                self._say("RENAMED", file.name)

    def _audit(self) -> None:
        report = json.loads(self.house.run("audit", "--json", code=None).stdout)
        if not report["complete"] or report["waiting"]:
            self._say("AUDIT", {key: report[key] for key in ("missing", "orphaned", "waiting")})


# -- scripts that run the product changed ----------------------------------------------------------------------------

HUNTED = "hunted"  # a file in the house: a killer is about

START = """
import sys, os, time, contextlib, sqlite3, random, pathlib
sys.path.insert(0, {root!r})
from pipeline import runner, scan, store, desk, maildir, tables

# Say that the mistake is open, and leave it open for the killer, if there is one.
def gap(share=1.0):
    if os.path.exists({hunted!r}) and random.random() < share:
        pathlib.Path(f"gap.{{os.getpid()}}").touch()
        time.sleep(5)
        pathlib.Path(f"gap.{{os.getpid()}}").unlink()

{change}
from pipeline.cli import main
main()
"""

# Two workers without the lock of the line: correctness rests on the unique keys alone.
NO_LOCK = """
real = runner.file_lock
runner.file_lock = lambda path, **k: contextlib.nullcontext() if path.name == runner.LINE_LOCK else real(path, **k)
"""

MISTAKES = {
    # The file goes to cur/ before the commit, and cur/ counts as done: a death between the two loses the mail.
    "files before the commit": """
transact = runner.Runner._transact
def file_first(self, batch, *rest):
    for taken in batch:
        self.boxes[taken.found.place.box].file(taken.found, key=taken.delivery.place.key, add="S")
    gap()
    return transact(self, batch, *rest)
runner.Runner._transact = file_first
import types
runner.os = types.SimpleNamespace(path=types.SimpleNamespace(lexists=lambda path: True))
scan.Scan._open_in_cur
scan.Scan._open_in_cur = lambda self: ()
""",
    # A transaction a table: a death between them leaves a ticket without its message.
    "several transactions": """
insert = store.Store.insert
def insert_and_commit(self, model, rows):
    insert(self, model, rows)
    self.database.execute_sql("COMMIT")
    gap(0.2)
    self.database.execute_sql("BEGIN IMMEDIATE")
store.Store.insert = insert_and_commit
""",
    # The place is called done first, in a transaction of its own, and the work follows: at most once.
    "ledger before the work": """
transact = runner.Runner._transact
def note_first(self, batch):
    with self.store.transaction():
        for taken in batch:
            self.store.database.execute_sql("INSERT OR IGNORE INTO place (id, box, key, state, starred, seen) "
                "SELECT coalesce(max(id), 0) + 1, ?, ?, 'filed', 0, '' FROM place", tuple(taken.found.place))
        self.store.database.execute_sql("INSERT OR REPLACE INTO counter SELECT 'place', max(id) FROM place")
    gap()
    with self.store.transaction():
        for taken in batch:
            self.store.database.execute_sql("DELETE FROM place WHERE box = ? AND key = ? AND mail_id IS NULL",
                tuple(taken.found.place))
    return transact(self, batch)
runner.Runner._transact = note_first
""",
    # A name of its second, and a rename over whatever bears it.
    "renames over a name": """
maildir.Maildir.fresh_key = staticmethod(lambda: f"{int(time.time())}.host")
maildir._move = os.replace
maildir.Maildir._standing = lambda self, source, key: None
""",
}


def script(folder: Path, change: str) -> Path:
    """Write a script that runs the command line with the product changed; a switch of the tests, never of the product."""
    path = folder / "changed.py"
    path.write_text(START.format(root=str(Path(__file__).parents[1]), hunted=HUNTED, change=change), "utf-8")
    return path


def storm(
    folder: Path, words: list[str], kills: int, workers: int = 1, seed: int = 1, lock: bool = True
) -> tuple[Figures, list[str]]:
    """Blow a storm in a fresh house, let one clean pass end it, and return the figures and what does not hold."""
    wild = _wild(folder, words, workers, seed, "" if lock else NO_LOCK)
    figures = wild.blow(kills)
    assert (wild.house.home / "data" / "line.lock").exists() == lock, "the switch for the line's lock does not switch"
    last = wild.house.run("process", "--json", code=None)
    found = _check(wild, workers == 1 or lock)
    return figures, found if last.returncode in (0, 1) else [f"LAST PASS exit {last.returncode} {last.stderr!r}", *found]


def mistake(folder: Path, name: str, kills: int, seed: int = 1) -> list[str]:
    """Kill so often in the gap of a classic mistake, until the checker finds something; return that."""
    wild = _wild(folder, ["process"], 1, seed, MISTAKES[name])
    wild.feeder.fresh()
    _pass(wild)
    assert not _check(wild), "undisturbed it must work, or what is found below is not the mistake's"
    wild.moments = (0, 0, 0, 1) if "gap(" in MISTAKES[name] else (0, 1, 0, 0)
    for kill in range(kills):
        (wild.house.home / HUNTED).touch()
        wild.blow(kill + 1)
        (wild.house.home / HUNTED).unlink()
        _pass(wild)
        if found := _check(wild):
            break
    return found


def _pass(wild: Storm) -> None:
    command = [wild.house.python, str(wild.script), "process"]
    subprocess.run(command, cwd=wild.house.home, env=wild.house.environment, capture_output=True, timeout=120)


def _check(wild: Storm, ordered: bool = True) -> list[str]:
    return Check(wild.house, wild.feeder.mails, wild.feeder.files, ordered).violations()


def _wild(folder: Path, words: list[str], workers: int, seed: int, change: str) -> Storm:
    house = House(folder / "house", sys.executable)
    house.home.mkdir()
    return Storm(house, words, workers, seed, script(folder, change) if change else None)
