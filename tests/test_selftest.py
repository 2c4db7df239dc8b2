"""`helpdesk selftest DIR`: the user's own mails, from files of any kind, in a dry run; and what looks wrong about a mail."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.archive import items
from pipeline.errors import InputError
from pipeline.letter import Address, Kind, Letter, Mail, Outcome, Place, Step
from pipeline.oddities import ODDITIES, TITLES, Seen, oddities

from .conftest import House, a_mail
from .test_dry_run import tree

# -- files -----------------------------------------------------------------------------------------------------------

MARK = b"From ann@example.com Sun Nov 22 07:31:00 2026\n"


def names(root: Path) -> list[str]:
    return [item.name for item in items(root)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with mails in every kind of file, and with files that are none."""
    root = tmp_path / "mails"
    files = {
        "a.eml": a_mail("A"),
        "b/1.EML": a_mail("B"),
        "b/noname": a_mail("C"),
        "b/notes.txt": b"Nothing but notes.\nSubject: no\n",
        "b/picture.png": b"\x89PNG\r\n\x1a\n",
        "b/.hidden": a_mail("hidden"),
        "c.mbox": MARK + a_mail("D") + b"\n" + MARK + a_mail("E", body=">From me,\n>>From you\nFrom here on 2026.") + b"\n",
        "d/empty.eml": b"",
        "d/one": MARK + a_mail("F"),
        "inbox/cur/1!2,S": a_mail("G"),
        "inbox/new/2": b"no header at all",
        "inbox/tmp/3": a_mail("not there yet"),
        "inbox/.Sent/cur/4!2,S": a_mail("H"),
        "tmp/5.eml": a_mail("I"),
    }
    for name, raw in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    for name in ("inbox/new", "inbox/.Sent/new"):
        (root / name).mkdir(exist_ok=True)
    return root


def test_mails_are_found_in_files_of_any_kind(folder: Path) -> None:
    """Mails come by name, from .eml files, files that begin like a mail, Maildir folders and mbox files; others are left out."""
    assert names(folder) == [
        *("a.eml", "b/1.EML", "b/noname", "c.mbox#1", "c.mbox#2", "d/empty.eml", "d/one"),
        *("inbox/.Sent/cur/4!2,S", "inbox/cur/1!2,S", "inbox/new/2", "tmp/5.eml"),
    ]
    assert names(folder / "c.mbox") == ["c.mbox#1", "c.mbox#2"]
    assert names(folder / "a.eml") == ["a.eml"]


def test_an_mbox_is_split_where_its_mails_begin(folder: Path) -> None:
    """Postmarks and the marks of quoted From lines go; a line that only begins with From stays in its mail."""
    first, second = (item.raw or b"" for item in items(folder / "c.mbox"))
    assert first.startswith(b"From: Ann") and second.startswith(b"From: Ann")
    assert second.rstrip().endswith(b"\n\nFrom me,\n>From you\nFrom here on 2026.")


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are made otherwise")
def test_links_are_no_way_round_in_circles(folder: Path) -> None:
    """A link to a folder is not followed, a pipe is not opened."""
    before = names(folder)
    (folder / "b" / "up").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "b" / "pipe.eml")
    assert names(folder) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be read here")
def test_what_cannot_be_read_is_named(folder: Path) -> None:
    """A file or folder below that may not be read is passed on by its name; the others come."""
    before = names(folder)
    (folder / "b").chmod(0)
    assert [name for name in names(folder) if name == "b" or name in before]
    (folder / "b").chmod(0o700)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """What cannot be read at all is an error of its own."""
    with pytest.raises(InputError, match="nowhere"):
        names(tmp_path / "nowhere")


# -- what looks wrong ------------------------------------------------------------------------------------------------

ANN = Address("Ann", "ann@example.com")
FINE = {
    "message_id": "1@x",
    "date": "2026-11-22T07:31:00+00:00",
    "authors": (ANN,),
    "text": "Good morning.",
    "reply_text": "Good",
}
WORDS = "one two three four five six seven eight nine ten"
LONG = "\n".join(f"{n} {WORDS}" for n in range(5))
OLD = "Am 22.11.2026 um 08:31 schrieb Ann:"


def seen(outcome: Outcome = Outcome.COMMENTED, marks: str = "", why: str = "", raw: bytes = b"", **given: object) -> Seen:
    mail = Mail(**{**FINE, "reply_text": given.get("text", "Good"), **given})  # type: ignore[arg-type]
    trail = (Step.of(why),) if why else ()
    return Seen(Letter("0", Place("", "x"), mail, outcome=outcome, trail=trail, marks=frozenset(marks.split())), raw)


def kinds(what: Seen) -> list[str]:
    return [kind for kind, _ in oddities(what)]


OPENED = Outcome.OPENED
WRONG = {
    "failed": seen(Outcome.FAILED, why="reader: the mail took longer than 10 seconds to read", text=""),
    "undecoded text": seen(text="Gr\ufffd\ufffde"),
    "undecoded subject": seen(subject="Gr\ufffd\ufffde"),
    "undecoded name": seen(authors=(Address("J\ufffdrg", "j@example.com"),)),
    "undecoded control": seen(text="\x93Hi\x94"),
    "mojibake German": seen(text="GrÃ¼ÃŸe"),
    "mojibake quotes": seen(text="Annâ€™s"),
    "mojibake Russian": seen(text="ÐŸÑ€Ð¸Ð²ÐµÑ‚"),
    "mojibake subject": seen(subject="CafÃ©"),
    "charset": seen(text="é", defects=("unknown charset 'x'",)),
    "empty HTML": seen(text="", has_html=True),
    "empty body": seen(text="", raw=b"Subject: x\n\nSomething\n"),
    "cut": seen(text=f"Yes.\n\n{LONG}", reply_text="Yes."),
    "cut wholly": seen(text="Yes, but no.", reply_text=""),
    "left": seen(text="Yes.\n> a\n> b\n> c"),
    "left heading": seen(subject="Re: x", text=f"Yes.\n\n{OLD}"),
    "left dashes": seen(subject="Re: x", text="Yes.\n-----Original Message-----\nNo."),
    "no-sender": seen(authors=()),
    "no-sender address": seen(authors=(Address("Ann"),)),
    "no-date": seen(date=None),
    "no-id": seen(message_id=None),
    "id-again": seen(marks="reused-id"),
    "orphan": seen(OPENED, in_reply_to=("0@x",)),
    "orphan by subject": seen(OPENED, subject="AW: Drucker"),
    "orphan of a stranger": seen(OPENED, subject="Re: x", why="match: 1@x names T-1, but eve@x is no participant there: linked"),
    "defect": seen(defects=("the closing boundary is missing",)),
}


@pytest.mark.parametrize(("kind", "what"), WRONG.items(), ids=WRONG)
def test_what_looks_wrong_is_told(kind: str, what: Seen) -> None:
    """Each kind of trouble is found, alone, with a sentence."""
    assert kinds(what) == [kind.split()[0]]
    assert all(1 < len(sentence) < 400 for _, sentence in oddities(what))


FORWARD = "---------- Forwarded message ---------"
RIGHT = {
    "an ordinary mail": seen(),
    "an opening mail": seen(OPENED, subject="Printer"),
    "umlauts": seen(text="Grüße – „schön“, CAFÉ» Spaß“ à la carte, Ärger, É… Ñandú, ÎLE"),
    "Russian": seen(text="Привет, «мир»"),
    "a charset that does not matter": seen(text="plain", defects=("unknown charset 'DEFAULT'",)),
    "only a subject": seen(text="", raw=b"Subject: x\n\n\n"),
    "empty parts": seen(text="", raw=b"Subject: x\n\n--b\nContent-Type: text/plain\n\n\n--b--\n"),
    "only a picture": seen(text="", has_html=True)._replace(pictures=True),
    "a quote that was cut": seen(text=f"Yes.\n\n{OLD}\n> {LONG}", reply_text="Yes."),
    "a quote without marks": seen(text=f"Yes.\n\n-----Original Message-----\nFrom: Ann\n{LONG}", reply_text="Yes."),
    "a signature": seen(text=f"Yes.\n-- \n{LONG}", reply_text="Yes."),
    "a mail that quotes only": seen(text="> a\n> b", reply_text=""),
    "other line ends": seen(text=LONG, reply_text=LONG.replace("\n", " ")),
    "a forward": seen(subject="Fwd: x", text=f"Look.\n{FORWARD}\n{OLD}\n{LONG}", reply_text="Look."),
    "answers between quotes": seen(text="> a?\nYes.\n> b?\n> c?\n> d?\nNo."),
    "a question about words": seen(subject="Re: x", text="As I wrote:\nit is red."),
    "an answer that found its ticket": seen(subject="Re: x", in_reply_to=("0@x",)),
    "a list": seen(OPENED, subject="Re: x", kind=Kind.LIST),
    "a bounce": seen(Outcome.IGNORED, kind=Kind.BOUNCE, text=f"No.\n{LONG}", reply_text="No."),
}


@pytest.mark.parametrize("what", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_not_named(what: Seen) -> None:
    """What only resembles trouble is left alone: a list of false alarms is not read."""
    assert kinds(what) == []


def test_every_kind_has_a_title() -> None:
    """Every kind that may be told has a title, and each is tried above."""
    assert set(ODDITIES) < set(TITLES)
    assert {name.split()[0] for name in WRONG} == set(TITLES) - {"unreadable"}


@pytest.mark.parametrize(
    "text", ["Ã" * 100_000, "> " * 100_000, ">\n" * 100_000, "- - " * 50_000, "Am 1.1.2026 " * 20_000, "x\n" * 90_000]
)
def test_a_crafted_text_is_judged_in_time(text: str) -> None:
    """No crafted mail keeps the questions busy for more than two seconds."""
    started = time.process_time()
    kinds(seen(subject="Re: " + text[:1000], text=text, reply_text=text[: len(text) // 2]))
    assert time.process_time() - started < 2


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def mails(house: House) -> Iterator[Path]:
    """A folder of mails, beside a home: a question, its reply, a copy, an orphan, one without a sender, an empty file."""
    folder = house.home.with_name(house.home.name + "-mails")
    folder.mkdir()
    question = a_mail("Printer")
    (folder / "1.eml").write_bytes(question)
    (folder / "2.eml").write_bytes(a_mail("Re: Printer", message_id="<2@example.com>", in_reply_to="<1@example.com>"))
    (folder / "3.eml").write_bytes(question)
    orphan = a_mail("Re: Scanner", message_id="<4@example.com>", in_reply_to="<gone\x1b[2J@example.com>")
    (folder / "4.eml").write_bytes(orphan)
    (folder / "5.eml").write_bytes(a_mail("Hello", sender="nobody", body="Me.", message_id="<5@example.com>"))
    (folder / "6.eml").write_bytes(b"")
    yield folder


OUTCOMES = {"opened": 3, "commented": 1, "duplicate": 1, "ignored": 0, "held": 0, "failed": 1}


def test_selftest_as_json(house: House, mails: Path) -> None:
    """One document says what came of the mails, in order, and which look wrong; exit 1 where any does."""
    document = house.json("selftest", str(mails), code=1)
    assert list(document) == ["folder", "mails", "outcomes", "kinds", "tickets", "seconds", "mails_per_second", "trouble"]
    assert (document["folder"], document["mails"], document["tickets"]) == (str(mails), 6, 3)
    assert document["outcomes"] == OUTCOMES and document["kinds"] == {"message": 5}
    assert {kind: [row["file"] for row in rows] for kind, rows in document["trouble"].items()} == {
        "failed": ["6.eml"],
        "no-sender": ["5.eml"],
        "orphan": ["4.eml"],
    }


def test_selftest_for_people(house: House, mails: Path) -> None:
    """A table a kind with files and sentences, then the summary; nothing from a mail moves the cursor."""
    done = house.run("selftest", str(mails), code=1)
    shown = done.stdout.decode()
    for part in (
        "Mails that failed: 1",
        "the mail is empty",
        "Answers to no mail here: 1",
        "6 mails in",
        "1 duplicate",
        "3 tickets",
    ):
        assert part in shown
    assert "\x1b" not in shown and "3 of them are worth a look." in shown and done.stderr == b""


def test_selftest_of_good_mails(house: House, mails: Path) -> None:
    """Where nothing looks wrong the exit is 0; --limit takes the first mails only."""
    shown = house.run("selftest", str(mails), "--limit", "3").stdout.decode()
    assert shown.startswith("3 mails in") and shown.endswith("Nothing looks wrong.\n")
    assert house.json("selftest", str(mails), "--limit", "2")["mails"] == 2


def test_selftest_shows_ten_of_a_kind(house: House, mails: Path) -> None:
    """Of a kind with many mails ten are shown, with --all and in JSON all of them."""
    for number in range(15):
        (mails / f"x{number:02}.eml").write_bytes(a_mail(body=str(number), message_id=None))
    shown = house.run("selftest", str(mails), code=1).stdout.decode()
    assert "No Message-ID: 15" in shown and "x09.eml" in shown and "x10.eml" not in shown and "and 5 more" in shown
    assert "x14.eml" in house.run("selftest", str(mails), "--all", code=1).stdout.decode()
    assert len(house.json("selftest", str(mails), code=1)["trouble"]["no-id"]) == 15


def test_selftest_writes_nothing(house: House, mails: Path) -> None:
    """In an empty home no file is made, in a used one none is changed, and the mails stay as they are."""
    before = tree(mails)
    house.run("selftest", str(mails), code=1)
    assert os.listdir(house.home) == [] and tree(mails) == before
    house.drop(a_mail("Printer"))
    house.run("process")
    used = tree(house.home)
    assert house.json("selftest", str(mails), code=1)["outcomes"]["duplicate"] == 2
    assert tree(house.home) == used and tree(mails) == before


def test_selftest_of_nothing(house: House, tmp_path: Path) -> None:
    """A folder that is not there or holds no mail: exit 65 with a sentence; no folder at all: 2."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        done = house.run("selftest", str(tmp_path / name), code=65)
        assert done.stdout == b"" and name.encode() in done.stderr and b"Traceback" not in done.stderr
    house.run("selftest", code=2)
    house.run("selftest", str(tmp_path), "--limit", "0", code=2)


STAGE = """
def moody(letter, desk):
    if "raise" in letter.mail.subject:
        raise ValueError("not today")
    return letter
"""


def test_selftest_survives_a_stage_that_raises(house: House, mails: Path) -> None:
    """A mail at which a stage raises is told as failed; the others go on and find their tickets."""
    info = house.home / "plugin" / "moody-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipeline.stages]\nmoody = moody:moody\n")
    (house.home / "plugin" / "moody.py").write_text(STAGE)
    (mails / "1a.eml").write_bytes(a_mail("please raise", message_id="<7@example.com>"))
    (house.home / ".env").write_text("STAGES=parse screen match moody persist\n")
    document = json.loads(house.run("selftest", str(mails), "--json", code=1, PYTHONPATH="plugin").stdout)
    assert document["trouble"]["failed"][0] == {"file": "1a.eml", "why": "ValueError: not today"}
    assert document["outcomes"] == {**OUTCOMES, "failed": 2}


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo terminals")
def test_selftest_shows_its_progress_on_a_terminal(house: House, mails: Path) -> None:
    """On a terminal stderr counts the mails, and the line is wiped before the result."""
    import pty

    for number in range(25):
        (mails / f"x{number:02}.eml").write_bytes(a_mail(body=str(number), message_id=f"<x{number}@example.com>"))
    ours, theirs = pty.openpty()
    command = house.command("selftest", str(mails))
    subprocess.run(command, env=house.environment, stdout=subprocess.DEVNULL, stderr=theirs, timeout=60, check=False)
    os.close(theirs)
    told = os.read(ours, 4096)
    os.close(ours)
    assert b"20 mails" in told and told.endswith(b"\r\x1b[K")
