"""Locks between processes, as files that the system unlocks when their holder dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import TryLater

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

POLL_SECONDS = 0.01


@contextlib.contextmanager
def file_lock(path: Path, seconds: float = 60.0, stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold a lock on a file; wait for it by asking again, so that a signal is heard meanwhile.

    Raises:
        TryLater: it was not free within the time, or `stop` said so.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        end = time.monotonic() + seconds
        while not try_lock(handle):
            if stop() or time.monotonic() > end:
                raise TryLater(f"Another process holds {path.name}.")
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)  # which unlocks


def try_lock(handle: int) -> bool:
    """Lock an open file, if nobody holds it."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True
