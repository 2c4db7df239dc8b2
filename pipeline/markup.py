"""HTML bodies: their tags, and the text a reader sees. Bounded and linear: one pass over the tags, no tree."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator
from typing import NamedTuple

HTML_CHARACTERS = 2_000_000  # of which text is made
TAGS = 50_000  # that are read, five times what a large mail has: what stands behind them is in the raw mail only


def words(text: str) -> frozenset[str]:
    """Return the words of a table's cell."""
    return frozenset(text.split())


_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:_-]{0,40}")
_OPENING = re.compile(r"<(?=/?[a-zA-Z]|[!?])")
_SIMPLE = re.compile(r"""<(/?[a-zA-Z][a-zA-Z0-9:_-]{0,40}+)(?:[^<>"']|"[^"<>]*+"|'[^'<>]*+')*+>""")  # nearly every tag
_STOP = re.compile(r"[>\"']")
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]{2,20})\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)""")
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BLOCKS = words(
    "address article aside blockquote body center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr html "
    "li main nav ol option p pre section table tbody tfoot thead tr ul"
)
_SPACED = words("p h1 h2 h3 h4 h5 h6 blockquote ul ol table pre")  # a blank line around
_RAW = words("script style title noembed noframes")  # no tags inside (HTML, 13.2.5.1)


class Tag(NamedTuple):
    """A tag or, where the name is empty, a stretch of text: where it stands in the source."""

    name: str  # lower case; "/div" closes
    start: int
    end: int


def tags(source: str) -> Iterator[Tag]:
    """Yield text and tags in order; comments and the content of raw elements are left out."""
    scanner = _Scanner(source)
    at = 0
    for _ in range(TAGS):
        found = _OPENING.search(source, at)
        if found is None:
            break
        opening = found.start()
        simple = _SIMPLE.match(source, opening)
        tag = Tag(simple[1].lower(), opening, simple.end()) if simple else scanner.tag(opening)
        if not tag.name and ">" in scanner.missing:
            break  # no tag ends any more
        if opening > at:
            yield Tag("", at, opening)
        yield tag
        at = scanner.content_end(tag) if tag.name in _RAW else tag.end
    else:
        return
    if at < len(source):
        yield Tag("", at, len(source))


class _Scanner:
    """Find where things end, and remember what does not end at all, so that nothing is looked for twice in vain."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.missing: set[str] = set()  # ends that do not occur any more
        self.quotes = True  # false once a quoted value ran to the end of the source

    def tag(self, at: int) -> Tag:
        """Read what begins with the `<` at `at`: a tag, a comment or declaration ("!"), or just that character as text."""
        if self.source.startswith("<!--", at):
            end = self._find("-->", at + 4)
            return Tag("!", at, end + 3 if end >= 0 else at + 4)
        name = _NAME.match(self.source, at + 1)
        end = self._tag_end(name.end() if name else at + 1)
        return Tag(name[0].lower() if name else "!", at, end) if end else Tag("", at, at + 1)

    def content_end(self, tag: Tag) -> int:
        """Return where to read on behind a raw element: at its closing tag, if it has one."""
        end = self._find(f"</{tag.name}", tag.end)
        return tag.end if end < 0 else end

    def _find(self, what: str, at: int) -> int:
        if what in self.missing:
            return -1
        found = self.source.find(what, at)
        if found < 0 and what[:2] == "</":
            match = re.compile(re.escape(what), re.IGNORECASE).search(self.source, at)
            found = match.start() if match else -1
        if found < 0:
            self.missing.add(what)
        return found

    def _tag_end(self, at: int) -> int:
        """Return the place behind the `>` that ends a tag, or 0; a `>` in a quoted value does not end it."""
        first = at
        while self.quotes:
            stop = _STOP.search(self.source, at)
            if stop is None:
                break
            if stop[0] == ">":
                return stop.end()
            closing = self._find(stop[0], stop.end())
            if closing < 0:
                self.quotes = False  # lose a quote rather than the text behind it
            at = closing + 1
        self.quotes = False
        return self._find(">", first) + 1


def attributes(tag: str) -> dict[str, str]:
    """Return the attributes of a tag's source, names and values in lower case."""
    return {found[1].lower(): found[2].strip("\"'").lower() for found in _ATTRIBUTE.finditer(tag[:4000])}


def to_text(html: str, quotes: bool = False) -> str:
    """Turn HTML into text as a reader sees it; with `quotes`, lines in a blockquote begin with `> `."""
    source = html[:HTML_CHARACTERS]
    writer = _Writer(quotes)
    hidden = False
    for tag in tags(source):
        if tag.name in ("head", "/head", "body", "/title"):
            hidden = tag.name == "head"
        elif not hidden and not tag.name:
            writer.text(source[tag.start : tag.end])
        elif not hidden:
            writer.tag(tag.name, source[tag.start : tag.end])
    return writer.finish()


def unescaped(text: str) -> str:
    """Decode character references; one with thousands of digits stays as it is."""
    try:
        return entities.unescape(text)
    except ValueError:
        return text


class _Writer:
    """Collect text into lines the way a block layout does."""

    def __init__(self, quotes: bool) -> None:
        self.quotes = quotes
        self.lines: list[str] = []
        self.line: list[str] = []
        self.depth = 0  # of quotes
        self.stack: list[bool] = []  # of each open blockquote: is it a quote?
        self.pre = 0
        self.spoken = False  # is there text above?

    def text(self, source: str) -> None:
        text = unescaped(source) if "&" in source else source
        if not self.pre:
            self.line.append(_SPACES.sub(" ", text))
            return
        first, *rest = text.replace("\r\n", "\n").split("\n")
        self.line.append(first)
        for line in rest:
            self._break()
            self.line.append(line)

    def tag(self, name: str, source: str) -> None:
        bare = name.lstrip("/")
        if name == "br":
            self._break()
        elif bare in _BLOCKS:
            self._block(bare in _SPACED)
            self._special(name, source)
        elif bare in ("td", "th"):
            self.line.append(" ")

    def _special(self, name: str, source: str) -> None:
        if name == "li":
            self.line.append("- ")
        elif name in ("pre", "/pre"):
            self.pre = max(0, self.pre + (1 if name == "pre" else -1))
        elif name == "blockquote":
            self._quote(attributes(source))
        elif name == "/blockquote" and self.stack:
            self.depth -= self.stack.pop()

    def _quote(self, given: dict[str, str]) -> None:
        """Open a blockquote: a quote if its client says so, or if there is text above and it is no mere indentation."""
        says_so = given.get("type") == "cite" or "cite" in given
        quoted = self.quotes and (says_so or (self.spoken and "gmail_quote" not in given.get("class", "")))
        self.stack.append(quoted)
        self.depth += quoted

    def _block(self, spaced: bool) -> None:
        if "".join(self.line).strip():
            self._break()
        self.line = []
        if spaced and self.lines and self.lines[-1].strip("> "):
            self.lines.append("> " * min(self.depth, 20))

    def _break(self) -> None:
        line = "".join(self.line)
        line = line.rstrip() if self.pre else _SPACES.sub(" ", line).strip()
        self.spoken = self.spoken or bool(line)
        self.lines.append("> " * min(self.depth, 20) + line)
        self.line = []

    def finish(self) -> str:
        self._break()
        text = "\n".join(self.lines).strip("\n")
        return _UNSTORABLE.sub("", text)
