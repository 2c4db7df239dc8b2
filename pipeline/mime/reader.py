"""A mail, read: `read_mail` puts together what the other rooms of this package find. It never raises, and takes linear time."""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from pipeline import markup, trim, trim_html
from pipeline.kinds import kind_of
from pipeline.letter import Address, Attachment, Kind, Mail
from pipeline.mime import authentication, body, charsets, fields, forwarded, identity, report, structure, transfer
from pipeline.mime.addresses import ADDRESSES, addresses
from pipeline.mime.structure import Part
from pipeline.mime.transfer import Source
from pipeline.mime.words import decode_words, raw_text

HEADERS = 200
HEADER_CHARACTERS = 64 * 1024

_SAYS_SOMETHING = re.compile(rb"[^\0 \t\r\n]")
_LINE_TYPES = ("text/", "message/", "multipart/")


def read_mail(raw: bytes | memoryview | mmap.mmap) -> Mail:
    """Read a mail; never raises. What is broken or was left out is told in its defects."""
    try:
        return _read(structure.workable(raw))
    except Exception as error:  # the reader's own fault: the runner makes the mail failed, its bytes are kept
        return Mail(defects=(f"the reader broke: {type(error).__name__}",))


def part_bytes(raw: bytes | memoryview | mmap.mmap, attachment: Attachment) -> bytes:
    """Cut an attachment out of its raw mail and decode it."""
    return transfer.decode(structure.workable(raw)[attachment.start : attachment.end], attachment.encoding)


def html_of(raw: bytes | memoryview | mmap.mmap) -> str | None:
    """Return the HTML body as it was written, not sanitised; None if there is none."""
    data = structure.workable(raw)
    html = body.Body(data).read(structure.split(data)[0]).html
    return None if html is None else charsets.clean(html)


def _read(data: Source) -> Mail:
    root, defects = structure.split(data)
    if not root.fields:
        return _headless(data, defects)
    read = body.Body(data).read(root)
    mail = _read_parts(data, root, read, defects)
    return _with_original(data, _with_report(data, root, mail))


def _read_parts(data: Source, root: Part, read: body.Body, defects: list[str]) -> Mail:
    mail_fields = _mail_fields(data, root, defects)
    text = read.text()
    attachments, contents = _attachments(data, root, read)
    return Mail(
        **mail_fields,
        text=text,
        reply_text=_reply_text(read, text, mail_fields["subject"]),
        has_html=read.html is not None,
        attachments=attachments,
        identity=_identity(root, mail_fields, contents),
        defects=tuple(dict.fromkeys((*defects, *read.defects))),
    )


def _with_original(data: Source, mail: Mail) -> Mail:
    """Find the mail that this one forwards: the one that is attached, else the one in its text."""
    said = trim.is_forwarded(mail.subject)
    attached = [part for part in mail.attachments if part.content_type == "message/rfc822"]
    if len(attached) == 1 and (said or not mail.text.strip()):
        inner = structure.workable(part_bytes(data, attached[0]))
        root, defects = structure.split(inner)
        original = forwarded.attached_original(_read_parts(inner, root, body.Body(inner).read(root), defects))
        return dataclasses.replace(mail, original=dataclasses.replace(original, note=mail.reply_text))
    found = forwarded.inline_original(mail.text, said) if said is not False else None
    if found is None:
        return mail
    note, original = found
    return dataclasses.replace(mail, original=dataclasses.replace(original, note=trim.new_text(note)))


def _with_report(data: Source, root: Part, mail: Mail) -> Mail:
    """Read a delivery report, if it is one: which mail did not arrive, and at whom."""
    if kind_of(mail)[0] is not Kind.BOUNCE:
        return mail
    return dataclasses.replace(mail, bounce=report.bounce_in(data, root, mail.headers, mail.text))


def _headless(data: Source, defects: list[str]) -> Mail:
    """Return what can be said of bytes without any header line: they are no mail."""
    if not _SAYS_SOMETHING.search(data):
        return Mail(defects=("the mail is empty",))
    text = charsets.decode(data[: body.TEXT_CHARACTERS]).replace("\r\n", "\n").replace("\r", "\n")
    return Mail(text=charsets.clean(text), defects=("no header line", *defects))


def _mail_fields(data: Source, root: Part, defects: list[str]) -> dict[str, Any]:
    """Read the header fields that a Mail names."""
    is_raw = any(not value.isascii() for _, value in root.fields)
    charset = structure.own_charset(data, root) if is_raw else None
    texts = [(name, raw_text(value, charset)) for name, value in root.fields]
    values: dict[str, list[str]] = {}
    for name, text in texts:
        values.setdefault(name, []).append(text)
    people = partial(_people, values, defects)
    ids = partial(_ids, values)
    authors, senders = people("from"), people("sender")
    if not any(author.address for author in authors):
        defects.append("no usable From address")
    return {
        "message_id": fields.message_id(_first(values, "message-id")),
        "in_reply_to": ids("in-reply-to"),
        "references": ids("references"),
        "subject": " ".join(decode_words(_first(values, "subject")).splitlines()).strip(),
        "date": _date(values, defects),
        "authors": authors,
        "sender": senders[0] if senders else None,
        "reply_to": people("reply-to"),
        "to": people("to"),
        "cc": people("cc"),
        "auth": authentication.authentications(texts),  # as written: an encoded word in it is the sender's, and no result
        "headers": _headers(texts, defects),
    }


def _first(values: dict[str, list[str]], name: str) -> str:
    return next(iter(values.get(name, ())), "")


def _people(values: dict[str, list[str]], defects: list[str], name: str) -> tuple[Address, ...]:
    """Read the addresses of a field, of all its lines if it is repeated."""
    found = [address for value in values.get(name, ()) for address in addresses(value)]
    if len(found) >= ADDRESSES:
        defects.append(f"more than {ADDRESSES} addresses in {name.title()}: the rest was not read")
    return tuple(found[:ADDRESSES])


def _ids(values: dict[str, list[str]], name: str) -> tuple[str, ...]:
    return fields.message_ids(" ".join(values.get(name, ())))


def _date(values: dict[str, list[str]], defects: list[str]) -> str | None:
    written = _first(values, "date")
    date = fields.date(written)
    if written and date is None:
        defects.append("the Date is not usable")
    return date


def _headers(texts: list[tuple[str, str]], defects: list[str]) -> tuple[tuple[str, str], ...]:
    """Return the first fields, decoded for reading."""
    kept: list[tuple[str, str]] = []
    room = HEADER_CHARACTERS
    for name, written in texts[:HEADERS]:
        text = decode_words(written)
        room -= len(name) + len(text)
        if room < 0:
            break
        kept.append((name, text))
    if len(kept) < len(texts):
        defects.append(f"only the first {len(kept)} headers are listed")
    return tuple(kept)


def _reply_text(read: body.Body, text: str, subject: str) -> str:
    """Return what the writer newly wrote; quotes in HTML are cut by their client's marks first."""
    said = trim.is_forwarded(subject)
    html = None if read.plain else read.html
    if html is not None:
        cut = trim_html.without_quotes(html, said)  # of the whole; most mails have but one piece
        if cut != html or "<blockquote" in html.lower():
            text = read.text(lambda piece: markup.to_text(cut if piece == html else trim_html.without_quotes(piece, said), True))
    return trim.new_text(text, forwarded=said)


def _attachments(data: Source, root: Part, read: body.Body) -> tuple[tuple[Attachment, ...], list[identity.Content]]:
    """Describe every attachment, and digest every leaf part for the identity; each is decoded once, in pieces."""
    found_in: dict[int, list[body.Found]] = {}
    for found in read.found:
        found_in.setdefault(found.part.start, []).append(found)
    attachments: list[Attachment] = []
    contents: list[identity.Content] = []
    for leaf in root.leaves():
        whole = None
        for found in found_in.get(leaf.start, ()):
            measured = _Measured(_pieces(data, found), _has_lines(leaf))
            attachments.append(_attachment(found, measured))
            whole = measured if found.encoding == leaf.encoding else whole
        contents.append(identity.Content(leaf.content_type, leaf.filename, _digest(data, read, leaf, whole)))
    return tuple(attachments), contents


class _Measured:
    """The size and the digests of what a stretch of the mail decodes to."""

    def __init__(self, pieces: Iterable[Any], has_lines: bool) -> None:
        whole = hashlib.sha256()
        lines = identity.Lines() if has_lines else None
        self.size = 0
        for piece in pieces:
            self.size += len(piece)
            whole.update(piece)
            if lines:
                lines.update(bytes(piece))
        self.sha256 = whole.hexdigest()
        self.content = lines.digest() if lines else whole.digest()


def _pieces(data: Source, found: body.Found) -> Iterable[Any]:
    return [found.bytes] if found.bytes is not None else transfer.stream(data, found.start, found.end, found.encoding)


def _has_lines(leaf: Part) -> bool:
    return leaf.content_type.startswith(_LINE_TYPES) or leaf.encoding != "base64"  # its line ends changed on the way


def _attachment(found: body.Found, measured: _Measured) -> Attachment:
    return Attachment(
        found.filename,
        found.content_type,
        measured.size,
        measured.sha256,
        found.inline,
        found.content_id,
        found.path,
        found.start,
        found.end,
        found.encoding,
    )


def _digest(data: Source, read: body.Body, leaf: Part, whole: _Measured | None) -> bytes:
    """Digest a leaf: text by its words, other text by its lines, the rest by its bytes."""
    if leaf.content_type in ("text/plain", "text/html") and leaf.end - leaf.start <= body.TEXT_BYTES:
        return identity.of_text(read.decoded(leaf))
    whole = whole or _Measured(transfer.stream(data, leaf.start, leaf.end, leaf.encoding), _has_lines(leaf))
    return whole.content


def _identity(root: Part, mail_fields: dict[str, Any], contents: list[identity.Content]) -> str:
    """Return the mail's identity; an unusable date or From counts as it is written."""
    author = ", ".join(f"{one.name} <{one.address}>" for one in mail_fields["authors"]) or raw_text(root.get("from"))
    date = mail_fields["date"] or " ".join(raw_text(root.get("date")).split())
    return identity.identity(mail_fields["message_id"], author, date, mail_fields["subject"], contents)
