"""Readers: processes that may be killed at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.letter import (
    Address,
    Attachment,
    Authentication,
    Bounce,
    Kind,
    Letter,
    Link,
    Mail,
    Original,
    Outcome,
    Place,
    Step,
    Undelivered,
)
from pipeline.readers import Limits, Pool, ReaderDied, letter_from_wire, letter_to_wire

from .conftest import a_mail


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(("parse",), Limits(seconds=10, megabytes=512, processes=1)) as pool:
        yield pool


def a_letter(raw: bytes = b"") -> Letter:
    return Letter(hashlib.sha256(raw).hexdigest(), Place("INBOX", "key"))


def children_of(pool: Pool) -> list[int]:
    return [reader.process.pid for reader in pool._all]


def test_a_letter_survives_the_wire() -> None:
    """Every field of a letter and its mail comes back as it was sent."""
    part = Attachment("a.pdf", "application/pdf", 3, "00", False, None, "2", 10, 20, "base64")
    mail = Mail(
        "a@b", ("c@d",), ("e@f", "g@h"), "Betreff ✓", "2026-11-22T07:31:00+00:00", (Address("Ann", "ann@example.com"),),
        Address("S", "s@example.com"), (Address("", "r@example.com"),), (Address("", None),), (), "text", "new", True,
        (part,), (("x-y", "z"),), "1f", Kind.LIST, (1, 2),
        (Authentication("mx.example.com", "pass", None, "fail", "example.com"),),
        Bounce("i@d", (Undelivered("x@example.com", "failed", "5.1.1", "no such user"),)),
        Original(Address("B", "b@example.com"), None, "s", "t", "j@d"), ("a defect",),
    )  # fmt: skip
    decided = {"outcome": Outcome.HELD, "verified": False, "links": (Link(4, "named"),)}
    letter = a_letter().because("parse: read", mail=mail, ticket=3, **decided).marked("ours")
    assert letter_from_wire(a_letter(), letter_to_wire(letter)) == letter


def test_a_mail_is_read_in_another_process(pool: Pool) -> None:
    """Bytes go in, a letter comes back, read by a child."""
    letter = pool.read(a_letter(), a_mail("Grüße", body="Guten Tag"))
    assert (letter.mail.subject, letter.mail.text.strip()) == ("Grüße", "Guten Tag")
    assert letter.trail[-1].stage == "parse"
    assert os.getpid() not in children_of(pool)


def test_a_large_mail_is_mapped_from_its_file(pool: Pool, tmp_path: Path) -> None:
    """A path stands for the bytes where they are too many for a pipe."""
    path = tmp_path / "large"
    path.write_bytes(a_mail("Large", body="word " * 500_000))
    letter = pool.read(a_letter(), None, path)
    assert letter.mail.subject == "Large"
    assert len(letter.mail.text) > 1_000_000


def test_above_the_largest_only_the_head_is_read(tmp_path: Path) -> None:
    """A mail above MAX_MESSAGE_MB is read at its head, and says so."""
    path = tmp_path / "huge"
    path.write_bytes(a_mail("Huge", body="word " * 500_000))
    with Pool(("parse",), Limits(largest=1)) as pool:
        letter = pool.read(a_letter(), None, path)
    assert letter.mail.subject == "Huge"
    assert "larger than 1 MB" in letter.mail.defects[-1]


def test_a_reader_that_was_killed_is_replaced(pool: Pool) -> None:
    """Whoever killed it, the mail gets a second try with a fresh reader."""
    pool.read(a_letter(), a_mail())
    (first,) = children_of(pool)
    os.kill(first, signal.SIGKILL)
    assert pool.read(a_letter(), a_mail("Again")).mail.subject == "Again"
    assert children_of(pool) != [first]


def test_a_mail_that_always_kills_its_reader_fails() -> None:
    """Two deaths are the mail's own doing; the reason says what happened, and the next mail is read."""
    with Pool(("parse",), Limits(processes=1)) as pool:
        pool.read(a_letter(), a_mail())
        done = threading.Event()

        def murder() -> None:
            while not done.is_set():
                for pid in children_of(pool):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.001)

        murderer = threading.Thread(target=murder)
        murderer.start()
        try:
            letter = pool.read(a_letter(), a_mail(body="x" * 900_000))
        finally:
            done.set()
            murderer.join()
        assert letter.outcome is Outcome.FAILED
        assert letter.trail[-1] == Step("reader", "the mail killed its reader (SIGKILL)")
        assert pool.read(a_letter(), a_mail("Next")).mail.subject == "Next"


def test_a_reader_that_takes_too_long_is_killed() -> None:
    """The clock ends it from outside, whatever it is doing; here it waits for bytes that never come."""
    with Pool(("parse",), Limits(seconds=0.2, processes=1)) as pool:
        pool.read(a_letter(), a_mail())
        os.kill(children_of(pool)[0], signal.SIGSTOP)
        with pytest.raises(ReaderDied, match=r"took longer than 0\.2 seconds"):
            pool.ask({"verb": "html"}, a_mail(), tries=1)


def test_html_is_sanitised_by_a_reader(pool: Pool) -> None:
    """Script never comes out; a mail without HTML has none."""
    raw = b"Content-Type: text/html\nSubject: x\n\n<p onclick=a()>Hi<script>alert(1)</script></p>\n"
    assert pool.html(raw) == "<p>Hi</p>\n" or pool.html(raw) == "<p>Hi</p>"
    assert pool.html(a_mail()) is None


def test_an_attachment_is_cut_from_the_raw_mail(pool: Pool) -> None:
    """The bytes come from the span that was read, and are what their digest says."""
    raw = (
        b'From: a@example.com\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n'
        b"--b\nContent-Type: text/plain\n\nhello\n--b\nContent-Type: application/pdf; name=a.pdf\n"
        b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.pdf\n\nJVBERi0=\n--b--\n"
    )
    (part,) = pool.read(a_letter(), raw).mail.attachments
    assert pool.cut(raw, part) == b"%PDF-"
    assert hashlib.sha256(b"%PDF-").hexdigest() == part.sha256


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc to look into")
def test_a_reader_has_no_secret_and_no_file_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its environment is empty, and of our open files it has its pipes alone."""
    monkeypatch.setenv("IMAP_PASSWORD", "canary")
    with (tmp_path / "open").open("w"), Pool(("parse",), Limits(processes=1)) as pool:
        pool.read(a_letter(), a_mail())
        (pid,) = children_of(pool)
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        targets = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        assert not [target for target in targets if not target.startswith(("pipe:", "/dev/null"))]
        assert b"canary" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max file size             0" in limits


def test_a_pool_leaves_no_process_behind() -> None:
    """Closing ends every reader."""
    with Pool(("parse",), Limits(processes=2)) as pool:
        pool.read(a_letter(), a_mail())
        pids = children_of(pool)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_reader_ends_with_its_parent(pool: Pool) -> None:
    """A parent that was killed closes the pipe, and the reader goes."""
    pool.read(a_letter(), a_mail())
    reader = pool._all[0]
    assert reader.process.stdin
    reader.process.stdin.close()
    assert reader.process.wait(10) == 0
