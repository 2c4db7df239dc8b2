"""Address lists (RFC 5322, 3.4): names, groups, comments, and what mailers really write. No recursion, one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.letter import Address
from pipeline.mime.charsets import clean
from pipeline.mime.words import decode_words

ADDRESSES = 1000  # per header

_ENCODED = r"=\?[^?\s]{1,60}\?[BbQq]\?[^?\s]*\?="  # its specials are part of it, whatever the standard says
_TOKEN = re.compile(rf'{_ENCODED}|["()<>,;:]|=|(?:[^"()<>,;:=\\]|=(?!\?)|\\.|\\$)+', re.DOTALL)
_WORD = re.compile(_ENCODED)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACED_AT = re.compile(r" ?@ ?")
_USABLE = re.compile(r"[^\s@<>\x00-\x1f\x7f]{1,256}@[^\s@<>,;()\x00-\x1f\x7f]{1,255}")
_QUOTED_LOCAL = re.compile(r'"[^"\x00-\x1f\x7f]{1,256}"@[^\s@<>,;()\x00-\x1f\x7f]{1,255}')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(slots=True)
class _Mailbox:
    """What was seen of one mailbox so far."""

    phrase: list[str] = field(default_factory=list)  # as written, quotes kept: the address may be among the words
    angle: list[str] | None = None
    comments: list[str] = field(default_factory=list)

    def seen(self) -> bool:
        return bool(self.angle is not None or self.comments or any(word.strip() for word in self.phrase))


def addresses(value: str) -> list[Address]:
    """Read an address list; the address is taken from the raw words, only the name is decoded."""
    return _Reader(value).read()


class _Reader:
    """Walk over the tokens of a list; `depth` counts open comments, `inside` says whether we are in angle brackets."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.found: list[Address] = []
        self.box = _Mailbox()
        self.depth = 0
        self.inside = False
        self.quotes = True  # after a quote that never closes there are no quoted strings any more

    def read(self) -> list[Address]:
        at = 0
        while at < len(self.value) and len(self.found) < ADDRESSES:
            token = _TOKEN.match(self.value, at)
            if token is None:
                at += 1
                continue
            at = self._quoted(at) if token[0] == '"' and self.quotes and not self.depth else self._plain(token[0], token.end())
        self._finish()
        return self.found

    def _quoted(self, at: int) -> int:
        quoted = _QUOTED.match(self.value, at)
        if quoted is None:
            self.quotes = False
            return at + 1
        self._words().append(quoted[0])
        return quoted.end()

    def _plain(self, token: str, end: int) -> int:
        if self.depth or token in ("(", ")"):
            self._comment(token)
        elif token in _ACTIONS:
            _ACTIONS[token](self)
        else:
            self._words().append(token)
        return end

    def _words(self) -> list[str]:
        return self.box.angle if self.inside and self.box.angle is not None else self.box.phrase

    def _comment(self, token: str) -> None:
        self.depth += {"(": 1, ")": -1}.get(token, 0) if self.depth or token == "(" else 0
        if token not in ("(", ")"):
            self.box.comments.append(token)

    def _open(self) -> None:
        if self.box.angle is None:
            self.box.angle, self.inside = [], True

    def _close(self) -> None:
        self.inside = False

    def _separate(self) -> None:
        if self.inside and self.box.angle and self.box.angle[0].lstrip().startswith("@"):
            return  # a source route, <@a,@b:c@d>
        self._finish()

    def _colon(self) -> None:
        if self.inside and self.box.angle:
            self.box.angle.clear()  # the end of a route, or mailto:
        elif not self.inside and self.box.angle is None:
            self.box = _Mailbox()  # the name of a group

    def _finish(self) -> None:
        if self.box.seen():
            self.found.append(_address(self.box))
        self.box, self.inside = _Mailbox(), False


_ACTIONS = {"<": _Reader._open, ">": _Reader._close, ",": _Reader._separate, ";": _Reader._separate, ":": _Reader._colon}


def _address(box: _Mailbox) -> Address:
    name = _name(box.phrase)
    if box.angle is not None:
        address = _usable("".join(box.angle))
        name = name or (_name(box.comments) if address else _name(box.angle))
        if address or "@" not in "".join(box.phrase):
            return Address(name, address)
    before, address, after = _bare("".join(box.phrase))
    words = [before, after] if address else box.phrase
    return Address(_name(words) or _name(box.comments), address)


def _bare(text: str) -> tuple[str, str | None, str]:
    """Find the address in words without brackets: `ann@example.com`, `Ann ann@example.com`, `ann @ example.com`."""
    text = _SPACED_AT.sub("@", " ".join(text.split()))
    raw = _WORD.sub(lambda word: " " * len(word[0]), text) if "=?" in text else text  # an encoded word is no address
    for pattern in (_QUOTED_LOCAL, _USABLE):
        found = pattern.search(raw)
        if found:
            return text[: found.start()], _usable(found[0]), text[found.end() :]
    return text, None, ""


def _usable(text: str) -> str | None:
    text = _SPACED_AT.sub("@", " ".join(text.split())).strip("'").removeprefix("mailto:").rstrip(".")
    return clean(text) if _USABLE.fullmatch(text) or _QUOTED_LOCAL.fullmatch(text) else None


def _name(words: list[str]) -> str:
    text = "".join(_ESCAPED.sub(r"\1", word[1:-1]) if _QUOTED.fullmatch(word) else word for word in words)
    text = " ".join(_CONTROL.sub(" ", decode_words(text)).split())
    return clean(text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == "'" else text)
