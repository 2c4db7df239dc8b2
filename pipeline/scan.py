"""What waits in a box: the directory is the truth, the ledger says what is done."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from . import tables
from .desk import Desk
from .maildir import Found, Maildir, split_name
from .store import Store, among

SETTLED_NS = 2_000_000_000  # a folder changed less than this before a scan may change again within its clock's grain


@dataclass
class Look:
    """What a scan of one box found."""

    fresh: list[Found] = field(default_factory=list)  # to be worked, in order of arrival
    baseline: list[Found] = field(default_factory=list)  # read mail that was there before us
    again: list[Found] = field(default_factory=list)  # known, back in new/: a human un-read or re-flagged it

    @property
    def found_any(self) -> bool:
        return bool(self.fresh or self.baseline or self.again)


class Scan:
    """Looks at one box again and again, and reads cur/ only when something in it can be new.

    Known names are remembered as 64-bit hashes (Python's are keyed, so no sender can make two names meet); a name is called
    known only after the ledger's index said so.
    """

    def __init__(self, box: Maildir, store: Store) -> None:
        self.box = box
        self.store = store
        self._seen: set[int] = set()
        self._cur_mtime: int | None = None

    def look(self) -> Look:
        """Return what waits now."""
        look = Look()
        self._look_new(look)
        cur = list(self._open_in_cur())
        waiting = self._noted_baseline([found.place.key for found in cur])
        read_before = {found.place.key for found in cur if "S" in found.flags} if self.baseline_open() else set()
        for found in cur:
            is_baseline = found.place.key in waiting or found.place.key in read_before
            (look.baseline if is_baseline else look.fresh).append(found)
        return look

    def _look_new(self, look: Look) -> None:
        """A file in new/ waits, unless its name is offlineimap's and known. A name proves nothing in the drop box."""
        listed = self.box.new()
        trusted = [found.place.key for found in listed if found.whole_by_name]
        undecided = set(self.store.undecided(self.box.name, trusted)) if trusted else set()
        waiting = self._noted_baseline(undecided)
        for found in listed:
            key = found.place.key
            if found.whole_by_name and key not in undecided:
                look.again.append(found)
            else:
                (look.baseline if found.whole_by_name and key in waiting else look.fresh).append(found)

    def _open_in_cur(self) -> list[Found]:
        """Return the files of cur/ that the ledger has not decided."""
        start, mtime = time.time_ns(), self.box.cur_mtime_ns()
        if mtime == self._cur_mtime:
            return []
        names = [name for name in self.box.cur_names() if hash(split_name(name)[0]) not in self._seen]
        by_key = {split_name(name)[0]: name for name in names}
        undecided = self.store.undecided(self.box.name, sorted(by_key))
        self._seen.update(hash(key) for key in by_key.keys() - set(undecided))
        self._cur_mtime = mtime if not undecided and mtime < start - SETTLED_NS else None
        return self.box.found_in_cur(by_key[key] for key in undecided)

    def _noted_baseline(self, keys: Iterable[str]) -> set[str]:
        """Return those keys that were written down as the baseline and not read yet."""
        keys = list(keys)
        if not keys:
            return set()
        where = (tables.Place.box == self.box.name) & (tables.Place.state == "waiting") & among(tables.Place.key, keys)
        return set(self.store.values(tables.Place.select(tables.Place.key).where(where)))

    def of_first_sync(self, look: Look) -> list[Found]:
        """Return what was fetched before the first complete sync of the box had ended: it causes no mail to anybody."""
        row = self.store.row(tables.Box.select(tables.Box.baseline).where(tables.Box.name == self.box.name))
        if row is None or row["baseline"] is None:
            return look.fresh
        end = datetime.datetime.fromisoformat(row["baseline"]).timestamp() * 1_000_000_000
        return [found for found in look.fresh if found.mtime_ns < end]

    def baseline_open(self) -> bool:
        row = self.store.row(tables.Box.select(tables.Box.baseline).where(tables.Box.name == self.box.name))
        return row is None or row["baseline"] is None

    def decide_baseline(self, look: Look, desk: Desk) -> None:
        """Write down the baseline of a box that has none yet; once for ever, in one transaction."""
        if self.store.readonly or not self.baseline_open():
            return
        with self.store.transaction():
            if self.baseline_open():
                desk.begin()
                desk.turn()
                desk.note_baseline(self.box.name, [found.place.key for found in look.baseline])
                desk.keep()
                desk.flush()


def in_turns(queues: Iterable[list[Found]]) -> Iterator[Found]:
    """Yield from the queues in turn, the one with the oldest head first, so that no box waits for another's backlog."""
    queues = sorted((list(reversed(queue)) for queue in queues if queue), key=lambda queue: queue[-1].mtime_ns)
    while queues:
        for queue in queues:
            yield queue.pop()
        queues = [queue for queue in queues if queue]
