"""Dialogues: who writes what, and which ticket it lands on. The whole line runs, readers and files included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import tables
from pipeline.desk import MAX_LINKS, at_desk
from pipeline.stages.screen import MAX_NUMBERS

from .talk import ANN, BOB, DESK, EVE, Talk, expect, why, written
from .talk import one_desk as one_desk
from .talk import some_desks as some_desks
from .talk import some_readers as some_readers

# -- a question and its replies ----------------------------------------------------------------------------------------


def test_a_question_and_its_reply(talk: Talk) -> None:
    """A new mail opens a ticket with its sender as requester; the reply is a comment on it."""
    expect(talk.says(ANN, "Printer on fire", message_id="<q@example.com>"), "opened", 1)
    expect(talk.says(ANN, "Re: Printer on fire", in_reply_to="<q@example.com>"), "commented", 1)
    assert talk.ticket(1)["requester_address"] == "ann@example.com"


def test_two_customers_and_their_replies(talk: Talk) -> None:
    """Each dialogue stays on its own ticket, whatever their titles."""
    expect(talk.says(ANN, "Help", message_id="<a1@example.com>"), "opened", 1)
    expect(talk.says(BOB, "Help", message_id="<b1@example.com>"), "opened", 2)
    expect(talk.says(ANN, "Re: Help", message_id="<a2@example.com>", in_reply_to="<a1@example.com>"), "commented", 1)
    expect(talk.says(BOB, "Re: Help", message_id="<b2@example.com>", in_reply_to="<b1@example.com>"), "commented", 2)
    expect(talk.says(ANN, "Re: Help", references="<a1@example.com> <a2@example.com>"), "commented", 1)


PREFIXES = [
    "Re: ", "RE:", "re[2]: ", "AW: ", "SV: ", "VS: ", "RV: ", "RES: ", "R: ", "RIF: ", "Antw: ", "Odp: ", "Ynt: ",
    "YNT: ", "İlt: ", "TR: ", "WG: ", "Fwd: Re: RE: ", "Res: Enc: ", "回复: ", "回复：", "答复：", "回覆：", "返信: ", "답장: ",
    "Отв: ", "НА: ", "Απ: ", "תשובה: ", "رد: ", "Vá: ", "Vast: ", "Atb: ", "Ats.: ", "Trả lời: ", "ตอบ: ",
    "Bls: ", "=?utf-8?b?5Zue5aSNOiA=?= ",
]  # fmt: skip


def landed(talk: Talk, subjects: list[str], **headers: str) -> dict[str, tuple[str, int | None]]:
    """Let Ann write each subject; tell what became of it."""
    letters = {subject: talk.says(ANN, subject, **headers).letter for subject in subjects}
    return {subject: (str(letter.outcome), letter.ticket) for subject, letter in letters.items()}


def test_a_tag_matches_behind_any_prefix(talk: Talk) -> None:
    """The subject's tag leads a participant to the ticket, in any language's reply."""
    talk.says(ANN, "Printer on fire")
    subjects = [f"{prefix}[TICKET-001] Printer on fire" for prefix in PREFIXES]
    assert landed(talk, subjects) == dict.fromkeys(subjects, ("commented", 1))


NAMES_IT = [
    "[TICKET-1] fire",
    "[ticket-00001]",
    "#1",
    "Ticket #1",
    "RE: ticket #001, still",
    "AW:#1",
    "回复：#1",
    "关于#1的问题",
    "티켓 #1에 대해",
]


def test_a_subject_that_names_the_ticket(talk: Talk) -> None:
    """`[TICKET-1]`, `#1` and `Ticket #1` name it: letter case, leading zeros and what stands around do not matter."""
    talk.says(ANN, "Printer on fire")
    assert landed(talk, NAMES_IT) == dict.fromkeys(NAMES_IT, ("commented", 1))


NEAR_MISSES = [
    "Problem with ticket 1", "Ticket number 1", "#1abc", "#1-2", "#1.5", "C#1", "[OTHER-1]",
    "[OTHER-1] [XTICKET-1]", "[list #1] news", "Re: [dev #1] patch", "TICKET-1", "[TICKET-1x]", "[TICKET 1]",
    "No. 1", "room#1", "https://shop.example/#1", "ticket #1OTC1", "&#1;", "#1é", "№1",
]  # fmt: skip


def test_a_near_miss_opens_a_ticket(talk: Talk) -> None:
    """What only looks like our number is none, even from the one who would be let in."""
    talk.says(ANN, "Printer on fire")
    assert landed(talk, NEAR_MISSES) == {subject: ("opened", ticket) for ticket, subject in enumerate(NEAR_MISSES, 2)}


@pytest.mark.parametrize("subject", ["Update - ticket #55606OTC1 - open", "The Daily Digest Vol 1 #659", "Standard Issue #138"])
def test_a_foreign_number_opens_a_ticket(talk: Talk, subject: str) -> None:
    """Other systems and newsletters number things too: no such ticket, so the mail opens one, and a stranger joins none."""
    for number in (55606, 659, 138):
        with talk.store.transaction():
            row = {"id": number, "ticket_number": f"TICKET-{number}", "subject": "old", "created": "", "updated": ""}
            talk.store.insert(tables.Ticket, [row])
    assert talk.says(EVE, subject).letter.outcome == "opened"


def test_only_the_third_reference_is_known(talk: Talk) -> None:
    """Every id in References counts, not only the last."""
    talk.says(ANN, "Printer", message_id="<root@example.com>")
    settled = talk.says(ANN, "Re: Printer", references="<root@example.com> <lost-1@example.com> <lost-2@example.com>")
    expect(settled, "commented", 1)
    assert "References root@example.com is on TICKET-001" in why(settled)


@pytest.mark.parametrize(
    "headers",
    [
        {"in_reply_to": "Message from Ann of Sunday <q@example.com>"},
        {"in_reply_to": "<lost@example.com> <q@example.com>"},
        {"in_reply_to": "q@example.com"},
        {"in_reply_to": "<q@\n example.com>"},
        {"references": "<lost@example.com>,<q@example.com>,"},
        {"references": "<lost@example.com><q@example.com>"},
        {"references": "<lost@example.com>\n\t<q@example.com>"},
        {"references": "=?utf-8?q?=3Cq=40example=2Ecom=3E?="},
    ],
    ids=lambda headers: repr(next(iter(headers.values()))),
)
def test_broken_headers_still_name_the_parent(talk: Talk, headers: dict[str, str]) -> None:
    """A sixth of real In-Reply-To headers are not exactly one id; they lead home all the same."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    expect(talk.says(ANN, "Re: Printer", **headers), "commented", 1)


def test_in_reply_to_wins_over_references(talk: Talk) -> None:
    """Where ids name different tickets, In-Reply-To decides, then the last of References."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two", message_id="<two@example.com>")
    expect(talk.says(ANN, "Re", in_reply_to="<one@example.com>", references="<two@example.com>"), "commented", 1)
    expect(talk.says(ANN, "Re", references="<two@example.com> <one@example.com>"), "commented", 1)
    expect(talk.says(ANN, "Re", references="<one@example.com> <two@example.com>"), "commented", 2)


def test_ids_win_over_numbers(talk: Talk) -> None:
    """A program sets the headers, a person may leave an old tag in the subject."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    expect(talk.says(ANN, "[TICKET-002]", in_reply_to="<one@example.com>"), "commented", 1)


def test_a_number_that_names_no_ticket_opens_one(talk: Talk) -> None:
    """A tag of a ticket that does not exist is no reason to lose the mail."""
    settled = talk.says(ANN, "Re: [TICKET-077] What?")
    expect(settled, "opened", 1)
    assert "no such ticket" in why(settled)


def test_of_several_numbers_the_last_that_takes_the_sender(talk: Talk) -> None:
    """Numbers are tried from the last; one of a stranger's ticket is passed over."""
    talk.says(ANN, "Ann's")
    talk.says(BOB, "Bob's")
    talk.says(ANN, "Ann's too")
    expect(talk.says(ANN, "[TICKET-001] see also [TICKET-002] and #99"), "commented", 1)
    expect(talk.says(ANN, "[TICKET-001] [TICKET-003] [TICKET-002]"), "commented", 3)


def test_never_by_the_title_alone(talk: Talk) -> None:
    """The same subject from the same sender is another matter."""
    talk.says(ANN, "Printer")
    expect(talk.says(ANN, "Re: Printer"), "opened", 2)


def test_a_reply_in_the_same_batch_finds_its_parent(talk: Talk) -> None:
    """Mails that wait together are decided in order, each seeing what came before it."""
    box = talk.runner.boxes["."]
    box.deliver(written(ANN, "Q", message_id="<q@example.com>"))
    box.deliver(written(ANN, "Re: Q", message_id="<r@example.com>", in_reply_to="<q@example.com>"))
    box.deliver(written(ANN, "Re: Re: Q", message_id="<s@example.com>", in_reply_to="<r@example.com>"))
    box.deliver(written(ANN, "Q", message_id="<q@example.com>"))
    talk.runner.sweep()
    assert [(s.letter.outcome, s.letter.ticket) for s in talk.heard] == [
        ("opened", 1),
        ("commented", 1),
        ("commented", 1),
        ("duplicate", 1),
    ]


def test_a_parent_that_comes_late_moves_nothing(talk: Talk) -> None:
    """A reply that came before its parent keeps its ticket; the two are linked."""
    expect(talk.says(ANN, "Re: Late", in_reply_to="<late@example.com>"), "opened", 1)
    expect(talk.says(ANN, "Late", message_id="<late@example.com>"), "opened", 2)
    assert talk.links() == [(2, 1)]


def test_a_parent_that_was_named_often_is_linked_to_few(talk: Talk) -> None:
    """Mails that name an id before it comes cannot flood the ticket that it opens."""
    for number in range(MAX_LINKS + 3):
        talk.says(EVE, f"Guess {number}", in_reply_to="<late@example.com>")
    expect(talk.says(ANN, "Late", message_id="<late@example.com>"), "opened", MAX_LINKS + 4)
    assert len(talk.links()) == MAX_LINKS


# -- who takes part ----------------------------------------------------------------------------------------------------


def test_cc_of_the_opening_mail_may_reply_and_cc_of_a_reply_may_not(talk: Talk) -> None:
    """Participants come from the opening mail; a Cc that a reply adds joins nobody, by id or by number."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", cc=BOB)
    expect(talk.says(BOB, "Re: Printer", message_id="<r@example.com>", in_reply_to="<q@example.com>", cc=EVE), "commented", 1)
    assert talk.participants(1) == ["ann@example.com", BOB]
    expect(talk.says(EVE, "Re: Printer", in_reply_to="<r@example.com>", references="<q@example.com>"), "opened", 2)
    expect(talk.says(EVE, "Re: [TICKET-001] Printer"), "opened", 3)
    assert len(talk.messages(1)) == 2


def test_to_of_the_opening_mail_may_reply(talk: Talk) -> None:
    """Who was written to beside us belongs to the matter."""
    talk.says(ANN, "Printer", to=f"{DESK}, {BOB}", message_id="<q@example.com>")
    expect(talk.says(BOB, "Re: Printer", in_reply_to="<q@example.com>"), "commented", 1)


def test_our_own_addresses_are_no_participants(talk: Talk) -> None:
    """To and Cc hold our own addresses in nearly every mail, with and without a plus; they are left out."""
    talk.says(ANN, "Printer", to="support+sales@desk.example", cc="Support <SUPPORT@desk.example>, bob@example.com")
    assert talk.participants(1) == ["ann@example.com", "bob@example.com"]


def test_forty_of_a_long_cc_are_taken_in(talk: Talk) -> None:
    """Beside the requester, 40 of To and Cc become participants, however many are named."""
    talk.says(ANN, "All of you", cc=", ".join(f"p{i}@example.com" for i in range(60)))
    assert len(talk.participants(1)) == 41


@pytest.mark.parametrize("address", ["ANN@Example.COM", "Ann Other <aNN@example.com>", "ann@EXAMPLE.com"])
def test_letter_case_and_names_make_nobody_else(talk: Talk, address: str) -> None:
    """An address is the same in any letter case and under any name."""
    talk.says(ANN, "Printer")
    expect(talk.says(address, "[TICKET-001]"), "commented", 1)


def test_a_domain_is_the_same_in_both_spellings(talk: Talk) -> None:
    """The two forms of an international domain name are one (RFC 5890)."""
    talk.says("jo@bücher.example", "Printer")
    expect(talk.says("jo@xn--bcher-kva.example", "[TICKET-001]"), "commented", 1)


def test_reply_to_makes_nobody_a_participant(talk: Talk) -> None:
    """Whom we answered may answer, wherever that was; naming somebody in Reply-To lets nobody in."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", reply_to="ann@home.example")
    expect(talk.says(ANN, "[TICKET-001]", reply_to=EVE), "commented", 1)
    assert talk.participants(1) == ["ann@example.com"]
    expect(talk.says(EVE, "[TICKET-001]"), "opened", 2)
    talk.we_answered(1, "random@desk.example", "ann@home.example")
    settled = talk.says("ann@home.example", "Re: Printer", in_reply_to="<random@desk.example>")
    expect(settled, "commented", 1)
    assert settled.letter.welcome


def test_anyone_may_reply_where_the_policy_says_so(desks: Callable[..., Talk]) -> None:
    """REPLY_POLICY=anyone drops the sender check of ids and numbers."""
    talk = desks(REPLY_POLICY="anyone")
    talk.says(ANN, "Public", message_id="<q@example.com>")
    expect(talk.says(EVE, "Re: Public", in_reply_to="<q@example.com>"), "commented", 1)
    expect(talk.says(BOB, "[TICKET-001]"), "commented", 1)


def test_a_machines_number_is_its_own(desks: Callable[..., Talk]) -> None:
    """Newsletters count their issues, and other helpdesks their tickets: where anyone may reply, they still join none of ours."""
    talk = desks(REPLY_POLICY="anyone")
    talk.says(ANN, "Printer")
    for machine in ({"list_id": "<news.example>"}, {"precedence": "bulk"}, {"auto_submitted": "auto-generated"}):
        assert talk.says(EVE, "Newsletter Vol 1 #1", **machine).letter.outcome == "opened"
    assert len(talk.messages(1)) == 1
    expect(talk.says(EVE, "Re: [TICKET-001] Printer", list_id="<group.example>"), "commented", 1)
    expect(talk.says(ANN, "Re: #1", list_id="<group.example>"), "commented", 1)


# -- one mail, several times -------------------------------------------------------------------------------------------


def test_the_same_mail_twice_is_one_message(talk: Talk) -> None:
    """Another route and other trace headers make a second delivery, not a second mail."""
    talk.says(ANN, "Printer", message_id="<q@example.com>", received="from a by b")
    again = {"message_id": "<q@example.com>", "received": "from c by d", "delivered_to": "x@desk.example"}
    expect(talk.says(ANN, "Printer", **again), "duplicate", 1)
    assert len(talk.messages(1)) == 1


def test_a_mail_to_two_of_our_addresses_is_one_message(desks: Callable[..., Talk]) -> None:
    """Both addresses get a copy, each in a folder of its own; the second is a duplicate."""
    talk = desks(SUPPORT_ADDRESSES="sales@desk.example", IMAP_FOLDER="INBOX,Sales")
    raw = written(ANN, "Offer", to=f"{DESK}, sales@desk.example", message_id="<q@example.com>")
    expect(talk.brings(b"Delivered-To: support@desk.example\n" + raw, "INBOX"), "opened", 1)
    expect(talk.brings(b"Delivered-To: sales@desk.example\n" + raw, "Sales"), "duplicate", 1)
    assert (len(talk.messages(1)), talk.participants(1)) == (1, ["ann@example.com"])


def test_a_mail_without_an_id_twice_is_one_message(talk: Talk) -> None:
    """Without a Message-ID the rest of the identity decides."""
    raw = written(ANN, "No id")
    expect(talk.brings(raw), "opened", 1)
    expect(talk.brings(b"Received: by elsewhere\n" + raw), "duplicate", 1)
    expect(talk.brings(written(ANN, "No id", "Other words.")), "opened", 2)


def test_one_id_with_two_contents_is_two_mails(talk: Talk) -> None:
    """A reused Message-ID hides nothing: the second mail is matched like any other, and flagged."""
    talk.says(ANN, "Parcel 1", "Your parcel one", message_id="<same@shop.example>")
    settled = talk.says(ANN, "Parcel 2", "Your parcel two", message_id="<same@shop.example>")
    expect(settled, "opened", 2)
    assert "another mail with other content" in settled.letter.mail.defects[0]
    assert "another mail with other content" in talk.messages(2)[0]["defects"]
    assert "Message-ID used twice" in talk.events(2)


def test_a_reused_id_on_a_reply_is_flagged_on_its_ticket(talk: Talk) -> None:
    """Two replies under one id are two messages; the second says so."""
    talk.says(ANN, "Parcel", message_id="<q@example.com>")
    for body in ("yes", "no"):
        expect(talk.says(ANN, "Re: Parcel", body, message_id="<same@example.com>", in_reply_to="<q@example.com>"), "commented", 1)
    assert [message["text"].strip() for message in talk.messages(1)] == ["Hello.", "yes", "no"]
    assert "Message-ID used twice" in talk.events(1)


def test_a_squatted_id_does_not_swallow_the_real_mail(talk: Talk) -> None:
    """Who guesses an id and sends it first gets a ticket of his own; the real mail and its reply find theirs."""
    talk.says(EVE, "First", "squatted", message_id="<real@example.com>")
    expect(talk.says(ANN, "Real", "the real one", message_id="<real@example.com>"), "opened", 2)
    expect(talk.says(ANN, "Re: Real", in_reply_to="<real@example.com>"), "commented", 2)
    expect(talk.says(EVE, "Re: First", in_reply_to="<real@example.com>"), "commented", 1)


# -- tickets that are closed, or went elsewhere ------------------------------------------------------------------------


def test_a_reply_reopens_a_closed_ticket(talk: Talk) -> None:
    """Who belongs there and writes again wants an answer."""
    talk.says(ANN, "Printer")
    talk.set(1, status="closed")
    expect(talk.says(ANN, "Re: [TICKET-001] Printer"), "commented", 1)
    assert talk.status(1) == "open"
    assert "status closed -> open" in talk.events(1)


def test_a_reply_long_after_opens_a_new_ticket_beside_the_old(desks: Callable[..., Talk]) -> None:
    """With REOPEN_DAYS an old matter stays closed: the answer opens a new ticket, linked to it."""
    talk = desks(REOPEN_DAYS="30")
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.set(1, status="closed", closed="2020-01-01T00:00:00+00:00")
    expect(talk.says(ANN, "Away", in_reply_to="<q@example.com>", auto_submitted="auto-replied"), "commented", 1)
    settled = talk.says(ANN, "Re: Printer", in_reply_to="<q@example.com>", message_id="<late@example.com>")
    expect(settled, "opened", 2)
    assert "more than REOPEN_DAYS=30" in why(settled)
    assert (talk.links(), talk.status(1)) == ([(2, 1)], "closed")
    expect(talk.says(ANN, "Re: Printer", in_reply_to="<late@example.com>"), "commented", 2)


def test_a_reply_soon_after_reopens(desks: Callable[..., Talk]) -> None:
    """Within REOPEN_DAYS, and where nobody knows when it was closed, the ticket is opened again."""
    talk = desks(REOPEN_DAYS="3000")
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    for closed in (talk.ticket(1)["created"], None):
        talk.set(1, status="closed", closed=closed)
        expect(talk.says(ANN, "Re: Printer", in_reply_to="<q@example.com>"), "commented", 1)
        assert talk.status(1) == "open"


def test_a_merged_ticket_passes_its_replies_on(talk: Talk) -> None:
    """A reply to a ticket that was merged lands where it went, by id and by number, through several merges."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    talk.says(ANN, "Three")
    talk.merges(1, 2)
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 2)
    talk.merges(2, 3)
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 3)
    expect(talk.says(ANN, "[TICKET-001]"), "commented", 3)
    assert [talk.status(number) for number in (1, 2, 3)] == ["merged", "merged", "open"]


def test_people_of_a_merged_ticket_come_along(talk: Talk) -> None:
    """Whoever took part in one takes part in what became of both; taken out again, each goes its way."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(BOB, "Two", message_id="<two@example.com>")
    talk.merges(1, 2)
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 2)
    expect(talk.says(ANN, "[TICKET-002]"), "commented", 2)
    expect(talk.says(BOB, "[TICKET-001]"), "commented", 2)
    with at_desk(talk.store, talk.settings) as desk:
        desk.unmerge(1, "gus@desk.example")
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 1)
    expect(talk.says(ANN, "[TICKET-002]"), "opened", 3)
    expect(talk.says(BOB, "Re: Two", in_reply_to="<two@example.com>"), "commented", 2)


def test_a_reply_reopens_what_its_ticket_was_merged_into(talk: Talk) -> None:
    """What counts is the state of the ticket that takes the reply."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    talk.merges(1, 2)
    talk.set(2, status="closed")
    expect(talk.says(ANN, "Re: One", in_reply_to="<one@example.com>"), "commented", 2)
    assert (talk.status(1), talk.status(2)) == ("merged", "open")


def test_a_split_message_takes_its_replies_along(talk: Talk) -> None:
    """What answers a mail that was moved to a ticket of its own lands there."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "And another thing", message_id="<two@example.com>", in_reply_to="<one@example.com>")
    with at_desk(talk.store, talk.settings) as desk:
        assert desk.split(1, "two@example.com", "gus@desk.example") == 2
    expect(
        talk.says(ANN, "Re", in_reply_to="<two@example.com>", references="<one@example.com> <two@example.com>"), "commented", 2
    )
    expect(talk.says(ANN, "Re", in_reply_to="<one@example.com>"), "commented", 1)


def test_tickets_merged_in_a_circle_end(talk: Talk) -> None:
    """A circle of merges, however it came about, keeps no mail going round."""
    talk.says(ANN, "One", message_id="<one@example.com>")
    talk.says(ANN, "Two")
    talk.set(1, status="merged", merged_into=2)
    talk.set(2, status="merged", merged_into=1)
    assert talk.says(ANN, "Re: One", in_reply_to="<one@example.com>").letter.outcome == "commented"


# -- odd senders, and what is bounded ----------------------------------------------------------------------------------


def test_a_mail_without_a_sender_opens_a_ticket_of_nobody(talk: Talk) -> None:
    """No usable From: the requester is unknown, there is no person, and nobody joins in nobody's name."""
    expect(talk.brings(b"Subject: who am I\nMessage-ID: <x@y>\n\nhello\n"), "opened", 1)
    assert talk.ticket(1)["requester_address"] is None
    assert talk.store.count(tables.Person.select()) == 0
    expect(talk.brings(b"Subject: [TICKET-001]\nIn-Reply-To: <x@y>\n\nhello again\n"), "opened", 2)


def test_a_mail_that_names_hundreds_of_tickets_is_linked_to_few(talk: Talk) -> None:
    """A stranger's mail writes into the history of few tickets, and its own trail stays short."""
    for number in range(1, MAX_NUMBERS + 5):
        talk.says(ANN, f"Matter {number}", message_id=f"<{number}@example.com>")
    references = " ".join(f"<{number % 40}@example.com>" for number in range(400))
    settled = talk.says(EVE, " ".join(f"#{number}" for number in range(1, 400)), references=references)
    assert settled.letter.outcome == "opened"
    assert (len(talk.links()), len(settled.letter.mail.ticket_numbers)) == (MAX_LINKS, MAX_NUMBERS)
    assert len(settled.letter.trail) < 2 * MAX_NUMBERS
