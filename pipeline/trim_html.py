"""Cut from HTML what mail clients mark as quoted, before text is made of it: the HTML half of trim.py."""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

from pipeline import trim_tables as tables
from pipeline.markup import Tag, attributes, says_something, tags, unescaped, words

_SPACES = re.compile(r"[ \t\r\n\f\v\xa0]+")
# What clients put around the mail they answer, by class, id or name: an element that is cut with its content ...
_MAY_MARK = words("div blockquote span hr table section p")
_QUOTES = words(
    "gmail_quote gmail_attr moz-cite-prefix reply-intro yahoo_quoted yahoo-quoted-begin protonmail_quote tutanota_quote "
    "zmail_extra blockquote_zmail freemail-quote nylas-quote mailspring-quote front-blockquote spark_quote messagereplysection "
    "freshdesk_quote missive_quote cm_quote history_container clean_bq airmail_on canaryblockquote hs_reply bluemail_quote "
    "mail-app-auto-quote mailrucite isreplycontent ntes-mailmaster-quote ntes-pcmail-quote quoted-content quote __quoted_text__ "
    "-x-evo-quoted aolreplacedbody replyheader quoted_header"
)
# ... or a heading behind which all is quoted.
_HEADINGS = words(
    "divrplyfwdmsg olk_src_body_section appendonsend stopspelling zwchr mail-editor-reference-message-container "
    "ms-outlook-mobile-reference-message edo-original xm_mail_oringinal_describe"
)
_NAMES = ("class", "id", "name", "data-marker")
_RENAMED = re.compile(r"^(?:x_|ecx|yiv\d{1,12}|m_-?\d{1,30})+|[_-]?\d{1,40}$")  # by a client that quoted the mail again
_OUTLOOK_BORDER = re.compile(
    r"border-top:solid(?:windowtext|#?[a-z0-9]+|rgb\([\d,]{5,11}\))1(?:\.0)?pt|border-style:solidnonenone;.{0,90}1(?:\.0)?pt"
    r"|border-width:1(?:\.0)?ptmedium(?:medium)?;.{0,20}border-style:solidnone|border-top:1(?:\.0)?ptsolid"
)
_LINE_ABOVE = re.compile(r"border-top:(?:1px)?solid|border-top:1px")
_MARKUP = re.compile(r"<[^<>]*>")
_LABEL = re.compile(r"([^:：]{1,60})[:：]")
_NEAR = 1500  # characters: a forward's marker, or the quote that belongs to an attribution
_HEAD = 400  # characters of text in which header lines are looked for
_LOOKS = 100  # at what stands below a line, or in a quote, of one mail


class _Piece(NamedTuple):
    """A stretch of the source, the writer's own or a quote."""

    html: str
    quoted: bool = False


def without_quotes(html: str, forwarded: bool | None = None) -> str:
    """Cut what mail clients mark as quoted; a forward is kept, and so are quotes between answers, marked as cited."""
    return html if forwarded else _Cutter(html).run()


class _Cutter:
    """Go through the tags once and part the writer's own from quotes."""

    def __init__(self, html: str) -> None:
        self.html = html
        self.pieces: list[_Piece] = []
        self.at = 0  # where the piece began that is being read
        self.cutting = ""  # the element that is a quote, and how deep we are in such ones
        self.depth = 0
        self.gmail = False
        self.looks = 0

    def run(self) -> str:
        for tag in tags(self.html):
            if self.cutting:
                self._read_quote(tag)
                continue
            name, start, end = tag
            if name not in _MAY_MARK:
                continue
            given = attributes(self.html[start:end])
            names = _names(given) if given else set()
            if (name == "hr" or given) and self._is_heading(tag, given, names):
                above = _put_together([*self.pieces, _Piece(self.html[self.at : start])])
                return above if says_something(above) else self.html
            if given and self._is_quote(tag, given, names):
                self._begin_quote(tag, names)
        return _put_together(self.pieces if self.cutting else [*self.pieces, _Piece(self.html[self.at :])])

    def _read_quote(self, tag: Tag) -> None:
        name, _, end = tag
        if name == self.cutting:
            self.depth += 1
        elif name == f"/{self.cutting}":
            self.depth -= 1
            if self.depth == 0:
                if self.cutting == "blockquote":  # others hold an attribution, or more than one mail
                    self.pieces.append(_Piece(self.html[self.at : end], quoted=True))
                self.cutting, self.at = "", end

    def _begin_quote(self, tag: Tag, names: set[str]) -> None:
        name, start, _ = tag
        self.pieces.append(_Piece(self.html[self.at : start]))
        self.cutting, self.depth, self.at = name, 1, start
        if name == "div" and "gmail_quote" in names:
            self.gmail = True  # answers may stand between its blockquotes: cut the attribution and the first of them only
            if "<blockquote" in self._next(tag, _NEAR).lower():
                self.cutting, self.depth = "blockquote", 0

    def _next(self, tag: Tag, length: int) -> str:
        end = tag[2]
        return self.html[end : end + length]

    def _is_heading(self, tag: Tag, given: dict[str, str], names: set[str]) -> bool:
        style = given.get("style", "").replace(" ", "")
        if not _HEADINGS.isdisjoint(names) or _OUTLOOK_BORDER.search(style):
            return True
        if tag[0] != "hr" and not _LINE_ABOVE.search(style):
            return False
        self.looks += 1
        return self.looks < _LOOKS and _has_headers(self._next(tag, 2 * _NEAR))

    def _is_quote(self, tag: Tag, given: dict[str, str], names: set[str]) -> bool:
        known = _QUOTES & names
        if tag[0] == "blockquote":  # Gmail uses its class for mere indentation, too
            known = known if self.gmail else known - {"gmail_quote"}
            if not known and given.get("type") != "cite":
                return False
        elif not known:
            return False
        self.looks += 1
        return not (self.looks < _LOOKS and _is_forward(self._next(tag, _NEAR)))


def _put_together(pieces: list[_Piece]) -> str:
    """Join the writer's own; where several quotes are answered, with the quotes, so that each stands above its answer."""
    quotes = [at for at, piece in enumerate(pieces) if piece.quoted]
    answered = (at for at in quotes if at + 1 < len(pieces) and says_something(pieces[at + 1].html))
    if len(quotes) < 2 or len(list(islice(answered, 2))) < 2:
        return "".join(piece.html for piece in pieces if not piece.quoted)
    return "".join(_cited(piece.html) if piece.quoted else piece.html for piece in pieces)


def _cited(html: str) -> str:
    start = html.lower().find("<blockquote")
    end = html.find(">", start) + 1
    return f'<blockquote type="cite">{html[end:]}' if start >= 0 and end else html


def _names(given: dict[str, str]) -> set[str]:
    """Return by what names an element goes, without what other clients put before or behind them."""
    written = " ".join([given[key] for key in _NAMES if key in given]).split()
    return {_RENAMED.sub("", name) for name in written[:20]}


def _has_headers(html: str) -> bool:
    """Say whether the text begins with header lines like From and Date, or with "Original Message" between dashes."""
    text = unescaped(_SPACES.sub(" ", _MARKUP.sub(" ", html)))[:_HEAD].strip()
    if tables.ORIGINAL.match(text.lstrip(f"{tables.DASHES} ")):
        return True
    kinds = [_kind_at_end(found[1]) for found in _LABEL.finditer(text)]
    return bool(kinds) and kinds[0] in ("from", "sent", "subject") and len(set(kinds) - {None}) > 1


def _kind_at_end(text: str) -> str | None:
    """Return the kind of the header whose label ends a text."""
    ends = text.split()[-3:]
    return next((kind for at in range(len(ends)) if (kind := tables.LABELS.get(tables.label("".join(ends[at:]))))), None)


def _is_forward(html: str) -> bool:
    return bool(tables.FORWARDED.search(_SPACES.sub(" ", _MARKUP.sub(" ", html))[:_HEAD]))
