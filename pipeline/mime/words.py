"""Header text: encoded words (RFC 2047) and raw 8-bit bytes, in one linear pass."""

from __future__ import annotations

import binascii
import re
from itertools import groupby
from typing import NamedTuple

from pipeline.mime import charsets, transfer

_START = r"=\? ?([^?\s*]{1,60})(?:\*[^?\s]{0,40})? ?\? ?([BbQq]) ?\?"
_WORD = re.compile(rf"{_START}((?:[^?=]++|=(?!\?[^=])|\?(?!=))*+)\?=")  # a `?` inside is no end, the start of another word is
_CUT_OFF = re.compile(rf"{_START}([^?\s]{{2,}}+)\??\Z")
_WRITTEN = {"q": re.compile("=[0-9A-Fa-f]{2}"), "b": re.compile(r"[A-Za-z0-9+/]{4}[A-Za-z0-9+/=]*\Z")}
_BREAKS = re.compile(r"[\r\n]+")


class _Word(NamedTuple):
    """One encoded word, as it was written."""

    charset: str
    encoding: str
    body: str

    @property
    def octets(self) -> bytes:
        raw = self.body.encode("utf-8", "replace")
        return transfer.base64(raw) if self.encoding == "b" else binascii.a2b_qp(raw, header=True)


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
    pieces: list[_Word | str] = []
    end = 0
    for found in _WORD.finditer(text):
        between = text[end : found.start()]
        if between and not (end and between.isspace()):
            pieces.append(between)
        pieces.append(_word(found))
        end = found.end()
    pieces += _rest(text[end:])
    return charsets.clean(_BREAKS.sub(" ", "".join(_joined(pieces))))


def _word(found: re.Match[str]) -> _Word:
    return _Word(found[1].lower(), found[2].lower(), found[3])


def _rest(text: str) -> list[_Word | str]:
    """Split what follows the last whole word; a word that was cut off at the end counts if it is surely one."""
    found = _CUT_OFF.search(text) if "=?" in text else None
    if not found or not _WRITTEN[found[2].lower()].search(found[3]):
        return [text]
    before = text[: found.start()]
    return [before, _word(found)] if before.strip() else [_word(found)]


def _joined(pieces: list[_Word | str]) -> list[str]:
    """Decode runs of words in one charset at a time: a character may be cut in two words."""
    texts: list[str] = []
    run: list[_Word] = []
    for piece in pieces:
        if run and (isinstance(piece, str) or piece.charset != run[0].charset):
            texts.append(_text_of(run))
            run = []
        if isinstance(piece, str):
            texts.append(piece)
        else:
            run.append(piece)
    return [*texts, _text_of(run)] if run else texts


def _text_of(run: list[_Word]) -> str:
    """Decode words of one charset; where they do not fit together, base64 was cut anywhere, or a word is broken."""
    charset = run[0].charset
    data = _octets(run)
    if len(run) == 1 or charsets.fits(data, charset):
        return charsets.decode(data, charset)
    whole = _octets(run, whole=True)
    if charsets.fits(whole, charset):
        return charsets.decode(whole, charset)
    sound = sum(charsets.fits(word.octets, charset) for word in run)
    return charsets.decode(data, charset) if sound * 2 < len(run) else "".join(_text_of([word]) for word in run)


def _octets(run: list[_Word], *, whole: bool = False) -> bytes:
    """Return the bytes of words, base64 word by word, or as the one text that it was."""
    pieces: list[bytes] = []
    for encoding, words in groupby(run, key=lambda word: word.encoding):
        if whole and encoding == "b":
            pieces.append(transfer.base64("".join(word.body for word in words).encode("utf-8", "replace")))
        else:
            pieces += [word.octets for word in words]
    return b"".join(pieces)
