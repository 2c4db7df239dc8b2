"""The mail reader, on mails of our own (tests/mails: NAME.eml beside NAME.json), on tables, on any bytes, and on hostile ones."""

from __future__ import annotations

import dataclasses
import email
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.letter import Address, Attachment, Mail
from pipeline.mime import IDENTITY_VERSION, fields, html_of, part_bytes, read_mail, structure, transfer
from pipeline.mime.addresses import addresses
from pipeline.mime.charsets import codec_of, decode
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
    "": ("", {}),
    ";;;=;": ("", {}),
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
    assert decode("Größe".encode("cp1252"), "utf-8") == "Größe"
    assert decode("日本語のテキストです".encode() + b"\xff", "utf-8") == "日本語のテキストです\ufffd"


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
    started = time.perf_counter()
    mail = read_mail(raw)
    assert time.perf_counter() - started < 2
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


def test_the_mail_types_are_what_the_contract_promises() -> None:
    """An attachment knows its part, span and encoding, so that it need not be stored twice."""
    mail = read_mail(attached("base64", b"AAH/"))
    (attachment,) = mail.attachments
    assert (attachment.part, attachment.encoding, attachment.filename, attachment.size) == ("2", "base64", "a.bin", 3)
    assert isinstance(attachment, Attachment) and not attachment.inline
