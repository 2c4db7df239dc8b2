"""What travels down the line: a Letter, the Mail that was read from it, and why it became what it became.

A stage is a function named like its module. What it asks for decides where it runs:

    def parse(letter: Letter) -> Letter                            in a reader process: parallel, killable, no network
    def spam_score(letter: Letter, settings: Settings) -> Letter   in the worker, before the transaction, time-limited
    def match(letter: Letter, desk: Desk) -> Letter                inside the transaction, in order of arrival

(`settings` may be asked for beside `desk`.) A stage returns the letter, changed only by `because`, `settle` or
`with_mail`; has effects only through the desk; may be called again for the same letter; raises `Retry` for "later".
"""

from __future__ import annotations

import dataclasses
import enum
import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REPLY_ABOVE = "## Reply above this line ##"  # stands in what we write; of an answer, only what is above it is new


class Outcome(enum.StrEnum):
    """What became of a mail; exactly these, everywhere."""

    OPENED = "opened"
    COMMENTED = "commented"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    HELD = "held"
    FAILED = "failed"


# What ends a letter's way down the line; an opened or commented one goes on to the stages behind `persist`.
ENDS = frozenset({Outcome.DUPLICATE, Outcome.IGNORED, Outcome.HELD, Outcome.FAILED})


class Kind(enum.StrEnum):
    """What sort of mail it is; the more suspicious word wins (bounce before auto-reply before list)."""

    MESSAGE = "message"
    AUTO_REPLY = "auto-reply"
    BOUNCE = "bounce"
    LIST = "list"


class Place(NamedTuple):
    """Where a file of a mail stands: the box (folder name, `.` is the drop box) and the key (unique file name)."""

    box: str
    key: str


class Step(NamedTuple):
    """One reason: the stage that spoke, and its sentence."""

    stage: str
    why: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.why}"

    @classmethod
    def of(cls, text: str) -> Step:
        """Read `stage: why` as `__str__` writes it."""
        stage, _, why = text.partition(": ")
        return cls(stage, why) if why else cls("", text)


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox as written; `address` is None where nothing usable stood (RFC 5322, 3.4)."""

    name: str = ""
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is no body text: what it is, and where its bytes lie in the raw mail (they are cut when asked for)."""

    filename: str | None
    content_type: str
    size: int  # decoded bytes
    sha256: str  # of the decoded bytes, hex
    inline: bool
    content_id: str | None
    part: str  # IMAP part path, "2.1" (RFC 3501, 6.4.5)
    start: int  # encoded bytes in the raw mail: raw[start:end]
    end: int
    encoding: str  # content transfer encoding, lower case


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A recipient whom a mail did not reach (RFC 3464, 2.3)."""

    address: str | None
    action: str = "failed"  # or "delayed"
    status: str | None = None  # "5.1.1" (RFC 3463)
    reason: str = ""  # what the server said, on one line


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a delivery report tells: which mail did not arrive, at whom, and why."""

    message_id: str | None  # of the mail that bounced, where the report names it
    recipients: tuple[Undelivered, ...] = ()


@dataclass(frozen=True, slots=True)
class Authentication:
    """What one server found about a mail's origin (RFC 8601): "pass", "fail", "none"...; None where it says nothing."""

    server: str  # its authserv-id, lower case; "" where the header has none
    spf: str | None = None
    dkim: str | None = None
    dmarc: str | None = None
    domain: str | None = None  # the domain of From that dmarc judged, lower case


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that another one forwards, as far as it can be read."""

    author: Address | None = None
    date: str | None = None  # UTC, ISO 8601
    subject: str = ""
    text: str = ""
    message_id: str | None = None
    note: str = ""  # what the one who forwards it wrote


class Link(NamedTuple):
    """Another ticket that belongs beside a mail's own, for the agent's eyes."""

    ticket: int
    why: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What triage says of a mail's ticket; None and () where it says nothing."""

    queue: str | None = None
    priority: str | None = None
    assignee: str | None = None
    status: str | None = None
    tags: tuple[str, ...] = ()  # `-x`: to be taken away
    acknowledge: bool = True
    notify: tuple[str, ...] = ()
    requester: Address | None = None


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was read. Texts hold no NUL and no lone surrogate; ids have no angle brackets; dates are UTC, ISO 8601."""

    message_id: str | None = None
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    subject: str = ""
    date: str | None = None
    authors: tuple[Address, ...] = ()  # From; usually one
    sender: Address | None = None  # the Sender header
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    text: str = ""
    reply_text: str = ""
    has_html: bool = False
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # (lower-case name, decoded value), in order, bounded
    identity: str | None = None  # Message-ID, From, Date and content, as one digest; None if nothing was read
    kind: Kind = Kind.MESSAGE
    ticket_numbers: tuple[int, ...] = ()
    auth: tuple[Authentication, ...] = ()  # topmost first; whom to believe is a setting
    bounce: Bounce | None = None
    original: Original | None = None  # where the mail forwards another one
    defects: tuple[str, ...] = ()

    @property
    def author(self) -> Address | None:
        """The first From that names an address, else the first, else None."""
        return next((a for a in self.authors if a.address), self.authors[0] if self.authors else None)

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None; any letter case."""
        name = name.lower()
        return next((value for key, value in self.headers if key == name), None)

    def all_headers(self, name: str) -> list[str]:
        """Return every value of a header, topmost first."""
        name = name.lower()
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail on its way down the line. Frozen: every change is a copy that carries its reason."""

    digest: str  # SHA-256 of the raw bytes, hex
    place: Place
    mail: Mail = field(default_factory=Mail)
    size: int = 0  # bytes of the raw mail; 0 until it was read
    ticket: int | None = None
    outcome: Outcome | None = None
    trail: tuple[Step, ...] = ()
    marks: frozenset[str] = frozenset()  # what was seen: "null-sender", "no-answer", "ours", "spam", ...
    verified: bool | None = None  # is the From proven? None: nobody said
    welcome: bool = True  # the sender belongs to the ticket: may reopen it
    links: tuple[Link, ...] = ()
    orders: Orders = Orders()  # for the ticket, from triage
    raw: bytes | mmap.mmap | None = field(default=None, repr=False, compare=False)  # only inside a reader

    def because(self, text: str, **changes: Any) -> Letter:
        """Return a copy with the changes and, on its trail, the reason (`stage: sentence`)."""
        return dataclasses.replace(self, trail=(*self.trail, Step.of(text)), **changes)

    def settle(self, outcome: Outcome, text: str, **changes: Any) -> Letter:
        """Return a copy with its outcome; unless that is opened or commented, no later stage is asked."""
        return self.because(text, outcome=outcome, **changes)

    def with_mail(self, **changes: Any) -> Letter:
        """Return a copy whose mail has the changes; for what was read, not for what was decided."""
        return dataclasses.replace(self, mail=dataclasses.replace(self.mail, **changes))

    def marked(self, *marks: str) -> Letter:
        """Return a copy with the marks added."""
        return dataclasses.replace(self, marks=self.marks.union(marks))

    @property
    def ended(self) -> bool:
        """Is no further stage to be asked?"""
        return self.outcome in ENDS

    @property
    def named_ids(self) -> tuple[str, ...]:
        """Every id the mail names, the likeliest parent first: In-Reply-To, then References from the last to the first."""
        return tuple(dict.fromkeys((*self.mail.in_reply_to, *reversed(self.mail.references))))


Stage = Callable[..., Letter]


def canonical(address: str) -> str:
    """Return an address in the form in which addresses compare: ASCII-lower local part, A-label domain.

    Never NFKC: look-alikes stay apart (RFC 5891 for the labels, RFC 6532 for the rest).
    """
    local, at, domain = address.rpartition("@")
    if not at:
        return _ascii_lower(address)
    return f"{_ascii_lower(local)}@{'.'.join(_a_label(label) for label in domain.lower().split('.'))}"


def _ascii_lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _a_label(label: str) -> str:
    if label.isascii():
        return label
    return "xn--" + label.encode("punycode").decode("ascii")
