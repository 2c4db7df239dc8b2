"""What a condition is, how several are joined, and what those of all sorts share: numbers, and lists in a sentence.

A condition is compiled once into a function of the facts. It answers with the phrase that holds ("subject contains 'invoice'"),
made of the rule's own words and never of the mail's, or with "" where it does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from .facts import Facts
from .source import Node

SHOWN = 4  # values of a long list that a sentence names
UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s?([KMG]?B)", re.IGNORECASE)


@dataclass(frozen=True)
class Condition:
    """A condition, compiled: in words, and as a test."""

    says: str
    test: Callable[[Facts], str]


@dataclass(frozen=True)
class Known:
    """What the file may name: its queues, and the folders (None: nobody told)."""

    queues: tuple[str, ...] = ()
    folders: tuple[str, ...] | None = None


class Ask(NamedTuple):
    """A row of the table of conditions: what it asks, an example, and what compiles it."""

    help: str
    example: str
    read: Callable[[Node, Known], Condition]


def fact(says: str, holds: Callable[[Facts], bool]) -> Condition:
    """Return a condition that says the same wherever it holds."""
    return Condition(says, lambda facts: says if holds(facts) else "")


def all_of(conditions: Sequence[Condition]) -> Condition:
    """Return a condition that holds where all of them do."""
    if len(conditions) == 1:
        return conditions[0]

    def test(facts: Facts) -> str:
        phrases = []
        for condition in conditions:
            phrase = condition.test(facts)
            if not phrase:
                return ""
            phrases.append(phrase)
        return " and ".join(phrases)

    return Condition(" and ".join(condition.says for condition in conditions), test)


def any_of(conditions: Sequence[Condition]) -> Condition:
    """Return a condition that holds where one of them does."""

    def test(facts: Facts) -> str:
        return next((phrase for condition in conditions if (phrase := condition.test(facts))), "")

    return Condition(f"one of ({'; '.join(condition.says for condition in conditions)})", test)


def none_of(conditions: Sequence[Condition]) -> Condition:
    """Return a condition that holds where none of them does."""
    says = f"not ({'; '.join(condition.says for condition in conditions)})"
    return fact(says, lambda facts: not any(condition.test(facts) for condition in conditions))


def named(values: Sequence[str]) -> str:
    """Name the values of a list in a sentence; of a long one, the first few."""
    shown = [f"'{value}'" for value in values[:SHOWN]]
    if len(values) > SHOWN:
        shown.append(f"one of {len(values) - SHOWN} more")
    return " or ".join(shown)


# -- numbers ---------------------------------------------------------------------------------------------------------

Number = Callable[[Node], float]
COMPARE: dict[str, Callable[[float, float], bool]] = {
    "above": lambda bound, there: there > bound,
    "below": lambda bound, there: there < bound,
    "is": lambda bound, there: there == bound,
}


def bounds(node: Node, number: Number, words: Sequence[str] = ("above", "below")) -> tuple[str, Callable[[float], bool]]:
    """Read `{ above = 5, below = 9 }`: in words, and as a test."""
    if not isinstance(node.value, dict) or not node.value:
        node.expects(" or ".join(f"`{node.key}.{word} = ...`" for word in words))
    read = node.fields(dict.fromkeys(words, number))
    tests = [partial(COMPARE[word], bound) for word, bound in read.items()]
    says = " and ".join(f"{word} {node.value[word]}" for word in read)
    return says, lambda there: all(test(there) for test in tests)


def plain(node: Node) -> float:
    """Read a number."""
    if isinstance(node.value, int | float) and not isinstance(node.value, bool) and abs(node.value) < 1e9:
        return node.value
    node.expects("a number")


def whole(node: Node) -> float:
    """Read a number of things."""
    if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value < 1e9:
        return node.value
    node.expects("a whole number")


def size(node: Node) -> float:
    """Read a number of bytes, or a text like `5 MB`."""
    found = _SIZE.fullmatch(node.value.strip()) if isinstance(node.value, str) else None
    if found:
        return float(found[1]) * UNITS[found[2].upper()]
    if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value < 1e12:
        return node.value
    node.expects('a size like "500 KB" or "5 MB"')
