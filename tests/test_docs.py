"""The documents say what the code does: generated files are equal, names exist, links lead somewhere, examples run.

A ```console block is run: its `$ ` lines are commands, in order, in one temporary home for the whole page; the lines below a
command are all that it prints, where `...` stands for anything in its line, and alone for any lines.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from pipeline import errors, letter, tables
from pipeline.cli import cli
from pipeline.desk import Desk
from pipeline.stages import ASKS

from .conftest import ROOT, House

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMED = re.compile(r"`(pipeline/[\w/]+\.py)`\s+`([A-Za-z_][\w.]*)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in a language."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


@pytest.fixture(scope="module")
def make() -> ModuleType:
    """Import docs/make.py, which is no package."""
    spec = importlib.util.spec_from_file_location("docs_make", ROOT / "docs" / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- generated files -------------------------------------------------------------------------------------------------


def test_generated_files_are_what_the_code_makes(make: ModuleType) -> None:
    """`make docs` would change nothing."""
    assert make.differing() == []


def test_check_names_a_file_that_differs(tmp_path: Path) -> None:
    """`docs/make.py --check` exits 0 where all is equal, else 1, and writes nothing."""
    copy = tmp_path / "docs" / "make.py"
    copy.parent.mkdir()
    shutil.copy(ROOT / "docs" / "make.py", copy)
    command = [sys.executable, str(copy)]
    missing = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert missing.returncode == 1 and "make docs" in missing.stderr
    assert sorted(path.name for path in tmp_path.rglob("*.md")) == []
    assert subprocess.run(command).returncode == 0
    assert subprocess.run([*command, "--check"]).returncode == 0


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            child = command.get_command(click.Context(command), name)
            assert child is not None
            yield from walk(child, f"{path} {name}")


def test_every_command_is_on_the_page() -> None:
    """docs/commands.md has a heading for every command and subcommand."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## `([^`]*)`$", text, re.MULTILINE)
    for path, _ in walk(cli, "helpdesk"):
        if path != "helpdesk":
            assert any(heading == path or heading.startswith(path + " ") for heading in headings), path


def test_every_command_of_the_readme_exists() -> None:
    """Every `helpdesk word` in the documents is a command."""
    known = {path.split()[1] for path, _ in walk(cli, "helpdesk") if " " in path}
    for page in PAGES:
        named = set(re.findall(r"(?<![\w/-])helpdesk ([a-z]+)\b", "\n".join(re.findall(r"`[^`\n]+`", page.read_text("utf-8")))))
        assert named <= known, page.name


def test_readme_names_every_command() -> None:
    """The table of the README leaves no command out."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for path, _ in walk(cli, "helpdesk"):
        if path.count(" ") == 1:
            assert f"| `{path}" in text, path


ERRORS = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, errors.HelpdeskError) and error is not errors.HelpdeskError
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_has_its_exit_code_in_the_table(error: type[errors.HelpdeskError]) -> None:
    """The table of exit codes names every error class beside the code that it really has."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE) if f"`{error.__name__}`" in row[1]]
    assert [int(code) for code, _ in rows] == [error.exit_code]


# -- the database ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Process the demo mails; return the database."""
    house = House(tmp_path_factory.mktemp("demo"))
    house.run("demo")
    house.run("process", code=1)  # one of them is empty
    return house.database


def ask(database: Path, sql: str) -> list[dict[str, object]]:
    """Run a query read-only; return its rows."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql)]
    finally:
        connection.close()


SQL = blocks(ROOT / "docs" / "schema.md", "sql")


@pytest.mark.parametrize("sql", SQL, ids=[f"example {number}" for number in range(1, len(SQL) + 1)])
def test_sql_examples_run(demo_database: Path, sql: str) -> None:
    """Every query of docs/schema.md runs on a database that the demo filled, and finds something."""
    assert ask(demo_database, sql)


def test_sql_examples_tell_the_truth(demo_database: Path) -> None:
    """The first three queries name the tickets made from email, the messages from email, and the reasons."""
    tickets, messages, reasons = (ask(demo_database, sql) for sql in SQL[:3])
    assert [(row["ticket_number"], row["email_from"], row["created_from_email"]) for row in tickets] == [
        ("TICKET-001", "ann@customer.example", 1),
        ("TICKET-002", "carla@another.example", 1),
    ]
    assert {row["is_from_email"] for row in messages} == {1}
    assert [row["ticket_number"] for row in messages] == ["TICKET-001", "TICKET-001", "TICKET-002"]
    assert "match: In-Reply-To demo-1.question@customer.example is on TICKET-001" in [row["why"] for row in reasons]


@pytest.mark.parametrize("model", tables.ALL, ids=lambda model: model.__name__)
def test_schema_page_has_the_columns_of_the_database(demo_database: Path, model: type[tables.Table]) -> None:
    """docs/schema.md lists exactly the columns that a new database has."""
    name = model._meta.table_name
    section = (ROOT / "docs" / "schema.md").read_text(encoding="utf-8").split(f"\n## `{name}`\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert sorted(documented) == sorted(row["name"] for row in ask(demo_database, f"PRAGMA table_info({name})"))


# -- names and links -------------------------------------------------------------------------------------------------


def named_things() -> list[tuple[str, str, str]]:
    """Return (page, module, attribute) of everything that a page names as code."""
    return sorted({(page.name, *found) for page in PAGES for found in NAMED.findall(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize(("page", "file", "name"), named_things())
def test_every_name_on_a_page_exists(page: str, file: str, name: str) -> None:
    """A module and attribute that a page names is there."""
    thing = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        fields = {f.name for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
        assert hasattr(thing, part) or part in fields, f"{page}: {file} {name}"
        thing = getattr(thing, part, None)


def test_the_route_names_functions_at_every_step() -> None:
    """docs/route.md is held by its names: each numbered step has at least one."""
    text = (ROOT / "docs" / "route.md").read_text(encoding="utf-8")
    steps = re.split(r"^\d+\. ", text.split("\n\nDead before")[0], flags=re.MULTILINE)[1:]
    assert len(steps) >= 10
    assert all(NAMED.search(step) for step in steps)


def test_every_file_on_a_page_exists() -> None:
    """A path into the package that a page names is there."""
    for page in PAGES:
        for path in re.findall(r"`(pipeline/[\w/.-]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def links() -> list[tuple[str, str]]:
    """Return (page, target) of every link that is no address on the web."""
    found = [(page, target) for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))]
    return [(str(page.relative_to(ROOT)), target) for page, target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize(("page", "target"), links())
def test_every_link_leads_somewhere(page: str, target: str) -> None:
    """A relative link is a file of the repository, and its anchor a heading there."""
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists(), f"{page}: {target}"
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
    assert not anchor or anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- stages ----------------------------------------------------------------------------------------------------------


def test_the_example_stage_is_the_one_that_is_tested() -> None:
    """The Python and TOML on docs/stages.md stand so in tests/plugin, which test_plugin.py installs and runs."""
    page, plugin = ROOT / "docs" / "stages.md", ROOT / "tests" / "plugin"
    assert blocks(page, "python") == [(plugin / "letterdesk_shout.py").read_text(encoding="utf-8")]
    [toml] = blocks(page, "toml")
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert tomllib.loads(toml)["project"]["entry-points"] == project["entry-points"]


def test_what_a_stage_may_ask_for_is_on_the_page() -> None:
    """docs/stages.md shows every signature that runs, but for the order of desk and settings."""
    text = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    for asks in ASKS:
        if asks != ("settings", "desk"):
            assert f"`({', '.join(('letter', *asks))})`" in text


def test_what_is_promised_to_stages_exists() -> None:
    """Every method of a letter and every verb of the desk that docs/stages.md names is there."""
    text = (ROOT / "docs" / "stages.md").read_text(encoding="utf-8")
    for name in re.findall(r"letter\.([a-z_]+)\(", text):
        assert callable(getattr(letter.Letter, name))
    [verbs] = re.findall(r"verbs ((?:`\w+`[,\s]*)+)", text)
    for name in re.findall(r"\w+", verbs):
        assert inspect.getdoc(getattr(Desk, name)), name


# -- the README's examples -------------------------------------------------------------------------------------------


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Split a console block into (command, what it prints)."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown


def as_pattern(shown: str) -> str:
    """Turn what a page shows into a pattern: `...` is anything in a line, or any lines if it stands alone."""
    lines = [".*" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") for line in shown.strip().splitlines()]
    return "\n".join(lines)


@pytest.mark.skipif(os.name == "nt", reason="the examples are written for a POSIX shell")
def test_the_readme_shows_what_is_really_printed(tmp_path: Path) -> None:
    """Every console block of the README, run in order in an empty home, prints what the page shows."""
    house = House(tmp_path)
    shutil.copytree(ROOT / "pipeline" / "demo", tmp_path / "pipeline" / "demo")
    house.new.mkdir(parents=True)
    environment = {**house.environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    ran = 0
    for block in blocks(ROOT / "README.md", "console"):
        for command, shown in commands(block):
            done = subprocess.run(
                ["sh", "-c", f"{command} 2>&1"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
            )
            assert re.fullmatch(as_pattern(shown), done.stdout.strip(), re.DOTALL), f"$ {command}\n{done.stdout}"
            assert done.returncode == 0, command
            ran += 1
    assert ran >= 10


def test_the_readme_shows_every_setting_right(make: ModuleType) -> None:
    """A KEY=value line in the README names a setting and reads without a complaint."""
    from pipeline.settings import KEYS, load

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    ([A-Z_]+)=(.*)$", text, re.MULTILINE)
    assert lines and {key for key, _ in lines} <= set(KEYS)
    assert load(dict(lines), home=ROOT).ticket_prefix == "TICKET"


def test_a_value_in_double_quotes_is_read_as_the_readme_says(tmp_path: Path) -> None:
    """The password that the README shows arrives whole."""
    from pipeline.settings import load

    [line] = re.findall(r"`(IMAP_PASSWORD=[^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    (tmp_path / ".env").write_text(line + "\n", encoding="utf-8")
    assert load({}, tmp_path).imap_password == "p#ss w'rd"


def test_the_readme_has_the_lines_of_the_makefile() -> None:
    """The lines for a machine without make install and start what the Makefile does."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("run", "test"):
        assert f"make {target}" in text and re.search(rf"^{target}:", makefile, re.MULTILINE)
    for words in ("--editable .", "helpdesk up", "-m pytest"):
        assert words in text and words in makefile


def test_the_changelog_has_an_unreleased_section() -> None:
    """Changes that users see go below `## Unreleased`."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## Unreleased\n\n(?:.+\n)+\n- ", text, re.MULTILINE)


def test_the_demo_becomes_what_the_readme_says(demo_database: Path) -> None:
    """Two tickets, one comment, one duplicate and one failed mail come of the five demo mails."""
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "two tickets, one comment, one duplicate and one failed mail" in text
    found = ask(demo_database, "SELECT outcome, count(*) AS times FROM place GROUP BY outcome")
    assert {row["outcome"]: row["times"] for row in found} == {"opened": 2, "commented": 1, "duplicate": 1, "failed": 1}


@pytest.mark.skipif(os.name == "nt", reason="there is no cron")
def test_the_line_for_cron_leaves_its_lines_in_the_log(tmp_path: Path) -> None:
    """A pass by cron is silent, and LOG_FILE has the lines that the greps of the README look for."""
    house = House(tmp_path)
    house.drop((ROOT / "pipeline" / "demo" / "1-question.eml").read_bytes())
    line = house.run("schedule", "cron").stdout.decode().split(" ", 5)[5].replace(r"\%", "%")
    done = subprocess.run(["sh", "-c", line], capture_output=True, env=house.environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    for phrase in ("Email processing", "Created new Ticket from email"):
        assert phrase in house.log.read_text(encoding="utf-8")
