"""Rules and queues at work: what the operator's file makes of mail, told and done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import House, a_mail

QUEUES = """
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
prefix = "BILL"
"""
RULES = f"""{QUEUES}
[[rule]]
name = "urgent words"
on = "any"
[rule.when]
subject.word = "urgent"
[rule.then]
priority = "urgent"
tags = ["hot"]

[[rule]]
name = "invoices"
[rule.when]
subject.contains = "invoice"
[rule.then]
queue = "billing"
assign = "bob@desk.example"

[[rule]]
name = "wait"
[rule.when]
subject.word = "casino"
[rule.then]
hold = "looks like a bet"

[[rule]]
name = "newsletters"
[rule.when]
kind = "list"
[rule.then]
ignore = "a newsletter"

[[rule]]
name = "contact form"
[rule.when]
from = "form@desk.example"
[rule.then]
requester = "reply-to"
"""


def with_rules(house: House, text: str = RULES) -> House:
    (house.home / "config").mkdir(exist_ok=True)
    (house.home / "config" / "rules.toml").write_text(text)
    return house


def become(house: House, raw: bytes) -> dict[str, Any]:
    """Process one mail and return its line."""
    house.drop(raw)
    [line], _ = house.process(code=None)
    return line


def test_a_rule_sets_what_it_orders_and_says_so(house: House) -> None:
    """Queue, priority, assignee and tags are set; the trail names the rules and their lines, the history says why."""
    line = become(with_rules(house), a_mail("Urgent invoice"))
    assert [why for why in line["why"] if why.startswith("triage: rule")] == [
        "triage: rule 'urgent words' (line 7) fired: subject has the word 'urgent'",
        "triage: rule 'invoices' (line 16) fired: subject contains 'invoice'",
    ]
    ticket = house.json("ticket", "show", "1")
    assert (ticket["number"], ticket["queue"], ticket["priority"]) == ("BILL-001", "billing", "urgent")
    assert (ticket["assignee"], ticket["tags"]) == ("bob@desk.example", ["hot"])
    assert any("invoices" in event["why"] for event in ticket["events"])


def test_a_rule_for_any_mail_reaches_replies(house: House) -> None:
    """`on = "any"` holds for an answer, too; a rule for new tickets does not."""
    become(with_rules(house), a_mail("Hello"))
    become(house, a_mail("Urgent: invoice", message_id="<2@example.com>", in_reply_to="<1@example.com>"))
    ticket = house.json("ticket", "show", "1")
    assert (ticket["priority"], ticket["queue"], ticket["messages"][-1]["author"]["address"]) == (
        "urgent",
        "support",
        "ann@example.com",
    )


@pytest.mark.parametrize(
    ("raw", "outcome", "why"),
    [
        (a_mail("Casino"), "held", "triage: looks like a bet"),
        (a_mail("News", list_id="<news.example.com>"), "ignored", "triage: a newsletter"),
    ],
    ids=["hold", "ignore"],
)
def test_a_rule_may_keep_a_mail_from_the_desk(house: House, raw: bytes, outcome: str, why: str) -> None:
    """Held and ignored mail makes no ticket, and says which rule wanted it so."""
    line = become(with_rules(house), raw)
    assert (line["outcome"], line["why"][-1], line["ticket"]) == (outcome, why, None)


def test_the_recipient_chooses_the_queue_and_its_prefix(house: House) -> None:
    """Mail to a queue's address is numbered by its prefix, and an answer that names such a number finds the ticket."""
    raw = a_mail("Bill").replace(b"support@desk.example", b"billing+2026@desk.example")
    assert become(with_rules(house, QUEUES), raw)["ticket"] == "BILL-001"
    answer = a_mail("Re: [BILL-1] Bill", message_id="<2@example.com>")
    assert become(house, answer)["outcome"] == "commented"
    assert become(house, a_mail("Re: [PILL-1] Bill", message_id="<3@example.com>"))["outcome"] == "opened"


def test_a_contact_form_writes_for_its_visitor(house: House) -> None:
    """The visitor in Reply-To is the requester and may answer; the form itself stays the author of the mail."""
    form = a_mail("Question", "Form <form@desk.example>", reply_to="Eve <eve@example.net>")
    become(with_rules(house), form)
    ticket = house.json("ticket", "show", "1")
    assert ticket["requester"] == {"name": "Eve", "address": "eve@example.net"}
    assert "eve@example.net" in ticket["participants"]


def test_wrong_rules_stop_the_program_before_any_mail(house: House) -> None:
    """A file with mistakes is told with its lines, exit 78, and the mail waits."""
    with_rules(house, '[[rule]]\nname = "x"\n[rule.whne]\nsubject.word = "a"\n')
    house.drop(a_mail())
    done = house.run("process", code=78)
    assert b"config/rules.toml line 3" in done.stderr and b"did you mean" in done.stderr
    assert len(list(house.new.iterdir())) == 1


def test_rules_are_checked(house: House) -> None:
    """`rules check` says that there is no file, that it is all right, or what is wrong with it."""
    assert b"not there" in house.run("rules", "check").stderr
    assert b"1 queue, 5 rules, all right" in with_rules(house).run("rules", "check").stdout
    assert house.json("rules", "check")["rules"] == 5
    assert b"line 1" in with_rules(house, "[[rule]\n").run("rules", "check", code=78).stderr


def test_rules_are_tried_on_stored_mail(house: House) -> None:
    """`rules backtest` counts what each rule would have done to the last mails, with examples, and changes nothing."""
    for number, subject in enumerate(("Urgent", "Invoice 7", "Urgent invoice", "Hello")):
        become(house, a_mail(subject, message_id=f"<{number}@example.com>"))
    before = house.json("ticket", "list", "--all")
    found = with_rules(house).json("rules", "backtest")
    assert (found["mails"], found["touched"]) == (4, 3)
    assert {rule["name"]: rule["mails"] for rule in found["rules"]} == {
        "urgent words": 2,
        "invoices": 2,
        "wait": 0,
        "newsletters": 0,
        "contact form": 0,
    }
    assert found["rules"][1]["examples"][0]["subject"] == "Invoice 7"
    assert house.json("rules", "backtest", "--last", "1")["touched"] == 0
    assert b"a rule would have fired on 3" in house.run("rules", "backtest").stdout
    assert house.json("ticket", "list", "--all") == before


def test_a_file_that_goes_wrong_leaves_the_older_rules_in_force(house: House) -> None:
    """A worker that runs keeps to the rules that were right, and warns once."""
    from pipeline import rules

    path = with_rules(house).home / "config" / "rules.toml"
    watched = rules.current.__globals__["_Watched"](path, clock=iter(range(0, 100, 5)).__next__)
    assert len(watched.rules().rules) == 5
    path.write_text("[[rule]\n" * 3)
    assert len(watched.rules().rules) == 5
    assert "line 1" in json.dumps(watched.problem.problems)
    path.write_text(QUEUES)
    assert (len(watched.rules().rules), watched.problem) == (0, None)
