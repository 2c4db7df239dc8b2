"""The rules in force: read when a process starts, read again when the file changes, and kept where a new one is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError

if TYPE_CHECKING:
    from .ruleset import Ruleset

LOOK_SECONDS = 2.0  # between two looks at the file


class _Watched:
    """One rules file, and what it said when it was last right."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.clock = clock
        self.right: Ruleset | None = None
        self.problem: SettingsError | None = None
        self.stamp: tuple[int, int] | None = None
        self.looked = float("-inf")

    def rules(self) -> Ruleset:
        """Return what the file said when it was last right."""
        from .ruleset import Ruleset

        self.look()
        return self.right or Ruleset()

    def look(self) -> None:
        """Read the file again if it has changed."""
        now = self.clock()
        if now - self.looked >= LOOK_SECONDS:
            self.looked = now
            stamp = _stamp(self.path)
            if stamp != self.stamp:
                self.stamp = stamp
                self._read()

    def _read(self) -> None:
        from .schema import load

        try:
            self.right, self.problem = load(self.path), None
        except SettingsError as problem:  # mail goes on by the rules that were right
            self.problem = problem


_WATCHED: dict[Path, _Watched] = {}


def current(path: Path) -> Ruleset:
    """Return the rules of a file as they were when it was last right; none if it is not there."""
    return _of(path).rules()


def problem(path: Path) -> SettingsError | None:
    """Return what is wrong with the file, if the rules in force are older ones for that reason."""
    _of(path).look()
    return _of(path).problem


def _of(path: Path) -> _Watched:
    if path not in _WATCHED:
        _WATCHED[path] = _Watched(path)
    return _WATCHED[path]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
