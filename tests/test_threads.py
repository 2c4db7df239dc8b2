"""The threads of real mails, replayed: a short run of bench/threads.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import ROOT

MAILS = 500


def test_real_threads_stay_together_and_apart() -> None:
    """Every reply lands where its headers say, no two threads meet, and no stranger enters one."""
    if not (ROOT / "bench" / ".cache" / "package" / "data").exists():
        pytest.skip("the mails are not here: bench/corpus.py fetches them")
    bench = [sys.executable, str(ROOT / "bench" / "threads.py"), "--mails", str(MAILS)]
    done = subprocess.run(bench, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
