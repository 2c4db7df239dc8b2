"""A short hunt by both engines of bench/fuzz.py; the long ones are `make fuzz`."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import fuzz

from .conftest import CI, ROOT

SECONDS = 30 if CI else 5
SEED = 1


class ClimbsInCircles:
    """What hypothesis does at times: it tries inputs that it knows, and never looks again."""

    def __init__(self) -> None:
        self.rounds = 0

    def climb(self) -> None:
        self.rounds += 1
        while True:
            pass


def test_an_engine_that_climbs_in_circles_is_ended_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that never returns is ended, another one begins, and the hunt is over when its seconds are."""
    monkeypatch.setattr(fuzz, "ROUND", 0.3)
    engine, started = ClimbsInCircles(), time.monotonic()
    for _ in fuzz._rounds(1):
        with contextlib.suppress(fuzz._TimeIsUp):
            engine.climb()
    assert engine.rounds in (3, 4, 5) and 1 <= time.monotonic() - started < 5


@pytest.mark.parametrize("engine", ["atheris", "hypothesis"])
def test_no_engine_finds_a_mail_that_breaks_the_reader(engine: str, tmp_path: Path) -> None:
    """Neither mutated mails nor drawn ones break the reader, stall it, or make it say what is not so."""
    if importlib.util.find_spec(engine) is None:
        message = f"{engine} is not installed: pip install {engine}"
        if CI:
            pytest.fail(message)
        pytest.skip(message)
    told = {"engine": engine, "seconds": SECONDS, "seed": SEED, "corpus": tmp_path / "corpus", "findings": tmp_path / "findings"}
    words = [word for name, value in told.items() for word in (f"--{name}", str(value))]
    done = subprocess.run([sys.executable, str(ROOT / "bench" / "fuzz.py"), *words], capture_output=True, text=True)
    print(done.stdout)  # the seed stands in its first line
    assert done.returncode == 0, done.stdout + done.stderr
