"""Address lists (RFC 5322, 3.4): names, groups, comments, and what mailers really write. No recursion, one pass."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.letter import Address
from pipeline.mime.charsets import clean
from pipeline.mime.words import decode_words

ADDRESSES = 1000  # per header
NAME_PIECES = 3  # of a name with commas that nobody quoted: `Example, Ann, Dr. <ann@example.com>`

_ENCODED = r"=\?[^?\s]{1,60}\?[BbQq]\?[^?\s]*\?="  # its specials are part of it, whatever the standard says
_LITERAL = r"\[[0-9A-Za-z.:-]{2,100}\](?=[\s>,;)]|$)"  # the domain of `ann@[192.0.2.1]`
_TOKEN = re.compile(rf'{_ENCODED}|{_LITERAL}|["()<>,;:\[]|=|(?:[^"()<>,;:=\\\[]|=(?!\?)|\\.|\\$)+', re.DOTALL)
_HIDDEN = re.compile(rf'{_ENCODED}|"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_QUOTES = re.compile(r'"((?:[^"\\]|\\.)*+)"?', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACED_AT = re.compile(r" ?@ ?")
_SPACED_DOT = re.compile(r" ?\. ?")
_DOMAIN = r"(?:[^\s@<>,;()\[\]\"\x00-\x1f\x7f]{1,255}|\[[0-9A-Za-z.:-]{2,100}\])"
_ATOM = r"[^\s@<>\[\]\"\x00-\x1f\x7f]{1,256}"
_USABLE = re.compile(rf"{_ATOM}(?:@{_ATOM})?@{_DOMAIN}")  # also `ann@host@example.com`: the last one counts
_QUOTED_LOCAL = re.compile(rf'"[^"\x00-\x1f\x7f]{{1,256}}"@{_DOMAIN}')
_MAILTO = re.compile(r"mailto:([^\s<>()\[\],;?\"]{1,600})(?:\?[^\s<>()\[\],;\"]*)?", re.IGNORECASE)
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}@[A-Za-z0-9.-]{1,190}[A-Za-z0-9]"
_SIMPLE = re.compile(
    rf'(?:([A-Za-z0-9][A-Za-z0-9 .-]*+)|"([A-Za-z0-9][^"\\=@<>\x00-\x1f\x7f-\U0010ffff]*+)" ?)?<({_PLAIN})>|({_PLAIN})'
)
_NEEDLESS = re.compile(r"\"([\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*+)\"@")  # quotes around an atom
_APPENDED = re.compile(r"(?<=[:;])@[\w.-]{1,255}(?=[;,>\s]|\Z)")  # what a server made of `undisclosed-recipients:;`
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_FULL_WIDTH = str.maketrans("＜＞＠，；", "<>@,;")


@dataclass(slots=True)
class _Mailbox:
    """What was seen of one mailbox so far."""

    phrase: list[str] = field(default_factory=list)  # as written, quotes kept: the address may be among the words
    angle: list[str] | None = None
    after: list[str] = field(default_factory=list)  # words behind the brackets
    comments: list[str] = field(default_factory=list)

    def seen(self) -> bool:
        return self.angle is not None or any(word.strip() for word in self.phrase)

    def only_words(self) -> bool:
        """Say whether this may be the first part of a name that has a comma in it."""
        return self.angle is None and not self.comments and "@" not in "".join(self.phrase)


def addresses(value: str) -> list[Address]:
    """Read an address list; the address is taken from the raw words, only the name is decoded."""
    simple = _SIMPLE.fullmatch(value)
    if simple:
        return [Address(" ".join((simple[1] or simple[2] or "").split()), simple[3] or simple[4])]
    if not value.isascii() and not ("<" in value and "@" in value):
        value = value.translate(_FULL_WIDTH)  # typed with an East Asian keyboard
    return _Reader(value).read()


class _Reader:
    """Walk over the tokens of a list; `depth` counts open comments, `inside` says whether we are in angle brackets."""

    def __init__(self, value: str) -> None:
        self.value = _APPENDED.sub("", _MAILTO.sub(r"\1", value)) if ":" in value else value
        self.found: list[Address] = []
        self.box = _Mailbox()
        self.waiting: list[_Mailbox] = []  # words before a comma: mailboxes without an address, or parts of the next name
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
        self._settle()
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
        if self.box.angle is None:
            return self.box.phrase
        return self.box.angle if self.inside else self.box.after

    def _comment(self, token: str) -> None:
        """Keep what stands in a comment, brackets inside it too."""
        outside = self.depth == 0
        self.depth = max(self.depth + {"(": 1, ")": -1}.get(token, 0), 0)
        if outside and self.depth and self.box.comments:
            self.box.comments.append(" ")
        elif not outside and self.depth + (token != ")"):
            self.box.comments.append(token)

    def _open(self) -> None:
        if self.box.angle is not None and not self.inside:
            self._open_again()
        if self.box.angle is None:
            self.box.angle, self.inside = [], True

    def _open_again(self) -> None:
        """Begin a second mailbox, its comma is missing; but brackets without an address belong to the name."""
        box = self.box
        if _usable("".join(box.angle or ())):
            words, box.after = box.after, []
            self._finish()
            self.box.phrase = words
        else:
            box.phrase += ["<", *(box.angle or ()), ">", *box.after]
            box.angle, box.after = None, []

    def _close(self) -> None:
        self.inside = False

    def _separate(self) -> None:
        if not self.inside or not _is_route(self.box.angle or []):
            self._finish(comma=True)

    def _semicolon(self) -> None:
        self._finish()
        self._settle()

    def _colon(self) -> None:
        if self.inside and self.box.angle is not None:
            self.box.angle.clear()  # the end of a route
        elif self.box.angle is not None:
            self._finish()
        else:
            self._settle()
            self.box = _Mailbox()  # the name of a group

    def _finish(self, *, comma: bool = False) -> None:
        if self.box.seen():
            if comma and self.box.only_words():
                self.waiting.append(self.box)
                self._settle(at_least=NAME_PIECES)
            else:
                self._add(self.box)
        self.box, self.inside = _Mailbox(), False

    def _add(self, box: _Mailbox) -> None:
        """Keep a mailbox; the words before its comma are the beginning of its name, unless they are many."""
        if box.angle is not None and any(word.strip() for word in box.phrase):
            for part in reversed(self.waiting):
                box.phrase[:0] = [*part.phrase, ", "]
            self.waiting = []
        self._settle()
        self.found.extend(_mailboxes(box))

    def _settle(self, at_least: int = 0) -> None:
        """Give up waiting for the rest of a name: so many words are mailboxes without an address."""
        if len(self.waiting) >= at_least:
            for box in self.waiting:
                self.found.extend(_mailboxes(box))
            self.waiting = []


_ACTIONS = {"<": _Reader._open, ">": _Reader._close, ",": _Reader._separate, ";": _Reader._semicolon, ":": _Reader._colon}


def _is_route(words: list[str]) -> bool:
    """Say whether brackets begin with a source route, `<@a,@b:c@d>` (RFC 5322, 4.4)."""
    if len(words) == 1 and not words[0].strip():
        words.clear()
    return not words or words[0].lstrip().startswith("@")


def _mailboxes(box: _Mailbox) -> list[Address]:
    """Read the mailbox that was seen, or those that its words hold if its brackets hold none."""
    outside = f"{''.join(box.phrase)} {''.join(box.after)}"
    if box.angle is None:
        return _bare(outside, box.comments, may_be_quoted=True)
    address = _usable("".join(box.angle))
    if not address and "@" in outside:
        return _bare(outside, box.comments or box.angle, may_be_quoted=False)
    name = _name(box.phrase) or _name(box.after) or _name(box.comments if address else box.angle)
    return [Address(name, address)] if name or address else []


def _bare(text: str, name_instead: list[str], *, may_be_quoted: bool) -> list[Address]:
    """Find addresses in words without brackets: `ann@example.com`, `Ann ann@example.com`, `ann @ example.com`."""
    text = _SPACED_AT.sub("@", " ".join(text.split()))
    raw = _HIDDEN.sub(_blank, text) if "=?" in text or '"' in text else text
    if may_be_quoted and not raw.strip() and _USABLE.fullmatch(text.strip('"')):  # nothing but an address in quotes
        text = raw = text.strip('"')
    places = [*_QUOTED_LOCAL.finditer(raw)] or [*_USABLE.finditer(raw)]
    if not places:
        return [Address(_name([text]) or _name(name_instead), None)]
    ends = [0, *(place.end() for place in places)]
    names = [text[start : place.start()] for start, place in zip(ends, places, strict=False)]
    if len(places) == 1:
        names = [f"{names[0].rstrip('[ ')} {text[ends[-1] :].lstrip('] ')}"]
    people = [Address(_name([name]), _usable(place[0])) for name, place in zip(names, places, strict=True)]
    people[-1] = people[-1] if people[-1].name else Address(_name(name_instead), people[-1].address)
    return people


def _blank(hidden: re.Match[str]) -> str:
    """Blank out what is no address: an encoded word, and quoted words unless they are a local part."""
    local_part = hidden[0].startswith('"') and hidden.string.startswith("@", hidden.end())
    return hidden[0] if local_part else " " * len(hidden[0])


def _usable(text: str) -> str | None:
    text = _SPACED_AT.sub("@", " ".join(text.split())).strip("'[]" if "@[" not in text else "'").rstrip(".")
    if " " in text and not text.startswith('"'):
        text = _SPACED_DOT.sub(".", text)
    if text.startswith('"'):
        text = _NEEDLESS.sub(r"\1@", text[1:-1] if _QUOTED.fullmatch(text) else text, count=1)
    return clean(text) if _USABLE.fullmatch(text) or _QUOTED_LOCAL.fullmatch(text) else None


def _name(words: list[str]) -> str:
    text = "".join(words)
    if '"' in text:
        text = _QUOTES.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]), text)
    text = " ".join(_CONTROL.sub(" ", decode_words(text)).split())
    return clean(text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text)
