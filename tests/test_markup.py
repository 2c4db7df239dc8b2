"""HTML bodies as text."""

from __future__ import annotations

import re
import time

import pytest

from pipeline import markup
from pipeline.markup import to_text

TEXTS = {
    "paragraphs": ("<p>one</p><p>two</p>", "one\n\ntwo"),
    "blocks": ("<div>one</div><div>two<br>three</div>", "one\ntwo\nthree"),
    "empty line": ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
    "white space": ("  one \n\n   two\t three ", "one two three"),
    "entities": ("a &lt;b&gt; &amp; &eacute;&nbsp;&#8364; &#x1F600;", "a <b> & é € 😀"),
    "link": ('see <a href="https://example.com/x">the page</a>.', "see the page."),
    "list": ("<ul><li>one<li>two</ul>", "- one\n- two"),
    "table": ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
    "script and style": ("a<script>if (1 < 2) x()</script><style>p{}</style>b", "ab"),
    "head": ("<html><head><title>t</title><meta x></head><body>text</body></html>", "text"),
    "head without its end": ("<head><title>t</title><body>text", "text"),
    "comment": ("a<!-- b --><![if !mso]>c<![endif]>", "ac"),
    "comment without its end": ("a<!-- b", "a b"),
    "greater in a quoted value": ('<a title="a > b">x</a>', "x"),
    "quote that never closes": ('<a title="a>x</a> and more', "x and more"),
    "less than in text": ("1 < 2 and 3<4", "1 < 2 and 3<4"),
    "a heart": ("I <3 you </3 a lot <", "I <3 you </3 a lot <"),
    "pre": ("<pre>a\n  b\n</pre>c", "a\n  b\n\nc"),
    "upper case": ("<P>A</P><BR><DIV>B</DIV>", "A\n\n\nB"),
    "unclosed": ("<div><b>a<div>b", "a\nb"),
    "huge number": ("&#" + "1" * 5000 + ";x", "&#" + "1" * 5000 + ";x"),
    "NUL and surrogates": ("a\0b\ud800c&#xD800;", "abc\ufffd"),
    "empty": ("", ""),
}


@pytest.mark.parametrize(("html", "text"), TEXTS.values(), ids=TEXTS)
def test_html_becomes_text(html: str, text: str) -> None:
    """Blocks are lines, words stay, what nobody sees goes."""
    assert to_text(html) == text


def test_quotes_can_be_marked() -> None:
    """Lines of a quoted blockquote begin with `> `, once for each level."""
    html = "Yes.<blockquote type=cite>Really?<blockquote type=cite>It works.</blockquote></blockquote>Sure."
    assert re.sub(r"\n[> ]*(?=\n)", "", to_text(html, quotes=True)) == "Yes.\n> Really?\n> > It works.\nSure."


HOSTILE = {
    "nested div": "<div>" * 52_000,
    "less than": "<" * 256_000,
    "comments": "<!--" * 64_000,
    "links": '<a href="' * 50_000,
    "links without quotes": "<a " * 80_000,
    "scripts": "<script>" * 40_000,
    "blockquotes": "x<blockquote type=cite>" * 20_000,
    "gmail": "<div class=gmail_quote>---- Forwarded message" * 6000,
    "attributes": "<div " + "a=b " * 60_000 + ">",
    "number": "&#" + "1" * 200_000,
    "ampersands": "&" * 256_000,
    "styles": '<p style="' + "color:red;" * 20_000 + '">x</p>',
    "mixed quotes": "<a href='\"" * 50_000,
    "tables": "<table><td>" * 20_000,
    "closing": "</div>" * 40_000,
    "formatting": "<a><b><i></a>" * 15_000,
}


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_becomes_text_in_time(html: str) -> None:
    """No crafted HTML takes longer than two seconds or grows tenfold."""
    started = time.process_time()
    made = to_text(html)
    assert time.process_time() - started < 2
    assert len(made) <= 10 * len(html)


def test_a_huge_body_is_cut() -> None:
    """Text is made of the first two million characters only."""
    assert len(to_text("word " * 1_000_000)) <= markup.HTML_CHARACTERS
