"""The rules file as it is written: what stands in it, on which line, and every problem with it at once.

tomllib forgets lines, so a second, light reading of the same text finds the line of every key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeVar

T = TypeVar("T")
Path = tuple[str | int, ...]  # ("rule", 0, "when", "subject")

LONGEST = 1_000  # characters of a value
LONGEST_LINES = 20_000  # characters of a signature or another text of several lines
UNFIT = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")  # what could move a terminal's cursor; tab and line feed are told apart below
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")

# Only for text that tomllib has read, so it may be lenient (TOML 1.0).
_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+|\#[^\n]*)
    |(?P<line>\n)
    |(?P<text>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}|"(?:\\.|[^"\\])*"|'[^']*')
    |(?P<mark>[\[\]{},=.])
    |(?P<bare>[^\s\[\]{},=."'\#]+)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of TOML and the line on which it begins."""

    kind: str
    text: str
    line: int


@dataclass
class Source:
    """A file, read; `problems` grows while it is checked."""

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, raw: bytes) -> Source:
        """Read TOML; where it is none, say on which line."""
        source = cls(name)
        try:
            text = raw.decode("utf-8-sig").replace("\r\n", "\n")
            source.data = tomllib.loads(text)
            source.lines = _Scan(text).lines
        except UnicodeDecodeError as error:
            source.report(1 + raw.count(b"\n", 0, error.start), "UTF-8 is expected")
        except RecursionError:
            source.report(1, "this is nested too deep")
        except ValueError as error:
            at = _AT.search(str(error))
            line = int(at[1]) if at and at[1] else 1 + text.rstrip().count("\n")
            source.report(line, f"this is no TOML: {_AT.sub('', str(error))}")
        return source

    def report(self, line: int, sentence: str) -> None:
        """Note a problem."""
        self.problems.append((line, f"{self.name} line {line}: {sentence}"))

    @property
    def root(self) -> Node:
        """The whole file as a node."""
        return Node(self, self.data, ())


class Wrong(Exception):
    """A value is wrong, and its problem is reported already; whoever reads several goes on with the next."""


def gather(nodes: Iterable[Node], read: Callable[[Node], T]) -> list[T]:
    """Read every node, so that all problems are reported, then raise Wrong if there was one."""
    found, wrong = [], False
    for node in nodes:
        try:
            found.append(read(node))
        except Wrong:
            wrong = True
    if wrong:
        raise Wrong
    return found


@dataclass(frozen=True)
class Node:
    """A value in the file, with where it stands. What reads it returns what it expects, or reports a problem and raises Wrong."""

    source: Source
    value: Any
    path: Path

    @property
    def key(self) -> str:
        """The key by which it is written, without the places in lists."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")

    @property
    def line(self) -> int:
        """The line of its key."""
        lines = self.source.lines
        return next((lines[self.path[:end]] for end in range(len(self.path), 0, -1) if self.path[:end] in lines), 1)

    def report(self, sentence: str) -> None:
        """Report a problem with this value, and go on."""
        self.source.report(self.line, sentence)

    def wrong(self, sentence: str) -> NoReturn:
        """Report a problem with this value."""
        self.report(sentence)
        raise Wrong

    def expects(self, what: str) -> NoReturn:
        """Report that something else is expected here."""
        self.wrong(f"`{self.key}` is {_shown(self.value)}, but {what} is expected")

    def unknown(self, noun: str, word: str, known: Iterable[str]) -> NoReturn:
        """Report a word that nobody knows, with the one that may be meant, else with all."""
        by_lower = {name.lower(): name for name in known}
        near = difflib.get_close_matches(word[:LONGEST].lower(), by_lower, 1, 0.6)
        hint = f", did you mean `{by_lower[near[0]]}`?" if near else f"; known: {', '.join(by_lower.values())}"
        self.wrong(f"{noun} {quoted(word)} is unknown{hint}")

    def child(self, part: str | int) -> Node:
        """Return the value under a key or a place."""
        return Node(self.source, self.value[part], (*self.path, part))

    def children(self) -> list[Node]:
        """Return what a table holds."""
        if not isinstance(self.value, dict):
            self.expects("a table")
        return [self.child(key) for key in self.value]

    def fields(self, readers: Mapping[str, Callable[[Node], Any]]) -> dict[str, Any]:
        """Read a table, each key by its reader."""

        def read(node: Node) -> tuple[str, Any]:
            if node.key not in readers:
                node.unknown("key", node.key, readers)
            return node.key, readers[node.key](node)

        return dict(gather(self.children(), read))

    def items(self) -> list[Node]:
        """Return the values of a list, or the one value that stands for a list of it."""
        if not isinstance(self.value, list):
            return [self]
        if not self.value:
            self.expects("at least one value")
        return [self.child(number) for number in range(len(self.value))]

    def each(self, read: Callable[[Node], T]) -> list[T]:
        """Read a list, or one value that stands for a list of it."""
        return gather(self.items(), read)

    def text(self, what: str = "a text", several_lines: bool = False) -> str:
        """Return a text that is not blank."""
        value = self.value
        if not isinstance(value, str) or not value.strip():
            self.expects(what)
        if len(value) > (LONGEST_LINES if several_lines else LONGEST):
            self.wrong(f"`{self.key}` is {len(value)} characters long: that is too long")
        if UNFIT.search(value) or ("\n" in value and not several_lines):
            self.wrong(f"`{self.key}` holds a line break or another control character")
        return value

    def texts(self, what: str = "a text") -> list[str]:
        """Return a text or a list of texts."""
        return self.each(lambda node: node.text(what))

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self.value, bool):
            self.expects("true or false")
        return self.value

    def word(self, noun: str, known: Iterable[str]) -> str:
        """Return one word of those that are known."""
        known = list(known)
        word = self.text(f"a {noun} ({', '.join(known)})")
        if word not in known:
            self.unknown(noun, word, known)
        return word

    def words(self, noun: str, known: Iterable[str]) -> list[str]:
        """Return a word or a list of words, each of those that are known."""
        known = list(known)
        return self.each(lambda node: node.word(noun, known))


def _shown(value: Any) -> str:
    """Return a value as a message shows it: short, on one line."""
    names = {dict: "a table", list: "a list", bool: str(value).lower()}
    if type(value) in names:
        return names[type(value)]
    return quoted(value) if isinstance(value, str) else str(value)[:40]


def quoted(text: str) -> str:
    """Return a word as a message shows it."""
    text = re.sub(r"[\0-\x1f\x7f]", "?", text)
    return f"`{text}`" if len(text) <= 60 else f"`{text[:60]}...`"


class _Scan:
    """A walk through TOML that notes the line of each key and of each value in a list."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # of [[tables]]
        self._tokens = [*_tokens(text), Token("end", "", 0)]
        self._at = 0
        base: Path = ()
        while (token := self._next_but_lines()).kind != "end":
            if token.text == "[" and token.kind == "mark":
                base = self._header(token.line)
            else:
                self._at -= 1
                self._pair(base)

    @property
    def _ahead(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _next_but_lines(self) -> Token:
        while self._ahead.kind == "line":
            self._at += 1
        return self._next()

    def _is(self, mark: str) -> bool:
        return self._ahead.kind == "mark" and self._ahead.text == mark

    def _name(self) -> list[str]:
        parts = [_name_of(self._next())]
        while self._is("."):
            self._at += 1
            parts.append(_name_of(self._next()))
        return parts

    def _header(self, line: int) -> Path:
        """Read `[a.b]` or `[[a.b]]`, and return the path of the table that it opens."""
        several = self._is("[")
        self._at += several
        path: Path = ()
        names = self._name()
        self._at += 1 + several
        for place, name in enumerate(names, 1):
            path = (*path, name)
            self.lines.setdefault(path, line)
            if place == len(names) and several:
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self.lines.setdefault(path, line)
        return path

    def _pair(self, base: Path) -> None:
        line, path = self._ahead.line, base
        for name in self._name():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._at += 1  # the `=`
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._is("["):
            self._list(path)
        elif self._is("{"):
            self._inline(path)
        else:
            while self._ahead.kind in ("text", "bare") or self._is("."):
                self._at += 1

    def _list(self, path: Path) -> None:
        self._at += 1
        number = 0
        while (token := self._next_but_lines()).text != "]" or token.kind != "mark":
            if token.kind == "mark" and token.text == ",":
                continue
            self._at -= 1
            self.lines[(*path, number)] = token.line
            self._value((*path, number))
            number += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while (token := self._next_but_lines()).text != "}" or token.kind != "mark":
            if token.kind == "mark" and token.text == ",":
                continue
            self._at -= 1
            self._pair(path)


def _tokens(text: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind, written = str(match.lastgroup), match[0]
        if kind != "blank":
            yield Token(kind, written, line)
        line += written.count("\n")


def _name_of(token: Token) -> str:
    if token.kind != "text":
        return token.text
    return next(iter(tomllib.loads(f"{token.text} = 0")))
