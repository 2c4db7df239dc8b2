"""What servers found about a mail's origin: Authentication-Results as RFC 8601 has it, and as it is really written.

One result a method: for spf the first; for dkim "pass" if any signature passes, since a mail may carry the broken ones of
lists beside a good one (RFC 8601, 2.7.1); for dmarc "pass" only if nothing in the header contradicts it, since parts of the
header are the sender's words. For the same reason an open comment or quote hides all behind it instead of laying it bare.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice, takewhile

from pipeline.letter import Authentication

RECORDS = 20  # headers that are read
CHARACTERS = 8 * 1024  # of one header
WORD = 20
DOMAIN = 253

# Microsoft's servers give no authserv-id; a setting of this value means them (it is the name in their Received-SPF).
MICROSOFT = "protection.outlook.com"

_PIECE = re.compile(r'\\.?|[()"]|[^\\()"]+', re.DOTALL)
_METHOD = re.compile(r"(spf|dkim|dmarc)(?:/\d{1,3})?", re.IGNORECASE)
_RESULT = re.compile(r"[a-z_-]+", re.IGNORECASE)
_SPECIALS = re.compile(r"[\s;=]")
_RENAMED = {"hardfail": "fail"}  # RFC 5451, 2.4.2 called it so
_ATTRIBUTES = frozenset({"reason", "action"})  # stand behind a result, without a dot in their names


def authentications(headers: Sequence[tuple[str, str]]) -> tuple[Authentication, ...]:
    """Read every Authentication-Results header, topmost first (RFC 8601, 2.2); never raises.

    `headers` are (lower-case name, unfolded value) in order. Headers under one server's name are not joined: what stands below
    the topmost may be the sender's forgery.
    """
    values = (value for name, value in headers if name == "authentication-results")
    return tuple(_record(value[:CHARACTERS]) for value in islice(values, RECORDS))


def trusted(auth: Sequence[Authentication], server: str) -> Authentication | None:
    """Return the topmost record if the trusted server wrote it, else None (RFC 8601, 5 and 7.1).

    `server` is the setting TRUSTED_AUTHSERV_ID; letter case does not matter, an empty one trusts nobody.
    - `protection.outlook.com` stands for a topmost header without a name: Microsoft's servers leave it out. Safe where all
      mail comes in through them, as they put theirs on top.
    - `*.example.com` is any server of a hoster that signs with the host's own name (Yahoo, Fastmail, iCloud). Such hosters
      also write a header per method and strip forged ones, so the first of theirs that says anything counts.
    """
    wanted = server.strip().lower().rstrip(".")
    if wanted.startswith("*."):
        leading = takewhile(lambda one: one.server.endswith(wanted[1:]), auth)
        return next((one for one in leading if one.spf or one.dkim or one.dmarc), None)
    name = "" if wanted == MICROSOFT else wanted
    return auth[0] if wanted and auth and auth[0].server == name else None


def _record(value: str) -> Authentication:
    """Read one header: its server, and per method what the rules make of its results."""
    words = _words(_plain(value))
    named = bool(words) and "=" not in words[0] and words[0] not in (";", "none")
    results: dict[str, str] = {}
    domain, method = None, ""
    for name, _, word in (word.partition("=") for word in words[named:]):
        name = name.lower()
        if found := _METHOD.fullmatch(name):
            method = found[1].lower()
            results[method] = _RULES[method](results.get(method), _result(word))
        elif name == "header.from" and method == "dmarc":
            domain = domain or _domain(word)
        elif word and "." not in name and name not in _ATTRIBUTES:
            method = name  # of another method, whose properties are not ours
    server = words[0].lower().rstrip(".,:")[:DOMAIN] if named else ""
    spf, dkim, dmarc = (results.get(one) or None for one in _RULES)
    return Authentication(server, spf, dkim, dmarc, domain)


def _first(known: str | None, word: str) -> str:
    return known or word


def _any_pass(known: str | None, word: str) -> str:
    return word if word == "pass" or not known else known


def _all_pass(known: str | None, word: str) -> str:
    return word if known == "pass" or not known else known


_RULES: dict[str, Callable[[str | None, str], str]] = {"spf": _first, "dkim": _any_pass, "dmarc": _all_pass}


def _result(word: str) -> str:
    found = _RESULT.match(word)
    text = found[0][:WORD].lower() if found else ""
    return _RENAMED.get(text, text)


def _domain(word: str) -> str | None:
    domain = word.rpartition("@")[2].strip("<>.,'").lower()
    return domain if domain and len(domain) <= DOMAIN else None


def _plain(value: str) -> str:
    """Return a value without its comments, which nest (RFC 5322, 3.2.2), and each quoted string as one word."""
    kept: list[str] = []
    depth, quoted = 0, False
    for piece in _PIECE.findall(value):
        if piece == '"' and not depth:
            quoted = not quoted
        elif piece in ("(", ")") and not quoted:
            depth = max(depth + (1 if piece == "(" else -1), 0)
            kept.append(" ")
        elif not depth:
            kept.append(_SPECIALS.sub("_", piece) if quoted else piece)
    return "".join(kept)


def _words(text: str) -> list[str]:
    """Split into words and semicolons; `name = value` written with blanks is one word."""
    words: list[str] = []
    for word in text.replace(";", " ; ").split():
        last = words[-1] if words else ";"
        opens = last.endswith("=") and last.count("=") == 1
        if word != ";" and last != ";" and (opens or (word.startswith("=") and "=" not in last)):
            words[-1] = last + word
        else:
            words.append(word)
    return words
