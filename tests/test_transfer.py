"""Transfer encodings in pieces: a large part decodes to the same bytes as a small one, out of a file that is only mapped."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mmap
import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mime import charsets, part_bytes, read_mail, transfer
from pipeline.mime.identity import Lines

PAYLOAD = random.Random(4).randbytes(3 * transfer.WINDOW + 17)


def uuencoded(data: bytes) -> bytes:
    lines = (binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 a.bin\n" + b"".join(lines) + b"`\nend\n"


ENCODED = {
    "base64": ("base64", base64.encodebytes(PAYLOAD)),
    "base64 in CRLF lines": ("base64", base64.encodebytes(PAYLOAD).replace(b"\n", b"\r\n")),
    "base64 in one line": ("base64", base64.b64encode(PAYLOAD)),
    "base64 without padding": ("base64", base64.b64encode(PAYLOAD).rstrip(b"=")),
    "base64 with dirt": ("base64", base64.encodebytes(PAYLOAD).replace(b"\n", b" \n!", 1000)),
    "base64 of padded pieces": ("base64", base64.b64encode(PAYLOAD[:1000]) + base64.encodebytes(PAYLOAD[1000:])),
    "base64 above a footer": ("base64", base64.encodebytes(PAYLOAD) + b"\n\n____\nThe list, https://list.example.com\n"),
    "quoted-printable": ("quoted-printable", binascii.b2a_qp(PAYLOAD, istext=False)),
    "quoted-printable without line ends": ("quoted-printable", b"".join(b"=%02X" % byte for byte in PAYLOAD)),
    "quoted-printable in CR lines": ("quoted-printable", binascii.b2a_qp(PAYLOAD, istext=False).replace(b"\n", b"\r")),
    "uuencode": ("x-uuencode", uuencoded(PAYLOAD)),
    "uuencode in CRLF lines": ("x-uuencode", uuencoded(PAYLOAD).replace(b"\n", b"\r\n")),
    "uuencode in CR lines": ("x-uuencode", uuencoded(PAYLOAD).replace(b"\n", b"\r")),
    "binary": ("binary", PAYLOAD),
    "unknown": ("x-own", PAYLOAD),
}


@pytest.mark.parametrize(("encoding", "encoded"), ENCODED.values(), ids=ENCODED)
def test_a_large_part_decodes_to_its_bytes(encoding: str, encoded: bytes) -> None:
    """Whatever the encoding, three windows and a bit give what was encoded, in pieces of a window or so."""
    pieces = list(transfer.stream(b"<<" + encoded + b">>", 2, 2 + len(encoded), encoding))
    assert b"".join(pieces) == PAYLOAD
    assert max(map(len, pieces)) <= transfer.WINDOW


@pytest.mark.parametrize("transport", ["in memory", "mapped", "a view of what is mapped"])
def test_a_large_attachment_is_read_where_it_lies(transport: str, tmp_path: Path) -> None:
    """Size, digest and bytes of a large attachment are the same from memory and from a mapped file."""
    head = b"From: ann@example.com\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n"
    raw = head + base64.encodebytes(PAYLOAD)
    path = tmp_path / "large.eml"
    path.write_bytes(raw)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        given = {"in memory": raw, "mapped": mapped, "a view of what is mapped": memoryview(mapped)}[transport]
        mail = read_mail(given)
        (attachment,) = mail.attachments
        assert (attachment.size, attachment.sha256) == (len(PAYLOAD), hashlib.sha256(PAYLOAD).hexdigest())
        assert part_bytes(given, attachment) == PAYLOAD
        assert mail == read_mail(raw)
        if isinstance(given, memoryview):
            given.release()


@pytest.mark.parametrize("written", ["\u30c6\u30b9\u30c8 a", "a\u30c6\u30b9", "\u30c6a\u30b9b\u30c8"])
def test_japanese_text_may_be_cut_anywhere(written: str) -> None:
    """Of a text in ISO-2022-JP that was cut within a character or an escape, what stands above the cut is read."""
    data = written.encode("iso2022_jp")
    for cut in range(data.index(b"\x1b$") + 2, len(data)):
        assert written.startswith(charsets.decode(data[:cut], "iso-2022-jp"))
    assert charsets.decode(data + b"\x1b$", "iso-2022-jp") == written


def test_an_endless_japanese_text_costs_what_its_length_says() -> None:
    """A text of escapes above the limit is cut within one, and no slower to read for it than one below the limit."""
    head = b"From: ann@example.com\nContent-Type: text/plain; charset=iso-2022-jp\n\n"
    took = []
    for escapes in (3_000_000, 4_000_000):
        started = time.process_time()
        read_mail(head + b"\x1b$B" * escapes)
        took.append(time.process_time() - started)
    assert took[1] < 3 * took[0] + 0.1, took


def test_an_endless_text_is_read_at_its_head() -> None:
    """Of a text above the limit the first lines are shown, and a defect says so."""
    line = "wörd " * 12 + "\n"
    raw = b"From: ann@example.com\nContent-Type: text/plain; charset=utf-8\n\n" + line.encode() * 200_000
    mail = read_mail(raw)
    assert mail.text.startswith(line) and len(mail.text) == 5_000_000
    assert mail.defects == ("text above 5 MB: the rest is only in the raw mail",)
    assert mail.identity != read_mail(raw + b"more").identity


@given(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\n\n", b"b\r"])), st.integers(1, 5))
def test_lines_digest_alike_however_they_are_cut(parts: list[bytes], size: int) -> None:
    """Pieces, line ends and blank lines at the end do not change the digest of a text."""
    text = b"".join(parts)
    lines = Lines()
    for at in range(0, len(text), size):
        lines.update(text[at : at + size])
    assert lines.digest() == hashlib.sha256(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")).digest()
