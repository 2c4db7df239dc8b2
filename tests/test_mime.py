"""The mail reader, on mails of our own (tests/mails: NAME.eml beside NAME.json), on tables, on any bytes, and on hostile ones."""

from __future__ import annotations

import dataclasses
import email
import hashlib
import html
import json
import quopri
import re
import time
from binascii import b2a_base64
from collections.abc import Callable
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import SMTP, SMTPUTF8, compat32
from email.utils import format_datetime, formataddr
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.letter import Address, Attachment, Mail
from pipeline.mime import IDENTITY_VERSION, alphabets, fields, html_of, part_bytes, read_mail, structure, transfer
from pipeline.mime.addresses import addresses
from pipeline.mime.charsets import codec_of, decode, fits
from pipeline.mime.words import decode_words, raw_text

MAILS = Path(__file__).parent / "mails"
GOLDENS = sorted(MAILS.rglob("*.eml"))
HEAD = b"From: Ann <ann@example.com>\nDate: Sun, 22 Nov 2026 07:31:00 +0000\nMessage-ID: <a@example.com>\nSubject: Hi\n"


def told(mail: Mail) -> dict[str, Any]:
    """Return what a golden states: every field but the header list and the identity, empty ones left out."""
    everything = json.loads(json.dumps(dataclasses.asdict(mail)))
    return {
        key: value
        for key, value in everything.items()
        if value not in (None, [], "", False) and key not in ("headers", "identity")
    }


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_a_golden_mail_is_read_as_stated(path: Path) -> None:
    """Every mail in tests/mails is read exactly as the JSON beside it says."""
    assert told(read_mail(path.read_bytes())) == json.loads(path.with_suffix(".json").read_text("utf-8"))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_line_ends_do_not_change_what_is_read(path: Path) -> None:
    """A mail with CRLF reads like the same mail with LF, and is the same mail."""
    unix = path.read_bytes().replace(b"\r\n", b"\n")
    ours, theirs = read_mail(unix), read_mail(unix.replace(b"\n", b"\r\n"))
    for name in ("subject", "text", "reply_text", "date", "identity", "in_reply_to", "references", "authors", "to", "defects"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_an_attachment_is_cut_by_its_span(path: Path) -> None:
    """The bytes at an attachment's span have its size and its digest, from bytes and from a memoryview alike."""
    raw = path.read_bytes()
    for attachment in read_mail(raw).attachments:
        decoded = part_bytes(memoryview(raw), attachment)
        assert (len(decoded), hashlib.sha256(decoded).hexdigest()) == (attachment.size, attachment.sha256)


def ordinary(path: Path) -> bool:
    """Say whether the standard library reads this mail the same way: the weird and the guessed are ours alone."""
    beyond = ("boundary-folded-in-quotes", "blanks-before-colons", "base64-with-list-footer", "boundary-never-closed")
    return path.parent == MAILS and path.stem not in beyond


def leaves_of(message: email.message.Message) -> list[bytes]:
    if message.get_content_maintype() == "multipart":
        return [leaf for part in message.get_payload() for leaf in leaves_of(part)]  # type: ignore[union-attr,arg-type]
    if message.get_content_maintype() == "message":
        return [b""]  # the standard library has opened it
    return [message.get_payload(decode=True)]  # type: ignore[list-item]


@pytest.mark.parametrize("path", [path for path in GOLDENS if ordinary(path)], ids=lambda path: path.stem)
def test_leaf_bytes_agree_with_the_standard_library(path: Path) -> None:
    """The decoded leaves of an ordinary mail are those that the compat32 parser finds."""
    raw = path.read_bytes().removeprefix(b"\n")
    root, _ = structure.split(raw)
    ours = [
        b"" if leaf.content_type.startswith("message/") else transfer.decode(raw[leaf.start : leaf.end], leaf.encoding)
        for leaf in root.leaves()
    ]
    assert ours == leaves_of(email.message_from_bytes(raw))


ADDRESSES = {
    "plain": ("ann@example.com", [("", "ann@example.com")]),
    "named": ("Ann Example <ann@example.com>", [("Ann Example", "ann@example.com")]),
    "quoted comma": ('"Example, Ann" <ann@example.com>', [("Example, Ann", "ann@example.com")]),
    "escaped quote": (r'"Ann \"A\" Example" <ann@example.com>', [('Ann "A" Example', "ann@example.com")]),
    "comment as name": ("ann@example.com (Ann)", [("Ann", "ann@example.com")]),
    "group": ("Team: a@example.com, b@example.com;", [("", "a@example.com"), ("", "b@example.com")]),
    "empty group": ("undisclosed-recipients:;", []),
    "semicolons": ("a@example.com; B <b@example.com>", [("", "a@example.com"), ("B", "b@example.com")]),
    "route": ("<@x.example,@y.example:a@example.com>", [("", "a@example.com")]),
    "name is an address": ('"bob@evil.example" <ann@example.com>', [("bob@evil.example", "ann@example.com")]),
    "two in one": ("alice@example.com <bob@example.com>", [("alice@example.com", "bob@example.com")]),
    "unclosed angle": ("Ann <ann@example.com, bob@example.com", [("Ann", "ann@example.com"), ("", "bob@example.com")]),
    "unclosed quote": ('"Ann <ann@example.com>', [("Ann", "ann@example.com")]),
    "unclosed comment": ("ann@example.com (Ann", [("Ann", "ann@example.com")]),
    "no brackets": ("Ann Example ann@example.com", [("Ann Example", "ann@example.com")]),
    "nothing usable": ("root", [("root", None)]),
    "nothing in brackets": ("Ann <>", [("Ann", None)]),
    "encoded name": ("=?utf-8?Q?J=C3=BCrgen?= <j@example.com>", [("Jürgen", "j@example.com")]),
    "address only inside a word": ("=?utf-8?Q?Ann_<ann@example.com>?=", [("Ann <ann@example.com>", None)]),
    "specials in a word": ("=?utf-8?Q?Doe,_J:?= <j@example.com>", [("Doe, J:", "j@example.com")]),
    "utf-8": ("Jörg <jörg@exämple.com>", [("Jörg", "jörg@exämple.com")]),
    "quoted local part": ('"a b"@example.com', [("", '"a b"@example.com')]),
    "blanks": ("a @ example.com", [("", "a@example.com")]),
    "mailto": ("<mailto:a@example.com>", [("", "a@example.com")]),
    "commas only": (",,, ,", []),
    "brackets with nothing": ("<>", []),
    "comma in a bare name": (
        "Doe, Jane, Dr. <jane@example.com>, Roe, Rick <rick@example.com>",
        [("Doe, Jane, Dr.", "jane@example.com"), ("Roe, Rick", "rick@example.com")],
    ),
    "words": ("a, b, c, D <d@example.com>", [("a", None), ("b", None), ("c", None), ("D", "d@example.com")]),
    "no comma between": ("A <a@example.com> B <b@example.com>", [("A", "a@example.com"), ("B", "b@example.com")]),
    "only a blank between": ("a@example.com b@example.com", [("", "a@example.com"), ("", "b@example.com")]),
    "name behind the address": ("<ann@example.com> Ann", [("Ann", "ann@example.com")]),
    "address in a quoted name": ('"bob@evil.example" ann@example.com', [("bob@evil.example", "ann@example.com")]),
    "brackets in a quoted name": ('"Bob <bob@evil.example>" ann@example.com', [("Bob <bob@evil.example>", "ann@example.com")]),
    "brackets in a name": ("Ann <Sales> <ann@example.com>", [("Ann <Sales>", "ann@example.com")]),
    "nothing in brackets, an address behind": ("Ann <Sales> ann@example.com", [("Ann", "ann@example.com")]),
    "escapes in a quoted name": (r'"Ann \"A\" B" ann@example.com', [('Ann "A" B', "ann@example.com")]),
    "name in brackets": ("ann@example.com <Ann Example>", [("Ann Example", "ann@example.com")]),
    "addresses around brackets": ("a@example.com<x>b@example.com", [("", "a@example.com"), ("x", "b@example.com")]),
    "lost bracket": ("Ann ann@example.com>", [("Ann", "ann@example.com")]),
    "double brackets": ("bob@evil.example <<ann@example.com>>", [("bob@evil.example", "ann@example.com")]),
    "quoted address in brackets": ('Ann <"ann@example.com">', [("Ann", "ann@example.com")]),
    "quoted address alone": ('"ann@example.com"', [("", "ann@example.com")]),
    "a quoted name and a local name": ('"bob@evil.example" <root>', [("bob@evil.example", None)]),
    "needless quotes": ('"ann.b"@example.com', [("", "ann.b@example.com")]),
    "two at signs": ("ann@host@example.com", [("", "ann@host@example.com")]),
    "domain literal": ("bob@x.example <a@[IPv6:2001:db8::1]>", [("bob@x.example", "a@[IPv6:2001:db8::1]")]),
    "square brackets": ("Ann [mailto:ann@example.com], [bob@example.com]", [("Ann", "ann@example.com"), ("", "bob@example.com")]),
    "mailto with a subject": ("<mailto:ann@example.com?subject=x>", [("", "ann@example.com")]),
    "blanks in brackets": ("Ann < ann . b (at) @ example . com >", [("Ann", "ann.b@example.com")]),
    "nested comment": ("ann@example.com (Ann (the (one)))", [("Ann (the (one))", "ann@example.com")]),
    "comments alone": ("(nobody)", []),
    "group behind a mailbox": ("A <a@example.com>: b@example.com;", [("A", "a@example.com"), ("", "b@example.com")]),
    "groups in a group": ("Outer: Inner: a@example.com;; b@example.com", [("", "a@example.com"), ("", "b@example.com")]),
    "group with a domain appended": ("undisclosed-recipients:;@example.com, <x:;@example.com>", []),
    "full width": ("アン＜ann＠example.com＞，ben＠example.com", [("アン", "ann@example.com"), ("", "ben@example.com")]),
    "quotes inside an encoded name": ("=?utf-8?Q?=22=C3=84nn_=22A=22_B=22?= <a@example.com>", [('Änn "A" B', "a@example.com")]),
    "more specials": ("=?utf-8?Q?A=2CB=3Cb=40evil.example=3E?= <a@example.com>", [("A,B<b@evil.example>", "a@example.com")]),
    "blanks inside a word": ("=?utf-8?Q?J=C3=BCrgen M=C3=BCller?= <j@example.com>", [("Jürgen Müller", "j@example.com")]),
    "Exchange's own": ("/O=EXAMPLE/OU=FIRST/CN=ANN", [("/O=EXAMPLE/OU=FIRST/CN=ANN", None)]),
    "line break in the name": ("=?utf-8?Q?A=0D=0ABcc:_x?= <a@example.com>", [("A Bcc: x", "a@example.com")]),
}


@pytest.mark.parametrize(("value", "people"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_list_is_read(value: str, people: list[tuple[str, str | None]]) -> None:
    """Names and addresses come out of what the standard allows and of what mailers write."""
    assert addresses(value) == [Address(*one) for one in people]


DATES = {
    "Sun, 22 Nov 2026 08:31:00 +0100": "2026-11-22T07:31:00+00:00",
    "22 Nov 2026 07:31 GMT": "2026-11-22T07:31:00+00:00",
    "Sun, 22 Nov 26 07:31:00 EST": "2026-11-22T12:31:00+00:00",
    "Sun Nov 22 07:31:00 2026": "2026-11-22T07:31:00+00:00",
    "2026-11-22T07:31:00Z": "2026-11-22T07:31:00+00:00",
    "2026-11-22 09:31:00 +02:00": "2026-11-22T07:31:00+00:00",
    "Sun, 22 Nov 2026 07:31:60 +0000 (leap (second))": "2026-11-22T07:31:59+00:00",
    "Thu, 13 Feb 1969 23:32 -0330": "1969-02-14T03:02:00+00:00",
    "Sun, 22 November 2026 07.31.00 +0000": "2026-11-22T07:31:00+00:00",
    "Sun, 31 Feb 2026 07:31:00 +0000": None,
    "Fri, 31 Dec 9999 23:59:00 -2300": None,
    "Sun, 22 Xyz 2026 07:31:00 +0000": None,
    "(a (b)) Sun (day), 22 (d) Nov (m) 2026 07 (h): 31 (n): 00 GMT (d\\) e)": "2026-11-22T07:31:00+00:00",
    "Sun, 22 Nov 126 08:31:00GMT+1": "2026-11-22T07:31:00+00:00",
    "Sun, 22 Nov 2026 08:31:00 0100": "2026-11-22T07:31:00+00:00",
    "Sunday, 22 November 2026 08:31:00 UTC+01:00": "2026-11-22T07:31:00+00:00",
    "Sun Nov 22 08:31:00 2026 +0100": "2026-11-22T07:31:00+00:00",
    "Nov 22, 2026 7:31:00 PM": "2026-11-22T19:31:00+00:00",
    "Sun, 22 Nov 2026 12:05:00 a.m. +0000": "2026-11-22T00:05:00+00:00",
    "22 Nov 2026": "2026-11-22T00:00:00+00:00",
    "2026/11/22 Sun 07:31:00 GMT": "2026-11-22T07:31:00+00:00",
    "20261122T083100+0100": "2026-11-22T07:31:00+00:00",
    "22.11.2026 07:31": "2026-11-22T07:31:00+00:00",
    "11/22/2026 7:31 AM": "2026-11-22T07:31:00+00:00",
    "22/11/2026 07:31": "2026-11-22T07:31:00+00:00",
    "11/12/2026 07:31": None,  # nobody knows which is the month
    "Do, 22 Okt 2026 09:31:00 +0200": "2026-10-22T07:31:00+00:00",
    "So., 22. März 2026 um 08:31 Uhr": "2026-03-22T08:31:00+00:00",
    "dim., 22 févr. 2026 08:31:00 +0100": "2026-02-22T07:31:00+00:00",
    "22 août 2026 09:31:00 +0200": "2026-08-22T07:31:00+00:00",
    "22 juil. 2026 09:31:00 +0200": "2026-07-22T07:31:00+00:00",
    "22 juin 2026 09:31:00 +0200": "2026-06-22T07:31:00+00:00",
    "jue, 22 de ene de 2026 08:31:00 +0100": "2026-01-22T07:31:00+00:00",
    "22 maggio 2026 09:31:00 +0200": "2026-05-22T07:31:00+00:00",
    "22 paź 2026 09:31:00 +0200": "2026-10-22T07:31:00+00:00",
    "22 мая 2026 10:31:00 +0300": "2026-05-22T07:31:00+00:00",
    "1795332660": None,
    "Sun, 22 Nov 2026 24:00:00 +0000": None,
    f"01 Oct {'9' * 10_000} 12:00:00 +0000": None,
    "yesterday": None,
    "": None,
}


@pytest.mark.parametrize(("value", "moment"), DATES.items())
def test_a_date_is_told_in_utc(value: str, moment: str | None) -> None:
    """A date is ISO 8601 in UTC, or nothing if it cannot be one."""
    assert fields.date(value) == moment


IDS = {
    "<a@b>": ("a@b",),
    " <a@b> <c@d>\t<a@b> ": ("a@b", "c@d"),
    "<a@b><c@d>, <e@f>": ("a@b", "c@d", "e@f"),
    'Message from Ann of "today" <a@b>': ("a@b",),
    "<a @ b c>": ("a@bc",),
    "a@b c@d": ("a@b", "c@d"),
    "<a@b": ("a@b",),
    "<a@b (the first)> (and) <c @ d .e>": ("a@b", "c@d.e"),
    "&lt;a@b&gt; &lt;c@d&gt;": ("a@b", "c@d"),
    "=?utf-8?Q?=3Ca=40b=3E?=": ("a@b",),
    "<<a@b>>,'<c@d>'": ("a@b", "c@d"),
    "your message of today": (),
    "<>": (),
    "<": (),
    f"<{'a' * 2000}@b>": (),
}


@pytest.mark.parametrize(("value", "ids"), IDS.items())
def test_ids_are_found_among_words(value: str, ids: tuple[str, ...]) -> None:
    """Every id counts once, in order, without brackets, whatever stands around it."""
    assert fields.message_ids(value) == ids


def test_of_too_many_ids_the_root_and_the_newest_stay() -> None:
    """Five hundred ids are kept: a hundred of the first and four hundred of the last."""
    ids = fields.message_ids(" ".join(f"<{n}@x>" for n in range(900)))
    assert (len(ids), ids[0], ids[99], ids[100], ids[-1]) == (500, "0@x", "99@x", "500@x", "899@x")


WORDS = {
    b"=?utf-8?Q?a=C3?= =?utf-8?Q?=A4b?=": "aäb",
    b"=?utf-8?B?YQ==?= =?iso-8859-1?Q?=E4?=": "aä",
    b"a =?utf-8?Q?b?= c =?utf-8?Q?d?=  =?utf-8?q?e_f?=": "a b c de f",
    b"=?utf-8?Q?not closed": "=?utf-8?Q?not closed",
    b"=?rot13?Q?Uryyb?=": "Uryyb",
    b"=?utf-8?B?////?=": "ÿÿÿ",
    b"=?utf-8?B?YQ?=": "a",
    "Grüße".encode(): "Grüße",
    "Grüße".encode("latin-1"): "Grüße",
    "\u30c6\u30b9\u30c8".encode("iso2022_jp"): "\u30c6\u30b9\u30c8",
    b"a\0b": "ab",
    b"=?utf-8?B?R3LDvMOfZSB?= =?utf-8?B?hdXMgS8O2bG4=?=": "Grüße aus Köln",
    b"=?utf-8?B?YQ?= =?utf-8?B?Yg?=": "ab",
    b"=?utf-8?Q?=C3=A4?= =?utf-8?Q?=FF?= =?utf-8?Q?=C3=B6?=": "äÿö",
    b"=?utf-8?Q?a?b=C3=A4?=": "a?bä",
    b"=?utf-8?Q?a?==?utf-8?Q?b?=x=?utf-8?Q?c?=": "abxc",
    b"=?utf-8*de?Q?=C3=A4?=": "ä",
    b"=? utf-8 ?Q?=C3=A4 b?=": "ä b",
    b"a =?utf-8?Q?K=C3=B6": "a Kö",
    b"a =?utf-8?B?S8O2?": "a Kö",
    b"=?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=3F=3D?=": "=?utf-8?Q?a?=",
    b"=?utf-8?Q?K=C3=B6 not closed": "=?utf-8?Q?K=C3=B6 not closed",
    b"=?utf-8?B??=": "",
    b"is 1 =? 2?": "is 1 =? 2?",
}


@pytest.mark.parametrize(("raw", "text"), WORDS.items(), ids=range(len(WORDS)))
def test_header_text_is_decoded(raw: bytes, text: str) -> None:
    """Encoded words and raw bytes become text; what is broken stays readable."""
    assert decode_words(raw_text(raw)) == text


PARAMETERS = {
    'text/plain; charset="utf-8"': ("text/plain", {"charset": "utf-8"}),
    "Text/HTML ;CHARSET = utf-8 ; x": ("text/html", {"charset": "utf-8"}),
    "text/plain charset=utf-8": ("text/plain", {"charset": "utf-8"}),
    'a/b; name="a;b.txt"; x=y': ("a/b", {"name": "a;b.txt", "x": "y"}),
    "a/b; name*=utf-8''%C3%A4": ("a/b", {"name": "ä"}),
    "a/b; name*0=a; name*1=b; name=c": ("a/b", {"name": "ab"}),
    "a/b; name*1*=%C3%A4; name*0*=koi8-r''": ("a/b", {"name": "ц╓"}),
    r'a/b; name="C:\dir\a.txt"': ("a/b", {"name": r"C:\dir\a.txt"}),
    "image / JPEG (a picture)": ("image/jpeg", {}),
    '"text/plain", charset=utf-8 format=flowed': ("text/plain", {"charset": "utf-8", "format": "flowed"}),
    "text/plain: charset=utf-8 (plain text)": ("text/plain", {"charset": "utf-8"}),
    "multipart/mixed; boundary==_a:b": ("multipart/mixed", {"boundary": "=_a:b"}),
    'a/b name="a (1); charset=x.txt" charset=y': ("a/b", {"name": "a (1); charset=x.txt", "charset": "y"}),
    "attachment; filename=a (1), b.txt; size=3": ("attachment", {"filename": "a (1), b.txt", "size": "3"}),
    'attachment; filename="the "big" one.txt"; size=3': ("attachment", {"filename": 'the "big" one.txt', "size": "3"}),
    r'attachment; filename="a \"b\" \\ c.txt"': ("attachment", {"filename": r'a "b" \ c.txt'}),
    'attachment; filename="a.txt': ("attachment", {"filename": "a.txt"}),
    "attachment; filename==?utf-8?B?w6Q=?=.txt": ("attachment", {"filename": "ä.txt"}),
    'attachment; filename="%C3%A4%20b.txt"': ("attachment", {"filename": "ä b.txt"}),
    'attachment; filename="100%25 %E4.txt"': ("attachment", {"filename": "100%25 %E4.txt"}),
    "attachment; filename=utf-8'de'%C3%A4.txt": ("attachment", {"filename": "ä.txt"}),
    "attachment; filename*0=utf-8''%C3%A4; filename*1=.txt": ("attachment", {"filename": "ä.txt"}),
    'attachment; filename*0="=?utf-8?Q?=C3=A4?="; filename*2=.txt': ("attachment", {"filename": "ä.txt"}),
    "attachment; filename*=%C3%A4.txt; filename=b": ("attachment", {"filename": "ä.txt"}),
    "attachment; filename*=; filename=b": ("attachment", {"filename": "b"}),
    "": ("", {}),
    ";;;=;": ("", {}),
    "a/b; =c; d": ("a/b", {}),
}


@pytest.mark.parametrize(("value", "read"), PARAMETERS.items())
def test_parameters_are_read(value: str, read: tuple[str, dict[str, str]]) -> None:
    """A field's main value and its parameters come out, RFC 2231 and broken ones too."""
    assert fields.parameters(value) == read


@pytest.mark.parametrize(
    "label", ["rot13", "zip", "base64", "idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "hex", "", None]
)
def test_no_codec_that_is_no_charset(label: str | None) -> None:
    """A mail cannot ask for a codec that is not on our list."""
    assert codec_of(label) is None


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("utf8", "ä"),
        ("ISO_8859-1:1987", "ä"),
        ("windows-1251", "я"),
        ("cp1250", "ř"),
        ("KOI8-U", "ї"),
        ("ks_c_5601-1987", "한"),
        ("gb2312", "镕"),
        ("x-sjis", "①"),
        ("euc-jp", "漢"),
        ("big5", "漢"),
        ("iso-8859-8-i", "א"),
        ("iso-8859-9", "ş"),
        ("tis-620", "ก"),
        ("macintosh", "ä"),
        ("utf-16le", "ä"),
    ],
)
def test_charset_aliases_are_known(label: str, text: str) -> None:
    """The names that mails use lead to the codec that programs mean by them."""
    assert decode(text.encode(codec_of(label) or ""), label) == text


def test_a_wrong_charset_is_put_right() -> None:
    """Text that is no text in its declared charset is read as UTF-8, else as Windows-1252, and one bad byte spoils no more."""
    assert decode("Größe".encode(), "us-ascii") == "Größe"
    assert decode("Größe".encode(), "windows-1250") == "Größe"
    assert decode("Größe".encode("cp1252"), "utf-8") == "Größe"
    assert decode("日本語のテキストです".encode() + b"\xff", "utf-8") == "日本語のテキストです\ufffd"
    russian = "Очень длинное имя файла, которое кто-то обрезал посередине буквы: отчёт за квартал"
    assert decode(russian.encode() + b"\xd0", None) == decode(russian.encode() + b"\xd0", "iso-8859-1") == russian + "\ufffd"
    assert decode("您好，请查收。谢谢".encode(), "gb2312") == "您好，请查收。谢谢"
    assert decode("รถ".encode("cp874"), "tis-620") == "รถ"  # these bytes are UTF-8 too, by chance


def test_utf16_is_read_by_its_mark_or_its_zeros() -> None:
    """UTF-16 with or without a mark, cut in a character, or no UTF-16 at all comes out; a mark is no part of the text."""
    text = "Grüße"
    for data in (text.encode("utf-16"), text.encode("utf-16-be"), text.encode("utf-16-le"), text.encode()):
        assert decode(data, "utf-16") == text
    assert decode(text.encode("utf-16") + b"!", "utf-16le") == text
    assert decode(text.encode("utf-8-sig"), "utf-8") == text


ALPHABETS = {
    "Russian": (("koi8-r", "cp1251", "iso8859-5", "cp866"), "Добрый день! У меня не печатает принтер, помогите, пожалуйста."),
    "Ukrainian": (("koi8-u", "cp1251"), "Добрий день! У мене не друкує принтер, допоможіть, будь ласка."),
    "Greek": (("cp1253", "iso8859-7"), "Καλημέρα σας, ο εκτυπωτής μου δεν εκτυπώνει. Παρακαλώ βοηθήστε με."),
    "Hebrew": (("cp1255", "iso8859-8"), "שלום רב, המדפסת שלי אינה מדפיסה מאז אתמול. אנא עזרו לי בהקדם."),
    "Arabic": (("cp1256",), "مرحبا، الطابعة لا تعمل منذ يوم أمس. الرجاء المساعدة في أقرب وقت ممكن."),
    "Thai": (("cp874",), "สวัสดีครับ เครื่องพิมพ์ไม่ทำงานตั้งแต่เมื่อวาน กรุณาช่วยเหลือด้วย"),
    "Japanese": (("cp932", "euc_jp"), "いつもお世話になっております。プリンターが動きません。至急ご確認をお願いします。"),
    "Korean": (("cp949",), "안녕하세요, 어제부터 프린터가 작동하지 않습니다. 빨리 확인해 주시기 바랍니다."),
    "Chinese": (("gb18030",), "您好，打印机从昨天开始就不能用了，请尽快派人来检查一下。附件是维修合同，谢谢。"),
    "traditional Chinese": (("big5hkscs",), "您好，印表機從昨天開始就不能用了，請儘快派人來檢查一下。附件是維修合約，謝謝。"),
}


@pytest.mark.parametrize(
    ("codec", "text"), [(codec, text) for codecs, text in ALPHABETS.values() for codec in codecs], ids=lambda value: value[:9]
)
@pytest.mark.parametrize("label", [None, "us-ascii", "iso-8859-1"])
def test_undeclared_text_is_known_by_its_alphabet(codec: str, text: str, label: str | None) -> None:
    """Two sentences in another alphabet are read whatever charset is missing or wrongly Western, also as HTML."""
    assert decode(text.encode(codec), label) == text
    assert decode(f"<p class=x>{text}</p>".encode(codec), label) == f"<p class=x>{text}</p>"


WESTERN = {
    "German": "Größere Überprüfung der äußerst übermäßigen Prämienübersicht, schöne Grüße aus Köln. ",
    "French": "Où êtes-vous allés cet été ? Ça m'a déçu, l'événement a été très tôt réévalué, hélas. ",
    "Icelandic": "Það er öruggt að þú átt í erfiðleikum með að skrá þig inn á síðuna, góðan daginn. ",
    "Portuguese": "A situação não é fácil: três ações já estão à disposição, mas há restrições. ",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy. Nemohu se přihlásit ke svému účtu. ",
    "Turkish": "Güncellemeden sonra hesabıma giriş yapamıyorum, çağrışım şöyle öğüt. ",
    "signs": "© 2026 · « ÄÖÜ » — €¥£ ½ ¼ ¿¡ §§ ±°²³ ",
    "a line": "·" * 80 + "¯" * 80 + "\n",
}


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN)
def test_western_text_is_never_taken_for_another_alphabet(text: str) -> None:
    """However much of it there is, text in Latin letters and signs is not guessed."""
    for codec in ("cp1252", "cp1250", "cp1254", "mac-roman"):
        data = (text * 30).encode(codec, "ignore")
        assert alphabets.guess(data) is None
        assert (
            decode(data) == data.decode("cp1252", "replace")
            or codec == "mac-roman"
            or "\ufffd" in data.decode("cp1252", "replace")
        )


def test_a_mail_without_headers_or_content_has_no_identity() -> None:
    """What is no mail says so and has no identity; every mail has one, also without a Message-ID."""
    assert [read_mail(raw).defects for raw in (b"", b"\n \0\r\n", b"no header\n")] == [("the mail is empty",)] * 2 + [
        ("no header line",)
    ]
    assert [read_mail(raw).identity for raw in (b"", b"no header\n")] == [None, None]
    assert re.fullmatch("[0-9a-f]{64}", read_mail(b"Subject: x\n\n").identity or "") and IDENTITY_VERSION == 1


def body(kind: str, encoding: str, content: bytes, name: str = "") -> bytes:
    return f"Content-Type: {kind}{name}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + content


SAME = {
    "line ends": (HEAD + b"\nHello\nworld\n").replace(b"\n", b"\r\n"),
    "trace": b"Received: from x by y; Sun, 22 Nov 2026 07:31:05 +0000\nReturn-Path: <a@b>\nDelivered-To: c@d\n"
    + HEAD
    + b"\nHello\nworld\n",
    "mbox": b"From a@b Sun Nov 22 07:31:00 2026\n" + HEAD + b"\nHello\nworld\n\n",
    "base64": HEAD + body("text/plain; charset=utf-8", "base64", b"SGVsbG8KIHdvcmxkCg==\n"),
    "quoted-printable": HEAD + body("text/plain; charset=latin1", "quoted-printable", b"Hel=6Co wo=\nrld"),
    "zone": HEAD.replace(b"07:31:00 +0000", b"08:31:00 +0100") + b"\nHello\nworld\n",
    "encoded subject": HEAD.replace(b"Hi", b"=?utf-8?Q?H=69?=") + b"\nHello\nworld\n",
    "white space": HEAD + b"\n  Hello \n\n\n world",
}
OTHER = {
    "content": HEAD + b"\nHello\nworlds\n",
    "subject": HEAD.replace(b"Hi", b"Ho") + b"\nHello\nworld\n",
    "date": HEAD.replace(b"07:31:00", b"07:31:01") + b"\nHello\nworld\n",
    "from": HEAD.replace(b"ann@", b"bob@") + b"\nHello\nworld\n",
    "id": HEAD.replace(b"a@example", b"b@example") + b"\nHello\nworld\n",
    "type": HEAD + body("text/html", "7bit", b"Hello\nworld\n"),
    "name": HEAD + body("text/plain", "7bit", b"Hello\nworld\n", "; name=x.txt"),
}


@pytest.mark.parametrize("raw", SAME.values(), ids=SAME)
def test_what_transport_changes_does_not_make_another_mail(raw: bytes) -> None:
    """Line ends, re-encoding, trace headers and white space leave the identity as it is."""
    assert read_mail(raw).identity == read_mail(HEAD + b"\nHello\nworld\n").identity


@pytest.mark.parametrize("raw", OTHER.values(), ids=OTHER)
def test_what_a_writer_changes_makes_another_mail(raw: bytes) -> None:
    """Another id, sender, date, subject, content, type or name is another mail."""
    assert read_mail(raw).identity != read_mail(HEAD + b"\nHello\nworld\n").identity


def attached(encoding: str, content: bytes) -> bytes:
    start = HEAD + b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nHello\n--b\n'
    return start + body("application/x-data", encoding, content, "; name=a.bin") + b"\n--b--\n"


def test_bytes_of_an_attachment_make_the_identity() -> None:
    """The same bytes in base64 and quoted-printable are the same mail, one other byte is another."""
    one, same, other = attached("base64", b"AAH/"), attached("quoted-printable", b"=00=01=FF"), attached("base64", b"AAH+")
    assert read_mail(one).identity == read_mail(same).identity != read_mail(other).identity


def test_html_is_returned_as_it_was_written() -> None:
    """The HTML body comes unsanitised and decoded; a plain mail has none."""
    raw = HEAD + body("text/html; charset=iso-8859-1", "quoted-printable", b"<p onclick=3Dx>Caf=E9</p>")
    assert (html_of(raw), html_of(HEAD + b"\nx"), read_mail(raw).has_html) == ("<p onclick=x>Café</p>", None, True)


LIMITS = {
    "parts": (
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 2000,
        "more than 1000 parts: the rest was not read",
    ),
    "depth": (
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(60)),
        "parts nested deeper than 50",
    ),
    "one header": (b"X-Long: " + b"a" * 40_000 + b"\n\nx", "a header above 32 KB was cut"),
    "headers": (b"X-Many: abcdefgh\n" * 20_000 + b"\nx", "headers above 256 KB: the rest was not read"),
    "addresses": (b"To: " + b"a@b.c," * 2000 + b"\n\nx", "more than 1000 addresses in To: the rest was not read"),
    "text": (b"\n" + b"word " * 1_200_000, "text above 5 MB: the rest is only in the raw mail"),
}


@pytest.mark.parametrize(("rest", "defect"), LIMITS.values(), ids=LIMITS)
def test_what_is_cut_off_says_so(rest: bytes, defect: str) -> None:
    """Every bound that a mail meets is told in its defects."""
    assert any(found.startswith(defect) for found in read_mail(HEAD + rest).defects)


def test_parts_beyond_the_bound_stay_as_bytes() -> None:
    """What was not read after a thousand parts is one attachment, so that nothing is lost."""
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 2000 + b"--b\n\nthe very last\n--b--\n"
    assert b"the very last" in part_bytes(raw, read_mail(raw).attachments[-1])


def nested(depth: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(depth)) + b"\ndeep\n"


HOSTILE = {
    "20,000 brackets in From": b"From: " + b"(" * 20_000 + b"\n\nx",
    "16 KB of semicolons": HEAD + b"Content-Type: a/b" + b";" * 16_384 + b"\n\nx",
    "1,000 nested parts": HEAD + nested(1000),
    "20,000 parts": HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 20_000,
    "20,000 encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx",
    "half encoded words": b"From: " + b"=?a?q?" * 5000 + b"\n\nx",
    "quotes": b"From: " + b'\\"' * 16_000 + b"\n\nx",
    "commas": b"To: " + b"," * 32_000 + b"\n\nx",
    "blanks in an address": b"From: " + b" " * 32_000 + b"@\n\nx",
    "100,000 headers": b"X-A: b\n" * 100_000 + b"\nx",
    "20,000 From": b"From: a@b.c\n" * 20_000 + b"\nx",
    "20,000 references": b"References: " + b"<a@b> " * 20_000 + b"\n\nx",
    "boundary look-alikes": HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bx\n" * 500_000,
    "one boundary at each depth": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\n\n" * 2
    + b"--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 5000,
    "padded base64": HEAD + body("a/b", "base64", b"QQ==" * 500_000),
    "only padding": HEAD + body("a/b", "base64", b"=" * 2_000_000),
    "broken quoted-printable": HEAD + body("text/plain", "quoted-printable", b"=" * 1_000_000),
    "uuencode without end": HEAD + b"\n" + b"begin 644 a\n`\n" * 50_000,
    "flowed": HEAD + b"Content-Type: text/plain; format=flowed\n\n" + b"a \n" * 300_000,
    "256 KB of combining marks": HEAD + body("text/plain; charset=utf-8", "8bit", "\u0301".encode() * 131_072),
    "256 KB of div": HEAD + body("text/html", "7bit", b"<div>" * 52_000),
    "links": HEAD + body("text/html", "7bit", b'<a href="' * 50_000),
    "comments": HEAD + body("text/html", "7bit", b"<!--" * 64_000),
    "blank lines among headers": b"X: y\n" + b" \n\t\n" * 100_000,
    "junk among headers": b"X: y\n" + b"junk\nX-a: b\n" * 50_000,
    "sections": b"Content-Type: a/b; " + b"; ".join(b"n*%d*=a%%41" % n for n in range(2500)) + b"\n\nx",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_mail_is_read_in_time(raw: bytes) -> None:
    """No crafted mail takes longer than two seconds or breaks the reader."""
    started = time.process_time()
    mail = read_mail(raw)
    assert time.process_time() - started < 2
    assert mail.identity and not any("broke" in defect for defect in mail.defects)


PIECES = st.sampled_from(
    [
        b"From: ",
        b"Subject: ",
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: text/html; charset=",
        b"utf-16",
        b"iso-2022-jp",
        b"\n\n",
        b"--b\n",
        b"--b--\n",
        b"=?utf-8?q?=ed=a0=80?=",
        b"=?utf-7?b?",
        b"?=",
        b"\0",
        b"\r",
        b"\n",
        b"<",
        b">",
        b"&#0;&#xD800;",
        b'"',
        b"(",
        b":",
        b";",
        b"\xff",
        b"\x1b$B",
        b"Content-Transfer-Encoding: base64\n",
        b"begin 644 a\n",
        b"end\n",
        b"Date: 1 Jan 99999 1:1 +9999\n",
        b"filename*0*=x''%00%ED%A0%80",
        b"On 1.1.2026 a@b wrote:\n",
    ]
)


def all_strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [string for part in parts for string in all_strings(part)]


@given(st.binary(max_size=400) | st.lists(PIECES | st.binary(max_size=8), max_size=40).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_read(raw: bytes) -> None:
    """No bytes break the reader; no string of a mail holds a NUL or a lone surrogate; every span lies inside the mail."""
    mail = read_mail(raw)
    assert not any("broke" in defect for defect in mail.defects)
    assert not any(
        re.search("[\0\ud800-\udfff]", string) for string in all_strings(json.loads(json.dumps(dataclasses.asdict(mail))))
    )
    assert all(0 <= attachment.start <= attachment.end <= len(raw) for attachment in mail.attachments)
    assert read_mail(memoryview(raw)) == mail and (html_of(raw) is not None) == mail.has_html


# -- mails that a library wrote are read back ---------------------------------------------------------------------------

LETTERS = st.characters(categories=("Lu", "Ll", "Lo", "Nd"))
WORDS_OF = st.text(LETTERS, min_size=1, max_size=12)
PHRASES = st.lists(WORDS_OF, min_size=1, max_size=6).map(" ".join)
PROSE = st.lists(st.text(LETTERS | st.sampled_from(" .,;:!?()-=&"), max_size=60), max_size=8).map("\n".join)
CHARSETS = (
    "utf-8",
    "iso-8859-1",
    "iso-8859-15",
    "windows-1251",
    "koi8-r",
    "gb18030",
    "shift_jis",
    "euc-kr",
    "iso-2022-jp",
    "utf-16",
)
ATOMS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)
BOXES = st.builds("{}.{}@{}.example".format, ATOMS, ATOMS, ATOMS)


def charset_for(text: str, wished: str) -> str:
    """Return the wished charset if it can say the text, and says it in bytes that are no UTF-8 by chance."""
    try:
        data = text.encode(wished)
        return wished if data.isascii() or wished == "utf-16" or not fits(data, "utf-8") else "utf-8"
    except UnicodeError:
        return "utf-8"


def words_in(text: str, charset: str) -> str:
    return Header(text, charset_for(text, charset)).encode()


@st.composite
def leaves(draw: st.DrawFn) -> tuple[Message, str | None, str | bytes]:
    """Draw a part: the message, its file name or None, and its text or bytes."""
    named = draw(st.booleans())
    encoding = draw(st.sampled_from(("base64", "quoted-printable")))
    part = MIMENonMultipart(*(("application", "x-data") if named else ("text", "plain")))
    content: str | bytes = draw(st.binary(max_size=200)) if named else draw(PROSE)
    charset = charset_for(content, draw(st.sampled_from(CHARSETS))) if isinstance(content, str) else ""
    data = content if isinstance(content, bytes) else content.encode(charset)
    wide = charset == "utf-16" or isinstance(content, bytes)
    part.set_payload((b2a_base64(data) if wide or encoding == "base64" else quopri.encodestring(data)).decode("ascii"))
    part["Content-Transfer-Encoding"] = "base64" if wide else encoding
    if not named:
        part.set_param("charset", charset)
        return part, None, content
    name = f"{draw(PHRASES)}.{draw(ATOMS)}"
    form = draw(st.sampled_from(("2231", "2047", "raw")))
    if form == "2231":
        part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", name))
    else:
        written = words_in(name, "utf-8") if form == "2047" else name.encode().decode("ascii", "surrogateescape")
        part["Content-Disposition"] = f'attachment; filename="{written}"'
    return part, name, content


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> tuple[Message, list[tuple[str | None, str | bytes]]]:
    """Draw a multipart/mixed of parts and further multiparts, and what it holds, in order."""
    whole, held = MIMEMultipart("mixed", boundary=f"{depth}=_{draw(ATOMS)}"), []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.integers(0, 3)) == 0:
            part, inner = draw(trees(depth - 1))
            held += inner
        else:
            part, name, content = draw(leaves())
            held.append((name, content))
        whole.attach(part)
    return whole, held


def bare(text: str) -> str:
    return "".join(text.split())


@given(st.data(), trees())
@settings(max_examples=80, deadline=None)
def test_a_mail_from_parts_is_read_back(data: st.DataObject, tree: tuple[Message, list[tuple[str | None, str | bytes]]]) -> None:
    """Texts, names, bytes, addresses, ids, date and subject come out of any mail that the standard library puts together."""
    whole, held = tree
    subject, charset = data.draw(PHRASES), data.draw(st.sampled_from(CHARSETS[:-1]))
    people = data.draw(st.lists(st.tuples(PHRASES | st.just(""), BOXES), min_size=1, max_size=5))
    ids = data.draw(st.lists(BOXES, min_size=1, max_size=5, unique=True))
    sent = data.draw(st.datetimes(datetime(1971, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))).replace(microsecond=0)
    whole["Subject"] = words_in(subject, charset)
    whole["From"] = formataddr((words_in(people[0][0], charset), people[0][1]))
    whole["To"] = ", ".join(formataddr((words_in(name, charset), box)) for name, box in people)
    whole["Date"], whole["Message-ID"] = format_datetime(sent), f"<{ids[0]}>"
    whole["References"] = "\n ".join(f"<{one}>" for one in ids)
    mail = read_mail(whole.as_bytes(policy=compat32.clone(linesep=data.draw(st.sampled_from(("\n", "\r\n"))))))
    assert (mail.subject, mail.date, mail.message_id) == (subject, sent.isoformat(), ids[0])
    assert (mail.references, mail.authors) == (tuple(ids), (Address(*people[0]),))
    assert mail.to == tuple(Address(*one) for one in people)
    files = [(name, content) for name, content in held if name is not None]
    assert [(one.filename, one.size, one.sha256) for one in mail.attachments] == [
        (name, len(content), hashlib.sha256(content).hexdigest()) for name, content in files if isinstance(content, bytes)
    ]
    assert bare(mail.text) == bare("".join(content for name, content in held if isinstance(content, str)))
    assert mail.defects == ()


@given(PHRASES, PHRASES, PROSE, st.text(LETTERS, min_size=1, max_size=30), st.binary(max_size=100), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_mail_of_the_modern_library_is_read_back(
    subject: str, name: str, text: str, filename: str, content: bytes, utf8: bool
) -> None:
    """What email.message.EmailMessage writes, folded and encoded its own way, is read back; with RFC 6532 headers too."""
    written = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    written["Subject"], written["From"] = subject, HeaderAddress(name, "ann", "example.com")
    written.set_content(text)
    written.add_alternative(f"<p>{html.escape(text)}</p>", subtype="html")
    written.add_attachment(content, "application", "x-data", filename=filename)
    mail = read_mail(written.as_bytes())
    (author,) = mail.authors
    assert (bare(mail.subject), author.address) == (bare(subject), "ann@example.com")
    assert bare(author.name) == bare(name)  # the library loses blanks where it folds a name
    assert (bare(mail.text), mail.has_html) == (bare(text), True)
    assert [(one.filename, one.sha256) for one in mail.attachments] == [(filename, hashlib.sha256(content).hexdigest())]


# -- time ---------------------------------------------------------------------------------------------------------------

ATOMS_OF_HEADERS = (
    *"()\"\\<>,;:@[]'=/.&%",
    *(
        '\\"',
        "a@b ",
        "a@b,",
        "[a",
        "=?",
        "=?a?q?",
        "=?utf-8?q?a?= ",
        "?=",
        "; a=",
        'a;b="',
        '"a" ;',
        "mailto:a?",
        '"a"@b ',
        " . ",
    ),
    *(
        "&lt;",
        "<a@b> ",
        "a*0=b;",
        "a*0*=''%C3;",
        "name=",
        'name="a" ',
        "charset ",
        "1 Jan 2026 ",
        "12:",
        "＜",
        "(a)",
        "((",
        "< ",
        "<a ",
    ),
)
READERS = {
    "addresses": addresses,
    "addresses in brackets": lambda value: addresses("Ann <" + value),
    "words": decode_words,
    "parameters": lambda value: fields.parameters('a/b; name="' + value),
    "ids": fields.message_ids,
    "date": fields.date,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_header_is_read_in_linear_time(read: Callable[[str], object]) -> None:
    """A header of 16 KB takes a fraction of a second, whatever two pieces of syntax it repeats."""
    for first in ATOMS_OF_HEADERS:
        for second in ("", '"', "(", "@"):
            value = (first + second) * (16 * 1024 // len(first + second))
            started = time.process_time()
            read(value)
            assert time.process_time() - started < 0.4, (first, second)


def test_the_mail_types_are_what_the_contract_promises() -> None:
    """An attachment knows its part, span and encoding, so that it need not be stored twice."""
    mail = read_mail(attached("base64", b"AAH/"))
    (attachment,) = mail.attachments
    assert (attachment.part, attachment.encoding, attachment.filename, attachment.size) == ("2", "base64", "a.bin", 3)
    assert isinstance(attachment, Attachment) and not attachment.inline
