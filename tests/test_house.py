"""The house holds: imports point down, rooms stand alone, functions and settings stay small, nothing forbidden is used."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from pipeline import settings

from .conftest import ROOT

PACKAGE = ROOT / "pipeline"

# Which room stands on which floor, the planned ones too. A wing (mime, stages, cli, web) is a folder on one floor.
FLOORS = (
    {"settings", "errors", "letter"},
    {"mime.*", "kinds", "markup", "links", "sanitise", "trim", "trim_attribution", "trim_headers", "trim_html", "trim_tables"}
    | {"lookalike", "rules.*", "age"}
    | {"maildir", "tables", "migrations", "locks", "log", "archive", "filenames", "passwords", "compose", "smtp"}
    | {"templates", "rendering", "directives"},
    {"store", "unit", "ledger", "people", "wording", "post", "notices", "desk", "readers", "search"},
    {"stages.*", "answering", "scan", "inflight", "line", "intake", "filing", "views", "oddities"},
    {"runner", "audit"},
    {"worker", "up", "explain", "demo", "selftest", "backtest", "outbox", "digest", "sync.*", "web.*"}
    | {"backup"}
    | {"doctor.*"},
    {"cli.*", "tasks"},
    {"__main__"},
)

# Imports on one floor, each with its reason; `a -> b` says that a may import b, never the other way round.
NEIGHBOURS = {
    ("settings", "errors"): "wrong settings are an error with its sentence",
    ("sanitise", "links"): "what is shown says where its links lead",
    ("sanitise", "markup"): "what is too deep for the sanitiser is seen by its tags",
    ("trim_html", "markup"): "quotes in HTML are cut by their tags",
    ("trim_html", "trim_tables"): "quoting in HTML is known by the same phrases",
    ("trim", "trim_attribution"): "who wrote what is quoted is asked of every line that may say so",
    ("trim", "trim_headers"): "likewise the header block of another mail",
    ("trim_attribution", "trim_tables"): "the phrases are data beside the code",
    ("trim_headers", "trim_tables"): "the phrases are data beside the code",
    ("trim_headers", "trim_attribution"): "both look at a line without its marks",
    ("trim", "trim_tables"): "the phrases are data beside the code",
    ("mime", "kinds"): "a report is read only where the mail is a bounce by its headers",
    ("mime", "trim_tables"): "what is forwarded is known by the same phrases as what is quoted",
    ("mime", "markup"): "an HTML body becomes text while the mail is read",
    ("mime", "trim_html"): "quotes are cut from HTML before it becomes text",
    ("mime", "trim"): "what was newly written is found while the mail is read",
    ("age", "mime"): "the dates in Received are read as those in Date are",
    ("compose", "mime"): "a mail that was built is read again before it goes",
    ("templates", "rendering"): "Jinja2 is imported only where there is a file to render",
    ("smtp", "log"): "what a server says becomes one clean line",
    ("unit", "store"): "a unit of work is one of a store",
    ("ledger", "store"): "it asks the store for its rows",
    ("ledger", "unit"): "the ledger is written as a unit of work",
    ("people", "store"): "it is made for a store",
    ("people", "unit"): "it deletes rows as a unit of work does",
    ("people", "ledger"): "it is a ledger that knows who writes",
    ("post", "people"): "mail goes out to the people of a desk",
    ("post", "wording"): "what goes out is worded before it is written",
    ("desk", "wording"): "an answer is worded before it is written",
    ("post", "store"): "it is made for a store",
    ("post", "unit"): "it keeps a look-up of its own, as a unit of work does",
    ("desk", "notices"): "the desk knows people and tickets, and what goes out",
    ("desk", "people"): "it asks which addresses are ours",
    ("desk", "post"): "it answers in the words of the post",
    ("notices", "people"): "an agent is told, the desk's own address is not",
    ("notices", "post"): "what agents are told goes out as other mail does",
    ("notices", "store"): "it is made for a store",
    ("notices", "unit"): "it keeps a look-up of its own, as a unit of work does",
    ("outbox", "digest"): "before mails are delivered, those to agents are written",
    ("backup", "outbox"): "a restored desk is paused by the sender's own file",
    ("doctor", "outbox"): "why nothing is sent is said in one place",
    ("doctor", "sync"): "a server's trouble is told in the words of the fetch, and its rounds are asked for",
    ("doctor", "worker"): "whether new files can be watched is tried with the worker's own observer",
    ("desk", "store"): "it is made for a store",
    ("desk", "unit"): "it deletes rows as a unit of work does",
    ("desk", "ledger"): "the desk is a ledger that knows tickets too",
    ("stages", "answering"): "what an agent answers by mail is done where mails come onto tickets",
    ("line", "stages"): "the line is made of stages",
    ("intake", "line"): "what is taken is read by the line",
}

# Imports to a higher floor: none may be added without a reason as good.
UPWARDS = {
    ("readers", "stages"): "the child process runs the stages that it was told by name; the parent's side imports none",
}

# Who may know Peewee and the tables: the store's wing, and the rooms that ask their own questions.
KNOW_PEEWEE = {
    "store",
    "unit",
    "ledger",
    "people",
    "post",
    "notices",
    "desk",
    "outbox",
    "digest",
    "doctor",
    "tables",
    "views",
    "scan",
    "filing",
    "runner",
    "audit",
    "explain",
    "backtest",
    "backup",
    "demo",
    "migrations",
    "sync",
}

# A frozen copy of tables is one function by its protocol, however long.
LONG = {"migrations.0001_initial.up"}
LONGEST_FUNCTION = 50
# Most lines of code: blank lines, comments and docstrings are free (docs/decisions.md).
MOST_LINES = {"reading": 5_500, "rules": 1_500, "sending": 2_000, "texts": 600, "doctor": 1_000, "commands": 2_500}
MOST_LINES |= {"house": 6_500, "page": 3_000}
READING = {"mime", "kinds", "markup", "links", "sanitise", "trim", "trim_html", "trim_tables", "lookalike"}
READING |= {"trim_attribution", "trim_headers"}
SENDING = {"compose", "smtp", "outbox", "post", "notices", "digest", "answering", "directives"}
TEXTS = {"templates", "rendering", "wording"}
# By wing; the rest is the house.
PARTS = dict.fromkeys(READING, "reading") | dict.fromkeys(SENDING, "sending") | {"rules": "rules", "web": "page"}
PARTS |= {"doctor": "doctor", "cli": "commands"}
PARTS |= dict.fromkeys(TEXTS, "texts")
MOST_SETTINGS = 60

# Public things whose sentence stands elsewhere.
SENTENCE_ELSEWHERE = {
    "migrations.0003_people_and_trust.up": "the module's docstring says what it makes",
    "migrations.0001_initial.up": "the module's docstring says what it makes",
    "migrations.0002_sync_round.up": "the module's docstring says what it makes",
    "migrations.0004_outbox.up": "the module's docstring says what it makes",
    "migrations.0005_notices.up": "the module's docstring says what it makes",
    "tables.Table": "the base of the models",
    "tables.Tag": "a word on a ticket",
}

FORBIDDEN_CALLS = {"print", "eval", "exec", "os.system", "os.popen"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve"}


def rooms() -> dict[str, Path]:
    """Return every module of the package by its name without the package."""
    files = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for name, path in files.items() if name != "__init__"}


ROOMS = rooms()


@cache
def tree(path: Path) -> ast.Module:
    """Read a module's source."""
    return ast.parse(path.read_text(encoding="utf-8"))


def wing(name: str) -> str:
    """Return the room or wing that a module belongs to."""
    return name.split(".")[0]


@cache
def floor(name: str) -> int:
    """Return the floor of a module."""
    [found] = [number for number, names in enumerate(FLOORS) if {wing(name), f"{wing(name)}.*"} & names] or [-1]
    return found


def imports(name: str, nodes: Iterable[ast.AST] | None = None) -> set[str]:
    """Return the modules of the package that a module imports, anywhere in it or by the nodes that are given."""
    here = ["pipeline", *name.split(".")]
    parent = here if ROOMS[name].name == "__init__.py" else here[:-1]
    found: set[str] = set()
    for node in ast.walk(tree(ROOMS[name])) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parent[: len(parent) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # A name is a module of its own, or stands in the module that is named.
            inner = [f"{module}.{alias.name}" for alias in node.names]
            found.update(full if full.removeprefix("pipeline.") in ROOMS else module for full in inner)
    return ({full.removeprefix("pipeline.") for full in found} & ROOMS.keys()) - {name}


# -- floors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROOMS)
def test_every_module_has_a_floor(name: str) -> None:
    """A new room gets its place in the table above."""
    assert floor(name) >= 0


@pytest.mark.parametrize("name", ROOMS)
def test_imports_point_down(name: str) -> None:
    """A module imports only from floors below its own, from its own wing, or as the two small tables allow."""
    for target in imports(name):
        pair = (wing(name), wing(target))
        allowed = floor(target) < floor(name) or pair[0] == pair[1] or pair in NEIGHBOURS or pair in UPWARDS
        assert allowed, f"{name} (floor {floor(name)}) imports {target} (floor {floor(target)})"


def test_the_exceptions_are_needed() -> None:
    """An exception that nobody uses any more leaves the tables."""
    pairs = {(wing(name), wing(target)) for name in ROOMS for target in imports(name)}
    assert {*NEIGHBOURS, *UPWARDS} <= pairs
    assert all(floor(name) == floor(target) for name, target in NEIGHBOURS)
    assert all(floor(name) < floor(target) for name, target in UPWARDS)


def test_imports_upwards_wait_for_a_call() -> None:
    """What imports upwards does so inside a function, so that the module itself stands on its floor."""
    for name in ROOMS:
        for target in imports(name, tree(ROOMS[name]).body):
            assert (wing(name), wing(target)) not in UPWARDS


def test_there_are_no_cycles() -> None:
    """No module imports itself by a detour, even inside its functions; only the table of upward imports is left out."""
    open_ends = {
        name: {target for target in imports(name) if (wing(name), wing(target)) not in UPWARDS or wing(name) == wing(target)}
        for name in ROOMS
    }
    while ends := {name for name, targets in open_ends.items() if not targets & open_ends.keys()}:
        open_ends = {name: targets for name, targets in open_ends.items() if name not in ends}
    assert not open_ends


@pytest.mark.parametrize("name", [name for name in ROOMS if not name.startswith("migrations")])
def test_every_module_imports_alone(name: str) -> None:
    """`python -c "import pipeline.x"` works for every module, without a word."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", f"import pipeline.{name}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


# -- sizes -----------------------------------------------------------------------------------------------------------


def definitions(name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield every function and class of a module with its dotted name."""
    stack: list[tuple[str, ast.AST]] = [(name, tree(ROOMS[name]))]
    while stack:
        prefix, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"{prefix}.{child.name}", child
                stack.append((f"{prefix}.{child.name}", child))
            else:
                stack.append((prefix, child))


@pytest.mark.parametrize("name", ROOMS)
def test_no_function_is_long(name: str) -> None:
    """A function past 50 lines is two."""
    for full, node in definitions(name):
        if not isinstance(node, ast.ClassDef) and full not in LONG:
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, full


def code_lines(path: Path) -> int:
    """Count the lines that hold code: no blank line, comment or docstring."""
    idle = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in idle:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            lines.difference_update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


@pytest.mark.parametrize("part", MOST_LINES)
def test_the_package_stays_small(part: str) -> None:
    """The mail reader, the rules, what is sent, the commands and the house around them each stay within their lines."""
    lines = dict.fromkeys(MOST_LINES, 0)
    for name, path in ROOMS.items():
        lines[PARTS.get(wing(name), "house")] += code_lines(path)
    assert lines[part] < MOST_LINES[part], lines


def test_settings_stay_few_and_explained() -> None:
    """There are fewer than 60 settings, each with a sentence of help."""
    assert len(settings.SETTINGS) < MOST_SETTINGS
    for setting in settings.SETTINGS:
        assert setting.help.endswith(".") and len(setting.help.split()) > 2, setting.key


@pytest.mark.parametrize("name", ROOMS)
def test_public_things_say_what_they_are(name: str) -> None:
    """Every module, and every public class and function in it, has a docstring; an error may say it in the tree instead."""
    module = tree(ROOMS[name])
    drawn = ast.get_docstring(module) or ""
    assert drawn, name
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            full = f"{name}.{node.name}"
            said = ast.get_docstring(node) or f"-- {node.name} " in drawn or full in SENTENCE_ELSEWHERE
            assert said, f"{full} has no docstring"


@pytest.mark.parametrize("full", ["letter.Letter", "letter.Mail", "desk.Desk"])
def test_what_stages_are_promised_is_explained(full: str) -> None:
    """Every public method that a stage may call has a docstring."""
    room, _, wanted = full.partition(".")
    [node] = [node for name, node in definitions(room) if name == full]
    methods = [child for child in node.body if isinstance(child, ast.FunctionDef) and not child.name.startswith("_")]
    assert methods
    for method in methods:
        assert ast.get_docstring(method), f"{wanted}.{method.name}"


# -- what is used ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ROOMS)
def test_only_the_stores_wing_knows_peewee(name: str) -> None:
    """Peewee and the tables are known in a few rooms; command line, stages and readers ask those."""
    modules = {alias.name for node in ast.walk(tree(ROOMS[name])) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree(ROOMS[name])) if isinstance(node, ast.ImportFrom)}
    knows = "tables" in imports(name) or any(module.split(".")[0] in ("peewee", "playhouse") for module in modules)
    assert not knows or wing(name) in KNOW_PEEWEE


@pytest.mark.parametrize("name", ROOMS)
def test_nothing_dangerous_is_used(name: str) -> None:
    """No print, no eval or exec, no pickle, no shell."""
    for node in ast.walk(tree(ROOMS[name])):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in FORBIDDEN_CALLS, f"{name}:{node.lineno} {called}"
            shell = [word for word in node.keywords if word.arg == "shell"]
            assert not shell, f"{name}:{node.lineno} shell="
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not FORBIDDEN_MODULES.intersection(names), f"{name} imports {names}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("tests/**/test_*.py")), ids=lambda path: path.name)
def test_every_test_says_what_holds(path: Path) -> None:
    """Every test of the suite has a docstring of one sentence or more."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"
