"""Which parts are the body and which are attachments (RFC 2046, 5.1; RFC 2387, 1847, 6522, 3676)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from pipeline import markup
from pipeline.mime import charsets, tnef, transfer
from pipeline.mime.structure import PARTS, Part
from pipeline.mime.transfer import Source

TEXT_CHARACTERS = 5_000_000
TNEF_BYTES = 48 << 20  # encoded; a larger winmail.dat is kept whole
TNEF_DEPTH = 3
TEXT_BYTES = 2 * TEXT_CHARACTERS  # encoded bytes of one part of which text is made

_TOO_LONG = f"text above {TEXT_CHARACTERS // 1_000_000} MB: the rest is only in the raw mail"
_BODY_TYPES = frozenset({"text/plain", "text/html", "text/enriched", "text/richtext", "text/markdown"})
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} ([^\r\n]{1,255}?)\r?\n", re.MULTILINE)
_UU_END = re.compile(rb"^end[ \t]*(?:\r?\n|\Z)", re.MULTILINE)
_UU_LINES = re.compile(rb"(?:[ -`][^\n]*+\n)*+")


class Piece(NamedTuple):
    """A stretch of the body: as plain text, as HTML, or as both."""

    plain: str | None = None
    html: str | None = None


class Found(NamedTuple):
    """An attachment before it is measured: its part, its span of encoded bytes, and what is said of it."""

    part: Part
    path: str
    start: int
    end: int
    encoding: str
    filename: str | None
    content_type: str
    inline: bool
    content_id: str | None
    bytes: memoryview | None = None  # what it decodes to, where that was done already


def _whole(part: Part) -> Found:
    return Found(part, part.path, part.start, part.end, part.encoding, part.filename, part.content_type, False, part.content_id)


@dataclass(slots=True)
class Body:
    """Walk over a tree and keep its text and its attachments; `texts` remembers what was decoded, by the part's start."""

    data: Source
    pieces: list[Piece] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    packed: list[bytes] = field(default_factory=list)  # what each winmail.dat decodes to
    defects: list[str] = field(default_factory=list)

    def read(self, root: Part) -> Body:
        """Read the whole tree; a long text is cut, and says so."""
        self.pieces = self._pieces(root, "")
        if not self._says_something():
            self.pieces = next((self._text(found.part) for found in self.found if _is_shown(found.part)), self.pieces)
        if not self._says_something() and self.packed:
            self.pieces = [Piece(*tnef.body(self.packed[0]))]
        return self

    def _says_something(self) -> bool:
        return any((piece.plain or piece.html or "").strip() for piece in self.pieces)

    @property
    def html(self) -> str | None:
        """Return the HTML body, plain stretches as they are between the others; None if nobody wrote HTML."""
        return _as_html(self.pieces) if _is_rich(self.pieces) else None

    @property
    def plain(self) -> bool:
        """Say whether somebody wrote plain text."""
        return any((piece.plain or "").strip() for piece in self.pieces)

    def text(self, of_html: Callable[[str], str] = markup.to_text) -> str:
        """Return the body as text: plain where there is any, else made from the HTML."""
        texts = [piece.plain if (piece.plain or "").strip() or not piece.html else of_html(piece.html) for piece in self.pieces]
        text = "\n".join(text for text in texts if text)
        if len(text) > TEXT_CHARACTERS:
            self.defects.append(_TOO_LONG)
        return charsets.clean(text[:TEXT_CHARACTERS])

    def _pieces(self, part: Part, inside: str) -> list[Piece]:
        if part.children:
            kind = part.content_type.partition("/")[2]
            return _CONTAINERS.get(kind, Body._mixed)(self, part, kind)
        if self._is_body(part, inside):
            return self._text(part)
        self._attach(part, inside)
        return []

    def _mixed(self, part: Part, kind: str) -> list[Piece]:
        return [piece for child in part.children for piece in self._pieces(child, kind)]

    def _alternative(self, part: Part, kind: str) -> list[Piece]:
        """Read alternatives as one piece: the richest plain text that says something, and the richest HTML."""
        each = [self._pieces(child, kind) for child in part.children]
        plains = ["\n".join(piece.plain or "" for piece in pieces) for pieces in each if pieces and not _is_rich(pieces)]
        rich = [_as_html(pieces) for pieces in each if _is_rich(pieces)]
        plain = next((text for text in reversed(plains) if text.strip()), plains[-1] if plains else None)
        return [Piece(plain, rich[-1] if rich else None)] if plain is not None or rich else []

    def _first_only(self, part: Part, kind: str) -> list[Piece]:
        """Read the first child as the body; a signature or a report is an attachment (RFC 1847, 2.1; RFC 6522, 3)."""
        pieces = self._pieces(part.children[0], kind)
        for leaf in (leaf for child in part.children[1:] for leaf in child.leaves()):
            self._attach(leaf, kind)
        return pieces

    def _is_body(self, part: Part, inside: str) -> bool:
        if part.content_type not in _BODY_TYPES or part.disposition == "attachment":
            return False
        named_body = part.disposition != "inline" and not self.texts  # some mailers name the body, but only the first text is it
        return not part.filename or named_body

    def _attach(self, part: Part, inside: str) -> None:
        meant_inside = part.disposition != "attachment" or inside == "related"
        inline = part.disposition == "inline" or bool(part.content_id and meant_inside)
        if not (tnef.is_promised(part.content_type, part.filename) and self._unpack(part)):
            self.found.append(_whole(part)._replace(inline=inline))

    def _unpack(self, part: Part) -> bool:
        """List the files in a winmail.dat; says whether it holds nothing else and need not be listed itself."""
        if part.end - part.start > TNEF_BYTES:
            return False
        data = transfer.decode(self.data[part.start : part.end], part.encoding)
        files, told = _enclosed(data)
        self.packed.append(data)
        for number, (file, start, end) in enumerate(files, 1):
            self.found.append(
                _whole(part)._replace(
                    path=f"{part.path}.{number}",
                    encoding=transfer.cut_from(part.encoding, start, end),
                    filename=file.filename,
                    content_type=file.content_type,
                    inline=bool(file.content_id),
                    content_id=file.content_id,
                    bytes=memoryview(data)[start:end],
                )
            )
        return told

    def _text(self, part: Part) -> list[Piece]:
        if part.content_type == "text/html":
            return [Piece(html=self.decoded(part))]
        if not part.encoding or part.encoding in ("7bit", "8bit", "binary"):
            cut = self._without_uuencode(part)
            if cut is not None:
                return [Piece(plain=cut)]
        text = self.decoded(part)
        flowed = part.parameters.get("format", "").lower() == "flowed"
        return [Piece(plain=_unflowed(text, part.parameters.get("delsp", "").lower() == "yes") if flowed else text)]

    def _without_uuencode(self, part: Part) -> str | None:
        """Take files that were pasted into the text as uuencode out of it, as attachments."""
        if self.data.find(b"begin ", part.start, part.end) < 0:
            return None
        kept, at = [], part.start
        for block, end in islice(_uu_blocks(self.data, part.start, part.end), PARTS):
            kept.append(self.data[at : block.start()])
            name = charsets.clean(charsets.decode(block[1], part.parameters.get("charset"))).strip() or None
            uuencoded = _whole(part)._replace(start=block.start(), end=end, encoding="x-uuencode")
            self.found.append(uuencoded._replace(filename=name, content_type="application/octet-stream"))
            at = end
        self.decoded(part)
        text = charsets.decode(b"".join([*kept, self.data[at : part.end]]), part.parameters.get("charset"))
        return charsets.clean(_lines(text)) if kept else None

    def _encoded(self, part: Part) -> bytes:
        """Return the encoded bytes of a text part; of an endless one the first lines."""
        if part.end - part.start <= TEXT_BYTES:
            return self.data[part.start : part.end]
        self.defects.append(_TOO_LONG)
        most = part.start + TEXT_BYTES
        end = self.data.rfind(b"\n", part.start, most) + 1 or most
        for _ in range(4):  # not within a character of UTF-8
            if self.data[end - 1 : end] > b"\x7f":
                end -= 1
        return self.data[part.start : end]

    def decoded(self, part: Part) -> str:
        """Return a text part as text with LF line ends (decoded once)."""
        if part.start not in self.texts:
            raw = transfer.decode(self._encoded(part), part.encoding)
            label = part.parameters.get("charset")
            if part.content_type == "text/html" and charsets.codec_of(label) is None:
                meta = _META_CHARSET.search(raw[:2048])
                label = meta[1].decode("ascii", "replace") if meta else label
            if label and charsets.codec_of(label) is None:
                self.defects.append(f"unknown charset {charsets.clean(label[:40])!r}")
            self.texts[part.start] = charsets.clean(_lines(charsets.decode(raw, label)))
        return self.texts[part.start]


_CONTAINERS = {
    "alternative": Body._alternative,
    "signed": Body._first_only,
    "report": Body._first_only,
}


def _is_rich(pieces: list[Piece]) -> bool:
    return any(piece.html for piece in pieces)


def _as_html(pieces: list[Piece]) -> str:
    said = (piece for piece in pieces if piece.html or piece.plain)
    return "\n".join(piece.html or f"<pre>{html.escape(piece.plain or '')}</pre>" for piece in said)


def _is_shown(part: Part) -> bool:
    """Say whether a named text is meant to be read in the mail; it is the body where there is no other."""
    return part.content_type in ("text/plain", "text/html") and part.disposition == "inline"


def _uu_blocks(data: Source, start: int, end: int) -> Iterator[tuple[re.Match[bytes], int]]:
    """Yield the `begin` line of every uuencoded file, and where the file ends."""
    last: re.Match[bytes] | None = None
    while begin := _UU_BEGIN.search(data, start, end):
        start = begin.end()
        if last is None or last.start() < start:
            last = _UU_END.search(data, start, end)
        if last is None:
            return
        if _UU_LINES.match(data, start, last.start()).end() == last.start():  # type: ignore[union-attr]
            start = last.end()
            yield begin, start


def _enclosed(data: bytes, at: int = 0, depth: int = 0) -> tuple[list[tuple[tnef.Enclosed, int, int]], bool]:
    """Return the files in a TNEF stream with their spans, those of enclosed mails without words too; and whether that is all."""
    files: list[tuple[tnef.Enclosed, int, int]] = []
    for file in tnef.enclosed(data):
        inner = data[file.start : file.end] if file.content_type == tnef.TYPE and depth < TNEF_DEPTH else b""
        if inner and tnef.is_told(inner) and tnef.body(inner) == (None, None):
            files += _enclosed(inner, at + file.start, depth + 1)[0]
        else:
            files.append((file, at + file.start, at + file.end))
    return files[: tnef.FILES], tnef.is_told(data) and len(files) <= tnef.FILES


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _unflowed(text: str, delsp: bool) -> str:
    """Join the lines of flowed text (RFC 3676, 4)."""
    lines: list[str] = []
    depth_before, open_before = 0, False
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare[1:] if bare.startswith(" ") else bare
        flows = bare.endswith(" ") and bare != "-- "
        content = bare[:-1] if flows and delsp else bare
        if open_before and depth == depth_before and bare != "-- ":
            lines[-1].append(content)  # type: ignore[attr-defined]
        else:
            lines.append([">" * depth + " " if depth else "", content])  # type: ignore[arg-type]
        depth_before, open_before = depth, flows
    return "\n".join("".join(line) for line in lines)
