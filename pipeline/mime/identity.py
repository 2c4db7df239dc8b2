"""What makes two mails the same mail: id, sender, date and content, whatever route and encoding they came by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

IDENTITY_VERSION = 1
BLANK_AT_ONCE = 1 << 16


class Content(NamedTuple):
    """One decoded leaf part, reduced to what transport does not change."""

    content_type: str
    filename: str | None
    digest: bytes


def of_text(text: str) -> bytes:
    """Digest text by its words: white space, line ends and charset do not matter."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).digest()


class Lines:
    """Digest other text piece by piece: line ends do not matter, nor blank lines that a mailbox format adds at its end."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._blank = 0  # line ends that may be the last ones
        self._half = False  # did the piece before end within a CRLF?

    def update(self, piece: bytes) -> None:
        if self._half:
            piece = b"\r" + piece
        self._half = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece[: len(piece) - self._half].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        said = piece.rstrip(b"\n")
        if said:
            self._write_blank()
            self._digest.update(said)
        self._blank += len(piece) - len(said)

    def _write_blank(self) -> None:
        while self._blank:
            count = min(self._blank, BLANK_AT_ONCE)
            self._digest.update(b"\n" * count)
            self._blank -= count

    def digest(self) -> bytes:
        """Return the digest; what was held back was at the end, and is left out."""
        return self._digest.digest()


def identity(message_id: str | None, author: str, date: str, subject: str, contents: Iterable[Content]) -> str:
    """Digest Message-ID, From, Date, subject and every leaf part; trace headers are not asked."""
    digest = hashlib.sha256()
    for value in (f"v{IDENTITY_VERSION}", message_id or "", author, date, " ".join(subject.split())):
        _add(digest, value.encode("utf-8", "replace"))
    for content in contents:
        _add(digest, f"{content.content_type}\n{content.filename or ''}".encode("utf-8", "replace"))
        _add(digest, content.digest)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, value: bytes) -> None:
    digest.update(len(value).to_bytes(8, "big") + value)  # a length before each: no two lists read alike
