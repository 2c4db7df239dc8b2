"""The log: the user's greps find what happened, and nothing that a mail says can forge a line or move a cursor."""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.log import logger, safe, say, set_up
from pipeline.settings import load

from .conftest import House, a_mail

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 (INFO|WARNING|ERROR) .+")
CONTROLS = "\x1b\x9b\u202e\u2066\u2028\x07"
HOSTILE = "\x1b[2J\x9b31m\u202egnp\u2066\u2028\x07"


def grep(house: House, phrase: str) -> list[str]:
    return [line for line in house.log.read_text("utf-8").splitlines() if phrase in line]


def fields(line: str) -> dict[str, str]:
    """Read the key=value fields of a line as a script would."""
    return dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)


def talk(house: House, *words: str) -> None:
    """Process a mail and a reply."""
    house.drop(a_mail(), "1.eml")
    house.run("process", *words)
    house.drop(a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    house.run("process", *words)


def wait_for(said: Callable[[], bool]) -> None:
    """Wait until something is true; there is a deadline only."""
    end = time.monotonic() + 30
    while not said():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


def test_the_three_greps(house: House) -> None:
    """The three phrases of the contract find the passes, the new tickets and the replies."""
    talk(house)
    assert len(grep(house, "Email processing")) == 2
    assert len(grep(house, "Created new Ticket from email")) == 1
    assert len(grep(house, "Added comment to Ticket")) == 1


@pytest.mark.parametrize(
    ("phrase", "message_id", "file", "outcome"),
    [
        ("Created new Ticket from email", "1@example.com", "1.eml", "opened"),
        ("Added comment to Ticket", "2@example.com", "2.eml", "commented"),
    ],
)
def test_the_fields_of_a_line(house: House, phrase: str, message_id: str, file: str, outcome: str) -> None:
    """Ticket, message id, file, outcome and milliseconds stand on a mail's line as key=value."""
    talk(house)
    (line,) = grep(house, phrase)
    found = fields(line)
    assert found.pop("ms").isdecimal()
    assert found == {
        "ticket": "TICKET-001",
        "message_id": message_id,
        "file": str(Path("maildir", "new", file)),
        "outcome": outcome,
    }


def test_the_line_of_a_pass_counts(house: House) -> None:
    """`Email processing` opens the line of a pass and says how many of each, how many wait, and how long it took."""
    talk(house)
    found = fields(grep(house, "Email processing")[0])
    assert (found["opened"], found["left"]) == ("1", "0") and float(found["seconds"]) >= 0
    assert re.fullmatch(r"\S+ INFO Email processing .*", grep(house, "Email processing")[0])


def test_every_line_is_in_order(house: House) -> None:
    """Each line has its time in UTC and its level; there is one for each mail and one for the pass."""
    talk(house)
    lines = house.log.read_text().splitlines()
    assert len(lines) == 4 and all(LINE.fullmatch(line) for line in lines)


def test_a_pass_that_touched_nothing_leaves_no_line(house: House) -> None:
    """A cron job every minute does not fill the log."""
    house.run("process")
    house.run("process", "--json")
    assert not house.log.exists() or house.log.read_bytes() == b""


@pytest.mark.parametrize("loud", ["-q", "-v", "-vv"])
def test_the_log_has_every_line_however_loud(house: House, loud: str) -> None:
    """Lines go to LOG_FILE always: -q silences the terminal alone, and -v does not hide the greps."""
    talk(house, loud)
    assert len(grep(house, "Email processing")) == 2 and len(grep(house, "Created new Ticket from email")) == 1
    assert len(grep(house, "Added comment to Ticket")) == 1


def test_a_failure_says_why(house: House) -> None:
    """The line of a failed mail is a warning with the reason."""
    house.drop(b"no header\n", "broken.eml")
    house.run("process", code=1)
    (line,) = grep(house, "Email failed")
    assert " WARNING " in line and fields(line)["outcome"] == "failed" and fields(line)["reason"]


FORGED = 'x ticket=TICKET-666 outcome=held "quoted" 2026-01-01T00:00:00+00:00 INFO Created new Ticket from email'


@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such name")
def test_a_name_cannot_forge_a_line(house: House) -> None:
    """A line break, a quote or a field in a file's name stays inside its quoted value."""
    house.drop(a_mail(), 'x\n2026-01-01T00:00:00+00:00 INFO Created new Ticket from email ticket="TICKET-666" outcome=held.eml')
    house.run("process")
    assert len(house.log.read_text().splitlines()) == 2
    (line,) = grep(house, " outcome=opened")
    found = fields(line)
    assert (found["ticket"], found["outcome"]) == ("TICKET-001", "opened") and "TICKET-666" in found["file"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_mail_cannot_forge_a_line(house: House, form: str) -> None:
    """What a header holds makes no line, no field and no control character of its own, in the log and on stderr."""
    house.drop(a_mail(HOSTILE + FORGED, f'"{HOSTILE}" <ann@example.com>', message_id=f"<a{HOSTILE}{FORGED}@x>"), "forged.eml")
    said = house.run("process", "-vv", LOG_FORMAT=form).stderr.decode()
    text = house.log.read_text("utf-8")
    assert not set(CONTROLS) & set(text + said)
    settled, *_ = text.splitlines()
    found = json.loads(settled) if form == "json" else fields(settled)
    assert (found["ticket"], found["outcome"]) == ("TICKET-001", "opened")
    assert len([line for line in text.splitlines() if re.search("Created new Ticket from email", line)]) == 1


def test_json_lines_carry_the_same(house: House) -> None:
    """With LOG_FORMAT=json every line is an object with time, level, message and the same fields."""
    (house.home / ".env").write_text("LOG_FORMAT=json\n")
    talk(house)
    lines = [json.loads(line) for line in house.log.read_text("utf-8").splitlines()]
    assert [line["message"] for line in lines] == [
        "Created new Ticket from email",
        "Email processing",
        "Added comment to Ticket",
        "Email processing",
    ]
    assert {"time", "level", "message", "ticket", "message_id", "file", "outcome", "ms"} <= set(lines[0])
    assert (lines[2]["ticket"], lines[2]["message_id"], lines[2]["outcome"]) == ("TICKET-001", "2@example.com", "commented")
    assert isinstance(lines[0]["ms"], int) and lines[1]["opened"] == 1


def test_the_log_file_is_a_setting(house: House) -> None:
    """LOG_FILE says where the log is; its folder is made."""
    house.drop(a_mail())
    house.run("process", LOG_FILE="elsewhere/desk.log")
    assert "Created new Ticket" in (house.home / "elsewhere" / "desk.log").read_text()
    assert not house.log.exists()


def test_a_log_that_cannot_be_made(house: House) -> None:
    """A LOG_FILE that cannot be opened exits 73 and names the key."""
    (house.home / "file").write_text("")
    done = house.run("process", LOG_FILE="file/helpdesk.log", code=73)
    assert b"LOG_FILE" in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not rename an open file")
def test_a_rotated_log_is_opened_anew(house: House) -> None:
    """After logrotate renamed the log, the next line of a running worker is in a new file, and none is lost."""
    process = house.start("worker")
    try:
        house.drop(a_mail(), "1.eml")
        wait_for(lambda: house.log.exists() and bool(grep(house, "Email processing")))
        house.log.rename(house.log.with_name("helpdesk.log.1"))
        house.drop(a_mail("Two", message_id="<2@example.com>"), "2.eml")
        wait_for(lambda: house.log.exists() and bool(grep(house, "Email processing")))
    finally:
        process.terminate()
        process.wait(30)
    assert "TICKET-001" in house.log.with_name("helpdesk.log.1").read_text()
    assert "TICKET-002" in house.log.read_text() and "TICKET-001" not in house.log.read_text()


WRITER = """
import sys
from pipeline.log import say, set_up
from pipeline.settings import load
set_up(load())
for number in range(2000):
    say("Line", who=sys.argv[1], number=number, pad="x" * 200)
"""


def test_two_processes_lose_no_line(house: House) -> None:
    """Processes that write at the same time lose no line and mix none."""
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, who], cwd=house.home, env=house.environment) for who in "ab"]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    lines = house.log.read_text().splitlines()
    assert len(lines) == 4000 and all(LINE.fullmatch(line) for line in lines)
    found = {(fields(line)["who"], int(fields(line)["number"])) for line in lines}
    assert found == {(who, number) for who in "ab" for number in range(2000)}


# safe(), alone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ASCII!", "plain text, ASCII!"),
        ("Grüße, 你好, 🙂", "Grüße, 你好, 🙂"),
        ("", ""),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x00\x07\x7f", r"\x00\x07\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ufeffbom\u200bzero", r"\ufeffbom\u200bzero"),
        ("lone \udce4 surrogate", r"lone \udce4 surrogate"),
        ("private \ue000", r"private \ue000"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("unassigned \u0378", r"unassigned \u0378"),
    ],
)
def test_safe_text(text: str, shown: str) -> None:
    """Whatever could move a cursor, turn the reading direction or break a line is escaped; letters of any script stay."""
    assert safe(text) == shown


def test_safe_text_is_bounded() -> None:
    """A long text is cut, with a mark; with no bound it is whole."""
    assert len(safe("x" * 1000)) == 300 and safe("x" * 1000).endswith("…")
    assert safe("x" * 1000, None) == "x" * 1000
    assert safe("abcdef", 4) == "abc…"


def test_safe_text_of_every_character() -> None:
    """No character of Unicode comes out as a control, a format, a separator of lines or a surrogate."""
    for code in range(0x110000):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp", "Cs"):
            assert safe(chr(code)).isascii() and safe(chr(code)).isprintable(), hex(code)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """Log into a file of this test alone, and read it."""
    settings = load({"HELPDESK_HOME": str(tmp_path)})
    set_up(settings)
    yield lambda: settings.log_file.read_text("utf-8").splitlines()
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "key=plain"),
        ("two words", 'key="two words"'),
        ('a "quote"', r'key="a \"quote\""'),
        ("", 'key=""'),
        (3, "key=3"),
        ("a\nb", r'key="a\\nb"'),
        ("x=y", "key=x=y"),
        ("Grüße", 'key="Grüße"'),
    ],
)
def test_a_value_is_one_word(lines: Callable[[], list[str]], value: object, written: str) -> None:
    """A value with blanks, quotes or anything unusual is quoted, so that it stays one word; None is left out."""
    say("Phrase", key=value, other=None)
    assert lines()[0].endswith(f"INFO Phrase {written}")
