"""The original in a forwarded mail: who wrote it, when, about what, and its text. Whole lines, in linear time, never raising.

A helpdesk is sent a customer's mail by a colleague: the outermost forward counts, and its text keeps what is nested below.
An address is taken from nowhere but the line that names the author.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline import trim_tables as tables
from pipeline.letter import Address, Mail, Original
from pipeline.mime import fields
from pipeline.mime import forwarded_tables as words
from pipeline.mime.addresses import addresses
from pipeline.mime.words import decode_words

LINES = 20_000  # in which a forward is looked for
LINE = 1_000  # characters of a line that are looked at; the text keeps them all
BLOCK_LINES = 60  # of one header block, with its folded lines
BELOW = 6  # lines between a marker and its header block: blank, or a rule
AHEAD = 3  # lines in which the next header is looked for, where one seems to go on
GAP = 2  # blank lines between headers that were paragraphs
FOLDED = 50  # characters: a shorter subject is not folded, what stands below it is text
COLONS = 24  # that are tried where headers run together on one line
LABEL = 24  # characters of a header's name
DATE = 200  # characters

_QUOTES = re.compile(r"(?:\s{0,3}[>＞](?!From ))+")  # mailboxes write >From for a line that begins with From
_SPACE = re.compile(r"\s+")
_RULE = re.compile(r"(?:[-_=*~–—─]\s?){3,}")
_DASH = "-_=*~─<"
_DASHES = f"{_DASH}>8"  # scissors among them
_COLONS = (":", "：")
_PART = r"[^\s<>()\[\]@,;:\"'*/]{1,128}@[^\s<>()\[\]@,;:\"'*/]{1,255}"
_BRACKETED = re.compile(rf"[<(\[]\s?(?:mailto:)?({_PART})", re.IGNORECASE)
_BARE = re.compile(rf"({_PART}\.\w{{2,}})")
_BRACKET = re.compile(r"[<\[]")
_ABOUT_NAMES = " \t\"'«»„”“‚‘’*,;:()[]<>"
_NO_NAMES = re.compile(r"(?:[AP]\.?M|Uhr|GMT\S*|UTC\S*|[A-Z]{2,4}T|[A-Z]{3,4}(?=,))\b[.,]?\s")  # between the time and the name
_TELLING = frozenset(("from", "sent", "to", "subject"))  # kinds of headers
_MANY = ("cc", "other")  # of which a block may have several
_UNKNOWN = re.compile(r"[^\W\d_][^:：<>@,]{1,30}[:：](?: |(?<=：))")
_INDENT = "    "  # with which Outlook marks what it quotes


def inline_original(text: str, forwarded: bool | None = None) -> tuple[str, Original] | None:
    """Return what the forwarder wrote around an original, and the original; None where the text forwards nothing.

    `forwarded` is what the subject says. A marker such as "Forwarded message" always counts; a bare header block (From, Sent,
    To, Subject) does in a forward, or where the subject says nothing and no word stands above it.
    """
    page = _Page(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    said = False
    for at in range(min(len(page.lines), LINES)):
        line = page.bare(at)
        if not line or (page.depth(at) and (forwarded is False or not page.begins_quote(at))):
            continue
        found, over = _look(page, at, forwarded, said)
        if found or over:
            return _split(page, found) if found else None
        said = said or not (_RULE.fullmatch(line) or tables.SENT_FROM.fullmatch(line[:120]))
    return None


def attached_original(mail: Mail) -> Original:
    """Describe a mail that was read from an attached message (RFC 2046, 5.2.1)."""
    return Original(mail.author, mail.date, mail.subject, mail.text, mail.message_id)


class _Page:
    """The lines of a text, as written and bare: one blank between words, no quote marks, a bounded head."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.seen: dict[int, tuple[int, str]] = {}
        self.addressed = {at - above for at, line in enumerate(lines) if "@" in line for above in range(3)}  # or two lines above

    def _look(self, at: int) -> tuple[int, str]:
        if at not in self.seen:
            head = self.lines[at][:LINE]
            head = head if head.isascii() else head.translate(tables.INVISIBLE)
            quoted = _QUOTES.match(head) if ">" in head or "＞" in head else None
            depth = sum(map(quoted[0].count, ">＞")) if quoted else 0
            self.seen[at] = depth, " ".join(head[quoted.end() if quoted else 0 :].split())
        return self.seen[at]

    def bare(self, at: int) -> str:
        return self._look(at)[1] if at < len(self.lines) else ""

    def depth(self, at: int) -> int:
        return self._look(at)[0]

    def next(self, at: int, within: int) -> int | None:
        """Return the next line that says something."""
        return next((at for at in range(at, min(at + within, len(self.lines))) if self.bare(at)), None)

    def begins_quote(self, at: int) -> bool:
        """Say whether a quoted line is the first, and no attribution stands above: Apple quotes what it forwards."""
        above = at - 1
        while above >= 0 and not self.bare(above):
            above -= 1
        if above < 0:
            return True
        return self.depth(above) < self.depth(at) and not (
            self.bare(above).endswith(_COLONS) and tables.WROTE.search(self.bare(above))
        )

    def unquoted(self, start: int, end: int, depth: int) -> list[str]:
        return [_without_marks(line, depth) for line in self.lines[start:end]]


def _without_marks(line: str, depth: int) -> str:
    quoted = _QUOTES.match(line[:LINE]) if depth else None
    if not quoted:
        return line
    end = 0
    for at, char in enumerate(quoted[0], 1):
        if char in ">＞":
            end, depth = at, depth - 1
        if not depth:
            break
    return line[end:].removeprefix(" ")


@dataclass(slots=True)
class _Found:
    """Where a forward was found: what stands above ends before `above`, the original begins at `body`."""

    above: int
    body: int
    values: dict[str, str] = field(default_factory=dict)  # of its headers
    marked: bool = False
    author: Address | None = None  # where no From header names it

    def original(self, text: str) -> Original:
        author = _author(self.values["from"]) if self.values.get("from") else self.author
        return Original(author, local_date(self.values.get("sent", "")), self.values.get("subject", ""), text)


def _look(page: _Page, at: int, forwarded: bool | None, said: bool) -> tuple[_Found | None, bool]:
    """Look at one line: a forward that begins here, and whether the search is over."""
    line = page.bare(at)
    marker = _marker(line)
    if marker is not None:
        found = _below_marker(page, at, marker)
        if found.values or found.author or (line[0] in _DASH and forwarded is not False):
            return found, True
        return None, False
    below = page.next(at + 1, BELOW) if _is_original(line) or words.ANNOUNCED.match(line) else at
    block = _bare_block(page, below) if below is not None and _has_colon(page.bare(below)[:LABEL]) else None
    if block:
        block.above = at
        counts = forwarded or (forwarded is None and not said and "sent" in block.values)
        return (block if counts else None), True
    quoted = _attribution(page, at)
    return (quoted if forwarded else None), bool(quoted)


def _marker(line: str) -> str | None:
    """Return what stands behind a forward's marker on its line; None without one."""
    found = words.SENTENCE.match(line) if len(line) <= LABEL * 2 else None
    near = line[: LABEL * 4]
    if not found and (line[0] in _DASHES or _has_colon(near) or "-" in near):
        found = words.MARKER.match(line) or tables.FORWARDED.match(line)
    return line[found.end() :] if found else None


def _is_original(line: str) -> bool:
    return line[0] in _DASH and bool(tables.ORIGINAL.match(line.lstrip(f"{_DASH}> 8")))


def _below_marker(page: _Page, at: int, rest: str) -> _Found:
    """Read the header block below a marker, on its line, or the line that says who wrote when."""
    found = _Found(at, at + 1, _run_together(rest), marked=True)
    named = words.NAMED_BY.match(rest)
    found.author = _author(named["who"].rstrip(f"{_DASH} ")) if named and "@" in named["who"] else None
    if "from" in found.values:
        return found
    below = page.next(at + 1, BELOW)
    if below is not None and _RULE.fullmatch(page.bare(below)):
        below = page.next(below + 1, BELOW)
    if below is None:
        return found
    values, end = _block(page, below)
    if "from" in values or len(values) > 1:
        found.values, found.body = values, end
        text = page.next(end, BELOW)
        if text is not None and "8<" in page.bare(text)[:LABEL] and _is_original(page.bare(text)):
            found.body = text + 1  # The Bat draws a line between
    elif (who := _attribution(page, below, sure=True)) is not None:
        found.values, found.author, found.body = who.values, who.author, who.body
    return found


def _run_together(rest: str) -> dict[str, str]:
    """Read headers that lost their line ends: `From: Ann <ann@example.com>To: ...Subject: ...`."""
    starts: list[int] = []
    colons = [at for at, char in enumerate(rest) if char in _COLONS][:COLONS]
    for colon in colons:
        near = range(max(starts[-1] + 1 if starts else 0, colon - LABEL), colon)
        start = next((at for at in near if rest[at].isupper() and _names(rest[at : colon + 1])), None)
        if start is not None:
            starts.append(start)
    pieces = [rest[start:end] for start, end in pairwise([*starts, len(rest)])]
    values: dict[str, str] = {}
    for kind, value in filter(None, map(words.header, pieces)):
        values.setdefault(kind, value.strip())
    return values


def _names(label: str) -> bool:
    found = words.header(label)
    return bool(found and not found[1])


def _bare_block(page: _Page, at: int) -> _Found | None:
    """Read a header block that no marker announces."""
    begins = words.header(page.bare(at))
    if not begins or begins[0] not in _TELLING:
        return None
    values, end = _block(page, at)
    named = "@" in values.get("from", "")
    return _Found(at, end, values) if "from" in values and (len(values) > 2 or (named and len(values) > 1)) else None


def _has_colon(line: str) -> bool:
    return ":" in line or "：" in line


def _block(page: _Page, start: int) -> tuple[dict[str, str], int]:
    """Read the headers that stand here, and say where they end."""
    block = _Block(page, start)
    while block.at < min(start + BLOCK_LINES, len(page.lines)) and block.step():
        pass
    if "to" in block.values and "?" in block.values:
        block.values.setdefault("from", block.values["?"])
    return {kind: value for kind, value in block.values.items() if kind in _TELLING}, block.at


class _Block:
    """A header block while it is read: one header a line, folded, a paragraph each, or each value on the line below its name."""

    def __init__(self, page: _Page, start: int) -> None:
        self.page = page
        self.depth = page.depth(start)
        self.at = start
        self.values: dict[str, str] = {}
        self.last = ""  # the kind of the header that was read last
        self.spaced = False  # blank lines between them
        self.below = False  # values below their names

    def step(self) -> bool:
        """Take the line, and say whether the block goes on."""
        line = self.page.bare(self.at)
        if not line:
            return self._skip_blank()
        if self.page.depth(self.at) != self.depth:
            return False
        found = self._header()
        if found:
            if found[0] in self.values and found[0] not in _MANY:
                return False
            self.below = self.below or not (self.values or found[1])
            self.last, self.values[found[0]] = found
        elif self.last and self._is_folded(line):
            self.values[self.last] = f"{self.values[self.last]} {line}".strip()
        else:
            return False
        self.at += 1
        return True

    def _skip_blank(self) -> bool:
        """Go on below blank lines if the headers are paragraphs; the first two show it."""
        below = self.page.next(self.at, GAP + 1)
        if below is None or not (self.spaced or self.below or len(self.values) == 1):
            return False
        found = words.header(self.page.bare(below))
        goes_on = found[0] not in self.values if found else self._lacks_value()
        self.spaced, self.at = goes_on, below if goes_on else self.at
        return goes_on

    def _lacks_value(self) -> bool:
        return self.below and not self.values.get(self.last, "x")

    def _header(self) -> tuple[str, str] | None:
        """Read a header; of one in an unknown language a date tells that it is the date, an address that it may be the author."""
        line = self.page.bare(self.at)
        found = words.header(line)
        unknown = None if found else _UNKNOWN.match(line)
        if not unknown:
            return found
        value = line[unknown.end() :]
        if self.values and "sent" not in self.values and local_date(value):
            return "sent", value
        if not self._header_follows():
            return None
        return ("?" if not self.values and _BRACKETED.search(value) else "other"), value

    def _is_folded(self, line: str) -> bool:
        """Say whether a line goes on with the header above it (RFC 5322, 2.2.3); programs often fold without a blank."""
        value = self.values[self.last]
        if _RULE.fullmatch(line) or not value:
            return not _RULE.fullmatch(line) and self._lacks_value()
        indented = self.page.lines[self.at][:1] in (" ", "\t")
        whole = self.values.keys() >= _TELLING
        if self.last == "subject":
            return (indented and len(value) >= FOLDED) or ((not whole or len(value) >= FOLDED) and self._header_follows())
        if value[-1] in ",;<" or line[0] in "<[" or indented:
            return True
        return self.last != "other" and not whole and self._header_follows()

    def _header_follows(self) -> bool:
        for ahead in range(self.at + 1, self.at + 1 + AHEAD):
            found = words.header(self.page.bare(ahead))
            if found or not self.page.bare(ahead):
                return bool(found and found[0] not in self.values)
        return False


def _attribution(page: _Page, at: int, sure: bool = False) -> _Found | None:
    """Read "On ... Ann <ann@example.com> wrote:" on up to three lines; `sure` asks for no such verb."""
    if at not in page.addressed:
        return None
    joined = ""
    for count in range(1, 4):
        line = page.bare(at + count - 1)
        joined = f"{joined} {line}".strip()
        if not line or len(joined) > LINE:
            return None
        if line.endswith(_COLONS):
            break
    bracketed = _BRACKETED.search(joined)
    if not joined.endswith(_COLONS) or not bracketed or not (sure or tables.WROTE.search(joined)):
        return None
    before, behind = joined[: bracketed.start()], joined[bracketed.end() :]
    if not (tables.DATE.search(before + behind) or tables.CLOCK.search(before + behind)):
        return None
    author = Address(_name_behind_date(before), _author(bracketed[0]).address)
    return _Found(at, at + count, {"sent": f"{before} {behind}"}, author=author)


def _name_behind_date(text: str) -> str:
    """Take the name out of the words before an address: behind the date, and behind a verb in lower case."""
    if text.rstrip()[-1:] in '"”»':  # a name that is quoted ends here, and begins at the quote before
        opening = max(text.rstrip()[:-1].rfind(mark) for mark in '"“„«')
        return decode_words(text[opening + 1 :]).strip(_ABOUT_NAMES)
    digits = [at for at, char in enumerate(text) if char.isdigit()]
    if digits:
        text = text[digits[-1] + 1 :].partition(" ")[2]
    text = _NO_NAMES.sub("", text, count=2) if _NO_NAMES.match(text) else text
    while text and text[0].islower() and " " in text:
        text = text.partition(" ")[2]
    return decode_words(text).strip(_ABOUT_NAMES)


def _author(value: str) -> Address:
    """Read the author as a header block names him; the address is None where only a name stands.

    Of one who sends on behalf of another it is the person: the first who has a name and an address.
    """
    named = [_named(part) for part in words.BEHALF.split(value, maxsplit=1)]
    return next((one for one in named if one.name and one.address), next((one for one in named if one.address), named[0]))


def _named(value: str) -> Address:
    found = _BRACKETED.search(value) or _BARE.search(value)
    address = next((box.address for box in addresses(f"<{found[1].strip('.')}>")), None) if found else None
    name = value[: found.start()] if found and address else _BRACKET.split(value, maxsplit=1)[0]
    name = " ".join(decode_words(name).strip(_ABOUT_NAMES).split())
    return Address("" if "@" in name and address else name, address)


def _split(page: _Page, found: _Found) -> tuple[str, Original]:
    """Part the forwarder's words from the original's, which end with the quote, with a closing marker, or with the text."""
    depth = page.depth(found.body - 1)
    end = _last_quoted(page, found.body) if depth else _closing(page, found.body) if found.marked else len(page.lines)
    body = page.unquoted(found.body, end, depth)
    if not depth and all(map(_is_quoted_or_blank, body)) and any(map(str.strip, body)):
        body = [_without_marks(line, 1) for line in body]
    if found.author and all(line.startswith(_INDENT) or not line.strip() for line in body):
        body = [line.removeprefix(_INDENT) for line in body]
    below = page.lines[end + (end < len(page.lines) and not depth) :]
    note = [*_tidied(page.lines[: found.above]), *([""] if any(map(str.strip, below)) else []), *_tidied(below)]
    return "\n".join(note).strip(), found.original("\n".join(_tidied(body)).strip())


def _is_quoted_or_blank(line: str) -> bool:
    return not line.strip() or bool(_QUOTES.match(line[:LINE]))


def _last_quoted(page: _Page, start: int) -> int:
    """Return the end of a quote; a program may have broken lines in it, so it is its last line that counts."""
    ends = range(len(page.lines), start, -1)
    return next((end for end in ends if _QUOTES.match(page.lines[end - 1][:LINE])), start)


def _closing(page: _Page, start: int) -> int:
    """Return the line that closes a forward: the end of one that was nested is not it."""
    nested = 0
    for at in range(start, min(len(page.lines), LINES)):
        line = page.lines[at][:LINE].strip()
        if not line or line[0] not in _DASH:
            continue
        if words.END.match(line):
            if not nested:
                return at
            nested -= 1
        elif (rest := _marker(line)) is not None and words.NAMED_BY.match(rest):
            nested += 1
    return len(page.lines)


def _tidied(lines: list[str]) -> list[str]:
    """Take blank lines, empty quotes and rules off the end."""
    end = len(lines)
    while end and (not lines[end - 1].strip(" \t\r>＞\xa0") or _RULE.fullmatch(lines[end - 1].strip()[:LINE])):
        end -= 1
    return lines[:end]


# -- dates -----------------------------------------------------------------------------------------------------------

_SHORT = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WORD, _DAY, _YEAR = r"(?P<month>[^\W\d_]{2,14})", r"(?<!\d)(?P<day>\d{1,2})", r"(?P<year>\d{4})(?!\d)"
_DAYS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_DAY}(?:\.|º|er|st|nd|rd|th)?[ -]?\s?(?:de |d['’]|of )?{_WORD}[.,]{{0,2}}[ -]?(?:de |del )?{_YEAR}(?P<dot>\.?)",
        rf"{_WORD}\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? {_YEAR}",
        rf"(?<!\d){_YEAR}\.? (?:m\. |г\. )?{_WORD}\.? (?P<day>\d{{1,2}})(?!\d)\.?",
        rf"(?<!\d){_YEAR}\.? (?:gada|g\.) (?P<day>\d{{1,2}})\. {_WORD}",
        rf"{_DAY} (?:tháng|thg) ?(?P<month>\d{{1,2}}),? (?:năm )?{_YEAR}",
        rf"(?<!\d){_YEAR} ?[-/.年년] ?(?P<month>\d{{1,2}}) ?[-/.月월] ?(?P<day>\d{{1,2}})(?!\d) ?[日일.]?",
        rf"{_DAY}(?P<mark>[./-]) ?(?P<month>\d{{1,2}})(?P=mark) ?(?P<year>\d{{4}}|\d\d)(?!\d)",
    )
)
_CLOCK = re.compile(r"(?<!\d)(\d{1,2}) ?[:.h時点时시] ?(\d{2})(?: ?[:.分분] ?(\d{2}))?(?!\d)", re.IGNORECASE)
_OFFSET = re.compile(r"\s?분?\s?\(?(?:GMT|UTC)?\s?([+−-])\s?(\d{1,2})(?::?(\d{2}))?(?!\d)")
_ZONE = re.compile(r"\s?\(?([^\W\d_]{3,5})\b")


def local_date(text: str) -> str | None:
    """Return a date as people and programs write it in any of our languages as UTC in ISO 8601.

    One that names no zone is taken as UTC. None where day, month or time are not sure, as in 03/04/2025.
    """
    text = _SPACE.sub(" ", text[:DATE].translate(tables.INVISIBLE)).replace("：", ":").strip()
    read = next(_days(text), None)
    if read is None:
        return fields.date(text)
    day, found = read
    clock = _CLOCK.search(text, found.end()) or _CLOCK.search(text, 0, found.start())
    if not day or not clock:
        return None
    hour, minute, second = (int(part or 0) for part in clock.groups())
    behind = words.BEHIND_CLOCK.match(text, clock.end())
    half = behind or words.BEFORE_CLOCK.search(text[: clock.start()])
    if half and hour <= 12:
        hour = hour % 12 + (12 if half["pm"] else 0)
    zone = _zone(text[behind.end() if behind else clock.end() :])
    return fields.date(f"{day} {hour:02}:{minute:02}:{second:02} {zone}")


def _days(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Yield the days that a text names as `3 Mar 2025`, or "" where day and month may be exchanged."""
    for pattern in _DAYS:
        for found in pattern.finditer(text):
            day, month = int(found["day"]), _month(found)
            marked = pattern is _DAYS[-1] and found["mark"] != "."
            if marked and (month > 12 or day <= 12 and day != month):
                day, month, marked = month, day, month <= 12
                if marked:
                    yield "", found
            if 0 < month < 13 and 0 < day < 32 and (len(found["year"]) == 4 or not marked):
                yield f"{day} {_SHORT[month - 1]} {found['year']}", found


def _month(found: re.Match[str]) -> int:
    word = found["month"].lower()
    if word.isdigit():
        return int(word)
    if found.groupdict().get("dot") and word in words.CROATIAN:
        return words.CROATIAN[word]
    return (
        words.MONTHS.get(word) or words.MONTHS.get(word.removesuffix("ta").removesuffix("kuu")) or words.MONTHS.get(word[1:], 0)
    )


def _zone(text: str) -> str:
    offset, name = _OFFSET.match(text), _ZONE.match(text)
    if offset:
        return f"{'+' if offset[1] == '+' else '-'}{int(offset[2]):02}{offset[3] or '00'}"
    if not name or not name[1].isupper():
        return ""
    hours = words.ZONES.get(name[1])
    return name[1] if hours is None and name[1].isascii() else f"{hours or 0:+03}00"
