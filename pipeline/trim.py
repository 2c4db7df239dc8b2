"""What the writer newly wrote: the text without quotes, attribution, header blocks and signatures. Whole lines, in linear time.

The whole text is always kept elsewhere; this is a view of it. In doubt a line stays: losing words is worse than leaking quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline import trim_tables as tables
from pipeline.trim_tables import REPLY_ABOVE

__all__ = ["REPLY_ABOVE", "is_forwarded", "new_text"]

LINES = 20_000  # that are looked at; what stands below is kept as it is
LINE = 600  # characters: a longer line is prose, and no pattern is tried on it
ATTRIBUTION_LINES = 6
HEADER_LINES = 16
SIGNATURE_LINES = 30
SHORT_SIGNATURE_LINES = 15  # under `--` without its blank, which is also a line people draw
FOOTER_LINES = 8
QUOTE_AHEAD = 200  # lines in which a quote is looked for

_DASH = "-_=*~─"
_COLONS = (":", "：")
_ENDS = (*_COLONS, "*", "-", "_")  # of an attribution on one line
_QUOTE = re.compile(r"\s{0,3}[>＞](?!From )")  # mailboxes write >From for a line that begins with From
_OTHER_MARK = re.compile(r"\s{0,4}(?:[|#:)}\]%$!]{1,3}|[-=]+[\]>|]+|\w{1,4}[>|])\s?")  # of quotes in some programs
_DECORATED = re.compile(r"[>\s]*>{2,}[^<>]*<{2,}\s*")  # >>> look here <<<
_LINK_END = re.compile(r"\s*[<(]?(?:https?://|mailto:)?[^\s>)]+[>)]\s*>?\s*")
_DIGIT = re.compile(r"\d")
_STAMP = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")
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
    return next((at for at, line in enumerate(lines) if "##" in line[:200] and marker in line[:200].lower()), None)


@dataclass(slots=True)
class _Run:
    """Lines of one sort: the writer's own, or quoted."""

    quoted: bool
    lines: list[str] = field(default_factory=list)

    def says(self) -> bool:
        return any(line.strip() for line in self.lines)


class _Walk:
    """Go down the lines once and sort them into runs; every step moves on by at least a line."""

    def __init__(self, lines: list[str], forwarded: bool | None) -> None:
        self.lines = lines
        self.forwarded = forwarded
        self.runs: list[_Run] = [_Run(False)]
        self.at = 0
        self.said = False  # did any line above say something?
        self.whole = False  # a forward: its end is not tidied
        self.kinds: dict[int, tuple[str, bool] | None] = {}  # what was found out about lines ahead
        self.attributions: dict[int, tuple[int, bool]] = {}

    def run(self) -> _Walk:
        last = min(len(self.lines), LINES)
        while self.at < last:
            line = self.lines[self.at]
            if not line.strip():
                self._keep(1, self.runs[-1].quoted)
            elif _is_quote(line):
                self._quote()
            elif len(line) > LINE or not self._special(_visible(line)):
                self._keep(1, quoted=False)
        if self.at < len(self.lines):
            self._keep_rest()
        return self

    def _special(self, line: str) -> bool:
        """Ask what sort of line this is; the first that knows has moved on."""
        for asks, step in _STEPS:  # noqa: SIM110 - the loop of every line: a generator costs as much as the steps
            if asks(line) and step(self, line):
                return True
        return False

    def _keep(self, count: int, quoted: bool) -> None:
        if self.runs[-1].quoted != quoted:
            self.runs.append(_Run(quoted))
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
        """Take a line that is quoted, and one that a program broke off it; where a quote begins, its attribution may be above."""
        if not self.runs[-1].quoted:
            _take_attribution(self.runs[-1].lines)
        broken = self.at + 2 < len(self.lines) and _is_broken_off(*self.lines[self.at + 1 : self.at + 3])
        self._keep(2 if broken else 1, quoted=True)

    def _forward(self, line: str) -> bool:
        return bool(tables.FORWARDED.match(line)) and self._keep_rest()

    def _original(self, line: str) -> bool:
        if not _is_original(line):
            return False
        return self._below_heading(keep=False)

    def _header_block(self, line: str) -> bool:
        """Take a block like From, Sent, To, Subject: above it is the answer; nothing above means a forward, or a bare quote."""
        if not self._is_header_block(self.at):
            return False
        return self._below_heading(keep=self.forwarded is not False)

    def _below_heading(self, keep: bool) -> bool:
        """Keep a forward; else drop what stands below, but with no word above not what answers a marked quote."""
        if self.forwarded or (keep and not self.said):
            return self._keep_rest()
        return (not self.said and self._enter_quote(self.at + 1)) or self._drop_rest()

    def _attribution(self, line: str) -> bool:
        """Take "On ... wrote:"; where no quoted lines follow, all that follows is the quote."""
        count, sure = self._attribution_at(self.at)
        if not count:
            return False
        if self._enter_quote(self.at + count):
            return True
        if not sure:
            return False
        ahead = self.lines[self.at : self.at + QUOTE_AHEAD]
        if self.said or (self.forwarded is False and not any(map(_is_quote, ahead))):
            return self._drop_rest()
        self.at += count  # with no word above, the answer may be below
        return True

    def _enter_quote(self, at: int) -> bool:
        """Go on to the quoted lines if they begin here; blank and header lines may stand before them."""
        ahead = range(at, min(at + HEADER_LINES, len(self.lines)))
        below = next((at for at in ahead if self.lines[at].strip() and not self._header_kind(at)), None)
        if below is None:
            return False
        mark = _OTHER_MARK.match(self.lines[below])
        if _is_quote(self.lines[below]):
            self.runs.append(_Run(True))
            self.at = below
        elif mark and all(not line.strip() or line.startswith(mark[0].rstrip()) for line in self.lines[below + 1 : below + 2]):
            self.at = below
            while self.at < len(self.lines) and self.lines[self.at].startswith(mark[0].rstrip()):
                self._keep(1, quoted=True)
        else:
            return False
        return True

    def _signature(self, line: str) -> bool:
        """Take a signature up to the next quote or the end (RFC 3676, 4.3)."""
        longest = SIGNATURE_LINES if self.lines[self.at].startswith("-- ") else SHORT_SIGNATURE_LINES
        end = self.at + 1
        while end < len(self.lines) and end - self.at <= longest and not self._quote_begins(end):
            end += 1
        if not self.said or end - self.at > longest:
            return False  # too long for one: a line drawn in a text
        self.at = end
        return True

    def _list_footer(self, line: str) -> bool:
        """Take the footer of a mailing list: a rule and a few lines with a link, at the very end."""
        if not self.said or not tables.RULE.fullmatch(line) or len(self.lines) - self.at > 40:
            return False
        rest = [below[:LINE] for below in self.lines[self.at + 1 :] if below.strip()]
        short = 0 < len(rest) <= FOOTER_LINES and not any(map(_is_quote, rest))
        return short and any(map(_LIST_FOOTER.search, rest)) and self._drop_rest()

    def _quote_begins(self, at: int) -> bool:
        line = self.lines[at]
        if _is_quote(line) or not line.strip():
            return _is_quote(line)
        return _is_original(_visible(line)) or bool(self._attribution_at(at)[0]) or self._is_header_block(at)

    def _attribution_at(self, at: int) -> tuple[int, bool]:
        if at not in self.attributions:
            self.attributions[at] = attribution(self.lines, at)
        return self.attributions[at]

    def _is_header_block(self, at: int) -> bool:
        """Say whether the header lines of another mail begin here: three kinds with a subject, or two with an address."""
        if self._header_kind(at) is None:
            return False
        kinds: dict[str, None] = {}
        address, foreign = False, 0
        for ahead in range(at, min(at + HEADER_LINES, len(self.lines))):
            kind = self._header_kind(ahead)
            foreign = 0 if kind else foreign + bool(self.lines[ahead].strip())
            if foreign > 2:
                break
            if kind:
                kinds.setdefault(kind[0])
                address = address or kind[1]
        full = len(kinds) > 2 and ("subject" in kinds or list(kinds)[:2] == ["from", "sent"])
        return full or (address and len(kinds) > 1)

    def _header_kind(self, at: int) -> tuple[str, bool] | None:
        """Return what a header line tells, and whether it names somebody's address."""
        if at not in self.kinds:
            found = tables.HEADER.match(_visible(self.lines[at]))
            kind = next((name for name, word in found.groupdict().items() if word), "") if found else ""
            self.kinds[at] = (kind, kind in ("from", "to") and "@" in found["value"]) if found and kind else None
        return self.kinds[at]

    def kept(self) -> list[str]:
        """Return the writer's lines; of several answers between quotes, each with the lines that it answers."""
        runs = [run for run in self.runs if run.says()]
        answered = {at for at, run in enumerate(runs[:-1]) if run.quoted and not runs[at + 1].quoted}
        inline = len(answered) > 1
        return [line for at, run in enumerate(runs) if not run.quoted or (inline and at in answered) for line in run.lines]


# Which lines a step is asked about (cheap), and the step.
_STEPS: tuple[tuple[Callable[[str], bool], Callable[[_Walk, str], bool]], ...] = (
    (lambda line: line[0] in _DASH or line[-1] in ":：-", _Walk._forward),
    (lambda line: line[0] in _DASH, _Walk._original),
    (lambda line: ":" in line[:60] or "：" in line[:60], _Walk._header_block),
    (lambda line: line[-1] in _ENDS or bool(_DIGIT.search(line)), _Walk._attribution),
    (lambda line: line in ("--", "—", "–-"), _Walk._signature),
    (lambda line: line[0] == "_", _Walk._list_footer),
)


def _visible(line: str) -> str:
    """Return the head of a line without the marks that set the direction of script; never empty."""
    head = line[:LINE]
    return (head if head.isascii() else head.translate(tables.INVISIBLE)).strip() or " "


def _is_quote(line: str) -> bool:
    return bool(_QUOTE.match(line)) and not ("<" in line[-9:] and _DECORATED.fullmatch(line[:LINE]))


def _is_broken_off(line: str, below: str) -> bool:
    """Say whether a line between two quoted ones is the end of a link that was broken."""
    return bool(line.strip()) and not _is_quote(line) and _is_quote(below) and bool(_LINK_END.fullmatch(line[:LINE]))


def _is_original(line: str) -> bool:
    bare = line.lstrip(f"{_DASH}> ")
    return len(line) - len(bare) > 1 and bool(tables.ORIGINAL.match(bare))


def attribution(lines: list[str], at: int) -> tuple[int, bool]:
    """Return how many lines at this place say who wrote what is quoted (0: none), and whether that is sure without a quote."""
    first = _visible(lines[at]).lstrip(f"{_DASH}> ")
    opens = _opens(first)
    if not opens and first[-1:] not in _ENDS:
        return 0, False
    joined, weak = "", (0, False)
    for count, line in enumerate(lines[at : at + (ATTRIBUTION_LINES if opens else 1)], 1):
        more = _visible(line)
        if count > 1 and (more[:5] == first[:5] or _STAMP.match(more) or (more[:1].isupper() and _opens(more))):
            break  # the next line of a log, or the next attribution
        if count > 1 and tables.RULE.fullmatch(more):
            break
        blank = more == " " and "<" not in "".join(lines[at + count : at + count + 1])[:9]
        joined = f"{joined} {more}".strip()
        if blank or len(joined) > LINE:
            break
        before_quote = any(map(_is_quote, lines[at + count : at + count + 2]))
        verdict = _attributes(joined, opens) if before_quote or more[-1] in _ENDS else None
        if verdict:
            return count, True
        if verdict is not None and not weak[0]:
            weak = count, False
        if joined.endswith(_COLONS):
            break
    return weak


def _take_attribution(above: list[str]) -> None:
    """Take the lines right above a quote away if they say who wrote it, in whatever order."""
    end = len(above)
    while end and not above[end - 1].strip():
        end -= 1
    joined = ""
    for count in range(1, min(end, 3) + 1):
        line = _visible(above[end - count])
        joined = f"{line} {joined}".strip()
        if not line.strip() or joined[-1] not in _ENDS or len(joined) > LINE:
            return
        if _attributes(joined, opens=True):
            del above[end - count :]
            return


def _opens(line: str) -> bool:
    """Say whether an attribution may begin here: a word like "On", or somebody's address, and when it was."""
    named = tables.OPENER.match(line) or ("@" in line and tables.ADDRESS.search(line))
    return bool(named and (tables.DATE.search(line) or tables.CLOCK.search(line)))


def _attributes(text: str, opens: bool) -> bool | None:
    """Judge one candidate: None is no attribution, False needs a quote below, True is sure."""
    bare = text.strip(f"{_DASH}> ")
    dashed = text[:2].strip(_DASH) == "" or text[-2:].strip(_DASH) == ""
    ends = dashed or bare.endswith(_COLONS)
    wrote = bool(tables.WROTE_LAST.search(bare[-40:]) or (ends and tables.WROTE.search(bare)))
    address, date, clock = (bool(pattern.search(bare)) for pattern in (tables.ADDRESS, tables.DATE, tables.CLOCK))
    when = date or clock
    if ends and ((wrote and (address or dashed or (opens and when) or (date and clock))) or (address and when)):
        return True
    return False if (wrote and (ends or when)) or (address and date and opens) else None


def _tidied(lines: list[str], whole: bool) -> list[str]:
    """Take blank lines, rules and the signatures of telephones off the ends."""
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while not whole and start < end and _is_tail(lines, end - 1, start):
        end -= 1
    return lines[start:end]


def _is_tail(lines: list[str], at: int, start: int) -> bool:
    line = _visible(lines[at])
    if line == " " or tables.RULE.fullmatch(line) or (len(line) < 120 and tables.SENT_FROM.fullmatch(line)):
        return True
    above = lines[max(start, at - 5) : at]
    alone = bool(above) and not above[-1].strip() and not any(_BULLET.match(near[:9]) for near in above)
    return alone and line[1:].istitle() and bool(_NAME_ONLY.fullmatch(line))  # "-Ann" below a blank line, and no list
