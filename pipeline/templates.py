"""The texts of what goes out, as the operator writes them: which file is for whom, and what a file may say.

A folder of the operator's own files: `acknowledgement.txt`, `reply.de.txt` and so on, those of a queue in a folder of its
name, saved replies in `replies`. rendering.py, and Jinja2 with it, is imported only where there is such a file.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .errors import NotFound, WrongTemplate

LARGEST = 64 << 10  # bytes of a file
NEAREST = 5  # names that are told for one that is unknown
ACKNOWLEDGEMENT, REPLY, SAVED = "acknowledgement", "reply", "saved reply"
REPLIES, EXAMPLES = "replies", "examples"  # folders that are no queue's
NAMES = (ACKNOWLEDGEMENT, REPLY)
RESERVED = ("notification",)
SUFFIXES = (".txt", ".html")

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_FIRST_TAG = re.compile(r"\s{0,9}([A-Za-z]{2,3})(?![A-Za-z])")
_SAYS_LANGUAGE = ("content-language", "accept-language")  # RFC 3282
_NAME = re.compile(r"[^\W_][\w +&-]{0,59}")  # without a dot: what follows one is the language
_FOLDER = re.compile(r"[^\W_](?:[\w .+&-]{0,58}[\w+&-])?")

# What a template may name, its meaning, a sample, and in which it stands.
VARIABLES = {
    "text": ("the agent's words; a reply must say them", "Please turn it off and on again.", (REPLY,)),
    "marker": ("the line above which an answer is written", "## Reply above this line ##", (REPLY,)),
    "quote": ("the customer's last mail, quoted, or nothing", "On Sunday, Ann wrote:\n> It does not print.", (REPLY,)),
    "signature": ("the signature of the queue, or nothing", "Kind regards\nSupport", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "ticket.number": ("the number, like TICKET-001", "TICKET-001", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "ticket.subject": ("the subject; not of a stranger's ticket", "Printer", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "queue": ("the name of the queue", "support", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "desk.name": ("the name of the desk or of the queue's sender", "Support", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "desk.address": ("the address where answers are read", "support@example.org", (ACKNOWLEDGEMENT, REPLY, SAVED)),
    "agent.name": ("the name of the agent who answers, or nothing", "Gus", (REPLY, SAVED)),
    "customer.name": ("the name of the requester, or nothing", "Ann Archer", (REPLY, SAVED)),
}


class Entry(NamedTuple):
    """A file of the folder: what it is for; `name` is that of a template or of a saved reply."""

    path: Path
    name: str
    language: str | None
    queue: str | None
    is_saved: bool

    @property
    def kind(self) -> str:
        return SAVED if self.is_saved else self.name

    @property
    def is_html(self) -> bool:
        return self.path.suffix == ".html"


class Templates:
    """The folder of templates and saved replies; where it is not there, there are none."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.home = home

    # -- which file ------------------------------------------------------------------------------------------------------

    def find(self, name: str, queue: str, languages: Iterable[str] = (), general: bool = True) -> Path | None:
        """Return the file of a template: the queue's in a language, the queue's, then (`general`) those of all queues."""
        stems = [*(f"{name}.{language}" for language in languages), name]
        folders = [self.root / queue] if is_folder(queue) else []
        folders += [self.root] if general else []
        return next((path for folder in folders for stem in stems if _is_there(path := folder / f"{stem}.txt")), None)

    def find_saved(self, name: str, queue: str, languages: Iterable[str] = ()) -> Path:
        """Return the file of a saved reply.

        Raises:
            NotFound: with the names that are nearest.
        """
        found = self.find(f"{REPLIES}/{name}", queue, languages) if _NAME.fullmatch(name) else None
        if found is None:
            raise NotFound(f"There is no saved reply {name!r} here.", self._hint(name))
        return found

    def _hint(self, name: str) -> str:
        names = sorted({entry.name for entry in self.saved()})
        near = difflib.get_close_matches(name[:60], names, NEAREST, 0.4) or names[:NEAREST]
        shown = f"Perhaps {', '.join(near)}? " if near else ""
        return f"{shown}`helpdesk replies list` shows them all."

    def entries(self) -> Iterator[Entry]:
        """Yield every file that may be a template, those of all queues first."""
        yield from self._of_folder(self.root, None)
        for folder in _sorted(self.root):
            if folder.is_dir() and folder.name.casefold() not in (REPLIES, EXAMPLES):
                yield from self._of_folder(folder, folder.name)

    def _of_folder(self, folder: Path, queue: str | None) -> Iterator[Entry]:
        for place, is_saved in ((folder, False), (folder / REPLIES, True)):
            for path in _sorted(place):
                if path.suffix in SUFFIXES:
                    name, _, language = path.stem.partition(".")
                    yield Entry(path, name, language or None, queue, is_saved)

    def saved(self) -> list[Entry]:
        """Return the saved replies, by name."""
        found = (entry for entry in self.entries() if entry.is_saved and not entry.is_html and not misplaced(entry))
        return sorted(found, key=lambda entry: (entry.name.casefold(), entry.queue or "", entry.language or ""))

    # -- what it says ------------------------------------------------------------------------------------------------------

    def shown(self, path: Path) -> str:
        """Name a file as the operator would."""
        return str(path.relative_to(self.home) if path.is_relative_to(self.home) else path)

    def source(self, path: Path) -> str:
        """Read a file.

        Raises:
            WrongTemplate: it cannot be read, is too large or is no UTF-8.
        """
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would be to wait for ever
                raise WrongTemplate(self.shown(path), 0, "it is no file")
            with path.open("rb") as file:
                raw = file.read(LARGEST + 1)
            if len(raw) > LARGEST:
                raise WrongTemplate(self.shown(path), 0, f"it is larger than {LARGEST >> 10} KB")
            return raw.decode("utf-8-sig").replace("\r\n", "\n")
        except OSError as error:
            raise WrongTemplate(self.shown(path), 0, f"it cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise WrongTemplate(self.shown(path), line, "it is not in UTF-8") from error

    def render(self, path: Path, values: Mapping[str, Any], must_say: str = "") -> str:
        """Render a file with values by their dotted names; what it says ends without blank lines.

        Raises:
            WrongTemplate: it cannot be read, has an error, or does not say the words that it must say.
        """
        from .rendering import LONGEST, render

        source = self.source(path)
        long = next((name for name, value in values.items() if len(value) > LONGEST), None)
        if long is not None:
            raise WrongTemplate(self.shown(path), 0, f"`{long}` is longer than {LONGEST} characters")
        said = render(source, _nested(values), self.shown(path), path.suffix == ".html").strip("\n")
        if " ".join(must_say.split()) not in " ".join(said.split()):
            raise WrongTemplate(self.shown(path), 0, "it does not say `{{ text }}`, the agent's words")
        return said

    # -- what is wrong -----------------------------------------------------------------------------------------------------

    def wrong(self, queues: Iterable[str]) -> Iterator[WrongTemplate]:
        """Yield what is wrong with each file: its place, or what it says of sample values."""
        known = tuple(queues)
        for entry in self.entries():
            why = misplaced(entry, known)
            if why:
                yield WrongTemplate(self.shown(entry.path), 0, why)
                continue
            try:
                for values in samples(entry.kind):
                    self.render(entry.path, values, values.get("text", ""))
            except WrongTemplate as error:
                yield error


def misplaced(entry: Entry, queues: Iterable[str] | None = None) -> str:
    """Say why a file will never be used where it is; "" where it will."""
    names = ", ".join(NAMES)
    if entry.queue is not None and queues is not None and entry.queue not in queues:
        return f"there is no queue {entry.queue!r}"
    if entry.language is not None and not (LANGUAGE.fullmatch(entry.language) and entry.language in languages(entry.language)):
        return f"{entry.language!r} is no language, like `de` or `pt-BR`"
    if entry.is_html and entry.kind != REPLY:
        return f"only `{REPLY}` has HTML"
    if entry.is_html and not _is_there(entry.path.with_suffix(".txt")):
        return "it is not used: no .txt of the same name stands beside it"
    if entry.is_saved:
        return "" if _NAME.fullmatch(entry.name) else "the name of a saved reply is letters, digits, blanks and -_+&"
    if entry.name in RESERVED:
        return f"`{entry.name}` is reserved, and not used yet"
    return "" if entry.name in NAMES else f"there is no template {entry.name!r}, only {names}"


def samples(kind: str) -> Iterator[dict[str, str]]:
    """Yield values to try a template with: all that it may name, and for an acknowledgement those for a stranger."""
    values = {name: sample for name, (_, sample, kinds) in VARIABLES.items() if kind in kinds}
    yield values
    if kind == ACKNOWLEDGEMENT:
        yield {name: value for name, value in values.items() if name != "ticket.subject"}


def is_folder(queue: str) -> bool:
    """Can a queue have a folder of its name? It may be called anything, `../..` too."""
    return bool(_FOLDER.fullmatch(queue)) and queue.casefold() not in (REPLIES, EXAMPLES)


def languages(named: str) -> tuple[str, ...]:
    """Return the languages to look for where one is named: `pt-BR` (as RFC 5646, 2.1.1 writes it), then `pt`."""
    primary, *rest = named.split("-")
    whole = "-".join([primary.lower(), *(part.upper() if len(part) == 2 else part for part in rest)])
    return tuple(dict.fromkeys((whole, primary.lower())))


def language_of(headers: Iterable[tuple[str, str]]) -> str:
    """Return the language that a mail says it is in, else the first that its writer reads: two or three letters, or ""."""
    named: dict[str, str] = {}
    for name, value in headers:
        if name.lower() in _SAYS_LANGUAGE:
            named.setdefault(name.lower(), value)
    tags = (_FIRST_TAG.match(named.get(name, "")) for name in _SAYS_LANGUAGE)
    return next((tag[1].lower() for tag in tags if tag), "")


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make `ticket.number` the number of a ticket."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        group, dot, inner = name.partition(".")
        if dot:
            nested.setdefault(group, {})[inner] = value
        else:
            nested[name] = value
    return nested


def _is_there(path: Path) -> bool:
    """Is there anything of this name? What cannot be looked at is there, and an error when it is read."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
