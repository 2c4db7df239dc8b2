"""Structured header fields: parameters (RFC 2045, 2231), message ids and dates (RFC 5322)."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes

from pipeline.mime import charsets
from pipeline.mime.words import decode_words

PARAMETERS = 100  # per field
REFERENCES = 500  # ids per field
ID_CHARACTERS = 998
DATE_CHARACTERS = 300
COMMENTS = 4  # nested in each other, in a date

_TOKEN = r'([^\s=;":]{1,100})\s*[=:]\s*'
_STRING = r'"(?:[^"\\]|\\.)*+"?'
_INNER_QUOTES = r'"[^;]*"(?=\s{0,8}(?:;|\Z))'  # `"the "big" one.pdf"`
_PARAMETER = re.compile(rf"[;]\s*{_TOKEN}({_STRING}(?=\s{{0,8}}(?:[;(]|\Z))|{_INNER_QUOTES}|{_STRING}|[^;]*)", re.DOTALL)
_KNOWN = (
    r"(?:(?:charset|boundary|format|delsp|(?:file)?name|type|size|protocol|micalg|report-type|method)\*?"
    r"|[a-z-]{1,20}\*\d{1,3}\*?)"
)
_UNSEPARATED = re.compile(rf"{_STRING}|[\s,:]{{1,8}}(?={_KNOWN}\s{{0,8}}=)", re.DOTALL | re.IGNORECASE)
_NAMES = ("filename", "name")  # may hold blanks and brackets, quoted or not
_SECTION = re.compile(r"(.+?)(?:\*(\d{1,3}))?(\*)?")
_ESCAPED = re.compile(r'\\(["\\])')
_COMMENT = re.compile(r"\([^()]*\)")
_CHARSET_FIRST = re.compile(r"[A-Za-z][\w.:-]{1,40}'[A-Za-z-]{0,20}'[^']*%[0-9A-Fa-f]{2}")  # without the star that says so
_PERCENT = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")
_PLAIN, _EXTENDED = -1, -2  # the order of `name=` and `name*=`; a number is that of `name*0=`
_ID = re.compile(r"<([^<>]{1,998})>")
_SPACE = re.compile(r"\s+")


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """Split a field into its lower-case main value and its decoded parameters (RFC 2045, 5.1; RFC 2231)."""
    if value.count("=") > value.count(";"):
        value = _separated(value)
    main, _, _ = value.partition(";")
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for _count, found in zip(range(PARAMETERS), _PARAMETER.finditer(value, len(main)), strict=False):
        name, number, starred = _SECTION.fullmatch(found[1].lower()).groups()  # type: ignore[union-attr]
        order = int(number) if number else _EXTENDED if starred else _PLAIN
        sections.setdefault(name, []).append((order, bool(starred), _unquoted(found[2], name)))
    return _main(main), {name: _parameter(name, parts) for name, parts in sections.items()}


def _separated(value: str) -> str:
    """Put in the semicolons that are missing before a parameter of a known name."""
    first, _, glued = value.partition(";")[0].strip().partition(" ")
    if "=" in glued:
        value = f"{first}; {value.strip()[len(first) :]}"
    return _UNSEPARATED.sub(lambda found: found[0] if found[0][0] == '"' else "; ", value)


def _main(text: str) -> str:
    """Return the main value as one word: no comments, no quotes, no blanks around its slash."""
    text = text.strip().lower()
    if text.isalnum() or text.replace("/", "", 1).replace("-", "").isalnum():
        return text
    words = _COMMENT.sub(" ", text).strip(" \t\"'").replace(" /", "/").replace("/ ", "/").split()
    return words[0].rstrip(",:\"'") if words else ""


def _unquoted(value: str, name: str) -> str:
    value = value.strip()
    if value.startswith('"'):
        return _ESCAPED.sub(r"\1", value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:])
    return value if name in _NAMES or "(" not in value else _COMMENT.sub("", value).strip()


def _parameter(name: str, parts: list[tuple[int, bool, str]]) -> str:
    """Put one parameter together: `name*` wins over `name*0`, `name*1`..., and they over `name` (RFC 2231, 3 and 4)."""
    plain = [part for part in parts if part[0] == _PLAIN]
    numbered = sorted((part for part in parts if part[0] >= 0), key=lambda part: part[0])
    extended = [part for part in parts if part[0] == _EXTENDED and part[2]][:1] or numbered
    if any(starred for _, starred, _ in extended):
        return _extended(extended)
    text = "".join(text for _, _, text in extended) if extended else plain[0][2] if plain else ""
    return _file_name(text) if name in _NAMES else charsets.clean(decode_words(text))


def _file_name(text: str) -> str:
    """Decode a file name that is percent-encoded without saying so, as web programs write it; else by its encoded words."""
    if _CHARSET_FIRST.match(text):
        return _extended([(0, True, text)])
    data = _unescaped(text) if _PERCENT.search(text) else b""
    return charsets.clean(data.decode("utf-8") if data and charsets.fits(data, "utf-8") else decode_words(text))


def _extended(sections: list[tuple[int, bool, str]]) -> str:
    charset, body = None, sections[0][2]
    if sections[0][1] and body.count("'") >= 2:
        charset, _, body = body.split("'", 2)
    texts = [(starred, body if at == 0 else text) for at, (_, starred, text) in enumerate(sections)]
    data = b"".join(_unescaped(text) if starred else text.encode("utf-8", "replace") for starred, text in texts)
    return charsets.clean(charsets.decode(data, charset))


def _unescaped(text: str) -> bytes:
    return unquote_to_bytes(text.encode("utf-8", "replace"))


def message_ids(value: str) -> tuple[str, ...]:
    """Return the ids a field names, in order, without brackets; words around them are ignored (RFC 5322, 3.6.4)."""
    if "<" not in value and ("=?" in value or "&lt;" in value):  # encoded by a program that took it for text
        value = decode_words(value).replace("&lt;", "<").replace("&gt;", ">")
    found = _ID.findall(value) or [word.strip("<>\"',;()") for word in value.split() if "@" in word]
    ids = list(dict.fromkeys(filter(None, map(_bare_id, found))))
    return tuple(ids if len(ids) <= REFERENCES else ids[:100] + ids[100 - REFERENCES :])  # the root and the newest matter


def _bare_id(written: str) -> str:
    """Return an id without the blanks and comments that the obsolete syntax allows in it (RFC 5322, 4.5.4)."""
    if len(written) > ID_CHARACTERS:
        return ""
    if not _SPACE.search(written):
        return written
    return _SPACE.sub("", _COMMENT.sub(" ", written) if "(" in written else written)


def message_id(value: str) -> str | None:
    """Return the id of a Message-ID field, or None if it names none."""
    return next(iter(message_ids(value) or tuple(value.strip().strip("<>").split()[:1])), None)


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan gen ene sty oca янв",
            "feb fev lut helm sub фев",
            "mar mrt mrz maa мар",
            "apr avr abr kwi nis апр",
            "may mai maj mei mag май мая",
            "jun juin giu cze haz июн",
            "jul juil lug lip tem июл",
            "aug aou ago sie agu авг",
            "sep set wrz eyl сен",
            "oct okt ott out paz eki окт",
            "nov lis kas ноя",
            "dec dez dic des gru ara дек",
        ),
        1,
    )
    for name in names.split()
}
_AMERICAN = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_EUROPEAN = {"bst": 1, "cet": 1, "cest": 2, "met": 1, "mest": 2, "eet": 2, "eest": 3, "msk": 3, "msd": 4}
_ZONES = {**_AMERICAN, **_EUROPEAN, "ist": 5.5, "hkt": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11}
_DAY, _YEAR = r"(?P<day>\d{1,2})", r"(?P<year>\d{4})"
_MONTH = r"(?P<month>[^\W\d_]{3,12})"
_OF, _AT = "(?:de )?", "(?:at |um )?"
_CLOCK = (
    r"(?P<hour>\d{1,2})\s?[:.]\s?(?P<minute>\d{1,2})(?:\s?[:.]\s?(?P<second>\d{1,2}))?(?:[.,]\d{1,9})?"
    r"(?:\s?(?P<half>[AP])\.?M\b\.?| Uhr)?"
)
_ZONE = r"(?:\s*\"?(?P<zone>(?:GMT|UTC?|Z)?[+-]\s?\d{1,2}(?::?\d{2})?|\d{4}(?!\d)|[A-Za-z]{1,5}))?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_DAY}(?:\.|[a-z]{{2}}|º)?[ \-.]*{_OF}{_MONTH}[ \-.,]*{_OF}(?P<year>\d{{2,4}})(?!\d)[ ,T]*{_AT}(?:{_CLOCK}{_ZONE})?",
        rf"{_MONTH}\.? +{_DAY}[ ,]+{_CLOCK}(?: +[A-Z]{{3,4}})?{_ZONE} +{_YEAR}(?:\s*(?P<later>[+-]\d{{4}}))?",
        rf"{_MONTH}\.? +{_DAY},? +{_YEAR}[ ,]+{_AT}{_CLOCK}{_ZONE}",
        rf"{_YEAR}[-/](?P<month>\d{{1,2}})[-/]{_DAY}(?:(?: [A-Z]{{2,3}}\b)?[ T]+{_CLOCK}{_ZONE})?",
        rf"\b{_YEAR}(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d){_ZONE}",
        rf"{_DAY}\.(?P<month>\d{{1,2}})\.{_YEAR}[ ,]+(?:{_CLOCK}{_ZONE})?",
        rf"(?P<month>\d{{1,2}})/(?P<day>1[3-9]|2\d|3[01])/{_YEAR}[ ,]+{_CLOCK}{_ZONE}",  # the other order would be no day
        rf"(?P<day>1[3-9]|2\d|3[01])/(?P<month>\d{{1,2}})/{_YEAR}[ ,]+{_CLOCK}{_ZONE}",
    )
)


def date(value: str) -> str | None:
    """Return a date as UTC in ISO 8601, or None if it is not usable (RFC 5322, 3.3 and 4.3)."""
    value = value[:DATE_CHARACTERS]
    for _ in range(COMMENTS if "(" in value else 0):
        value = _COMMENT.sub(" ", value)  # the inner ones first
    value = " ".join(value.replace("=2C", ",").split())
    for pattern in _DATES:
        found = pattern.search(value)
        if found:
            try:
                return _instant(found.groupdict()).isoformat()
            except (ValueError, OverflowError, KeyError):
                continue
    return None


def _instant(part: dict[str, str | None]) -> datetime:
    year, hour = int(part["year"] or 0), int(part.get("hour") or 0)
    century = 0 if year >= 1000 else 1900 if year >= 50 else 2000
    half = (part.get("half") or "").lower()
    moment = datetime(
        year + century,
        _month(part["month"] or ""),
        int(part["day"] or 0),
        hour % 12 + 12 * (half == "p") if half and hour <= 12 else hour,
        int(part.get("minute") or 0),
        min(int(part.get("second") or 0), 59),
        tzinfo=timezone(_offset(part.get("later") or part.get("zone") or "")),
    )
    return moment.astimezone(UTC)


def _month(name: str) -> int:
    """Return the number of a month by its first letters, in the languages that mailers translate it to."""
    if name.isdigit():
        return int(name)
    letters = "".join(char for char in unicodedata.normalize("NFD", name.lower()) if char.isalpha())
    return _MONTHS.get(letters[:4]) or _MONTHS[letters[:3]]


def _offset(zone: str) -> timedelta:
    digits = re.search(r"([+-]|^)\s?(\d{1,2}?)(?::?(\d{2}))?$", zone)
    if not digits:
        return timedelta(hours=_ZONES.get(zone.lower(), 0))
    size = timedelta(hours=int(digits[2]), minutes=int(digits[3] or 0))
    return timedelta() if size >= timedelta(days=1) else -size if digits[1] == "-" else size
