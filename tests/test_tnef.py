"""winmail.dat: files and texts out of TNEF streams that are written here, whole, cut, lying, and hostile."""

from __future__ import annotations

import base64
import hashlib
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.mime import part_bytes, read_mail, tnef
from pipeline.mime import rtf as rtf_room
from pipeline.mime.tnef import Enclosed, body, enclosed, is_told

HEAD = tnef.SIGNATURE + b"\x01\x00"
MESSAGE_IID = bytes.fromhex("0703020000000000c000000000000046")
STORAGE_IID = bytes.fromhex("0b00000000000000c000000000000046")
BINARY, STRING, UNICODE, OBJECT, LONG = 0x0102, 0x001E, 0x001F, 0x000D, 0x0003
LONG_NAME, NAME_8_3, DISPLAY_NAME, DATA, MEDIA_TYPE, CONTENT_ID = 0x3707, 0x3704, 0x3001, 0x3701, 0x370E, 0x3712
PLAIN, RTF, HTML, CODE_PAGE = 0x1000, 0x1009, 0x1013, 0x3FDE


# -- a writer ----------------------------------------------------------------------------------------------------------


def attribute(level: int, number: int, data: bytes = b"") -> bytes:
    """Write one attribute with its checksum (MS-OXTNEF, 2.1.3.1)."""
    return struct.pack("<BHHI", level, number, 6, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def prop(kind: int, number: int, data: bytes | str | int) -> bytes:
    """Write one property (MS-OXTNEF, 2.1.3.4); words are UTF-16."""
    tag = struct.pack("<HH", kind, number)
    if isinstance(data, int):
        return tag + struct.pack("<I", data)
    raw = data.encode("utf-16-le") + b"\0\0" if isinstance(data, str) else data
    return tag + struct.pack("<II", 1, len(raw)) + raw + b"\0" * (-len(raw) % 4)


def properties(*written: bytes) -> bytes:
    """Write a list of properties."""
    return struct.pack("<I", len(written)) + b"".join(written)


def file(*written: bytes, title: bytes = b"", data: bytes | None = None) -> bytes:
    """Write a file: where it begins, its title and its bytes, and its properties."""
    parts = [attribute(2, 0x9002, bytes(14))]
    parts += [attribute(2, 0x8010, title + b"\0")] if title else []
    parts += [attribute(2, 0x800F, data)] if data is not None else []
    return b"".join([*parts, attribute(2, 0x9005, properties(*written))])


def stream(*parts: bytes, code_page: int = 1252) -> bytes:
    """Write a stream: version, code page, class, and the parts."""
    version = attribute(1, 0x9006, struct.pack("<I", 0x10000))
    oem = attribute(1, 0x9007, struct.pack("<II", code_page, 0))
    return HEAD + version + oem + attribute(1, 0x8008, b"IPM.Microsoft Mail.Note\0") + b"".join(parts)


def message(*written: bytes) -> bytes:
    """Write the properties of the message."""
    return attribute(1, 0x9003, properties(*written))


def compressed(rtf: bytes) -> bytes:
    """Compress RTF with references to what stands right before, where it repeats (MS-OXRTFCP, 2.2.2)."""
    out, tokens, at = bytearray(), [], 0
    position = 207
    while at < len(rtf):
        run = next((n for n in range(17, 1, -1) if at >= n and rtf[at - n : at] == rtf[at : at + n]), 0)
        tokens.append(struct.pack(">H", (position - run) % 4096 << 4 | run - 2) if run else rtf[at : at + 1])
        at += run or 1
        position = (position + (run or 1)) % 4096
    tokens.append(struct.pack(">H", position << 4))
    for start in range(0, len(tokens), 8):
        eight = tokens[start : start + 8]
        out.append(sum((len(token) == 2) << bit for bit, token in enumerate(eight)))
        out += b"".join(eight)
    return struct.pack("<II4sI", len(out) + 12, len(rtf), b"LZFu", 0) + bytes(out)


WHOLE = stream(
    message(prop(UNICODE, PLAIN, "Dear Ann"), prop(LONG, CODE_PAGE, 65001), prop(BINARY, HTML, b"<p>Dear Ann</p>")),
    file(prop(UNICODE, LONG_NAME, "Preisliste März.xlsx"), title=b"PREISL~1.XLS", data=b"sheet"),
    file(prop(STRING, MEDIA_TYPE, b"image/png\0"), prop(UNICODE, CONTENT_ID, "<logo@example.com>"), title=b"logo", data=b"png"),
    file(prop(UNICODE, LONG_NAME, "notes.txt"), prop(BINARY, DATA, b"by property")),
)


def told(data: bytes) -> list[tuple[str | None, str, bytes]]:
    """Return name, media type and bytes of each file."""
    return [(found.filename, found.content_type, data[found.start : found.end]) for found in enclosed(data)]


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_are_told_with_name_type_and_place() -> None:
    """Each file has its long name, its type as said or by its ending, its id, and the span of its bytes."""
    assert told(WHOLE) == [
        ("Preisliste März.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"sheet"),
        ("logo", "image/png", b"png"),
        ("notes.txt", "text/plain", b"by property"),
    ]
    assert [found.content_id for found in enclosed(WHOLE)] == [None, "logo@example.com", None]
    assert is_told(WHOLE)


@pytest.mark.parametrize(
    ("code_page", "written", "name"),
    [
        (1251, "Счёт.pdf".encode("cp1251"), "Счёт.pdf"),
        (932, "見積　書.pdf".encode("cp932"), "見積　書.pdf"),
        (936, "报价.pdf".encode("gbk"), "报价.pdf"),
        (1252, "Müller.pdf".encode("cp1252"), "Müller.pdf"),
        (65001, "Müller.pdf".encode(), "Müller.pdf"),
        (20866, "Счёт.pdf".encode("koi8-r"), "Счёт.pdf"),
        (28592, "Łódź.pdf".encode("iso8859-2"), "Łódź.pdf"),
        (99999, "Müller.pdf".encode("cp1252"), "Müller.pdf"),
    ],
)
def test_a_name_is_read_by_the_code_page(code_page: int, written: bytes, name: str) -> None:
    """A name that is not Unicode is in the code page of the stream, titles and properties alike; an unknown one harms nothing."""
    data = stream(file(title=written, data=b"1"), file(prop(STRING, LONG_NAME, written + b"\0"), data=b"2"), code_page=code_page)
    assert [found.filename for found in enclosed(data)] == [name, name]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ([prop(STRING, LONG_NAME, b"?.txt\0"), prop(UNICODE, LONG_NAME, "ж.txt")], "ж.txt"),
        ([prop(UNICODE, LONG_NAME, "ж.txt"), prop(STRING, LONG_NAME, b"?.txt\0")], "ж.txt"),
        ([prop(STRING, NAME_8_3, b"A~1.TXT\0"), prop(STRING, LONG_NAME, b"a long name.txt\0")], "a long name.txt"),
        ([prop(STRING, NAME_8_3, b"A~1.TXT\0")], "A~1.TXT"),
        ([prop(UNICODE, DISPLAY_NAME, "shown")], "shown"),
        ([prop(UNICODE, LONG_NAME, "\0hidden"), prop(UNICODE, DISPLAY_NAME, "shown")], "shown"),
        ([prop(UNICODE, LONG_NAME, "a\r\nb\x07.txt")], "a  b.txt"),
        ([], None),
    ],
)
def test_the_best_name_wins(written: list[bytes], name: str | None) -> None:
    """Unicode goes before bytes and the long name before the short one; a name is one line, or None."""
    [found] = enclosed(stream(file(*written, data=b"x")))
    assert found.filename == name


@pytest.mark.parametrize(
    ("name", "said", "content_type"),
    [
        ("a.PDF", b"", "application/pdf"),
        ("a.docx", b"", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a", b"", "application/octet-stream"),
        ("a.unheard", b"", "application/octet-stream"),
        ("a.pdf", b"Text/Plain\0", "text/plain"),
        ("a.pdf", b"text/plain\r\nX: y\0", "application/pdf"),
        ("a.pdf", b"nonsense\0", "application/pdf"),
    ],
)
def test_a_type_is_believed_or_guessed(name: str, said: bytes, content_type: str) -> None:
    """A media type is taken as said where it is one, else from the ending of the name."""
    [found] = enclosed(stream(file(prop(UNICODE, LONG_NAME, name), prop(STRING, MEDIA_TYPE, said), data=b"x")))
    assert found.content_type == content_type


def test_an_enclosed_message_is_tnef_again() -> None:
    """A message inside is told by its subject; its bytes are a stream of their own, behind the number of its interface."""
    data = stream(file(prop(UNICODE, DISPLAY_NAME, "Re: offer"), prop(OBJECT, DATA, MESSAGE_IID + WHOLE)))
    [found] = enclosed(data)
    assert found[:2] == ("Re: offer", "application/ms-tnef")
    assert data[found.start : found.end] == WHOLE
    assert body(data) == (None, None)


def test_an_object_is_told_without_its_interface() -> None:
    """The bytes of another object begin behind the number of its interface too."""
    data = stream(file(prop(UNICODE, LONG_NAME, "Table.xls"), prop(OBJECT, DATA, STORAGE_IID + b"\xd0\xcf\x11\xe0"), data=b""))
    assert told(data) == [("Table.xls", "application/vnd.ms-excel", b"\xd0\xcf\x11\xe0")]


def test_properties_of_all_kinds_are_stepped_over() -> None:
    """Named, fixed and several values before a name do not hide it."""
    named_by_number = struct.pack("<HH16sII", LONG, 0x8001, bytes(16), 0, 7) + struct.pack("<I", 1)
    words = "Keywords\0".encode("utf-16-le")
    named_by_words = struct.pack("<HH16sII", 0x101F, 0x8002, bytes(16), 1, len(words)) + words + b"\0\0"
    named_by_words += struct.pack("<I", 2) + 2 * (struct.pack("<I", 6) + "ab\0".encode("utf-16-le") + b"\0\0")
    fixed = [
        struct.pack("<HH", kind, 0x0E20) + bytes(size) for kind, size in [(0x0B, 4), (0x40, 8), (0x48, 16), (0x05, 8), (0x02, 4)]
    ]
    several = struct.pack("<HHI", 0x1003, 0x0E21, 3) + bytes(12)
    data = stream(file(named_by_number, named_by_words, *fixed, several, prop(UNICODE, LONG_NAME, "last.txt"), data=b"x"))
    assert [found.filename for found in enclosed(data)] == ["last.txt"]
    assert is_told(data)


@pytest.mark.parametrize(
    "data",
    [
        stream(file(prop(UNICODE, LONG_NAME, "elsewhere.doc"))),
        stream(message(prop(UNICODE, 0x001A, "IPM.Schedule.Meeting.Request"))),
        WHOLE + b"\x05 and then something else",
        WHOLE[:-20],
        stream(message(struct.pack("<HH", 0x0FFF, 0x1000))),
        stream(*[file(title=b"x", data=b"x")] * (tnef.FILES + 1)),
        b"",
        b"%PDF-1.7 this is no such stream",
    ],
    ids=["bytes elsewhere", "meeting", "something behind", "cut", "unknown kind", "too many files", "empty", "no tnef"],
)
def test_what_is_not_told_is_admitted(data: bytes) -> None:
    """A stream with more in it than its files and its text says so, so that it can be kept whole."""
    assert not is_told(data)
    assert len(enclosed(data)) <= tnef.FILES


# -- texts -------------------------------------------------------------------------------------------------------------


def test_the_text_is_read_plain_and_as_html() -> None:
    """Both forms of the text are told; one that is not there is None."""
    assert body(WHOLE) == ("Dear Ann", "<p>Dear Ann</p>")
    assert body(stream()) == (None, None)


@pytest.mark.parametrize(
    ("code_page", "codec", "text"),
    [
        (65001, "utf-8", "Grüße, 東京"),
        (20866, "koi8-r", "Привет"),
        (50220, "iso2022_jp", "東京"),
        (949, "cp949", "안녕"),
        (1255, "cp1255", "שלום"),
    ],
)
def test_html_is_read_by_its_own_code_page(code_page: int, codec: str, text: str) -> None:
    """HTML is in the code page of the internet message, the old body in that of the stream."""
    data = stream(
        attribute(1, 0x800C, "Grüße\r\n".encode("cp1252")),
        message(prop(LONG, CODE_PAGE, code_page), prop(BINARY, HTML, text.encode(codec))),
    )
    assert body(data) == ("Grüße\n", text)


@pytest.mark.parametrize(
    ("raw", "rtf"),
    [
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ("0f000000030000004d454c4100000000616263", b"abc"),
        ("0f00000003000000????".replace("?", "0") + "00000000616263", b""),
        ("4c5a", b""),
    ],
    ids=["plain", "reference into what it writes", "not compressed", "unknown", "cut"],
)
def test_rtf_is_decompressed(raw: str, rtf: bytes) -> None:
    """The specification's examples come out as it says (MS-OXRTFCP, 4); what is no compressed RTF is nothing."""
    assert rtf_room.decompressed(bytes.fromhex(raw)) == rtf


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (r"{\rtf1\ansi\fromtext {\fonttbl{\f0 Arial;}}\pard Hello\par  two\tab three\line four}", "Hello\n two\tthree\nfour"),
        (
            r"{\rtf1\ansi{\colortbl;\red0;}{\*\generator X;}{\info{\title T}}{\pict 0102}\b bold\b0  \{braces\} \\}",
            "bold {braces} \\",
        ),
        (r"{\rtf1\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}", "Привет"),
        (r"{\rtf1{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset204 B;}}\f0 caf\'e9 {\f1 \'e4\'e0} \'e9}", "café да é"),
        (r"{\rtf1{\fonttbl{\f0\fcharset128 A;}}\f0 \'93\'8c\'8b\'9e \'83e}", "東京 テ"),
        (r"{\rtf1\uc1 \u1046?\u-10179?\u-8704? {\uc0\u8364 5}{\uc2 \u8364\'80x!}}", "Ж😀 €5€!"),
        (r"{\rtf1 a\~b \ldblquote c\rdblquote \emdash \bin5 {{{{{d}", "a\xa0b “c”—d"),
        (
            r"{\rtf1{\field{\*\fldinst HYPERLINK http://example.com}{\fldrslt here}} {\object{\*\objdata 00}{\result x}}}",
            "here x",
        ),
        (r"{\rtf1 open {ends\par", "open ends"),
        (r"}}\rtf1 text\'4", "text4"),
    ],
)
def test_rtf_becomes_text(rtf: str, text: str) -> None:
    """Out of RTF comes what it shows, each font in its own code page."""
    assert body(stream(message(prop(BINARY, RTF, compressed(rtf.encode()))))) == (text, None)


def test_html_is_taken_out_of_rtf() -> None:
    """HTML that was put into RTF comes out again, without the RTF that stands for it (MS-OXRTFEX, 2.1)."""
    rtf = (
        r"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss\fcharset204 Arial;}}\uc1\pard "
        r"{\*\htmltag18 <html>}{\*\htmltag64 <p class=\{x\}>}\htmlrtf {\htmlrtf0 caf\'e9 {\f0 \'e4\'e0}"
        r"{\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0 {\*\mhtmltag84 <none>}{\*\htmltag72 </p>}"
        r"\htmlrtf\par}\htmlrtf0 {\*\htmltag27 </html>}}"
    )
    assert body(stream(message(prop(BINARY, RTF, compressed(rtf.encode()))))) == (
        None,
        "<html><p class={x}>café да&lt;</p></html>",
    )


def test_rtf_gives_way_to_better_texts() -> None:
    """Plain text and HTML as such are taken before those in RTF."""
    rtf = prop(BINARY, RTF, compressed(rb"{\rtf1 from rtf}"))
    assert body(stream(message(rtf, prop(UNICODE, PLAIN, "plain")))) == ("plain", None)
    assert body(stream(message(rtf, prop(BINARY, HTML, b"<p>")))) == (None, "<p>")


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_a_cut_stream_tells_what_was_read(cut: int) -> None:
    """Cut at any byte, a stream tells a beginning of its files, each with all its bytes."""
    found, all_files = enclosed(WHOLE[:cut]), enclosed(WHOLE)
    assert [one[3:] for one in found] == [one[3:] for one in all_files[: len(found)]]
    body(WHOLE[:cut])


def test_a_cut_is_noticed() -> None:
    """A stream that ends inside an attribute is not taken for whole; one that ends between two has no mark that says so."""
    last = WHOLE.rindex(struct.pack("<BH", 2, 0x9005))
    assert not any(is_told(WHOLE[:cut]) for cut in range(last + 1, len(WHOLE) - 2))
    assert is_told(WHOLE + b"\r\n")


@pytest.mark.parametrize("level", [1, 2])
def test_a_damaged_list_costs_only_itself(level: int) -> None:
    """Behind a list of properties that cannot be followed the files are read on, and the stream is not called whole."""
    broken = attribute(level, 0x9003 if level == 1 else 0x9005, properties(struct.pack("<HH", 0x0FFF, 0x1000)))
    data = stream(file(title=b"1.txt", data=b"one"), broken, file(title=b"2.txt", data=b"two"))
    assert [name for name, _, _ in told(data)] == ["1.txt", "2.txt"]
    assert not is_told(data)


@pytest.mark.parametrize(
    ("content_type", "name", "promised"),
    [
        ("application/ms-tnef", None, True),
        ("application/vnd.ms-tnef", "x.bin", True),
        ("application/octet-stream", "WINMAIL.DAT", True),
        ("application/octet-stream", "other.dat", False),
        ("text/plain", None, False),
    ],
)
def test_tnef_is_promised_by_type_or_name(content_type: str, name: str | None, promised: bool) -> None:
    """A part's type or its name says that TNEF may be in it."""
    assert tnef.is_promised(content_type, name) is promised


@pytest.mark.parametrize("lie", [0xFFFFFFFF, 0x7FFFFFFF, 0, 1, 4, 0x01000000])
def test_a_lie_anywhere_stays_inside(lie: int) -> None:
    """Whatever number stands in the place of four bytes, nothing is raised and every span lies in the stream."""
    for at in range(len(HEAD), len(WHOLE) - 4):
        data = WHOLE[:at] + struct.pack("<I", lie) + WHOLE[at + 4 :]
        assert all(0 <= found.start <= found.end <= len(data) for found in enclosed(data))
        body(data)
        is_told(data)


def check(data: bytes) -> None:
    """Everything that is told of any bytes is sound."""
    for found in enclosed(data):
        assert isinstance(found, Enclosed)
        assert 0 <= found.start <= found.end <= len(data)
        assert not set("\0\r\n").intersection(f"{found.filename}{found.content_type}{found.content_id}")
    for text in body(data):
        assert text is None or text.encode().count(b"\0") == 0
    is_told(data)


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_borne(tail: bytes) -> None:
    """No bytes behind the signature, in a list of properties, or in RTF break the reader."""
    check(tail)
    check(HEAD + tail)
    check(stream(attribute(1, 0x9003, tail), attribute(2, 0x9005, tail)))
    check(stream(message(prop(BINARY, RTF, bytes(8) + b"LZFu" + bytes(4) + tail))))
    check(stream(message(prop(BINARY, RTF, compressed(rb"{\rtf1\fromhtml1 " + tail)))))


WORDS = rb"{ } \* \htmltag \htmlrtf \htmlrtf0 \fonttbl \f1 \fcharset128 \u-10179? \uc3 \'93 \' \ \bin9 text \par".split()


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_rtf_is_borne(words: list[bytes]) -> None:
    """No order of groups and control words breaks the reader."""
    check(stream(message(prop(BINARY, RTF, compressed(rb"{\rtf1\fromhtml1 " + b" ".join(words))))))


def bomb() -> bytes:
    """Compressed RTF that repeats one letter for ever."""
    out, position = bytearray(b"\0aaaaaaaa"), 207 + 8
    while len(out) < 1_000_000:
        out.append(0xFF)
        for _ in range(8):
            out += struct.pack(">H", (position - 1) % 4096 << 4 | 15)
            position = (position + 17) % 4096
    return bytes(8) + b"LZFu" + bytes(4) + bytes(out)


def rtf_of(unit: bytes) -> bytes:
    """A stream with a large uncompressed RTF of one unit."""
    rtf = rb"{\rtf1\fromhtml1{\fonttbl{\f1\fcharset204 A;}{\f2\fcharset128 B;}}" + unit * (5_000_000 // len(unit))
    return stream(message(prop(BINARY, RTF, bytes(8) + b"MELA" + bytes(4) + rtf)))


HOSTILE = {
    "zeros": HEAD + bytes(10_000_000),
    "zero attributes": HEAD + (b"\x01" + bytes(10)) * 900_000,
    "zero properties": stream(attribute(1, 0x9003, struct.pack("<I", 0xFFFFFFFF) + struct.pack("<HHI", LONG, 1, 0) * 1_200_000)),
    "values without end": stream(attribute(1, 0x9003, struct.pack("<IHHI", 1, 0x101E, 1, 0xFFFFFFFF) + bytes(10_000_000))),
    "properties without a value": stream(
        attribute(1, 0x9003, struct.pack("<I", 0xFFFFFFFF) + struct.pack("<HHI", BINARY, 1, 0) * 2_000_000)
    ),
    "files": stream(*[file(title=b"x", data=b"x")] * 100_000),
    "nested": b"".join([stream(attribute(2, 0x9002))[:-2] + MESSAGE_IID] * 50_000),
    "bomb": stream(message(prop(BINARY, RTF, bomb()))),
    "literals": stream(
        message(prop(BINARY, RTF, bytes(8) + b"LZFu" + bytes(4) + b"\xaaa\x0c\xd1a\x0c\xd1a\x0c\xd1a\x0c\xd1" * 500_000))
    ),
    "braces": rtf_of(b"{"),
    "fonts": rtf_of(rb"\f1 a\f2 b"),
    "escapes": rtf_of(rb"\u1?"),
    "backslashes": rtf_of(rb"\'"),
    "long word": rtf_of(b"\\" + b"a" * 100_000),
    "a name of megabytes": stream(file(prop(UNICODE, LONG_NAME, "a" * 5_000_000), data=b"x")),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_stream_is_read_in_time(data: bytes) -> None:
    """No crafted stream takes longer than two seconds of the processor."""
    started = time.process_time()
    check(data)
    assert time.process_time() - started < 2


# -- in a mail ---------------------------------------------------------------------------------------------------------


def a_mail(packed: bytes, text: bytes = b"See the files.\n", encoding: bytes = b"base64") -> bytes:
    """Write a mail with a winmail.dat."""
    return (
        b"From: ann@example.com\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\n" + text + b"\n--x\n"
        b"Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: " + encoding + b"\n\n"
        + base64.encodebytes(packed) + b"--x--\n"
    )  # fmt: skip


def test_a_mail_lists_the_files_in_its_winmail_dat() -> None:
    """The files are listed in place of winmail.dat, each with its name, type and bytes; the mail's own text stays."""
    packed = stream(
        message(prop(UNICODE, PLAIN, "not this text")),
        file(prop(UNICODE, LONG_NAME, "Rechnung März.pdf"), data=b"%PDF-1.4"),
        file(prop(UNICODE, LONG_NAME, "b.txt"), data=b"bytes" * 1000),
    )
    raw = a_mail(packed)
    mail = read_mail(raw)
    assert [(a.filename, a.content_type, a.size, a.part) for a in mail.attachments] == [
        ("Rechnung März.pdf", "application/pdf", 8, "2.1"),
        ("b.txt", "text/plain", 5000, "2.2"),
    ]
    for attachment in mail.attachments:
        assert hashlib.sha256(part_bytes(raw, attachment)).hexdigest() == attachment.sha256
    assert part_bytes(raw, mail.attachments[0]) == b"%PDF-1.4"
    assert mail.text == "See the files.\n"


def test_the_text_in_a_winmail_dat_is_read_where_there_is_no_other() -> None:
    """A mail whose words are only in winmail.dat shows them; without files nothing is attached."""
    mail = read_mail(a_mail(stream(message(prop(UNICODE, PLAIN, "Guten Tag"))), text=b""))
    assert (mail.text.strip(), mail.attachments) == ("Guten Tag", ())


def test_an_enclosed_mail_gives_its_files() -> None:
    """A mail without words in the winmail.dat is no file of its own: what lies in it is listed."""
    inner = stream(file(prop(UNICODE, LONG_NAME, "deep.png"), data=b"PNG"))
    raw = a_mail(stream(file(prop(UNICODE, LONG_NAME, "Fwd"), prop(OBJECT, DATA, MESSAGE_IID + inner))))
    (attachment,) = read_mail(raw).attachments
    assert (attachment.filename, part_bytes(raw, attachment)) == ("deep.png", b"PNG")


@pytest.mark.parametrize("packed", [b"no TNEF", stream(file(data=b"x"))[:-3]], ids=["another file", "damaged"])
def test_what_cannot_be_told_is_kept_whole(packed: bytes) -> None:
    """A winmail.dat that is none, or is damaged, is listed itself with its bytes."""
    raw = a_mail(packed)
    attachment = read_mail(raw).attachments[-1]
    assert (attachment.filename, part_bytes(raw, attachment)) == ("winmail.dat", packed)


def test_a_mail_cannot_name_a_cut_itself() -> None:
    """An encoding that is ours alone means nothing where a mail names it."""
    raw = a_mail(b"no TNEF", encoding=b"base64+cut:0-2")
    (attachment,) = read_mail(raw).attachments
    assert (attachment.encoding, part_bytes(raw, attachment)) == ("base64", b"no TNEF")
