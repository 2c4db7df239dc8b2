"""What can be asked of attachments: one of which all holds, or how many of these there are."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..letter import Attachment
from .condition import COMPARE, Condition, Known, bounds, fact, named, size, whole
from .facts import Text
from .source import Node
from .texts import Hits, asked

_TYPE = re.compile(r"[\w.+-]{1,100}/(?:[\w.+-]{1,100}|\*)", re.ASCII)


class Fit(NamedTuple):
    """One thing that is asked of an attachment: in words, and as a test."""

    says: str
    test: Callable[[Attachment], bool]


def _type(node: Node) -> Fit:
    def read(at: Node) -> str:
        text = at.text("a type")
        return text.lower() if _TYPE.fullmatch(text) else at.expects('a type like "application/pdf" or "image/*"')

    wanted = node.each(read)
    exact = frozenset(wanted)
    # `image/*` in a list is looked up by what stands before its star.
    return Fit(
        f"its type is {named(wanted)}",
        lambda part: part.content_type.lower() in exact or f"{part.content_type.lower().partition('/')[0]}/*" in exact,
    )


def _name(node: Node) -> Fit:
    asks = [ask for ask in asked(node, "its name") if isinstance(ask, Hits)]

    def test(part: Attachment) -> bool:
        name = Text(part.filename or "")
        return all(any(hit(name) for hit, _ in ask.tests) for ask in asks)

    return Fit(" and ".join(ask.says for ask in asks), test)


def _size(node: Node) -> Fit:
    says, test = bounds(node, size)
    return Fit(f"its size is {says}", lambda part: test(part.size))


def _inline(node: Node) -> Fit:
    wanted = node.flag()
    return Fit("it stands inside the text" if wanted else "it does not stand inside the text", lambda part: part.inline is wanted)


def _count(node: Node) -> tuple[str, Callable[[float], bool]]:
    if isinstance(node.value, dict):
        says, test = bounds(node, whole, tuple(COMPARE))
        return f"their number is {says}", test
    return f"their number is {node.value}", partial(COMPARE["is"], whole(node))


ASKS: dict[str, Callable[[Node], Fit]] = {"type": _type, "name": _name, "size": _size, "inline": _inline}


def attachment_condition(node: Node, known: Known) -> Condition:
    """Compile what is asked of attachments; without `count`, one that meets the rest is enough."""
    read = node.fields({**ASKS, "count": _count})
    if not read:
        node.expects("what is asked of it, like `attachment.type = ...`")
    counts, enough = read.pop("count", ("", partial(COMPARE["above"], 0)))
    fits: list[Fit] = list(read.values())
    tests = [fit.test for fit in fits]
    says = f"attachments: {' and '.join([*(fit.says for fit in fits), *filter(None, [counts])])}"
    return fact(says, lambda facts: enough(sum(all(test(part) for test in tests) for part in facts.attachments)))
