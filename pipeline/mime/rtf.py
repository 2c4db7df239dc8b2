"""Rich text as Outlook sends it: decompressed (MS-OXRTFCP), and the text or HTML in it (MS-OXRTFEX); bounded, never raises."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from pipeline.mime import charsets

RTF_BYTES = 1_000_000  # decompressed
RTF_TOKENS = 150_000

_CODE_PAGES = {  # Windows' numbers that are not in the charset's name
    1200: "utf-16-le",
    1361: "johab",
    10000: "mac",
    20127: "ascii",
    20866: "koi8-r",
    21866: "koi8-u",
    **{28590 + n: f"iso-8859-{n}" for n in range(1, 17)},
    50220: "iso-2022-jp",
    50221: "iso-2022-jp",
    50222: "iso-2022-jp",
    50225: "iso-2022-kr",
    51932: "euc-jp",
    51949: "euc-kr",
    52936: "hz",
    54936: "gb18030",
    65001: "utf-8",
}
# What the window holds before the first byte (MS-OXRTFCP, 2.1.3.1.4).
_PRESET = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArial"
    rb"Times New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4096
_TOKEN = re.compile(rb"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]{1,32})(-?[0-9]{1,9})? ?|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)")
_SAID = {  # control words and symbols that are text
    **dict.fromkeys((b"par", b"line", b"row", b"page", b"sect", b"\n", b"\r"), "\n"),
    **dict.fromkeys((b"tab", b"cell"), "\t"),
    **{char.encode(): char for char in "\\{}"},
    b"~": "\xa0", b"_": "\u2011", b"emdash": "\u2014", b"endash": "\u2013", b"bullet": "\u2022",
    b"lquote": "\u2018", b"rquote": "\u2019", b"ldblquote": "\u201c", b"rdblquote": "\u201d",
}  # fmt: skip
_UNSAID = frozenset(
    b"fonttbl colortbl stylesheet info pict fldinst header headerl headerr headerf footer footerl footerr footerf".split()
)
_FONT_CODE_PAGES = {  # \fcharset: code page
    0: 1252, 77: 10000, 128: 932, 129: 949, 130: 1361, 134: 936, 136: 950, 161: 1253, 162: 1254, 163: 1258, 177: 1255,
    178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250, 255: 437,
}  # fmt: skip


def decompressed(data: bytes) -> bytes:
    """Decompress RTF (MS-OXRTFCP, 2.2), at most RTF_BYTES; its sizes and its checksum are not needed."""
    if data[8:12] == b"MELA":
        return data[16 : 16 + RTF_BYTES]
    if data[8:12] != b"LZFu":
        return b""
    out = bytearray(_WINDOW - len(_PRESET)) + _PRESET
    at = 16
    while at < len(data) and len(out) < _WINDOW + RTF_BYTES:
        flags = data[at]
        at += 1
        for bit in range(8):
            if not flags >> bit & 1:
                if at < len(data):
                    out.append(data[at])
                at += 1
                continue
            pair = int.from_bytes(data[at : at + 2], "big")
            at += 2
            # Positions count round the window; the preset was written up to its own length.
            distance = (len(out) + len(_PRESET) - (pair >> 4)) % _WINDOW
            if not distance or at > len(data):
                return bytes(out[_WINDOW:])
            length, start = (pair & 15) + 2, len(out) - distance
            out += (out[start : start + length] * (length // distance + 1))[:length]  # it may run into what it writes
    return bytes(out[_WINDOW:])


def rich_text(data: bytes) -> tuple[bool, str]:
    """Return the text of an RTF, or the HTML that it encapsulates, and whether it is HTML (MS-OXRTFEX, 2.1)."""
    reader = _Rtf(b"\\fromhtml1" in data[:1000])
    at = 0
    for _ in range(RTF_TOKENS):
        token = _TOKEN.match(data, at)
        if token is None:
            break
        at = token.end() + reader.take(token)
    return reader.is_html, reader.text()


class _Group(NamedTuple):
    told: bool = True  # its text counts; not so that of fonts, pictures, and of what we do not know
    hidden: bool = False  # RTF that stands for a piece of HTML (\htmlrtf)
    code_page: int | None = None  # of its font
    stand_ins: int = 1  # characters behind \u for readers without Unicode


class _Rtf:
    """Follow the groups of an RTF and keep its text; bytes wait until their code page ends, for characters of several bytes."""

    def __init__(self, is_html: bool) -> None:
        self.is_html = is_html
        self.group = _Group()
        self.outer: list[_Group] = []
        self.font = 0
        self.fonts: dict[int, int | None] = {}
        self.code_page = 1252
        self.skipped = 0
        self.texts: list[str] = []
        self.waiting = bytearray()
        self.waiting_in = 1252

    def take(self, token: re.Match[bytes]) -> int:
        """Take a token; returns how many bytes of a binary are to be passed over behind it."""
        code, word, number, sign, brace, text = token.groups()
        if brace:
            self._brace(brace)
        elif code or text:
            self._add(bytes.fromhex(code.decode()) if code else text)
        elif word == b"bin":
            return max(int(number or 0), 0)
        elif (word or sign) in _SAID:
            self._say(_SAID[word or sign])
        elif sign == b"*":
            self.group = self.group._replace(told=False)
        elif word in _CONTROLS:
            _CONTROLS[word](self, int(number) if number else None)
        return 0

    def text(self) -> str:
        """Return what was read; halves of characters that \\u told one by one are joined."""
        self._flush()
        return "".join(self.texts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip("\n")

    def _brace(self, brace: bytes) -> None:
        self.skipped = 0
        if brace == b"{":
            self.outer.append(self.group)
        elif self.outer:
            self.group = self.outer.pop()

    def _unicode(self, number: int | None) -> None:
        self._say(chr((number or 0) & 0xFFFF))
        self.skipped = self.group.stand_ins

    def _font(self, number: int | None) -> None:
        self.font = number or 0
        self.group = self.group._replace(code_page=self.fonts.get(self.font))

    def _font_charset(self, number: int | None) -> None:
        self.fonts[self.font] = _FONT_CODE_PAGES.get(number or 0)

    def _ansi(self, number: int | None) -> None:
        self.code_page = number or 1252

    def _untold(self, number: int | None) -> None:
        self.group = self.group._replace(told=False)

    def _html(self, number: int | None) -> None:
        self.group = self.group._replace(told=self.is_html)

    def _hide(self, number: int | None) -> None:
        self.group = self.group._replace(hidden=number != 0)

    def _count_stand_ins(self, number: int | None) -> None:
        self.group = self.group._replace(stand_ins=max(number or 0, 0))

    def _say(self, text: str) -> None:
        if self.group.told and not self.group.hidden:
            self._flush()
            self.texts.append(text)

    def _add(self, raw: bytes) -> None:
        raw, self.skipped = raw[self.skipped :], max(self.skipped - len(raw), 0)
        if raw and self.group.told and not self.group.hidden:
            code_page = self.group.code_page or self.code_page
            if code_page != self.waiting_in:
                self._flush()
                self.waiting_in = code_page
            self.waiting += raw

    def _flush(self) -> None:
        if self.waiting:
            self.texts.append(charsets.decode(bytes(self.waiting), code_page(self.waiting_in)))
            self.waiting.clear()


_CONTROLS: dict[bytes, Callable[[_Rtf, int | None], None]] = {
    **dict.fromkeys(_UNSAID, _Rtf._untold),
    b"u": _Rtf._unicode,
    b"f": _Rtf._font,
    b"fcharset": _Rtf._font_charset,
    b"ansicpg": _Rtf._ansi,
    b"htmltag": _Rtf._html,
    b"htmlrtf": _Rtf._hide,
    b"uc": _Rtf._count_stand_ins,
}


def code_page(number: int) -> str:
    """Return the charset that a code page of Windows means."""
    return _CODE_PAGES.get(number, f"cp{number}")
