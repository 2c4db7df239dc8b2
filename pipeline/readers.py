"""Readers: processes that live long, are given bytes and give back what was read. They may be killed at any moment.

A reader has no environment, no network where the system allows that, no database, and limits on time, memory and
files. Parent and reader speak in frames over pipes: 4 bytes with the length of the head, 8 with that of the body (big
endian), the head as JSON, the body as bytes. The parent asks with a verb and gets one answer:

    read   head {verb, digest, box, key, most, path?}, raw mail     -> {letter} | {failed, stage} | {retry, after}
    html   head {verb, path?}, body raw mail                        -> {}, body: sanitised HTML, UTF-8 (empty: none)
    cut    head {verb, path?, attachment}, body raw mail            -> {}, body: the attachment's bytes

`path` stands for the body where the mail is too large for a pipe; it names a file in data/mails.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from .errors import Retry
from .letter import (
    Address,
    Attachment,
    Authentication,
    Bounce,
    Kind,
    Letter,
    Link,
    Mail,
    Original,
    Outcome,
    Place,
    Step,
    Undelivered,
)
from .settings import Settings

FRAME = struct.Struct(">IQ")
WATCH_SECONDS = 0.1
HEAD = 1 << 20  # of a mail that is too large
RECYCLE_AFTER = 5_000  # letters; a long life must not become a leak


class ReaderDied(Exception):
    """The reader was killed by the mail, or for it (time, memory)."""


# -- the words on the wire -------------------------------------------------------------------------------------------


# What a Mail's fields hold beside plain values: rows of these, or one of them.
_ROWS: dict[str, type] = dict.fromkeys(("authors", "reply_to", "to", "cc"), Address) | {
    "attachments": Attachment,
    "auth": Authentication,
}
_TUPLES = ("in_reply_to", "references", "ticket_numbers", "defects")


def _row(item: Any) -> list[Any] | None:
    return None if item is None else [getattr(item, name) for name in item.__dataclass_fields__]


def mail_to_wire(mail: Mail) -> dict[str, Any]:
    """Return a Mail as plain JSON values; what it holds of other kinds as rows of their fields."""
    wire = {name: getattr(mail, name) for name in Mail.__dataclass_fields__}
    for name in _ROWS:
        wire[name] = [_row(item) for item in wire[name]]
    wire["sender"] = _row(mail.sender)
    if mail.bounce:
        wire["bounce"] = [mail.bounce.message_id, [_row(one) for one in mail.bounce.recipients]]
    if mail.original:
        wire["original"] = [_row(mail.original.author), *_row(mail.original)[1:]]  # type: ignore[index]
    return wire


def mail_from_wire(wire: dict[str, Any]) -> Mail:
    """Undo `mail_to_wire`."""
    for name, kind in _ROWS.items():
        wire[name] = tuple(kind(*row) for row in wire[name])
    for name in _TUPLES:
        wire[name] = tuple(wire[name])
    wire["headers"] = tuple((name, value) for name, value in wire["headers"])
    wire["sender"] = _address(wire["sender"])
    wire["kind"] = Kind(wire["kind"])
    if wire["bounce"]:
        message_id, recipients = wire["bounce"]
        wire["bounce"] = Bounce(message_id, tuple(Undelivered(*row) for row in recipients))
    if wire["original"]:
        author, *rest = wire["original"]
        wire["original"] = Original(_address(author), *rest)
    return Mail(**wire)


def _address(row: list[Any] | None) -> Address | None:
    return Address(*row) if row else None


_NOT_PLAIN = {"digest", "place", "mail", "outcome", "trail", "marks", "raw", "links", "orders"}
_DECIDED = tuple(f.name for f in fields(Letter) if f.name not in _NOT_PLAIN)


def letter_to_wire(letter: Letter) -> dict[str, Any]:
    """Return what a reader changed on a letter."""
    wire = {name: getattr(letter, name) for name in _DECIDED}
    wire.update(mail=mail_to_wire(letter.mail), outcome=letter.outcome, links=letter.links)
    wire.update(trail=[str(step) for step in letter.trail], marks=sorted(letter.marks))
    return wire


def letter_from_wire(letter: Letter, wire: dict[str, Any]) -> Letter:
    """Return the letter with what its reader says."""
    return replace(
        letter,
        mail=mail_from_wire(wire["mail"]),
        outcome=Outcome(wire["outcome"]) if wire["outcome"] else None,
        trail=tuple(Step.of(text) for text in wire["trail"]),
        marks=frozenset(wire["marks"]),
        links=tuple(Link(*row) for row in wire["links"]),
        **{name: wire[name] for name in _DECIDED},
    )


def _write(pipe: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    packed = json.dumps(head, separators=(",", ":")).encode()
    pipe.write(FRAME.pack(len(packed), len(body)) + packed)
    pipe.write(body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    start = pipe.read(FRAME.size)
    if len(start) < FRAME.size:
        return None
    head_size, body_size = FRAME.unpack(start)
    head, body = pipe.read(head_size), pipe.read(body_size)
    if len(head) < head_size or len(body) < body_size:
        return None
    return json.loads(head), body


# -- the parent's side -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """What a reader may use: seconds for one mail, MiB of memory; how many readers; how many MiB of a mail are read."""

    seconds: float = 10.0
    megabytes: int = 512
    processes: int = 2
    largest: int = 25

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(settings.reader_seconds, settings.reader_mb, settings.reader_processes, settings.max_message_mb)


class Reader:
    """One child process and the time by which it must have answered."""

    def __init__(self, stages: tuple[str, ...], limits: Limits) -> None:
        self.limits = limits
        self.answered = 0
        self.deadline = float("inf")
        environment = {"SYSTEMROOT": os.environ["SYSTEMROOT"]} if "SYSTEMROOT" in os.environ else {}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-m", "pipeline.readers", str(limits.seconds), str(limits.megabytes), *stages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def ask(self, head: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Send a frame and return the answer.

        Raises:
            ReaderDied: there was none, and why.
        """
        assert self.process.stdin and self.process.stdout
        self.deadline = time.monotonic() + self.limits.seconds + (0 if self.answered else 5)  # a first answer includes the start
        try:
            _write(self.process.stdin, head, body)
            answer = _read(self.process.stdout)
        except OSError:
            answer = None
        late = time.monotonic() > self.deadline
        self.deadline = float("inf")
        if answer is None:
            raise ReaderDied(self._epitaph(late))
        self.answered += 1
        return answer

    def _epitaph(self, late: bool) -> str:
        self.process.kill()
        code = self.process.wait()
        if late or code == -getattr(signal, "SIGALRM", 0):
            return f"took longer than {self.limits.seconds:g} seconds to read"
        return f"killed its reader ({signal.Signals(-code).name})" if code < 0 else f"ended its reader (exit {code})"

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        self.process.kill()
        self.process.wait()


class Pool:
    """Some readers, shared by threads: each question takes a free one, a dead one is replaced."""

    def __init__(self, stages: tuple[str, ...] = (), limits: Limits | None = None) -> None:
        self.stages = stages
        self.limits = limits or Limits()
        self._free: queue.LifoQueue[Reader | None] = queue.LifoQueue()
        self._all: list[Reader] = []
        self._closed = threading.Event()
        for _ in range(self.limits.processes):
            self._free.put(None)  # started when first needed
        self._watch = threading.Thread(target=self._watch_deadlines, name="reader-watch", daemon=True)
        self._watch.start()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Reader]:
        reader = self._free.get()
        try:
            if reader is not None and reader.process.poll() is not None:  # died while nobody asked it: no mail's doing
                self._retire(reader)
                reader = None
            if reader is None:
                reader = Reader(self.stages, self.limits)
                self._all.append(reader)
            yield reader
        except BaseException:
            if reader is not None:
                self._retire(reader)
                reader = None
            raise
        finally:
            if reader is not None and reader.answered >= RECYCLE_AFTER:
                self._retire(reader)
                reader = None
            self._free.put(reader)

    def _retire(self, reader: Reader) -> None:
        reader.close()
        with contextlib.suppress(ValueError):
            self._all.remove(reader)

    def ask(self, head: dict[str, Any], body: bytes = b"", tries: int = 2) -> tuple[dict[str, Any], bytes]:
        """Ask any reader; where it dies, ask a fresh one once more (the first may have died of something else)."""
        for left in range(tries - 1, -1, -1):
            try:
                with self._reader() as reader:
                    return reader.ask(head, body)
            except ReaderDied:
                if not left or self._closed.is_set():
                    raise
        raise AssertionError("unreachable")

    def read(self, letter: Letter, raw: bytes | None, path: Path | None = None) -> Letter:
        """Run the reader stages on a mail; a mail that kills its reader comes back failed.

        Raises:
            Retry: a stage asked for it.
        """
        head: dict[str, Any] = {
            "verb": "read",
            "digest": letter.digest,
            "most": self.limits.largest << 20,
            **letter.place._asdict(),
        }
        if path is not None:
            head["path"] = str(path)
        try:
            answer, _ = self.ask(head, raw or b"")
        except ReaderDied as death:
            return letter.settle(Outcome.FAILED, f"reader: the mail {death}")
        if "retry" in answer:
            raise Retry(answer["retry"], answer["after"])
        if "failed" in answer:
            return letter.settle(Outcome.FAILED, f"{answer['stage']}: {answer['failed']}")
        return letter_from_wire(letter, answer["letter"])

    def html(self, raw: bytes) -> str | None:
        """Return the mail's HTML, sanitised; None if it has none or cannot be made safe in time."""
        try:
            _, body = self.ask({"verb": "html"}, raw, tries=1)
        except ReaderDied:
            return None
        return body.decode() or None

    def cut(self, raw: bytes, attachment: Attachment) -> bytes:
        """Return the bytes of an attachment, unchecked.

        Raises:
            ReaderDied
        """
        return self.ask({"verb": "cut", "attachment": _row(attachment)}, raw)[1]

    def _watch_deadlines(self) -> None:
        while not self._closed.wait(WATCH_SECONDS):
            now = time.monotonic()
            for reader in list(self._all):
                if now > reader.deadline:
                    reader.process.kill()

    def close(self) -> None:
        self._closed.set()
        self._watch.join()
        for reader in list(self._all):
            self._retire(reader)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- the child's side ------------------------------------------------------------------------------------------------


def _confine(megabytes: int) -> None:
    """Give up what a reader never needs. Whatever the system has not is left out; the parent's clock stays."""
    try:
        import resource
    except ImportError:  # Windows
        return
    memory = megabytes << 20
    for name, limit in (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 64)):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (limit, limit))
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the parent's to answer, it ends us
        signal.signal(number, signal.SIG_IGN)
    _leave_the_network()


def _leave_the_network() -> None:
    """Move into an empty network name space (Linux); without the right to it, nothing happens."""
    import ctypes

    new_user, new_net = 0x10000000, 0x40000000
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(new_net):
            libc.unshare(new_user | new_net)


@contextlib.contextmanager
def _body(head: dict[str, Any], body: bytes) -> Iterator[bytes | mmap.mmap]:
    """Yield the raw mail: the body, or the named file mapped into memory."""
    if "path" not in head:
        yield body
        return
    with open(head["path"], "rb") as file:
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # unmapped with the last who knows it


def _answer_read(head: dict[str, Any], raw: bytes | mmap.mmap, stages: list[tuple[str, Callable[..., Letter]]]) -> dict[str, Any]:
    too_large = len(raw) > head["most"]
    place, read = Place(head["box"], head["key"]), raw[:HEAD] if too_large else raw
    letter = Letter(digest=head["digest"], place=place, size=len(raw), raw=read)
    for name, stage in stages:
        try:
            letter = stage(letter)
            if not isinstance(letter, Letter):
                raise TypeError(f"the stage returned {type(letter).__name__} instead of the letter")
        except Retry as retry:
            return {"retry": f"{name}: {retry.why}", "after": retry.after}
        except Exception as error:  # the stage's own defect: that letter alone fails
            return {"failed": f"{type(error).__name__}: {error}"[:500], "stage": name}
        if letter.ended:
            break
    if too_large:
        defect = f"larger than {head['most'] >> 20} MB: kept whole, but only its first {HEAD >> 20} MB were read"
        letter = letter.with_mail(defects=(*letter.mail.defects, defect))
    return {"letter": letter_to_wire(letter)}


def _answer(head: dict[str, Any], raw: bytes | mmap.mmap, stages: Any) -> tuple[dict[str, Any], bytes]:
    from . import mime, sanitise

    match head["verb"]:
        case "read":
            return _answer_read(head, raw, stages), b""
        case "html":
            html = mime.html_of(raw)
            return {}, sanitise.sanitise(html).encode() if html else b""
        case "cut":
            return {}, mime.part_bytes(raw, Attachment(*head["attachment"]))
    raise ValueError(f"unknown verb {head['verb']!r}")


def _own_stdout() -> IO[bytes]:
    """Keep standard output for frames alone: what a stage prints must not break the protocol."""
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return pipe


def main() -> None:
    """Answer frames on standard input until it ends."""
    seconds, megabytes, *names = sys.argv[1:]
    from . import stages

    pipe = _own_stdout()
    line = [(name, stages.load(name).function) for name in names]
    _confine(int(megabytes))
    # A parent that was killed cannot end a reader that spins: the system's own clock does (default action of SIGALRM).
    alarm = getattr(signal, "alarm", lambda seconds: None)
    while frame := _read(sys.stdin.buffer):
        alarm(int(float(seconds)) + 2)
        with _body(*frame) as raw:
            answer = _answer(frame[0], raw, line)
        alarm(0)
        _write(pipe, *answer)


if __name__ == "__main__":
    main()
