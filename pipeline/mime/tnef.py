"""winmail.dat: the files and the text that Outlook packs into application/ms-tnef (MS-OXTNEF).

Never raises and takes linear time; what was read before the damage counts. Files are told by where they lie, not copied.
"""

from __future__ import annotations

import mimetypes
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.mime import charsets, rtf

TYPE = "application/ms-tnef"
TYPES = frozenset({TYPE, "application/vnd.ms-tnef"})
NAMES = frozenset({"winmail.dat", "win.dat"})
SIGNATURE = b"\x78\x9f\x3e\x22"
FILES = 200
VALUES = 20_000  # attributes and properties of one stream that are looked at
NAME_BYTES = 2_000
TEXT_BYTES = 10_000_000

# The attributes here have numbers from 0x8000 on (MS-OXTNEF, 2.1.3.2), unnamed properties (MS-OXPROPS) lower ones: one dictionary
# holds both.
_BODY, _CLASS, _DATA, _TITLE, _RENDERING, _PROPERTIES, _OF_FILE, _OEM = (
    0x800C, 0x8008, 0x800F, 0x8010, 0x9002, 0x9003, 0x9005, 0x9007,
)  # fmt: skip
_P_CLASS, _P_BODY, _P_RTF, _P_HTML, _P_DATA, _P_TYPE, _P_ID, _P_CODE_PAGE = (
    0x001A, 0x1000, 0x1009, 0x1013, 0x3701, 0x370E, 0x3712, 0x3FDE,
)  # fmt: skip
_NAMES = (0x3707, _TITLE, 0x3704, 0x3001)  # long name, title, 8.3 name, display name (the subject of an enclosed message)
_BROKEN = -1

_UNICODE, _OBJECT = 0x001F, 0x000D
_VARIABLE = frozenset({0x001E, _UNICODE, _OBJECT, 0x0102})
_SIZES = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}  # padded to four
_MESSAGE_IID = bytes.fromhex("0703020000000000c000000000000046")  # an enclosed message is a stream of its own

_ATTRIBUTE = struct.Struct("<BHHI")  # level, number, type, length; behind the data stands a checksum of two bytes
_TAG = struct.Struct("<HH")
_COUNT = struct.Struct("<I")

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,150}")
_OFFICE = {  # what Python's own table lacks
    "docx": "vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "vnd.oasis.opendocument.text",
    "ods": "vnd.oasis.opendocument.spreadsheet",
    "msg": "vnd.ms-outlook",
    "rtf": "rtf",
}


class Enclosed(NamedTuple):
    """A file in a TNEF stream: what it is, and where its bytes lie in the decoded stream; an enclosed message is TNEF again."""

    filename: str | None
    content_type: str
    content_id: str | None
    start: int
    end: int


class _Value(NamedTuple):
    level: int  # 1: of the message, 2: of a file
    number: int
    kind: int  # property type; 0 for an attribute
    start: int
    end: int


_Values = dict[int, _Value]


def is_promised(content_type: str, filename: str | None) -> bool:
    """Say whether a part's type or name promises TNEF; whether it is, its first bytes tell."""
    return content_type in TYPES or (filename or "").lower() in NAMES


def enclosed(data: bytes) -> list[Enclosed]:
    """Return the files that lie in the stream, the first FILES of them; none if it is no TNEF."""
    message, files, _ = _read(data)
    label = _label(data, message, _OEM)
    return [found for found in (_file(data, values, label) for values in files) if found]


def is_told(data: bytes) -> bool:
    """Say whether `enclosed` and `body` tell all: an undamaged note, no meeting, contact or task, with the bytes of each file."""
    message, files, whole = _read(data)
    names = [_string(data, message.get(number), "ascii").lower() for number in (_CLASS, _P_CLASS)]
    is_note = all(not name or name.startswith(("ipm.note", "ipm.microsoft mail.note")) for name in names)
    return whole and is_note and bool(message or files) and all(_P_DATA in values or _DATA in values for values in files)


def body(data: bytes) -> tuple[str | None, str | None]:
    """Return the message's text, plain and as HTML, also out of compressed RTF; None for what is not there."""
    message, _, _ = _read(data)
    label = _label(data, message, _OEM)
    plain = _string(data, message.get(_P_BODY) or message.get(_BODY), label, TEXT_BYTES)
    html = _string(data, message.get(_P_HTML), _label(data, message, _P_CODE_PAGE) or label, TEXT_BYTES)
    if _P_RTF in message and not html.strip():
        is_html, text = rtf.rich_text(rtf.decompressed(_bytes(data, message.get(_P_RTF), TEXT_BYTES)))
        html = text if is_html else ""
        plain = plain if plain.strip() or is_html else text
    return _lines(plain) or None, _lines(html) or None


# -- the stream --------------------------------------------------------------------------------------------------------


def _read(data: bytes) -> tuple[_Values, list[_Values], bool]:
    """Return the message's values, each file's, and whether the stream was undamaged and within the bounds."""
    message: _Values = {}
    files: list[_Values] = []
    whole = True
    for seen, value in enumerate(_values(data)):
        if seen == VALUES:
            return message, files, False
        if value.number == _BROKEN:
            whole = False
            continue
        if value.level == 2 and (value.number == _RENDERING or not files):
            if len(files) == FILES:
                return message, files, False
            files.append({})
        values = files[-1] if value.level == 2 else message
        if value.number not in values or (value.kind == _UNICODE and values[value.number].kind != _UNICODE):
            values[value.number] = value
    return message, files, whole


def _values(data: bytes) -> Iterator[_Value]:
    """Yield attributes, and behind each list of properties what it holds; a _BROKEN where damage ends the list or the stream."""
    at, broken = 6, not data.startswith(SIGNATURE)
    while at + _ATTRIBUTE.size <= len(data) and not broken:
        level, number, _, length = _ATTRIBUTE.unpack_from(data, at)
        start = at + _ATTRIBUTE.size
        at = start + length
        broken = level not in (1, 2) or at > len(data)
        if not broken:
            yield _Value(level, number, 0, start, at)
            if number in (_PROPERTIES, _OF_FILE):
                yield from _properties(memoryview(data)[:at], start, level)
        at += 2
    if broken or data[at:].strip(b"\0\r\n"):
        yield _Value(1, _BROKEN, 0, 0, 0)


def _properties(view: memoryview, at: int, level: int) -> Iterator[_Value]:
    """Yield the properties of one list (MS-OXTNEF, 2.1.3.4); behind damage nothing in it is aligned."""
    try:
        [count] = _COUNT.unpack_from(view, at)
        at += 4
        for _ in range(count):
            kind, number = _TAG.unpack_from(view, at)
            at += 4
            if number & 0x8000:
                at, number = _after_name(view, at), 0
            if kind & 0xFFF in _VARIABLE or kind & 0x1000:
                [several] = _COUNT.unpack_from(view, at)
                at += 4
            else:
                several = 1
            for _ in range(several):
                start, end, at = _span(view, at, kind & 0xFFF)
                yield _Value(level, number, kind, start, end)
            if not several:
                yield _Value(level, 0, kind, at, at)  # it counts, too
    except (struct.error, LookupError):
        yield _Value(1, _BROKEN, 0, 0, 0)


def _after_name(view: memoryview, at: int) -> int:
    """Step over a property's GUID, and the number or the words that name it."""
    by_words, length = struct.unpack_from("<II", view, at + 16)
    return at + 24 + (_padded(length) if by_words else 0)


def _span(view: memoryview, at: int, kind: int) -> tuple[int, int, int]:
    """Return where a value begins and ends, and where the next one begins."""
    if kind in _VARIABLE:
        [length] = _COUNT.unpack_from(view, at)
        at += 4
    else:
        length = _SIZES[kind]
    if length > len(view) - at:
        raise LookupError
    return at, at + length, at + _padded(length)


def _padded(length: int) -> int:
    return length + -length % 4


# -- what the values say -----------------------------------------------------------------------------------------------


def _file(data: bytes, values: _Values, label: str | None) -> Enclosed | None:
    """Return an enclosed file; None for one whose bytes lie elsewhere."""
    spans = [values[number] for number in (_P_DATA, _DATA) if number in values]
    if not spans:
        return None
    kind, start, end = max(spans, key=lambda value: value.end > value.start)[2:]
    message = False
    if kind == _OBJECT:  # its interface's number stands first
        message = data[start : start + 16] == _MESSAGE_IID
        start = min(start + 16, end)
    name = next(filter(None, (_word(data, values.get(number), label) for number in _NAMES)), None)
    said = _word(data, values.get(_P_TYPE), "ascii").lower()
    content_type = TYPE if message else said if _MEDIA_TYPE.fullmatch(said) else _guessed(name or "")
    content_id = "".join(_word(data, values.get(_P_ID), "ascii").split()).strip("<>")
    return Enclosed(name, content_type, content_id or None, start, end)


def _guessed(name: str) -> str:
    """Return a media type by the name's ending, the same on every machine."""
    ending = name.rpartition(".")[2].lower()
    if ending in _OFFICE:
        return f"application/{_OFFICE[ending]}"
    return _ENDINGS.types_map[True].get(f".{ending}", "application/octet-stream")


_ENDINGS = mimetypes.MimeTypes()


def _word(data: bytes, value: _Value | None, label: str | None) -> str:
    """Return a value as one short line."""
    text = _string(data, value, label).partition("\0")[0]
    return charsets.clean("".join(" " if char in "\r\n\t" else char for char in text if char >= " " or char in "\r\n\t").strip())


def _string(data: bytes, value: _Value | None, label: str | None, limit: int = NAME_BYTES) -> str:
    """Return a value as text: UTF-16 by its type, else by the code page."""
    raw = _bytes(data, value, limit)
    if value and value.kind & 0xFFF == _UNICODE:
        return raw.decode("utf-16-le", "replace").rstrip("\0")
    return charsets.decode(raw.rstrip(b"\0"), label)


def _bytes(data: bytes, value: _Value | None, limit: int) -> bytes:
    return data[value.start : min(value.end, value.start + limit)] if value else b""


def _label(data: bytes, message: _Values, number: int) -> str | None:
    """Return the charset that a code page of the message means; None if there is none."""
    raw = _bytes(data, message.get(number), 4)
    return rtf.code_page(int.from_bytes(raw, "little")) if raw else None


def _lines(text: str) -> str:
    return charsets.clean(text.replace("\r\n", "\n").replace("\r", "\n"))
