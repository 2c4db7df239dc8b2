"""Which mails a process has in hand, written down before it touches them: a mail that kills its worker is found out.

Each process keeps data/inflight.<pid>, locked while it lives. A note whose lock is free was left by the dead: its mails
come one by one first, and one that was alone in several such notes is guilty. How often is kept in data/suspects.json.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .letter import Place
from .locks import file_lock, try_lock

SUSPECTS = "suspects.json"
Deaths = dict[Place, int]


class Inflight:
    """This process's note, and what the notes of dead ones say."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.path = data_dir / f"inflight.{os.getpid()}"
        self._handle = self._open()
        self._bury(_read(self._handle))  # of a dead process that bore our number
        os.ftruncate(self._handle, 0)
        self._known: Deaths = {}

    def _open(self) -> int:
        """Open our note and lock it; once more, if another took it for a dead one's in between."""
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            with contextlib.suppress(OSError):
                if try_lock(handle) and os.path.samestat(os.fstat(handle), os.stat(self.path)):
                    return handle
            os.close(handle)

    def suspects(self) -> Deaths:
        """Return the mails that dead processes had in hand, with how often each was alone in a dead one's note."""
        for note in self.data_dir.glob("inflight.*"):
            if note != self.path:
                self._bury_note(note)
        self._known = self._read_deaths()
        return dict(self._known)

    def _bury_note(self, note: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(note, os.O_RDWR)
            try:
                if try_lock(handle):  # refused: its process lives
                    self._bury(_read(handle))
                    note.unlink()
            finally:
                os.close(handle)

    def _bury(self, places: list[Place]) -> None:
        def count(deaths: Deaths) -> None:
            for place in places:
                deaths[place] = deaths.get(place, 0) + (len(places) == 1)

        if places:
            self._change(count)

    @contextlib.contextmanager
    def holding(self, places: Sequence[Place]) -> Iterator[None]:
        """Note these mails while the block runs; who comes through it is cleared."""

        def clear(deaths: Deaths) -> None:
            for place in places:
                deaths.pop(place, None)

        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, json.dumps(places).encode())
        yield  # an exception leaves the note: we may not survive it
        os.ftruncate(self._handle, 0)
        if not self._known.keys().isdisjoint(places):
            self._change(clear)
            clear(self._known)

    def _read_deaths(self) -> Deaths:
        with contextlib.suppress(OSError, ValueError, TypeError):
            rows = json.loads((self.data_dir / SUSPECTS).read_text("utf-8"))
            return {Place(box, key): count for box, key, count in rows}
        return {}

    def _change(self, change: Callable[[Deaths], None]) -> None:
        """Change the counts, which other processes change too."""
        path = self.data_dir / SUSPECTS
        with file_lock(path.with_suffix(".lock")):
            deaths = self._read_deaths()
            change(deaths)
            if not deaths:
                path.unlink(missing_ok=True)
                return
            part = path.with_suffix(".part")
            part.write_text(json.dumps([[*place, count] for place, count in deaths.items()]), "utf-8")
            os.replace(part, path)

    def close(self) -> None:
        """Take the note away: this process ends as it should. Twice does no harm."""
        if self._handle >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def _read(handle: int) -> list[Place]:
    """Read a note; one that was cut in the middle of its writing names nothing."""
    os.lseek(handle, 0, os.SEEK_SET)
    with contextlib.suppress(ValueError, TypeError):
        return [Place(box, key) for box, key in json.loads(os.read(handle, os.fstat(handle).st_size))]
    return []
