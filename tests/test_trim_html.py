"""Quotes in HTML, as each mail client marks them: cut before text is made, and kept where somebody wrote between them."""

from __future__ import annotations

import time

import pytest

from pipeline.markup import to_text
from pipeline.trim import new_text
from pipeline.trim_html import without_quotes

ON = "On 22 Nov 2026 at 07:31 Ann Example wrote:"
HEADERS = "<b>From:</b> Ann &lt;ann@example.com&gt;<br><b>Sent:</b> Sunday, November 22, 2026<br><b>Subject:</b> Printer<br>"
Q = "Does it?"
QUOTES = {
    "gmail": f'<div dir="ltr">Yes.</div><br><div class="gmail_quote gmail_quote_container"><div class="gmail_attr">{ON}<br></div>'
    f'<blockquote class="gmail_quote" style="margin:0"><div>{Q}<div>Ann</div></div></blockquote></div>',
    "gmail of old": f'Yes.<div class="gmail_extra"><div class="gmail_quote">{ON}<blockquote class="gmail_quote">{Q}'
    f"</blockquote></div></div>",
    "apple": f'<div>Yes.</div><div><br><blockquote type="cite"><div>{ON}</div><div>{Q}</div></blockquote></div>',
    "iphone": f'Yes.<div>Sent from my iPhone</div><blockquote type="cite">{ON}<br></blockquote>'
    f'<blockquote type="cite">{Q}</blockquote>',
    "thunderbird": f'Yes.<div class="moz-cite-prefix">{ON}</div><blockquote type="cite" cite="mid:a">{Q}</blockquote>',
    "outlook": f'<p>Yes.</p><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p>{HEADERS}</p></div><p>{Q}</p>',
    "outlook of old": f"<p>Yes.</p><div style='border:none;border-top:solid #B5C4DF 1.0pt'>From: Ann</div>{Q}",
    "outlook quoted by another": f"<p>Yes.</p>"
    f'<div style="border-width: 1pt medium medium; border-style: solid none none; padding: 3pt">'
    f"{HEADERS}</div>{Q}",
    "outlook on the web": f'Yes.<div id="appendonsend"></div><hr><div id="divRplyFwdMsg">{HEADERS}</div><div>{Q}</div>',
    "outlook on the web, again": f'Yes.<hr tabindex="-1"><div id="x_x_divRplyFwdMsg">{HEADERS}</div><div>{Q}</div>',
    "outlook on a telephone": f'<p>Yes.</p><div class="ms-outlook-mobile-reference-message skipProofing">{HEADERS}</div>{Q}',
    "outlook on a mac": f'<p>Yes.</p><div id="mail-editor-reference-message-container">{HEADERS}{Q}</div>',
    "outlook on a mac of old": f'<div>Yes.</div><span id="OLK_SRC_BODY_SECTION">{HEADERS}{Q}</span>',
    "hotmail": f'<div>Yes.</div><hr id="stopSpelling">Date: today<br>From: Ann<br>{Q}',
    "yahoo": f'<div>Yes.</div><div id="yahoo_quoted_1" class="yahoo_quoted"><div>{ON}</div><div>{Q}</div></div>',
    "yahoo, again": f'<div>Yes.</div><div id="yiv12yahoo_quoted_1" class="yiv12yahoo_quoted"><div>{ON}</div><div>{Q}</div></div>',
    "proton": f'<div>Yes.</div><div class="protonmail_quote">{ON}<blockquote type="cite">{Q}</blockquote></div>',
    "tutanota": f"<div>Yes.</div><div>22 Nov 2026, 07:31 by ann@example.com:</div>"
    f'<blockquote class="tutanota_quote">{Q}</blockquote>',
    "zimbra": f'<div>Yes.</div><hr id="zwchr"><div><b>From: </b>Ann</div><div>{Q}</div>',
    "zoho": f'<div>Yes.</div><div class="zmail_extra"><div>---- On Sun, Ann wrote ----</div><blockquote>{Q}</blockquote></div>',
    "fastmail": f"<div>Yes.</div><div>On Sun, Nov 22, 2026, at 7:31 AM, Ann wrote:</div>"
    f'<blockquote type="cite" id="qt">{Q}</blockquote>',
    "front": f'<div>Yes.</div><blockquote type="cite" class="front-blockquote">{ON}<br>{Q}</blockquote>',
    "mailspring": f'<div>Yes.</div><div class="gmail_quote nylas-quote">{ON}<blockquote class="gmail_quote">{Q}'
    f"</blockquote></div>",
    "spark": f'<div name="messageBodySection">Yes.</div><div name="messageReplySection">{ON}<blockquote>{Q}</blockquote></div>',
    "em client": f'<div>Yes.</div><div>------ Original Message ------</div><div>From "Ann"</div>'
    f'<blockquote type="cite">{Q}</blockquote>',
    "samsung": f"<div>Yes.</div><div>-------- Original message --------</div><div>From: Ann </div><div>Date: 22/11/2026"
    f"</div><div>{Q}</div>",
    "mail.ru": '<div>Yes.</div><blockquote style="border-left:1px solid #0857A6">Воскресенье, 22 ноября 2026, 7:31 +03:00 от Ann '
    f"&lt;ann@example.com&gt;:<div>{Q}</div></blockquote>",
    "yandex": f'<div>Yes.</div><div>22.11.2026, 07:31, "Ann" &lt;ann@example.com&gt;:</div><blockquote><div>{Q}</div>'
    f"</blockquote>",
    "qq": f"<div>Yes.</div><div>------------------&nbsp;原始邮件&nbsp;------------------</div><div>发件人: A</div>{Q}",
    "netease": '<div>Yes.</div><div>At 2026-11-22 07:31:00, "Ann" &lt;ann@example.com&gt; wrote:</div>'
    f'<blockquote id="isReplyContent">{Q}</blockquote>',
    "gmx and web.de": f'<div>Yes.</div><div name="quote"><div>{HEADERS}</div><div name="quoted-content">{Q}</div></div>',
    "roundcube": f'<p>Yes.</p><p id="v1reply-intro">{ON}</p><blockquote type="cite">{Q}</blockquote>',
    "horde": f'<p>Yes.</p><p>Quoting Ann &lt;ann@example.com&gt;:</p><blockquote type="cite">{Q}</blockquote>',
    "lotus": f"<font>Yes.</font><table><tr><td>From:<td>Ann<tr><td>To:<td>Bob<tr><td>Date:<td>22.11.2026<tr>"
    f"<td>Subject:<td>P</table>{Q}",
    "hubspot": f'<p>Yes.</p><div class="hs_reply"><p>{ON}</p><blockquote>{Q}</blockquote></div>',
    "freshdesk": f'<div>Yes.</div><div class="freshdesk_quote"><blockquote>{ON}<br>{Q}</blockquote></div>',
    "zendesk": f"<div>Yes.</div><p>{ON}</p><div>##- Please type your reply above this line -##</div><div>{Q}</div>",
    "a line and headers": f"<div>Yes.</div><hr>{HEADERS}{Q}",
    "a border and headers": f'<div>Yes.</div><div style="border-top: 1px solid #ccc"><b>Von:</b> Ann<br><b>Datum:'
    f"</b> heute</div>{Q}",
}


def reply(html: str, forwarded: bool | None = None) -> str:
    return new_text(to_text(without_quotes(html, forwarded), quotes=True), forwarded)


@pytest.mark.parametrize("html", QUOTES.values(), ids=QUOTES)
def test_a_clients_quote_is_cut(html: str) -> None:
    """What each mail client puts around the mail that it answers goes with its attribution."""
    assert reply(html).strip() == "Yes."


INLINE = {
    "gmail": '<div class="gmail_quote"><div class="gmail_attr">Ann wrote:</div><blockquote class="gmail_quote">Red?</blockquote>'
    '<div>Yes, red.</div><blockquote class="gmail_quote">Old?</blockquote><div>No, new.</div></div>',
    "apple": f'<div>{ON}</div><blockquote type="cite">Red?</blockquote><div>Yes, red.</div><blockquote type="cite">Old?'
    f"</blockquote>"
    "<div>No, new.</div>",
}


@pytest.mark.parametrize("html", INLINE.values(), ids=INLINE)
def test_answers_between_quotes_stay_below_what_they_answer(html: str) -> None:
    """Words that somebody wrote between the quotes are never cut with them, and each stands below its question."""
    lines = [line for line in reply(html).split("\n") if line.strip("> ")]
    assert lines == ["> Red?", "Yes, red.", "> Old?", "No, new."]


def test_an_answer_below_the_quote_stays() -> None:
    """A single quote goes, also where the answer stands below it."""
    assert reply(f'<div class="moz-cite-prefix">{ON}</div><blockquote type="cite">{Q}</blockquote><p>Yes.</p>') == "Yes."


@pytest.mark.parametrize(
    "html",
    [
        '<div class="gmail_quote">---------- Forwarded message ---------<br>From: Ann<br><br>On fire.</div>',
        '<div id="divRplyFwdMsg"><b>From:</b> Ann<br><b>Subject:</b> Fire</div><div>On fire.</div>',
        '<div>See:<blockquote class="gmail_quote">On fire.</blockquote></div>',
        "<div>Above</div><hr><div>On fire.</div>",
        '<div>Above</div><div style="border-top:1px solid #ccc">On fire.</div>',
    ],
)
def test_what_a_mail_is_about_is_not_cut(html: str) -> None:
    """A forward, an indented stretch of the writer's own, and what stands below a line are kept."""
    assert "On fire." in to_text(without_quotes(html))


def test_a_forward_by_its_subject_is_not_cut() -> None:
    """Outlook says only in the subject that it forwards: what it heads stays then."""
    html = f'<div>See below.</div><hr><div id="divRplyFwdMsg">{HEADERS}</div><div>On fire.</div>'
    assert (without_quotes(html, True), "On fire." in reply(html, True)) == (html, True)
    assert reply(html, False) == "See below."


HOSTILE = {
    "nested div": "<div>" * 52_000,
    "less than": "<" * 256_000,
    "links without quotes": "<a " * 80_000,
    "blockquotes": "x<blockquote type=cite>" * 20_000,
    "answers": "<blockquote type=cite>x</blockquote>y" * 7_000,
    "gmail": "<div class=gmail_quote>---- Forwarded message" * 6000,
    "lines": "<hr>From: a<br>" * 20_000,
    "borders": '<div style="border-top:1px solid">From: a@b' * 6_000,
    "names": '<div class="' + "x_" * 100_000 + '">x',
    "many names": '<div class="x_a x_b x_c yiv1_1">' * 8_000,
    "styles": '<p style="' + "border-style:solid none none;" * 9_000 + '">x</p>',
    "closing": "</div>" * 40_000,
}


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_is_cut_in_time(html: str) -> None:
    """No crafted HTML takes longer than two seconds or grows."""
    started = time.process_time()
    made = without_quotes(html)
    assert time.process_time() - started < 2
    assert len(made) <= 2 * len(html)
