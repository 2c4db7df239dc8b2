"""SIGKILL at any moment, again and again, while mail keeps arriving: nothing is lost, doubled, torn or misplaced."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from .killing import MISTAKES, Figures, left_running, mistake, storm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and stops processes before it kills them")

KILLS = 25  # a case: 100 of `process` and 100 of `worker` in all
CASES = [(command, workers, lock) for command in ("process", "worker") for workers in (1, 2) for lock in (True, False)]
BLOWN: dict[str, list[Figures]] = {"process": [], "worker": []}


@pytest.mark.parametrize(("command", "workers", "lock"), CASES)
def test_every_mail_is_in_once_after_a_storm_of_kills(tmp_path: Path, command: str, workers: int, lock: bool) -> None:
    """Whatever instruction a process dies at, one clean pass makes Maildir, ledger and tickets whole."""
    seed = CASES.index((command, workers, lock)) + 1
    figures, violations = storm(tmp_path, [command], KILLS, workers, seed, lock)
    BLOWN[command].append(figures)
    print(figures)
    assert not violations, f"{Counter(line.split()[0] for line in violations)} seed {seed}: {violations[:20]}"
    assert figures.kills == KILLS
    assert figures.ends.keys() <= ({0, 1, 75} if command == "process" else set()), (tmp_path / "said.txt").read_text()
    assert left_running(tmp_path) == [], "readers outlive the process that started them"


@pytest.mark.parametrize("command", BLOWN)
def test_the_kills_hit_mail_in_hand(command: str) -> None:
    """At least a quarter of the kills came while a mail was in hand, and some between its commit and its rename."""
    blown = BLOWN[command]
    if len(blown) < 4:
        pytest.skip("the storms of this command were not all blown")
    assert sum(figures.in_hand for figures in blown) >= sum(figures.kills for figures in blown) / 4
    assert sum(figures.decided for figures in blown) > 0


@pytest.mark.parametrize("name", MISTAKES)
def test_the_checker_finds_a_classic_mistake(tmp_path: Path, name: str) -> None:
    """The same storm over a program with a classic mistake in it leaves something that the checker finds."""
    assert mistake(tmp_path, name, KILLS), f"nothing found after {KILLS} kills"
