"""Measure the whole house with a real mailbox (Dovecot, TLS): python bench/mailbox.py latency|idle|first|storm|all.

latency: from IMAP APPEND to the committed ticket, at random moments of the round. idle: CPU and memory of `up` with nothing
to do. first: the first start on a full INBOX. storm: the test's storm of kills, longer.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import House, a_mail
from tests.killing import looked_at
from tests.servers import Dovecot
from tests.test_mailbox_storm import furnish, name_of, start_up, storm
from tests.test_up import Running, children

TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def desk(seconds: int, fill: Callable[[Dovecot], object] | None = None) -> Iterator[tuple[House, Dovecot, Running]]:
    """Start a mailbox and a house on it; end both."""
    folder = Path(tempfile.mkdtemp(prefix="letterdesk-mailbox-"))
    server = Dovecot(tls=True)
    try:
        if fill:
            fill(server)
        house = House(folder / "house")
        furnish(house, server, seconds, "INFO")
        up = start_up(house)
        try:
            yield house, server, up
            print(f"  up ended with exit {up.stop(signal.SIGTERM)}")
        finally:
            up.end()
    finally:
        server.kill()
        server.close()
        shutil.rmtree(folder)


def count(house: House, table: str, where: str = "1") -> int:
    """Count rows as another program sees them; 0 before there is a table."""
    import sqlite3

    with contextlib.suppress(sqlite3.Error), looked_at(house.database) as database:
        return int(database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])  # noqa: S608
    return 0


def until(said: Callable[[], object], seconds: float = 300, pause: float = 0.01) -> float:
    """Wait until something is true; return the seconds that it took."""
    started = time.monotonic()
    while not said():
        if time.monotonic() > started + seconds:
            raise SystemExit("it never came true")
        time.sleep(pause)
    return time.monotonic() - started


def named(up: Running, name: str) -> list[int]:
    return [pid for pid in children(up.process.pid) if name_of(pid) == name]


def round_seconds(up: Running, rounds: int = 3) -> float:
    """Return how long a round of offlineimap takes."""
    took = []
    for _ in range(rounds):
        until(lambda: not named(up, "offlineimap"))
        until(lambda: named(up, "offlineimap"))
        took.append(until(lambda: not named(up, "offlineimap")))
    return statistics.median(took)


def latency(options: argparse.Namespace) -> None:
    """Append mail after mail at random moments; print median and p95, and what is expected of them."""
    rnd = random.Random(1)
    pause = options.seconds
    with desk(pause) as (house, server, up):
        until(lambda: count(house, "sync_round", "kind IS NULL"))
        length = round_seconds(up)
        took = []
        for number in range(options.appends):
            time.sleep(rnd.uniform(0, pause + length))
            started = time.monotonic()
            server.append(a_mail(f"Case {number}", message_id=f"<{number}@bench.example>"))
            done = time.monotonic() - started
            until(lambda: count(house, "message") > number, pause=0.002)  # noqa: B023
            took.append(time.monotonic() - started)
            print(f"  {took[-1]:.2f} s (the append itself {done:.3f})", flush=True)
    p95 = sorted(took)[max(0, round(0.95 * len(took)) - 1)]
    print(f"latency, SYNC_SECONDS={pause}: median {statistics.median(took):.2f} s, p95 {p95:.2f} s, worst {max(took):.2f} s")
    cycle = pause + length
    print(f"  a round takes {length:.2f} s; expected (S + r)/2 + r = {cycle / 2 + length:.2f} s, ", end="")
    print(f"p95 0.95 (S + r) + r = {0.95 * cycle + length:.2f} s, never above S + 2 r = {cycle + length:.2f} s")
    print(f"  so with SYNC_SECONDS=60: median {(60 + length) / 2 + length:.1f} s, p95 {0.95 * (60 + length) + length:.1f} s")


def ticks(pid: int) -> int:
    """Return what a process and its ended, waited-for children have used."""
    with contextlib.suppress(OSError, IndexError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(word) for word in words[11:15])
    return 0


def kilobytes(pid: int, path: str, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{path}").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def idle(options: argparse.Namespace) -> None:
    """Leave a house alone; print what it uses."""
    for pause in options.idle_seconds:
        with desk(pause) as (house, _, up):
            until(lambda: count(house, "sync_round", "kind IS NULL"))
            time.sleep(5)
            family = [up.process.pid, *children(up.process.pid)]
            before = {pid: ticks(pid) for pid in family}
            time.sleep(options.measure)
            family = [up.process.pid, *children(up.process.pid)]
            used = sum(ticks(pid) - before.get(pid, 0) for pid in family) / TICKS
            until(lambda: not named(up, "offlineimap"))
            sizes = {pid: kilobytes(pid, "smaps_rollup", "Pss") for pid in [up.process.pid, *children(up.process.pid)]}
        rounds = options.measure / pause
        share, size = 100 * used / options.measure, sum(sizes.values()) / 1024
        print(
            f"idle, SYNC_SECONDS={pause}, {options.measure} s (about {rounds:.0f} rounds): CPU {used:.2f} s, {share:.2f} % of",
            end="",
        )
        print(f" one core; memory between rounds (PSS) {size:.0f} MiB in {len(sizes)} processes")


def fill(server: Dovecot, mails: int) -> None:
    """Write mails straight into the server's new/."""
    owner = (server.base / "home").stat()
    for name in ("", "tmp", "new", "cur"):
        (server.mail_folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(mails):
        raw = a_mail(f"Case {number}", f"P{number} <p{number % 500}@example.com>", "x" * 3000, f"<{number}@bench.example>")
        (server.mail_folder / "new" / f"{1_700_000_000 + number}.M{number}P1.host").write_bytes(raw)
    for path in [server.base / "home", *(server.base / "home").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)


def first(options: argparse.Namespace) -> None:
    """Start on a full INBOX; print when all is fetched, and when all are tickets."""
    started, peak, fetched = 0.0, 0, 0.0
    with desk(5, lambda server: fill(server, options.mails)) as (house, _, up):
        started = time.monotonic()
        while (tickets := count(house, "ticket")) < options.mails and time.monotonic() < started + options.limit:
            peak = max([peak, *(kilobytes(pid, "status", "VmHWM") for pid in named(up, "offlineimap"))])
            fetched = fetched or (time.monotonic() - started) * (files(house) >= options.mails)
            time.sleep(0.2)
        seconds = time.monotonic() - started
        fetched = fetched or seconds
        at_hand = files(house)
    print(
        f"first start, {options.mails} mails of 3 KB: all fetched after {fetched:.1f} s, all tickets after {seconds:.1f} s",
        end="",
    )
    print(f" ({at_hand} files, {tickets} tickets), peak RSS of offlineimap {peak / 1024:.0f} MiB")


def files(house: House) -> int:
    folders = [house.maildir / "INBOX" / name for name in ("new", "cur")]
    return sum(len(os.listdir(folder)) for folder in folders if folder.exists())


def long_storm(options: argparse.Namespace) -> int:
    """Blow the storm of the test, longer."""
    folder = Path(tempfile.mkdtemp(prefix="letterdesk-storm-"))
    wild, found = storm(folder, options.kills, options.seed)
    print(f"storm, seed {options.seed}: {sum(wild.killed.values())} kills {dict(wild.killed)} in {wild.seconds:.0f} s", end="")
    print(f", {len(wild.feeder.mails)} mails, {wild.feeder.refused} appends refused", end="")
    print(f", {wild.feeder.again} made twice, quiet {wild.quiet_after:.0f} s after the last kill, {len(wild.stops)} stops")
    print(f"  violations {len(found)}", *found, sep="\n")
    if not found:
        shutil.rmtree(folder)
    return int(bool(found))


def main() -> int:
    """Measure what is asked for; exit 1 if a storm leaves anything that does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("latency", "idle", "first", "storm", "all"))
    parser.add_argument("--seconds", type=int, default=5, help="latency: SYNC_SECONDS")
    parser.add_argument("--appends", type=int, default=20)
    parser.add_argument("--idle-seconds", type=int, nargs="+", default=[60], help="idle: SYNC_SECONDS, each measured")
    parser.add_argument("--measure", type=int, default=60, help="idle: seconds")
    parser.add_argument("--mails", type=int, default=10_000, help="first: in the INBOX")
    parser.add_argument("--limit", type=int, default=900, help="first: seconds at most")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    for name, measure in (("latency", latency), ("idle", idle), ("first", first)):
        if options.what in (name, "all"):
            measure(options)
    return long_storm(options) if options.what in ("storm", "all") else 0


if __name__ == "__main__":
    sys.exit(main())
