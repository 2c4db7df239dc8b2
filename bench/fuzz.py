"""Look for bytes that break or stall the reader: guided by coverage (atheris) or drawn from a grammar of mails (hypothesis).

    python bench/fuzz.py [--seconds 600] [--engine atheris|hypothesis] [--target mail|trim|html|addresses|words|winmail|all]
                         [--corpus DIR] [--findings DIR] [--seed N]
    python bench/fuzz.py --replay FILE --target mail

Both engines ask the same questions (CHECKS) and share one mutator that knows what a mail is made of. What does not hold is
made small and written to the folder of findings, beside its reason; the exit is 1 then. The corpus grows from run to run.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import hashlib
import html.parser
import importlib
import importlib.util
import json
import os
import pkgutil
import quopri
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pipeline  # the package alone: its rooms are imported later, so that atheris can instrument them

ROOT = Path(__file__).parents[1]
CACHE = Path(__file__).with_name(".cache")
SEEDS = (ROOT / "tests" / "mails", ROOT.parent / "shared" / "mails")  # the second is there on some machines only
ROOMS = ("letter", "mime", "markup", "sanitise", "trim", "trim_html", "kinds", "readers", "stages.parse")  # and those of mime
LONGEST = 64 * 1024  # bytes of one input
STALL = 20.0  # CPU seconds, after which an input is given up
ROUND = 30.0  # seconds, after which hypothesis begins anew
AGAIN = 5.0  # seconds, after which an alarm that somebody swallowed rings again
GRACE = 120  # seconds, after which an engine that goes on beyond its time is ended
SEEDS_A_SECOND = 10  # of a hunt: an engine looks at all of them first, whatever its time
PATIENCE = 2.0  # with which an engine looks at a time before it is asked about
SHRINK = 20.0  # seconds for making one finding small
SHARES = {"mail": 4, "trim": 1, "html": 2, "addresses": 1, "words": 1, "winmail": 1}  # of the time, for `--target all`

_WORD = re.compile(r"\w+")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_ADDRESS = re.compile(r'(?:"[^"]+"|[^\s@<>][^\s<>]*)@[^\s@<>,;()]+')  # some write ann@host@example.com
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Complaint(NamedTuple):
    """What does not hold: a word for the file's name, what makes it the same finding again, and the sentence."""

    kind: str
    key: str
    sentence: str


Complaints = Iterator[Complaint]


def complaint(kind: str, sentence: str, key: str = "") -> Complaint:
    return Complaint(kind, f"{kind} {key}", sentence)


# -- what must hold --------------------------------------------------------------------------------------------------


def check_mail(raw: bytes) -> Complaints:
    """A mail is read without a fault, the same each time, and everything in it is what it says."""
    mail = _parsed(raw)
    for defect in mail.defects:
        if "reader broke" in defect:
            yield complaint("broke", defect, _where_it_broke(raw))
    yield from unstorable("mail", dataclasses.asdict(mail))
    pipeline.kinds.kind_of(mail)
    if _parsed(memoryview(raw)) != mail:
        yield complaint("unsteady", "bytes and a memoryview of them are read differently")
    if pipeline.readers.mail_from_wire(json.loads(json.dumps(pipeline.readers.mail_to_wire(mail)))) != mail:
        yield complaint("wire", "the mail does not come back from the wire as it was read")
    yield from added_words("reply_text", mail.reply_text, mail.text)
    yield from wrong_spans(raw, mail.attachments)
    written = pipeline.mime.html_of(raw)
    if (written is not None) != mail.has_html:
        yield complaint("html", f"has_html is {mail.has_html}, html_of returns {type(written).__name__}")
    if written is not None:
        yield from unstorable("html_of", written)
        yield from unsafe(written)


def check_trim(raw: bytes) -> Complaints:
    """The new text has no word that the whole text has not, nor have the parts of a forward."""
    text = _text(raw)
    for forwarded in (None, True, False):
        new = pipeline.trim.new_text(text, forwarded)
        yield from added_words(f"new_text(forwarded={forwarded})", new, text)
        found = pipeline.mime.forwarded.inline_original(text, forwarded)
        if found:
            yield from unstorable("original", dataclasses.asdict(found[1]))
            yield from added_words("the note above an original", found[0], text)
            yield from added_words("the text of an original", found[1].text, text)


def check_html(raw: bytes) -> Complaints:
    """HTML becomes storable text, cutting quotes adds no word, and what is shown is harmless."""
    source = _text(raw)
    text = pipeline.markup.to_text(source)
    cut = pipeline.markup.to_text(pipeline.trim_html.without_quotes(source), quotes=True)
    yield from unstorable("to_text", [text, cut])
    yield from added_words("without_quotes", cut, text)
    yield from unsafe(source)


def check_addresses(raw: bytes) -> Complaints:
    """An address list gives names and addresses that can be stored and sent to."""
    for one in pipeline.mime.addresses.addresses(pipeline.mime.words.raw_text(raw)):
        yield from unstorable("addresses", [one.name, one.address])
        if _CONTROL.search(one.name) or _CONTROL.search(one.address or ""):
            yield complaint("control", f"a control character in {one}")
        if one.address is not None and not _ADDRESS.fullmatch(one.address):
            yield complaint("address", f"an address that is none: {one}")


def check_words(raw: bytes) -> Complaints:
    """The rooms for header fields and charsets take any bytes; the first line is a charset's name."""
    label, _, rest = raw.partition(b"\n")
    name = label.decode("latin-1")
    fields, words = pipeline.mime.fields, pipeline.mime.words
    text = words.raw_text(rest, name)
    found = [words.decode_words(text), *fields.message_ids(text), fields.message_id(text) or ""]
    main, given = fields.parameters(text)
    yield from unstorable("words", [text, main, *found, *given, *given.values()])
    date = fields.date(text)
    if date is not None and datetime.fromisoformat(date).utcoffset() is None:
        yield complaint("date", f"a date without its offset: {date}")
    pipeline.mime.charsets.clean(pipeline.mime.charsets.decode(rest, name)).encode()


def check_winmail(raw: bytes) -> Complaints:
    """A TNEF stream tells files that lie in it, and texts; RTF becomes text."""
    tnef, rtf = pipeline.mime.tnef, pipeline.mime.rtf
    for one in tnef.enclosed(raw):
        yield from unstorable("winmail.dat", [one.filename, one.content_type, one.content_id])
        if not 0 <= one.start <= one.end <= len(raw):
            yield complaint("span", f"the file {one.start}:{one.end} is not in the {len(raw)} bytes of the stream", "winmail")
    tnef.is_told(raw)
    for said in (*tnef.body(raw), rtf.rich_text(raw)[1], rtf.rich_text(rtf.decompressed(raw))[1]):
        pipeline.mime.charsets.clean(said or "").encode()


CHECKS: dict[str, Callable[[bytes], Complaints]] = {
    "mail": check_mail,
    "trim": check_trim,
    "html": check_html,
    "addresses": check_addresses,
    "words": check_words,
    "winmail": check_winmail,
}


def _parsed(raw: bytes | memoryview) -> Any:
    letter = pipeline.letter.Letter(digest="", place=pipeline.letter.Place(".", "x"), raw=raw)
    return pipeline.stages.parse.parse(letter).mail


def _text(raw: bytes) -> str:
    return pipeline.mime.charsets.clean(raw.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")


def _where_it_broke(raw: bytes) -> str:
    """Return the place of the fault that `read_mail` swallowed."""
    reader = pipeline.mime.reader
    try:
        reader._read(reader.structure.workable(raw))
    except Exception as error:
        return _place(error)
    return ""


def _place(error: BaseException) -> str:
    """Return what and where an exception is: its type and the last function of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "pipeline" in frame.filename] or frames
    return f"{type(error).__name__} in {Path(ours[-1].filename).stem}.{ours[-1].name} line {ours[-1].lineno}"


def unstorable(what: str, value: Any) -> Complaints:
    """Complain of every text in a value that holds a NUL or a lone surrogate."""
    if isinstance(value, str) and _UNSTORABLE.search(value):
        yield complaint("unstorable", f"{what} holds a NUL or a lone surrogate: {value[:80]!r}", what)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from unstorable(f"{what}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from unstorable(what, inner)


def added_words(what: str, part: str, whole: str) -> Complaints:
    """Complain if a text has a word more often than the text that it is a view of."""
    added = Counter(_WORD.findall(part)) - Counter(_WORD.findall(whole))
    if added:
        yield complaint("added", f"{what} has words that the whole text has not: {sorted(added)[:5]}", what)


def wrong_spans(raw: bytes, attachments: Iterable[Any]) -> Complaints:
    """Complain of attachments that are not what the bytes at their span say."""
    for one in attachments:
        if not 0 <= one.start <= one.end <= len(raw):
            yield complaint("span", f"the span {one.start}:{one.end} is not in the {len(raw)} bytes of the mail", "outside")
        decoded = pipeline.mime.part_bytes(raw, one)
        if (len(decoded), hashlib.sha256(decoded).hexdigest()) != (one.size, one.sha256):
            yield complaint(
                "span", f"part {one.part} ({one.encoding}): {len(decoded)} bytes at its span, {one.size} said", "bytes"
            )


def unsafe(source: str) -> Complaints:
    """Complain of shown HTML that still does something, or that changes when it is made safe once more."""
    shown = pipeline.sanitise.sanitise(source)
    yield from unstorable("sanitise", shown)
    if (again := pipeline.sanitise.sanitise(shown)) != shown:
        differs = "in the order of attributes" if sorted(again) == sorted(shown) else "in its content"
        at = max(0, len(os.path.commonprefix([shown, again])) - 40)
        sentence = f"made safe twice it differs {differs}: {shown[at : at + 80]!r} {again[at : at + 80]!r}"
        yield complaint("fixed-point", sentence, differs)
    judge = _Judge()
    judge.feed(shown)
    judge.close()
    yield from (complaint("unsafe", sentence, sentence.split()[0]) for sentence in judge.found[:3])


class _Judge(html.parser.HTMLParser):
    """Note every tag and attribute that may do more than look nice; another parser than the one that made the HTML safe."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in (
            "script",
            "style",
            "iframe",
            "object",
            "embed",
            "form",
            "input",
            "button",
            "meta",
            "link",
            "base",
            "svg",
            "math",
        ):
            self.found.append(f"<{tag}> is left")
        for name, value in attrs:
            given = re.sub(r"[\s\x00-\x20]+", "", value or "").lower()
            if name.startswith("on") or "javascript:" in given.partition("?")[0][:40] or "vbscript:" in given[:40]:
                self.found.append(f"{name}={value!r} is left")
            if name in ("src", "background", "srcset", "poster", "data") and not given.startswith("cid:"):
                self.found.append(f"{name}={value!r} is fetched")
            if name == "style" and re.search(r"url\(|expression|import|\\", given):
                self.found.append(f"{name}={value!r} is fetched")


# -- one look at one input -------------------------------------------------------------------------------------------


class _Stalled(BaseException):
    """The input was given up; no `except Exception` of the reader may swallow it."""


def _give_up(*_: object) -> None:
    raise _Stalled


def budget(raw: bytes) -> float:
    """Return the CPU seconds that an input may take: 2 for 100 KB, and half a one for a start."""
    return 0.5 + len(raw) / 50_000


def looked_at(target: str, raw: bytes) -> tuple[list[Complaint], float]:
    """Ask everything about an input; return what does not hold, and the CPU seconds that it took."""
    found: list[Complaint] = []
    started = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, STALL, AGAIN)
    try:
        found.extend(CHECKS[target](raw))
    except _Stalled:
        found.append(complaint("slow", f"{len(raw)} bytes took more than {STALL:g} CPU seconds", "stalled"))
    except Exception as error:
        found.append(complaint("raised", f"{_place(error)}: {error}"[:500], _place(error)))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return found, time.process_time() - started


def judged(target: str, raw: bytes) -> list[Complaint]:
    """Return what does not hold for an input, its time included; what was slow once may have been an accident."""
    found, seconds = looked_at(target, raw)
    if seconds > budget(raw):
        seconds = min(seconds, looked_at(target, raw)[1])
    slow = [complaint("slow", f"{len(raw)} bytes took {seconds:.2f} CPU seconds")] if seconds > budget(raw) else []
    return found + slow


class Hunt:
    """Look at inputs, and write down each thing that does not hold once, as small as it can be made in time."""

    def __init__(self, target: str, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.known: set[str] = set()
        self.looks = 0

    def look(self, raw: bytes) -> float:
        """Look at an input; return the CPU seconds that it took."""
        self.looks += 1
        found, seconds = looked_at(self.target, raw)
        for one in found:
            if one.key not in self.known and one.kind != "slow":
                self.known.add(one.key)
                self._write(one, raw)
                small = smaller(raw, lambda less, key=one.key: key in {other.key for other in looked_at(self.target, less)[0]})
                self._write(next((other for other in looked_at(self.target, small)[0] if other.key == one.key), one), small)
        if seconds > PATIENCE * budget(raw) and "slow" not in self.known:
            self._ask_again(raw)
        return seconds

    def _write(self, one: Complaint, raw: bytes) -> None:
        path = self.folder / f"{self.target}-{one.kind}-{hashlib.sha256(one.key.encode()).hexdigest()[:8]}.eml"
        path.write_bytes(raw)
        path.with_suffix(".txt").write_text(f"{one.key}\n{one.sentence}\n", "utf-8", "backslashreplace")
        print(f"finding: {path.name}, {len(raw)} bytes: {one.key}: {one.sentence}", flush=True)

    def _ask_again(self, raw: bytes) -> None:
        """Ask a fresh process whether an input is slow: here the code is instrumented."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(raw)
            file.flush()
            words = [sys.executable, __file__, "--replay", file.name, "--target", self.target]
            said = subprocess.run(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True).stdout
        for line in said.splitlines():
            if line.startswith("slow"):
                self.known.add("slow")
                self._write(complaint("slow", line), raw)


def smaller(raw: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Take away ever smaller pieces of an input as long as the same thing does not hold."""
    ends = time.monotonic() + SHRINK
    size = len(raw) // 2
    while size and time.monotonic() < ends:
        at = 0
        while at < len(raw) and time.monotonic() < ends:
            less = raw[:at] + raw[at + size :]
            if still(less):
                raw = less
            else:
                at += size
        size //= 2
    return raw


# -- seeds and the mutator -------------------------------------------------------------------------------------------

# Words that rooms of the reader listen to, and bytes that break rules: as lines, and as pieces within a line.
_LINES = r"""
--b
--b--
X:
From: Ann <a@b>
Date: 1 Jan 99999 1:1 +9999
Content-Type: multipart/mixed; boundary=b
Content-Type: multipart/alternative; boundary=b
Content-Type: multipart/digest; boundary=b
Content-Type: multipart/report; report-type=delivery-status; boundary=b
Content-Type: message/rfc822
Content-Type: message/delivery-status
Content-Type: text/html; charset=utf-16
Content-Type: text/plain; format=flowed; delsp=yes
Content-Transfer-Encoding: base64
Content-Transfer-Encoding: quoted-printable
Content-Transfer-Encoding: x-uuencode
Content-Disposition: inline
Content-Disposition: attachment; filename*0*=x''%00%ED%A0%80; filename*1=b
Authentication-Results: a; spf=pass; dkim=fail (x) header.d=b; dmarc=none header.from=c
Auto-Submitted: auto-replied
Return-Path: <>
List-Id: <a.b>
Final-Recipient: rfc822; a@b
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 no
begin 644 a
`
end
=
On 1.1.2026 a@b wrote:
Am 01.02.2026 um 10:00 schrieb A B <a@b>:
Анна <a@b> пишет:
在 2026年1月1日 写道：
> x
>> x
--\x20
--
-----Original Message-----
Sent: 1.1.2026
To: c@d
Subject: e
---------- Forwarded message ---------
Begin forwarded message:
##- reply above this line -##
"""
_PIECES_OF_LINES = r"""
=3D =?utf-8?q?=ed=a0=80?= =?utf-7?b? =?iso-2022-jp?B?GyRC?= ?= =?utf-8?q? &#0; &#xD800; &lt; &amp; &nbsp; <!-- --> <a\x20href='
<div> </div> <div\x20class="gmail_quote"> <blockquote\x20type="cite"> </blockquote> <script> </script <title> <svg><style> <br>
<math><mtext> <pre> <table> <img\x20src=http://x> <img\x20src=cid:a\x20onerror=b> <body><head> style='color:red;background:url(x)'
" ( ) < > @ : ; , \\ <a@b> Team:\x20a@b,\x20c@d; >\x20 \x20 \r \r\n \n\n \0 \x1b$B \x1b(B \xff \xa0 \x85 \xef\xbb\xbf
"""
TOKENS = (
    *(line.replace(r"\x20", " ").encode() + b"\n" for line in _LINES.splitlines() if line),
    *(piece.encode().decode("unicode_escape").encode("latin-1") for piece in _PIECES_OF_LINES.split()),
    *(char.encode() for char in "\u0301\u200f\u3000\u2028\ufeff\ufffd\U0001f600"),
)
_HEADER_LINE = re.compile(rb"^[!-9;-~]{1,60}:[^\n]*\n(?:[ \t][^\n]*\n)*", re.MULTILINE)
_BOUNDARY = re.compile(rb"boundary\s*=\s*\"?([^\"\s;]{1,70})", re.IGNORECASE)
_LABEL = re.compile(rb"(charset\s*=\s*\"?|Content-Transfer-Encoding:\s*|=\?)([\w-]+)", re.IGNORECASE)
_BASE64 = re.compile(rb"\n\r?\n((?:[A-Za-z0-9+/]{20,80}={0,2}\r?\n)+)")
_LABELS = (
    b"utf-8 utf-16 utf-16le utf-32 iso-2022-jp iso-2022-kr hz gb18030 big5 shift_jis koi8-r windows-1252 x "
    b"base64 quoted-printable uuencode 7bit"
).split()


class Mutator:
    """Change a mail the way mails differ: by headers, parts, boundaries, labels, line ends, and by repeating pieces."""

    def __init__(self, seeds: list[bytes], structured: bool) -> None:
        self.seeds = seeds or [b"From: a@b\n\nx\n"]
        self.headers = [found[0] for seed in self.seeds for found in _HEADER_LINE.finditer(seed[:8192])] or [b"X: y\n"]
        plain = (self.token, self.repeat, self.splice, self.lines, self.chop)
        mail = (self.header, self.part, self.boundary, self.label, self.wrap, self.inside, self.line_ends)
        self.ways = (*plain, *mail) if structured else plain

    def __call__(self, data: bytes, rnd: random.Random, longest: int = LONGEST) -> bytes:
        for _ in range(rnd.choice((1, 1, 2, 3, 5))):
            data = rnd.choice(self.ways)(data, rnd)[:longest]
        return data

    def token(self, data: bytes, rnd: random.Random) -> bytes:
        at = rnd.randint(0, len(data))
        return data[:at] + rnd.choice(TOKENS) + data[at:]

    def repeat(self, data: bytes, rnd: random.Random) -> bytes:
        at = rnd.randint(0, len(data))
        end = data.find(b"\n", at) + 1 if rnd.random() < 0.5 else at + rnd.randint(1, 40)
        return data[:at] + data[at:end] * rnd.choice((2, 3, 10, 100, 1000, 10_000)) + data[end:]

    def splice(self, data: bytes, rnd: random.Random) -> bytes:
        other = rnd.choice(self.seeds)
        at, start = rnd.randint(0, len(data)), rnd.randint(0, len(other))
        return data[:at] + other[start : start + rnd.randint(0, 4000)] + (data[at:] if rnd.random() < 0.5 else b"")

    def lines(self, data: bytes, rnd: random.Random) -> bytes:
        lines = data.split(b"\n")
        lines.insert(rnd.randrange(len(lines)), lines.pop(rnd.randrange(len(lines))) if rnd.random() < 0.5 else rnd.choice(lines))
        return b"\n".join(lines)

    def chop(self, data: bytes, rnd: random.Random) -> bytes:
        at = rnd.randint(0, len(data))
        return data[:at] + data[at + rnd.choice((1, 2, 10, 100, 1000)) :]

    def header(self, data: bytes, rnd: random.Random) -> bytes:
        found = list(_HEADER_LINE.finditer(data[:16_384]))
        spot = rnd.choice(found).span() if found else (0, 0)
        new = rnd.choice((b"", rnd.choice(self.headers), rnd.choice(self.headers) + data[slice(*spot)]))
        return data[: spot[0]] + new + data[spot[1] :]

    def part(self, data: bytes, rnd: random.Random) -> bytes:
        """Put a piece of another mail between two boundaries; make the mail a multipart if it is none."""
        boundaries = _BOUNDARY.findall(data)
        if not boundaries:
            kind = rnd.choice((b"mixed", b"alternative", b"related", b"digest", b"signed", b"report"))
            return b"MIME-Version: 1.0\nContent-Type: multipart/" + kind + b"; boundary=b\n\n--b\n" + data + b"\n--b--\n"
        line = b"--" + rnd.choice(boundaries) + b"\n"
        places = [found.start() for found in re.finditer(re.escape(line), data)] or [len(data)]
        at = rnd.choice(places)
        return data[:at] + line + rnd.choice(self.seeds)[: rnd.choice((200, 2000, 20_000))] + b"\n" + data[at:]

    def boundary(self, data: bytes, rnd: random.Random) -> bytes:
        boundaries = _BOUNDARY.findall(data) or [b"b"]
        new = rnd.choice((b"b", b"bb", b"-", b"", b"a b", b'"', rnd.choice(boundaries)))
        return data.replace(rnd.choice(boundaries), new, rnd.choice((1, 2, -1)))

    def label(self, data: bytes, rnd: random.Random) -> bytes:
        return _LABEL.sub(lambda found: found[1] + rnd.choice(_LABELS) if rnd.random() < 0.5 else found[0], data)

    def wrap(self, data: bytes, rnd: random.Random) -> bytes:
        coded = rnd.random() < 0.5
        encoding = b"Content-Transfer-Encoding: base64\n" if coded else b""
        inner = base64.encodebytes(data) if coded else data
        kind = rnd.choice((b"message/rfc822", b"text/plain", b"text/html", b"message/delivery-status", b"a/b; name=c"))
        start = b"From: a@b\nContent-Type: multipart/mixed; boundary=bw\n\n--bw\nContent-Type: " + kind + b"\n"
        return start + encoding + b"\n" + inner + b"\n--bw--\n"

    def inside(self, data: bytes, rnd: random.Random) -> bytes:
        """Change what stands inside a part in base64."""
        coded = list(_BASE64.finditer(data))
        if not coded:
            return self.wrap(data, rnd)
        start, end = rnd.choice(coded).span(1)
        with contextlib.suppress(ValueError):
            changed = rnd.choice(self.ways)(base64.b64decode(data[start:end]), rnd)
            return data[:start] + base64.encodebytes(changed) + data[end:]
        return data

    def line_ends(self, data: bytes, rnd: random.Random) -> bytes:
        unix = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return unix.replace(b"\n", rnd.choice((b"\n", b"\r\n", b"\r", b"\n\r", b"\r\r\n")))


def seeds_for(options: argparse.Namespace) -> list[bytes]:
    """Return what an engine starts from: mails, or what the rooms under a mail are given of them; fewer for a short hunt."""
    mails = _read(SEEDS)
    if options.target != "mail":
        mails = sorted({piece[:LONGEST] for raw in mails for piece in _PIECES[options.target](raw)} - {b""})
    most = options.seconds * SEEDS_A_SECOND
    return [*random.Random(options.seed).sample(mails, min(len(mails), most)), *_read([options.corpus])[:most]]


def _read(folders: Iterable[Path]) -> list[bytes]:
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".json"]
    return [path.read_bytes() for path in paths if path.stat().st_size <= LONGEST]


def _of_text(raw: bytes) -> list[bytes]:
    return [pipeline.mime.read_mail(raw).text.encode("utf-8", "replace")]


def _of_html(raw: bytes) -> list[bytes]:
    return [(pipeline.mime.html_of(raw) or "").encode("utf-8", "replace")]


def _of_headers(prefix: bytes, names: bytes) -> Callable[[bytes], list[bytes]]:
    pattern = re.compile(rb"^(?:" + names + rb"):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE)
    return lambda raw: [prefix + value for value in pattern.findall(raw[:16_384])]


def _of_winmail(raw: bytes) -> list[bytes]:
    """Return streams that hide in mails; and one of our own, with a text, a file and its properties (MS-OXTNEF, 2.1.3)."""

    def attribute(level: int, number: int, data: bytes) -> bytes:
        return struct.pack("<BHHI", level, number, 6, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    values = ((0x1F, 0x3707, "Grüße.txt\0".encode("utf-16-le")), (0x102, 0x3701, b"abc"), (0x102, 0x1009, b"\0" * 8 + b"LZFu{"))
    packed = b"".join(
        struct.pack("<HHII", kind, number, 1, len(data)) + data + b"\0" * (-len(data) % 4) for kind, number, data in values
    )
    listed = struct.pack("<I", len(values)) + packed
    own = [
        attribute(1, 0x800C, b"text\0"),
        attribute(1, 0x9003, listed),
        attribute(2, 0x9002, bytes(14)),
        attribute(2, 0x9005, listed),
    ]
    found = [base64.b64decode(re.sub(rb"\s", b"", piece)[:60_000]) for piece in re.findall(rb"eJ8\+I[A-Za-z0-9+/\s]{60,}", raw)]
    return [b"\x78\x9f\x3e\x22\1\0" + b"".join(own), rb"{\rtf1\ansi\fromhtml1{\*\htmltag <b>}a\'e4\u228?\par}", *found]


_PIECES: dict[str, Callable[[bytes], list[bytes]]] = {
    "trim": _of_text,
    "html": _of_html,
    "addresses": _of_headers(b"", b"from|to|cc|reply-to|sender"),
    "winmail": _of_winmail,
    "words": _of_headers(b"utf-8\n", b"subject|content-type|content-disposition|date|message-id|references|in-reply-to"),
}


# -- the engines -----------------------------------------------------------------------------------------------------


def by_atheris(options: argparse.Namespace) -> None:
    """Fuzz one target, guided by the coverage of the package; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["pipeline"]):
        _import_rooms()
    hunt = Hunt(options.target, options.findings)
    seeds = seeds_for(options)
    mutator = Mutator(seeds, options.target == "mail")

    def mutated(data: bytes, longest: int, seed: int) -> bytes:
        rnd = random.Random(seed)
        return mutator(data, rnd, longest) if rnd.random() < 0.5 else atheris.Mutate(data, longest)

    start = _written(seeds, Path(tempfile.mkdtemp(prefix="fuzz-seeds-")))
    flags = {
        "max_total_time": options.seconds,
        "seed": options.seed,
        "max_len": LONGEST,
        "timeout": int(STALL * 6),  # of the engine itself: for code that no signal interrupts
        "rss_limit_mb": 2048,
        "artifact_prefix": f"{options.findings}/{options.target}-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    words = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(options.corpus), str(start)]
    atheris.Setup(words, lambda data: hunt.look(data) and None, custom_mutator=mutated)
    atheris.Fuzz()


def _written(seeds: list[bytes], folder: Path) -> Path:
    for seed in seeds:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    return folder


def by_hypothesis(options: argparse.Namespace) -> None:
    """Look at drawn mails, and at mutated seeds, round after round; each round climbs towards what is slow."""
    import hypothesis
    from hypothesis import strategies as st

    _import_rooms()
    hunt = Hunt(options.target, options.findings)
    seeds = seeds_for(options)
    mutator = Mutator(seeds, options.target == "mail")
    chance = st.integers(0, 2**64).map(random.Random)  # drawing each choice would take longer than looking
    changed = st.builds(mutator, st.sampled_from(mutator.seeds), chance)
    pieces = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8) | _texts(st), max_size=60).map(b"".join)
    drawn = _grammar(st) | pieces if options.target == "mail" else pieces
    chosen = hypothesis.settings(
        max_examples=300, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )

    @chosen
    @hypothesis.given(drawn | changed | st.builds(mutator, drawn, chance))
    def look(raw: bytes) -> None:
        hypothesis.target(hunt.look(raw[:LONGEST]) / (len(raw) + 2000) * 1e6)

    rounds = 0
    for _ in _rounds(options.seconds):
        with contextlib.suppress(_TimeIsUp):
            rounds += 1
            hypothesis.seed(options.seed + rounds - 1)(look)()
    print(f"{hunt.looks} inputs in {rounds} rounds", flush=True)


class _TimeIsUp(KeyboardInterrupt):
    """The time of a round is over; of all exceptions the engine lets only this sort through at once."""


def _time_is_up(*_: object) -> None:
    raise _TimeIsUp


def _rounds(seconds: int) -> Iterator[None]:
    """Yield until the time is over. An alarm ends each round: among inputs it knows, the engine may climb in circles for ever."""
    ends = time.monotonic() + seconds
    before = signal.signal(signal.SIGALRM, _time_is_up)
    while (left := ends - time.monotonic()) > 0:
        signal.setitimer(signal.ITIMER_REAL, min(ROUND, left), AGAIN)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def _texts(st: Any) -> Any:
    return st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))


def _grammar(st: Any) -> Any:
    """Return mails as the standards draw them, with words in them that break rules."""
    value = st.lists(st.sampled_from(TOKENS) | _texts(st), max_size=6).map(b"".join)
    plain = st.sampled_from([token for token in TOKENS if not token.endswith(b"\n")]) | _texts(st)
    name = st.sampled_from(b"From To Cc Subject Date Message-ID References In-Reply-To Received X-A Reply-To Sender".split())
    header = st.builds(lambda name, value: name + b": " + value + b"\n", name, st.lists(plain, max_size=6).map(b"".join))
    encodings: dict[bytes, Callable[[bytes], bytes]] = {
        b"8bit": bytes,
        b"base64": base64.encodebytes,
        b"quoted-printable": quopri.encodestring,
        b"x-uuencode": lambda data: data,
        b"wrong": base64.encodebytes,
    }

    def leaf(kind: bytes, label: bytes, encoding: bytes, more: bytes, body: bytes) -> bytes:
        head = b"Content-Type: " + kind + b"; charset=" + label + b"\nContent-Transfer-Encoding: " + encoding + b"\n"
        return head + more + b"\n" + encodings[encoding](body)

    def multipart(kind: bytes, boundary: bytes, parts: list[bytes], closed: bool) -> bytes:
        lines = b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in parts)
        end = b"--" + boundary + b"--\n" if closed else b""
        return b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\n\n' + lines + end

    def inner(kind: bytes, encoding: bytes, mail: bytes) -> bytes:
        return b"Content-Type: " + kind + b"\nContent-Transfer-Encoding: " + encoding + b"\n\n" + encodings[encoding](mail)

    kinds = st.sampled_from(b"text/plain text/html text/enriched text/calendar message/delivery-status a/b image/png x".split())
    disposition = st.sampled_from(
        (b"", b"Content-Disposition: inline\n", b"Content-Disposition: attachment; filename=a\n", b"Content-ID: <a>\n")
    )
    leaves = st.builds(leaf, kinds, st.sampled_from(_LABELS), st.sampled_from(sorted(encodings)), disposition, value)
    wrapped = st.sampled_from((b"message/rfc822", b"message/global", b"text/rfc822-headers", b"message/partial"))
    trees = st.recursive(
        leaves,
        lambda parts: (
            st.builds(
                multipart,
                st.sampled_from(b"mixed alternative related signed report digest".split()),
                st.sampled_from((b"b", b"bb", b"a b", b"b-")),
                st.lists(parts, max_size=4),
                st.booleans(),
            )
            | st.builds(inner, wrapped, st.sampled_from(sorted(encodings)), parts)
        ),
        max_leaves=8,
    )
    return st.builds(lambda headers, tree: b"".join(headers) + tree, st.lists(header, max_size=6), trees)


ENGINES = {"atheris": by_atheris, "hypothesis": by_hypothesis}


def _import_rooms() -> None:
    for room in ROOMS:
        importlib.import_module(f"pipeline.{room}")
    for module in pkgutil.iter_modules(pipeline.mime.__path__, "pipeline.mime."):
        importlib.import_module(module.name)
    signal.signal(signal.SIGVTALRM, _give_up)


# -- the command -----------------------------------------------------------------------------------------------------


def main() -> int:
    """Run an engine over its targets, each in a process of its own; exit 1 if anything was found."""
    options = _options()
    if options.replay:
        return _replay(options)
    if options.child:
        ENGINES[options.engine](options)
        return 0
    if importlib.util.find_spec(options.engine) is None:
        print(f"{options.engine} is not installed: pip install {options.engine}", file=sys.stderr)
        return 2
    print(f"engine {options.engine}, target {options.target}, seed {options.seed}, {options.seconds} s", flush=True)
    before = _files(options.findings)
    shares = SHARES if options.target == "all" else {options.target: 1}
    for target, share in shares.items():
        seconds = max(1, options.seconds * share // sum(shares.values()))
        if code := _run_child(options, target, seconds):  # where it died of an input, that was written as TARGET-crash-...
            (options.findings / f"{target}-engine.txt").write_text(f"the engine ended with {code}\n", "utf-8")
    found = [name for name, when in _files(options.findings).items() if before.get(name) != when and name.endswith(".txt")]
    for name in sorted(found):
        print((options.findings / name).with_suffix(".eml"), (options.findings / name).read_text("utf-8"), sep="\n  ")
    print(f"{len(found)} findings in {options.findings}" if found else "nothing found")
    return int(bool(found))


def _run_child(options: argparse.Namespace, target: str, seconds: int) -> int:
    corpus = options.corpus / target
    for folder in (corpus, options.findings):
        folder.mkdir(parents=True, exist_ok=True)
    told = {
        "engine": options.engine,
        "target": target,
        "seconds": seconds,
        "seed": options.seed,
        "corpus": corpus,
        "findings": options.findings,
    }
    words = [sys.executable, __file__, "--child", *(word for name, value in told.items() for word in (f"--{name}", str(value)))]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        code = _ended(words, seconds + GRACE, None if options.verbose else said)
        said.seek(0)
        lines = said.read().splitlines()
    done = [line for line in lines if "DONE " in line or "Error" in line]
    print(f"{target}, {seconds} s:", *(done or lines)[-1:], flush=True)
    return code


def _ended(words: list[str], seconds: int, errors: Any) -> int:
    """Run a process to its end and return its exit code; -9 if it had to be ended."""
    try:
        return subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=errors, timeout=seconds).returncode
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL


def _files(folder: Path) -> dict[str, int]:
    with contextlib.suppress(FileNotFoundError):
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    return {}


def _replay(options: argparse.Namespace) -> int:
    _import_rooms()
    found = judged(options.target, options.replay.read_bytes())
    print(*(f"{one.key}: {one.sentence}" for one in found), sep="\n", end="\n" if found else "")
    print("nothing found" if not found else f"{len(found)} findings")
    return int(bool(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, default="atheris")
    parser.add_argument("--target", choices=(*CHECKS, "all"), default="all")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("FUZZ_SEED", "1")))
    parser.add_argument("--corpus", type=Path, default=CACHE / "fuzz", help="inputs worth keeping, by target")
    parser.add_argument("--findings", type=Path, default=CACHE / "findings")
    parser.add_argument("--verbose", action="store_true", help="show what the engine says")
    parser.add_argument("--replay", type=Path, help="look at one file, as --target")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.replay and options.target == "all":
        options.target = next((name for name in CHECKS if options.replay.name.startswith(name)), "mail")
    return options


if __name__ == "__main__":
    sys.exit(main())
