"""Locks between processes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import TryLater
from pipeline.locks import file_lock

HOLD = """
import sys, time
from pathlib import Path
from pipeline.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_holds_a_lock_until_it_dies(tmp_path: Path) -> None:
    """Another waits, gives up in time, and gets it when the holder is killed."""
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(TryLater, match="lock"), file_lock(path, seconds=0.1):
            pass
        holder.kill()
        with file_lock(path, seconds=10):
            pass
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout:
            holder.stdout.close()


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    """Whoever is told to stop does not wait for the lock."""
    path = tmp_path / "lock"
    with file_lock(path):
        start = time.monotonic()
        with pytest.raises(TryLater), file_lock(path, seconds=60, stop=lambda: True):
            pass
        assert time.monotonic() - start < 30
