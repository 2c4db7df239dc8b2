"""Structured header fields: parameters (RFC 2045, 2231), message ids and dates (RFC 5322)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes

from pipeline.mime import charsets
from pipeline.mime.words import decode_words

PARAMETERS = 100  # per field
REFERENCES = 500  # ids per field

_PARAMETER = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)', re.DOTALL)
_SECTION = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*)?")
_ESCAPED = re.compile(r'\\(["\\])')
_PLAIN, _EXTENDED = -1, -2  # the order of `name=` and `name*=`; a number is that of `name*0=`
_ID = re.compile(r"<([^<>]{1,998})>")
_SPACE = re.compile(r"\s+")


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a field into its lower-case main value and its decoded parameters (RFC 2045, 5.1; RFC 2231)."""
    main, _, _ = value.partition(";")
    first, _, glued = main.strip().partition(" ")
    if "=" in glued:  # the first semicolon is missing
        value, main = f"{first}; {value.strip()[len(first) :]}", first
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for _count, found in zip(range(PARAMETERS), _PARAMETER.finditer(value), strict=False):
        name, number, starred = _SECTION.fullmatch(found[1].lower()).groups()  # type: ignore[union-attr]
        order = int(number) if number else _EXTENDED if starred else _PLAIN
        sections.setdefault(name, []).append((order, bool(starred), _unquoted(found[2])))
    return main.strip().lower(), {name: _parameter(parts) for name, parts in sections.items()}


def _unquoted(value: str) -> str:
    value = value.strip()
    if not value.startswith('"'):
        return value
    return _ESCAPED.sub(r"\1", value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:])


def _parameter(parts: list[tuple[int, bool, str]]) -> str:
    """Put one parameter together: `name*` wins over `name*0`, `name*1`..., and they over `name` (RFC 2231, 3 and 4)."""
    plain = [part for part in parts if part[0] == _PLAIN]
    numbered = sorted((part for part in parts if part[0] >= 0), key=lambda part: part[0])
    extended = [part for part in parts if part[0] == _EXTENDED][:1] or numbered
    if not extended:
        return charsets.clean(decode_words(plain[0][2]))
    if not any(starred for _, starred, _ in extended):
        return charsets.clean(decode_words("".join(text for _, _, text in extended)))
    return _extended(extended)


def _extended(sections: list[tuple[int, bool, str]]) -> str:
    charset, body = None, sections[0][2]
    if sections[0][1] and body.count("'") >= 2:
        charset, _, body = body.split("'", 2)
    texts = [(starred, body if at == 0 else text) for at, (_, starred, text) in enumerate(sections)]
    data = b"".join(unquote_to_bytes(text) if starred else text.encode("utf-8", "replace") for starred, text in texts)
    return charsets.clean(charsets.decode(data, charset))


def message_ids(value: str) -> tuple[str, ...]:
    """Return the ids a field names, in order, without brackets; words around them are ignored (RFC 5322, 3.6.4)."""
    found = _ID.findall(value) or [word.strip("<>\"',;()") for word in value.split() if "@" in word]
    ids = list(dict.fromkeys(filter(None, (_SPACE.sub("", found_id) for found_id in found if len(found_id) <= 998))))
    return tuple(ids if len(ids) <= REFERENCES else ids[:100] + ids[100 - REFERENCES :])  # the root and the newest matter


def message_id(value: str) -> str | None:
    """Return the id of a Message-ID field, or None if it names none."""
    return next(iter(message_ids(value) or tuple(value.strip().strip("<>").split()[:1])), None)


_MONTHS = {"janfebmaraprmayjunjulaugsepoctnovdec"[at * 3 : at * 3 + 3]: at + 1 for at in range(12)}
_AMERICAN = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_EUROPEAN = {"bst": 1, "cet": 1, "cest": 2, "met": 1, "mest": 2, "eet": 2, "eest": 3, "msk": 3}
_ZONES = {**_AMERICAN, **_EUROPEAN, "ist": 5.5, "hkt": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11}
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{1,2})(?:[:.](?P<second>\d{1,2}))?(?:[.,]\d+)?"
_ZONE = r"(?:\s*(?P<zone>[+-]\s?\d{1,2}:?\d{2}|[A-Za-z]{1,5}(?:[+-]\d{4})?))?"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<day>\d{{1,2}})[ \-.]*(?P<month>[A-Za-z]{{3}})[a-z]*[ \-.,]*(?P<year>\d{{2,4}})[ ,T]*{_CLOCK}\s*(?:[AP]M)?{_ZONE}",
        rf"(?P<month>[A-Za-z]{{3}})[a-z]* +(?P<day>\d{{1,2}})[ ,]+{_CLOCK}(?: +[A-Za-z]{{3,4}})?{_ZONE} +(?P<year>\d{{4}})",
        rf"(?P<month>[A-Za-z]{{3}})[a-z]* +(?P<day>\d{{1,2}}),? +(?P<year>\d{{4}})[ ,]+{_CLOCK}{_ZONE}",
        rf"(?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})[ T]+{_CLOCK}{_ZONE}",
    )
)
_COMMENT = re.compile(r"\([^()]*\)")


def date(value: str) -> str | None:
    """Return a date as UTC in ISO 8601, or None if it is not usable (RFC 5322, 3.3 and 4.3)."""
    value = " ".join(_COMMENT.sub(" ", value[:200]).replace("=2C", ",").split())
    for pattern in _DATES:
        found = pattern.search(value)
        if found:
            try:
                return _instant(**found.groupdict()).isoformat()
            except (ValueError, OverflowError, KeyError):
                continue
    return None


def _instant(day: str, month: str, year: str, hour: str, minute: str, second: str | None, zone: str | None) -> datetime:
    number = int(year) + (0 if len(year) == 4 else 1900 if len(year) == 3 or int(year) >= 50 else 2000)
    moment = datetime(
        number,
        int(month) if month.isdigit() else _MONTHS[month.lower()],
        int(day),
        int(hour),
        int(minute),
        min(int(second or 0), 59),
        tzinfo=timezone(_offset(zone or "")),
    )
    return moment.astimezone(UTC)


def _offset(zone: str) -> timedelta:
    digits = re.search(r"([+-])\s?(\d{1,2}):?(\d{2})", zone)
    if not digits:
        return timedelta(hours=_ZONES.get(zone.lower(), 0))
    size = timedelta(hours=int(digits[2]), minutes=int(digits[3]))
    return timedelta() if size >= timedelta(days=1) else -size if digits[1] == "-" else size
