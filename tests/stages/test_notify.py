"""Who is told of a mail, who is not, and why: notices as rows, before any mail is made of them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.letter import Address
from pipeline.maildir import REPLAYED
from pipeline.notices import new_tokens, token_of
from pipeline.runner import Settled

from ..conftest import a_mail
from ..posting import GUS, Office
from ..test_conversations_bounces import a_report

NOW = datetime.datetime.now(datetime.UTC)
ANN, BOB, CARL = "ann@desk.example", "bob@desk.example", "carl@desk.example"
OLD = f"from a.example by b.example; {NOW - datetime.timedelta(days=365):%a, %d %b %Y %H:%M:%S +0000}"
QUEUES = """
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
members = ["bob@desk.example", "Bills@Elsewhere.example", "carl@desk.example"]

[[rule]]
name = "contracts"
on = "any"
[rule.when]
subject.contains = "contract"
[rule.then]
notify = ["ann@desk.example", "boss@elsewhere.example", "support@desk.example"]

[[rule]]
name = "toner"
[rule.when]
subject.contains = "toner"
[rule.then]
assign = "bob@desk.example"
"""


def staff(office: Office, *addresses: str) -> Office:
    with office.desk() as desk:
        for address in addresses:
            desk.add_agent(address, address.partition("@")[0].title())
    return office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = staff(Office(tmp_path), ANN, BOB)
    yield office
    office.close()


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[Office]:
    """A desk with a rules file and three agents, of whom one is disabled."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").write_text(QUEUES)
    office = staff(Office(tmp_path), ANN, BOB, CARL)
    change(office, CARL, disabled=True)
    yield office
    office.close()


def change(office: Office, address: str, **columns: Any) -> None:
    with office.store.transaction():
        office.store.run(tables.Agent.update(**columns).where(tables.Agent.address == address))


def assign(office: Office, ticket: int, assignee: str | None, who: str = "letterdesk") -> None:
    with office.desk() as desk:
        desk.set(ticket, "by hand", who, assignee=assignee)


def notices(office: Office) -> list[tuple[str, int, str]]:
    """Return kind, ticket and reader of every notice, in order; the reader of old mail's is ``."""
    agents = {row["id"]: row["address"] for row in office.store.rows(tables.Agent.select())}
    rows = office.store.rows(tables.Notice.select().order_by(tables.Notice.id))
    return [(row["kind"], row["ticket"], agents.get(row["agent"]) or row["address"] or "") for row in rows]


def told(office: Office, since: int = 0) -> list[str]:
    return [f"{kind} {reader}" for kind, _, reader in notices(office)[since:]]


def trail(settled: Settled) -> str:
    """Return what the trail says of the notices."""
    return next((step.why for step in settled.letter.trail if step.stage == "notify"), "")


# -- a new ticket, a reply -------------------------------------------------------------------------------------------


def test_every_agent_is_told_of_a_new_ticket(office: Office) -> None:
    """A row for each, with a token of its own of 26 characters; the trail names them, and no mail is made in the line."""
    settled = office.says()
    assert trail(settled) == f"told {ANN}, {BOB}" and told(office) == [f"new {ANN}", f"new {BOB}"]
    rows = office.store.rows(tables.Notice.select())
    tokens = {row["token"] for row in rows}
    assert len(tokens) == 2 and all(re.fullmatch("[a-z2-7]{26}", token) for token in tokens)
    assert {(row["message"], row["who"], row["told"]) for row in rows} == {(1, "ann@example.com", None)}
    assert [row["kind"] for row in office.outbox()] == ["acknowledgement"]


def test_a_reply_is_told_to_the_assignee_alone(office: Office) -> None:
    """Without an assignee every agent is told of a reply, with one only they are; if they are disabled, all are again."""
    office.says(message_id="<q@example.com>")
    for assignee, disabled, expected in ((None, False, [ANN, BOB]), (BOB, False, [BOB]), (BOB, True, [ANN])):
        assign(office, 1, assignee, who=BOB)
        change(office, BOB, disabled=disabled)
        before = len(notices(office))
        settled = office.says(subject="Re: Printer", in_reply_to="<q@example.com>")
        assert told(office, before) == [f"replied {one}" for one in expected]
        assert trail(settled) == f"told {', '.join(expected)}"


def test_who_wrote_it_is_not_told(office: Office) -> None:
    """A mail of an agent's own tells the others; of the only other one's preference nothing is left, and the trail says so."""
    assert trail(office.says("Ann <Ann@desk.example>")) == f"told {BOB}"
    change(office, BOB, notify="replied")
    assert trail(office.says("Ann <ann@desk.example>")) == "nobody: who it concerns wrote it, or does not want to know"


def test_an_agents_name_hides_no_mail_that_a_server_disproves(tmp_path: Path) -> None:
    """Where a trusted server could not prove that the agent wrote it, the agent is told too."""
    office = staff(Office(tmp_path, TRUSTED_AUTHSERV_ID="mx.desk.example"), ANN)
    proven = "mx.desk.example; dmarc=pass header.from=desk.example"
    assert trail(office.says(ANN, authentication_results=proven)).startswith("nobody")
    assert trail(office.says(ANN, subject="Another")) == f"told {ANN}"
    office.close()


def test_an_agents_other_address_is_theirs(office: Office) -> None:
    """Who merged two addresses into one person is not told of what they write from the other."""
    office.says("Ann <ann@home.example>")
    people = office.store.values(tables.PersonAddress.select(tables.PersonAddress.person).order_by(tables.PersonAddress.id))
    with office.desk() as desk:
        desk.merge_people(people[0], people[-1])
    assert trail(office.says("Ann <ann@home.example>", subject="Another")) == f"told {BOB}"


def test_a_new_ticket_from_a_list_is_told(office: Office) -> None:
    """List and automatic mail that opens a ticket is news like any other."""
    assert trail(office.says(list_id="<news.example.com>")) == f"told {ANN}, {BOB}"
    assert trail(office.says(auto_submitted="auto-generated")) == f"told {ANN}, {BOB}"


def test_what_was_held_is_told_when_it_is_let_through(office: Office) -> None:
    """A held mail tells nobody; once it is approved it does, unless it is old by then."""
    office.says(x_spam_flag="YES")
    office.says(x_spam_flag="YES", received=OLD)
    assert notices(office) == []
    office.runner.approve([1, 2], "gus@desk.example")
    assert notices(office) == [("new", 1, ANN), ("new", 1, BOB), ("old", 2, "")]


# -- queues, rules, assignments --------------------------------------------------------------------------------------


def test_members_of_a_queue_are_told(queues: Office) -> None:
    """Its members are told and no other agent: agents with a token, other addresses without, disabled agents not at all."""
    assert trail(queues.says(cc="billing@desk.example")) == f"told {BOB}, bills@elsewhere.example"
    rows = queues.store.rows(tables.Notice.select().order_by(tables.Notice.id))
    assert [(row["agent"] is None, row["address"], row["token"] is None) for row in rows] == [
        (False, None, False),
        (True, "bills@elsewhere.example", True),
    ]
    assert trail(queues.says(subject="Elsewhere")) == f"told {ANN}, {BOB}"


def test_whom_a_rule_names(queues: Office) -> None:
    """A rule's addresses are told whatever they want to know, each once, and never the desk itself."""
    change(queues, ANN, notify="")
    settled = queues.says(subject="contract", message_id="<q@example.com>")
    assert told(queues) == [f"new {BOB}", f"rule {ANN}", "rule boss@elsewhere.example"]
    assert trail(settled) == f"told {BOB}, {ANN}, boss@elsewhere.example"
    change(queues, ANN, notify="new replied")
    queues.says(subject="Re: contract", in_reply_to="<q@example.com>")
    assert told(queues, 3) == [f"replied {ANN}", f"replied {BOB}", "rule boss@elsewhere.example"]


def test_to_whom_a_rule_gives_a_ticket(queues: Office) -> None:
    """They are told that it is theirs, not that it is new as well; of old mail there is only the summary."""
    assert trail(queues.says(subject="toner")) == f"told {BOB}, {ANN}"
    assert told(queues) == [f"assigned {BOB}", f"new {ANN}"]
    assert trail(queues.says(subject="toner", received=OLD)).startswith("for the summary of old mail: it was received on")
    assert told(queues, 2) == ["old "] and queues.ticket(2)["assignee"] == BOB


def test_who_gets_a_ticket_is_told_unless_they_took_it(office: Office) -> None:
    """By another's hand, yes; by their own, or where nothing changes, no; nor who does not want to know."""
    office.says()
    for assignee, who, expected in ((BOB, ANN, [f"assigned {BOB}"]), (BOB, ANN, []), (ANN, ANN, []), (None, ANN, [])):
        before = len(notices(office))
        assign(office, 1, assignee, who)
        assert told(office, before) == expected
    change(office, BOB, notify="new replied failed")
    before = len(notices(office))
    assign(office, 1, BOB, ANN)
    assert told(office, before) == []


# -- nobody ----------------------------------------------------------------------------------------------------------


def test_two_programs_do_not_keep_each_other_busy(queues: Office) -> None:
    """An automatic mail on a ticket tells nobody, a rule's addresses neither; one of an agent's own opens in silence."""
    queues.says(subject="contract", message_id="<q@example.com>")
    before = len(notices(queues))
    settled = queues.says(subject="Re: contract", in_reply_to="<q@example.com>", auto_submitted="auto-replied")
    assert settled.letter.outcome == "commented" and trail(settled) == "nobody: it is an automatic mail"
    settled = queues.says(ANN, subject="Out of office", auto_submitted="auto-replied")
    assert trail(settled) == "nobody: it is an automatic mail from the address of an agent"
    assert len(notices(queues)) == before


def test_our_own_mail_tells_nobody(office: Office) -> None:
    """What comes back, comes twice or is ignored causes no notice."""
    office.says()
    office.replies(1)
    before = len(notices(office))
    assert office.takes(bytes(office.outbox()[-1]["raw"])).letter.outcome == "ignored"
    assert office.says(message_id="<1@theirs.example>").letter.outcome == "duplicate"
    assert len(notices(office)) == before


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"SMTP_HOST": ""}, ""), ({"SEND_ENABLED": "no"}, "nobody: SEND_ENABLED=no")],
)
def test_nothing_is_noted_where_nothing_can_be_sent(tmp_path: Path, settings: dict[str, str], why: str) -> None:
    """Without SMTP, or with sending switched off, no notice is written, in the line or by hand."""
    office = staff(Office(tmp_path, **settings), ANN, BOB)
    assert trail(office.says()) == why
    assert trail(office.says(received=OLD, subject="Old")) == why
    assign(office, 1, BOB, ANN)
    assert notices(office) == []
    office.close()


def test_without_agents(tmp_path: Path) -> None:
    """Where there is no agent, or none who is not disabled, nobody is told, of old mail neither."""
    office = Office(tmp_path)
    assert trail(office.says()) == "nobody: there is no agent"
    staff(office, ANN)
    change(office, ANN, disabled=True)
    assert trail(office.says(subject="2")) == "nobody: there is no agent"
    assert trail(office.says(subject="3", received=OLD)).startswith("nobody: there is no agent: it was received on")
    assert notices(office) == []
    office.close()


def test_an_agent_at_the_desks_own_address_is_not_told(office: Office) -> None:
    """A mail to ourselves would come back as ours."""
    staff(office, "support@desk.example", "support+x@desk.example")
    assert trail(office.says()) == f"told {ANN}, {BOB}"


def test_old_mail_waits_for_the_summary(office: Office) -> None:
    """A replayed mail, and one that was received long ago, leave one row a ticket, for nobody in particular."""
    settled = office.takes(a_mail("Replayed", message_id="<r@example.com>"), mark=REPLAYED)
    assert trail(settled) == "for the summary of old mail: it came by replay"
    office.says(subject="Old", received=OLD, message_id="<o@example.com>")
    office.says(subject="Re: Old", received=OLD, in_reply_to="<o@example.com>")
    assert notices(office) == [("old", 1, ""), ("old", 2, "")]
    assert [row["token"] for row in office.store.rows(tables.Notice.select())] == [None, None]


# -- what did not arrive ---------------------------------------------------------------------------------------------


def test_a_bounce_is_told_to_who_wrote_the_answer(office: Office) -> None:
    """Its writer is told, if an agent; else the assignee, else all; a bounce of long ago tells nobody."""
    office.says()
    replies = (Address("Bob", BOB), GUS, Address("Bob", BOB))
    for author, received, expected in zip(replies, ("", "", OLD), ([BOB], [ANN, BOB], []), strict=True):
        office.replies(1, author=author)
        before, sent = len(notices(office)), office.outbox()[-1]["message_id"]
        report = a_report(sent, "ann@example.com", status=f"5.1.{len(office.outbox())}")
        office.takes(report if not received else f"Received: {received}\n".encode() + report)
        assert told(office, before) == [f"failed {one}" for one in expected]
    what = office.store.values(tables.Notice.select(tables.Notice.what).where(tables.Notice.kind == "failed"))
    assert what[0].startswith("did not reach ann@example.com: 5.1.2 550 no such user here")


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_tokens_are_found_in_our_own_addresses_only(office: Office) -> None:
    """What stands behind the last + of an address of ours is a token if it looks like one, in any letter case."""
    [token] = new_tokens(1)
    for address, found in (
        (f"support+{token}@desk.example", token),
        (f"Support+{token.upper()}@DESK.example", token),
        (f"support+x+{token}@desk.example", token),
        (f"support+{token}@other.example", None),
        (f"support+{token[:-1]}@desk.example", None),
        (f"support+{token}1@desk.example", None),
        (f"{token}@desk.example", None),
        (f"+{token}@desk.example", None),
        ("support@desk.example", None),
        ("", None),
    ):
        assert token_of(address, office.settings) == found, address


def test_a_token_leads_to_its_notice(office: Office) -> None:
    """Its ticket and its agent are found, and whether that agent is disabled; an unknown one leads nowhere."""
    office.says()
    change(office, BOB, disabled=True)
    row = office.store.rows(tables.Notice.select().order_by(tables.Notice.id))[1]
    with office.desk() as desk:
        found = desk.notice(row["token"])
        assert found is not None and desk.notice(new_tokens(1)[0]) is None
    assert {name: found[name] for name in ("id", "ticket", "agent", "agent_address", "agent_name")} == {
        "id": row["id"],
        "ticket": 1,
        "agent": row["agent"],
        "agent_address": BOB,
        "agent_name": "Bob",
    }
    assert found["agent_disabled"] and found["created"] == row["created"]
