"""A stage by somebody else goes through the same door as ours, and what it breaks is its own mail alone.

Each test makes a virtual environment that sees this one's packages and has a plug-in installed besides; so entry points, command
line and reader processes (which start with `-I` and no environment) are the real ones. No network is needed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sysconfig
import time
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, House, a_mail

EXAMPLE = ROOT / "tests" / "plugin"
OURS = "parse screen match triage persist acknowledge notify"

# What stands around every stage of these tests; the subject of a mail says which mail is to be broken.
HEAD = """\
import os, sqlite3, time
from pipeline.errors import Retry
from pipeline.letter import Letter, Outcome

"""


class Workshop(House):
    """A house with a virtual environment of its own, into which plug-ins are installed."""

    def __init__(self, folder: Path) -> None:
        home = folder / "home"
        home.mkdir()
        environment = folder / "venv"
        venv.create(environment, with_pip=False, symlinks=os.name != "nt")
        where = {"base": str(environment), "platbase": str(environment)}
        self.site = Path(sysconfig.get_path("purelib", "venv", where))
        super().__init__(home, str(Path(sysconfig.get_path("scripts", "venv", where)) / "python"))
        # The environment that runs the tests, and the checkout, which may be installed there as a mere link.
        seen = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)])
        (self.site / "parent.pth").write_text("\n".join([*seen, ""]), encoding="utf-8")

    def install(self, name: str, version: str, points: dict[str, str], module: str, source: str) -> None:
        """Do what an installer does with a wheel of one module: the file, its metadata, its entry points."""
        (self.site / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        lines = [f"{stage} = {value}" for stage, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[pipeline.stages]", *lines, ""]), encoding="utf-8")

    def install_example(self) -> None:
        """Install tests/plugin as its pyproject.toml says."""
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        source = (EXAMPLE / "letterdesk_shout.py").read_text(encoding="utf-8")
        points = project["entry-points"]["pipeline.stages"]
        self.install(project["name"], project["version"], points, "letterdesk_shout", source)

    def install_stage(self, asks: str, *body: str) -> None:
        """Install a package with one stage `odd`; a second time over the first, as an update."""
        lines = "\n".join(f"    {line}" for line in body)
        shutil.rmtree(self.site / "__pycache__", ignore_errors=True)
        self.install(
            "letterdesk-odd", "0.1", {"odd": "letterdesk_odd:odd"}, "letterdesk_odd", f"{HEAD}def odd({asks}):\n{lines}\n"
        )

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql).fetchall()

    def contents(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what is on the desk, but for times and how often a mail was tried."""
        queries = {
            "ticket": "SELECT id, ticket_number, subject, status, requester_address, version FROM ticket",
            "message": "SELECT id, ticket_id, mail_id, author_address, text, defects FROM message",
            "participant": "SELECT ticket_id, address, role FROM participant",
            "tag": "SELECT ticket_id, name FROM tag",
            "event": "SELECT ticket_id, mail_id, who, what FROM event",
            "person": "SELECT person_id, address, written FROM person_address",
            "reference": "SELECT mail_id, message_id FROM reference",
            "mail": "SELECT id, digest, identity, message_id, outcome, ticket_id, stage, reason FROM mail",
        }
        return {name: self.ask(f"{query} ORDER BY 1, 2") for name, query in queries.items()}


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Make a house with an environment of its own."""
    return Workshop(tmp_path)


def three(workshop: Workshop, **headers: str) -> None:
    """Drop three mails in order; the second is the one that the odd stage breaks on."""
    for number, subject in enumerate(("first", "break", "third"), 1):
        workshop.drop(a_mail(subject, message_id=f"<{number}@example.com>", **headers), f"{number}.eml")


def configure(workshop: Workshop, stages: str, **settings: str) -> None:
    """Write .env."""
    path = workshop.home / ".env"
    path.write_text("".join(f'{key}="{value}"\n' for key, value in {"STAGES": stages, **settings}.items()), encoding="utf-8")
    path.chmod(0o600)


def process(workshop: Workshop, stages: str, code: int = 0, **settings: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run `process` with these stages; return its lines and its summary."""
    configure(workshop, stages, **settings)
    return workshop.process(code=code)


def outcomes(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Return what became of each file."""
    return {Path(line["file"]).name: line["outcome"] for line in lines}


def flags(workshop: Workshop) -> list[str]:
    """Return the flags of every filed mail."""
    return sorted(path.name.rpartition(",")[2] for path in workshop.cur.iterdir())


ONE_FAILED = {"1.eml": "opened", "2.eml": "failed", "3.eml": "opened"}
IF_BREAK = "if letter.mail.subject == 'break':"


# -- the example -----------------------------------------------------------------------------------------------------


def test_example_is_on_the_line(workshop: Workshop) -> None:
    """`helpdesk stages` shows the example's stage in its place, with package and version."""
    workshop.install_example()
    configure(workshop, "parse screen match shout persist")
    rows = {row["name"]: row for row in workshop.json("stages")}
    assert list(rows) == ["parse", "screen", "match", "shout", "persist"]
    assert (rows["shout"]["package"], rows["shout"]["version"], rows["shout"]["runs"]) == ("letterdesk-shout", "1.2", "desk")
    assert rows["shout"]["summary"] == "Tag the ticket if the subject is in capitals."
    assert rows["parse"]["package"] == "letterdesk"


def test_example_tags_the_ticket_of_a_reply(workshop: Workshop) -> None:
    """A reply whose subject shouts tags its ticket, and the trail says so; a calm one does not."""
    workshop.install_example()
    workshop.drop(a_mail("A calm question"), "1.eml")
    workshop.process()
    workshop.drop(a_mail("RE: ANSWER ME", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    workshop.drop(a_mail("Re: never mind", message_id="<3@example.com>", in_reply_to="<1@example.com>"), "3.eml")
    lines, _ = process(workshop, "parse screen match shout persist")
    assert [line["outcome"] for line in lines] == ["commented", "commented"]
    assert "shout: TICKET-001 is tagged, its subject is in capitals" in lines[0]["why"]
    assert not any(why.startswith("shout") for why in lines[1]["why"])
    assert workshop.json("ticket", "show", "1")["tags"] == ["shouting"]


def test_example_tags_a_new_ticket(workshop: Workshop) -> None:
    """Behind persist, where a new ticket has its number, the example tags it."""
    workshop.install_example()
    workshop.drop(a_mail("WHERE IS MY ORDER"))
    process(workshop, "parse screen match triage persist shout")
    assert workshop.json("ticket", "show", "1")["tags"] == ["shouting"]


# -- a line that cannot be built -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ("parse screen match odd persist", "odd"),  # not installed
        ("parse screen match", "persist"),
        ("parse parse screen match triage persist", "twice"),
        ("screen parse match persist", "parse"),
    ],
)
def test_a_wrong_line_is_a_setting(workshop: Workshop, stages: str, says: str) -> None:
    """A line that is missing, doubled or out of order is told with the key, exit 78, and nothing is touched."""
    path = workshop.drop(a_mail())
    configure(workshop, stages)
    told = workshop.run("process", code=78).stderr.decode()
    assert "STAGES" in told and says in told and "Traceback" not in told
    assert path.exists()


@pytest.mark.parametrize(
    ("asks", "head", "says"),
    [("letter, database", "", "database"), ("letter", "import no_such_module", "ModuleNotFoundError")],
)
def test_a_stage_that_cannot_be_loaded_is_a_setting(workshop: Workshop, asks: str, head: str, says: str) -> None:
    """A stage that asks for something unknown, or cannot be imported, is told by name, exit 78."""
    workshop.install_stage(asks, "return letter")
    module = workshop.site / "letterdesk_odd.py"
    module.write_text(f"{head}\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    configure(workshop, "parse odd screen match persist")
    told = workshop.run("process", code=78).stderr.decode()
    assert 'STAGES: "odd"' in told and says in told


# -- stages that break -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "line"),
    [("letter", "parse odd screen match persist"), ("letter, settings", "parse screen odd match persist"),
     ("letter, desk", "parse screen match odd persist"), ("letter, desk, settings", "parse screen match odd persist")],
)  # fmt: skip
def test_a_stage_that_raises_fails_its_mail_alone(workshop: Workshop, asks: str, line: str) -> None:
    """Wherever it runs: that mail fails with the stage and the error named, is kept and starred; the others go on."""
    workshop.install_stage(asks, IF_BREAK, "    raise ValueError('no way')", "return letter.because('odd: seen')")
    three(workshop)
    lines, summary = process(workshop, line, code=1)
    assert outcomes(lines) == ONE_FAILED
    assert (summary["opened"], summary["failed"], summary["left"]) == (2, 1, 0)
    [failed] = workshop.json("failed", "list")
    assert (failed["stage"], failed["reason"], failed["file"]) == ("odd", "ValueError: no way", "2.eml")
    assert flags(workshop) == ["FS", "S", "S"]
    assert workshop.json("audit")["complete"]


def test_a_reader_stage_that_ends_its_process(workshop: Workshop) -> None:
    """A stage that calls os._exit costs its mail, not the pass: the reader is replaced."""
    workshop.install_stage("letter", IF_BREAK, "    os._exit(3)", "return letter")
    three(workshop)
    assert outcomes(process(workshop, "parse odd screen match persist", code=1)[0]) == ONE_FAILED
    [failed] = workshop.json("failed", "list")
    assert (failed["stage"], "exit 3" in failed["reason"]) == ("reader", True)
    assert flags(workshop) == ["FS", "S", "S"]


def test_a_reader_stage_that_sleeps(workshop: Workshop) -> None:
    """A stage that outlasts READER_SECONDS fails its mail; the others go on, and the pass ends in good time."""
    workshop.install_stage("letter", IF_BREAK, "    time.sleep(600)", "return letter")
    three(workshop)
    start = time.monotonic()
    lines, _ = process(workshop, "parse odd screen match persist", code=1, READER_SECONDS="1")
    assert outcomes(lines) == ONE_FAILED
    assert time.monotonic() - start < 30
    [failed] = workshop.json("failed", "list")
    assert "longer than 1 second" in failed["reason"]


def test_a_reader_stage_that_prints(workshop: Workshop) -> None:
    """What a stage prints, also past Python, does not reach the pipe on which readers answer."""
    workshop.install_stage("letter", "print('x' * 100_000, flush=True)", "os.write(1, b'y' * 1000)", "return letter")
    three(workshop)
    assert set(outcomes(process(workshop, "parse odd screen match persist")[0]).values()) == {"opened"}


def test_a_settings_stage_that_sleeps(workshop: Workshop) -> None:
    """A stage in the worker is given up by the clock; its mail fails, the others go on."""
    workshop.install_stage("letter, settings", IF_BREAK, "    time.sleep(600)", "return letter")
    three(workshop)
    start = time.monotonic()
    lines, _ = process(workshop, "parse screen odd match persist", code=1, READER_SECONDS="1")
    assert outcomes(lines) == ONE_FAILED
    assert time.monotonic() - start < 30
    [failed] = workshop.json("failed", "list")
    assert (failed["stage"], "longer than 1 second" in failed["reason"]) == ("odd", True)


def test_of_a_desk_stage_that_raises_nothing_stays(workshop: Workshop) -> None:
    """What a desk stage did before it raised is gone: no ticket, tag, event, person or number of it stays."""
    workshop.install_stage(
        "letter, desk",
        IF_BREAK,
        "    ticket = desk.open_ticket(letter)",
        "    desk.tag(ticket, 'half', 'done')",
        "    desk.event(ticket, 'begun', 'never ended')",
        "    desk.set(1, 'touched', status='closed')",
        "    raise RuntimeError('half done')",
        "return letter",
    )
    three(workshop)
    assert outcomes(process(workshop, "parse screen match odd persist", code=1)[0]) == ONE_FAILED
    assert workshop.ask("SELECT id, subject, status FROM ticket") == [(1, "first", "open"), (2, "third", "open")]
    assert workshop.ask("SELECT * FROM tag") == []
    assert workshop.ask("SELECT count(*) FROM event WHERE what <> 'opened'") == [(0,)]
    assert workshop.ask("SELECT ticket_id, stage FROM mail WHERE outcome = 'failed'") == [(None, "odd")]


@pytest.mark.parametrize("error", ["sqlite3.IntegrityError('UNIQUE constraint failed: odd.x')", "FileNotFoundError(2, 'gone')"])
def test_a_desk_stage_that_raises_what_a_database_raises(workshop: Workshop, error: str) -> None:
    """A batch that a database or OS error broke is run letter by letter; the guilty letter fails, the others go on."""
    workshop.install_stage("letter, desk", IF_BREAK, f"    raise {error}", "return letter")
    three(workshop)
    assert outcomes(process(workshop, "parse screen match odd persist", code=1)[0]) == ONE_FAILED
    assert workshop.ask("SELECT count(*) FROM ticket") == [(2,)]
    assert workshop.json("audit")["complete"]


def test_a_desk_stage_that_writes_what_the_database_refuses(workshop: Workshop) -> None:
    """A row that breaks a rule of the database is found at the commit: nothing of its letter stays, the others go on."""
    workshop.install_stage(
        "letter, desk",
        IF_BREAK,
        "    from pipeline import tables",
        "    desk._insert(tables.Participant, ticket=999, address='x@example.com', role='cc')",
        "return letter",
    )
    three(workshop)
    assert outcomes(process(workshop, "parse screen match odd persist", code=1)[0]) == ONE_FAILED
    assert workshop.ask("SELECT subject FROM ticket ORDER BY id") == [("first",), ("third",)]
    assert workshop.ask("PRAGMA foreign_key_check") == []


FULL = ["sqlite3.OperationalError('database or disk is full')", "OSError(28, 'No space left on device')"]


def full(workshop: Workshop, error: str) -> dict[str, Any]:
    """Run a pass in which a desk stage meets a full disk; return its summary."""
    name = "e.sqlite_errorname = 'SQLITE_FULL'" if "sqlite3" in error else "pass"
    workshop.install_stage("letter, desk", f"e = {error}", name, IF_BREAK, "    raise e", "return letter")
    three(workshop)
    return process(workshop, "parse screen match odd persist", code=75)[1]


@pytest.mark.parametrize("error", FULL)
def test_trouble_that_passes_leaves_everything(workshop: Workshop, error: str) -> None:
    """A full disk is no fault of the mail: exit 75, no mail fails, and the next pass does what was left."""
    assert full(workshop, error)["failed"] == 0
    assert "2.eml" in [path.name for path in workshop.new.iterdir()]
    workshop.install_stage("letter, desk", "return letter")
    process(workshop, "parse screen match odd persist")
    assert workshop.ask("SELECT count(*) FROM ticket") == [(3,)]
    assert flags(workshop) == ["S", "S", "S"]


@pytest.mark.parametrize("error", FULL)
def test_trouble_that_passes_counts_what_it_left(workshop: Workshop, error: str) -> None:
    """`left` counts every mail that still waits, those of the batch in hand too."""
    assert full(workshop, error)["left"] == len(list(workshop.new.iterdir()))


# -- later -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "line"),
    [("letter", "parse odd screen match persist"), ("letter, settings", "parse screen odd match persist"),
     ("letter, desk", "parse screen match odd persist")],
)  # fmt: skip
def test_a_stage_that_asks_for_later(workshop: Workshop, asks: str, line: str) -> None:
    """Retry: the mail is left and rests (exit 75) while the others go on; once its time has come it is processed."""
    flag = workshop.home / "ready"
    workshop.install_stage(
        asks,
        f"if letter.mail.subject == 'break' and not os.path.exists({str(flag)!r}):",
        "    raise Retry('not ready', after=2)",
        "return letter",
    )
    three(workshop)
    lines, summary = process(workshop, line, code=75)
    end = time.monotonic()
    assert outcomes(lines) == {"1.eml": "opened", "3.eml": "opened"}
    assert (summary["left"], summary["failed"]) == (1, 0)
    [row] = workshop.ask("SELECT outcome, tries, reason LIKE '%not ready%', next_try IS NOT NULL FROM mail WHERE outcome IS NULL")
    assert row == (None, 1, 1, 1)
    assert [path.name for path in workshop.new.iterdir()] == ["2.eml"]
    flag.touch()
    again, summary = workshop.process(code=None)
    if time.monotonic() - end < 0.7:
        assert (again, summary["left"]) == ([], 1), "it rests, though the stage is ready"
    if not again:
        time.sleep(max(0, end + 2.2 - time.monotonic()))
        again, summary = workshop.process()
    assert (outcomes(again), summary["left"]) == ({"2.eml": "opened"}, 0)
    assert flags(workshop) == ["S", "S", "S"]


# -- mended ----------------------------------------------------------------------------------------------------------

BREAKS = {
    "letter": ("parse odd screen match persist", "raise ValueError('no way')"),
    "letter, settings": ("parse screen odd match persist", "raise ValueError('no way')"),
    "letter, desk": ("parse screen match odd persist", "desk.tag(desk.open_ticket(letter), 'half'); raise ValueError('no way')"),
}


def test_failed_retry_after_the_stage_is_mended(workshop: Workshop) -> None:
    """A success takes the star away and keeps the rest of the flags; the list of failed mails is empty."""
    workshop.install_stage("letter, desk", IF_BREAK, "    raise ValueError('no way')", "return letter")
    three(workshop)
    process(workshop, "parse screen match odd persist", code=1)
    [failed] = workshop.json("failed", "list")
    again = workshop.run("failed", "retry", str(failed["id"]), code=1).stderr.decode()
    assert "1 failed again" in again
    assert [row["attempts"] for row in workshop.json("failed", "list")] == [2]
    assert flags(workshop) == ["FS", "S", "S"]
    workshop.install_stage("letter, desk", "return letter.because('odd: mended')")
    workshop.run("failed", "retry", "--all")
    assert workshop.json("failed", "list") == []
    assert flags(workshop) == ["S", "S", "S"]
    [explained] = workshop.json("explain", "2@example.com")
    assert explained["outcome"] == "opened" and "odd: mended" in explained["why"]
    assert workshop.json("audit")["complete"]


@pytest.mark.parametrize("asks", ["letter", "letter, settings", "letter, desk"])
def test_after_a_retry_all_is_as_at_a_first_try(tmp_path: Path, asks: str) -> None:
    """Ticket, messages, people, events and references are those of a house in which the stage was never broken."""
    line, broken = BREAKS[asks]
    desks = []
    for name, body in (("broken", broken), ("whole", "pass")):
        (tmp_path / name).mkdir()
        workshop = Workshop(tmp_path / name)
        workshop.install_stage(asks, body, "return letter")
        workshop.drop(a_mail("break", references="<0@example.com> <00@example.com>"))
        process(workshop, line, code=1 if name == "broken" else 0)
        workshop.install_stage(asks, "return letter")
        if name == "broken":
            workshop.run("failed", "retry", "--all")
        desks.append(workshop.contents())
    assert desks[0] == desks[1]


@pytest.mark.parametrize("error", ["sqlite3.IntegrityError('no')", "FileNotFoundError(2, 'gone')", "Retry('later')"])
def test_failed_retry_goes_on_after_any_error(workshop: Workshop, error: str) -> None:
    """One mail that breaks in another way does not keep the others from their second try."""
    workshop.install_stage("letter, desk", "raise ValueError('no way')")
    three(workshop)
    process(workshop, "parse screen match odd persist", code=1)
    workshop.install_stage("letter, desk", "if letter.mail.subject == 'first':", f"    raise {error}", "return letter")
    workshop.run("failed", "retry", "--all", code=None)
    assert workshop.ask("SELECT subject FROM ticket ORDER BY id") == [("break",), ("third",)]


# -- stages that break their promise ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asks", "line", "result"),
    [
        ("letter, settings", "parse screen odd match persist", "None"),
        ("letter, desk", "parse screen match odd persist", "None"),
        ("letter, desk", "parse screen match odd persist", "letter.settle(Outcome.DUPLICATE, 'odd: of none')"),
        ("letter, desk", "parse screen match odd persist", "letter.settle('opened', 'odd: a word')"),
    ],
)
def test_a_stage_that_returns_nonsense_fails_its_mail_alone(workshop: Workshop, asks: str, line: str, result: str) -> None:
    """A forgotten return, or an outcome that cannot be, costs one mail and not every pass."""
    workshop.install_stage(asks, IF_BREAK, f"    return {result}", "return letter")
    three(workshop)
    configure(workshop, line)
    workshop.run("process", code=1)
    assert workshop.ask("SELECT outcome FROM mail ORDER BY id") == [("opened",), ("failed",), ("opened",)]


def test_a_reader_stage_that_returns_nothing_fails_its_mail_alone(workshop: Workshop) -> None:
    """In a reader a forgotten return ends the reader, and its mail is failed."""
    workshop.install_stage("letter", IF_BREAK, "    return None", "return letter")
    three(workshop)
    assert outcomes(process(workshop, "parse odd screen match persist", code=1)[0]) == ONE_FAILED


@pytest.mark.parametrize("error", ["ValueError('no way')", "Retry('later', after=0)"])
def test_another_copy_of_a_decided_mail_changes_nothing(workshop: Workshop, error: str) -> None:
    """A mail that is on a ticket stays there, though its second copy cannot be read."""
    line = "parse odd screen match persist"
    workshop.install_stage("letter", "return letter")
    workshop.drop(a_mail(), "1.eml")
    process(workshop, line)
    before = workshop.contents()
    workshop.install_stage("letter", f"raise {error}")
    workshop.drop(a_mail(), "2.eml")
    configure(workshop, line)
    workshop.run("process", code=None)
    assert workshop.contents() == before


def test_a_dry_run_says_what_a_real_run_would(workshop: Workshop) -> None:
    """A desk stage that raises what a database raises fails its mail in a dry run too, not the program."""
    workshop.install_stage("letter, desk", IF_BREAK, "    raise sqlite3.IntegrityError('no')", "return letter")
    three(workshop)
    configure(workshop, "parse screen match odd persist")
    lines, _ = workshop.process("--dry-run", code=1)
    assert outcomes(lines) == ONE_FAILED
