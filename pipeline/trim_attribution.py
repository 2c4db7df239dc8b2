"""The lines that say who wrote what is quoted below: "On 22 Nov 2026, Ann wrote:", in whatever language and order.

A known verb makes one, or no verb at all: a date, a clock and an address in the order that programs write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from pipeline import trim_tables as tables

__all__ = ["attribution", "attribution_above", "is_quote", "may_attribute", "split_off", "visible"]

LINE = 600  # characters: a longer line is prose, and no pattern is tried on it
LINES = 6  # that one attribution may take
SPLITS = 3  # of one line that are looked at
VERBS = 4  # of one candidate that are looked at, from its end
NAME_WORDS = 8
STRUCTURE_WORDS = 16

COLONS = (":", "：")
ENDS = (*COLONS, "*", "-", "_")  # of an attribution's last line
_MARKS = f"{tables.DASHES}> "
_QUOTE = re.compile(r"\s{0,3}[>＞](?!From )")  # mailboxes write >From for a line that begins with From
_DECORATED = re.compile(r"(?=\s*>>)[>\s]*+[^<>]*+<{2,}\s*")  # >>> look here <<<
_EARLY = re.compile(r"(?:[^\s\d]+\s+){0,3}[^\s\d]{0,4}\d")
_STAMP = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
_ADDRESS_LAST = re.compile(r"[<(\[]\s*[^\s<>()@]{1,80}@[\w.-]{1,80}[^<>]{0,90}[>)\]]+\W{0,6}(?:[^\W\d]{1,14}\W{1,4}){0,3}\Z")
_BARE_LAST = re.compile(r"\s[^\s<>()@]{1,80}@[\w.-]{1,80}\W{1,3}\Z")
_NAME_FIRST = re.compile(r"[^<>@:]{0,60}[<(]\s*[^\s<>()@]{1,80}@[\w.-]{1,80}\s*[>)]\W*[^<>@]{0,70}\Z")
_PERSON = re.compile(r"[^<>@]{0,60}<\s*[^\s<>()@]{1,80}@[\w.-]{1,80}\s*>")
_GROUPWISE = re.compile(r">>> .{3,120}\d{2,4}.{0,14} >>>\s*")
_MID_LINE = re.compile(r"(?<![\s\-–—])[\s\-–—]+(?=(?:On|Am|Le|El|Em|Il|Op|Den|Dne|Dnia|At) (?:[^\W\d]{1,12}[.,]{0,2} )?\d?)")
_YOU = frozenset(("you", "вы", "sie"))


def visible(line: str) -> str:
    """Return the head of a line without the marks that set the direction of script; never empty."""
    head = line[:LINE]
    if not head.isascii() and tables.SOME_INVISIBLE.search(head):
        head = head.translate(tables.INVISIBLE)
    return head.strip() or " "


def is_quote(line: str) -> bool:
    """Say whether a line is marked as quoted; GroupWise's heading and `>>> look here <<<` are not."""
    if not _QUOTE.match(line):
        return False
    head = line[:LINE]
    return not ((">>>" in head and _GROUPWISE.fullmatch(head)) or ("<" in line[-9:] and _DECORATED.fullmatch(head)))


def may_attribute(line: str) -> bool:
    """Say whether a visible line may be, or begin, one that says who wrote what is quoted."""
    first = line.lstrip(_MARKS)
    return first[-1:] in ENDS or _opens(first)


def attribution(lines: Sequence[str], at: int) -> tuple[int, bool]:
    """Return how many lines at this place say who wrote what is quoted (0: none), and whether that is sure without a quote."""
    first = visible(lines[at]).lstrip(_MARKS)
    opens = _opens(first)
    if not opens and first[-1:] not in ENDS:
        return 0, False
    if lines[at].startswith(">>>") and _GROUPWISE.fullmatch(lines[at][:LINE]):
        return 1, True
    joined, weak = "", (0, False)
    for count, line in enumerate(_candidate(lines, at, LINES if opens else 1), 1):
        joined = f"{joined} {line}".strip()
        quoted = any(map(is_quote, lines[at + count : at + count + 2]))
        verdict = judge(joined) if quoted or line[-1] in ENDS or _ends_with_verb(line) else None
        if verdict:
            return count, True
        if verdict is not None and not weak[0]:
            weak = count, False
        if len(joined) > LINE or joined.endswith(COLONS):
            break
    return weak


def _candidate(lines: Sequence[str], at: int, most: int) -> list[str]:
    """Return the lines that may be one attribution that a program broke; a blank one may stand before its address."""
    first = visible(lines[at]).lstrip(_MARKS)
    dated = most > 1 and _is_dated(first)
    found = [visible(lines[at])]
    for number in range(at + 1, min(at + most, len(lines))):
        line = visible(lines[number])
        anew = line[:5] == first[:5] or (dated and (_STAMP.match(line) or (line[:1].isupper() and _is_dated(line))))
        if anew or tables.RULE.fullmatch(line):
            break
        if line == " " and "<" not in "".join(lines[number + 1 : number + 2])[:9] and found[-1] not in ("<", " "):
            break
        found.append(line)
    return found


def _ends_with_verb(line: str) -> bool:
    return bool(tables.WROTE.fullmatch(line[line.rfind(" ") + 1 :]))


def attribution_above(above: list[str]) -> int:
    """Return how many lines at the end of these, right above a quote, say who wrote it; blank ones below them count."""
    end = len(above)
    while end and not above[end - 1].strip():
        end -= 1
    joined = ""
    for count in range(1, min(end, 4) + 1):
        line = visible(above[end - count])
        joined = f"{line} {joined}".strip()
        if line == " " or joined[-1] not in ENDS or len(joined) > LINE:
            return 0
        if judge(joined):
            return len(above) - end + count
    return 0


def split_off(line: str) -> str:
    """Return the words before an attribution that begins in mid-line, or ""."""
    for found in islice(_MID_LINE.finditer(line[:LINE]), SPLITS):
        words, rest = line[: found.start()], line[found.end() :]
        if found.start() and not re.search(r"[\d@:]", words) and judge(rest):
            return words
    return ""


def _opens(line: str) -> bool:
    """Say whether an attribution may begin here: when it was, early in the line, or somebody's address."""
    if line[-1:] == "<" or (">" in line and _PERSON.match(line)):
        return True
    return ("@" in line or bool(tables.OPENER.match(line))) and bool(tables.WHEN.search(line))


def _is_dated(line: str) -> bool:
    return bool(tables.OPENER.match(line) and tables.WHEN.search(line))


def judge(text: str) -> bool | None:
    """Judge one candidate: None is no attribution, False needs a quote below, True is sure."""
    bare = text.strip(_MARKS)
    dashed = text[:2].strip(tables.DASHES) == "" and text[-2:].strip(tables.DASHES) == ""
    ends = dashed or bare.endswith(COLONS)
    address, date, clock = (bool(pattern.search(bare)) for pattern in (tables.ADDRESS, tables.DATE, tables.CLOCK))
    early = bool(tables.OPENER.match(bare))
    verb = _verb(bare, address)
    quotes = bool(tables.QUOTING.match(bare))
    when = date or clock
    if verb and (ends or (early and date and address)) and (address or dashed or (early and when) or (date and clock)):
        return True
    if ends and ((address and quotes) or (date and _is_structured(bare, clock))):
        return True
    looks = early and date and len(bare.split()) <= STRUCTURE_WORDS and (address or (clock and ends))
    said = (ends or when) and tables.WROTE.search(bare)
    return False if looks or said or (quotes and (ends or date)) else None


def _verb(bare: str, address: bool) -> bool:
    """Say whether somebody wrote: the verb ends the text, or what follows it is a name or a date."""
    for found in list(tables.WROTE.pattern.finditer(tables.small(bare)))[-VERBS:]:
        tail = bare[found.end() :].strip(" :：()")
        if not tail or not tail.strip(f"{_MARKS}.,»›\"'|"):
            if address or _names(bare[: found.start()]):
                return True
            continue
        words = len(tail.split())
        if words <= NAME_WORDS + 4 and tables.DATE.search(tail):
            return True
        follows = tables.ADDRESS.search(tail) or not tail[:1].islower()
        if words <= NAME_WORDS and follows and tables.WROTE_BY.fullmatch(found[0]):
            return True
    return False


def _names(text: str) -> bool:
    """Say whether a text ends as a name does: not with a word in small letters, "you" apart."""
    words = text.split()[-1:] or [""]
    last = words[0].strip(".,;:'\"»”“„()")
    return bool(last) and (not last[0].islower() or last in _YOU)


def _is_structured(bare: str, clock: bool) -> bool:
    """Say whether date, clock and address stand as programs order them, whatever the language."""
    if not clock or len(bare.split()) > STRUCTURE_WORDS:
        return False
    last = _EARLY.match(bare) and (_ADDRESS_LAST.search(bare) or _BARE_LAST.search(bare))
    return bool(last or _NAME_FIRST.match(bare))
