"""Try a folder of mails: read, match and trim each in a dry run, and say what looks wrong. Nothing is written."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from .archive import Item, items
from .desk import Desk
from .errors import InputError, Retry
from .letter import Letter, Outcome, Place
from .line import Line, checked, failed
from .oddities import TITLES, Seen, oddities
from .settings import Settings
from .store import LARGE, Store, passing_trouble

AHEAD = 64  # mails that are read before their turn


class Read(NamedTuple):
    """A mail as it came from the readers; the letter is None if its file could not be read."""

    item: Item
    letter: Letter | None
    seen: Seen | None
    why: str = ""


@dataclass
class Report:
    """What was seen: counts, and for each kind of trouble its mails with a sentence."""

    folder: str
    mails: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    tickets: int = 0
    seconds: float = 0.0
    trouble: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {kind: [] for kind in TITLES})

    @property
    def suspicious(self) -> bool:
        return any(self.trouble.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "mails": self.mails,
            "outcomes": {outcome.value: self.outcomes[outcome.value] for outcome in Outcome},
            "kinds": dict(sorted(self.kinds.items())),
            "tickets": self.tickets,
            "seconds": round(self.seconds, 3),
            "mails_per_second": round(self.mails / self.seconds, 1) if self.seconds else None,
            "trouble": {
                kind: [{"file": name, "why": why} for name, why in found] for kind, found in self.trouble.items() if found
            },
        }


def selftest(
    store: Store, settings: Settings, folder: Path, limit: int | None = None, tell: Callable[[int], None] = lambda count: None
) -> Report:
    """Return what came of the mails of a folder; `tell` hears how many are done.

    Raises:
        InputError: the folder cannot be read.
    """
    start, report = time.monotonic(), Report(str(folder))
    with Rehearsal(store, settings) as rehearsal:
        for read in rehearsal.read(islice(items(folder), limit)):
            report.mails += 1
            if read.seen is None:
                report.trouble["unreadable"].append((read.item.name, read.why))
            else:
                _note(report, read.item.name, rehearsal.decided(read.seen))
            tell(report.mails)
    report.tickets = report.outcomes[Outcome.OPENED]
    report.seconds = time.monotonic() - start
    if not report.mails:
        raise InputError(f"There is no mail in {folder}.", "Name a folder with .eml files, a Maildir or an mbox file.")
    return report


def _note(report: Report, name: str, seen: Seen) -> None:
    report.outcomes[str(seen.letter.outcome)] += 1
    if seen.letter.outcome is not Outcome.FAILED:
        report.kinds[str(seen.letter.mail.kind)] += 1
    if seen.letter.outcome is not Outcome.DUPLICATE:  # what there is to say was said of the first
        for kind, why in oddities(seen):
            report.trouble[kind].append((name, why))


class Rehearsal:
    """The whole line on mails in turn, over a read-only store: what one mail causes the next ones find; nothing is written."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.settings = settings
        self.line = Line(settings)
        self.desk = Desk(store, settings)
        self._threads = ThreadPoolExecutor(settings.reader_processes, thread_name_prefix="read")

    def read(self, found: Iterator[Item]) -> Iterator[Read]:
        """Yield the mails as the readers understand them, in order, some read ahead."""
        reading: deque[Future[Read]] = deque(self._threads.submit(self._read, item) for item in islice(found, AHEAD))
        try:
            while reading:
                read = reading.popleft().result()
                reading.extend(self._threads.submit(self._read, item) for item in islice(found, 1))
                yield read
        finally:
            for future in reading:
                future.cancel()

    def _read(self, item: Item) -> Read:
        try:
            raw, digest = _bytes(item)
        except OSError as error:
            return Read(item, None, None, error.strerror or "it cannot be read")
        letter = Letter(digest, Place("", item.name))
        try:
            letter = self.line.read(letter, raw, None if raw is not None else item.path)
        except Retry as retry:
            letter = letter.settle(Outcome.FAILED, f"later: {retry.why}")
        silent = letter.outcome is None and letter.mail.has_html and not letter.mail.text.strip()
        html = self.line.pool.html(raw) if silent and raw is not None else None
        return Read(item, letter, Seen(letter, raw, "<img" in (html or "")))

    def decided(self, seen: Seen) -> Seen:
        """Run the stages of the desk; what the mail causes stays on the desk's pages."""
        self.desk.begin([seen.letter])
        self.desk.turn()
        try:
            letter = self._through_the_desk(seen.letter)
            self.desk.settle(letter, None)
        except Exception as error:  # a stage's own defect: that letter alone fails
            if trouble := passing_trouble(error):
                raise trouble from error
            self.desk.drop()
            self.desk.turn()
            letter = failed(seen.letter, "desk", error)
            self.desk.settle(letter, None)
        self.desk.keep()
        return seen._replace(letter=letter)

    def _through_the_desk(self, letter: Letter) -> Letter:
        for stage in self.line.desk_stages:
            if letter.ended:
                break
            letter = checked(stage.function(letter, **{name: getattr(self, name) for name in stage.asks}))
        return letter if letter.outcome else letter.settle(Outcome.FAILED, "selftest: no stage settled the mail")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.line.close()

    def __enter__(self) -> Rehearsal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bytes(item: Item) -> tuple[bytes | None, str]:
    """Return a mail's bytes and their digest; of a large one, which its reader opens itself, the digest only."""
    if item.raw is not None:
        return item.raw, hashlib.sha256(item.raw).hexdigest()
    with item.path.open("rb") as file:
        raw = file.read(LARGE + 1)
        if len(raw) <= LARGE:
            return raw, hashlib.sha256(raw).hexdigest()
        file.seek(0)
        return None, hashlib.file_digest(file, "sha256").hexdigest()
