"""What the writer newly wrote: the text without quotes, attribution, header blocks and signatures. Whole lines, in linear time.

The whole text is always kept elsewhere; this is a view of it. In doubt a line stays: losing words is worse than leaking quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline import trim_tables as tables
from pipeline.letter import REPLY_ABOVE
from pipeline.trim_attribution import (
    COLONS,
    ENDS,
    LINE,
    attribution,
    attribution_above,
    is_quote,
    may_attribute,
    split_off,
    visible,
)
from pipeline.trim_headers import BLOCK_LINES, HeaderLines
from pipeline.trim_tables import DASHES

LINES = 20_000  # that are looked at; what stands below is kept as it is
ATTRIBUTIONS = 4_000  # that are judged, or what begins like one; a thread of hundreds of mails has hundreds
SIGNATURE_LINES = 30
SHORT_SIGNATURE_LINES = 15  # under `--` without its blank, which is also a line people draw
FOOTER_LINES = 8
FOOTER_AT_END = 40  # lines in which a footer is looked for
QUOTE_AHEAD = 200  # lines in which a quote is looked for
BROKEN = 70  # characters of a quoted line of which a program broke the end off
MARKER = 120  # characters of a line that tells where to write
NAME = 60
TAIL = 160  # characters of a telephone's line

_MARKS = "#|│*=~_-—–> \xa0"
_OTHER_MARK = re.compile(r"\s{0,4}(?:[|#:)}\]%$!]{1,3}|[-=]+[\]>|]+|\w{1,4}[>|])\s?")  # of quotes in some programs
_LINK_END = re.compile(r"\s*[<(]?(?:https?://|mailto:)?[^\s>)]+[>)]\s*>?\s*")
_MAY_MARK = re.compile(r"[\d:：<]")
_DIGIT = re.compile(r"\d")
_NAME_ONLY = re.compile(r"-[^\W\d_][\w.'’-]*(?: [^\W\d_][\w.'’-]*){0,3}")
_BULLET = re.compile(r"\s*[-–—*•]\s*\S")
_LIST_FOOTER = re.compile(r"https?://|mailing list|@|unsubscri|mailto:", re.IGNORECASE)


def is_forwarded(subject: str) -> bool | None:
    """Say what a subject tells: a forward (True), an answer (False), or nothing (None)."""
    if tables.SUBJECT_FORWARD.match(subject[:200]):
        return True
    return False if tables.SUBJECT_ANSWER.match(subject[:200]) else None


def new_text(text: str, forwarded: bool | None = None) -> str:
    """Return what the writer newly wrote; "" if it is a quote only. `forwarded` is what the subject says, where it is known."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    above = _above_marker(lines)
    walk = _Walk(lines[:above] if above is not None else lines, forwarded).run()
    return "\n".join(_tidied(walk.kept(), walk.whole)).strip("\n")


def _above_marker(lines: list[str]) -> int | None:
    """Find our own marker, quoted or not: what stands below it is ours."""
    marker = REPLY_ABOVE.lower()
    return next(
        (at for at, line in enumerate(lines) if "##" in line[:200] and marker in line[:200].lower()),
        None,
    )


@dataclass(slots=True)
class _Run:
    """Lines of one sort: the writer's own, or quoted."""

    quoted: bool
    lines: list[str] = field(default_factory=list)
    attributed: bool = False  # was it said by now whom the mail quotes?

    def says(self) -> bool:
        return any(line.strip() for line in self.lines)


class _Walk:
    """Go down the lines once and sort them into runs; every step moves on by at least a line, or shortens one."""

    def __init__(self, lines: list[str], forwarded: bool | None) -> None:
        self.lines = lines
        self.headers = HeaderLines(lines)
        self.forwarded = forwarded
        self.runs: list[_Run] = [_Run(False)]
        self.at = 0
        self.said = False  # did any line above say something?
        self.attributed = False
        self.whole = False  # a forward: its end is not tidied
        self.attributions: dict[int, tuple[int, bool]] = {}  # what was found out about lines ahead
        self.clear = 0  # up to here no quote begins

    def run(self) -> _Walk:
        last = min(len(self.lines), LINES)
        while self.at < last:
            line = self.lines[self.at]
            if not line.strip():
                self._keep(1, self.runs[-1].quoted)
            elif is_quote(line):
                self._quote()
            elif len(line) > LINE or not self._special(visible(line)):
                self._keep(1, quoted=False)
        if self.at < len(self.lines):
            self._keep_rest()
        return self

    def _special(self, line: str) -> bool:
        """Ask what sort of line this is; the first that knows has moved on."""
        if line[0].isalpha() and line[-1] not in ENDS and not _MAY_MARK.search(line) and line[-1] != ".":
            return False  # prose: most lines
        for asks, step in _STEPS:  # noqa: SIM110 - the loop of every line: a generator costs as much as the steps
            if asks(line) and step(self, line):
                return True
        return False

    def _keep(self, count: int, quoted: bool) -> None:
        if self.runs[-1].quoted != quoted:
            self.runs.append(_Run(quoted, attributed=self.attributed))
        self.runs[-1].lines += self.lines[self.at : self.at + count]
        self.said = self.said or bool(self.lines[self.at].strip())
        self.at += count

    def _drop_rest(self) -> bool:
        self.at = len(self.lines)
        return True

    def _keep_rest(self) -> bool:
        """Keep a forward whole: it is what the mail is about."""
        self.runs.append(_Run(False, self.lines[self.at :]))
        self.whole = True
        return self._drop_rest()

    def _quote(self) -> None:
        """Take a line that is quoted, and one that a program broke off it; where a quote begins, see what begins it."""
        if not self.runs[-1].quoted and self._quote_forwards():
            return
        broken = self.at + 2 < len(self.lines) and _is_broken_off(*self.lines[self.at : self.at + 3])
        self._keep(2 if broken else 1, quoted=True)

    def _quote_forwards(self) -> bool:
        """Take the attribution above or in the quote that begins here; without one it may be a forward, which is kept."""
        above = self.runs[-1].lines
        taken = attribution_above(above)
        if taken:
            del above[-taken:]
        inner = [_unquoted(line) for line in self.lines[self.at : self.at + BLOCK_LINES // 2]]
        begins = next((at for at, line in enumerate(inner) if line.strip()), 0)
        self.attributed = self.attributed or bool(taken or attribution(inner, begins)[0])
        if self.attributed or self.forwarded is False:
            return False
        heading = tables.FORWARDED.match(visible(inner[begins])) or (self.forwarded and self.headers.begin(self.at))
        return bool(heading) and self._keep_rest()

    def _forward(self, line: str) -> bool:
        return bool(tables.FORWARDED.match(line)) and self._keep_rest()

    def _original(self, line: str) -> bool:
        if not _is_original(line):
            return False
        return self._below_heading(keep=False)

    def _marker(self, line: str) -> bool:
        """Take another desk's line that tells to write above it, and all below."""
        bare = line.strip(_MARKS)
        marked = len(line) - len(bare) > 3 or len(bare) < MARKER // 3
        return self.said and marked and len(line) < MARKER and bool(tables.ABOVE.search(bare)) and self._drop_rest()

    def _header_block(self, line: str) -> bool:
        """Take a block like From, Sent, To, Subject: above it is the answer; nothing above means a forward, or a bare quote."""
        if not self.headers.begin(self.at):
            return False
        return self._below_heading(keep=self.forwarded is not False)

    def _below_heading(self, keep: bool) -> bool:
        """Keep a forward; else drop what stands below, but with no word above not what answers a marked quote."""
        self.attributed = True
        if self.forwarded or (keep and not self.said):
            return self._keep_rest()
        return (not self.said and self._enter_quote(self.at + 1)) or self._drop_rest()

    def _attribution(self, line: str) -> bool:
        """Take "On ... wrote:"; where no quoted lines follow, all that follows is the quote."""
        words = split_off(self.lines[self.at]) if line[-1] in COLONS else ""
        if words:
            self._split(words)
            return True
        count, sure = self._attribution_at(self.at)
        if not count:
            return False
        if line[0] == "<":
            self._take_name()
        if self._enter_quote(self.at + count):
            return True
        if not sure:
            return False
        self.attributed = True
        ahead = self.lines[self.at : self.at + QUOTE_AHEAD]
        if self.said or (self.forwarded is False and not any(map(is_quote, ahead))):
            return self._drop_rest()
        self.at += count  # with no word above, the answer may be below
        return True

    def _take_name(self) -> None:
        """Take the line above back if it is the name that belongs to the address in this one."""
        above = self.runs[-1].lines
        if above and 0 < len(above[-1].strip()) < NAME and above[-1].strip()[-1] not in ".!?,:;":
            del above[-1]

    def _split(self, words: str) -> None:
        """Keep the writer's words of a line that goes on with an attribution."""
        rest = self.lines[self.at][len(words) :].lstrip(f"{DASHES} ")
        self.lines[self.at] = words
        self._keep(1, quoted=False)
        self.at -= 1
        self.lines[self.at] = rest

    def _enter_quote(self, at: int) -> bool:
        """Go on to the quoted lines if they begin here; blank and header lines may stand before them."""
        ahead = range(at, min(at + BLOCK_LINES, len(self.lines)))
        below = next(
            (at for at in ahead if self.lines[at].strip() and not self.headers.at(at)),
            None,
        )
        if below is None:
            return False
        mark = _OTHER_MARK.match(self.lines[below])
        if is_quote(self.lines[below]):
            self.attributed = True
            self.runs.append(_Run(True, attributed=True))
            self.at = below
        elif mark and all(not line.strip() or line.startswith(mark[0].rstrip()) for line in self.lines[below + 1 : below + 2]):
            self.at = below
            while self.at < len(self.lines) and self.lines[self.at].startswith(mark[0].rstrip()):
                self._keep(1, quoted=True)
            self.runs[-1].attributed = True
        else:
            return False
        return True

    def _signature(self, line: str) -> bool:
        """Take a signature up to the next quote or the end (RFC 3676, 4.3)."""
        longest = SIGNATURE_LINES if self.lines[self.at].startswith("-- ") else SHORT_SIGNATURE_LINES
        end = max(self.at + 1, self.clear)
        while end < len(self.lines) and end - self.at <= longest and not self._quote_begins(end):
            end += 1
        self.clear = end
        if not self.said or end - self.at > longest:
            return False  # too long for one: a line drawn in a text
        self.at = end
        return True

    def _list_footer(self, line: str) -> bool:
        """Take the footer of a mailing list: a rule and a few lines with a link, at the very end."""
        if not self.said or not tables.RULE.fullmatch(line) or len(self.lines) - self.at > FOOTER_AT_END:
            return False
        rest = [below[:LINE] for below in self.lines[self.at + 1 :] if below.strip()]
        short = 0 < len(rest) <= FOOTER_LINES and not any(map(is_quote, rest))
        return short and any(map(_LIST_FOOTER.search, rest)) and self._drop_rest()

    def _quote_begins(self, at: int) -> bool:
        line = self.lines[at]
        if is_quote(line) or not line.strip():
            return is_quote(line)
        return _is_original(visible(line)) or bool(self._attribution_at(at)[0]) or self.headers.begin(at)

    def _attribution_at(self, at: int) -> tuple[int, bool]:
        if not may_attribute(visible(self.lines[at])):
            return 0, False
        if at not in self.attributions and len(self.attributions) < ATTRIBUTIONS:
            self.attributions[at] = attribution(self.lines, at)
        return self.attributions.get(at, (0, False))

    def kept(self) -> list[str]:
        """Return the writer's lines, and of quotes what is answered: each of several, or what the writer chose to show."""
        runs = [run for run in self.runs if run.says()]
        answered = [at for at, run in enumerate(runs[:-1]) if run.quoted and not runs[at + 1].quoted]
        shown = {at for at in answered if len(answered) > 1 or (at and not runs[at].attributed)}
        shown |= {at for at, run in enumerate(runs) if at and run.quoted and not run.attributed and self.attributed}
        return [line for at, run in enumerate(runs) if not run.quoted or at in shown for line in run.lines]


# Which lines a step is asked about (cheap), and the step.
_STEPS: tuple[tuple[Callable[[str], bool], Callable[[_Walk, str], bool]], ...] = (
    (lambda line: line[0] in DASHES or line[-1] in ":：-", _Walk._forward),
    (lambda line: line[0] in DASHES, _Walk._original),
    (lambda line: line[0] in "#-—=~*_" or line[-1] == ".", _Walk._marker),
    (
        lambda line: ":" in line[:60] or "：" in line[:60] or line[0] == "|",
        _Walk._header_block,
    ),
    (
        lambda line: line[-1] in ENDS or "<" in line or bool(_DIGIT.search(line)),
        _Walk._attribution,
    ),
    (lambda line: line in ("--", "—", "–-"), _Walk._signature),
    (lambda line: line[0] == "_", _Walk._list_footer),
)


def _unquoted(line: str) -> str:
    return line[:LINE].lstrip("> ")


def _is_broken_off(above: str, line: str, below: str) -> bool:
    """Say whether a line between two quoted ones belongs to the first: the end of a link, or of a sentence, that was broken."""
    if not line.strip() or is_quote(line) or not is_quote(below):
        return False
    sentence = len(above.rstrip()) >= BROKEN and above.rstrip()[-1:] not in ".?!:;" and line[:1].islower()
    return sentence or bool(_LINK_END.fullmatch(line[:LINE]))


def _is_original(line: str) -> bool:
    bare = line.replace("&nbsp;", " ").lstrip(f"{DASHES}>[ ")
    return len(line) - len(bare) > 1 and bool(tables.ORIGINAL.match(bare))


def _tidied(lines: list[str], whole: bool) -> list[str]:
    """Take blank lines, rules and the signatures of telephones off the ends."""
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while not whole and start < end and _is_tail(lines, end - 1, start):
        end -= 1
    return lines[start:end]


def _is_tail(lines: list[str], at: int, start: int) -> bool:
    line = visible(lines[at])
    if line == " " or tables.RULE.fullmatch(line) or (len(line) < TAIL and tables.SENT_FROM.fullmatch(line)):
        return True
    above = lines[max(start, at - 5) : at]
    alone = bool(above) and not above[-1].strip() and not any(_BULLET.match(near[:9]) for near in above)
    return alone and line[1:].istitle() and bool(_NAME_ONLY.fullmatch(line))  # "-Ann" below a blank line, and no list
