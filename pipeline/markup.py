"""HTML bodies: their tags, and the text a reader sees. Bounded and linear: one pass over the tags, no tree."""

from __future__ import annotations

import html as entities
import re
from collections.abc import Callable, Iterator

HTML_CHARACTERS = 2_000_000  # of which text is made
QUOTE_MARKS = 20  # before a line, however deep in quotes it is
TAGS = 50_000  # that are read, five times what a large mail has: what stands behind them is in the raw mail only


def words(text: str) -> frozenset[str]:
    """Return the words of a table's cell."""
    return frozenset(text.split())


_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:_-]{0,40}")
_OPENING = re.compile(r"<(?=/?[a-zA-Z]|[!?])")
_SIMPLE = re.compile(  # nearly every tag, and the text above it
    r"""[^<]*+()<(/?[a-zA-Z][a-zA-Z0-9:_-]{0,40}+)(?:[^<>"']++|"[^"<>]*+"|'[^'<>]*+')*+>"""
)
_STOP = re.compile(r"[>\"']")
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]{2,20})\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)""")
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BLOCKS = words(
    "address article aside blockquote body center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr html "
    "li main nav ol option p pre section table tbody tfoot thead tr ul"
)
_SPACED = words("p h1 h2 h3 h4 h5 h6 blockquote ul ol table pre")  # a blank line around
_TURNS_HIDDEN = words("head /head body /title")  # what begins and ends what is not shown
_RAW = words("script style title noembed noframes")  # no tags inside (HTML, 13.2.5.1)


Tag = tuple[str, int, int]  # its name in lower case ("/div" closes; "" is a stretch of text), and where it stands in the source


def tags(source: str) -> Iterator[Tag]:
    """Yield text and tags in order; comments and the content of raw elements are left out."""
    scanner = _Scanner(source)
    at = 0
    for _ in range(TAGS):
        if simple := _SIMPLE.match(source, at):
            opening, end, name = simple.start(1), simple.end(), simple[2].lower()
        elif found := _OPENING.search(source, at):
            name, opening, end = scanner.tag(found.start())
            if not name and ">" in scanner.missing:
                break  # no tag ends any more
        else:
            break
        if opening > at:
            yield "", at, opening
        yield name, opening, end
        at = scanner.content_end(name, end) if name in _RAW else end
    else:
        return
    if at < len(source):
        yield "", at, len(source)


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
            return "!", at, end + 3 if end >= 0 else at + 4
        name = _NAME.match(self.source, at + 1)
        end = self._tag_end(name.end() if name else at + 1)
        return (name[0].lower() if name else "!", at, end) if end else ("", at, at + 1)

    def content_end(self, name: str, start: int) -> int:
        """Return where to read on behind a raw element's tag: at the closing one, if there is one."""
        end = self._find(f"</{name}", start)
        return start if end < 0 else end

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
    for name, start, end in _shown(source):
        if not name:
            writer.text(source[start:end])
        elif name in _LAYOUT:
            _LAYOUT[name](writer, source[start:end])
    return writer.finish()


def says_something(html: str) -> bool:
    """Say whether a reader sees any text in HTML."""
    if "<" not in html:
        return bool(unescaped(html).strip())
    return any(not name and unescaped(html[start:end]).strip() for name, start, end in _shown(html))


def _shown(source: str) -> Iterator[Tag]:
    """Yield what stands outside of heads."""
    hidden = False
    for tag in tags(source):
        if tag[0] in _TURNS_HIDDEN:
            hidden = tag[0] == "head"
        elif not hidden:
            yield tag


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
        self.mark = ""  # before a line in them
        self.stack: list[bool] = []  # of each open blockquote: is it a quote?
        self.pre = 0
        self.spoken = False  # is there text above?

    def text(self, source: str) -> None:
        text = unescaped(source) if "&" in source else source
        if not self.pre:
            self.line.append(text)
            return
        first, *rest = text.replace("\r\n", "\n").split("\n")
        self.line.append(first)
        for line in rest:
            self.line_break()
            self.line.append(line)

    def line_break(self, tag: str = "") -> None:
        self.lines.append(self.mark + self._taken())

    def block(self, tag: str = "") -> None:
        """End the line where an element begins or ends, if there is something on it."""
        if self.line and (line := self._taken()):
            self.lines.append(self.mark + line)

    def _taken(self) -> str:
        line = "".join(self.line)
        self.line.clear()
        line = line.rstrip() if self.pre else _SPACES.sub(" ", line).strip()
        self.spoken = self.spoken or line != ""
        return line

    def spaced(self, tag: str = "") -> None:
        """End the line, and leave one blank below what was said."""
        if self.line:
            self.block()
        if self.lines and self.lines[-1].strip("> "):
            self.lines.append(self.mark)

    def cell(self, tag: str) -> None:
        self.line.append(" ")

    def item(self, tag: str) -> None:
        self.block()
        self.line.append("- ")

    def pre_begins(self, tag: str) -> None:
        self.spaced()
        self.pre += 1

    def pre_ends(self, tag: str) -> None:
        self.spaced()
        self.pre = max(0, self.pre - 1)

    def quote_begins(self, tag: str) -> None:
        """Open a blockquote: a quote if its client says so, or if there is text above and it is no mere indentation."""
        self.spaced()
        given = attributes(tag) if self.quotes else {}
        says_so = given.get("type") == "cite" or "cite" in given
        quoted = self.quotes and (says_so or (self.spoken and "gmail_quote" not in given.get("class", "")))
        self.stack.append(quoted)
        self._deeper(quoted)

    def quote_ends(self, tag: str) -> None:
        self.spaced()
        if self.stack:
            self._deeper(-self.stack.pop())

    def _deeper(self, by: int) -> None:
        self.depth += by
        self.mark = "> " * min(self.depth, QUOTE_MARKS)

    def finish(self) -> str:
        self.line_break()
        text = "\n".join(self.lines).strip("\n")
        return _UNSTORABLE.sub("", text)


_CLOSED = ("", "/")
_LAYOUT: dict[str, Callable[[_Writer, str], None]] = {  # what a tag does to the lines
    **{end + name: _Writer.block for name in _BLOCKS for end in _CLOSED},
    **{end + name: _Writer.spaced for name in _SPACED for end in _CLOSED},
    **{end + name: _Writer.cell for name in ("td", "th") for end in _CLOSED},
    "br": _Writer.line_break,
    "li": _Writer.item,
    "pre": _Writer.pre_begins,
    "/pre": _Writer.pre_ends,
    "blockquote": _Writer.quote_begins,
    "/blockquote": _Writer.quote_ends,
}
