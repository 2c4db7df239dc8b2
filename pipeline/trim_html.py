"""Cut from HTML what mail clients mark as quoted, before text is made of it: the HTML half of trim.py."""

from __future__ import annotations

import re

from pipeline.markup import attributes, tags, to_text, words
from pipeline.trim_tables import FORWARDED

_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
# What clients put around the mail they answer: an element that is cut with its content, or a heading behind which all is quoted.
_MAY_MARK = words("div blockquote span hr table section")
_QUOTES = words("gmail_quote gmail_attr moz-cite-prefix yahoo_quoted protonmail_quote tutanota_quote zmail_extra freemail-quote")
_HEADINGS = words(
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
