"""Rules and queues: what a file says and where it is wrong, what holds of a mail, and what is decided."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rules
from pipeline.errors import SettingsError
from pipeline.letter import Address, Attachment, Kind, Mail
from pipeline.mime import read_mail
from pipeline.rules import Facts, Ruleset
from pipeline.rules.actions import ACTIONS
from pipeline.rules.conditions import CONDITIONS
from pipeline.rules.facts import fold
from pipeline.rules.schema import QUEUE
from pipeline.rules.source import Source
from pipeline.rules.texts import ASKS, has_word

from .conftest import CI, ROOT

NOON = "2026-11-25T12:00:00+00:00"  # a Wednesday
PAGE = ROOT / "docs" / "rules.md"
EXAMPLE = ROOT / "config" / "rules.toml"


@pytest.fixture(scope="module")
def re2() -> Any:
    """Patterns need google-re2; in CI its absence is a failure."""
    if not CI:
        pytest.importorskip("re2", reason="google-re2 is not installed: pip install google-re2")


def needs_re2(condition: str) -> None:
    """Skip a row of a table that holds a regular expression, where there is no engine for it."""
    if ("matches" in condition or "pattern" in condition) and not CI:
        pytest.importorskip("re2", reason="google-re2 is not installed: pip install google-re2")


def ruleset(text: str, **options: Any) -> Ruleset:
    return rules.parse(text.encode(), **options)


def problems(text: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        rules.parse(text if isinstance(text, bytes) else text.encode(), **options)
    return caught.value.problems


def rule(when: str, then: str = 'tags = "t"', name: str = "r", more: str = "") -> str:
    """Write a rule."""
    return f'[[rule]]\nname = "{name}"\n{more}\n[rule.when]\n{when}\n[rule.then]\n{then}\n'


def pdf(**changes: Any) -> Attachment:
    part = Attachment("invoice-7.pdf", "application/pdf", 5000, "", False, None, "2", 0, 0, "base64")
    return dataclasses.replace(part, **changes)


LOGO = pdf(filename="logo.png", content_type="image/png", size=900, inline=True)


def mail(**changes: Any) -> Mail:
    """Return a mail from Ann to the desk, with changes; `ann="x"` etc. stay plain fields of Mail."""
    plain: dict[str, Any] = {
        "subject": "Your invoice",
        "text": "Dear all,\nplease pay.\n",
        "reply_text": "please pay.",
        "authors": (Address("Ann Lee", "Ann@Example.com"),),
        "to": (Address("", "desk@example.org"),),
    }
    return Mail(**{**plain, **changes})


def facts(**changes: Any) -> Facts:
    """Return the facts of a mail: what Facts.of knows goes there, the rest into the mail."""
    known = ("folder", "queue", "verified", "is_reply", "size", "zone", "arrived")
    given_ = {key: changes.pop(key) for key in known if key in changes}
    return Facts.of(mail(**changes), given_.pop("arrived", NOON), given_.pop("zone", "UTC"), **given_)


def header(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"headers": pairs}


# -- conditions: what holds, and what nearly does ----------------------------------------------------------------------

HOLDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # condition, a mail for which it holds, and one for which it nearly does
    ('subject.contains = "INVOICE"', {}, {"subject": "in voice"}),
    ('subject.contains = ["x", "voice"]', {}, {"subject": "y"}),
    ('subject.is = "your invoice"', {}, {"subject": "your invoice!"}),
    ('subject.is = ""', {"subject": " \t"}, {"subject": "x"}),
    ('subject.starts = "Your"', {}, {"subject": "to your"}),
    ('subject.ends = "voice"', {}, {"subject": "voices"}),
    ('subject.word = "ad"', {"subject": "An ad!"}, {"subject": "Please read"}),
    ('subject.word = "рассылка"', {"subject": "Новая РАССЫЛКА."}, {"subject": "рассылками"}),
    ('subject.word = "c++"', {"subject": "C++, please"}, {"subject": "abc++"}),
    ('subject.contains = "straße"', {"subject": "HAUPTSTRASSE 5"}, {"subject": "strase"}),
    ('subject.contains = "fatura ıslak"', {"subject": "FATURA ISLAK"}, {"subject": "FATURASLAK"}),
    ('subject.contains = "istanbul"', {"subject": "İSTANBUL"}, {"subject": "STANBUL"}),
    ('subject.contains = "café"', {"subject": "CAFE\u0301"}, {"subject": "cafe"}),
    ('subject.contains = "発票"', {"subject": "お発票です"}, {"subject": "発 票"}),
    ('subject.contains = "newsletter"', {"subject": "News\u00adletter"}, {"subject": "News letter"}),
    ('text.contains = "dear all, please"', {}, {"text": "dear all,please"}),
    ('reply_text.contains = "pay"', {}, {"reply_text": "", "text": "pay"}),
    ('from_name.is = "ann lee"', {}, {"authors": (Address("Ann", "ann@example.com"),)}),
    ("subject.matches = 'inv[a-z]+e$'", {}, {"subject": "invoice 7"}),
    ("subject.matches = 'größe\\s\\d'", {"subject": "GRÖSSE größe 7"}, {"subject": "größe x"}),
    ('subject = { starts = "your", ends = "voice" }', {}, {"subject": "your voices"}),
    ('header.x-mailer.contains = "php"', header(("x-mailer", "PHPMailer 6")), header(("x-mailer2", "PHP"))),
    ('header.X-Tag.is = "b"', header(("x-tag", "a"), ("x-tag", "B")), header(("x-tag", "ab"))),
    ('"header.x-tag".is = "b"', header(("x-tag", "b")), {}),
    ("header.x-tag.present = true", header(("x-tag", "")), header(("x-tags", "1"))),
    ("header.x-tag.present = false", {}, header(("x-tag", ""))),
    ('header = { a.is = "1", b.is = "2" }', header(("a", "1"), ("b", "2")), header(("a", "1"))),
    ('from = "ANN@example.COM"', {}, {"authors": (Address("", "ann@example.co"),)}),
    ('from = "@example.com"', {}, {"authors": (Address("", "ann@sub.example.com"),)}),
    ('from = ".example.com"', {"authors": (Address("", "a@b.c.example.com"),)}, {"authors": (Address("", "a@badexample.com"),)}),
    ('from = ".example.com"', {}, {"authors": (Address("", "example.com@example.org"),)}),
    ('from = "@müller.example"', {"authors": (Address("", "a@xn--mller-kva.example"),)}, {}),
    ('from = ".müller.example"', {"authors": (Address("", "a@b.MÜLLER.example"),)}, {}),
    ('from = "noreply@"', {"authors": (Address("", "NoReply@any.example"),)}, {"authors": (Address("", "x-noreply@a.example"),)}),
    ('from = ["x@example.org", "ann@example.com"]', {}, {"authors": (Address("ann@example.com", "eve@evil.example"),)}),
    ('to = "desk@example.org"', {}, {"to": (), "cc": (Address("", "desk@example.org"),)}),
    ('cc = "@example.net"', {"cc": (Address("", "x@example.net"),)}, {"to": (Address("", "x@example.net"),)}),
    ('reply_to = ".net"', {"reply_to": (Address("", "x@example.net"),)}, {"reply_to": (Address("", "x@net.example"),)}),
    ('recipient = "desk@example.org"', {}, {"to": (Address("", "desk+x@example.org"),)}),
    ('recipient = "a@example.org"', header(("delivered-to", "A@example.org")), header(("x-delivered", "a@example.org"))),
    ('recipient = "a@example.org"', header(("x-original-to", "<a@example.org>")), {"reply_to": (Address("", "a@example.org"),)}),
    ('recipient = "b@example.org"', header(("envelope-to", "a@example.org, b@example.org")), {}),
    ('kind = "list"', {"kind": Kind.LIST}, {}),
    ('kind = ["bounce", "auto-reply"]', {"kind": Kind.AUTO_REPLY}, {"kind": Kind.LIST}),
    ("null_sender = true", header(("return-path", "<>")), header(("return-path", "<a@b.example>"))),
    ("null_sender = false", {}, header(("return-path", " <> "))),
    ("verified = true", {"verified": True}, {}),
    ("verified = false", {"verified": False}, {}),
    ('verified = "unknown"', {}, {"verified": False}),
    ('queue = "support"', {"queue": "support"}, {}),
    ('folder = ["Sales", "Jobs"]', {"folder": "Jobs"}, {"folder": "."}),
    ('hours = "12:00-13:00"', {}, {"arrived": "2026-11-25T13:00:00+00:00"}),
    ('hours = "18:00-08:00"', {"arrived": "2026-11-25T07:59:59+00:00"}, {"arrived": "2026-11-25T08:00:00+00:00"}),
    ('hours = "18:00-24:00"', {"arrived": "2026-11-25T23:59:00+00:00"}, {"arrived": "2026-11-25T00:00:00+00:00"}),
    ('hours = ["1:00-2:00", "13:00 - 14:00"]', {"zone": "Europe/Berlin"}, {}),
    ('weekdays = ["wed"]', {}, {"arrived": "2026-11-26T12:00:00+00:00"}),
    ('weekdays = "Thu"', {"arrived": "2026-11-25T23:30:00+00:00", "zone": "Europe/Berlin"}, {"zone": "Europe/Berlin"}),
    ('weekdays = "fri-mon"', {"arrived": "2026-11-23T12:00:00+00:00"}, {"arrived": "2026-11-24T12:00:00+00:00"}),
    ("spam.above = 5", header(("x-spam-score", "5.1 (+++++)")), header(("x-spam-score", "5.0"))),
    ("spam.above = 5", header(("x-spam-status", "Yes, score=7.3 required=5.0")), header(("x-spam-status", "No, score=-1.9"))),
    ("spam.above = 5", header(("x-rspamd-score", "15")), header(("x-rspamd-score", "many"))),
    ("spam.above = 5", header(("x-spam-level", "******")), header(("x-spam-level", "*****"))),
    ("spam.above = 5", header(("x-spamd-result", "default: False [6.60 / 15.00]; A(1)")), {}),
    ("spam.above = 5", header(("x-spam-score", "9"), ("x-spam-score", "-99")), {}),
    ("spam.below = 1", header(("x-spam-score", "-2")), {}),
    ("spam = { above = 1, below = 3 }", header(("x-spam-score", "2")), header(("x-spam-score", "3"))),
    ('size.above = "5 MB"', {"size": 5 * 1024 * 1024 + 1}, {"size": 5 * 1024 * 1024}),
    ("size.below = 100", {"size": 99}, {"size": 100}),
    ('attachment.type = "application/pdf"', {"attachments": (pdf(),)}, {"attachments": (LOGO,)}),
    ('attachment.type = "image/*"', {"attachments": (pdf(), LOGO)}, {"attachments": (pdf(content_type="imagex/png"),)}),
    ('attachment.name.ends = [".exe", ".PDF"]', {"attachments": (pdf(),)}, {"attachments": (pdf(filename=None),)}),
    ('attachment.size.above = "1 KB"', {"attachments": (pdf(),)}, {"attachments": (LOGO,)}),
    ("attachment.inline = false", {"attachments": (LOGO, pdf())}, {"attachments": (LOGO,)}),
    ("attachment.count = 0", {}, {"attachments": (LOGO,)}),
    ("attachment.count.above = 1", {"attachments": (LOGO, pdf())}, {"attachments": (pdf(),)}),
    (
        'attachment = { type = "application/pdf", inline = true }',
        {"attachments": (pdf(inline=True),)},
        {"attachments": (pdf(), LOGO)},
    ),
    (
        'attachment = { type = "image/*", count.below = 2 }',
        {"attachments": (LOGO, pdf(), pdf())},
        {"attachments": (LOGO, LOGO)},
    ),
    ('any = [{ subject.is = "x" }, { kind = "message", subject.word = "your" }]', {}, {"subject": "y"}),
    ('not = { subject.contains = "x", kind = "message" }', {}, {"subject": "x"}),
    ('not = [{ subject.contains = "x" }, { kind = "list" }]', {}, {"kind": Kind.LIST}),
    ('any = [{ not = { any = [{ kind = "list" }] } }]', {}, {"kind": Kind.LIST}),
    ('subject.word = "your"\nfrom = "@example.com"', {}, {"authors": ()}),
]


@pytest.mark.parametrize(("condition", "good", "near"), HOLDS, ids=[row[0][:60] for row in HOLDS])
def test_a_condition_holds_and_its_near_miss_does_not(condition: str, good: dict[str, Any], near: dict[str, Any]) -> None:
    """Each condition holds for the one mail and not for the other, and says so in words."""
    needs_re2(condition)
    asked = ruleset(rule(condition))
    [fired] = asked.apply(facts(**good)).fired
    assert str(fired).startswith("rule 'r' (line 1) fired: ") and fired.why
    assert asked.apply(facts(**near)).fired == ()
    [finding] = asked.findings(facts(**near))
    assert not finding.fired and finding.why.startswith("does not hold: ")


def test_every_condition_is_in_the_table() -> None:
    """No condition, and no way to compare a text, goes without a row above."""
    keys = {part for condition, _, _ in HOLDS for part in re.findall(r"[a-z_]+", condition)}
    assert {*CONDITIONS, *ASKS} - {"always"} <= keys


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ('subject.contains = ["x", "invoice"]', "subject contains 'invoice'"),
        (
            'subject.word = "your"\nfrom = ["@example.org", "@example.com"]',
            "subject has the word 'your' and from is '@example.com'",
        ),
        ('any = [{ kind = "list" }, { hours = "10:00-13:00" }]', "it came within '10:00-13:00'"),
        ('not = { kind = ["list", "bounce"] }', "not (kind is 'list' or 'bounce')"),
        ("always = true", "it holds for every mail"),
        ('header.X-A.present = false\nsize.below = "1 KB"', "header.x-a is not there and the size is below 1 KB"),
    ],
)
def test_what_fired_says_why(condition: str, why: str) -> None:
    """The reason names what held, in the rule's own words."""
    [fired] = ruleset(rule(condition)).apply(facts()).fired
    assert fired.why == why


def test_a_long_list_is_named_by_its_first_values() -> None:
    """A rule with hundreds of words does not fill the trail, and names the word that held all the same."""
    words = ", ".join(f'"word{number}"' for number in range(20))
    asked = ruleset(rule(f"subject.contains = [{words}]"))
    [finding] = asked.findings(facts())
    says = "subject contains 'word0' or 'word1' or 'word2' or 'word3' or one of 16 more"
    assert finding.why == f"does not hold: {says}"
    assert asked.apply(facts(subject="word19")).fired[0].why == "subject contains 'word1'"


def test_only_so_many_values_are_looked_at() -> None:
    """A mail with thousands of header lines or addresses costs no more than one with a hundred; the topmost count."""
    asked = ruleset(rule('header.x-a.is = "new"', name="header") + rule('recipient = "new@example.org"', name="recipient"))
    many = [("x-a", "old")] * 5000 + [("x-a", "new"), ("delivered-to", "old@example.org, " * 100 + "new@example.org")]
    assert not asked.apply(facts(headers=tuple(many))).fired
    assert len(asked.apply(facts(headers=tuple(reversed(many)))).fired) == 1
    assert len(asked.apply(facts(headers=(*many[-2:-1], ("x-original-to", "new@example.org")))).fired) == 2


def test_a_time_without_a_zone_is_utc() -> None:
    """The store's times are UTC, and a datetime may be given as well."""
    for arrived in ("2026-11-25T12:00:00", datetime.datetime(2026, 11, 25, 12), datetime.datetime.fromisoformat(NOON)):
        assert Facts.of(mail(), arrived, "Asia/Kolkata").arrived.isoformat() == "2026-11-25T17:30:00+05:30"


def test_a_reason_holds_no_word_of_the_mail(re2: Any) -> None:
    """What a stranger wrote never gets into a log line by way of a rule."""
    evil = "invoice\x1b[2J\nforged line"
    [fired] = ruleset(rule("subject.matches = '.*'")).apply(facts(subject=evil, text=evil)).fired
    assert "\x1b" not in str(fired) and "forged" not in str(fired)


def test_the_end_of_a_long_text_is_its_end() -> None:
    """`ends` looks at the end however long the text is, though words are looked for only in its beginning."""
    long = "a " * 200_000 + "bye"
    assert ruleset(rule('text.ends = "a bye"')).apply(facts(text=long)).fired
    assert not ruleset(rule('text.contains = "bye"')).apply(facts(text=long)).fired


@pytest.mark.parametrize("text", ["ß", "İ", "ı", "I", "Σ", "e\u0301", "한국어", "Ⅻ", "ﬁ", "a\u00a0 b", "\u200b", "\ufeffx"])
def test_folding_twice_changes_nothing(text: str) -> None:
    """The folded form is a form: upper and lower case lead to it, and it stays."""
    assert fold(fold(text)) == fold(text) == fold(text.upper())


def test_a_word_in_a_hostile_text_is_found_in_linear_time() -> None:
    """A text made of nearly the word costs no more than its length."""
    start = time.process_time()
    assert not has_word("a" * 100_000, "a" * 500)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text", ["a" * 400_000, "a\u0301\u0327" * 130_000, "a@" * 200_000, " \n" * 200_000, "e\u0301 " * 100_000]
)
def test_a_hostile_text_costs_little(re2: Any, text: str) -> None:
    """Patterns, words, addresses and letters with many accents take linear time on any text."""
    asked = ruleset(
        rule(
            "any = [{ text.matches = ['(a+)+$x', '(a|aa)+!', '(\\S+)*@(\\S+)*x'] }, { text.word = 'aa' }, { to = 'x@' }]\n"
            "not = { recipient = 'x@y.z' }"
        )
    )
    headers = (("delivered-to", text), ("x-spam-status", text), ("x-spam-level", text))
    start = time.process_time()
    asked.apply(facts(text=text, subject=text, headers=headers))
    assert time.process_time() - start < 5


# -- order, stop, and what several rules make together ----------------------------------------------------------------


def test_rules_are_asked_in_order_and_the_last_word_holds() -> None:
    """Scalars are overwritten, tags and notices add up, and the trail has every rule."""
    asked = ruleset(
        rule("always = true", 'priority = "high"\ntags = ["a", "b"]\nnotify = "x@example.org"\nacknowledge = false', "one")
        + rule("always = true", 'priority = "low"\ntags = ["-a", "c"]\nnotify = ["Y@example.org", "x@example.org"]', "two")
        + rule("always = true", 'status = "closed"\nassign = "Bob@Example.org"\nqueue = "support"', "three")
    )
    decision = asked.apply(facts())
    assert (decision.priority, decision.status, decision.assign, decision.queue) == (
        "low",
        "closed",
        "bob@example.org",
        "support",
    )
    assert decision.tags == ("b", "-a", "c")
    assert decision.notify == ("x@example.org", "y@example.org")
    assert decision.acknowledge is False
    assert [fired.rule.name for fired in decision.fired] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("more", "then"),
    [("stop = true", 'tags = "t"'), ("stop = true", ""), ("", 'hold = "h"'), ("", 'ignore = "i"')],
)
def test_stop_hold_and_ignore_end_the_rules(more: str, then: str) -> None:
    """Behind a rule that stops, holds or ignores, no rule is asked, and findings say which one ended it."""
    asked = ruleset(rule("always = true", then, "one", more) + rule("always = true", 'priority = "low"', "two"))
    decision = asked.apply(facts())
    assert decision.priority is None and [fired.rule.name for fired in decision.fired] == ["one"]
    assert [finding.why for finding in asked.findings(facts())][1] == "not asked: rule 'one' (line 1) ended it"


def test_a_rule_that_does_not_fire_does_not_stop() -> None:
    """`stop` counts only where the rule fired."""
    asked = ruleset(rule('kind = "list"', "", "one", "stop = true") + rule("always = true", 'priority = "low"', "two"))
    assert asked.apply(facts()).priority == "low"


@pytest.mark.parametrize(("on", "new", "reply"), [("", 1, 0), ('on = "new"', 1, 0), ('on = "reply"', 0, 1), ('on = "any"', 1, 1)])
def test_a_rule_is_for_new_tickets_unless_it_says_otherwise(on: str, new: int, reply: int) -> None:
    """`on` chooses between mails that open a ticket and mails that are added to one."""
    asked = ruleset(rule("always = true", more=on))
    assert len(asked.apply(facts()).fired) == new
    assert len(asked.apply(facts(is_reply=True)).fired) == reply


def test_findings_name_the_first_condition_that_failed() -> None:
    """For each rule: that it fired and why, or what did not hold, or that it is not for such mails."""
    asked = ruleset(
        rule('subject.word = "your"\nfrom = "@example.org"\nkind = "list"', name="one")
        + rule("always = true", name="two", more='on = "reply"')
        + rule('subject.word = "your"', name="three")
    )
    assert [(finding.rule.name, finding.fired, finding.why) for finding in asked.findings(facts())] == [
        ("one", False, "does not hold: from is '@example.org'"),
        ("two", False, "it is for replies, and this is a new ticket"),
        ("three", True, "subject has the word 'your'"),
    ]


def test_the_queue_that_is_asked_for_is_the_one_before_any_rule() -> None:
    """A rule that moves a mail does not change what the next rule sees."""
    asked = ruleset(
        '[[queue]]\nname = "sales"\n'
        + rule("always = true", 'queue = "sales"', "one")
        + rule('queue = "sales"', 'priority = "high"', "two")
    )
    assert asked.apply(facts(queue="support")).priority is None


# -- whom a ticket is from --------------------------------------------------------------------------------------------

FORM = 'from = "ann@example.com"'


@pytest.mark.parametrize(
    ("then", "changes", "name", "address"),
    [
        ('requester = "reply-to"', {"reply_to": (Address("Zoë", "Zoe@example.net"),)}, "Zoë", "Zoe@example.net"),
        ('requester = "reply-to"', {"reply_to": (Address("x"), Address("", "b@example.net"))}, "", "b@example.net"),
        ("requester = { pattern = 'Mail: (\\S+)' }", {"text": "Name: Zoë\nMail: <z@example.net>,\n"}, "", "z@example.net"),
        (
            "requester = { pattern = 'Mail: (\\S+)', name = 'Name: (.+)' }",
            {"text": "Name: Zoë  Q \nmail: z@bücher.example\n"},
            "Zoë Q",
            "z@bücher.example",
        ),
        ("requester = { pattern = '\\S+@example\\.net' }", {"text": "from z@example.net"}, "", "z@example.net"),
    ],
)
def test_a_contact_form_names_its_visitor(then: str, changes: dict[str, Any], name: str, address: str) -> None:
    """The requester is whom Reply-To or the text names, where a named sender sent it."""
    needs_re2(then)
    assert ruleset(rule(FORM, then)).apply(facts(**changes)).requester == Address(name, address)


@pytest.mark.parametrize(
    ("then", "changes", "why"),
    [
        ('requester = "reply-to"', {}, "there is no address in Reply-To"),
        ('requester = "reply-to"', {"reply_to": (Address("", "desk@example.org"),)}, "the address that stands there is our own"),
        (
            'requester = "reply-to"',
            {"authors": (Address("", "ann@example.com"), Address("", "b@example.com"))},
            "From does not name one sender",
        ),
        ("requester = { pattern = 'Mail: (\\S+)' }", {"text": "Mail: a@b@c.example"}, "the text holds no address"),
        ("requester = { pattern = 'Mail: (.*)' }", {"text": "Mail: a@b.example, c@d.example"}, "the text holds no address"),
        ("requester = { pattern = 'Mail: (\\S+)' }", {"text": "Mail: a@localhost"}, "the text holds no address"),
        ("requester = { pattern = 'Mail: (x)?' }", {"text": "Mail: "}, "the text holds no address"),
    ],
)
def test_a_requester_that_cannot_be_read_stays(then: str, changes: dict[str, Any], why: str) -> None:
    """The rule fires, but From stays the requester, and the reason says why."""
    needs_re2(then)
    queue = '[[queue]]\nname = "q"\naddresses = ["desk@example.org"]\n'
    decision = ruleset(queue + rule(FORM, then)).apply(facts(**changes))
    assert decision.requester is None
    assert f"; the requester stays: {why}" in decision.fired[0].why


# -- queues -----------------------------------------------------------------------------------------------------------

QUEUES = """
[[queue]]
name = "billing"
addresses = ["Billing@example.org", "invoices@example.org"]
folders = ["Billing"]
prefix = "BILL"
sender = "Billing <bills@example.org>"
members = ["Bob@example.org"]
signature = '''
Kind regards
'''
language = "en"

[[queue]]
name = "sales"
addresses = ["sales@example.org", "billing+leads@example.org"]
folders = ["Sales", "."]
prefix = "SALE"
"""


@pytest.mark.parametrize(
    ("recipients", "folder", "queue"),
    [
        (["billing@example.org"], "INBOX", "billing"),
        (["BILLING+x@EXAMPLE.org"], "INBOX", "billing"),
        (["billing+leads@example.org"], "INBOX", "sales"),
        (["x@example.org", "sales@example.org", "billing@example.org"], "INBOX", "sales"),
        (["sales@example.org"], "Billing", "sales"),
        (["x@example.org"], "Billing", "billing"),
        ([], ".", "sales"),
        (["billing@example.com", "xbilling@example.org", "+@example.org", "billing", ""], "INBOX", None),
    ],
)
def test_the_queue_of_a_mail(recipients: list[str], folder: str, queue: str | None) -> None:
    """The first recipient that has a queue decides, a plus in it does not matter, and the folder is asked last."""
    found = ruleset(QUEUES).queue_of(recipients, folder)
    assert (found.name if found else None) == queue


def test_a_queue_is_what_the_file_says() -> None:
    """Everything in a queue can be asked for, addresses in the form in which they compare."""
    read = ruleset(QUEUES)
    billing = read.queue("billing")
    assert billing and dataclasses.asdict(billing) == {
        "name": "billing",
        "addresses": ("billing@example.org", "invoices@example.org"),
        "folders": ("Billing",),
        "prefix": "BILL",
        "sender": "Billing <bills@example.org>",
        "members": ("bob@example.org",),
        "signature": "Kind regards\n",
        "acknowledgement": None,
        "language": "en",
        "line": 2,
    }
    assert read.queue("none") is None
    assert read.prefixes == {"BILL", "SALE"}
    assert read.own_addresses >= {"billing@example.org", "sales@example.org", "bills@example.org"}
    assert "bob@example.org" not in read.own_addresses
    assert "desk@example.org" in ruleset(QUEUES, ours=["Desk@example.org"]).own_addresses


def test_delivered_to_comes_before_to_and_cc() -> None:
    """Where servers say that a mail was delivered counts before what its writer put into To."""
    headers = (("x-original-to", "c@example.org"), ("delivered-to", "b@example.org"))
    there = facts(to=(Address("", "A@example.org"),), cc=(Address("x"),), headers=headers)
    assert there.recipients == ("b@example.org", "c@example.org", "a@example.org")


# -- files with problems ----------------------------------------------------------------------------------------------

WRONG: list[tuple[str, list[str]]] = [
    ("x = 1", ["line 1: key `x` is unknown; known: queue, rule"]),
    ("[rules]", ["line 1: key `rules` is unknown, did you mean `rule`?"]),
    ('[rule]\nname = "x"', ["line 1: write [[rule]], with two brackets, before each rule"]),
    ('queue = "x"', ["line 1: write [[queue]], with two brackets"]),
    ("[[rule]]", ["line 1: this rule has no `name`"]),
    ('[[rule]]\nname = "a"\n', ["line 1: this rule has no [rule.when]; for every mail write `when.always = true`"]),
    ('[[rule]]\nname = "a"\nwhen.always = true', ["line 1: this rule has no [rule.then], so it would do nothing"]),
    ('[[rule]]\nname = "a"\n\n[rule.whne]\nx = 1', ["line 4: key `whne` is unknown, did you mean `when`?"]),
    (rule("x.y = 1"), ["line 5: condition `x` is unknown; known: subject, text"]),
    (rule('form = "a@example.com"'), ["line 5: condition `form` is unknown, did you mean `from`?"]),
    (rule('subject = "x"'), ["line 5: `subject` does not say how to compare: write `subject.contains = ...`, or is, starts"]),
    (rule('subject.contians = "x"'), ["line 5: key `contians` is unknown, did you mean `contains`?"]),
    (rule("subject.contains = 5"), ["line 5: `contains` is 5, but a text is expected"]),
    (rule('subject.contains = ""'), ["line 5: `contains` is ``, but a text is expected"]),
    (rule('subject.contains = "\\u200b"'), ["line 5: `contains` holds nothing that can be seen"]),
    (rule("subject.contains = []"), ["line 5: `contains` is a list, but at least one value is expected"]),
    (rule('subject.contains = [\n"a",\n7,\n"b", true]'), ["line 7: `contains` is 7", "line 8: `contains` is true, but a text"]),
    (rule("subject.contains = '''a\nb'''"), ["line 5: `contains` holds a line break"]),
    (rule(f'subject.contains = "{"x" * 1001}"'), ["line 5: `contains` is 1001 characters long: that is too long"]),
    (rule("subject.matches = '(a'"), ["line 5: the regular expression '(a' cannot be used: missing )"]),
    (
        rule("subject.matches = '(?=a)'"),
        ["line 5: the regular expression '(?=a)' cannot be used: look-ahead and look-behind are"],
    ),
    (rule("subject.matches = '(a)\\1'"), ["line 5: the regular expression '(a)\\1' cannot be used: such an escape is not known"]),
    (
        rule("subject.matches = '\\bбар'"),
        ["line 5: the regular expression '\\bбар' cannot be used: `\\b` and `\\w` know only a to z"],
    ),
    (
        rule("subject.matches = '((a{0,30}){0,30}){0,30}'"),
        ["line 5: the regular expression '((a{0,30}){0,30}){0,30}' cannot be used"],
    ),
    (
        rule("subject.matches = '(a?){900}b{900}'"),
        ["line 5: the regular expression '(a?){900}b{900}' cannot be used: it is too large"],
    ),
    (rule('header = "x"'), ["line 5: `header` is `x`, but a table is expected"]),
    (rule("header = {}"), ["line 5: `header` is a table, but the name of a header"]),
    (rule('"header.x y".is = "z"'), ["line 5: `x y` cannot be the name of a header"]),
    (rule('header.x-y = "z"'), ["line 5: `x-y` does not say how to compare"]),
    (rule('header.x-y.present = "yes"'), ["line 5: `present` is `yes`, but true or false is expected"]),
    (rule('from = "ann"'), ["line 5: `from` is `ann`, but an address (ann@example.com), a domain"]),
    (rule('to = ["a@b.example", "a b@c.example", 1]'), ["line 5: `to` is `a b@c.example`", "line 5: `to` is 1"]),
    (rule('kind = "lists"'), ["line 5: kind `lists` is unknown, did you mean `list`?"]),
    (rule('queue = "suport"'), ["line 5: queue `suport` is unknown, did you mean `support`?"]),
    (rule("null_sender = 1"), ["line 5: `null_sender` is 1, but true or false is expected"]),
    (rule('verified = "yes"'), ['line 5: `verified` is `yes`, but true, false or "unknown" is expected']),
    (rule('hours = "18-8"'), ["line 5: `hours` is `18-8`, but two different times of a day"]),
    (
        rule('hours = ["8:00-8:00", "25:00-26:00", "8:60-9:00"]'),
        ["line 5: `hours` is", "line 5: `hours` is", "line 5: `hours` is"],
    ),
    (
        rule('weekdays = ["mon", "son", "-fri", "mon-xyz", ""]'),
        ["line 5: day `son` is unknown", "line 5: day `-fri`", "line 5: day `mon-xyz`", "line 5: `w"],
    ),
    (rule("spam = 5"), ["line 5: `spam` is 5, but `spam.above = ...` or `spam.below = ...` is expected"]),
    (rule('spam.above = "5"'), ["line 5: `above` is `5`, but a number is expected"]),
    (rule("spam.above = nan"), ["line 5: `above` is nan, but a number is expected"]),
    (rule("spam.x = 5"), ["line 5: key `x` is unknown; known: above, below"]),
    (rule('size.above = "5 TB"'), ['line 5: `above` is `5 TB`, but a size like "500 KB" or "5 MB" is expected']),
    (rule("size.above = true"), ["line 5: `above` is true, but a size"]),
    (rule("attachment = {}"), ["line 5: `attachment` is a table, but what is asked of it"]),
    (rule('attachment.type = "pdf"'), ['line 5: `type` is `pdf`, but a type like "application/pdf" or "image/*" is expected']),
    (rule("attachment.count = -1"), ["line 5: `count` is -1, but a whole number is expected"]),
    (rule('attachment.nmae.is = "x"'), ["line 5: key `nmae` is unknown, did you mean `name`?"]),
    (rule("always = false"), ["line 5: `always` is false, but true is expected"]),
    (rule("any = { always = true }"), ["line 5: `any` is a table, but a list of alternatives"]),
    (rule("any = []"), ["line 5: `any` is a list, but at least one value is expected"]),
    (rule("any = [{}, 1]"), ["line 5: there is no condition here", "line 5: `any` is 1, but a table is expected"]),
    (rule('any = [\n{ kind = "list" },\n{ kind = "x" }]'), ["line 7: kind `x` is unknown"]),
    (rule("not = {}"), ["line 5: there is no condition here; for every mail write `always = true`"]),
    (rule("always = true", "queue = 1"), ["line 7: `queue` is 1, but a queue (support) is expected"]),
    (rule("always = true", 'priority = "hihg"'), ["line 7: priority `hihg` is unknown, did you mean `high`?"]),
    (rule("always = true", 'status = "merged"'), ["line 7: status `merged` is unknown; known: open, waiting, closed"]),
    (rule("always = true", 'assign = "@example.org"'), ["line 7: `assign` is `@example.org`, but an address"]),
    (rule("always = true", 'tags = ["a b", "-a", "a"]'), ["line 7: `tags` is `a b`, but a tag of letters, digits"]),
    (rule("always = true", 'tags = ["-a", "a"]'), ["line 7: tag `a` is both added and taken away"]),
    (rule("always = true", "hold = true"), ["line 7: `hold` is true, but a reason"]),
    (rule("always = true", 'hold = "a\\u001b"'), ["line 7: `hold` holds a line break or another control character"]),
    (rule("always = true", 'hold = "a"\nignore = "b"'), ["line 8: `hold` and `ignore` contradict each other"]),
    (rule("always = true", 'tags = "x"\nignore = "b"'), ["line 8: `ignore` makes no ticket, so `tags` would do nothing"]),
    (rule("always = true", 'requester = "reply-to"'), ["line 7: `requester` needs a `from` in [rule.when]"]),
    (
        rule('from = "form@"', 'requester = "reply-to"'),
        ["line 7: `requester` needs a `from` in [rule.when] that names addresses"],
    ),
    (rule('not = { from = "a@b.example" }', 'requester = "reply-to"'), ["line 7: `requester` needs a `from` in [rule.when]"]),
    (rule(FORM, 'requester = "from"'), ['line 7: `requester` is `from`, but "reply-to" or { pattern = "..." } is expected']),
    (rule(FORM, "requester = { pattern = '(' }"), ["line 7: the regular expression '(' cannot be used"]),
    (rule(FORM, 'requester = "reply-to"', more='on = "any"'), ['line 7: `requester` is only for new tickets: `on = "new"`']),
    (rule("always = true", more='on = "always"'), ["line 3: on `always` is unknown; known: new, reply, any"]),
    (rule("always = true", more='stop = "yes"'), ["line 3: `stop` is `yes`, but true or false is expected"]),
    (rule("always = true") + "\n" + rule("always = true"), ["line 10: `name` `r` is used on line 2 already"]),
    ('[[queue]]\nname = "a"\nprefix = "4"', ["line 3: `prefix` is `4`: a word like TICKET or HELP_2 is expected"]),
    ('[[queue]]\nname = "a"\nsender = "Ann"', ["line 3: `sender` is `Ann`: one address is expected"]),
    ('[[queue]]\nname = "a"\nlanguage = "English"', ["line 3: `language` is `English`, but a language like en or pt-BR"]),
    ('[[queue]]\nname = " a"', ["line 2: `name` is ` a`, but a name of 60 characters at most"]),
    ('[[queue]]\nname = "a"\nmembers = ["bob"]', ["line 3: `members` is `bob`, but an address like ann@example.org"]),
    (
        '[[queue]]\nname = "a"\naddresses = ["x@example.org"]\nfolders = "F"\nprefix = "P"\n'
        '[[queue]]\nname = "b"\naddresses = ["X@Example.org"]\nfolders = "F"\nprefix = "p"',
        [
            "line 8: `addresses` `X@Example.org` is used on line 3 already",
            "line 9: `folders` `F` is used on line 4 already",
            "line 10: `prefix` `p` is used on line 5 already",
        ],
    ),
    ("[[rule]\n", ["line 1: this is no TOML: Expected"]),
    ('a = "x"\nb = = 2\n', ["line 2: this is no TOML: Invalid value"]),
    ('a = "x', ["line 1: this is no TOML: "]),
    ("a = 1\na = 2", ["line 2: this is no TOML: Cannot overwrite a value"]),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[row[1][0][8:70] for row in WRONG])
def test_a_problem_is_told_with_its_line(text: str, expected: list[str]) -> None:
    """Each problem is a sentence with the line of its key and what is expected instead."""
    needs_re2(text)
    found = problems(text)
    assert len(found) == len(expected)
    for sentence, start in zip(found, expected, strict=True):
        assert sentence.startswith(f"rules.toml {start}"), found


def test_all_problems_are_told_at_once() -> None:
    """Problems of queues and rules, of conditions and actions come together, in the order of the lines."""
    found = problems(
        '[[queue]]\nname = "billing"\nprefx = "B"\n'
        + rule('form = "x"\nhours = "x"', 'queue = "biling"\nhold = "a"\nignore = "b"')
        + rule("subject.contians = 1", 'priority = "hihg"', more='on = "nwe"')
    )
    lines = [int(re.findall(r"line (\d+)", sentence)[0]) for sentence in found]
    assert lines == [3, 8, 9, 11, 13, 15, 16, 18, 20]


def test_folders_are_checked_where_they_are_known() -> None:
    """A folder that is not there is a problem once somebody says which there are."""
    text = '[[queue]]\nname = "a"\nfolders = ["Biling"]\n' + rule('folder = "Job"')
    assert len(ruleset(text).rules) == 1
    assert problems(text, folders=("Billing", "Jobs")) == [
        "rules.toml line 3: folder `Biling` is unknown, did you mean `Billing`?",
        "rules.toml line 8: folder `Job` is unknown, did you mean `Jobs`?",
    ]


@pytest.mark.parametrize(
    "raw",
    [b"a = '\xff'", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000, b"\x00", b'a = """', b"a = {" * 3000, b"[" * 100, b"a.b.c"],
)
def test_what_is_no_toml_is_a_problem_not_a_crash(raw: bytes) -> None:
    """Bytes that are no UTF-8, deep nesting and broken files are told in one sentence."""
    [sentence] = problems(raw)
    assert sentence.startswith("rules.toml line 1: ")


def test_conditions_nested_too_deep_are_a_problem() -> None:
    """Nobody needs `not` in `not` forty times."""
    [sentence] = problems(rule("not = " + "{ not = " * 40 + "{ always = true }" + " }" * 40))
    assert sentence == "rules.toml line 5: this is nested too deep"


def test_without_a_file_there_are_no_rules(tmp_path: Path) -> None:
    """A missing file and an empty one are the same: nothing is decided."""
    (tmp_path / "empty.toml").write_bytes(b"")
    for name in ("none.toml", "empty.toml"):
        read = rules.load(tmp_path / name)
        assert read == Ruleset()
        assert read.apply(facts()) == rules.Decision()
        assert read.queue_of(["a@example.org"], "INBOX") is None
        assert read.prefixes == read.own_addresses == frozenset()


def test_a_file_is_named_as_the_user_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the working directory its path is short; what cannot be read is told too."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config" / "rules.toml"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbfx = 1\r\n[rules]\r\n")  # as Windows' Notepad writes it
    with pytest.raises(SettingsError) as caught:
        rules.load(path)
    assert [sentence[:33] for sentence in caught.value.problems] == [
        f"config{os.sep}rules.toml line 1: key `x`",
        f"config{os.sep}rules.toml line 2: key `ru",
    ]
    assert "rules check" in str(caught.value) and caught.value.exit_code == 78
    with pytest.raises(SettingsError, match="a file that can be read is expected"):
        rules.load(path.parent)
    path.write_bytes(b"# " * 600_000)
    with pytest.raises(SettingsError, match="are too many"):
        rules.load(path)


# -- lines of keys ----------------------------------------------------------------------------------------------------

AWKWARD = '''
# a comment with = and [brackets]
title = "a # b ] } \\" = c" # d
"quoted key"."x.y" = 'it = [x]'
empty = ""
multi = """
one = 1
[not.a.table] \\""" still"""
other = \'\'\'
x = 'y' # no key\'\'\'\'
list = [ 1, # one
  2.5,
  { a = 1, b = { c = "}" } },

  [ "]", """
]""", 3 ],
]
date = 1979-05-27 07:32:00.5
[a.b]
c.d.e = 1
c.d.f = true
[[a.list]]
x = 1
[[a.list]]
x = 2
[a.list.sub]
y = 3
[[a.list.deep]]
z = { }
[ spaced . "out" ]
k = -1_000
'''


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything in a document."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [found for key, item in inner for found in [(*path, key), *paths(item, (*path, key))]]


def test_every_key_has_its_line() -> None:
    """Quotes, comments, texts of several lines, dotted keys and tables in lists: the scan sees what tomllib sees."""
    source = Source.of("x", AWKWARD.encode())
    assert source.problems == []
    assert set(source.lines) == set(paths(source.data))
    assert {
        path: source.lines[path] for path in [("title",), ("empty",), ("list", 1), ("list", 2, "b", "c"), ("list", 3, 2)]
    } == {
        ("title",): 3,
        ("empty",): 5,
        ("list", 1): 12,
        ("list", 2, "b", "c"): 13,
        ("list", 3, 2): 16,
    }
    lines = AWKWARD.split("\n")
    for path, word in [
        (("a", "list", 1, "x"), "x = 2"),
        (("a", "list", 1, "sub", "y"), "y = 3"),
        (("a", "b", "c", "d", "f"), "c.d.f"),
    ]:
        assert lines[source.lines[path] - 1].startswith(word)


KEYS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,5}", fullmatch=True), st.text(st.characters(codec="utf-8"), max_size=5))
LEAVES = st.one_of(st.integers(-9, 9), st.booleans(), st.text(st.characters(codec="utf-8"), max_size=8))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)


def quoted(text: str) -> str:
    return (
        '"'
        + "".join(f"\\U{ord(char):08x}" if char in '"\\' or ord(char) < 32 or ord(char) == 127 else char for char in text)
        + '"'
    )


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return "[" + ",\n".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(deadline=None)
def test_the_scan_finds_every_key_of_any_document(document: dict[str, Any]) -> None:
    """Whatever is written, every key has a line, and a key at the top its own."""
    text, starts = "", {}
    for key, value in document.items():
        starts[(key,)] = text.count("\n") + 1
        text += f"{quoted(key)} = {toml(value)}\n\n"
    assert tomllib.loads(text) == document
    source = Source.of("x", text.encode())
    assert set(source.lines) == set(paths(document))
    assert {path: line for path, line in source.lines.items() if len(path) == 1} == starts


@given(st.text(st.sampled_from("[]{}=.,\"'#\n ax1\\é"), max_size=60))
@settings(deadline=None)
def test_any_text_is_rules_or_problems(text: str) -> None:
    """No text makes the reader raise anything but its list of problems."""
    try:
        ruleset(text)
    except SettingsError as error:
        assert all(re.match(r"rules\.toml line [1-9]\d*: .", sentence) for sentence in error.problems)


SCRAPS = st.recursive(
    st.one_of(
        st.none().map(lambda _: "support"),
        st.integers(),
        st.booleans(),
        st.sampled_from(["new", "a@b.example", "mon", "8:00-9:00", "", "list"]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*CONDITIONS, *ACTIONS, *ASKS, "name", "on", "above", "type", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(["queue", "rule"]), st.lists(st.dictionaries(st.sampled_from(["name", "on", "when", "then", *QUEUE]), SCRAPS))
)
@settings(deadline=None)
def test_any_document_is_rules_or_problems(key: str, items: list[Any]) -> None:
    """Known words in wrong places make problems, or rules that can be asked."""
    try:
        read = ruleset(f"{key} = {toml(items)}")
    except SettingsError as error:
        assert error.problems
    else:
        read.apply(facts())


# -- any mail ---------------------------------------------------------------------------------------------------------

ALL = "".join(rule(ask.example, name=name, more='on = "any"') for name, ask in CONDITIONS.items() if name != "folder") + rule(
    'text.contains = "a"', 'requester = "reply-to"', "form"
).replace("text.contains", 'from = ".example"\ntext.contains')
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
HEADERS = st.tuples(
    st.sampled_from(["x-spam-score", "x-spam-status", "x-spam-level", "delivered-to", "return-path", "x-mailer"]), TEXT
)
PEOPLE = st.lists(st.builds(Address, TEXT, st.one_of(st.none(), TEXT, TEXT.map(lambda text: f"{text}@a.example"))), max_size=3)


@given(
    st.builds(
        Mail,
        subject=TEXT,
        text=TEXT,
        authors=PEOPLE.map(tuple),
        to=PEOPLE.map(tuple),
        reply_to=PEOPLE.map(tuple),
        headers=st.lists(HEADERS, max_size=5).map(tuple),
        kind=st.sampled_from(Kind),
        attachments=st.lists(st.builds(pdf, filename=st.one_of(st.none(), TEXT), content_type=TEXT), max_size=2).map(tuple),
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_no_mail_makes_it_raise(any_mail: Mail, is_reply: bool) -> None:
    """Every condition can be asked of any mail, twice with the same answer, and findings agree with what fired."""
    asked = ruleset(ALL)
    there = Facts.of(any_mail, NOON, is_reply=is_reply)
    first = asked.apply(there)
    assert asked.apply(there) == first == asked.apply(Facts.of(any_mail, NOON, is_reply=is_reply))
    assert [finding.rule.name for finding in asked.findings(there) if finding.fired] == [fired.rule.name for fired in first.fired]
    asked.queue_of(there.recipients, there.folder)


def test_a_mail_as_it_is_read() -> None:
    """Rules hold for what the reader makes of bytes, not only for what a test builds."""
    raw = (
        b"Delivered-To: Billing+7@example.org\r\nX-Spam-Status: Yes, score=6.1 required=5.0\r\n"
        b"From: =?utf-8?q?J=C3=B6rg?= <j@example.net>\r\nTo: undisclosed-recipients:;\r\n"
        b"Subject: =?utf-8?q?RECHNUNG_f=C3=BCr_M=C3=A4rz?=\r\nX-Mailer: PHPMailer\r\n\r\nBitte\r\nzahlen.\r\n"
    )
    asked = ruleset(
        QUEUES
        + rule(
            'subject.starts = "rechnung für märz"\ntext.contains = "bitte zahlen"\nfrom_name.is = "jörg"\n'
            'header.X-Mailer.starts = "php"\nspam.above = 6\nrecipient = "billing+7@example.org"\nsize.above = 100'
        )
    )
    there = Facts.of(read_mail(raw), NOON, size=len(raw))
    assert asked.apply(there).tags == ("t",), list(asked.findings(there))
    queue = asked.queue_of(there.recipients, "INBOX")
    assert queue and queue.name == "billing"


# -- what rules would have done, and how fast -------------------------------------------------------------------------


def test_a_backtest_counts_and_shows() -> None:
    """For each rule in order: how many mails, and at most three of them as examples with the reason."""
    asked = ruleset(
        rule('subject.contains = "5"', name="five") + rule("always = true", name="all") + rule('kind = "list"', name="none")
    )
    mails = (facts(subject=f"mail {number}", message_id=f"{number}@example.com") for number in range(60))
    found = rules.backtest(asked, mails)
    assert (found.mails, found.touched) == (60, 60)
    assert [(tally.rule.name, tally.count) for tally in found.tallies] == [("five", 15), ("all", 60), ("none", 0)]
    assert [(example.message_id, example.sender, example.subject, example.why) for example in found.tallies[0].examples] == [
        (f"{number}@example.com", "Ann@Example.com", f"mail {number}", "subject contains '5'") for number in (5, 15, 25)
    ]


def test_many_mails_and_many_rules_take_little_time() -> None:
    """1,000 mails of 3 KB by 50 rules of every sort take a fraction of a second, with room for a busy machine."""
    conditions = [
        'subject.contains = ["alpha{0}", "beta{0}"]',
        'text.word = "gamma{0}"',
        'from = ["a{0}@example.com", "@b{0}.example", ".c{0}.example"]',
        'header.x-mailer.starts = "agent{0}"',
        'any = [{{ spam.above = {0} }}, {{ attachment.name.ends = ".{0}" }}]\nnot = {{ kind = "list" }}',
    ]
    asked = ruleset("".join(rule(conditions[n % 5].format(n), name=f"r{n}") for n in range(50)))
    headers = tuple((f"x-h{number}", "some value") for number in range(30))
    mails = [facts(text=f"word{number} and other words\n" * 100, headers=headers) for number in range(1000)]
    start = time.process_time()
    assert rules.backtest(asked, mails).touched == 0
    assert time.process_time() - start < 5


# -- the files beside -------------------------------------------------------------------------------------------------


def test_the_example_file_changes_nothing_and_is_right(re2: Any) -> None:
    """As it is shipped it says nothing; with its examples switched on it is a valid file that uses them all."""
    assert rules.load(EXAMPLE) == Ruleset()
    switched_on = re.sub(r"^#(?=\S)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    read = ruleset(switched_on, folders=(".", "INBOX", "Billing"))
    assert len(read.queues) == 1 and len(read.rules) >= 4


def test_every_example_of_the_tables_is_right() -> None:
    """The examples beside conditions and actions are what the docs show, so each is read."""
    for name, ask in CONDITIONS.items():
        assert len(ruleset(rule(ask.example)).rules) == 1, name
    for name, act in ACTIONS.items():
        assert [*ruleset(rule(FORM, act.example)).rules[0].then] == [name]


@pytest.mark.parametrize("number", range(len(re.findall(r"^```toml\n", PAGE.read_text(encoding="utf-8"), re.MULTILINE))))
def test_the_toml_on_the_page_is_right(re2: Any, number: int) -> None:
    """Every block of docs/rules.md is a valid file, with the queue that it names."""
    block = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[number]
    ruleset(block if "[[queue]]" in block else f'[[queue]]\nname = "billing"\n{block}')


def test_the_page_has_every_condition_and_action() -> None:
    """docs/rules.md shows each row of the code's tables as it stands there, and no other."""
    rows = [f"| `{name}` | {ask.help} | `{ask.example}` |" for table in (CONDITIONS, ACTIONS) for name, ask in table.items()]
    rows += [f"| `{name}` | {ask.help} |" for name, ask in ASKS.items()]
    rows += [f"| `{name}` | {sentence} |" for name, (sentence, _) in QUEUE.items()]
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert sorted(shown) == sorted(rows)


def test_without_the_engine_only_patterns_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where google-re2 is not installed, a rule with a pattern says so, and all others work."""
    from pipeline.rules import patterns

    def missing() -> Any:
        raise ImportError

    monkeypatch.setattr(patterns, "_engine", missing)
    assert ruleset(rule('subject.contains = "invoice"')).apply(facts()).fired
    [sentence] = problems(rule("subject.matches = 'x'"))
    assert sentence.endswith("patterns need the package google-re2: pip install google-re2")
