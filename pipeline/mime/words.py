"""Header text: encoded words (RFC 2047) and raw 8-bit bytes, in one linear pass."""

from __future__ import annotations

import binascii
import re

from pipeline.mime import charsets, transfer

_WORD = re.compile(r"=\?([^?\s*]{1,60})(?:\*[^?\s]{0,40})?\?([BbQq])\?([^?]*)\?=")
_BREAKS = re.compile(r"[\r\n]+")


def raw_text(raw: bytes, charset: str | None = None) -> str:
    """Turn a header's bytes into text, encoded words untouched; `charset` is the mail's own, for raw 8-bit bytes (RFC 6532)."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").replace("\0", "")
    try:
        return charsets.clean(raw.decode("utf-8")) if b"\x1b" not in raw else charsets.clean(charsets.decode(raw))
    except UnicodeError:
        return charsets.clean(charsets.decode(raw, charset))


def decode_words(text: str) -> str:
    """Decode the encoded words of a text; words of one charset are joined before they are decoded (RFC 2047, 6.2)."""
    if "=?" not in text:
        return text
    pieces: list[tuple[str, bytes | str]] = []  # (charset, bytes) of a word or ("", plain text)
    end = 0
    for word in _WORD.finditer(text):
        between = text[end : word.start()]
        if between and not (end and between.isspace()):
            pieces.append(("", between))
        pieces.append((word[1].lower(), _word_bytes(word[2], word[3])))
        end = word.end()
    pieces.append(("", text[end:]))
    return charsets.clean(_BREAKS.sub(" ", "".join(_joined(pieces))))


def _word_bytes(encoding: str, body: str) -> bytes:
    raw = body.encode("utf-8", "replace")
    return transfer.base64(raw) if encoding in "Bb" else binascii.a2b_qp(raw, header=True)


def _joined(pieces: list[tuple[str, bytes | str]]) -> list[str]:
    """Decode runs of word bytes in one charset at a time: a character may be cut in two words."""
    texts: list[str] = []
    run: list[bytes] = []
    for at, (charset, piece) in enumerate(pieces):
        if isinstance(piece, str):
            texts.append(piece)
            continue
        run.append(piece)
        if pieces[at + 1][0] != charset:  # a plain piece always ends the list
            texts.append(charsets.decode(b"".join(run), charset))
            run = []
    return texts
