"""Read the rules file: TOML in, a Ruleset out, or every problem at once, each with its line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import SettingsError
from ..letter import canonical
from .actions import ACTIONS, address
from .condition import Known
from .conditions import ADDRESS, DOMAIN, read_all
from .ruleset import NEW, ON, Queue, Rule, Ruleset
from .source import Node, Source, Wrong, gather, quoted

DEFAULT_QUEUE = "support"  # where a ticket is if nobody says otherwise
LARGEST = 1 << 20  # bytes of the file
LONGEST_NAME = 60
HINT = "Mend the file, then try `helpdesk rules check`."

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")  # RFC 5646, 2.1, as far as anyone writes it


def load(path: Path, folders: Iterable[str] | None = None, ours: Iterable[str] = ()) -> Ruleset:
    """Read a rules file; without one there are no rules.

    Args:
        folders: the folders there are, so that a misspelt one is a problem; None: any may be named.
        ours: further addresses that are ours, beside those of the queues.

    Raises:
        SettingsError: with all problems, each as `rules.toml line 12: sentence`.
    """
    name = _shown(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Ruleset(ours=frozenset(map(canonical, ours)))
    except OSError as error:
        raise SettingsError([f"{name}: a file that can be read is expected ({error.strerror})"], HINT) from error
    if len(raw) > LARGEST:
        raise SettingsError([f"{name}: {len(raw)} bytes are too many, {LARGEST} may be"], HINT)
    return parse(raw, name, folders, ours)


def parse(raw: bytes, name: str = "rules.toml", folders: Iterable[str] | None = None, ours: Iterable[str] = ()) -> Ruleset:
    """Read the text of a rules file; raises as `load` does."""
    source = Source.of(name, raw)
    queues: list[Queue] = []
    rules: list[Rule] = []
    # Wrong: it is reported.
    with contextlib.suppress(Wrong):
        queues, rules = _read(source.root, None if folders is None else tuple(folders))
    if source.problems:
        raise SettingsError([sentence for _, sentence in sorted(source.problems, key=itemgetter(0))], HINT)
    return Ruleset(tuple(queues), tuple(rules), frozenset(map(canonical, ours)))


def _shown(path: Path) -> str:
    """Name the file as the user would."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _read(root: Node, folders: tuple[str, ...] | None) -> tuple[list[Queue], list[Rule]]:
    known = Known(tuple(dict.fromkeys((*_names(root.value.get("queue")), DEFAULT_QUEUE))), folders)
    readers = {noun: partial(_several, partial(read, known)) for noun, read in (("queue", _queue), ("rule", _rule))}
    read = root.fields(readers)
    return read.get("queue", []), read.get("rule", [])


def _names(items: Any) -> list[str]:
    """Return the names in a list of tables that nobody has checked yet."""
    named = (item.get("name") for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
    return [name for name in named if isinstance(name, str)]


# What no two queues, or no two rules, may share: how values of it compare.
UNIQUE: dict[str, Callable[[str], str]] = {"name": str, "addresses": canonical, "folders": str, "prefix": str.upper}


def _several(read: Callable[[Node], Any], node: Node) -> list[Any]:
    """Read every [[queue]] or [[rule]]."""
    if not isinstance(node.value, list) or not all(isinstance(item, dict) for item in node.value):
        node.wrong(f"write [[{node.key}]], with two brackets, before each {node.key}")
    items = node.items() if node.value else []
    for key, form in UNIQUE.items():
        _unique([item.child(key) for item in items if key in item.value], form)
    return gather(items, read)


def _unique(nodes: list[Node], form: Callable[[str], str]) -> None:
    """Report a value that stands in two of the nodes."""
    first: dict[str, Node] = {}
    for node in nodes:
        for value in node.value if isinstance(node.value, list) else [node.value]:
            before = first.setdefault(form(value), node) if isinstance(value, str) else node
            if before is not node:
                node.report(f"`{node.key}` {quoted(value)} is used on line {before.line} already")


def _named(node: Node, readers: Mapping[str, Callable[[Node], Any]]) -> dict[str, Any]:
    """Read a table that must have a name."""
    if "name" not in node.value:
        node.report(f"this {node.key} has no `name`")
    read = node.fields(readers)
    if "name" not in read:
        raise Wrong
    return read


def _name(node: Node, known: Known) -> str:
    text = node.text("a name")
    return (
        text
        if len(text) <= LONGEST_NAME and text == text.strip()
        else node.expects(f"a name of {LONGEST_NAME} characters at most")
    )


# -- queues ----------------------------------------------------------------------------------------------------------


def _queue(known: Known, node: Node) -> Queue:
    read = _named(node, {key: partial(_part, known, read) for key, (_, read) in QUEUE.items()})
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
    return Queue(**values, line=node.line)


def _part(known: Known, read: Callable[[Node, Known], Any], node: Node) -> Any:
    return read(node, known)


def _folders(node: Node, known: Known) -> list[str]:
    return node.texts("a folder") if known.folders is None else node.words("folder", known.folders)


def _addresses(node: Node, known: Known) -> list[str]:
    return node.each(address)


def _lines(node: Node, known: Known) -> str:
    return node.text(several_lines=True)


def _prefix(node: Node, known: Known) -> str:
    return _as_setting(node, settings.PREFIX)


def _sender(node: Node, known: Known) -> str:
    return _as_setting(node, settings.MAILBOX)


def _as_setting(node: Node, kind: settings.Kind) -> str:
    """Read a value as the setting of the same sort is read."""
    text = node.text()
    try:
        kind.read(text)
    except (ValueError, LookupError):
        node.wrong(f"`{node.key}` is {quoted(text)}: {kind.expected}")
    return text


def _language(node: Node, known: Known) -> str:
    text = node.text("a language")
    return text if _LANGUAGE.fullmatch(text) else node.expects("a language like en or pt-BR")


# What a queue may say, each with its sentence for docs/rules.md.
QUEUE: dict[str, tuple[str, Callable[[Node, Known], Any]]] = {
    "name": ("how it is called; `support` is where a ticket is if nobody says otherwise", _name),
    "addresses": ("mail to one of these is for it, also with a plus (`billing+x@`)", _addresses),
    "folders": ("mail in one of these folders is for it, if none of its recipients has a queue", _folders),
    "prefix": ("what stands before the number of its tickets, in place of TICKET_PREFIX", _prefix),
    "sender": ("from whom its mail is sent, in place of DEFAULT_FROM_EMAIL", _sender),
    "members": ("the agents who work on it, and are told of its mail; without any every agent is", _addresses),
    "signature": ("what stands below its replies", _lines),
    "acknowledgement": ("the text of its acknowledgement", _lines),
    "language": ("the language of what it sends, like `en` or `pt-BR`", _language),
}


# -- rules -----------------------------------------------------------------------------------------------------------


def _rule(known: Known, node: Node) -> Rule:
    for check in CHECKS:
        check(node)
    read = _named(
        node,
        {
            "name": partial(_part, known, _name),
            "on": lambda child: child.word("on", ON),
            "when": lambda child: tuple(read_all(child, known)),
            "then": lambda child: child.fields({name: partial(_part, known, act.read) for name, act in ACTIONS.items()}),
            "stop": Node.flag,
        },
    )
    if "when" not in read:
        node.wrong("this rule has no [rule.when]; for every mail write `when.always = true`")
    if not read.get("then") and not read.get("stop"):
        node.wrong("this rule has no [rule.then], so it would do nothing")
    return Rule(read["name"], node.line, read.get("on", NEW), read["when"], read.get("then", {}), read.get("stop", False))


def _table(node: Node, key: str) -> dict[str, Node]:
    """Return what a table holds that nobody has checked yet."""
    inner = node.value.get(key)
    return {name: node.child(key).child(name) for name in inner} if isinstance(inner, dict) else {}


def _contradicts(node: Node) -> None:
    then = _table(node, "then")
    if "ignore" not in then:
        return
    if "hold" in then:
        then["ignore"].report("`hold` and `ignore` contradict each other")
    elif vain := [f"`{action}`" for action in then if action != "ignore"]:
        then["ignore"].report(f"`ignore` makes no ticket, so {', '.join(vain)} would do nothing")


def _trusts_strangers(node: Node) -> None:
    """Whoever is not named must not say who he is: what is written to him would go to someone else."""
    wanted, named = _table(node, "then").get("requester"), _table(node, "when").get("from")
    if wanted is None:
        return
    if node.value.get("on", NEW) != NEW:
        wanted.report(f'`requester` is only for new tickets: `on = "{NEW}"`')
    senders = (named.value if isinstance(named.value, list) else [named.value]) if named else []
    if not senders or not all(isinstance(text, str) and (ADDRESS.fullmatch(text) or DOMAIN.fullmatch(text)) for text in senders):
        wanted.report("`requester` needs a `from` in [rule.when] that names addresses or domains, or any stranger could use it")


CHECKS = (_contradicts, _trusts_strangers)
