"""HTML that may be shown: no script, handler, form, request or hidden text, and every link says where it leads.

nh3 knows the grammar, we the rules. What comes out is a fixed point: cleaned once more it stays as it is, so a browser
reads what we read. It is made for a white ground. The page finds in it, by classes that no mail can forge:

    img.remote-image    an image that was not fetched: its address in data-remote, its host in the title
    span.link-host      behind a link whose text names another host than the one it leads to: [that host]
"""

from __future__ import annotations

import html as entities
import re
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from pipeline import links
from pipeline.markup import HTML_CHARACTERS, TAGS, tags, to_text, words

SAFE_BYTES = 1024 * 1024
SAFE_DEPTH = 200  # nh3 takes seconds for more
SAFE_TAGS = TAGS  # or what may be one: what `tags` does not read cannot be judged
SAFE_ADDRESSES = 5_000  # of links and images: each is read as a browser would
SAFE_FOSTERED = 5_000  # pieces that stand in a table but in no cell: each is moved, and costs what all before it did
SAFE_REFERENCES = 50_000  # `&`, likewise
SAFE_ATTRIBUTES = 40_000  # of one tag, or what may be one: each is compared with all before it
TEXT_CHARACTERS = 150_000  # shown of what is too big or deep, as text; with every character a reference still within SAFE_BYTES
DECLARATIONS = 1024  # of styles, that are remembered: a mail repeats its few
PASSES = 5
SHRINKING = 3  # of <small> in <small> in ...
CUT = "\n\n[The rest is in the raw mail.]"
REL = "noopener noreferrer nofollow"
REMOTE = "remote:"  # no browser asks for this

_ADDRESSED = re.compile(r"<(?:a|img|image)\b", re.IGNORECASE)
_VOID = words("area base br col embed hr img input link meta param source track wbr")
_CLOSES_ITSELF = words("p li td th tr dt dd option tbody thead tfoot colgroup")
_BETWEEN_CELLS = words("table tbody thead tfoot tr /td /th /tr /tbody /thead /tfoot /caption /colgroup")
_IN_CELLS = words("td th caption /table")
_SHRINK = words("small big sub sup")
_TAGS = words(
    "a abbr address article aside b bdi big blockquote br caption center cite code col colgroup dd del details dfn div dl dt em "
    "figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q s samp section small "
    "span strike strong sub summary sup table tbody td tfoot th thead tr tt u ul var"
)
_ATTRIBUTES = {
    "*": {"dir", "lang", "align", "style"},
    "a": {"href"},
    "img": {"src", "data-remote", "alt", "width", "height"},
    "font": {"color", "face"},
    "col": {"span"},
    "ol": {"start", "type"},
    "td": {"colspan", "rowspan", "valign"},
    "th": {"colspan", "rowspan", "valign"},
    "table": {"border", "cellpadding", "cellspacing"},
}
_PIECES = re.compile(r"(<[^>]*>)")  # nh3 writes every other < and > as a reference
_PAIRS = re.compile(r'([a-z-]+)="([^"]*)"')
_BARE_AMPERSAND = re.compile(r"&(?![A-Za-z#])")
_EDGES = words("br p div td th li tr hr h1 h2 h3 h4 h5 h6 blockquote pre dd dt")  # the text of a link breaks here
_DOTS = re.compile(r"[01](?:px)?", re.IGNORECASE)  # the size of an image that only counts its readers
_PICTURE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|bmp);base64,[A-Za-z0-9+/=\s]+", re.IGNORECASE)

Rule = Callable[[str], str | None]


def sanitise(html: str) -> str:
    """Return HTML that may be shown; what is too big or deep as its text. A result is a fixed point."""
    source = shown = html.replace("\0", "").encode("utf-8", "replace").decode()
    for _ in range(PASSES):
        if _too_much(shown):
            break
        before, shown = shown, _finished(_cleaned(shown))
        if shown == before:
            return shown
    return _as_text(source)


def _cleaned(html: str) -> str:
    import nh3  # here: the reader needs it only where HTML is shown

    return nh3.clean(
        _BARE_AMPERSAND.sub("&amp;", html),
        tags=set(_TAGS),
        clean_content_tags={"script", "style", "title", "noscript", "iframe", "noembed", "noframes", "template"},
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        set_tag_attribute_values={"details": {"open": ""}},
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel=None,
    )


def _as_text(html: str) -> str:
    text = to_text(html[:HTML_CHARACTERS]).replace("\r", "\n").strip("\n")
    if len(text) > TEXT_CHARACTERS:
        text = text[: TEXT_CHARACTERS - len(CUT)].rstrip() + CUT
    return f"<pre>{entities.escape(text, quote=False).replace(chr(0xA0), '&nbsp;')}</pre>"


# -- attributes ------------------------------------------------------------------------------------------------------


def _matching(pattern: str) -> Rule:
    fits = re.compile(pattern, re.IGNORECASE).fullmatch
    return lambda value: value if fits(value) else None


def _href(value: str) -> str | None:
    link = links.read(value)
    return link.href if link else None


def _remote(value: str) -> str | None:
    """Return the address of an image that may be fetched later, at the reader's wish."""
    if _PICTURE.fullmatch(value):
        return value
    link = links.read(value)
    return link.href if link and link.href.startswith("http") else None


def _src(value: str) -> str | None:
    """Keep an image that came with the mail by its plain Content-ID (RFC 2392); set aside any other."""
    scheme, _, name = value.strip().partition(":")
    if scheme.lower() == "cid":
        plain = unquote(name)
        return f"cid:{name if '%' in plain else plain}"
    address = _remote(value)
    return REMOTE + address if address else None


def _dark(value: str) -> str | None:
    """Keep a colour that can be read on white; pale text would be hidden text."""
    value = value.strip().lower()
    if value in _DARK:
        return value
    if _HEX.fullmatch(value):
        digits = value.removeprefix("#")
        pairs = re.findall("..", digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))
        return value if _is_dark([int(pair, 16) for pair in pairs]) else None
    found = _RGB.fullmatch(value)
    return value if found and _is_dark([min(int(number), 255) for number in found.groups()]) else None


def _is_dark(channels: list[int]) -> bool:
    """Ask for half the contrast that a heading needs (WCAG 2.2, 1.4.3)."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05) >= 2


def _white_space(value: str) -> str | None:
    """Lines that do not wrap end outside the page."""
    return {"pre": "pre-wrap", "pre-wrap": "pre-wrap", "pre-line": "pre-line", "break-spaces": "pre-wrap"}.get(value.lower())


_HEX = re.compile(r"#?[0-9a-f]{6}|#[0-9a-f]{3}")
_RGB = re.compile(r"rgb\(\s*(\d{1,3})\s*[,\s]\s*(\d{1,3})\s*[,\s]\s*(\d{1,3})\s*\)")
_DARK = words(
    "black blue blueviolet brown chocolate cornflowerblue crimson darkblue darkcyan darkgoldenrod darkgray darkgreen darkgrey "
    "darkmagenta darkolivegreen darkorange darkorchid darkred darkslateblue darkslategray darkslategrey darkviolet deeppink "
    "dimgray dimgrey dodgerblue firebrick forestgreen fuchsia gray green grey hotpink indianred indigo magenta maroon "
    "mediumblue mediumorchid mediumpurple mediumvioletred midnightblue navy olive olivedrab orangered orchid peru purple "
    "rebeccapurple red rosybrown royalblue saddlebrown seagreen sienna slateblue slategray slategrey steelblue teal tomato"
)
_FAMILY = _matching(r"[\w\s,'\"-]{1,200}")
_STYLES: dict[str, Rule] = {
    "color": _dark,
    "font-weight": _matching("normal|bold|bolder|lighter|[1-9]00"),
    "font-style": _matching("normal|italic|oblique"),
    "font-family": _FAMILY,
    "text-align": _matching("left|right|center|justify|start|end"),
    "text-decoration": _matching("none|(?:underline|line-through|overline|solid|dotted|dashed|double|wavy| ){1,60}"),
    "vertical-align": _matching("baseline|sub|super|top|middle|bottom|text-top|text-bottom"),
    "white-space": _white_space,
}


def _style(value: str) -> str | None:
    """Keep the declarations that we know and that hide nothing; the last of a name counts."""
    kept: dict[str, str] = {}
    for declaration in value[:2000].split(";"):
        name, fit = _declared(declaration)
        if fit:
            kept[name] = fit
    return "; ".join(f"{name}: {fit}" for name, fit in kept.items()) or None


@lru_cache(DECLARATIONS)
def _declared(declaration: str) -> tuple[str, str | None]:
    """Return a declaration's name, and its value if that may be shown."""
    name, _, setting = declaration.partition(":")
    name = name.strip().lower()
    rule = _STYLES.get(name)
    return name, rule(setting.strip().removesuffix("!important").strip()) if rule else None


_COUNT, _WIDTH = _matching(r"\d{1,3}"), _matching(r"\d{1,2}")
_SIZE = _matching(r"\d{1,4}%?")
_RULES: dict[str, Rule] = {
    "href": _href,
    "src": _src,
    "data-remote": _remote,
    "style": _style,
    "color": _dark,
    "face": _FAMILY,
    "dir": _matching("ltr|rtl|auto"),
    "lang": _matching("[a-z0-9-]{1,35}"),
    "align": _matching("left|right|center|justify|top|middle|bottom"),
    "valign": _matching("top|middle|bottom|baseline"),
    **dict.fromkeys(("colspan", "rowspan", "span"), _COUNT),
    **dict.fromkeys(("border", "cellpadding", "cellspacing"), _WIDTH),
    **dict.fromkeys(("width", "height"), _SIZE),
    "start": _matching(r"-?\d{1,6}"),
    "type": _matching("[ai1]"),
    "alt": lambda value: value,
    "open": lambda value: "",
}


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Return an attribute's value as it may be shown; None takes it away. nh3 asks for tags that will go, too."""
    rule = _RULES.get(name)
    return rule(value) if rule else None


# -- what is said about links and images -----------------------------------------------------------------------------


def _finished(html: str) -> str:
    """Write what nh3 cleaned with marks at links and images."""
    writer = _Writer(_PIECES.split(html))
    while writer.at < len(writer.pieces):
        writer.step()
    return "".join(writer.out)


class _Writer:
    """Copy pieces of cleaned HTML: text and tags, in turn."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.at = 0
        self.out: list[str] = []
        self.links: list[tuple[links.Link | None, list[str]]] = []  # those open, each with its text
        self.shrinking: list[bool] = []  # each open element that makes text smaller: is it kept?

    def step(self) -> None:
        piece = self.pieces[self.at]
        self.at += 1
        if not piece.startswith("<"):
            self.out.append(piece)
            if self.links:
                self._read(entities.unescape(piece))
            return
        name = piece[1:-1].partition(" ")[0]
        if name.lstrip("/") in _EDGES:
            self._read(" ")
        writes = _WRITES.get(name)
        if writes:
            writes(self, dict(_PAIRS.findall(piece)))
        elif name.lstrip("/") not in _SHRINK or self._shrinks(name):
            self.out.append(piece)

    def _read(self, text: str) -> None:
        if self.links:
            self.links[-1][1].append(text)

    def _link(self, given: dict[str, str]) -> None:
        link = links.read(entities.unescape(given.pop("href", "")))
        self.links.append((link, []))
        if link:
            given = {"href": entities.escape(link.href), "rel": REL, "target": "_blank", "title": _quoted(link.label), **given}
        self.out.append(_tag("a", given))

    def _link_ends(self, given: dict[str, str]) -> None:
        """End a link; where its text names another host, say where it leads, once."""
        self.out.append("</a>")
        link, text = self.links.pop() if self.links else (None, [])
        if link is None or not links.deceives(link, "".join(text)):
            return
        label = entities.escape(f"[{link.label}]", quote=False).replace(chr(0xA0), "&nbsp;")
        self.out.append(f' <span class="link-host">{label}</span>')
        if self.pieces[self.at : self.at + 4] == [" ", "<span>", label, "</span>"]:
            self.at += 4

    def _image(self, given: dict[str, str]) -> None:
        """Write an image without its address if that is not the mail's own; one that only counts readers loses it."""
        self._read(entities.unescape(given.get("alt", "")))
        source = given.pop("src", "")
        remote = source.removeprefix(REMOTE) if source.startswith(REMOTE) else given.pop("data-remote", "")
        given.pop("data-remote", None)
        if source.startswith("cid:"):
            given = {"src": source, **given}
        elif remote and not any(_DOTS.fullmatch(given.get(side, "")) for side in ("width", "height")):
            link = links.read(entities.unescape(remote))
            title = f"image from {link.label}" if link else "image in the text of the mail"
            given = {"data-remote": remote, "class": "remote-image", "title": _quoted(title), **given}
        self.out.append(_tag("img", given))

    def _pre(self, given: dict[str, str]) -> None:
        """Keep the first empty line: a parser drops a line end right behind this tag, and nh3 forgets to write it twice."""
        self.out.append(_tag("pre", given) + ("\n" if self.pieces[self.at].startswith("\n") else ""))

    def _shrinks(self, name: str) -> bool:
        """Say whether such a tag is kept: text in <small> in <small> and so on would vanish, in <sup> leave its line."""
        if name.startswith("/"):
            return self.shrinking.pop() if self.shrinking else False
        self.shrinking.append(len(self.shrinking) < SHRINKING)
        return self.shrinking[-1]


_WRITES: dict[str, Callable[[_Writer, dict[str, str]], None]] = {
    "a": _Writer._link,
    "/a": _Writer._link_ends,
    "img": _Writer._image,
    "pre": _Writer._pre,
}


def _tag(name: str, given: dict[str, str]) -> str:
    return "<" + " ".join([name, *(f'{key}="{value}"' for key, value in given.items())]) + ">"


def _quoted(text: str) -> str:
    return entities.escape(text, quote=False).replace('"', "&quot;").replace(chr(0xA0), "&nbsp;")


# -- what nh3 cannot bear --------------------------------------------------------------------------------------------


def _too_much(html: str) -> bool:
    """Say whether nh3 would need long: size, references, depth of open elements, text between the cells of tables."""
    if len(html) > SAFE_BYTES or len(html.encode()) > SAFE_BYTES:
        return True
    if html.count("<") > SAFE_TAGS or html.count("&") > SAFE_REFERENCES:
        return True
    if len(_ADDRESSED.findall(html)) > SAFE_ADDRESSES:
        return True
    open_now: defaultdict[str, int] = defaultdict(int)
    depth = fostered = 0
    between_cells = False
    for name, start, end in tags(html):
        if name in _BETWEEN_CELLS or name in _IN_CELLS:
            between_cells = name in _BETWEEN_CELLS
        elif between_cells and name != "!" and (name or html[start:end].strip()):
            fostered += 1
        if name and name != "!" and name not in _VOID and name.removeprefix("/") not in _CLOSES_ITSELF:
            if not name.startswith("/"):
                open_now[name] += 1
                depth += 1
            elif open_now[name[1:]]:
                open_now[name[1:]] -= 1
                depth -= 1
        if depth > SAFE_DEPTH or fostered > SAFE_FOSTERED:
            return True
        if end - start > SAFE_ATTRIBUTES and _attributes_at_most(html[start:end]) > SAFE_ATTRIBUTES:
            return True
    return False


def _attributes_at_most(tag: str) -> int:
    """Return a bound of the attributes of a tag: what may stand between two of them, or in one."""
    return len(tag.split()) + tag.count("/") + tag.count("=") if tag.startswith("<") else 0
