"""Where a link leads: read as a browser reads it, written so that it can be read in one way only, and named for people."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote

LONGEST = 8_000  # characters of an address; trackers need four thousand
LONGEST_HOST = 253  # RFC 1035, 2.3.4
LONGEST_TEXT = 4_000  # characters of a link's text that are compared with its destination
LONGEST_LABEL = 100

_AROUND = "".join(map(chr, range(33)))
_INSIDE = dict.fromkeys(map(ord, "\t\n\r"))
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
_WEB = re.compile(r"[^\w]*(?:https?:|www\.|//)", re.IGNORECASE)
_WWW = re.compile(r"www\.", re.IGNORECASE)
_AUTHORITY_ENDS = re.compile(r"[/\\?#]")
_PORT = re.compile(r":(\d{0,5})\Z")
_PORTS = {"http": "80", "https": "443"}
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER = re.compile(r"0x[0-9a-f]*|\d+")
_STOPS = dict.fromkeys(map(ord, "\u3002\uff0e\uff61"), ".")
# Servers through which companies lead the links of the mails they receive, and the parameter that holds the link.
_CHECKERS = {"safelinks.protection.outlook.com": "url", "linkprotect.cudasvc.com": "a"}
_UNFIT = re.compile(r"[^!-~]|[\"<>`{|}\\^]")

# In the text of a link: a host with, perhaps, what stands around it in an address.
_WORD_HOST = re.compile(r"(?<![\w-])(?:(?:[^\W_][\w-]{0,62}\.){1,10}[^\W\d_][\w-]{1,62}|(?<!\.)(?:\d{1,3}\.){3}\d{1,3}(?![\w.]))")
# What ends like a host and is mostly a file's name.
_FILE = re.compile(
    r".*\.(?:aspx?|bat|bin|bmp|cfg|conf|cpp|css|csv|dll|docx?|eml|exe|gif|gz|html?|ics|ini|jar|java|jpe?g|js|json|jsp|log|md|mov|msi"
    r"|mp[34]|odt|pdf|php|png|pptx?|py|rar|rb|rtf|sh|svg|tar|tex|tgz|tiff?|ts|txt|vcf|xhtml|xlsx?|xml|ya?ml|zip)",
    re.IGNORECASE,
)
_TURNS_SCRIPT = re.compile("[\u202a-\u202e\u2066-\u2069]")
_LOOKS_LATIN = frozenset("авекмнорстухѕіјһԁԛԝүґғӏөєοινρτυκαγωϲ")
_LATIN_BESIDES = frozenset("ßæœøðþłđħ")
_ONE_SCRIPT = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "IDEOGRAPHIC": "CJK"}


class Link(NamedTuple):
    """A link that may be shown."""

    href: str  # ASCII, absolute, without user name and password
    hosts: tuple[str, ...]  # where it leads, in A-labels; a mail's domains; none for a telephone
    label: str  # its destination, for people


def read(href: str) -> Link | None:
    """Return where a link leads, as a browser reads it (WHATWG URL, 4.4), or None if it is no link out of a mail."""
    link = _read(href)
    goal = _read(_goal(link)) if link else None
    if link is None or goal is None or not goal.href.startswith("http"):
        return link
    return Link(link.href, (*goal.hosts, *link.hosts), f"{goal.label} by {link.label}")


def _goal(link: Link) -> str:
    """Return the address to which a server that checks links passes on, or ""."""
    host = link.hosts[0] if link.hosts else ""
    name = next((name for suffix, name in _CHECKERS.items() if host == suffix or host.endswith(f".{suffix}")), None)
    query = link.href.partition("?")[2].partition("#")[0]
    return parse_qs(query, max_num_fields=50).get(name, [""])[0] if name and query.count("&") < 50 else ""


def _read(href: str) -> Link | None:
    text = href.strip(_AROUND).translate(_INSIDE)
    if len(text) > LONGEST:
        return None
    found = _SCHEME.match(text)
    if found:
        reader = _READERS.get(found[1].lower())
        return reader(found[1].lower(), text[found.end() :]) if reader else None
    if text[:2].replace("\\", "/") == "//":
        return _web("https", text)
    return _web("http", text) if _WWW.match(text) else None  # as mail programs mend it


def _web(scheme: str, text: str) -> Link | None:
    text = text.lstrip("/\\")
    end = found.start() if (found := _AUTHORITY_ENDS.search(text)) else len(text)
    authority, rest = text[:end].rpartition("@")[2], text[end:]
    port = _PORT.search(authority)
    host = host_of(authority[: port.start()] if port else authority)
    number = (port[1].lstrip("0") if port else "") or _PORTS[scheme]
    if host is None or int(number) > 65_535:
        return None
    behind = "" if number == _PORTS[scheme] else f":{number}"
    path, mark, query = _partition(rest)
    href = f"{scheme}://{host}{behind}{_fit(path.replace(chr(92), '/'))}{mark}{_fit(query)}"
    return Link(href, (host,), shown_host(host) + behind)


def _partition(rest: str) -> tuple[str, str, str]:
    """Split at the first `?` or `#`: only before it a backslash is a slash."""
    found = re.search(r"[?#]", rest)
    return (rest[: found.start()], found[0], rest[found.end() :]) if found else (rest, "", "")


def _mail(scheme: str, text: str) -> Link:
    addresses = [unquote(one).strip() for one in text.partition("?")[0].split(",")]
    hosts = (host_of(one.rpartition("@")[2]) for one in addresses if "@" in one)
    return Link(
        f"{scheme}:{_fit(text)}", tuple(host for host in hosts if host), _told(", ".join(filter(None, addresses))) or scheme
    )


def _telephone(scheme: str, text: str) -> Link:
    return Link(f"{scheme}:{_fit(text)}", (), _told(unquote(text)) or scheme)


_READERS: dict[str, Callable[[str, str], Link | None]] = {"http": _web, "https": _web, "mailto": _mail, "tel": _telephone}


def _fit(text: str) -> str:
    return _UNFIT.sub(lambda found: quote(found[0].encode("utf-8", "replace"), safe=""), text)


def _told(text: str) -> str:
    """Return text for people: printable, on one line, not long."""
    return "".join(char for char in text[:LONGEST_LABEL] if char.isprintable())


def host_of(text: str) -> str | None:
    """Return a host in the form in which hosts compare, as a browser reads it (WHATWG URL, 3.5), or None if it is none."""
    if text.startswith("["):
        return _ipv6(text)
    if len(text) > 3 * LONGEST_HOST:
        return None
    name = _mapped(unquote(text))
    if len(name) > LONGEST_HOST:
        return None
    name = ".".join(map(_a_label, name.split(".")))
    if len(name) > LONGEST_HOST or not _HOST.fullmatch(name):
        return None
    name = name.removesuffix(".")
    return _ipv4(name) if _NUMBER.fullmatch(name.rpartition(".")[2]) else name


def _mapped(name: str) -> str:
    """Fold case and compatibility forms: browsers do it (UTS 46), so here NFKC shows where a click would lead."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.translate(_STOPS)).lower())
    return "".join(char for char in name if unicodedata.category(char) != "Cf")


def _a_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode", "replace").decode("ascii")


def _ipv6(text: str) -> str | None:
    try:
        return f"[{ipaddress.IPv6Address(text[1:-1]).compressed}]" if text.endswith("]") and "%" not in text else None
    except ValueError:
        return None


def _ipv4(name: str) -> str | None:
    """Read an address in any of the old ways to write one: 0x7f.1, 2130706433, 0177.0.0.1."""
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        *heads, last = map(_number, parts)
    except ValueError:  # an octal 9
        return None
    if any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        return None
    return str(ipaddress.IPv4Address(sum(head << (24 - 8 * at) for at, head in enumerate(heads)) + last))


def _number(part: str) -> int:
    return int(part[2:] or "0", 16) if part.startswith("0x") else int(part, 8 if part.startswith("0") else 10)


def shown_host(host: str) -> str:
    """Return a host for people: in its own script where no label mixes scripts or passes for Latin, else in A-labels."""
    labels = [_u_label(label) for label in host.split(".")]
    return host if None in labels else ".".join(filter(None, labels))


def _u_label(label: str) -> str | None:
    """Return a label in its own script; None if it might be taken for another."""
    if not label.startswith("xn--"):
        return label
    try:
        text = label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError):
        return None
    letters = [char for char in text if not char.isdecimal() and char != "-"]
    scripts = {_script(char) for char in letters}
    fair = len(scripts) == 1 and text.isprintable() and _mapped(text) == text and _a_label(text) == label
    honest = not all(char in _LOOKS_LATIN for char in letters) and (scripts != {"LATIN"} or all(map(_plainly_latin, letters)))
    return text if fair and honest else None


def _script(char: str) -> str:
    first = unicodedata.name(char, "?").partition(" ")[0]
    return _ONE_SCRIPT.get(first, first)


def _plainly_latin(char: str) -> bool:
    return unicodedata.normalize("NFD", char)[0].isascii() or char in _LATIN_BESIDES


def deceives(link: Link, text: str) -> bool:
    """Say whether a link's text names a host that is neither its destination nor above or below that, or not what it seems."""
    if _TURNS_SCRIPT.search(text):
        return True  # what is read is not what is written
    words = unicodedata.normalize("NFKC", text[:LONGEST_TEXT].translate(_STOPS)).split()
    named = {host for word in words for host in _hosts_in(_without_marks(word))}
    return any(not any(_akin(host, one) for one in link.hosts) or "xn--" in shown_host(host) for host in named)


def _without_marks(word: str) -> str:
    return word if word.isascii() else "".join(char for char in word if unicodedata.category(char) != "Cf")


def _hosts_in(word: str) -> list[str]:
    """Name the hosts that a reader sees in a word: in its first address, not in its path; before an `@` only in a web address."""
    first = _WORD_HOST.search(word)
    if first is None:
        return []
    end = found.start() if (found := _AUTHORITY_ENDS.search(word, first.start())) else len(word)
    web = bool(_WEB.match(word))
    names = [
        found[0] for found in _WORD_HOST.finditer(word, first.start(), end) if web or word[found.end() : found.end() + 1] != "@"
    ]
    return [host for name in names if (web or "@" in word or not _FILE.fullmatch(name)) and (host := host_of(name))]


def _akin(one: str, other: str) -> bool:
    """Say whether two hosts are the same, or one stands below the other."""
    one, other = one.removeprefix("www."), other.removeprefix("www.")
    return one == other or _below(one, other) or _below(other, one)


def _below(lower: str, upper: str) -> bool:
    return "." in upper and lower.endswith(f".{upper}")
