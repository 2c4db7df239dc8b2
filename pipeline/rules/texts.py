"""What can be asked of a text: of subject and body, of every header, of an attachment's name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .condition import Condition, Known, all_of, fact, named
from .facts import Facts, Text, fold
from .patterns import SEARCHED, compiled
from .source import Node

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}", re.IGNORECASE)  # RFC 5322, 2.2, less what nobody uses

Hit = Callable[[Text], bool]


class Hits(NamedTuple):
    """One thing that is asked of a text: in words, and a test for each word of it, with the phrase that it held."""

    says: str
    tests: tuple[tuple[Hit, str], ...]


class TextAsk(NamedTuple):
    """A row of the table below: what it asks, how a sentence says it, and what makes a test of a word."""

    help: str
    verb: str
    make: Callable[[str], Hit]


def _contains(word: str) -> Hit:
    return lambda text: word in text.folded


def _is(word: str) -> Hit:
    return lambda text: word == text.folded


def _starts(word: str) -> Hit:
    return lambda text: text.folded.startswith(word)


def _ends(word: str) -> Hit:
    return lambda text: text.ending.endswith(word)


def _word(word: str) -> Hit:
    return lambda text: has_word(text.folded, word)


def _matches(pattern: str) -> Hit:
    search = compiled(pattern).search
    return lambda text: search(text.raw[:SEARCHED]) is not None


ASKS: dict[str, TextAsk] = {
    "contains": TextAsk("it stands there, anywhere", "contains", _contains),
    "is": TextAsk('that and nothing else stands there; `""`: nothing does', "is", _is),
    "starts": TextAsk("the text begins with it", "starts with", _starts),
    "ends": TextAsk("the text ends with it", "ends with", _ends),
    "word": TextAsk("it stands there as a word of its own: `ad` is not in `read`", "has the word", _word),
    "matches": TextAsk("a regular expression is found there", "matches", _matches),
}


def has_word(text: str, word: str) -> bool:
    """Does the text hold the word with no letter, mark or digit glued to it? For any language that parts its words."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (at and _glues(text[at - 1], word[0])) and not (end < len(text) and _glues(text[end], word[-1])):
            return True
        at = text.find(word, at + 1)
    return False


def _glues(near: str, own: str) -> bool:
    # A word that itself ends in a sign (`c++`) ends there.
    return unicodedata.category(near)[0] in "LMN" and unicodedata.category(own)[0] in "LMN"


def hits(name: str, node: Node) -> Hits:
    """Read what is asked of the text that a sentence calls `name`: the words of `contains` and its like."""
    ask = ASKS[node.key]
    if node.key == "is" and node.value == "":
        return Hits(f"{name} is empty", (((lambda text: not text.folded), f"{name} is empty"),))

    def read(at: Node) -> tuple[Hit, str]:
        word = at.text()
        if node.key == "matches":
            return _pattern(at, word), f"{name} {ask.verb} '{word}'"
        return ask.make(fold(word) or at.wrong(f"`{node.key}` holds nothing that can be seen")), f"{name} {ask.verb} '{word}'"

    tests = node.each(read)
    return Hits(f"{name} {ask.verb} {named([item.value for item in node.items()])}", tuple(tests))


def _pattern(node: Node, text: str) -> Hit:
    try:
        return _matches(text)
    except ValueError as error:
        node.wrong(f"the regular expression '{text}' cannot be used: {error}")


def asked(node: Node, name: str, **more: Callable[[Node], Condition]) -> list[Hits | Condition]:
    """Read a table of what is asked of a text; a bare word does not say how it is to be compared."""
    if not isinstance(node.value, dict) or not node.value:
        node.wrong(f"`{node.key}` does not say how to compare: write `{node.key}.contains = ...`, or {', '.join([*ASKS][1:])}")
    return list(node.fields({**dict.fromkeys(ASKS, partial(hits, name)), **more}).values())


def text_condition(node: Node, known: Known) -> Condition:
    """Compile what is asked of a text of the mail."""
    return _joined(node.key, asked(node, node.key))


def header_condition(node: Node, known: Known) -> Condition:
    """Compile what is asked of a header (`header.x-mailer`): it holds if it does in one of its lines."""
    written = node.key.lower().removeprefix("header.")
    if not _HEADER.fullmatch(written):
        node.wrong(f"`{written[:60]}` cannot be the name of a header")
    name = f"header.{written}"

    def present(at: Node) -> Condition:
        wanted = at.flag()
        return fact(f"{name} is {'there' if wanted else 'not there'}", lambda facts: bool(facts.texts(name)) is wanted)

    return _joined(name, asked(node, name, present=present))


def headers_condition(node: Node, known: Known) -> Condition:
    """Compile what is asked of several headers."""
    if not node.children():
        node.expects("the name of a header, like `header.x-mailer.contains`")
    return all_of([header_condition(child, known) for child in node.children()])


def _joined(name: str, parts: list[Hits | Condition]) -> Condition:
    return all_of([part if isinstance(part, Condition) else Condition(part.says, _test(name, part)) for part in parts])


def _test(name: str, asked: Hits) -> Callable[[Facts], str]:
    tests = asked.tests

    def test(facts: Facts) -> str:
        for text in facts.texts(name):
            for hit, phrase in tests:
                if hit(text):
                    return phrase
        return ""

    return test
