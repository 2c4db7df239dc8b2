"""`helpdesk up` and plain honcho: what a user sees who starts everything, kills a part of it, and stops it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, House, a_mail

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the tests find processes by /proc")

HONCHO = str(Path(sys.executable).with_name("honcho"))
IMAP = "IMAP_HOST=imap.invalid\nIMAP_USERNAME=desk\nIMAP_PASSWORD=secret\n"


def wait_for(said: Callable[[], object], seconds: float = 30, pause: float = 0.1) -> None:
    """Wait until something is true; there is a deadline only."""
    end = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end, "it never came true"
        time.sleep(pause)


def children(pid: int) -> list[int]:
    """Return every process below this one."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    below = [pid]
    for parent in below:
        below += [child for child, above in parents.items() if above == parent]
    return below[1:]


def command_of(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    except OSError:
        return []


def workers(pid: int) -> list[int]:
    """Return the worker processes below this one."""
    return [child for child in children(pid) if command_of(child)[-3:] == ["-m", "pipeline", "worker"]]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Running:
    """Something that was started in a house, with all that it says."""

    def __init__(self, house: House, command: list[str]) -> None:
        self.house = house
        self.said = house.home / "said"
        environment = {**house.environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with open(self.said, "wb") as output:
            self.process = subprocess.Popen(
                command, cwd=house.home, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def says(self, text: str) -> bool:
        return text in self.said.read_text("utf-8", "replace")

    def watches(self) -> bool:
        return self.house.log.exists() and "Worker watches" in self.house.log.read_text()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ask it to end; return its exit code once all that it started has ended too."""
        family = children(self.process.pid)
        self.process.send_signal(number)
        code = self.process.wait(60)
        wait_for(lambda: not any(map(is_alive, family)))
        return code

    def end(self) -> None:
        """Leave nothing behind, whatever the test found."""
        for pid in {*self.family(), self.process.pid} if self.process.poll() is None else self.family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)

    def family(self) -> list[int]:
        """Return what was started in this house and still lives, also where its parent has died."""
        mark = f"HELPDESK_HOME={self.house.home}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0") and is_alive(int(path.parent.name)):
                    found.append(int(path.parent.name))
        return [pid for pid in found if pid != self.process.pid]


Start = Callable[..., Running]


@pytest.fixture
def start(house: House) -> Iterator[Start]:
    """Return a function that starts a command in the house; what it started is ended after the test."""
    running: list[Running] = []

    def begin(*command: str) -> Running:
        running.append(Running(house, list(command)))
        return running[-1]

    yield begin
    for one in running:
        one.end()


def up(start: Start, house: House, *words: str) -> Running:
    return start(*house.command("up", *words))


def summary(house: House) -> dict[str, int]:
    counts: dict[str, int] = house.json("audit", code=None)["by_outcome"]
    return {name: count for name, count in counts.items() if count}


DEMO = {"opened": 2, "commented": 1, "failed": 1, "duplicate": 1}


def test_up_on_an_empty_home_shows_the_demo(house: House, start: Start) -> None:
    """With nothing configured and nothing stored, `up` shows tickets, a comment, a duplicate and a failure, and what to try."""
    running = up(start, house)
    wait_for(lambda: summary(house) == DEMO)
    assert [row["messages"] for row in house.json("ticket", "list")] in ([1, 2], [2, 1])
    for hint in ("helpdesk ticket list", "helpdesk ticket show 1", str(house.new)):
        assert running.says(hint)
    wait_for(lambda: running.says("Created new Ticket from email") and running.says("Added comment to Ticket"))
    assert running.stop() == 0


def test_up_takes_a_mail_that_is_dropped(house: House, start: Start) -> None:
    """An .eml dropped while `up` runs becomes a ticket, in new/ and in maildir/ itself."""
    running = up(start, house)
    wait_for(running.watches)
    house.drop(a_mail("In new", message_id="<new@x.example>"), "dropped.eml")
    (house.maildir / "beside.eml").write_bytes(a_mail("Beside", message_id="<beside@x.example>", body="Beside."))
    wait_for(lambda: {"In new", "Beside"} <= {row["subject"] for row in house.json("ticket", "list")})
    assert running.stop() == 0


def test_up_starts_a_dead_worker_again(house: House, start: Start) -> None:
    """A worker that is killed is started again, says so, and takes the next mail."""
    running = up(start, house)
    wait_for(lambda: workers(running.process.pid) and summary(house) == DEMO)
    (first,) = workers(running.process.pid)
    os.kill(first, signal.SIGKILL)
    house.drop(a_mail("After", message_id="<after@x.example>"), "after.eml")
    wait_for(lambda: "After" in [row["subject"] for row in house.json("ticket", "list")])
    (second,) = workers(running.process.pid)
    assert second != first and running.says("starts again")
    assert running.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_ends_with_all_that_it_started(house: House, start: Start, number: int) -> None:
    """Ctrl-C and SIGTERM end everything: exit 0, no process left, no traceback."""
    running = up(start, house)
    wait_for(lambda: running.watches() and workers(running.process.pid))
    family = children(running.process.pid)
    assert len(family) >= 2
    assert running.stop(number) == 0
    assert not any(map(is_alive, family)) and not running.says("Traceback")


def test_ctrl_c_on_a_terminal_reaches_everybody(house: House, start: Start) -> None:
    """Ctrl-C on a terminal goes to the whole group of processes, and all ends well too."""
    running = up(start, house)
    wait_for(lambda: running.watches() and workers(running.process.pid))
    family = children(running.process.pid)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(60) == 0
    wait_for(lambda: not any(map(is_alive, family)))
    assert not running.says("Traceback")


@pytest.mark.parametrize("seconds", [0, 0.005, 0.01, 0.02, 0.05, 0.2])
def test_ctrl_c_while_it_starts(house: House, start: Start, seconds: float) -> None:
    """Ctrl-C while everything still starts ends all of it too: no hanging, no complaint, no process left."""
    running = up(start, house)
    wait_for(lambda: running.says("Ctrl-C stops everything"), pause=0.001)
    time.sleep(seconds)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) in (0, 130)  # 130: nothing was started yet
    wait_for(lambda: not running.family())
    assert not running.says("Traceback") and not running.says("should not have happened")


def keepers(running: Running) -> list[int]:
    """Return the processes of `up` itself that keep the others alive: they bear its own command."""
    command = command_of(running.process.pid)
    return [pid for pid in children(running.process.pid) if command_of(pid) == command]


def test_a_process_of_up_that_was_killed_holds_up_no_stop(house: House, start: Start) -> None:
    """Where processes of `up` itself were killed, a stop still ends all the others, and what the dead ones had started."""
    running = up(start, house)
    wait_for(lambda: running.watches() and len(children(running.process.pid)) >= 6)
    family = children(running.process.pid)
    for pid in keepers(running)[:2]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(30) == 0
    wait_for(lambda: not any(map(is_alive, family)))
    assert not running.says("Traceback")


def test_nothing_outlives_an_up_that_was_killed(house: House, start: Start) -> None:
    """After SIGKILL to `up` all that it started ends: nobody is left to start it again, or to stop it."""
    running = up(start, house)
    wait_for(lambda: running.watches() and len(children(running.process.pid)) >= 6)
    family = children(running.process.pid)
    running.process.kill()
    running.process.wait(30)
    wait_for(lambda: not any(map(is_alive, family)))


def test_up_ends_when_nobody_reads_what_it_says(house: House) -> None:
    """`helpdesk up 2>&1 | head -1` ends, with all that it started, once its output is closed; it does not hang."""
    process = house.start("up", stderr=subprocess.PIPE, start_new_session=True)
    family: list[int] = []
    try:
        assert process.stderr is not None
        while b"started (pid=" not in process.stderr.readline():
            pass
        family = children(process.pid)
        process.stderr.close()
        process.wait(30)
        wait_for(lambda: not any(map(is_alive, family)))
    finally:
        for pid in filter(is_alive, [process.pid, *family]):
            os.kill(pid, signal.SIGKILL)
        process.wait(30)


def test_a_worker_that_is_told_to_stop_while_it_starts(house: House, start: Start) -> None:
    """A worker that is told to stop the moment it begins to watch ends then, not after the rescan's 30 seconds."""
    for _ in range(5):
        house.log.unlink(missing_ok=True)
        running = start(*house.command("worker"))
        wait_for(running.watches, pause=0.001)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_up_while_a_worker_rests(house: House, start: Start) -> None:
    """Ctrl-C ends `up` also while a dead worker waits for its next start."""
    (house.home / "Procfile").write_text("worker: sleep 0.1\n")
    running = up(start, house)
    wait_for(lambda: running.says("starts again in 2 s"))
    assert running.stop() == 0


def mail_is_stored(house: House) -> None:
    house.drop(a_mail("Real"))
    house.run("process")


def mail_waits(house: House) -> None:
    house.drop(a_mail("Real"))


def imap_is_configured(house: House) -> None:
    (house.home / ".env").write_text(IMAP)


@pytest.mark.parametrize(("state", "subjects"), [(mail_is_stored, ["Real"]), (mail_waits, ["Real"]), (imap_is_configured, [])])
def test_no_demo_beside_real_mail(house: House, start: Start, state: Callable[[House], None], subjects: list[str]) -> None:
    """Where mail is stored or waits, or IMAP is configured, `up` loads no demo."""
    state(house)
    running = up(start, house)
    wait_for(running.watches)
    house.drop(a_mail("Last", message_id="<last@x.example>", body="Last."), "last.eml")
    wait_for(lambda: "Last" in [row["subject"] for row in house.json("ticket", "list")])
    assert sorted(row["subject"] for row in house.json("ticket", "list")) == ["Last", *subjects]
    assert running.stop() == 0


def test_a_second_up_loads_no_second_demo(house: House, start: Start) -> None:
    """The demo that is stored already is not loaded again."""
    house.run("demo")
    house.run("process", code=1)
    running = up(start, house)
    wait_for(running.watches)
    assert summary(house) == DEMO and os.listdir(house.new) == []
    assert running.stop() == 0


def test_up_offers_to_clear_the_demo(house: House, start: Start) -> None:
    """Once IMAP is configured and the demo is still there, `up` offers to take it away."""
    house.run("demo")
    house.run("process", code=1)
    imap_is_configured(house)
    running = up(start, house)
    wait_for(lambda: running.says("helpdesk demo --clear"))
    wait_for(running.watches)
    assert running.stop() == 0


def test_up_with_the_demo_when_asked(house: House, start: Start) -> None:
    """`up --demo` loads it, whatever is stored."""
    mail_is_stored(house)
    running = up(start, house, "--demo")
    wait_for(lambda: summary(house) == {**DEMO, "opened": 3})
    assert running.stop() == 0


# Plain honcho


def test_plain_honcho_runs_the_procfile(house: House, start: Start) -> None:
    """The Procfile of the repository works under plain `honcho start`."""
    shutil.copy(ROOT / "Procfile", house.home)
    running = start(HONCHO, "start")
    wait_for(running.watches)
    house.drop(a_mail("Under honcho"))
    wait_for(lambda: [row["subject"] for row in house.json("ticket", "list")] == ["Under honcho"])
    running.stop(signal.SIGTERM)


def under_honcho(house: House, *words: str) -> str:
    """Run our Python under `honcho run`, which carries .env over in its own way."""
    done = subprocess.run(
        [HONCHO, "run", sys.executable, *words], cwd=house.home, env=house.environment, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


PASSWORDS = {
    '''"p#ss w'd"''': "p#ss w'd",
    "p#ss w": "p#ss w",
    "'p#ss w'": "p#ss w",
    '"a \\"quote\\""': 'a "quote"',
    "p%20$HOME": "p%20$HOME",
}
TELL = "from pipeline.settings import load; print(load().imap_password)"


@pytest.mark.parametrize("written", PASSWORDS)
def test_a_password_survives_honcho(house: House, written: str) -> None:
    """What .env says of a password is what we read under honcho too, and `config` names .env as its origin."""
    (house.home / ".env").write_text(f"IMAP_HOST=imap.invalid\nIMAP_USERNAME=u\nIMAP_PASSWORD={written}\n")
    assert under_honcho(house, "-c", TELL).rstrip("\n") == PASSWORDS[written]
    rows = {row["key"]: row for row in json.loads(under_honcho(house, "-m", "pipeline", "config", "--json"))}
    assert (rows["IMAP_PASSWORD"]["origin"], rows["IMAP_PASSWORD"]["value"]) == (".env", "****")


def test_honcho_starts_beside_a_hard_password(house: House, start: Start) -> None:
    """A password with a `#`, a blank and an apostrophe, in double quotes, does not keep honcho from starting the worker."""
    shutil.copy(ROOT / "Procfile", house.home)
    (house.home / ".env").write_text('IMAP_ENABLED=no\nIMAP_PASSWORD="p#ss w\'d"\n')
    running = start(HONCHO, "start")
    wait_for(running.watches)
    running.stop(signal.SIGTERM)
