"""A short hunt by both engines of bench/fuzz.py; the long ones are `make fuzz`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import CI, ROOT

SECONDS = 30 if CI else 5
SEED = 1


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
