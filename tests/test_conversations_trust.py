"""Dialogues with people who are not who they say, or have no business there: who gets in, and what is only kept."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from pipeline import tables
from pipeline.desk import at_desk
from pipeline.letter import Outcome

from .talk import AGENT, ANN, BOB, DESK, EVE, TRUSTED, Talk, expect, found, why, written
from .talk import one_desk as one_desk
from .talk import one_guarded_desk as one_guarded_desk
from .talk import some_desks as some_desks
from .talk import some_readers as some_readers

# -- strangers ---------------------------------------------------------------------------------------------------------


def test_a_stranger_with_a_tag_gets_a_linked_ticket(talk: Talk) -> None:
    """A guessed number opens no door: a new ticket, linked for the agent; nothing enters the named one."""
    talk.says(ANN, "Secret")
    settled = talk.says(EVE, "Re: [TICKET-001] Secret")
    expect(settled, "opened", 2)
    assert talk.links() == [(2, 1)]
    assert "eve@stranger.example is no participant there" in why(settled)
    assert "linked from TICKET-002" in talk.events(1)
    assert (len(talk.messages(1)), talk.participants(1)) == (1, ["ann@example.com"])


def test_a_strangers_ticket_shows_nothing_of_the_named_one(talk: Talk) -> None:
    """What is on the stranger's ticket is the stranger's own; the link is the agent's."""
    talk.says(ANN, "Secret plans", "The vault opens at nine.", cc=BOB)
    talk.says(EVE, "[TICKET-001]", "Let me in.")
    told = json.dumps([talk.ticket(2), talk.messages(2), talk.participants(2)])
    assert not any(word in told for word in ("Secret", "vault", "ann@", "bob@"))


def test_a_stranger_with_a_header_of_another_customer_gets_a_linked_ticket(talk: Talk) -> None:
    """Naming a received mail proves nothing."""
    talk.says(ANN, "Secret", message_id="<q@example.com>")
    settled = talk.says(EVE, "Re: Secret", in_reply_to="<q@example.com>", references="<q@example.com>")
    expect(settled, "opened", 2)
    assert talk.links() == [(2, 1)]
    assert "In-Reply-To q@example.com names TICKET-001, but eve@stranger.example is no participant there" in why(settled)
    expect(talk.says(EVE, "Re: Secret", in_reply_to="<2@mple>"), "opened", 3)
    assert len(talk.messages(1)) == 1


def test_a_strangers_own_dialogue_goes_on(talk: Talk) -> None:
    """The linked ticket is the stranger's: replies to it land there, and still not on the named one."""
    talk.says(ANN, "Secret", message_id="<q@example.com>")
    talk.says(EVE, "Re: Secret", in_reply_to="<q@example.com>", message_id="<e@stranger.example>")
    expect(talk.says(EVE, "Again", references="<q@example.com> <e@stranger.example>"), "commented", 2)
    expect(talk.says(EVE, "Again", in_reply_to="<q@example.com>", references="<e@stranger.example>"), "commented", 2)
    expect(talk.says(ANN, "Re: Secret", in_reply_to="<e@stranger.example>"), "opened", 3)


def test_a_stranger_on_a_merged_ticket_stays_outside(talk: Talk) -> None:
    """A number that leads through a merge is guarded where it leads."""
    talk.says(ANN, "One")
    talk.says(ANN, "Two")
    talk.merges(1, 2)
    expect(talk.says(EVE, "[TICKET-001]"), "opened", 3)
    assert talk.links() == [(3, 2)]


def test_who_was_approved_may_speak(talk: Talk) -> None:
    """An agent's approval makes a participant."""
    talk.says(ANN, "Printer")
    with at_desk(talk.store, talk.settings) as desk:
        desk.approve(1, "eve@stranger.example", "gus@desk.example")
    expect(talk.says(EVE, "[TICKET-001]"), "commented", 1)


def test_two_addresses_of_one_person(talk: Talk) -> None:
    """Once an agent says that two addresses are one person's, either may speak for the other."""
    talk.says(ANN, "Printer")
    expect(talk.says("ann@home.example", "[TICKET-001]"), "opened", 2)
    with at_desk(talk.store, talk.settings) as desk:
        desk.merge_people(1, 2)
    expect(talk.says("ann@home.example", "[TICKET-001]"), "commented", 1)


# -- who looks like somebody -------------------------------------------------------------------------------------------

CLAIMS = [
    '"ann@example.com" <eve@stranger.example>',
    "ann@example.com <eve@stranger.example>",
    "<ann@example.com> <eve@stranger.example>",
    "eve@stranger.example (ann@example.com)",
    "=?utf-8?q?ann=40example=2Ecom?= <eve@stranger.example>",
    "=?utf-8?b?PGFubkBleGFtcGxlLmNvbT4=?= <eve@stranger.example>",
    "=?utf-8?q?ann=40example=2Ecom=3E=2C?= <eve@stranger.example>",
    '"Ann\\" <ann@example.com>" <eve@stranger.example>',
    "ann@example.com@stranger.example",
    '"ann@example.com"@stranger.example',
    "ann@example.com.stranger.example",
    "ann@example.com, eve@stranger.example",
    "Ann: ann@example.com, eve@stranger.example;",
    "eve@stranger.example\nFrom: ann@example.com",
    "ann@example.com\nFrom: eve@stranger.example",
    "eve@stranger.example\nSender: ann@example.com\nReply-To: ann@example.com\nX-Original-From: ann@example.com",
    "<@example.com:eve@stranger.example>",
    "ann+x@example.com",
    "ann@sub.example.com",
    "ann@example.co",
    "аnn@example.com",
    "ａｎｎ@example.com",
    "ann@ехample.com",
    "ann@xn--ample-qofb.com",
    "",
    "<>",
    "undisclosed-recipients:;",
]


@pytest.mark.parametrize("claim", CLAIMS)
def test_who_only_looks_like_a_participant_stays_outside(talk: Talk, claim: str) -> None:
    """Display names, comments, encoded words, several Froms, other headers and look-alike letters make nobody a participant."""
    talk.says(ANN, "Secret", message_id="<q@example.com>")
    settled = talk.says(claim, "Re: [TICKET-001] Secret", in_reply_to="<q@example.com>", message_id="<e@stranger.example>")
    expect(settled, "opened", 2)
    assert talk.links() == [(2, 1)]
    assert len(talk.messages(1)) == 1


def test_a_look_alike_is_flagged(talk: Talk) -> None:
    """An address that people may take for a customer's is another, and the ticket says so."""
    talk.says(ANN, "Secret")
    settled = talk.says("Ann <\u0430nn@example.com>", "Me again")
    expect(settled, "opened", 2)
    assert "look-alike" in talk.events(2)
    assert any("looks like ann@example.com" in defect for defect in settled.letter.mail.defects)


def test_several_from_addresses_never_join(talk: Talk) -> None:
    """Two claims prove nothing: by a name they open a ticket of their own, by our id they are shown as not verified."""
    both = "ann@example.com, eve@stranger.example"
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    settled = talk.says(both, "Re: [TICKET-001]", in_reply_to="<q@example.com>")
    expect(settled, "opened", 2)
    assert "several senders" in why(settled)
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    expect(talk.says(both, "Re: yours", in_reply_to="<random@desk.example>"), "commented", 1)
    assert (talk.messages(1)[-1]["verified"], talk.status(1)) == (False, "closed")


# -- our own messages --------------------------------------------------------------------------------------------------


def test_an_answer_to_us_is_the_customers(talk: Talk) -> None:
    """Naming a message that we sent to this sender leads to its ticket, and reopens it."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "carol@example.com")
    talk.set(1, status="closed")
    settled = talk.says("carol@example.com", "no tag at all", in_reply_to="<random@desk.example>")
    expect(settled, "commented", 1)
    assert (settled.letter.verified, talk.status(1)) == (None, "open")


def test_a_stranger_who_has_our_message_is_shown_as_not_verified(talk: Talk) -> None:
    """A forward of our answer is kept on the ticket, marked, reopens nothing, and makes no participant."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    settled = talk.says(EVE, "Re: yours", in_reply_to="<random@desk.example>", cc="mallory@stranger.example")
    expect(settled, "commented", 1)
    assert "eve@stranger.example is no participant: shown as not verified" in why(settled)
    assert (talk.messages(1)[-1]["verified"], talk.status(1), talk.participants(1)) == (False, "closed", ["ann@example.com"])
    expect(talk.says(EVE, "[TICKET-001]"), "opened", 2)
    expect(talk.says(EVE, "Re: yours", references="<random@desk.example> <lost@stranger.example>"), "commented", 1)
    assert talk.status(1) == "closed"


def test_our_message_wins_over_a_received_one(talk: Talk) -> None:
    """Our ids cannot be guessed; a received one may be anybody's, wherever they stand."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    talk.we_answered(2, "random@desk.example", "ann@example.com")
    settled = talk.says(ANN, "Re", in_reply_to="<one@example.com>", references="<random@desk.example>")
    expect(settled, "commented", 2)


def test_a_guessed_id_of_ours_is_no_id_of_ours(talk: Talk) -> None:
    """Ours is only what we sent, letter by letter."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "aBcD1234@desk.example", "ann@example.com")
    for guess in ("abcd1234@desk.example", "aBcD123@desk.example", "aBcD1234@desk.example.com", "ticket-1@desk.example"):
        assert talk.says(EVE, "Re", in_reply_to=f"<{guess}>").letter.outcome == "opened"
    assert len(talk.messages(1)) == 2


def test_our_own_message_coming_back_makes_no_ticket(talk: Talk) -> None:
    """Our id under our address is ignored; our id under a foreign From is another mail."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    expect(talk.says(DESK, "Re: Printer", message_id="<random@desk.example>"), "ignored", None)
    expect(talk.says(EVE, "Other", message_id="<random@desk.example>"), "opened", 2)


def test_who_claims_to_be_the_desk_writes_into_no_ticket(talk: Talk) -> None:
    """Our own address in From is a claim as any other, with a plus or without."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", cc="support@desk.example, support+x@desk.example")
    for sender in (DESK, "support+x@desk.example"):
        assert talk.says(sender, "[TICKET-001]", in_reply_to="<q@example.com>").letter.outcome == "opened"
    assert len(talk.messages(1)) == 1


CONTROLS = {
    "X-Letterdesk-Ticket": "1",
    "X-Letterdesk-Approved": "yes",
    "X-Letterdesk-Verified": "true",
    "X-Letterdesk-Outcome": "commented",
    "X-Ticket": "TICKET-001",
    "X-Ticket-Id": "1",
    "X-Ticket-Number": "[TICKET-001]",
    "X-Helpdesk-Ticket": "#1",
    "X-Status": "closed",
    "X-Agent": "gus@desk.example",
    "X-Requester": "ann@example.com",
    "X-Marks": "approved join sent",
    "X-Priority-Set": "urgent",
    "X-Rt-Ticket": "desk #1",
    "X-Otrs-Ticketnumber": "1",
    "X-Zammad-Ticket-Id": "1",
    "Thread-Topic": "[TICKET-001] Secret",
    "Comments": "[TICKET-001]",
    "Keywords": "#1",
    "Delivered-To": "support+TICKET-001@desk.example",
    "X-Original-To": "ticket+1@desk.example",
}


def test_no_header_from_outside_steers_the_desk(talk: Talk) -> None:
    """Whatever a stranger writes into headers of our own making, or another helpdesk's, is only text."""
    talk.hires(AGENT)
    talk.says(ANN, "Secret", message_id="<q@example.com>")
    settled = talk.says(EVE, "Hello", **{name.replace("-", "_"): value for name, value in CONTROLS.items()})
    expect(settled, "opened", 2)
    row = talk.ticket(2)
    assert (row["status"], row["priority"], row["assignee"], talk.links()) == ("open", "normal", None, [])
    assert (settled.letter.verified, settled.letter.marks) == (None, frozenset())


# -- a server whose findings are trusted -------------------------------------------------------------------------------


def test_a_proven_sender_is_verified(guarded: Talk) -> None:
    """dmarc=pass of the trusted server makes a mail its sender's, and reopens."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>", authentication_results=found("pass"))
    guarded.set(1, status="closed")
    expect(guarded.says(ANN, "Re", in_reply_to="<q@example.com>", authentication_results=found("pass")), "commented", 1)
    assert ([message["verified"] for message in guarded.messages(1)], guarded.status(1)) == ([True, True], "open")


@pytest.mark.parametrize(
    "results",
    [
        None,
        found("none"),
        found("temperror"),
        found("bestguesspass"),
        f"{TRUSTED}; spf=pass; dkim=pass header.d=example.com",
        found("pass", server="mx.stranger.example"),
        found("pass", server=f"x{TRUSTED}"),
        f"mx.relay.example; dmarc=none\nAuthentication-Results: {found('pass')}",
        f"{found('none')}\nAuthentication-Results: {found('pass')}",
        f'{TRUSTED}; spf=pass smtp.mailfrom="x; dmarc=pass"; dmarc=none',
        f"{TRUSTED}; spf=pass smtp.mailfrom==?utf-8?q?=3B_dmarc=3Dpass_x?=@evil.example",
        found("pass", of="stranger.example"),
        found("pass", of="xample.com"),
    ],
)
def test_an_unproven_sender_is_commented_and_reopens_nothing(guarded: Talk, results: str | None) -> None:
    """Without a dmarc=pass in the topmost header, of the trusted server, for the domain of From, nobody is verified."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    guarded.set(1, status="closed")
    settled = guarded.says(ANN, "Re: Printer", in_reply_to="<q@example.com>", authentication_results=results)
    expect(settled, "commented", 1)
    assert (guarded.messages(1)[-1]["verified"], guarded.status(1)) == (False, "closed")


def test_of_several_senders_none_is_verified(guarded: Talk) -> None:
    """A server's dmarc=pass does not say whose mail it is where From names two."""
    settled = guarded.says("ann@example.com, bob@example.com", "Printer", authentication_results=found("pass"))
    expect(settled, "opened", 1)
    assert settled.letter.verified is False


def test_a_topmost_verdict_counts_and_not_one_below(guarded: Talk) -> None:
    """The server writes on top; what stands below came with the mail."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    below = f"{found('pass')}\nAuthentication-Results: {found('fail')}"
    assert guarded.says(ANN, "Re", in_reply_to="<q@example.com>", authentication_results=below).letter.verified is True
    above = f"{found('fail')}\nAuthentication-Results: {found('pass')}"
    expect(guarded.says(ANN, "Re", in_reply_to="<q@example.com>", authentication_results=above), "held", 1)


@pytest.mark.parametrize("sender", [ANN, AGENT])
@pytest.mark.parametrize(
    "headers",
    [
        {"subject": "Re: [TICKET-001]"},
        {"in_reply_to": "<q@example.com>"},
        {"references": "<lost@x.example> <random@desk.example>"},
    ],
    ids=["number", "received", "ours"],
)
def test_a_forged_sender_is_held(guarded: Talk, sender: str, headers: dict[str, str]) -> None:
    """dmarc=fail keeps a mail in the requester's or a participating agent's name from the ticket, however it names it."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>", cc=AGENT)
    guarded.we_answered(1, "random@desk.example", "ann@example.com")
    guarded.set(1, status="closed")
    results = found("fail", of=sender.rpartition("@")[2].rstrip(">"))
    settled = guarded.says(sender, **{"subject": "Re", **headers}, authentication_results=results)
    expect(settled, "held", 1)
    assert "failed dmarc" in why(settled)
    assert (len(guarded.messages(1)), guarded.status(1)) == (2, "closed")


@pytest.mark.parametrize(("verdict", "outcome", "ticket"), [("fail", "held", 1), ("none", "opened", 2), (None, "opened", 2)])
def test_a_forged_agent_joins_nothing(guarded: Talk, verdict: str | None, outcome: str, ticket: int) -> None:
    """An agent's address in From is a claim: disproven it is held, unproven it names a ticket like a stranger's."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    results = verdict and found(verdict, of="desk.example")
    settled = guarded.says(AGENT, "[TICKET-001]", in_reply_to="<q@example.com>", authentication_results=results)
    expect(settled, outcome, ticket)
    assert settled.letter.verified is False
    assert len(guarded.messages(1)) == 1


def test_a_proven_agent_is_a_participant_everywhere(guarded: Talk) -> None:
    """dmarc=pass lets an agent into any ticket, by number, by a customer's id and by ours; a disabled one is a stranger."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    guarded.we_answered(1, "random@desk.example", "ann@example.com")
    proof = {"authentication_results": found("pass", of="desk.example")}
    expect(guarded.says(AGENT, "[TICKET-001]", **proof), "commented", 1)
    expect(guarded.says(AGENT, "Re", in_reply_to="<q@example.com>", **proof), "commented", 1)
    expect(guarded.says(AGENT, "Re", in_reply_to="<random@desk.example>", **proof), "commented", 1)
    assert [message["verified"] for message in guarded.messages(1)[-3:]] == [True, True, True]
    with at_desk(guarded.store, guarded.settings) as desk:
        row = desk.agent("gus@desk.example")
        assert row
        desk.disable_agent(row)
    expect(guarded.says(AGENT, "[TICKET-001]", **proof), "opened", 2)


def test_a_proven_stranger_is_a_stranger(guarded: Talk) -> None:
    """That the sender is who he says opens no door either."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    results = found("pass", of="stranger.example")
    expect(guarded.says(EVE, "[TICKET-001]", in_reply_to="<q@example.com>", authentication_results=results), "opened", 2)


def test_a_forged_new_mail_opens_a_ticket_that_nobody_verified(guarded: Talk) -> None:
    """What names no ticket is no danger to one: dmarc=fail is shown."""
    expect(guarded.says(ANN, "Printer", authentication_results=found("fail")), "opened", 1)
    assert guarded.messages(1)[0]["verified"] is False


def test_where_no_server_is_trusted_nobody_is_verified(talk: Talk) -> None:
    """Without TRUSTED_AUTHSERV_ID the header says nothing at all: verified is unknown, whatever it says."""
    talk.hires(AGENT)
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    for verdict in ("pass", "none", "fail"):
        settled = talk.says(ANN, "Re", in_reply_to="<q@example.com>", authentication_results=found(verdict))
        expect(settled, "commented", 1)
        assert settled.letter.verified is None
    settled = talk.says(AGENT, "[TICKET-001]", authentication_results=found("pass", of="desk.example"))
    expect(settled, "opened", 2)


# -- held mails --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [{"x_spam_flag": "YES"}, {"x_spam_status": "Yes, score=9.1 required=5.0"}])
def test_flagged_spam_is_held(talk: Talk, header: dict[str, str]) -> None:
    """A filter's verdict keeps a mail from opening or joining anything until an agent looked."""
    talk.says(ANN, "Printer")
    for subject in ("Cheap pills", "[TICKET-001]"):
        settled = talk.says(ANN, subject, **header)
        expect(settled, "held", None)
        assert "flagged as spam" in why(settled)
    assert (talk.tickets(), len(talk.messages(1))) == (1, 1)


def test_a_blocked_sender_is_held_until_let_through(talk: Talk) -> None:
    """Once an agent called it spam, the sender's next mails wait, on that ticket and elsewhere; the others' do not."""
    talk.says(EVE, "Buy this", message_id="<s@stranger.example>")
    with at_desk(talk.store, talk.settings) as desk:
        desk.spam(1, "gus@desk.example")
    expect(talk.says(EVE, "Buy that"), "held", None)
    expect(talk.says("EVE@Stranger.Example", "Re: Buy this", in_reply_to="<s@stranger.example>"), "held", None)
    expect(talk.says(ANN, "Printer"), "opened", 2)
    with at_desk(talk.store, talk.settings) as desk:
        desk.no_spam(1, "gus@desk.example")
    expect(talk.says(EVE, "Sorry"), "opened", 3)


def held_mails(talk: Talk) -> list[int]:
    mail = tables.Mail
    return talk.store.values(mail.select(mail.id).where(mail.outcome == Outcome.HELD.value))


def test_an_approved_mail_joins_its_ticket(guarded: Talk) -> None:
    """What an agent lets through is commented and not verified; a copy of a held mail changes nothing."""
    guarded.says(ANN, "Printer", message_id="<q@example.com>")
    raw = written(ANN, "Re", message_id="<f@example.com>", in_reply_to="<q@example.com>", authentication_results=found("fail"))
    expect(guarded.brings(raw), "held", 1)
    expect(guarded.brings(raw), "duplicate", 1)
    assert len(guarded.messages(1)) == 1
    guarded.runner.approve(held_mails(guarded), "gus@desk.example")
    expect(guarded.heard[-1], "commented", 1)
    assert (guarded.messages(1)[-1]["verified"], held_mails(guarded)) == (False, [])


def test_an_approved_stranger_reopens_nothing(talk: Talk) -> None:
    """Letting a mail through shows it; its sender belongs to the ticket only if the agent says so."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    expect(talk.says(EVE, "Re: yours", in_reply_to="<random@desk.example>", x_spam_flag="YES"), "held", None)
    talk.runner.approve(held_mails(talk), "gus@desk.example")
    expect(talk.heard[-1], "commented", 1)
    assert (talk.status(1), talk.participants(1)) == ("closed", ["ann@example.com"])


def test_an_approval_may_make_a_participant(talk: Talk) -> None:
    """If asked, the approved sender may speak on the ticket from then on."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.says(EVE, "Offer", x_spam_flag="YES")
    talk.runner.approve(held_mails(talk), "gus@desk.example", join=True)
    expect(talk.heard[-1], "opened", 2)
    assert talk.participants(2) == ["eve@stranger.example"]


# -- agents ------------------------------------------------------------------------------------------------------------

FORWARD = """Please take care, he is in a hurry.

---------- Forwarded message ---------
From: Carl <carl@customer.example>
Date: Sat, 21 Nov 2026 at 10:00
Subject: My printer burns
To: Gus <gus@desk.example>

It really burns.
"""


def test_a_proven_agents_forward_is_the_customers_ticket(guarded: Talk) -> None:
    """The customer becomes the requester, the agent's words a note; that the customer wrote it is told, not proven."""
    proof = {"authentication_results": found("pass", of="desk.example"), "message_id": "<fwd@desk.example>"}
    raw = written(AGENT, "Fwd: My printer burns", FORWARD, **proof)
    expect(guarded.brings(raw), "opened", 1)
    ticket = guarded.ticket(1)
    assert (ticket["requester_address"], ticket["subject"]) == ("carl@customer.example", "My printer burns")
    assert guarded.participants(1) == ["carl@customer.example"]
    for _ in range(2):  # replaying the same bytes derives the same message
        mail, note = guarded.messages(1)
        assert (mail["author_address"], mail["text"].strip(), mail["verified"]) == (
            "carl@customer.example",
            "It really burns.",
            None,
        )
        assert (note["kind"], note["text"].strip()) == ("note", "Please take care, he is in a hurry.")
        expect(guarded.brings(raw), "duplicate", 1)
    expect(guarded.says("carl@customer.example", "[TICKET-001]"), "commented", 1)


@pytest.mark.parametrize("verdict", ["fail", "none", None])
def test_an_unproven_agents_forward_is_nobodys_word(guarded: Talk, verdict: str | None) -> None:
    """Who only claims to be an agent opens a ticket as himself, and speaks for no customer."""
    results = verdict and found(verdict, of="desk.example")
    expect(guarded.says(AGENT, "Fwd: My printer burns", FORWARD, authentication_results=results), "opened", 1)
    assert guarded.ticket(1)["requester_address"] == "gus@desk.example"
    assert guarded.participants(1) == ["gus@desk.example"]
    assert [message["kind"] for message in guarded.messages(1)] == ["mail"]


def test_without_a_trusted_server_no_agent_forwards(talk: Talk) -> None:
    """From alone never makes an agent."""
    talk.hires(AGENT)
    results = found("pass", of="desk.example")
    expect(talk.says(AGENT, "Fwd: My printer burns", FORWARD, authentication_results=results), "opened", 1)
    assert talk.ticket(1)["requester_address"] == "gus@desk.example"


def test_a_customers_forward_is_the_customers_own(guarded: Talk) -> None:
    """Only agents speak for others."""
    expect(guarded.says(ANN, "Fwd: My printer burns", FORWARD, authentication_results=found("pass")), "opened", 1)
    assert guarded.ticket(1)["requester_address"] == "ann@example.com"


# -- the Sent folder ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sending(desks: Callable[..., Talk]) -> Talk:
    """A desk that also looks into the Sent folder of its mailbox."""
    talk = desks(SENT_FOLDER="Sent", IMAP_FOLDER="INBOX")
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    return talk


def test_a_reply_from_another_mail_client_is_our_reply(sending: Talk) -> None:
    """What is found in the Sent folder is a reply on the ticket that it answers, and its id is ours from then on."""
    answer = {"message_id": "<client@desk.example>", "in_reply_to": "<q@example.com>", "to": ANN}
    expect(sending.says(DESK, "Re: Printer", "Try again.", box="Sent", **answer), "commented", 1)
    reply = sending.messages(1)[-1]
    assert (reply["kind"], reply["message_id"], json.loads(reply["sent_to"])) == (
        "reply",
        "client@desk.example",
        ["ann@example.com"],
    )
    assert sending.status(1) == "waiting"
    expect(sending.says(ANN, "Thanks", in_reply_to="<client@desk.example>"), "commented", 1)
    assert sending.status(1) == "open"
    expect(sending.says(DESK, "Re: Printer", "Try again.", **answer), "duplicate", 1)


def test_what_we_sent_needs_no_proof(desks: Callable[..., Talk]) -> None:
    """No server judged what lies in our own Sent folder: nobody doubts it, and nobody holds it."""
    talk = desks(SENT_FOLDER="Sent", IMAP_FOLDER="INBOX", TRUSTED_AUTHSERV_ID=TRUSTED)
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    for results in (None, found("fail", of="desk.example")):
        answer = {"in_reply_to": "<q@example.com>", "to": ANN}
        expect(talk.says(DESK, "Re: Printer", box="Sent", **answer, authentication_results=results), "commented", 1)
        assert talk.messages(1)[-1]["verified"] is None


def test_a_sent_mail_by_number_goes_to_a_participant(sending: Talk) -> None:
    """A tag in its subject counts where the mail went to one who takes part."""
    expect(sending.says(DESK, "Re: [TICKET-001] Printer", box="Sent", to=ANN), "commented", 1)
    expect(sending.says(DESK, "Fwd: [TICKET-001] Printer", box="Sent", to=EVE), "ignored", None)


def test_what_else_was_sent_makes_no_ticket(sending: Talk) -> None:
    """Our other letters in the Sent folder are nobody's business here."""
    expect(sending.says(DESK, "Lunch?", box="Sent", to=EVE), "ignored", None)
    assert sending.tickets() == 1


def test_a_sent_reply_goes_where_its_addressee_is(sending: Talk) -> None:
    """Where a stranger used the customer's id too, the answer to the customer is on the customer's ticket."""
    sending.says(EVE, "Mine", "squatted", message_id="<q@example.com>")
    expect(sending.says(DESK, "Re: Printer", box="Sent", to=ANN, in_reply_to="<q@example.com>"), "commented", 1)
    expect(sending.says(DESK, "Re: Mine", box="Sent", to=EVE, in_reply_to="<q@example.com>"), "commented", 2)


def test_nobody_sends_in_our_name_from_outside(sending: Talk) -> None:
    """The same letter in any other folder is a stranger's claim."""
    expect(sending.says(DESK, "Re: Printer", box="INBOX", to=ANN, in_reply_to="<q@example.com>"), "opened", 2)
    assert [message["kind"] for message in sending.messages(1)] == ["mail"]
