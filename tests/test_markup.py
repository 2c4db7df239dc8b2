"""HTML bodies: as text, and without their quotes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from pipeline import markup
from pipeline.markup import to_text
from pipeline.trim_html import without_quotes

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


ON = "On 22 Nov Ann wrote:"
QUOTES = {
    "gmail": f'<div dir="ltr">Yes.</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">{ON}<br></div>'
    '<blockquote class="gmail_quote" style="margin:0"><div>Does it?<div>Ann</div></div></blockquote></div>',
    "gmail of old": f'Yes.<div class="gmail_quote">{ON}<blockquote class="gmail_quote">Does it?</blockquote></div>',
    "apple": f'<div>Yes.</div><div><br><blockquote type="cite"><div>{ON}</div><div>Does it?</div></blockquote></div>',
    "thunderbird": f'Yes.<div class="moz-cite-prefix">{ON}</div><blockquote type="cite" cite="mid:a">Does it?</blockquote>',
    "outlook on the web": 'Yes.<hr><div id="divRplyFwdMsg"><b>From:</b> Ann<br><b>Sent:</b> x</div><div>Does it?</div>',
    "outlook": '<p>Yes.</p><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p>From: Ann</p></div><p>Does it?</p>',
    "outlook of old": "<p>Yes.</p><div style='border:none;border-top:solid #B5C4DF 1.0pt'>From: Ann</div>Does it?",
    "outlook on a telephone": '<p>Yes.</p><div id="ms-outlook-mobile-reference-message">From: Ann</div>Does it?',
    "yahoo": f'<div>Yes.</div><div id="yahoo_quoted_1" class="yahoo_quoted"><div>{ON}</div><div>Does it?</div></div>',
    "proton": f'<div>Yes.</div><div class="protonmail_quote">{ON}<blockquote type="cite">Does it?</blockquote></div>',
    "zimbra": '<div>Yes.</div><hr id="zwchr"><div><b>From: </b>Ann</div><div>Does it?</div>',
    "hotmail": '<div>Yes.</div><hr id="stopSpelling">Date: today<br>From: Ann<br>Does it?',
}


@pytest.mark.parametrize("html", QUOTES.values(), ids=QUOTES)
def test_a_clients_quote_is_cut(html: str) -> None:
    """What each mail client puts around the mail that it answers goes with its attribution."""
    assert to_text(without_quotes(html)).strip() == "Yes."


def test_answers_between_gmails_quotes_stay() -> None:
    """Words that somebody wrote between the quotes are never cut with them."""
    html = (
        '<div class="gmail_quote"><div class="gmail_attr">Ann wrote:</div><blockquote class="gmail_quote">Red?</blockquote>'
        '<div>Yes, red.</div><blockquote class="gmail_quote">Old?</blockquote><div>No, new.</div></div>'
    )
    assert to_text(without_quotes(html)).split("\n") == ["Yes, red.", "No, new."]


@pytest.mark.parametrize(
    "html",
    [
        '<div class="gmail_quote">---------- Forwarded message ---------<br>From: Ann<br><br>On fire.</div>',
        '<div id="divRplyFwdMsg"><b>From:</b> Ann<br><b>Subject:</b> Fire</div><div>On fire.</div>',
        '<div>See:<blockquote class="gmail_quote">On fire.</blockquote></div>',
    ],
)
def test_what_a_mail_is_about_is_not_cut(html: str) -> None:
    """A forward, and an indented stretch of the writer's own, are kept."""
    assert "On fire." in to_text(without_quotes(html))


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


@pytest.mark.parametrize("of", [to_text, without_quotes], ids=lambda of: of.__name__)
@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_is_done_in_time(html: str, of: Callable[[str], str]) -> None:
    """No crafted HTML takes longer than two seconds or grows tenfold."""
    started = time.perf_counter()
    made = of(html)
    assert time.perf_counter() - started < 2
    assert len(made) <= 10 * len(html)


def test_a_huge_body_is_cut() -> None:
    """Text is made of the first two million characters only."""
    assert len(to_text("word " * 1_000_000)) <= markup.HTML_CHARACTERS
