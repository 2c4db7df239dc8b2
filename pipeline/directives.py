"""What the first lines of an agent's answer order: `#note`, `#close`, `#assign bob`, `#tag x`; pure reading, nothing is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from .errors import UsageError

MOST = 10  # such lines; what follows is text
LONGEST_ARGUMENT = 200  # characters
_LINE = re.compile(r"\s*#([^\W\d_]\w{0,39})(?:[ \t:]+(.*))?\s*")  # `#123` is a number of something, and text
_TAG = re.compile(r"[+-]?\w[\w.:/&-]{0,49}")


@dataclass(frozen=True)
class Directives:
    """What an answer orders beside its words."""

    note: bool = False
    close: bool = False
    assign: str | None = None
    tags: tuple[str, ...] = ()  # `-x`: to be taken away
    text: str = ""  # the words, without the lines above


def read(text: str) -> Directives:
    """Read the directives that an answer begins with, and the words behind them.

    Raises:
        UsageError: a line begins like one and is none, or says too little: nobody may guess what was meant.
    """
    lines, found, count = text.lstrip().split("\n"), Directives(), 0
    while lines and count < MOST:
        line = _LINE.fullmatch(lines[0])
        if line is None and lines[0].strip():
            break
        lines.pop(0)
        if line:
            found, count = _with(found, line[1].lower(), (line[2] or "").strip()[:LONGEST_ARGUMENT], lines), count + 1
    return replace(found, text="\n".join(lines).strip())


def _with(found: Directives, word: str, argument: str, rest: list[str]) -> Directives:
    meant = MEANINGS.get(word)
    if meant is None:
        known = ", ".join(f"#{one}" for one in MEANINGS)
        raise UsageError(f"#{word} is none of {known}.")
    return meant(found, argument, rest)


def _note(found: Directives, argument: str, rest: list[str]) -> Directives:
    if argument:  # `#note please call him` begins the note
        rest.insert(0, argument)
        if _LINE.fullmatch(argument):
            raise UsageError("#note is followed by another directive on its line.")
    return replace(found, note=True)


def _close(found: Directives, argument: str, rest: list[str]) -> Directives:
    if argument:
        raise UsageError("#close stands alone on its line.")
    return replace(found, close=True)


def _assign(found: Directives, argument: str, rest: list[str]) -> Directives:
    if not argument:
        raise UsageError("#assign does not say to whom.", "`#assign bob`, `#assign me`, `#assign nobody`.")
    return replace(found, assign=argument)


def _tag(found: Directives, argument: str, rest: list[str]) -> Directives:
    names = [name for name in re.split(r"[\s,]+", argument) if name]
    wrong = next((name for name in names if not _TAG.fullmatch(name)), None)
    if wrong or not names:
        raise UsageError(f"{wrong!r} is no tag." if wrong else "#tag does not say which.", "`#tag urgent, -waiting`.")
    return replace(found, tags=(*found.tags, *(name.removeprefix("+") for name in names)))


MEANINGS: dict[str, Callable[[Directives, str, list[str]], Directives]] = {
    "note": _note,
    "close": _close,
    "assign": _assign,
    "tag": _tag,
}
