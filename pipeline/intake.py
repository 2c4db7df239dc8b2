"""Taking mail in: its bytes, whole, and what the stages before the desk read in them, ahead of the writer."""

from __future__ import annotations

import errno
import hashlib
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple

from .desk import Delivery
from .errors import Retry, TryLater
from .letter import Letter, Outcome, Place
from .line import Line
from .maildir import Found, Maildir, NotAMail, NotWhole, Vanished, is_replayed, name_as_text
from .store import LARGE, Store, pack

BATCH = 200  # letters in one commit at the most
BATCH_SECONDS = 0.25  # and no more time than this gathering them
CHUNK = 8  # mails that a thread takes at once when many wait
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # no fault of the file's: the next one must not overtake what it answers
AHEAD = 16  # chunks read ahead of the writer


class Approval(NamedTuple):
    """Who let a held mail through, and whether its sender may speak on the ticket from now on."""

    who: str
    join: bool


class Taken(NamedTuple):
    """A mail that was read, on its way into a batch."""

    found: Found
    letter: Letter
    delivery: Delivery | None  # None: its bytes came from the store
    since: float  # when work on it began, monotonic
    retry: Retry | None = None  # a stage before the desk asked for later
    approval: Approval | None = None  # of a mail that was held


class Left(NamedTuple):
    """A mail that stays where it is, and why."""

    found: Found
    why: str


class Intake:
    """Threads that take mails and have them read, a few chunks ahead."""

    def __init__(self, store: Store, line: Line, boxes: dict[str, Maildir]) -> None:
        self._store = store
        self._line = line
        self._boxes = boxes
        self._threads = ThreadPoolExecutor(line.settings.reader_processes, thread_name_prefix="take")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def batches(self, alone: list[Found], rest: list[Found], baseline: set[Place]) -> Iterator[list[Taken | Left | None]]:
        """Yield what was read, in order: mails under suspicion one by one, then all that is ready at a time."""
        for found in alone:
            yield self._take_all([found], baseline)
        size = CHUNK if len(rest) > CHUNK else 1
        chunks = deque(rest[start : start + size] for start in range(0, len(rest), size))
        reading: deque[Future[list[Taken | Left | None]]] = deque()
        try:
            while chunks or reading:
                while chunks and len(reading) < AHEAD:
                    reading.append(self._threads.submit(self._take_all, chunks.popleft(), baseline))
                yield self._gather(reading)
        finally:
            for future in reading:
                future.cancel()

    @staticmethod
    def _gather(reading: deque[Future[list[Taken | Left | None]]]) -> list[Taken | Left | None]:
        """Wait for the first chunk, and take with it whatever else is ready; there is no timer to wait for more."""
        batch = list(reading.popleft().result())
        end = time.monotonic() + BATCH_SECONDS
        while reading and reading[0].done() and len(batch) < BATCH and time.monotonic() < end:
            batch += reading.popleft().result()
        return batch

    def _take_all(self, chunk: Sequence[Found], baseline: set[Place]) -> list[Taken | Left | None]:
        return [self._take(found, found.place in baseline) for found in chunk]

    def _take(self, found: Found, baseline: bool) -> Taken | Left | None:
        """Take the bytes of a file and have them read; None if it is gone or no mail."""
        since = time.monotonic()
        try:
            with self._boxes[found.place.box].hold(found) as file:
                raw, digest, path = self._bytes(file, found)
        except (Vanished, NotAMail):
            return None
        except NotWhole:
            return Left(found, "it is being written, or still empty")
        except OSError as error:
            if error.errno in EXHAUSTED:
                raise TryLater(f"No mail can be read now: {error.strerror}.") from error
            return Left(found, f"it cannot be read: {error.strerror}")
        taken = self._read(found, self._delivery(found, raw), digest, raw, path, since)
        if baseline and taken.letter.outcome is None and taken.retry is None:
            why = "baseline: it lay here, read, before the first scan"
            return taken._replace(letter=taken.letter.settle(Outcome.IGNORED, why))
        return taken

    def _read(self, found: Found, delivery: Delivery, digest: str, raw: bytes | None, path: Path | None, since: float) -> Taken:
        letter = Letter(digest=digest, place=delivery.place)
        try:
            return Taken(found, _marked(self._line.read(letter, raw, path), delivery.original), delivery, since)
        except Retry as retry:
            return Taken(found, letter, delivery, since, retry)

    def from_store(self, mail_id: int, place: Place, original: str = "") -> Taken:
        """Take a mail's bytes from the store instead of a file; `original` is the name that it came with."""
        since, raw = time.monotonic(), self._store.raw(mail_id)
        letter = Letter(hashlib.sha256(raw).hexdigest(), place)
        found = Found(place, place.key, "cur", "", None, 0, 0, (0, 0))
        try:
            return Taken(found, _marked(self._line.read(letter, raw), original), None, since)
        except Retry as retry:
            return Taken(found, letter, None, since, retry)

    def _bytes(self, file: IO[bytes], found: Found) -> tuple[bytes | None, str, Path | None]:
        """Return (bytes, digest, None), or for a large mail (None, digest, path of a file that holds it)."""
        raw = file.read(LARGE + 1)
        if len(raw) <= LARGE:
            return raw, hashlib.sha256(raw).hexdigest(), None
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if self._store.readonly:
            return None, digest, Path(found.path)
        file.seek(0)
        return None, digest, self._store.keep_large(digest, file)

    def _delivery(self, found: Found, raw: bytes | None) -> Delivery:
        """Say under which key a file will be filed: its own, or a fresh one where its name proves nothing."""
        box = self._boxes[found.place.box]
        place, original = found.place, None
        if twin := box.twin(found) if box.is_drop_box else None:  # filed by link and unlink, and cut between the two
            place = twin.place
        elif (box.is_drop_box and found.folder != "cur") or not place.key.isprintable():
            place, original = Place(found.place.box, box.fresh_key()), name_as_text(found.path)
        return Delivery(place, found.size, None if raw is None else pack(raw), original, found.flags)


def _marked(letter: Letter, original: str | None) -> Letter:
    """Mark a mail that was replayed into the drop box, as the name says that it came with."""
    return letter.marked("replayed") if original and is_replayed(original) else letter
