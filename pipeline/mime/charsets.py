"""Bytes to text: charset labels by an alias table and an allow-list, and text that no store or terminal chokes on."""

from __future__ import annotations

import codecs
import re
from itertools import islice

from pipeline.mime import alphabets

# Python codec: the labels that mean it, squeezed to letters and digits (as browsers read them: WHATWG Encoding, 4.2).
_LABELS = {
    "cp1252": "ascii usascii us ansi ansix341968 iso646us latin1 l1 iso88591 csisolatin1 isoir100 cp819 ibm819",
    "iso2022_jp_ext": "iso2022jp iso2022jp1 iso2022jpms iso2022jpesc cp50220 cp50221",
    "iso2022_jp_2": "iso2022jp2",
    "iso2022_jp_3": "iso2022jp3",
    "cp932": "shiftjis sjis mskanji windows31j cp932 ms932 windows932 cp943 csshiftjis",
    "euc_jp": "eucjp eucjpms cp51932 ujis",
    "cp949": "euckr ksc5601 ksc56011987 ksc56011989 cp949 windows949 uhc cseuckr",
    "iso2022_kr": "iso2022kr",
    "johab": "johab",
    "big5hkscs": "big5 big5hkscs big5eten cnbig5 chinesebig5",
    "cp950": "cp950 windows950",
    "gb18030": "gb2312 gb231280 gbk cp936 ms936 windows936 gb18030 euccn csgb2312",
    "hz": "hz hzgb2312",
    "cp874": "tis620 iso885911",
    "utf-8": "utf8 utf8mb4 unicode11utf8 cp65001 windows65001",
    "utf-16": "utf16 unicode ucs2 cp1200 windows1200",
    "utf-16-le": "utf16le ucs2le",
    "utf-16-be": "utf16be ucs2be",
    "utf-32": "utf32",
    "utf-32-le": "utf32le",
    "utf-32-be": "utf32be",
    "iso8859-8": "iso88598i iso88598e hebrew logical visual",
    "cp1254": "iso88599 latin5",
    "iso8859-2": "latin2",
    "iso8859-15": "latin9",
    "koi8-r": "koi8r koi8 cskoi8r",
    "koi8-u": "koi8u koi8ru",
    "mac-roman": "macintosh macroman mac",
    "mac-latin2": "maccentraleurope macce",
    "mac-cyrillic": "maccyrillic",
    "mac-greek": "macgreek",
    "mac-turkish": "macturkish",
    "iso8859-7": "greek",
    "iso8859-6": "arabic",
    "iso8859-5": "cyrillic",
}
CODECS = {
    **{f"iso8859{n}": f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    **{f"{prefix}{n}": f"cp{n}" for prefix in ("windows", "cp", "win", "ibm", "") for n in (874, *range(1250, 1259))},
    **{f"{prefix}{n}": f"cp{n}" for prefix in ("cp", "ibm") for n in (437, 775, 850, 852, 855, 857, 858, 862, 863, 865, 866)},
    **{label: codec for codec, labels in _LABELS.items() for label in labels.split()},
}
ESCAPES = 100_000  # changes of the character set in a damaged text; what stands behind them is in the raw mail only
_READS_JAPANESE = codecs.getincrementaldecoder("iso2022_jp_ext")  # text may be cut within a character or an escape
_WIDE = ("utf-16", "utf-32")
_NOT_ASCII_BASED = ("iso2022", "hz", *_WIDE)
_LATIN = {f"cp{n}" for n in (1250, 1252, 1254, 1257)} | {f"iso8859-{n}" for n in (2, 3, 4, 10, 13, 14, 15, 16)}
_SURELY_UTF8 = 8  # characters above ASCII; fewer may be UTF-8 by chance in Thai, Greek or Chinese, never in Latin letters
_ESCAPES = re.compile(rb"(\x1b[$(][@-Z()]{0,2})?([^\x1b]+)|\x1b")
_NOISE = re.compile(r"[^a-z0-9]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def codec_of(label: str | None) -> str | None:
    """Return the Python codec of a charset label, or None if it is unknown or not one we allow (RFC 2978)."""
    if not label:
        return None
    squeezed = _NOISE.sub("", label[:80].partition(":")[0].lower())
    return CODECS.get(squeezed) or CODECS.get(squeezed.removeprefix("x")) or CODECS.get(squeezed.removeprefix("3d"))


def fits(data: bytes, label: str | None) -> bool:
    """Say whether bytes are whole text in a charset, or in UTF-8 where the label is unknown."""
    return _whole(data, codec_of(label) or "utf-8") is not None


def decode(data: bytes, label: str | None = None) -> str:
    """Decode text by its declared charset, else as UTF-8, else by its alphabet, else as Windows-1252."""
    codec = codec_of(label)
    if b"\x1b$" in data and codec in (None, "cp1252", "iso2022_jp_ext"):  # Japanese mailers often declare nothing
        return _japanese(data)
    if data.isascii() and not (codec or "").startswith(_NOT_ASCII_BASED):
        return data.decode("ascii")
    text = _wide(data, codec) if codec and codec.startswith(_WIDE) else _narrow(data, codec)
    return text.removeprefix("\ufeff")


def _wide(data: bytes, codec: str) -> str:
    """Decode UTF-16 or UTF-32; without a mark the zeros tell the order, and many who declare it write UTF-8 (RFC 2781, 4.3)."""
    if b"\0" not in data and fits(data, "utf-8"):
        return data.decode("utf-8")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        codec = codec[:6]
    elif codec == "utf-16":
        codec = "utf-16-be" if data[::2].count(0) > data[1::2].count(0) else "utf-16-le"
    return data.decode(codec, "replace").rstrip("\ufffd")  # often cut in the middle of a character


def _narrow(data: bytes, codec: str | None) -> str:
    """Decode text of one or several bytes a character; what is whole UTF-8 is hardly ever anything else (RFC 3629, 1)."""
    text = _whole(data, "utf-8")
    if codec in (None, "utf-8", "cp1252"):
        return text or _mostly(data, "utf-8") or _guessed(data) or _western(data, codec)
    if text and (codec in _LATIN or _above_ascii(text) >= _SURELY_UTF8):
        return text
    return _whole(data, codec) or text or _mostly(data, codec) or _western(data, codec)


def _whole(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeError:
        return None


def _japanese(data: bytes) -> str:
    """Decode ISO-2022-JP; what the standard lacks is in Microsoft's rows, as in most Japanese office mail."""
    try:
        return _READS_JAPANESE().decode(data)
    except UnicodeError:
        pieces = islice(_ESCAPES.finditer(data), ESCAPES)
        return "".join(_escaped(*found.groups()) for found in pieces if found[2])


def _escaped(shift: bytes | None, text: bytes) -> str:
    if not shift or shift[1:2] != b"$":
        return text.decode("cp932", "replace")
    pairs = bytes(byte for at in range(0, len(text) - 1, 2) for byte in _shifted(text[at] & 127, text[at + 1] & 127))
    return pairs.decode("cp932", "replace")


def _shifted(row: int, cell: int) -> tuple[int, int]:
    """Turn a JIS X 0208 pair into Shift JIS."""
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    return lead & 255, (cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E) & 255


def _mostly(data: bytes, codec: str) -> str | None:
    """Decode text of which only a few bytes are broken."""
    text = data.decode(codec, "replace")
    return text if text.count("\ufffd") * 4 <= _above_ascii(text) else None


def _above_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def _guessed(data: bytes) -> str | None:
    codec = alphabets.guess(data)
    return _mostly(data, codec) if codec else None


def _western(data: bytes, codec: str | None) -> str:
    """Take every byte for a character."""
    text = _whole(data, "cp1252")
    if text is None:
        text = data.decode("cp1252", "replace") if codec == "cp1252" else data.decode("latin-1")
    return text


def clean(text: str) -> str:
    """Strip what no store takes: NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else _SURROGATE.sub("", text)
