"""The note of the mails in hand: a mail that kills its worker is found out, and an innocent one is let go."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.inflight import Inflight
from pipeline.letter import Place

from .conftest import House, a_mail

fcntl = pytest.importorskip("fcntl", reason="the notes are told apart by locks that this system has not")

ONE, TWO, THREE = Place(".", "one.eml"), Place("INBOX", "2.h,U=2"), Place(".", "three.eml")
GONE = 2**22 + 7  # above Linux's largest process number


def dead(data: Path, *places: Place, number: int = GONE) -> Path:
    """Leave a note as a process that died would."""
    data.mkdir(exist_ok=True)
    note = data / f"inflight.{number}"
    note.write_text(json.dumps(places))
    return note


def told_next(data: Path) -> dict[Place, int]:
    """Return whom the next process suspects."""
    with contextlib.closing(Inflight(data)) as following:
        return following.suspects()


@pytest.fixture
def inflight(tmp_path: Path) -> Iterator[Inflight]:
    with_note = Inflight(tmp_path)
    yield with_note
    with_note.close()


def test_a_dead_ones_mails_are_suspects(tmp_path: Path, inflight: Inflight) -> None:
    """Mails of a stale note are suspects, not guilty while they were several; the note is buried."""
    note = dead(tmp_path, ONE, TWO)
    assert inflight.suspects() == {ONE: 0, TWO: 0}
    assert not note.exists()


def test_who_was_alone_is_counted(tmp_path: Path, inflight: Inflight) -> None:
    """Each stale note that names one mail alone counts against it, and the count outlives this process."""
    for number in range(3):
        dead(tmp_path, ONE, number=GONE + number)
    dead(tmp_path, ONE, TWO, number=GONE + 3)
    assert inflight.suspects() == {ONE: 3, TWO: 0}
    inflight.close()
    assert told_next(tmp_path) == {ONE: 3, TWO: 0}


@pytest.mark.parametrize("text", ["", "[", "null", '["a"]', "7", "\x00\x00", '[[".", "a", "b"]]'])
def test_a_torn_note_says_nothing(tmp_path: Path, inflight: Inflight, text: str) -> None:
    """A note that was torn by a power cut accuses nobody and stops nobody."""
    (tmp_path / f"inflight.{GONE}").write_text(text)
    assert inflight.suspects() == {}


def test_a_living_ones_note_is_respected(tmp_path: Path, inflight: Inflight) -> None:
    """The note of a process that lives is neither read as a death nor removed."""
    living = dead(tmp_path, ONE)
    with open(living) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert inflight.suspects() == {}
        assert living.exists()
    assert inflight.suspects() == {ONE: 1}, "its process ended: now it counts"


def test_a_note_stands_while_the_mails_are_in_hand(tmp_path: Path, inflight: Inflight) -> None:
    """The note names what is in hand, is empty after success, and is gone after the end."""
    note = tmp_path / f"inflight.{os.getpid()}"
    with inflight.holding([ONE, TWO]):
        assert json.loads(note.read_text()) == [list(ONE), list(TWO)]
    assert note.read_text() == ""
    inflight.close()
    assert not note.exists()


def test_a_longer_note_leaves_nothing_in_a_shorter_one(tmp_path: Path, inflight: Inflight) -> None:
    """Each note replaces the one before it whole."""
    with inflight.holding([ONE, TWO, THREE]):
        pass
    with inflight.holding([TWO]):
        assert json.loads((tmp_path / f"inflight.{os.getpid()}").read_text()) == [list(TWO)]


def test_success_clears_a_suspect(tmp_path: Path, inflight: Inflight) -> None:
    """A mail that came through is no suspect any more, here and for the next process; the others stay."""
    dead(tmp_path, ONE)
    dead(tmp_path, TWO, number=GONE + 1)
    inflight.suspects()
    with inflight.holding([ONE]):
        pass
    assert inflight.suspects() == {TWO: 1}
    inflight.close()
    assert told_next(tmp_path) == {TWO: 1}


def test_failure_leaves_a_suspect(tmp_path: Path, inflight: Inflight) -> None:
    """An exception while it is in hand clears nobody."""
    dead(tmp_path, ONE)
    inflight.suspects()
    with pytest.raises(RuntimeError), inflight.holding([ONE]):
        raise RuntimeError
    assert inflight.suspects() == {ONE: 1}


def test_a_note_under_our_own_number_is_read(tmp_path: Path) -> None:
    """In a container every start has the same process number: the note of the last one counts all the same."""
    dead(tmp_path, ONE, number=os.getpid())
    assert told_next(tmp_path) == {ONE: 1}


CLEARS = """
import pathlib, sys
from pipeline.inflight import Inflight
from pipeline.letter import Place
note = Inflight(pathlib.Path(sys.argv[1]))
assert note.suspects()
with note.holding([Place(*sys.argv[2:])]):
    pass
note.close()
"""


def test_a_suspect_cleared_by_another_process_is_cleared_here(tmp_path: Path) -> None:
    """What one worker cleared, another that saw the same death does not write down again."""
    dead(tmp_path, ONE)
    with contextlib.closing(Inflight(tmp_path)) as here:
        here.suspects()
        subprocess.run([sys.executable, "-c", CLEARS, str(tmp_path), *ONE], check=True, timeout=60)
        dead(tmp_path, TWO)
        assert here.suspects() == {TWO: 1}


def test_suspects_come_first_and_one_by_one(house: House) -> None:
    """Two suspects behind others in the line are decided before them; all come in."""
    for number in range(5):
        house.drop(a_mail(f"Case {number}", message_id=f"<{number}@x.example>"), f"{number}.eml")
    dead(house.home / "data", Place(".", "3.eml"), Place(".", "4.eml"))
    lines, summary = house.process()
    assert [Path(line["file"]).name for line in lines] == ["3.eml", "4.eml", "0.eml", "1.eml", "2.eml"]
    assert summary["opened"] == 5
    assert not list((house.home / "data").glob("inflight.*"))
    assert not (house.home / "data" / "suspects.json").exists()


def test_three_deaths_alone_make_a_mail_failed(house: House) -> None:
    """A mail alone in three stale notes fails with that reason and keeps its bytes; the others go on; retry brings it in."""
    house.drop(a_mail("Poison", message_id="<p@x.example>"), "poison.eml")
    house.drop(a_mail("Good", message_id="<g@x.example>"), "good.eml")
    for number in range(3):
        dead(house.home / "data", Place(".", "poison.eml"), number=GONE + number)
    lines, summary = house.process(code=1)
    assert (summary["failed"], summary["opened"]) == (1, 1)
    failure = house.json("failed", "list")[0]
    assert "died 3 times" in failure["reason"]
    assert failure["stage"] == "runner"
    house.run("failed", "retry", str(failure["id"]))
    assert len(house.json("ticket", "list")) == 2


def test_two_deaths_alone_are_no_proof(house: House) -> None:
    """A mail alone in two stale notes is tried once more, and is let go when it comes through."""
    house.drop(a_mail("Unlucky"), "unlucky.eml")
    for number in range(2):
        dead(house.home / "data", Place(".", "unlucky.eml"), number=GONE + number)
    assert house.process()[1]["opened"] == 1
    assert not (house.home / "data" / "suspects.json").exists()


CUT = """
import os, signal
from pipeline.cli import main
from pipeline.desk import Desk
settle = Desk.settle
def deadly(self, letter, delivery):
    if letter.mail.subject == "deadly" and letter.outcome != "failed":
        os.kill(os.getpid(), signal.SIGKILL)
    return settle(self, letter, delivery)
Desk.settle = deadly
main()
"""


def test_a_mail_that_kills_the_program_is_found_out(house: House, tmp_path: Path) -> None:
    """Among ten others, the one that kills the program each time ends failed after a few starts, and only that one."""
    script = tmp_path / "cut.py"
    script.write_text(CUT)
    for number in range(10):
        house.drop(a_mail(f"Case {number}", message_id=f"<{number}@x.example>"), f"{number}.eml")
    house.drop(a_mail("deadly", message_id="<d@x.example>"), "5a.eml")
    codes = []
    while len(codes) < 12 and (not codes or codes[-1] == -signal.SIGKILL):
        done = subprocess.run([sys.executable, str(script), "process"], cwd=house.home, env=house.environment, timeout=120)
        codes.append(done.returncode)
    assert codes == [-signal.SIGKILL] * 4 + [1], "once in a batch, three times alone, and then it is told"
    assert len(house.json("failed", "list")) == 1
    assert len(house.json("ticket", "list")) == 10
    assert house.json("audit")["complete"]
