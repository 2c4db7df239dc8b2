"""What rules ask about: a mail, and when, where and how it came. Each view of it is made when first asked for, and once."""

from __future__ import annotations

import dataclasses
import datetime
import re
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..letter import Address, Attachment, Mail, canonical

SEARCHED = 100_000  # characters of a text in which words are looked for
TAIL = 4_000  # characters of a longer text whose end is looked at
VALUES = 100  # values of one header, addresses of one field, attachments
LABELS = 10  # of a domain, from its end
DELIVERED_CHARACTERS = 2_000  # of a header that names where a mail was delivered
JOINED = 100  # characters of a word that is composed: longer ones would cost their square

# Where servers write the address that a mail really came to, before what the writer claims; topmost first.
DELIVERED = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
# Where filters write a score, and how. The highest counts: a sender who writes one himself only harms himself.
SCORES = {
    "x-spam-score": re.compile(r"\s{0,9}([+-]?\d{1,6}(?:\.\d{1,6})?)"),
    "x-spam_score": re.compile(r"\s{0,9}([+-]?\d{1,6}(?:\.\d{1,6})?)"),
    "x-rspamd-score": re.compile(r"\s{0,9}([+-]?\d{1,6}(?:\.\d{1,6})?)"),
    "x-spam-status": re.compile(r".{0,99}?\b(?:score|hits)=([+-]?\d{1,6}(?:\.\d{1,6})?)"),
    "x-spamd-result": re.compile(r".{0,99}?\[([+-]?\d{1,6}(?:\.\d{1,6})?)\s?/"),
}
STARS = re.compile(r"\s{0,9}([*+]{1,100})(?![^\s])")  # X-Spam-Level: one for each whole point

_ADDRESS = re.compile(r"[^\s<>@,;]{1,256}@[^\s<>@,;]{1,255}")
_UNSEEN = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")  # soft hyphens and joints, which no reader sees
_COMBINING = re.compile("[\u0300-\u036f\u0653-\u0655\u1161-\u11c2\u3099\u309a]")  # what a composed letter may be made of


def fold(text: str) -> str:
    """Return a text in the form in which words compare.

    In any letter case (the Turkish i with or without its dot too), composed (UAX 15, NFC), without what no reader sees, and
    with one blank between words, since mail breaks lines anywhere.
    """
    text = text.casefold()
    if not text.isascii():
        text = _UNSEEN.sub("", text).replace("i\u0307", "i").replace("ı", "i")
        if _COMBINING.search(text):
            return " ".join(_composed(word) for word in text.split())
    return " ".join(text.split())


def _composed(word: str) -> str:
    return word if word.isascii() or len(word) > JOINED else unicodedata.normalize("NFC", word)


class Text:
    """A text: as it is (`raw`), as words compare up to a limit (`folded`), and its end so, however long it is (`ending`)."""

    __slots__ = ("ending", "folded", "raw")
    raw: str
    folded: str
    ending: str

    def __init__(self, raw: str) -> None:
        self.raw = raw

    def __getattr__(self, name: str) -> str:
        # Called only for what is not made yet; the rules ask for it many thousand times.
        if name == "folded":
            self.folded = fold(self.raw[:SEARCHED])
            return self.folded
        if name == "ending":
            self.ending = self.folded if len(self.raw) <= SEARCHED else fold(self.raw[-TAIL:])
            return self.ending
        raise AttributeError(name)


# The texts of a mail, by the name that rules use; a header's is `header.` and its own.
TEXTS: dict[str, Callable[[Mail], Iterable[str]]] = {
    "subject": lambda mail: (mail.subject,),
    "text": lambda mail: (mail.text,),
    "reply_text": lambda mail: (mail.reply_text,),
    "from_name": lambda mail: (author.name for author in mail.authors[:VALUES]),
}

ADDRESSES: dict[str, Callable[[Mail], Sequence[Address]]] = {
    "from": lambda mail: mail.authors,
    "to": lambda mail: mail.to,
    "cc": lambda mail: mail.cc,
    "reply_to": lambda mail: mail.reply_to,
}


@dataclass(frozen=True)
class Facts:
    """Everything a rule may ask; made by `Facts.of`."""

    mail: Mail
    arrived: datetime.datetime  # in the operator's time zone
    folder: str = "."
    queue: str | None = None
    verified: bool | None = None
    is_reply: bool = False
    size: int = 0  # bytes of the raw mail
    _addressed: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _texts: dict[str, tuple[Text, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        mail: Mail,
        arrived: str | datetime.datetime,
        zone: str = "UTC",
        *,
        folder: str = ".",
        queue: str | None = None,
        verified: bool | None = None,
        is_reply: bool = False,
        size: int = 0,
    ) -> Facts:
        """Return the facts of a mail; `arrived` is ISO 8601 as the store writes it (or a datetime), `zone` is TIME_ZONE."""
        moment = datetime.datetime.fromisoformat(arrived) if isinstance(arrived, str) else arrived
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        local = moment.astimezone(datetime.UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone))
        return cls(mail, local, folder, queue, verified, is_reply, size)

    def in_queue(self, queue: str) -> Facts:
        """Return the same facts of a mail that is in a queue."""
        return dataclasses.replace(self, queue=queue)

    def texts(self, name: str) -> tuple[Text, ...]:
        """Return the texts of a field (`subject`, `header.x-mailer`): none, one, or one for each header line."""
        found = self._texts.get(name)
        if found is None:
            header = name.removeprefix("header.")
            raw = TEXTS[name](self.mail) if header == name else self.headers.get(header, ())
            found = self._texts[name] = tuple(map(Text, raw))
        return found

    @cached_property
    def headers(self) -> dict[str, list[str]]:
        """The values of each header, topmost first."""
        found: dict[str, list[str]] = {}
        for name, value in self.mail.headers:
            if name not in found:
                found[name] = [value]
            elif len(found[name]) < VALUES:
                found[name].append(value)
        return found

    @cached_property
    def recipients(self) -> tuple[str, ...]:
        """Every address the mail came to, as addresses compare: first where servers say it was delivered, then To, then Cc."""
        delivered = (found for name in DELIVERED for value in self.headers.get(name, ()) for found in _addresses_in(value))
        return tuple(dict.fromkeys((*map(canonical, delivered), *_canonical(self.mail.to), *_canonical(self.mail.cc))))

    def addressed(self, name: str) -> frozenset[str]:
        """Return every pattern that holds for an address in a field (`from`, `recipient`)."""
        found = self._addressed.get(name)
        if found is None:
            who = self.recipients if name == "recipient" else _canonical(ADDRESSES[name](self.mail))
            found = self._addressed[name] = frozenset(_patterns(who))
        return found

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments that are looked at."""
        return self.mail.attachments[:VALUES]

    @property
    def null_sender(self) -> bool:
        """Is the envelope sender empty? (RFC 5321, 4.5.5)"""
        return next(iter(self.headers.get("return-path", ())), "").strip() == "<>"

    @cached_property
    def spam_score(self) -> float | None:
        """The highest score that a filter wrote; None where none did."""
        scores = [
            float(found[1])
            for name, pattern in SCORES.items()
            for value in self.headers.get(name, ())
            if (found := pattern.match(value))
        ]
        stars = (STARS.match(value) for value in self.headers.get("x-spam-level", ()))
        # Stars are whole points only: they count where nothing says it closer.
        return max(scores or [float(len(found[1])) for found in stars if found], default=None)


def _canonical(who: Sequence[Address]) -> Iterator[str]:
    return (canonical(one.address) for one in who[:VALUES] if one.address)


def _addresses_in(value: str) -> Iterator[str]:
    for count, found in enumerate(_ADDRESS.finditer(value[:DELIVERED_CHARACTERS]), 1):
        yield found[0]
        if count == VALUES:
            return


def _patterns(addresses: Iterable[str]) -> Iterator[str]:
    """Yield what a rule may write that holds for an address: `a@b.example`, `a@`, `@b.example`, `.b.example`, `.example`."""
    for address in addresses:
        local, at, domain = address.rpartition("@")
        yield from (address, f"{local}{at}", f"{at}{domain}")
        labels = domain.split(".")
        for start in range(max(0, len(labels) - LABELS), len(labels)):
            yield "." + ".".join(labels[start:])
