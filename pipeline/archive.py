"""Mails in files of any kind: .eml files, Maildir folders, mbox files; a whole tree in the order of names, mail by mail."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from .errors import InputError

LONGEST = 100 << 20  # bytes of a mail in an mbox that are kept
HEAD = 4096  # bytes of a file by which it is known
LINE = 64 * 1024  # bytes that are read at once where a file has no line ends

_POSTMARK = re.compile(rb"From .{0,200}\b\d{4}\b")  # RFC 4155, appendix A; the address may be missing
_QUOTED = re.compile(rb">+From ")  # as mboxrd writes a line that begins with From
_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:>?From [^\n]*\n)?[!-9;-~]{2,60}[ \t]*:")
_MAIL_NAMES = (".eml", ".msg.eml", ".mail")
_OF_MAILDIR = ("cur", "new")


class Item(NamedTuple):
    """A mail: its name below the folder, and its bytes or the file that holds nothing else."""

    name: str
    path: Path
    raw: bytes | None = None


def items(root: Path) -> Iterator[Item]:
    """Yield the mails of a file or of a folder and the folders in it. What is no mail is left out.

    Raises:
        InputError: the file or folder cannot be read.
    """
    try:
        files = [root] if root.is_file() else _files(root)
        for path in files:
            yield from _mails(path, _name(path, root))
    except OSError as error:
        raise InputError(f"{error.filename or root} cannot be read: {error.strerror}.") from error


def _files(root: Path) -> Iterator[Path]:
    """Walk down by name; tmp/ of a Maildir holds what is still being delivered, and links may lead round in circles."""
    with os.scandir(root) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    is_maildir = {"cur", "new"} <= {entry.name for entry in found if entry.is_dir(follow_symlinks=False)}
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if not (is_maildir and entry.name == "tmp"):
                yield from _below(Path(entry.path))
        elif entry.is_file():
            yield Path(entry.path)


def _below(folder: Path) -> Iterator[Path]:
    """Walk on; a folder that cannot be listed is passed on like a file that cannot be read."""
    try:
        yield from _files(folder)
    except OSError:
        yield folder


def _name(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _mails(path: Path, name: str) -> Iterator[Item]:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if _POSTMARK.match(head) and path.parent.name not in _OF_MAILDIR:
                file.seek(0)
                yield from _of_mbox(file, path, name)
                return
    except OSError:  # it has a name and cannot be read: whoever reads it says so
        yield Item(name, path)
        return
    if path.suffix.lower() in _MAIL_NAMES or path.parent.name in _OF_MAILDIR or (_HEADER.match(head) and path.name[0] != "."):
        yield Item(name, path)


def _of_mbox(file: IO[bytes], path: Path, name: str) -> Iterator[Item]:
    """Split at the postmarks behind blank lines; a file with one mail only keeps its name."""
    mails = _split(file)
    first, second = next(mails, b""), next(mails, None)
    if second is None:
        yield Item(name, path, first)
        return
    for number, raw in enumerate((first, second)):
        yield Item(f"{name}#{number + 1}", path, raw)
    for number, raw in enumerate(mails, 3):
        yield Item(f"{name}#{number}", path, raw)


def _split(file: IO[bytes]) -> Iterator[bytes]:
    lines: list[bytes] = []
    size, blank = 0, True
    file.readline(LINE)  # the first postmark
    while line := file.readline(LINE):
        if blank and _POSTMARK.match(line):
            yield b"".join(lines)
            lines, size = [], 0
        elif size < LONGEST:
            lines.append(line[1:] if _QUOTED.match(line) else line)
            size += len(line)
        blank = not line.strip()
    yield b"".join(lines)
