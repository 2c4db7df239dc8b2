"""Regular expressions for hostile text: RE2 finds in linear time what it finds, whatever the pattern (google-re2).

The operator writes the pattern, a stranger the text, and both meet inside the transaction: the standard library's `re` could be
kept there for hours by one mail. A time limit would make the answer depend on how busy the machine is.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any, Protocol

SEARCHED = 20_000  # characters of a text that are searched
PROGRAM = 3_000  # instructions: each may cost a step for each character
MEMORY = 8 << 20  # bytes that a pattern may use

_ASCII_ONLY = re.compile(r"\\[bBwW]")
_NOT_HERE = {
    "invalid perl operator": "look-ahead and look-behind are not known here",
    "invalid escape sequence": "such an escape is not known here (nor are back-references)",
    "pattern too large": "it is too large; make its repetitions smaller",
}


class Found(Protocol):
    """What a pattern found."""

    def group(self, number: int, /) -> str | None:
        """Return a group's text."""


class Pattern(Protocol):
    """A pattern that can be searched for."""

    groups: int

    def search(self, text: str, /) -> Found | None:
        """Return the first place where it holds."""


@cache
def _engine() -> Any:
    # Imported only where a rule uses a pattern; there are no wheels of it for musl.
    return importlib.import_module("re2")


def compiled(pattern: str) -> Pattern:
    """Compile a pattern, for any letter case; ValueError says in a sentence what is wrong with it.

    The syntax is RE2's: as in Python, without look-around and back-references, and `\\w` and `\\b` know only ASCII.
    """
    try:
        re2 = _engine()
    except ImportError:
        raise ValueError("patterns need the package google-re2: pip install google-re2") from None
    if not pattern.isascii() and _ASCII_ONLY.search(pattern):
        raise ValueError(r"`\b` and `\w` know only a to z here: use `word`, or `\pL` for a letter of any language")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MEMORY
    try:
        made = re2.compile(pattern, options=options)
    except re2.error as error:
        raise ValueError(_sentence(error)) from None
    if made.programsize > PROGRAM:
        raise ValueError(_NOT_HERE["pattern too large"])
    found: Pattern = made
    return found


def _sentence(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    said = re.sub(r"[\0-\x1f\x7f]", "?", said)
    return next((f"{mend} ({said})" for start, mend in _NOT_HERE.items() if said.startswith(start)), said)
