"""Content transfer encodings (RFC 2045, section 6), forgiving: whatever can be decoded is."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

_ONLY_BASE64 = re.compile(rb"[A-Za-z0-9+/=\r\n]*\Z")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_ALPHABET = bytes(range(256)).translate(None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_CHUNKS = 1000  # separately padded pieces of base64 in one part


def base64(data: bytes) -> bytes:
    """Decode base64, also if it is unpadded, dirty, or was glued together from padded pieces."""
    footer = _BLANK_LINE.search(data.rstrip())
    if footer and not _ONLY_BASE64.match(data, footer.end()):
        data = data[: footer.start()]  # a list server wrote below it
    head, pad, tail = data.partition(b"=")
    decoded = _piece(head)
    rest = tail.lstrip(b"=\r\n \t") if pad else b""
    if rest and _ONLY_BASE64.match(rest):
        decoded += b"".join(_piece(piece) for piece in re.split(rb"=+", rest, maxsplit=_CHUNKS))
    return decoded


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
    return b"".join(_uu_line(line) for line in data.splitlines() if line and not line.startswith((b"begin ", b"end")))


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:  # trailing junk: believe the line's own count
        count = ((line[0] - 32) & 63) * 4 // 3 + 3
        try:
            return binascii.a2b_uu(line[:count])
        except binascii.Error:
            return b""


DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64,
    "quoted-printable": quoted_printable,
    "x-uuencode": uuencode,
    "uuencode": uuencode,
    "x-uue": uuencode,
    "uue": uuencode,
}


def decode(data: bytes, encoding: str) -> bytes:
    """Decode a part's bytes; an unknown encoding means as they are."""
    decoder = DECODERS.get(encoding)
    return decoder(data) if decoder else data
