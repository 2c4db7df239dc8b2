"""Killed or refused at any call that changes a file: `process` and `worker` lose nothing, do nothing twice, leave nothing half.

Of rows of the same call on the same file (the frames of a commit, the pages of a checkpoint) this takes the ends and some
between; bench/crashpoints.py takes every one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import House, a_mail, needs
from .crashing import PLANTED, PLANTED_MAILS, Campaign, Strike, Tally, library

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="points are found by LD_PRELOAD, and what runs in /proc")

HANDS = 1 if "PYTEST_XDIST_WORKER" in os.environ else None  # beside other tests one at a time, else one a core
ROW = 30

# Strike -> each how many-th of the points left of rows.
DEATHS = {
    "process": {Strike("before"): 4, Strike("after"): 24, Strike("torn"): 12, Strike("short"): 16},
    "worker": {Strike("before"): 16, Strike("torn"): 16},
}
ERRORS = {
    "process": {
        Strike("error", name, sticky): every
        for name, every in (("ENOSPC", 32), ("EIO", 32), ("EMFILE", 12))
        for sticky in (False, True)
    },
    "worker": {Strike("error", "ENOSPC", True): 32, Strike("error", "EIO"): 32, Strike("error", "EMFILE", True): 8},
}


@pytest.fixture
def struck(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Tally]]:
    """Strike at a command as the test's parameters say, and return what came of it."""
    command, strikes = request.param
    with Campaign(tmp_path, command, hands=HANDS) as campaign:
        assert campaign.undisturbed == []
        tallies = [campaign.strike(strike, every, ROW) for strike, every in strikes.items()]
    for tally in tallies:
        print(tally)
    yield tallies


def held(tallies: list[Tally]) -> None:
    """Fail with all that does not hold."""
    violations = [line for tally in tallies for line in tally.violations]
    assert not violations, f"{Counter(line.split()[0] for line in violations)}\n" + "\n".join(violations[:20])


@pytest.mark.parametrize("struck", DEATHS.items(), ids=DEATHS, indirect=True)
def test_dead_at_any_call(struck: list[Tally]) -> None:
    """Dead before, after or in the middle of any call, all of a mail is in or its file waits; the next run makes it whole."""
    held(struck)
    assert all(tally.runs and tally.missed <= 1 + tally.runs / 10 for tally in struck), struck


@pytest.mark.parametrize("struck", ERRORS.items(), ids=ERRORS, indirect=True)
def test_refused_at_any_call(struck: list[Tally]) -> None:
    """A call refused once, or all from there on: nothing is lost, exit 75 while mail waits, and cured it goes on."""
    held(struck)
    assert all(tally.runs and tally.missed <= 1 + tally.runs / 10 for tally in struck), struck


@pytest.mark.parametrize("name", PLANTED)
def test_a_classic_mistake_is_found(tmp_path: Path, name: str) -> None:
    """The same deaths over a program with a classic mistake in it leave something that the same checks find."""
    with Campaign(tmp_path, "process", PLANTED_MAILS, PLANTED[name], HANDS) as campaign:
        found = campaign.first_finding(Strike("before"), 4 * ROW)
    print(found)
    assert found


# -- are these all calls? --------------------------------------------------------------------------------------------

# System call -> its letter in points.c; those without one must not occur.
SYSTEM_CALLS = {
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range"), "w"),
    **dict.fromkeys(("fsync", "fdatasync", "sync_file_range"), "s"),
    **dict.fromkeys(("ftruncate", "truncate", "fallocate"), "t"),
    **dict.fromkeys(("open", "openat", "openat2", "creat"), "o"),
    **dict.fromkeys(("mkdir", "mkdirat"), "d"),
    **dict.fromkeys(("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat"), "m"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "u"),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "utimensat"), "c"),
    **dict.fromkeys(("mknod", "mknodat", "chown", "fchown", "fchownat", "setxattr", "fsetxattr", "io_uring_enter"), "?"),
}


def seen_by_strace(trace: str, home: Path) -> list[str]:
    """Return "letter path" of every changing call in what strace -y wrote; of two names the last."""
    seen = []
    for call, rest in re.findall(r"^\d+ +(\w+)\((.*)$", trace, re.MULTILINE):
        if call.startswith("open") and "O_CREAT" not in rest and "O_TRUNC" not in rest:
            continue
        if call in ("write", "pwrite64", "writev", "pwritev", "ftruncate", "fsync", "fdatasync", "fallocate", "fchmod"):
            paths = re.findall(rf"^\d+<({home}/[^>]*)>", rest)
        else:
            paths = re.findall(rf'"({home}/[^"]*)"', rest)
        if call != "mmap" and paths:
            seen.append(f"{SYSTEM_CALLS[call]} {paths[-1]}")
    return seen


def test_every_changing_system_call_is_a_point(house: House, tmp_path: Path) -> None:
    """What strace sees changed below HELPDESK_HOME are the points, one by one; but for SQLite's shared memory, made anew."""
    needs("strace", "strace")
    told, trace = (tmp_path.with_name(f"{tmp_path.name}.{name}") for name in ("told", "trace"))
    preload = {"LD_PRELOAD": str(library(tmp_path)), "POINTS_BELOW": f"{house.home}/", "POINTS_TOLD": str(told)}
    house.run("process")
    house.drop(a_mail(body="x" * 1_500_000), "large.eml")
    house.drop(a_mail(message_id="<2@example.com>", in_reply_to="<1@example.com>"), "reply.eml")
    words = ["strace", "-f", "-y", "-s", "0", "-o", str(trace), "-e", f"trace={','.join(SYSTEM_CALLS)},mmap"]
    done = subprocess.run(
        [*words, *(f"-E{name}={value}" for name, value in preload.items()), *house.command("process")],
        cwd=house.home,
        env=house.environment,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    points = [f"{line[0]} {line.split(' ', 2)[2]}" for line in told.read_text().splitlines()]
    assert len(points) > 100
    assert seen_by_strace(trace.read_text(), house.home) == points
    shared = re.findall(rf"mmap\(.*PROT_WRITE, MAP_SHARED.*<({house.home}/[^>]*)>", trace.read_text())
    assert {Path(path).name for path in shared} == {"helpdesk.db-shm"}
