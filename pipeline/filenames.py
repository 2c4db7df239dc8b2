"""File names that came in a mail, made fit for a folder: no path, no control character, no name of a device."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections import defaultdict
from pathlib import Path

LONGEST = 180  # bytes: below the 255 of most file systems, with room for ` (12)` and for the path on Windows
LONGEST_SUFFIX = 20
LONGEST_READ = 4_000  # characters of a name that are looked at
UNFIT = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Cn", "Co"))  # control, format (bidi), separators, surrogates, unassigned
NOT_ON_WINDOWS = str.maketrans(dict.fromkeys('<>:"|?*', "_"))
# Devices, with any suffix and in any letter case (learn.microsoft.com, Naming Files, Paths, and Namespaces).
DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|$)", re.IGNORECASE)
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | os.O_WRONLY | os.O_CREAT | os.O_EXCL


def safe_name(name: str, otherwise: str) -> str:
    """Return a file name to use below a folder; `otherwise` where nothing of the name is left."""
    text = unicodedata.normalize("NFC", name[:LONGEST_READ])
    text = "".join(char for char in text if unicodedata.category(char) not in UNFIT)
    parts = [part.strip() for part in re.split(r"[/\\]", text)]
    text = "_".join(part for part in parts if part.strip(". ")).translate(NOT_ON_WINDOWS)
    text = _shortened(text.lstrip(". ")).rstrip(". ")  # hidden files; Windows drops dots and blanks at the end
    if DEVICE.match(text) or text.startswith(("-", "~")):  # `rm *` would take the first for an option
        text = f"_{text}"
    return text or otherwise


def _shortened(name: str) -> str:
    """Cut a name to its length in bytes; its suffix stays."""
    if len(name.encode()) <= LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > LONGEST_SUFFIX:
        stem, suffix = name, ""
    end = f"{dot}{suffix}" if suffix else ""
    return stem.encode()[: LONGEST - len(end.encode())].decode(errors="ignore") + end


class Folder:
    """A folder into which new files go, none over another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next: dict[str, int] = defaultdict(lambda: 1)  # of each name: the number to try

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the owner's alone: `a.pdf`, or where that is taken `a (2).pdf` and so on. Return its path.

        Raises:
            OSError: it cannot be written; nothing of it stays.
        """
        path, handle = self._create(name)
        try:
            with open(handle, "wb") as file:
                file.write(content)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path

    def _create(self, name: str) -> tuple[Path, int]:
        stem, dot, suffix = name.rpartition(".")
        stem, end = (stem, dot + suffix) if stem else (name, "")
        while True:
            number = self._next[name]
            self._next[name] += 1
            path = self.path / (name if number == 1 else f"{stem} ({number}){end}")
            with contextlib.suppress(FileExistsError):
                return path, os.open(path, FLAGS, 0o600)
