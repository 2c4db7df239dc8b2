"""What makes two mails the same mail: id, sender, date and content, whatever route and encoding they came by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

IDENTITY_VERSION = 1


class Content(NamedTuple):
    """One decoded leaf part, reduced to what transport does not change."""

    content_type: str
    filename: str | None
    digest: bytes


def of_text(text: str) -> bytes:
    """Digest text by its words: white space, line ends and charset do not matter."""
    return hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).digest()


def of_lines(data: bytes) -> bytes:
    """Digest other text: line ends do not matter, nor blank lines that a mailbox format adds at its end."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")).digest()


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
