"""Mails that go out, built as bytes that can hold nothing but what was said: our headers, our recipients, our text.

Nothing is built by the standard library, whose serialiser can be made to add a recipient (gh-121284, gh-121650). Every
value is checked before it is written, and the mail is read again by two readers, ours and the standard library's, which
must both find exactly what went in. A mail is ASCII throughout, in lines of at most 998 characters, so that every relay
passes it on as it is (RFC 5322, 2.1.1; RFC 6532 is asked of nobody).
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import html
import itertools
import quopri
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser

from . import mime
from .errors import CannotSend
from .letter import Address, canonical

EXTRA = frozenset({"Auto-Submitted", "Precedence", "X-Auto-Response-Suppress", "List-Id"})
MOST_RECIPIENTS = 100  # RFC 5321, 4.5.3.1.8: a server need not take more
MOST_BYTES = 35 << 20  # of the whole mail; 25 MB of attachments in base64
LONGEST_SUBJECT = 998
LONGEST_REPLY_SUBJECT = 150  # characters; tag and prefix come on top
LONGEST_NAME = 100
LONGEST_EXTRA = 900
LONGEST_ID = 250
LONGEST_FILENAME = 200
FIRST_REFERENCES, LAST_REFERENCES = 1, 10
QUOTED_LINES = 2_000
LONGEST_LINK = 2_000
DEEPEST_QUOTE = 20

LINE = 76  # RFC 2047, 2: a line with an encoded word
WORD_BYTES = 39  # in an encoded word: 64 characters, so that one stands beside `Reply-To: `
SECTION = 60  # characters in a section of a file name (RFC 2231, 3)

_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, lone surrogates, separators of lines and paragraphs
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*")
_NAME = re.compile(r"[A-Za-z0-9]+(?:[ .'&/+-]{1,2}[A-Za-z0-9]+)*\.?")  # needs quotes and nothing else
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_DOTTED = re.compile(rf'"(?:{_ATEXT}|\.)+"|(?:{_ATEXT}|\.)+')  # `ann..b`: a Japanese provider gave such out; quoted, it is legal
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LETTERS = frozenset({"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"})  # what a label may hold (RFC 5892), beside the hyphen
_ID = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_THEIR_ID = re.compile(r"[!-;=?-~]+")  # whatever a customer's program took for one, but blanks and brackets
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,60}")
_LINK = re.compile(r"https?://[^\s<>\"'`{}|\\^]+", re.IGNORECASE)
_BEHIND_LINK = ".,;:!?)]*_"  # as text has it behind an address
_QUOTE_MARKS = re.compile(r"(?:> ?)+")
_MANGLED = re.compile(rb"^From ", re.MULTILINE)  # mailboxes in one file put a `>` before it
_NOT_IN_BASE64 = ("multipart/", "message/")  # RFC 2045, 6.4

# What programs put before the subject of an answer or a forward, in the languages of the quotes that we know, and more.
_PREFIXES = (
    "re|r|fwd?|fw|i|aw|antw|antwort|wg|sv|vs|vb|vl|odp|pd|rif|res|rv|enc|tr|réf|ref|doorst|ynt|ilt|i̇lt|atb|vá|va|továbbítás|"
    "bls|trs|rsp|fs|ha|na|отв|ответ|пересл|отг|нап|απ|πρθ|σχετ|回复|答复|转发|回覆|答覆|轉寄|轉發|返信|転送|회신|답장|전달|"
    "תגובה|השב|הועבר|رد|ردّ|إعادة توجيه|ตอบ|trả lời|hồi âm|chuyển tiếp"
)
_PREFIX = re.compile(rf"(?:{_PREFIXES})\s{{0,2}}(?:[\[(^]?\d{{1,4}}[\])]?)?\s{{0,2}}[:：]\s{{0,8}}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """An attachment: its name, its type, its bytes."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A mail as it is meant. Ids have no angle brackets; `recipients` stand in To; texts have LF line ends."""

    message_id: str
    sender: Address
    recipients: tuple[Address, ...]
    subject: str
    text: str
    date: datetime
    html: str | None = None
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()  # only those of EXTRA
    attachments: tuple[File, ...] = ()


def compose(outgoing: Outgoing) -> bytes:
    """Build a mail: ASCII, CRLF line ends (RFC 5322, 2047, 2045, 2231).

    Raises:
        CannotSend: a value cannot stand in a mail, or what was built does not read as it was meant.
    """
    _check_size(sum(len(file.content) for file in outgoing.attachments) * 4 // 3)  # before so much is written
    fields = _fields(outgoing)
    raw = "".join(f"{name}: {value}\r\n" for name, value in fields).encode("ascii") + _body(outgoing)
    _check_size(len(raw))
    _check(outgoing, raw, [name for name, _ in fields])
    return raw


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise CannotSend("attachments", f"the mail would have {size >> 20} MB, and {MOST_BYTES >> 20} MB are the most")


# -- headers ---------------------------------------------------------------------------------------------------------


def _fields(outgoing: Outgoing) -> list[tuple[str, str]]:
    if not outgoing.recipients:
        raise CannotSend("To", "there is nobody to send it to")
    if len(outgoing.recipients) + len(outgoing.cc) > MOST_RECIPIENTS:
        raise CannotSend("To", f"there are more than {MOST_RECIPIENTS} recipients")
    fields = [
        ("From", mailbox("From", outgoing.sender)),
        ("To", _mailboxes("To", outgoing.recipients)),
        ("Cc", _mailboxes("Cc", outgoing.cc)),
        ("Reply-To", _mailboxes("Reply-To", outgoing.reply_to)),
        ("Subject", _subject(outgoing.subject)),
        ("Date", _date(outgoing.date)),
        ("Message-ID", f"<{_our_id(outgoing.message_id)}>"),
        ("In-Reply-To", _ids([outgoing.in_reply_to] if outgoing.in_reply_to else [])),
        ("References", _ids(bounded_references(outgoing.references))),
        *((name, _extra(name, value)) for name, value in outgoing.headers),
    ]
    if len({name for name, _ in fields}) < len(fields):
        raise CannotSend("headers", "a header would stand there twice")
    return [(name, value) for name, value in fields if value] + [("MIME-Version", "1.0")]


def _fit(field: str, value: str, allowed: str = "") -> str:
    """Return a value without any character that ends a line, is invisible machinery, or cannot be written."""
    if not value.isascii() or not value.isprintable():
        for char in value:
            if unicodedata.category(char) in _UNFIT and char not in allowed:
                raise CannotSend(field, f"it holds the control character U+{ord(char):04X}")
    return value


def _subject(text: str) -> str:
    if len(text) > LONGEST_SUBJECT:
        raise CannotSend("Subject", f"it has more than {LONGEST_SUBJECT} characters")
    return _unstructured(" ".join(_fit("Subject", text).split()), len("Subject: ")) or "(no subject)"


def _unstructured(text: str, used: int) -> str:
    """Write words as they are where that is safe, else as encoded words (RFC 2047); folded."""
    words = text.split(" ")
    if not text or (_WORDS.fullmatch(text) and "=?" not in text and max(map(len, words)) < LINE - used):
        return _folded(words, used)
    return "\r\n ".join(_encoded_words(text))


def _folded(words: Iterable[str], used: int) -> str:
    lines: list[str] = []
    for word in words:
        if lines and used + len(lines[-1]) + 1 + len(word) <= LINE:
            lines[-1] += f" {word}"
        else:
            used = used if not lines else 1
            lines.append(word)
    return "\r\n ".join(lines)


def _encoded_words(text: str) -> list[str]:
    """Cut a text into encoded words, none within a character (RFC 2047, 5 (3))."""
    pieces, size = [""], 0
    for char in text:
        width = len(char.encode())
        if size + width > WORD_BYTES:
            pieces.append("")
            size = 0
        pieces[-1] += char
        size += width
    return [f"=?utf-8?b?{base64.b64encode(piece.encode()).decode()}?=" for piece in pieces]


def mailbox(field: str, address: Address) -> str:
    """Write a name and an address for a header; the name quoted where that is plainly safe, else encoded.

    Raises:
        CannotSend
    """
    written = strict_address(field, address.address)
    name = " ".join(_fit(field, address.name).split())[:LONGEST_NAME].strip()
    if not name:
        return written if len(written) < 300 else f"<{written}>"
    quoted = f'"{name}"' if len(name) <= LINE - 14 and _NAME.fullmatch(name) else "\r\n ".join(_encoded_words(name))
    return f"{quoted}\r\n <{written}>" if len(quoted) + len(written) > LINE - 14 else f"{quoted} <{written}>"


def _mailboxes(field: str, addresses: Sequence[Address]) -> str:
    return ",\r\n ".join(mailbox(field, address) for address in addresses)


def strict_address(field: str, address: str | None) -> str:
    """Return an address as an envelope and a header take it: ASCII, the domain in A-labels (RFC 5321, 4.1.2; RFC 5890).

    Raises:
        CannotSend
    """
    if not address:
        raise CannotSend(field, "there is no address")
    _fit(field, address)
    local, _, domain = address.rpartition("@")
    shown = address if len(address) <= 100 else address[:99] + "…"
    if not local.isascii():
        raise CannotSend(field, f"{shown} has letters beyond ASCII before the @, which most servers do not take")
    if not _DOTTED.fullmatch(local) or len(local) > 64:
        raise CannotSend(field, f"{shown} is no address")
    bare = local.strip('"')
    labels = [_label(field, shown, label) for label in domain.lower().split(".")]
    if len(address) > 254 or sum(map(len, labels)) + len(labels) > 254:
        raise CannotSend(field, f"{shown} is too long")
    written = bare if _DOT_ATOM.fullmatch(bare) else f'"{bare}"'
    return f"{written}@{'.'.join(labels)}"


def _label(field: str, shown: str, label: str) -> str:
    """Return a label of a domain as an A-label; never NFKC: what is not in that form already is no name (RFC 5891, 5.4)."""
    if not label.isascii() and len(label) <= 63:
        sound = all(char == "-" or unicodedata.category(char) in _LETTERS for char in label)
        if sound and unicodedata.normalize("NFKC", label) == label:
            label = "xn--" + label.encode("punycode").decode("ascii")
    if not _LABEL.fullmatch(label):
        raise CannotSend(field, f"{shown} has no usable domain")
    return label


def _our_id(message_id: str) -> str:
    if len(message_id) > LONGEST_ID or not _ID.fullmatch(message_id):
        raise CannotSend("Message-ID", "it is not of the form that ours have")
    return message_id


def _is_writable(message_id: str) -> bool:
    return len(message_id) <= LONGEST_ID and bool(_THEIR_ID.fullmatch(message_id))


def bounded_references(ids: Sequence[str]) -> list[str]:
    """Return the first id and the last ten, each once: the root and the newest are what programs thread by (RFC 5322, 3.6.4)."""
    sound = list(dict.fromkeys(one for one in ids if _is_writable(one)))
    few = len(sound) <= FIRST_REFERENCES + LAST_REFERENCES
    return sound if few else [*sound[:FIRST_REFERENCES], *sound[-LAST_REFERENCES:]]


def _ids(ids: Iterable[str]) -> str:
    """Write ids, one a line; one that a customer's program made beyond what can be written is left out, not refused."""
    return "\r\n ".join(f"<{one}>" for one in ids if _is_writable(one))


def _date(date: datetime) -> str:
    if date.tzinfo is None:
        raise CannotSend("Date", "it has no time zone")
    return email.utils.format_datetime(date.astimezone(UTC).replace(microsecond=0))


def _extra(name: str, value: str) -> str:
    if name not in EXTRA:
        raise CannotSend("headers", f"{ascii(name[:40])} is none of {', '.join(sorted(EXTRA))}")
    if not _WORDS.fullmatch(value) or "=?" in value or len(value) > LONGEST_EXTRA:
        raise CannotSend(name, "it is not plain words")
    return _folded(value.split(" "), len(name) + 2)


# -- the body --------------------------------------------------------------------------------------------------------


def _body(outgoing: Outgoing) -> bytes:
    """Write the parts and the blank line before them: text, or text and HTML as alternatives, and the files around them."""
    part = _text_part("plain", outgoing.text)
    if outgoing.html is not None:
        part = _multipart("alternative", outgoing.message_id, [part, _text_part("html", outgoing.html)])
    if outgoing.attachments:
        files = [_file_part(file) for file in outgoing.attachments]
        part = _multipart("mixed", outgoing.message_id, [part, *files])
    return part


def _text_part(subtype: str, text: str) -> bytes:
    _fit(subtype.replace("plain", "text"), text, allowed="\n\t")
    data = text.replace("\n", "\r\n").encode()
    quoted = quopri.encodestring(text.encode()).replace(b"\n", b"\r\n")
    short = len(quoted) * 3 <= len(data) * 4 and not _MANGLED.search(quoted)
    encoding, written = ("quoted-printable", quoted) if short else ("base64", _base64(data))
    head = f"Content-Type: text/{subtype}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + written


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _multipart(subtype: str, seed: str, parts: list[bytes]) -> bytes:
    """Join parts; neither base64 nor quoted-printable can hold the boundary's `=_` (RFC 2045, 6.7)."""
    boundary = f"=_{hashlib.sha256(f'{subtype} {seed}'.encode()).hexdigest()[:32]}"
    head = f'Content-Type: multipart/{subtype};\r\n boundary="{boundary}"\r\n\r\n'
    line = f"--{boundary}\r\n".encode()
    return head.encode() + b"".join(line + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _file_part(file: File) -> bytes:
    content_type = file.content_type.lower()
    if not _TYPE.fullmatch(content_type):
        raise CannotSend("attachments", f"{ascii(content_type[:60])} is no type of file")
    if content_type.startswith(_NOT_IN_BASE64):
        content_type = "application/octet-stream"
    head = [
        f"Content-Type: {content_type}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: attachment;\r\n {_filename(file.filename)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + _base64(file.content)


def _filename(name: str) -> str:
    """Write a file name as a parameter, in sections where it is long (RFC 2231, 3 and 4)."""
    _fit("attachments", name)
    if not name.strip() or len(name) > LONGEST_FILENAME or "/" in name or "\\" in name:
        raise CannotSend("attachments", f"{ascii(name[:60])} is no name for a file")
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,57}", name):
        return f'filename="{name}"'
    octets = [chr(one) if chr(one).isascii() and chr(one).isalnum() else f"%{one:02X}" for one in name.encode()]
    sections = [""]
    for octet in octets:
        if len(sections[-1]) + len(octet) > SECTION:
            sections.append("")
        sections[-1] += octet
    if len(sections) == 1:
        return f"filename*=utf-8''{sections[0]}"
    first = f"filename*0*=utf-8''{sections[0]}"
    return ";\r\n ".join([first, *(f"filename*{n}*={text}" for n, text in enumerate(sections[1:], 1))])


# -- read again ------------------------------------------------------------------------------------------------------


def _check(outgoing: Outgoing, raw: bytes, names: list[str]) -> None:
    """Raise unless both readers find in the bytes what went in, and nothing else."""
    if not raw.isascii() or any(len(line) > 998 for line in raw.split(b"\r\n")) or b"\n" in raw.replace(b"\r\n", b""):
        raise CannotSend("the mail", "its lines are not what a relay takes")
    for reader, found in (("ours", _as_we_read(raw)), ("the standard library", _as_others_read(raw))):
        for what, wanted in _wanted(outgoing, names).items():
            if found[what] != wanted:
                raise CannotSend(what, f"{reader} reads it back as another")


def _wanted(outgoing: Outgoing, names: list[str]) -> dict[str, object]:
    extra = ["Content-Type"] + ["Content-Transfer-Encoding"] * (outgoing.html is None and not outgoing.attachments)
    return {
        "headers": [name.lower() for name in (*names, *extra)],
        "From": _compared([outgoing.sender]),
        "To": _compared(outgoing.recipients),
        "Cc": _compared(outgoing.cc),
        "Reply-To": _compared(outgoing.reply_to),
        "Subject": " ".join(outgoing.subject.split()) or "(no subject)",
        "Message-ID": outgoing.message_id,
        "text": outgoing.text.strip(),
        "html": (outgoing.html or "").strip(),
    }


def _compared(addresses: Iterable[Address]) -> list[str]:
    return [canonical(address.address or "").replace('"', "") for address in addresses]


def _as_we_read(raw: bytes) -> dict[str, object]:
    mail = mime.read_mail(raw)
    people = {"From": mail.authors, "To": mail.to, "Cc": mail.cc, "Reply-To": mail.reply_to}
    return {
        "headers": [name for name, _ in mail.headers],
        **{name: _compared(addresses) for name, addresses in people.items()},
        "Subject": mail.subject,
        "Message-ID": mail.message_id,
        "text": mail.text.strip(),
        "html": (mime.html_of(raw) or "").strip(),
    }


def _as_others_read(raw: bytes) -> dict[str, object]:
    message = BytesParser().parsebytes(raw)
    leaves = [part for part in message.walk() if not part.is_multipart() and part.get_content_disposition() != "attachment"]
    texts = {part.get_content_type(): _content(part) for part in leaves}
    return {
        "headers": [name.lower() for name in message],
        **{name: _compared(_others_addresses(message, name)) for name in ("From", "To", "Cc", "Reply-To")},
        "Subject": str(make_header(decode_header(re.sub(r"\r?\n ", " ", str(message["Subject"]))))),
        "Message-ID": str(message["Message-ID"]).strip("<>"),
        "text": texts.get("text/plain", ""),
        "html": texts.get("text/html", ""),
    }


def _others_addresses(message: Message, name: str) -> list[Address]:
    return [Address(*pair) for pair in email.utils.getaddresses(message.get_all(name, []))]


def _content(part: Message) -> str:
    content = part.get_payload(decode=True)
    return content.decode().replace("\r\n", "\n").strip() if isinstance(content, bytes) else ""


# -- what is said in it ----------------------------------------------------------------------------------------------


def new_message_id(domain: str) -> str:
    """Make a Message-ID with 128 random bits: who names it has seen the mail.

    Raises:
        CannotSend: the domain is none.
    """
    labels = [_label("Message-ID", domain[:100], label) for label in domain.lower().split(".")]
    return f"{secrets.token_hex(16)}@{'.'.join(labels)}"


def writable(text: str) -> str:
    """Return text that a mail takes: LF line ends, and none of the controls that word processors and terminals leave."""
    text = re.sub(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]", "\n", text)
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in _UNFIT)


def reply_subject(subject: str, number: str) -> str:
    """Return the subject of an answer: one `Re:`, one tag of this ticket, and the subject without any that it bore."""
    kind = re.escape(number.rpartition("-")[0] or number)
    tag = re.compile(rf"\s?\[{kind}-\d{{1,12}}\]", re.IGNORECASE)
    rest = " ".join(writable(subject[: 10 * LONGEST_REPLY_SUBJECT]).split())
    while tag.search(rest):  # what is left around one may be another
        rest = tag.sub("", rest)
    rest = rest.strip()
    while found := _PREFIX.match(rest):
        rest = rest[found.end() :]
    if len(rest) > LONGEST_REPLY_SUBJECT:
        rest = rest[: LONGEST_REPLY_SUBJECT - 1].rstrip() + "…"
    return f"Re: [{number}] {rest}".rstrip()


def quoted(text: str, author: Address, date: datetime) -> str:
    """Quote a text under a line that says who wrote it and when; of an endless one the first lines."""
    who = " ".join(writable(author.name or author.address or "").split())[:LONGEST_NAME] or "somebody"
    lines = writable(text).strip("\n").split("\n")
    lines = [*lines[:QUOTED_LINES], "[...]"] if len(lines) > QUOTED_LINES else lines
    head = f"On {date.astimezone(UTC):%a, %d %b %Y at %H:%M} UTC, {who} wrote:"
    return "\n".join([head, *(f"> {line}".rstrip() if not line.startswith(">") else f">{line}" for line in lines)])


def as_html(text: str, whole: bool = True) -> str:
    """Return text as HTML that says the same: paragraphs, line breaks, quotes, links to http and https, and nothing else.

    What is quoted gets no links: somebody else wrote it. `whole`: with the elements around a body.
    """
    lines = [(_depth(line), line) for line in writable(text).split("\n")]
    parts: list[str] = []
    for depth, run in itertools.groupby(lines, key=lambda pair: pair[0]):
        inner = _paragraphs([line if not depth else _QUOTE_MARKS.sub("", line, 1) for _, line in run], links=not depth)
        parts.append('<blockquote type="cite">' * depth + inner + "</blockquote>" * depth)
    body = "\n".join(part for part in parts if part)
    return f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>\n" if whole else body


def _depth(line: str) -> int:
    marks = _QUOTE_MARKS.match(line)
    return min(marks[0].count(">"), DEEPEST_QUOTE) if marks else 0


def _paragraphs(lines: Iterable[str], links: bool) -> str:
    runs = itertools.groupby(lines, key=lambda line: bool(line.strip()))
    written = ("<br>\n".join(_marked_up(line, links) for line in run) for said, run in runs if said)
    return "\n".join(f"<p>{paragraph}</p>" for paragraph in written)


def _marked_up(line: str, links: bool) -> str:
    """Escape a line; blanks that text is laid out by stay."""
    pieces, at = [], 0
    for found in _LINK.finditer(line) if links else ():
        address = found[0].rstrip(_BEHIND_LINK)
        if len(address) <= LONGEST_LINK:
            shown, end = html.escape(address), found.start() + len(address)
            pieces += [_escaped(line[at : found.start()]), f'<a href="{shown}">{shown}</a>']
            at = end
    return "".join([*pieces, _escaped(line[at:])])


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("\t", "    ").replace("  ", "\u00a0 ")
