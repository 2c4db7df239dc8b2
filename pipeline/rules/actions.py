"""What a rule can do: one table, from which the check of the file, the decision and docs/rules.md follow.

A rule only says what is to become of a mail; stages do it, through the desk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..letter import Address, canonical
from .condition import Known
from .conditions import ADDRESS
from .facts import Facts
from .patterns import SEARCHED, Pattern, compiled
from .source import Node

PRIORITIES = ("low", "normal", "high", "urgent")
STATUSES = ("open", "waiting", "closed")
NAME = 100  # characters of a name that is read out of a text

_TAG = re.compile(r"-?\w[\w.:/+&-]{0,49}")
# Stricter than what From may hold: a form's visitor wrote it, and mail will go there.
_WRITTEN = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,10}[\w-]{2,63}")


class Act(NamedTuple):
    """A row of the table of actions: what it does, an example, and what reads it."""

    help: str
    example: str
    read: Callable[[Node, Known], Any]


@dataclass(frozen=True)
class Requester:
    """Whom a ticket is from, where From is only the machine that sent it: Reply-To, or what a pattern finds in the text."""

    address: Pattern | None = None
    name: Pattern | None = None

    def of(self, facts: Facts, ours: frozenset[str]) -> Address | str:
        """Return the requester, or in a sentence why there is none."""
        if len(facts.mail.authors) != 1:
            return "the requester stays: From does not name one sender"
        found = self._written(facts) if self.address else next((a for a in facts.mail.reply_to if a.address), None)
        if found is None or found.address is None:
            where = "the text holds no address where the pattern looks" if self.address else "there is no address in Reply-To"
            return f"the requester stays: {where}"
        if canonical(found.address) in ours:
            return "the requester stays: the address that stands there is our own"
        return found

    def _written(self, facts: Facts) -> Address | None:
        text = facts.mail.text[:SEARCHED]
        address = _first(self.address, text).strip("<>.,;:()[]\"' ")
        return Address(_first(self.name, text)[:NAME], address) if _WRITTEN.fullmatch(address) else None


def _first(pattern: Pattern | None, text: str) -> str:
    """Return what the first group of a pattern found, else all that it found, on one line."""
    found = pattern.search(text) if pattern else None
    return " ".join((found.group(min(1, pattern.groups)) or "").split()) if found and pattern else ""


# -- how each is read ------------------------------------------------------------------------------------------------


def _queue(node: Node, known: Known) -> str:
    return node.word("queue", known.queues)


def _word_of(words: tuple[str, ...], node: Node, known: Known) -> str:
    return node.word(node.key, words)


def _reason(node: Node, known: Known) -> str:
    return node.text('a reason, like "a contract: for Ann to see first",')


def address(node: Node) -> str:
    """Read one whole address, in the form in which addresses compare."""
    text = node.text("an address")
    return canonical(text) if ADDRESS.fullmatch(text) else node.expects("an address like ann@example.org")


def _tags(node: Node, known: Known) -> tuple[str, ...]:
    tags = node.each(_tag)
    for tag in tags:
        if f"-{tag}" in tags:
            node.wrong(f"tag `{tag}` is both added and taken away")
    return tuple(tags)


def _tag(node: Node) -> str:
    text = node.text("a tag")
    return (
        text if _TAG.fullmatch(text) else node.expects('a tag of letters, digits and . : / + & - _, or "-tag" to take it away,')
    )


def _requester(node: Node, known: Known) -> Requester:
    if node.value == "reply-to":
        return Requester()
    if not isinstance(node.value, dict) or "pattern" not in node.value:
        node.expects('"reply-to" or { pattern = "..." }')
    read = node.fields({"pattern": _pattern, "name": _pattern})
    return Requester(read["pattern"], read.get("name"))


def _pattern(node: Node) -> Pattern:
    text = node.text("a regular expression")
    try:
        return compiled(text)
    except ValueError as error:
        node.wrong(f"the regular expression '{text}' cannot be used: {error}")


ACTIONS: dict[str, Act] = {
    "queue": Act("put it into a queue of this file, or into `support`", 'queue = "support"', _queue),
    "priority": Act(
        "give the ticket a priority: low, normal, high or urgent", 'priority = "high"', partial(_word_of, PRIORITIES)
    ),
    "assign": Act("give it to an agent", 'assign = "bob@example.org"', lambda node, known: address(node)),
    "tags": Act("add tags; with `-` before it, take one away", 'tags = ["invoice", "-new"]', _tags),
    "status": Act("give the ticket a status: open, waiting or closed", 'status = "closed"', partial(_word_of, STATUSES)),
    "hold": Act(
        "make no ticket before an agent has seen it (`helpdesk held`), and ask no further rule", 'hold = "a contract"', _reason
    ),
    "ignore": Act("keep the mail, but make no ticket of it, and ask no further rule", 'ignore = "a newsletter"', _reason),
    "acknowledge": Act("with false, send the sender no acknowledgement", "acknowledge = false", lambda node, known: node.flag()),
    "notify": Act(
        "tell these addresses by mail that it came; an automatic mail on a ticket and old mail tell nobody",
        'notify = ["ann@example.org"]',
        lambda node, known: tuple(node.each(address)),
    ),
    "requester": Act(
        "the ticket is from whom Reply-To names, or whom a pattern finds in the text (its first group; `name` likewise). "
        "Only in a rule for new tickets whose `from` names the machine that sends such mail",
        'requester = "reply-to"',
        _requester,
    ),
}


# -- how several rules' actions become one ---------------------------------------------------------------------------


def _last(before: Any, now: Any) -> Any:
    return now


def _joined(before: tuple[str, ...] | None, now: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(before or ()), *now)))


def _retagged(before: tuple[str, ...] | None, now: tuple[str, ...]) -> tuple[str, ...]:
    """The last word on a tag holds."""
    opposite = {tag[1:] if tag.startswith("-") else f"-{tag}" for tag in now}
    return _joined(tuple(tag for tag in before or () if tag not in opposite), now)


MERGE: Mapping[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(ACTIONS, _last),
    "tags": _retagged,
    "notify": _joined,
}
ENDS = ("hold", "ignore")  # no further rule is asked
