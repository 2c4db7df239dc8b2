"""The tree of a mail, split on its bytes: headers, and where each part begins and ends (RFC 2046, 5.1)."""

from __future__ import annotations

import mmap
import re
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.mime.alphabets import guess
from pipeline.mime.charsets import codec_of
from pipeline.mime.fields import parameters
from pipeline.mime.transfer import Source, decode
from pipeline.mime.words import raw_text

PARTS = 1000
DEPTH = 50
HEADER_BYTES = 256 * 1024  # of one part, together
FIELD_BYTES = 32 * 1024
TEXTS = 3  # whose charset is asked
HEAD = 16 * 1024  # bytes of a text in which its alphabet is looked for
JUNK_LINES = 10  # among the headers, one below the other
LOOKALIKES = 100_000  # lines that begin like a boundary and are none

_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?\s*")
_NEXT_MAIL = re.compile(rb"\s*From \S+[^\n]*\d\d:\d\d")  # of a mbox that was taken for one mail
_START = re.compile(rb"(?!--)[!-9;-~]{1,200}[ \t]*:")
_FIELD = re.compile(
    rb"(?!--)([!-9;-~]{1,200})[ \t]*:[ \t]*([^\n]*+(?:\n[ \t]++(?:\r?\n[ \t]++)?[^\s][^\n]*+)*+)\n?"  # folds by the million
)
_KNOWN = re.compile(
    rb"(?:content-|mime-version|from|to|cc|bcc|subject|date|sender|reply-to|message-id|in-reply-to|references|received|return-path"
    rb"|delivered-to|envelope-to|errors-to|x-|list-|mailing-list|arc-|dkim-|authentication-results|resent-|user-agent|importance"
    rb"|priority|organi[sz]ation|thread-|precedence|auto-submitted|feedback-|comments|keywords|newsgroups|autocrypt|disposition-)",
    re.IGNORECASE,
)
_DELIMITER_END = re.compile(rb"(--)[^\n]*|[ \t]*\r?(?=\n|\Z)")  # some write more behind the last one
_SNIFFED = re.compile(rb"\n--([^\r\n]{1,250}+)\r?\ncontent-[a-z-]{1,60}[ \t]*:", re.IGNORECASE)
_ENCODING = re.compile(rb"[A-Za-z0-9._-]{1,40}")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,150}")


class Span(NamedTuple):
    """Where a part lies, and whether the line behind it closes the multipart."""

    start: int
    end: int
    closed: bool = False


@dataclass(slots=True)
class Part:
    """One entity: its path, its fields as raw unfolded bytes, and the span of its encoded body."""

    path: str
    fields: list[tuple[str, bytes]]
    start: int
    end: int
    content_type: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    disposition: str = ""
    filename: str | None = None
    children: list[Part] = field(default_factory=list)

    def get(self, name: str) -> bytes:
        """Return the first value of a field, or nothing."""
        return next((value for key, value in self.fields if key == name), b"")

    @property
    def encoding(self) -> str:
        words = (
            raw_text(self.get("content-transfer-encoding")).lower().replace('"', " ").replace(";", " ").replace("+", " ").split()
        )
        return words[0][:40] if words else ""

    @property
    def content_id(self) -> str | None:
        return "".join(raw_text(self.get("content-id")[:998]).split()).strip("<>") or None

    def leaves(self) -> list[Part]:
        """Return the parts that hold content, in order."""
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


def workable(raw: bytes | memoryview | mmap.mmap) -> Source:
    """Return the mail with line feeds at the same offsets as its line ends; a mapped file stays where it is."""
    mapped = raw.obj if isinstance(raw, memoryview) else raw
    data = mapped if isinstance(mapped, mmap.mmap) and len(mapped) == len(raw) else bytes(raw)
    if data.find(b"\r") >= 0 and data.find(b"\n") < 0:
        return data[:].replace(b"\r", b"\n")
    return data


def split(data: Source) -> tuple[Part, list[str]]:
    """Split a mail into its parts; the second value says what was wrong or left out."""
    splitter = _Splitter(data)
    root = splitter.entity(_first_field(data), len(data), (), "text/plain")
    if splitter.raw_named:
        charset = own_charset(data, root)
        for part in splitter.raw_named:
            part.filename = _filename(part, charset)
    return root, list(dict.fromkeys(splitter.defects))


def _first_field(data: Source) -> int:
    """Skip what stands before the headers: a byte order mark, blank lines, the `From ` line of a mbox."""
    at = _BEFORE.match(data).end()  # type: ignore[union-attr]
    if data[at : at + 6].startswith((b"From ", b">From ")) and not _START.match(data, at):
        at = data.find(b"\n", at) + 1 or len(data)
    return at if _START.match(data, at) else 0


class _Splitter:
    """Hold what bounds the work: how many parts and boundary look-alikes were met so far."""

    def __init__(self, data: Source) -> None:
        self.data = data
        self.parts = 0
        self.lookalikes = 0
        self.defects: list[str] = []
        self.raw_named: list[Part] = []  # parts whose name may be in raw 8-bit bytes

    def entity(self, start: int, end: int, path: tuple[int, ...], default: str) -> Part:
        """Read one entity and, within the bounds, what it contains."""
        self.parts += 1
        fields, body = self._fields(start, end)
        part = Part(".".join(map(str, path)) or "1", fields, body, end)
        _describe(part, default)
        if part.filename and not (part.get("content-type") + part.get("content-disposition")).isascii():
            self.raw_named.append(part)
        if part.content_type.startswith("multipart/"):
            self._multipart(part, path)
        return part

    def _fields(self, at: int, end: int) -> tuple[list[tuple[str, bytes]], int]:
        """Read header fields; returns them and where the body begins. Junk between known fields is skipped."""
        fields: list[tuple[str, bytes]] = []
        room = HEADER_BYTES
        while at < end:
            found = _FIELD.match(self.data, at, end)
            if found:
                room -= min(found.end() - at, FIELD_BYTES)
                if room >= 0:
                    fields.append((found[1].decode("ascii").lower(), self._unfolded(found[2])))
                at = found.end()
                continue
            line_end = self._line_end(at, end)
            if self._is_empty(at):
                at = line_end
                break
            following = self._next_field(line_end, end)
            if not self.data[at:line_end].strip():  # a blank is no empty line: it was a fold once (RFC 5322, 4.2)
                at = line_end
                if following == line_end:
                    continue
                break
            if not following:
                break
            self._junk(fields, at, line_end)
            at = following
        if room < 0:
            self.defects.append(f"headers above {HEADER_BYTES // 1024} KB: the rest was not read")
        return fields, at

    def _line_end(self, at: int, end: int) -> int:
        return self.data.find(b"\n", at, end) + 1 or end

    def _is_empty(self, at: int) -> bool:
        return self.data[at : at + 1] == b"\n" or self.data[at : at + 2] == b"\r\n"

    def _next_field(self, at: int, end: int) -> int:
        """Return where the headers go on below lines that are none; 0 if they do not."""
        for _ in range(JUNK_LINES):
            if _KNOWN.match(self.data, at, end) and _START.match(self.data, at, end):
                return at
            if at >= end or self._is_empty(at):
                return 0
            at = self._line_end(at, end)
        return 0

    def _junk(self, fields: list[tuple[str, bytes]], at: int, line_end: int) -> None:
        """Pass over a line that is no header; one that begins with an encoded word belongs to the field above it."""
        if fields and self.data[at : at + 2] == b"=?":
            name, value = fields[-1]
            fields[-1] = name, value + b" " + self._unfolded(self.data[at:line_end])
        else:
            self.defects.append("a line among the headers is no header: skipped")

    def _unfolded(self, value: bytes) -> bytes:
        if len(value) > FIELD_BYTES:
            value = value[:FIELD_BYTES]
            self.defects.append(f"a header above {FIELD_BYTES // 1024} KB was cut")
        return (value.replace(b"\r", b"").replace(b"\n", b"") if b"\n" in value else value).strip()

    def _multipart(self, part: Part, path: tuple[int, ...]) -> None:
        """Fill in the children of a multipart; without any it is shown as the text it holds."""
        if len(path) >= DEPTH:
            self.defects.append(f"parts nested deeper than {DEPTH}: kept as one attachment")
            return
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        spans = deque(self._spans(part, not path))
        while spans and self.parts < PARTS:
            start, end, _ = spans.popleft()
            child = self.entity(start, end, (*path, len(part.children) + 1), default)
            part.children.append(child)
            if _is_ambiguous(child, part):
                self._adopt(child, spans, (*path, len(part.children)))
        if spans:
            self.defects.append(f"more than {PARTS} parts: the rest was not read")
            name = ".".join(map(str, (*path, len(part.children) + 1)))
            part.children.append(Part(name, [], spans[0].start, part.end, "application/octet-stream"))
        if not part.children and self.parts < PARTS:
            part.content_type = "text/plain"
            self.defects.append("a multipart without its boundary: shown as text")

    def _adopt(self, child: Part, spans: deque[Span], path: tuple[int, ...]) -> None:
        """Give a multipart that has its parent's boundary the parts up to the line that closes it."""
        child.content_type = _declared(child)[0]
        self.defects[-1:] = ["a multipart has the boundary of the one that it is in"]  # not: no boundary at all
        closed = False
        while spans and not closed and self.parts < PARTS:
            start, end, closed = spans.popleft()
            child.children.append(self.entity(start, end, (*path, len(child.children) + 1), "text/plain"))

    def _spans(self, part: Part, root: bool) -> list[Span]:
        """Cut a multipart's body at its boundary, declared or, at the root, guessed."""
        declared = raw_text(part.parameters.get("boundary", "").encode("utf-8", "replace")).rstrip()
        for boundary in dict.fromkeys((declared, declared.replace(" ", ""), declared.replace("\t", ""))):  # folded in its quotes
            spans = self._cut(part, boundary.encode("utf-8")) if boundary else []
            if spans or not root:
                return spans
        sniffed = _SNIFFED.search(self.data, max(part.start - 1, 0), part.end)
        if sniffed:
            self.defects.append("the declared boundary does not occur: guessed from the lines")
        return self._cut(part, sniffed[1].rstrip()) if sniffed else []

    def _cut(self, part: Part, boundary: bytes) -> list[Span]:
        """Return the spans between the delimiter lines; a missing last one is the end of the part (RFC 2046, 5.1.1).

        Lines of the same boundary behind the closing one are those of an outer part that has the same: they are cut, too.
        """
        spans: list[Span] = []
        needle, start, at = b"\n--" + boundary, 0, max(part.start - 1, 0)
        while len(spans) <= PARTS and self.lookalikes < LOOKALIKES:
            found = self.data.find(needle, at, part.end)
            if found < 0:
                break
            at = found + len(needle)
            closing = _DELIMITER_END.match(self.data, at, part.end)
            if closing is None:
                self.lookalikes += 1
                continue
            if start:
                before = max(found - (self.data[found - 1 : found] == b"\r"), start)
                spans.append(Span(start, before, bool(closing[1])))
            if closing[1] and _NEXT_MAIL.match(self.data, closing.end(), part.end):
                return spans
            start = 0 if closing[1] else min(closing.end() + 1, part.end)
        if start:
            spans.append(Span(start, part.end))
            self.defects.append("the closing boundary is missing")
        return spans


def _declared(part: Part, charset: str | None = None) -> tuple[str, dict[str, str]]:
    return parameters(raw_text(part.get("content-type"), charset))


def _is_ambiguous(child: Part, parent: Part) -> bool:
    """Is the child a multipart whose boundary is its parent's, so that its parts were cut as the parent's?"""
    same = bool(child.parameters.get("boundary")) and child.parameters.get("boundary") == parent.parameters.get("boundary")
    return same and not child.children and _declared(child)[0].startswith("multipart/")


def _describe(part: Part, default: str) -> None:
    """Read what the content fields say; an unusable type is plain text (RFC 2045, 5.2)."""
    main, part.parameters = _declared(part)
    part.content_type = main if _TYPE.fullmatch(main) else main.split()[0] if _TYPE.match(main) and " " in main else default
    part.disposition, _ = parameters(raw_text(part.get("content-disposition")))
    part.filename = _filename(part, part.parameters.get("charset"))


def _filename(part: Part, charset: str | None) -> str | None:
    _, given = parameters(raw_text(part.get("content-disposition"), charset))
    _, named = _declared(part, charset)
    name = given.get("filename") or given.get("name") or named.get("name") or named.get("filename") or ""
    return "".join(" " if char in "\r\n\t" else char for char in name if char >= " " or char in "\r\n\t").strip() or None


def own_charset(data: Source, root: Part) -> str | None:
    """Return the charset in which raw 8-bit headers of a mail are written: that of its text, told or seen."""
    texts = [leaf for leaf in (root, *root.leaves()) if leaf.content_type.startswith("text/") and not leaf.children][:TEXTS]
    told = (leaf.parameters.get("charset") for leaf in (root, *texts))
    known = next((label for label in told if (codec_of(label) or "cp1252") not in ("cp1252", "utf-8")), None)
    return known or next((seen for leaf in texts if (seen := guess(_head(data, leaf)))), None)


def _head(data: Source, leaf: Part) -> bytes:
    return decode(data[leaf.start : min(leaf.end, leaf.start + HEAD)], leaf.encoding)
