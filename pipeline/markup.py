"""HTML bodies: to text, without their quotes, and sanitised. Bounded and linear: one pass over the tags, no tree."""

from __future__ import annotations

import html as entities
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.trim_tables import FORWARDED

HTML_CHARACTERS = 2_000_000  # of which text is made
SAFE_BYTES = 256 * 1024  # nh3 takes seconds for more
SAFE_DEPTH = 200


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NAME = re.compile(r"/?[a-zA-Z][a-zA-Z0-9:_-]{0,40}")
_OPENING = re.compile(r"<(?=/?[a-zA-Z]|[!?])")
_STOP = re.compile(r"[>\"']")
_ATTRIBUTE = re.compile(r"""([a-zA-Z-]{2,20})\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)""")
_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_BLOCKS = _set(
    "address article aside blockquote body center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr html "
    "li main nav ol option p pre section table tbody tfoot thead tr ul"
)
_SPACED = _set("p h1 h2 h3 h4 h5 h6 blockquote ul ol table pre")  # a blank line around
_RAW = _set("script style title noembed noframes")  # no tags inside (HTML, 13.2.5.1)
_VOID = _set("area base br col embed hr img input link meta param source track wbr")
_CLOSES_ITSELF = _set("p li td th tr dt dd option tbody thead tfoot colgroup")


class Tag(NamedTuple):
    """A tag or, where the name is empty, a stretch of text: where it stands in the source."""

    name: str  # lower case; "/div" closes
    start: int
    end: int


def tags(source: str) -> Iterator[Tag]:
    """Yield text and tags in order; comments and the content of raw elements are left out."""
    scanner = _Scanner(source)
    at = 0
    while found := _OPENING.search(source, at):
        opening = found.start()
        tag = scanner.tag(opening)
        if not tag.name and ">" in scanner.missing:
            break  # no tag ends any more
        if opening > at:
            yield Tag("", at, opening)
        yield tag
        at = scanner.content_end(tag)
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
        """Return where to read on: behind the content of a raw element, else behind the tag."""
        if tag.name not in _RAW:
            return tag.end
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


# What clients put around the mail they answer: an element that is cut with its content, or a heading behind which all is quoted.
_MAY_MARK = _set("div blockquote span hr table section")
_QUOTES = _set("gmail_quote gmail_attr moz-cite-prefix yahoo_quoted protonmail_quote tutanota_quote zmail_extra freemail-quote")
_HEADINGS = _set(
    "divrplyfwdmsg x_divrplyfwdmsg olk_src_body_section appendonsend stopspelling zwchr "
    "mail-editor-reference-message-container ms-outlook-mobile-reference-message"
)
_BORDER = re.compile(r"^(?:border:none;)?border-top:(?:solid(?:windowtext|#?[a-z0-9]+)1\.0pt|1pxsolid)")
_MARKUP = re.compile(r"<[^<>]*>")
_NEAR = 1500  # characters: a forward's marker, or the quote that belongs to an attribution


def without_quotes(html: str) -> str:
    """Cut what mail clients mark as quoted: Gmail, Apple, Thunderbird, Outlook, Yahoo, Proton, Zimbra. A forward is kept."""
    kept: list[str] = []
    cutting, depth, at, gmail = "", 0, 0, False
    for tag in tags(html):
        if cutting:
            depth += {cutting: 1, f"/{cutting}": -1}.get(tag.name, 0)
            if depth == 0 and tag.name == f"/{cutting}":
                cutting, at = "", tag.end
            continue
        given = attributes(html[tag.start : tag.end]) if tag.name in _MAY_MARK else {}
        if given and _is_heading(given):
            above = "".join([*kept, html[at : tag.start]])
            return above if _says_something(above) else html
        if given and _is_quote(tag.name, given, gmail) and not _is_forward(html[tag.end : tag.end + _NEAR]):
            kept.append(html[at : tag.start])
            cutting, depth = tag.name, 1
            if tag.name == "div" and "gmail_quote" in given.get("class", ""):
                gmail = True  # answers may stand between its blockquotes: cut the attribution and the first of them only
                if "<blockquote" in html[tag.end : tag.end + _NEAR].lower():
                    cutting, depth = "blockquote", 0
    return "".join(kept if cutting else [*kept, html[at:]])


def _is_heading(given: dict[str, str]) -> bool:
    return given.get("id") in _HEADINGS or bool(_BORDER.search(given.get("style", "").replace(" ", "")))


def _is_quote(name: str, given: dict[str, str], gmail: bool) -> bool:
    classes = _QUOTES.intersection(given.get("class", "").split())
    if name == "blockquote":  # Gmail uses its class for mere indentation, too
        return given.get("type") == "cite" or bool(classes - {"gmail_quote"} or (gmail and classes))
    return bool(classes)


def _is_forward(html: str) -> bool:
    return bool(FORWARDED.search(_SPACES.sub(" ", _MARKUP.sub(" ", html))[:400]))


def _says_something(html: str) -> bool:
    return bool(to_text(html).strip())


_TAGS = _set(
    "a abbr b bdi bdo big blockquote br caption center cite code col colgroup dd del details dfn div dl dt em figcaption "
    "figure font h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub summary sup "
    "table tbody td tfoot th thead tr tt u ul var"
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "title", "align", "style"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "font": {"color", "face"},
    "col": {"span"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan", "valign"},
    "th": {"colspan", "rowspan", "valign"},
    "table": {"border", "cellpadding", "cellspacing"},
}
_STYLES = _set("color font-weight font-style font-family text-align text-decoration vertical-align white-space")
_STYLE_VALUE = re.compile(r"[\w\s#.,%'\"-]{1,100}|rgb\([\d\s,.%]{1,30}\)")
_PALE = re.compile(r"white|ivory|snow|azure|mint|ghost|floral|linen|beige|transparent|(?:#?[ef][0-9a-f]?){3}$|rgb\(2[2-5]")


def sanitise(html: str) -> str:
    """Return HTML that may be shown: no script, handler, form, remote image or hidden text; what is too big or deep as text."""
    html = html.replace("\0", "")
    if len(html.encode("utf-8", "replace")) > SAFE_BYTES or _too_deep(html):
        return f"<pre>{entities.escape(html[:HTML_CHARACTERS])}</pre>"
    import nh3  # here: the reader needs it only where HTML is shown

    return nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags={"script", "style", "title", "noscript", "iframe", "object"},
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        link_rel="noopener noreferrer nofollow",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Keep images that came with the mail, and styles that hide nothing."""
    if name == "src":
        return value if value.lower().startswith("cid:") else None
    if name == "href":
        return None if value.lower().startswith("cid:") else value
    return _style(value) if name == "style" else value


def _style(value: str) -> str | None:
    """Keep the declarations we know; pale text on the page's white ground is hidden text."""
    kept = []
    for declaration in value[:2000].split(";"):
        name, _, setting = (part.strip() for part in declaration.partition(":"))
        name, setting = name.lower(), setting.strip()
        if name in _STYLES and _STYLE_VALUE.fullmatch(setting) and not (name == "color" and _PALE.match(setting.lower())):
            kept.append(f"{name}: {setting}")
    return "; ".join(kept) or None


def _too_deep(html: str) -> bool:
    """Say whether more elements are open at once than nh3 can bear."""
    open_now: Counter[str] = Counter()
    depth = 0
    for tag in tags(html):
        if not tag.name or tag.name in _VOID or tag.name in _CLOSES_ITSELF:
            continue
        if not tag.name.startswith("/"):
            open_now[tag.name] += 1
            depth += 1
        elif open_now[tag.name[1:]]:
            open_now[tag.name[1:]] -= 1
            depth -= 1
        if depth > SAFE_DEPTH:
            return True
    return False
