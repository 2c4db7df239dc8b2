"""The tree of a mail, split on its bytes: headers, and where each part begins and ends (RFC 2046, 5.1)."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass, field

from pipeline.mime.fields import parameters
from pipeline.mime.transfer import Source
from pipeline.mime.words import raw_text

PARTS = 1000
DEPTH = 50
HEADER_BYTES = 256 * 1024  # of one part, together
FIELD_BYTES = 32 * 1024
LOOKALIKES = 100_000  # lines that begin like a boundary and are none

_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?\s*")
_START = re.compile(rb"(?!--)[!-9;-~]{1,200}[ \t]*:")
_FIELD = re.compile(
    rb"(?!--)([!-9;-~]{1,200})[ \t]*:[ \t]*([^\n]*+(?:\n[ \t]++(?:\r?\n[ \t]++)?[^\s][^\n]*+)*+)\n?"  # folds by the million
)
_KNOWN = re.compile(
    rb"(?:content-|mime-version|from|to|cc|bcc|subject|date|sender|reply-to|message-id|in-reply-to|references|received|return-path"
    rb"|delivered-to|x-|list-|dkim-|user-agent|importance|organization|thread-|precedence|auto-submitted)",
    re.IGNORECASE,
)
_DELIMITER_END = re.compile(rb"(--)?[ \t]*\r?(?=\n|\Z)")
_SNIFFED = re.compile(rb"\n--([^\r\n]{1,250}+)\r?\ncontent-[a-z-]{1,60}[ \t]*:", re.IGNORECASE)
_ENCODING = re.compile(rb"[A-Za-z0-9._-]{1,40}")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,150}")


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
    return splitter.entity(_first_field(data), len(data), (), "text/plain"), list(dict.fromkeys(splitter.defects))


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

    def entity(self, start: int, end: int, path: tuple[int, ...], default: str) -> Part:
        """Read one entity and, within the bounds, what it contains."""
        self.parts += 1
        fields, body = self._fields(start, end)
        part = Part(".".join(map(str, path)) or "1", fields, body, end)
        _describe(part, default)
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
            line_end = self.data.find(b"\n", at, end) + 1 or end
            if self.data[at : at + 2].strip(b"\r\n") == b"" or not self.data[at:line_end].strip():
                at = line_end
                break
            if not self._field_follows(line_end, end):
                break
            self.defects.append("a line among the headers is no header: skipped")
            at = line_end
        if room < 0:
            self.defects.append(f"headers above {HEADER_BYTES // 1024} KB: the rest was not read")
        return fields, at

    def _field_follows(self, at: int, end: int) -> bool:
        return bool(_KNOWN.match(self.data, at, end) and _START.match(self.data, at, end))

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
        for number, (start, end) in enumerate(self._spans(part, not path), 1):
            if self.parts >= PARTS:
                self.defects.append(f"more than {PARTS} parts: the rest was not read")
                part.children.append(Part(".".join(map(str, (*path, number))), [], start, part.end, "application/octet-stream"))
                break
            part.children.append(self.entity(start, end, (*path, number), default))
        if not part.children and self.parts < PARTS:
            part.content_type = "text/plain"
            self.defects.append("a multipart without its boundary: shown as text")

    def _spans(self, part: Part, root: bool) -> list[tuple[int, int]]:
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

    def _cut(self, part: Part, boundary: bytes) -> list[tuple[int, int]]:
        """Return the spans between the delimiter lines; a missing last one is the end of the part (RFC 2046, 5.1.1)."""
        spans: list[tuple[int, int]] = []
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
                spans.append((start, max(found - (self.data[found - 1 : found] == b"\r"), start)))
            if closing[1]:
                return spans
            start = min(closing.end() + 1, part.end)
        if start:
            spans.append((start, part.end))
            self.defects.append("the closing boundary is missing")
        return spans


def _describe(part: Part, default: str) -> None:
    """Read what the content fields say; an unusable type is plain text (RFC 2045, 5.2)."""
    main, part.parameters = parameters(raw_text(part.get("content-type")))
    part.content_type = main if _TYPE.fullmatch(main) else main.split()[0] if _TYPE.match(main) and " " in main else default
    part.disposition, given = parameters(raw_text(part.get("content-disposition")))
    name = given.get("filename") or given.get("name") or part.parameters.get("name") or part.parameters.get("filename") or ""
    part.filename = "".join(" " if char in "\r\n\t" else char for char in name if char >= " " or char in "\r\n\t").strip() or None
