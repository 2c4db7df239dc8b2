"""Dialogues: who writes what, and what becomes of it. The whole line runs, readers and files included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.runner import Runner, Settled
from pipeline.settings import load
from pipeline.store import Store

from .conftest import a_mail

ANN, BOB, EVE = "Ann <ann@example.com>", "bob@example.com", "Eve <eve@stranger.example>"


class Talk:
    """A desk to write to. `says` delivers one mail, works it and returns what became of it."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.settings = load({"EMAIL_HOST_USER": "support@desk.example", **settings}, home)
        self.store = Store.open(self.settings)
        self.heard: list[Settled] = []
        self.runner = Runner(self.store, self.settings, lambda settled, ms: self.heard.append(settled))
        self._ids = itertools.count(1)

    def says(self, who: str, subject: str, body: str = "Hello.", **headers: str) -> Settled:
        headers = {"message_id": f"<{next(self._ids)}@{who[-4:].strip('<>')}>", **headers}
        self.runner.boxes["."].deliver(a_mail(subject, who, body, **headers))
        self.runner.sweep()
        return self.heard[-1]

    def we_answered(self, ticket: int, message_id: str, to: str) -> None:
        """Put an answer of ours on a ticket; sending itself is another room's."""
        number = 1 + self.store.count(tables.Message.select())
        row: dict[str, Any] = {"id": 1000 + number, "ticket": ticket, "kind": "reply", "message_id": message_id}
        row |= {
            "sent_to": f'["{to}"]',
            "date": "2026-11-22",
            "created": "2026-11-22",
            "text": "Our answer",
            "is_from_email": False,
        }
        with self.store.transaction():
            self.store.run(tables.Message.insert(row))

    def set(self, ticket: int, **columns: Any) -> None:
        with self.store.transaction():
            self.store.update(tables.Ticket, [(ticket, columns)])

    def ticket(self, number: int) -> dict[str, Any]:
        row = self.store.row(tables.Ticket.select().where(tables.Ticket.id == number))
        assert row is not None
        return row

    def links(self) -> list[tuple[int, int]]:
        return [(row["ticket"], row["other"]) for row in self.store.rows(tables.Link.select())]

    def events(self, ticket: int) -> list[str]:
        return self.store.values(
            tables.Event.select(tables.Event.what).where(tables.Event.ticket == ticket).order_by(tables.Event.id)
        )

    def close(self) -> None:
        self.runner.close()
        self.store.close()


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    talk = Talk(tmp_path)
    yield talk
    talk.close()


def expect(settled: Settled, outcome: str, ticket: int | None) -> None:
    assert (settled.letter.outcome, settled.letter.ticket) == (outcome, ticket), settled.letter.trail


def why(settled: Settled) -> str:
    return " | ".join(str(step) for step in settled.letter.trail)


def test_a_question_and_its_reply(talk: Talk) -> None:
    """A new mail opens a ticket with its sender as requester; the reply is a comment on it."""
    expect(talk.says(ANN, "Printer on fire", message_id="<q@example.com>"), "opened", 1)
    expect(talk.says(ANN, "Re: Printer on fire", in_reply_to="<q@example.com>"), "commented", 1)
    assert talk.ticket(1)["requester_address"] == "ann@example.com"


@pytest.mark.parametrize("prefix", ["Re: ", "AW: ", "SV: ", "Antw: ", "RES: ", "Odp: ", "Ynt: ", "回复：", "Fwd: Re: RE: "])
def test_a_tag_matches_behind_any_prefix(talk: Talk, prefix: str) -> None:
    """The subject's tag leads a participant to the ticket, in any language's reply."""
    talk.says(ANN, "Printer on fire")
    expect(talk.says(ANN, f"{prefix}[TICKET-001] Printer on fire"), "commented", 1)


def test_only_the_third_reference_is_known(talk: Talk) -> None:
    """Every id in References counts, not only the last."""
    talk.says(ANN, "Printer", message_id="<root@example.com>")
    settled = talk.says(ANN, "Re: Printer", references="<root@example.com> <lost-1@example.com> <lost-2@example.com>")
    expect(settled, "commented", 1)
    assert "References root@example.com is on TICKET-001" in why(settled)


def test_in_reply_to_wins_over_references(talk: Talk) -> None:
    """Where ids name different tickets, In-Reply-To decides."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two", message_id="<two@example.com>")
    expect(talk.says(ANN, "Re", in_reply_to="<one@example.com>", references="<two@example.com>"), "commented", 1)


def test_a_number_that_names_no_ticket_opens_one(talk: Talk) -> None:
    """A tag of a ticket that does not exist is no reason to lose the mail."""
    settled = talk.says(ANN, "Re: [TICKET-077] What?")
    expect(settled, "opened", 1)
    assert "no such ticket" in why(settled)


def test_of_several_numbers_the_last_that_takes_the_sender(talk: Talk) -> None:
    """Numbers are tried from the last; one of a stranger's ticket is passed over."""
    talk.says(ANN, "Ann's")
    talk.says(BOB, "Bob's")
    expect(talk.says(ANN, "[TICKET-001] see also [TICKET-002] and #99"), "commented", 1)


def test_a_stranger_with_a_tag_gets_a_linked_ticket(talk: Talk) -> None:
    """A guessed number opens no door: a new ticket, linked for the agent; nothing enters the named one."""
    talk.says(ANN, "Secret")
    settled = talk.says(EVE, "Re: [TICKET-001] Secret")
    expect(settled, "opened", 2)
    assert talk.links() == [(2, 1)]
    assert "eve@stranger.example is no participant there" in why(settled)
    assert "linked from TICKET-002" in talk.events(1)
    assert talk.store.count(tables.Message.select().where(tables.Message.ticket == 1)) == 1


def test_a_stranger_with_a_header_of_another_customer_gets_a_linked_ticket(talk: Talk) -> None:
    """Naming a received mail proves nothing."""
    talk.says(ANN, "Secret", message_id="<q@example.com>")
    expect(talk.says(EVE, "Re: Secret", in_reply_to="<q@example.com>"), "opened", 2)
    assert talk.links() == [(2, 1)]


def test_anyone_may_reply_where_the_policy_says_so(tmp_path: Path) -> None:
    """REPLY_POLICY=anyone drops the sender check of ids and numbers."""
    talk = Talk(tmp_path, REPLY_POLICY="anyone")
    try:
        talk.says(ANN, "Public", message_id="<q@example.com>")
        expect(talk.says(EVE, "Re: Public", in_reply_to="<q@example.com>"), "commented", 1)
        expect(talk.says(BOB, "[TICKET-001]"), "commented", 1)
    finally:
        talk.close()


def test_cc_of_the_opening_mail_may_reply_and_cc_of_a_reply_may_not(talk: Talk) -> None:
    """Participants come from the opening mail; a Cc that a reply adds joins nobody."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", cc=BOB)
    expect(talk.says(BOB, "Re: Printer", in_reply_to="<q@example.com>", cc=EVE), "commented", 1)
    expect(talk.says(EVE, "Re: Printer", in_reply_to="<q@example.com>"), "opened", 2)


def test_our_own_address_is_no_participant(talk: Talk) -> None:
    """To and Cc hold our own addresses in nearly every mail; they are left out."""
    talk.says(ANN, "Printer", cc="Support <SUPPORT@desk.example>, bob@example.com")
    rows = talk.store.values(tables.Participant.select(tables.Participant.address))
    assert rows == ["ann@example.com", "bob@example.com"]


def test_forty_of_a_long_cc_are_taken_in(talk: Talk) -> None:
    """Beside the requester, 40 of To and Cc become participants, however many are named."""
    talk.says(ANN, "All of you", cc=", ".join(f"p{i}@example.com" for i in range(60)))
    assert talk.store.count(tables.Participant.select()) == 41


def test_several_from_addresses_never_join_by_name(talk: Talk) -> None:
    """Two claims prove nothing: the mail opens a ticket of its own."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    settled = talk.says("ann@example.com, eve@stranger.example", "Re: [TICKET-001]", in_reply_to="<q@example.com>")
    expect(settled, "opened", 2)
    assert "several senders" in why(settled)


def test_an_answer_to_us_is_the_customers(talk: Talk) -> None:
    """Naming a message that we sent to this sender leads to its ticket, and reopens it."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "carol@example.com")
    talk.set(1, status="closed")
    settled = talk.says("carol@example.com", "no tag at all", in_reply_to="<random@desk.example>")
    expect(settled, "commented", 1)
    assert (settled.letter.verified, talk.ticket(1)["status"]) == (None, "open")


def test_a_stranger_who_has_our_message_is_shown_as_not_verified(talk: Talk) -> None:
    """A forward of our answer is kept on the ticket, marked, and reopens nothing."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    settled = talk.says(EVE, "Re: yours", in_reply_to="<random@desk.example>")
    expect(settled, "commented", 1)
    assert (settled.letter.verified, talk.ticket(1)["status"]) == (False, "closed")
    expect(talk.says(EVE, "[TICKET-001]"), "opened", 2)


def test_our_own_message_coming_back_makes_no_ticket(talk: Talk) -> None:
    """Our id under our address is ignored; our id under a foreign From is another mail."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    expect(talk.says("support@desk.example", "Re: Printer", message_id="<random@desk.example>"), "ignored", None)
    expect(talk.says(EVE, "Other", message_id="<random@desk.example>"), "opened", 2)


def test_out_of_office_is_kept_and_reopens_nothing(talk: Talk) -> None:
    """An automatic reply to a closed ticket is a comment; the ticket stays closed."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.set(1, status="closed")
    expect(talk.says(ANN, "Out of office", in_reply_to="<q@example.com>", auto_submitted="auto-replied"), "commented", 1)
    assert talk.ticket(1)["status"] == "closed"
    expect(talk.says(ANN, "Re: Printer", in_reply_to="<q@example.com>"), "commented", 1)
    assert talk.ticket(1)["status"] == "open"
    assert "status closed -> open" in talk.events(1)


def test_a_merged_ticket_passes_its_replies_on(talk: Talk) -> None:
    """A reply to a ticket that was merged lands where it went."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    talk.set(1, status="merged", merged_into=2)
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 2)


def test_a_bounce_that_names_nothing_of_ours_is_ignored(talk: Talk) -> None:
    """A bounce makes no ticket."""
    expect(talk.says("MAILER-DAEMON@mx.example", "Undelivered Mail Returned to Sender"), "ignored", None)


def test_a_bounce_of_our_answer_is_an_event(talk: Talk) -> None:
    """The ticket of the message that bounced says so in its history."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    bounce = talk.says("MAILER-DAEMON@mx.example", "Undelivered Mail Returned to Sender", references="<random@desk.example>")
    expect(bounce, "ignored", 1)
    assert talk.events(1)[-1] == "bounced: did not reach the recipient"


def test_the_same_mail_twice_is_one_message(talk: Talk) -> None:
    """Another route and other trace headers make a second delivery, not a second mail."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", received="from a by b")
    expect(
        talk.says(ANN, "Printer", message_id="<q@example.com>", received="from c by d", delivered_to="x@desk.example"),
        "duplicate",
        1,
    )
    assert talk.store.count(tables.Message.select()) == 1


def test_a_mail_without_an_id_twice_is_one_message(talk: Talk) -> None:
    """Without a Message-ID the rest of the identity decides."""
    raw = a_mail("No id", ANN, message_id=None)
    for extra in (b"", b"Received: by elsewhere\n"):
        talk.runner.boxes["."].deliver(extra + raw)
        talk.runner.sweep()
    assert [settled.letter.outcome for settled in talk.heard] == ["opened", "duplicate"]


def test_one_id_with_two_contents_is_two_mails(talk: Talk) -> None:
    """A reused Message-ID hides nothing: the second mail is matched like any other, and flagged."""
    talk.says(ANN, "Parcel 1", "Your parcel one", message_id="<same@shop.example>")
    settled = talk.says(ANN, "Parcel 2", "Your parcel two", message_id="<same@shop.example>")
    expect(settled, "opened", 2)
    assert "another mail with other content" in settled.letter.mail.defects[0]
    assert "Message-ID used twice" in talk.events(2)


def test_a_squatted_id_does_not_swallow_the_real_mail(talk: Talk) -> None:
    """Who guesses an id and sends it first gets a ticket of his own; the real mail and its reply find theirs."""
    talk.says(EVE, "First", "squatted", message_id="<real@example.com>")
    expect(talk.says(ANN, "Real", "the real one", message_id="<real@example.com>"), "opened", 2)
    expect(talk.says(ANN, "Re: Real", in_reply_to="<real@example.com>"), "commented", 2)
    expect(talk.says(EVE, "Re: First", in_reply_to="<real@example.com>"), "commented", 1)


def test_a_parent_that_comes_late_moves_nothing(talk: Talk) -> None:
    """A reply that came before its parent keeps its ticket; the two are linked."""
    expect(talk.says(ANN, "Re: Late", in_reply_to="<late@example.com>"), "opened", 1)
    expect(talk.says(ANN, "Late", message_id="<late@example.com>"), "opened", 2)
    assert talk.links() == [(2, 1)]


def test_never_by_the_title_alone(talk: Talk) -> None:
    """The same subject from the same sender is another matter."""
    talk.says(ANN, "Printer")
    expect(talk.says(ANN, "Re: Printer"), "opened", 2)


def test_a_mail_without_a_sender_opens_a_ticket_of_nobody(talk: Talk) -> None:
    """No usable From: the requester is unknown, and there is no person."""
    raw = b"Subject: who am I\nMessage-ID: <x@y>\n\nhello\n"
    talk.runner.boxes["."].deliver(raw)
    talk.runner.sweep()
    expect(talk.heard[-1], "opened", 1)
    assert talk.ticket(1)["requester_address"] is None
    assert talk.store.count(tables.Person.select()) == 0


def test_a_reply_in_the_same_batch_finds_its_parent(talk: Talk) -> None:
    """Mails that wait together are decided in order, each seeing what came before it."""
    box = talk.runner.boxes["."]
    box.deliver(a_mail("Q", ANN, message_id="<q@example.com>"))
    box.deliver(a_mail("Re: Q", ANN, message_id="<r@example.com>", in_reply_to="<q@example.com>"))
    box.deliver(a_mail("Re: Re: Q", ANN, message_id="<s@example.com>", in_reply_to="<r@example.com>"))
    box.deliver(a_mail("Q", ANN, message_id="<q@example.com>"))
    talk.runner.sweep()
    assert [(s.letter.outcome, s.letter.ticket) for s in talk.heard] == [
        ("opened", 1),
        ("commented", 1),
        ("commented", 1),
        ("duplicate", 1),
    ]


def test_look_alike_addresses_are_two_people(talk: Talk) -> None:
    """A Cyrillic or full-width letter makes another sender, who joins nothing."""
    talk.says(ANN, "Secret")
    expect(talk.says("=?utf-8?q?=D0=B0nn?= <\u0430nn@example.com>", "[TICKET-001]"), "opened", 2)
