"""Crash points: every call by which a command changes a file is a point, and the command dies or fails at each of them.

points.c, preloaded, counts the calls and strikes; a forge forks the command line, already imported, for every run, so that a
run costs a third of a fresh process. What must hold afterwards is killing.Check's to say, and at once, with what the dead
process left lying, AtOnce's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .conftest import House, needs
from .killing import HUNTED, MISTAKES, START, Check, Feeder, File, Sent, looked_at, sha

PATIENCE = 60.0  # seconds that a loaded machine may need for what takes one
SICK = 0.3  # seconds that a worker's trouble lasts once it has begun

CHANGING = "wstodmuc"  # the letters of points.c that change something
DEADLY = ("before", "after", "torn")
# The calls that can meet an error: a full disk takes nothing away, and out of file numbers is who opens.
KINDS = {"ENOSPC": "wstodm", "EDQUOT": "wstodm", "EIO": CHANGING, "EMFILE": "or", "EROFS": "otdmuc"}

# What `process`, `worker` and `audit` import when they are called.
ROOMS = ("cli.run", "cli.operate", "runner", "worker", "audit", "desk")
FLOORS = ("stages", "rules")

FORGE = """
import ctypes, importlib, json, pkgutil, watchdog.observers
for room in {rooms!r}:
    importlib.import_module("pipeline." + room)
for floor in {floors!r}:
    for _, name, _ in pkgutil.iter_modules(importlib.import_module("pipeline." + floor).__path__):
        importlib.import_module("pipeline." + floor + "." + name)
from pipeline.cli import main
calls = ctypes.CDLL({library!r})

# A job is a line; its answers are the process id and, once that has ended, how.
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["home"])
        for number, path in ((1, job["out"]), (2, job["err"])):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(handle, number)
            os.close(handle)
        handle = os.open(os.devnull, os.O_RDONLY)
        os.dup2(handle, 0)
        os.close(handle)
        sys.argv = ["helpdesk", *job["words"]]
        calls.points_arm()
        main()
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def library(folder: Path) -> Path:
    """Compile points.c into a folder."""
    needs("cc", "build-essential")
    made = folder / "points.so"
    source = Path(__file__).with_name("points.c")
    words = ["cc", "-O1", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    subprocess.run(words, check=True)
    return made


@dataclass(frozen=True)
class Strike:
    """What happens at a point: a mode of points.c, and for an error which one and whether it stays."""

    mode: str = "count"
    error: str = ""
    sticky: bool = False

    def __str__(self) -> str:
        stays = " from then on" if self.sticky else " once" if self.error else ""
        return f"{self.error or self.mode}{stays}"

    @property
    def kinds(self) -> str:
        return KINDS.get(self.error, CHANGING)

    def meets(self, call: str) -> bool:
        """Can it happen at a call? Half of what is no write there is not."""
        return call[0] == "w" or self.mode not in ("torn", "short")

    def environment(self, home: Path, at: int, told: Path, cure: Path) -> dict[str, str]:
        asked = {"BELOW": f"{home}/", "TOLD": told, "MODE": self.mode, "KINDS": self.kinds, "AT": at, "CURE": cure}
        if self.error:
            asked |= {"ERRNO": getattr(errno, self.error), "STICKY": int(self.sticky)}
        return {f"POINTS_{name}": str(value) for name, value in asked.items()}


class Forge:
    """A process that has imported the command line and forks it for every job; `change` is code that plants a mistake."""

    def __init__(self, points: Path, change: str = "") -> None:
        root = str(Path(__file__).parents[1])
        planted = START.format(root=root, hunted=HUNTED, change=change).rpartition("from pipeline.cli import main")[0]
        code = planted + FORGE.format(rooms=ROOMS, floors=FLOORS, library=str(points))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "LD_PRELOAD": str(points), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, house: House, words: Iterable[str], extra: dict[str, str], watch: Callable[[int], None] | None = None) -> Ended:
        """Run `helpdesk words` to its end; `watch` is called with its process id meanwhile."""
        assert self.process.stdin and self.process.stdout
        out, err = (house.home.with_name(f"{house.home.name}.{name}") for name in ("out", "err"))
        job = {"words": [*words], "home": str(house.home), "out": str(out), "err": str(err)}
        job["environment"] = {**house.environment, **extra}  # type: ignore[assignment]
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if watch:
            watch(pid)
        return Ended(int(self.process.stdout.readline()), out.read_bytes(), err.read_bytes())

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int
    out: bytes
    err: bytes


class ForgedHouse(House):
    """A house whose commands come from a forge."""

    def __init__(self, home: Path, forge: Forge) -> None:
        super().__init__(home)
        self.forge = forge

    @property
    def environment(self) -> dict[str, str]:
        """Return its environment: one reader is enough, and with a server to send by acknowledgements are written too."""
        more = {"SMTP_HOST": "127.0.0.1", "DEFAULT_FROM_EMAIL": "support@desk.example", "READER_PROCESSES": "1"}
        return {**super().environment, **more}

    def run(self, *words: str, stdin: bytes = b"", code: int | None = 0, **environment: str) -> Any:
        ended = self.forge.run(self, words, environment)
        assert code in (None, ended.code), f"helpdesk {words}: exit {ended.code} {ended.err!r}"
        return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)

    def waiting(self) -> int:
        return sum(len(os.listdir(self.maildir / new)) for new in ("new", "INBOX/new"))


# -- what lies ready -------------------------------------------------------------------------------------------------


@dataclass
class Load:
    """A prepared house, to be copied for every run, and the mails that wait in it."""

    home: Path
    mails: list[Sent]
    files: list[File]


def prepared(folder: Path, forge: Forge, mails: int = 3) -> Load:
    """Make a house with a database in which a new mail, a reply to it and one that fails wait, and so on round."""
    house = ForgedHouse(folder / "prepared", forge)
    house.home.mkdir()
    house.run("process")
    feeder = Feeder(house.home, random.Random(7))
    feeder.fresh()
    feeder.reply()
    feeder.deliver("INBOX" if feeder.files[0].box == "." else ".", b"")
    more = (feeder.fresh, feeder.reply, feeder.copy, feeder.rewritten)
    for number in range(mails - 3):
        more[number % len(more)]()
    for path in house.maildir.glob("*.eml"):
        path.rename(house.new / path.name)  # where ForgedHouse.waiting looks
    return Load(house.home, feeder.mails, feeder.files)


# -- what must hold --------------------------------------------------------------------------------------------------


class AtOnce(Check):
    """What must hold at once, with what a dead process left lying: all of every mail, or nothing and its file waits.

    The database is looked at in a copy, since looking mends what a death left of the write-ahead log.
    """

    def violations(self) -> list[str]:
        aside = self.house.home.with_name(f"{self.house.home.name}.aside")
        aside.mkdir()
        try:
            shutil.copytree(self.house.home / "data", aside / "data", ignore=lambda _, names: {"helpdesk.db-shm"} & set(names))
            copy = AtOnce(House(aside), self.mails, self.files, self.ordered)
            self.found += copy._of_the_database(self._filed())
        finally:
            shutil.rmtree(aside)
        self._every_file()
        self._kept_whole()
        return self.found

    def _of_the_database(self, filed: set[str]) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.house.database)) as database:
            database.row_factory = sqlite3.Row
            self._sound(database)
            self._each_mail_once(database)
            self._tickets(database)
            self._replies(database)
            self._counters(database)
            known = {row["digest"] for row in database.execute("SELECT digest FROM mail WHERE outcome IS NOT NULL")}
            ids = {row["message_id"] for row in database.execute("SELECT message_id FROM mail WHERE outcome IS NOT NULL")}
        self._bytes()
        known |= {sha(raw) for mail in self.mails if mail.message_id in ids for raw in mail.raws}
        for digest in filed - known:
            self._say("FILED FIRST", digest[:12])
        return [line for line in self.found if not line.startswith("LOST")]  # not decided yet; the files are asked for below

    def _filed(self) -> set[str]:
        return {sha(path.read_bytes()) for cur in ("cur", "INBOX/cur") for path in (self.house.maildir / cur).iterdir()}

    def _every_file(self) -> None:
        """Every delivered file lies where it waited or where it is filed, whole."""
        for box, root in ((".", self.house.maildir), ("INBOX", self.house.maildir / "INBOX")):
            files = {path.stat().st_ino: path for folder in ("new", "cur") for path in (root / folder).iterdir()}
            there = Counter(sha(path.read_bytes()) for path in files.values())
            sent = Counter(sha(file.raw) for file in self.files if file.box == box)
            for kind, difference in (("FILE LOST", sent - there), ("FILE INVENTED", there - sent)):
                for digest, count in difference.items():
                    self._say(kind, f"{box} {digest[:12]} x{count}")

    def _kept_whole(self) -> None:
        for path in (self.house.home / "data").glob("mails/??/*"):
            if not path.name.endswith(".part") and sha(path.read_bytes()) != path.name:
                self._say("HALF", path.name)


PICTURE = {
    "mails": "SELECT message_id, digest, outcome, stage FROM mail",
    "messages": "SELECT message_id, ticket_id, kind FROM message",
    "tickets": "SELECT id, subject, status FROM ticket",
    # That a file was moved is written down with the next batch; where the files lie is compared below.
    "places": "SELECT box, replace(state, 'noted', 'filed'), starred, count(*) FROM place GROUP BY 1, 2, 3",
    "events": "SELECT ticket_id, what FROM event",
    "outbox": "SELECT kind, ticket_id, state FROM outbox",
}


def picture(house: House) -> dict[str, list[str]]:
    """Return what does not hang on time or chance: the rows that matter, and what lies in the Maildir."""
    with looked_at(house.database) as database:
        drawn = {name: sorted(map(repr, database.execute(sql))) for name, sql in PICTURE.items()}
    paths = [path for path in house.maildir.rglob("*") if path.is_file()]
    flags = {path: path.name.partition(":2,")[2] for path in paths}
    drawn["files"] = sorted(f"{path.parent.relative_to(house.maildir)} {flags[path]} {sha(path.read_bytes())}" for path in paths)
    return drawn


# -- a campaign ------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What a campaign of one command and one strike came to."""

    strike: str = ""
    points: int = 0  # that the undisturbed run has
    runs: int = 0
    missed: int = 0  # runs that ended before their point came
    moved: int = 0  # runs in which the call of that number was another than in the undisturbed run
    ends: Counter[int] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """Strikes at the points of one command, each in a fresh copy of the prepared house, side by side."""

    def __init__(self, folder: Path, command: str, mails: int = 3, change: str = "", hands: int | None = None) -> None:
        self.folder, self.command = folder, command
        self.points = library(folder)
        self.hands = hands or len(os.sched_getaffinity(0))
        self.forges: queue.Queue[Forge] = queue.Queue()
        for _ in range(self.hands):
            self.forges.put(Forge(self.points, change))
        with self._forge() as forge:
            self.load = prepared(folder, forge, mails)
            self.calm: dict[str, list[str]] = {}
            self.undisturbed = self._undisturbed(forge)

    def close(self) -> None:
        for _ in range(self.hands):
            self.forges.get().close()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _forge(self) -> Iterator[Forge]:
        forge = self.forges.get()
        try:
            yield forge
        finally:
            self.forges.put(forge)

    @contextlib.contextmanager
    def _copy(self, name: str, forge: Forge) -> Iterator[ForgedHouse]:
        house = ForgedHouse(self.folder / name, forge)
        shutil.copytree(self.load.home, house.home)
        try:
            yield house
        finally:
            shutil.rmtree(house.home)

    def _undisturbed(self, forge: Forge) -> list[str]:
        """Return what does not hold after a run without a strike, and keep how things look then."""
        with self._copy("calm", forge) as house:
            self._run(house, Strike())
            found = self._check(house)
            self.calm = picture(house)
        return found

    def calls(self, strike: Strike) -> list[str]:
        """Return the calls of an undisturbed run that the strike could meet."""
        with self._forge() as forge, self._copy(f"calls {strike}", forge) as house:
            return self._run(house, strike)[1]

    def _run(self, house: ForgedHouse, strike: Strike, at: int = 0) -> tuple[Ended, list[str]]:
        """Run the command with a strike; return how it ended and the calls that it made."""
        told, cure = (house.home.with_name(f"{house.home.name}.{name}") for name in ("told", "cure"))
        for path in (told, cure):
            path.unlink(missing_ok=True)
        told.touch()
        extra = strike.environment(house.home, at, told, cure)
        watch = None if self.command == "process" else lambda pid: self._watch(house, pid, told, cure, at)
        ended = house.forge.run(house, [self.command], extra, watch)
        lines = told.read_text("utf-8").splitlines()
        return ended, [_plain(line, house.home) for line in lines]

    def _watch(self, house: ForgedHouse, pid: int, told: Path, cure: Path, at: int) -> None:
        """Cure a worker's trouble a moment after it began, and end it once nothing waits."""
        end = time.monotonic() + PATIENCE
        struck = None
        while time.monotonic() < end and _lives(pid):
            if struck is None and at and told.read_bytes().count(b"\n") >= at:
                struck = time.monotonic()
            if struck and time.monotonic() > struck + SICK:
                cure.touch()
            if not house.waiting():
                break
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        cure.touch()

    def strike(self, strike: Strike, every: int = 1, row: int = 1) -> Tally:
        """Strike at all points; or of a row of the same call only at its ends and each `row`-th, and of these each `every`-th.

        No renaming is left out: it is where a mail's file goes.
        """
        start = time.monotonic()
        calls = self.calls(strike)
        met = [number for number in thinned(calls, row) if strike.meets(calls[number - 1])]
        chosen = [number for turn, number in enumerate(met) if turn % every == every // 2 or calls[number - 1][0] == "m"]
        tally = Tally(f"{self.command} {strike}", sum(map(strike.meets, calls)))
        with ThreadPoolExecutor(self.hands) as hands:
            for number, (ended, made, found) in hands.map(lambda at: (at, self._die(strike, at)), chosen):
                tally.runs += 1
                tally.ends[ended.code] += 1
                hit = len(made) >= number
                tally.missed += not hit
                tally.moved += hit and made[number - 1] != calls[number - 1]
                tally.violations += [f"{line} | {tally.strike} at {number}: {calls[number - 1]}" for line in found]
        tally.seconds = time.monotonic() - start
        return tally

    def first_finding(self, strike: Strike, row: int) -> list[str]:
        """Strike from where a mail is in hand until something does not hold; return that.

        For a mistake that shows undisturbed no strike is needed.
        """
        if self.undisturbed:
            return self.undisturbed
        calls = self.calls(strike)
        in_hand = calls.index("w write data/inflight.N") + 1
        found = (self._die(strike, at)[2] for at in thinned(calls, row) if at >= in_hand and strike.meets(calls[at - 1]))
        return next(filter(None, found), [])

    def _die(self, strike: Strike, at: int) -> tuple[Ended, list[str], list[str]]:
        with self._forge() as forge, self._copy(f"{strike} {at}", forge) as house:
            ended, made = self._run(house, strike, at)
            found = [f"AT ONCE {line}" for line in AtOnce(house, self.load.mails, self.load.files).violations()]
            found += self._judged(house, strike, ended, made, at)
            self._run(house, Strike())
            found += self._check(house)
            return ended, made, found + self._differences(picture(house))

    def _judged(self, house: ForgedHouse, strike: Strike, ended: Ended, made: list[str], at: int) -> list[str]:
        """Return what is wrong with how the run ended: killed, or with trouble exit 75 while mail waits.

        A worker that meets trouble at work lives on and leaves nothing waiting; one that cannot even start ends with 75, and
        who keeps it running starts it again.
        """
        if strike.mode in DEADLY:
            return [] if ended.code == -signal.SIGKILL or len(made) < at else [f"NOT KILLED exit {ended.code}"]
        found = [f"TRACEBACK {ended.err.decode()[-300:]!r}"] if b"Traceback" in ended.err else []
        waiting = house.waiting()
        fine = {75} if waiting else {0, 1, 75}
        if self.command == "worker" and any("inflight" in call for call in made[: at - 1]):
            fine = set() if waiting else {0}
        return found + ([f"EXIT {ended.code} while {waiting} wait {ended.err!r}"] if ended.code not in fine else [])

    def _check(self, house: ForgedHouse) -> list[str]:
        return Check(house, self.load.mails, self.load.files).violations()

    def _differences(self, found: dict[str, list[str]]) -> list[str]:
        """Return how things differ from how they look when nothing disturbed the run."""
        lines = []
        for name, calm in self.calm.items():
            more, less = Counter(found[name]) - Counter(calm), Counter(calm) - Counter(found[name])
            lines += [f"DIFFERS {name}: {sorted(more)} instead of {sorted(less)}"] if more or less else []
        return lines


# The names of killing.py's mistakes say what they are. This one shows where two mails of the drop box get one name, which a
# name of its second leaves to how fast the machine is; here it is the same name always, and a fourth mail.
PLANTED = {**MISTAKES, "renames over a name": MISTAKES["renames over a name"].replace("int(time.time())", "1")}
PLANTED_MAILS = 4


def thinned(calls: list[str], row: int) -> list[int]:
    """Return the numbers of calls, of a row of the same call only the first, the last and each `row`-th."""
    numbers, start = [], 0
    for number, call in enumerate(calls, 1):
        start = number if number == 1 or calls[number - 2] != call else start
        if (number - start) % row == 0 or number == len(calls) or calls[number] != call:
            numbers.append(number)
    return numbers


def _plain(line: str, home: Path) -> str:
    """Take from a told call what differs from run to run."""
    return re.sub(r"\d+", "N", line.replace(f"{home}/", ""))


def _lives(pid: int) -> bool:
    """Does a forged process live, or is it only not asked for yet?"""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False
