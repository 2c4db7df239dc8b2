"""Content transfer encodings (RFC 2045, section 6), forgiving: whatever can be decoded is, a mebibyte at a time."""

from __future__ import annotations

import binascii
import mmap
import re
from collections.abc import Callable, Iterator
from itertools import islice

Source = bytes | mmap.mmap  # a raw mail, in memory or mapped from its file

WINDOW = 1 << 20  # encoded bytes that are decoded at once
FOOTER = 64 * 1024  # bytes at the end of a base64 part among which a list server's words are looked for
_LINES_WINDOW = 1 << 16  # the same, where each line is decoded alone: they stay near the processor
_PIECES = 1000  # separately padded pieces of base64 in one part

_ONLY_BASE64 = re.compile(rb"[A-Za-z0-9+/=\r\n]*\Z")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_PADDING = re.compile(rb"[=\r\n \t]*")
_UU_FRAME = (b"begin ", b"end")
_UNPADDED = re.compile(rb"[^=]+")
_ALPHABET = bytes(range(256)).translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def stream(data: Source, start: int, end: int, encoding: str) -> Iterator[bytes]:
    """Yield what data[start:end] decodes to, piece by piece; an unknown encoding means as it is.

    `base64+cut:12-34` means those bytes of what base64 decodes to: a file within a file (`cut_from`).
    """
    encoding, _, span = encoding.partition("+cut:")
    pieces = _STREAMS.get(encoding, _windows)(data, start, end)
    return _cut(pieces, *map(int, span.split("-"))) if span else pieces


def cut_from(encoding: str, start: int, end: int) -> str:
    """Name the encoding of a file that lies within what another encoding decodes to; a mail cannot name it so itself."""
    return f"{encoding}+cut:{start}-{end}"


def _cut(pieces: Iterator[bytes], start: int, end: int) -> Iterator[bytes]:
    at = 0
    for piece in pieces:
        yield piece[max(start - at, 0) : max(end - at, 0)]
        at += len(piece)


def decode(data: bytes, encoding: str) -> bytes:
    """Decode bytes that are few enough to hold."""
    return b"".join(stream(data, 0, len(data), encoding))


def base64(data: bytes) -> bytes:
    """Decode base64, also if it is unpadded, dirty, or was glued together from padded pieces."""
    return b"".join(_base64(data, 0, len(data)))


def _windows(data: Source, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, WINDOW):
        yield data[at : min(at + WINDOW, end)]


def _line_windows(data: Source, start: int, end: int, window: int) -> Iterator[bytes]:
    """Yield windows that end with a line; where a line is endless, at least not within an escape."""
    while end - start > window:
        cut = data.rfind(b"\n", start, start + window) + 1 or data.rfind(b"\r", start, start + window - 1) + 1
        if not cut:
            escape = data.rfind(b"=", start + window - 2, start + window)
            cut = escape if escape >= 0 else start + window
        yield data[start:cut]
        start = cut
    yield data[start:end]


def _base64(data: Source, start: int, end: int) -> Iterator[bytes]:
    end = _above_footer(data, start, end)
    pad = data.find(b"=", start, end)
    yield from _run(data, start, end if pad < 0 else pad)
    rest = _PADDING.match(data, pad, end).end() if pad >= 0 else end  # type: ignore[union-attr]
    if rest < end and _ONLY_BASE64.match(data, rest, end):
        for piece in islice(_UNPADDED.finditer(data, rest, end), _PIECES):
            yield from _run(data, *piece.span())


def _above_footer(data: Source, start: int, end: int) -> int:
    """Return where the encoded lines end: a list server may have written below them."""
    first = max(start, end - FOOTER)
    tail = data[first:end].rstrip()
    blank = _BLANK_LINE.search(tail)
    return first + blank.start() if blank and not _ONLY_BASE64.match(tail, blank.end()) else end


def _run(data: Source, start: int, end: int) -> Iterator[bytes]:
    """Decode one run without padding; four characters are three bytes, what is left over goes to the next window."""
    left = b""
    while end - start > WINDOW:
        kept = left + data[start : start + WINDOW].translate(None, _ALPHABET)
        whole = len(kept) // 4 * 4
        yield binascii.a2b_base64(kept[:whole])
        left = kept[whole:]
        start += WINDOW
    yield _piece(left + data[start:end])


def _piece(data: bytes) -> bytes:
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        kept = data.translate(None, _ALPHABET)
        kept = kept[:-1] if len(kept) % 4 == 1 else kept  # six bits are no byte
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def quoted_printable(data: bytes) -> bytes:
    """Decode quoted-printable; a broken escape stays as it is."""
    if b"\r" in data and b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # else a soft break would swallow the rest
    return binascii.a2b_qp(data)


def uuencode(data: bytes) -> bytes:
    """Decode uuencoded lines between `begin` and `end`."""
    return b"".join(map(_uu_line, data.splitlines()))


def _uu_line(line: bytes) -> bytes:
    if not line or line.startswith(_UU_FRAME):
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:  # trailing junk: believe the line's own count
        count = ((line[0] - 32) & 63) * 4 // 3 + 3
        try:
            return binascii.a2b_uu(line[:count])
        except binascii.Error:
            return b""


def _by_lines(decoder: Callable[[bytes], bytes], window: int) -> Callable[[Source, int, int], Iterator[bytes]]:
    return lambda data, start, end: map(decoder, _line_windows(data, start, end, window))


_STREAMS: dict[str, Callable[[Source, int, int], Iterator[bytes]]] = {
    "base64": _base64,
    "quoted-printable": _by_lines(quoted_printable, WINDOW),
    **dict.fromkeys(("x-uuencode", "uuencode", "x-uue", "uue"), _by_lines(uuencode, _LINES_WINDOW)),
}
