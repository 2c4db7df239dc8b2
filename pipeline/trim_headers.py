"""The header lines of another mail, as Outlook and others put them above what they quote, in every language of the tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pipeline import trim_tables as tables
from pipeline.trim_attribution import visible

__all__ = ["HeaderLines"]

BLOCK_LINES = 16  # in which the lines of one block are looked for
FOREIGN_LINES = 2  # between them: a value that was broken
LABEL = 40  # characters

_SEPARATOR = re.compile(r"[:：|]")
_ORNAMENT = " \t*_>|#"
_LABELLED = re.compile(r"[^\W\d][\w .'’()/-]{0,24}\s?[:：]\s*\S")
_PERSON = re.compile(r"<[^\s<>@]+@|\[mailto:", re.IGNORECASE)
_DIGIT = re.compile(r"\d")


class Header(NamedTuple):
    """What a header line tells."""

    kind: str
    address: bool  # does it name somebody's address?
    dated: bool


class HeaderLines:
    """Know the header lines among the lines of a mail; each is read once."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self._read: dict[int, Header | None] = {}

    def at(self, number: int) -> Header | None:
        """Return what the header line here tells, if it is one."""
        if number not in self._read:
            self._read[number] = _header(visible(self.lines[number]))
        return self._read[number]

    def begin(self, at: int) -> bool:
        """Say whether a block of them begins here, of a mail that somebody answers or forwards."""
        if self.at(at) is None:
            return self._begin_below_rule(at)
        found = self._kinds(at)
        order = list(found)
        dated = "sent" in found and found["sent"].dated
        address = any(header.address for header in found.values())
        if len(found) < 2 or not (address or dated):
            return False
        if len(found) > 2 and "from" in found:
            return "subject" in found or address or order[:2] == ["from", "sent"]
        return address and dated and order[0] in ("from", "sent")

    def _kinds(self, at: int) -> dict[str, Header]:
        """Return the first header of each kind from here on, in order."""
        found: dict[str, Header] = {}
        foreign = 0
        for number in range(at, min(at + BLOCK_LINES, len(self.lines))):
            header = self.at(number)
            foreign = 0 if header else foreign + bool(self.lines[number].strip())
            if foreign > FOREIGN_LINES or (foreign and not self.lines[number - 1].strip()):
                break  # a value that was broken stands right below its label
            if header and (header.kind not in found or header.address or header.dated):
                found[header.kind] = header
        return found

    def _begin_below_rule(self, at: int) -> bool:
        """Know a block of a language without a row: below a rule, four lines with labels that name a person and a time."""
        if "@" not in self.lines[at] and "@" not in "".join(self.lines[at + 1 : at + 2]):
            return False
        above = next((line for line in reversed(self.lines[max(0, at - 2) : at]) if line.strip()), "")
        if not tables.RULE.fullmatch(visible(above)):
            return False
        block = [visible(line).lstrip(_ORNAMENT) for line in self.lines[at : at + 4]]
        if len(block) < 4 or not all(map(_LABELLED.match, block)):
            return False
        return any(map(_PERSON.search, block[:2])) and any(map(tables.DATE.search, block[:3]))


def _header(line: str) -> Header | None:
    text = line.lstrip(_ORNAMENT)
    separator = _SEPARATOR.search(text[:LABEL])
    kind = tables.LABELS.get(tables.label(text[: separator.start()].rstrip(_ORNAMENT))) if separator else None
    if separator is None or kind is None:
        return None
    value = text[separator.end() :]
    return Header(
        kind,
        kind in ("from", "to") and "@" in value,
        kind == "sent" and bool(_DIGIT.search(value)),
    )
