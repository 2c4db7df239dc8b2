"""HTML that may be shown: no script, handler, form, remote image or hidden text (nh3 knows the grammar, we the rules)."""

from __future__ import annotations

import html as entities
import re
from collections import Counter

from pipeline.markup import HTML_CHARACTERS, tags, words

SAFE_BYTES = 256 * 1024  # nh3 takes seconds for more
SAFE_DEPTH = 200

_VOID = words("area base br col embed hr img input link meta param source track wbr")
_CLOSES_ITSELF = words("p li td th tr dt dd option tbody thead tfoot colgroup")
_TAGS = words(
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
_STYLES = words("color font-weight font-style font-family text-align text-decoration vertical-align white-space")
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
