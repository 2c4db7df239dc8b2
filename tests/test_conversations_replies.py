"""Dialogues with answers of ours in them: what the customer's next mail becomes, and that no two programs write for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import tables

from .conftest import a_mail
from .posting import Office, addressees, reason, words

EVE = "Eve <eve@stranger.example>"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.close()


def test_customer_acknowledgement_answer_customer(office: Office) -> None:
    """One ticket, three messages, one acknowledgement event, also where the customer's program dropped the tag."""
    office.says(subject="Printer", message_id="<q@example.com>")
    mail = office.replies(1, "Have you tried it off and on?")
    body = f"Yes!\n\n> {words(mail).splitlines()[0]}\n>\n> Have you tried it off and on?\n"
    settled = office.says(subject="my printer", body=body, in_reply_to=mail["Message-ID"])
    assert (settled.letter.outcome, settled.letter.ticket) == ("commented", 1)
    assert [row["kind"] for row in office.messages(1)] == ["mail", "reply", "mail"]
    assert office.messages(1)[-1]["reply_text"].strip() == "Yes!"
    assert sum(what.startswith("acknowledged") for what in office.events(1)) == 1
    assert office.ticket(1)["status"] == "open" and len(office.outbox()) == 2


def test_an_answer_to_the_acknowledgement_finds_the_ticket(office: Office) -> None:
    """Its id is ours: who answers it, without a tag, is on the ticket; a stranger who names it is shown as not verified."""
    office.says(message_id="<q@example.com>")
    message_id = office.written()[0]["Message-ID"]
    settled = office.says(subject="no tag", in_reply_to=message_id)
    assert (settled.letter.outcome, settled.letter.ticket, settled.letter.welcome) == ("commented", 1, True)
    settled = office.says(EVE, "fwd", in_reply_to=message_id)
    assert (settled.letter.ticket, settled.letter.verified, settled.letter.welcome) == (1, False, False)


def test_an_answer_from_another_address_that_we_wrote_to(office: Office) -> None:
    """Whoever got our answer may answer it, without being a participant; a second stranger may not."""
    office.says(message_id="<q@example.com>")
    message_id = office.replies(1, cc=["boss@example.com"])["Message-ID"]
    assert office.says("boss@example.com", "Re", in_reply_to=message_id).letter.welcome
    assert not office.says(EVE, "Re", in_reply_to=message_id).letter.welcome


def test_a_bounce_of_the_acknowledgement_is_an_event(office: Office) -> None:
    """It makes no ticket and no mail; the ticket says whom it did not reach."""
    office.says()
    message_id = office.written()[0]["Message-ID"]
    report = a_mail("Undelivered Mail Returned to Sender", "MAILER-DAEMON@example.com", "unknown", "<b@example.com>")
    settled = office.takes(report.replace(b"\nDate:", f"\nIn-Reply-To: {message_id}\nDate:".encode(), 1))
    assert (settled.letter.outcome, settled.letter.ticket) == ("ignored", 1)
    assert "did not reach" in office.events(1)[-1] and len(office.outbox()) == 1


def test_out_of_office_answers_are_not_answered(office: Office) -> None:
    """An absence note on our acknowledgement or answer is on the ticket, changes nothing, and is not acknowledged."""
    office.says()
    office.replies(1)
    for number, mail in enumerate(office.written()):
        note = {"in_reply_to": mail["Message-ID"], "auto_submitted": "auto-replied", "message_id": f"<o{number}@example.com>"}
        settled = office.says(subject="Out of office", **note)
        assert (settled.letter.outcome, settled.letter.ticket) == ("commented", 1)
    assert office.ticket(1)["status"] == "waiting" and len(office.outbox()) == 2


def test_our_own_mail_coming_back_is_ignored(office: Office) -> None:
    """Acknowledgement and answer in our own mailbox (a Bcc, a loop) make nothing."""
    office.says()
    office.replies(1)
    for row in office.outbox():
        assert office.takes(row["raw"]).letter.outcome == "ignored"
    assert office.store.count(tables.Ticket.select()) == 1 and len(office.outbox()) == 2


def test_after_a_merge_the_answer_goes_on(office: Office) -> None:
    """An answer to what we wrote on a merged ticket is on the ticket that it went to."""
    office.says(subject="One")
    office.says(subject="Two", message_id="<two@example.com>")
    message_id = office.replies(1)["Message-ID"]
    with office.desk() as desk:
        desk.merge(1, 2, "gus@desk.example")
    assert office.says(subject="x", in_reply_to=message_id).letter.ticket == 2
    acknowledged = office.written()[0]["Message-ID"]
    assert office.says(subject="y", in_reply_to=acknowledged).letter.ticket == 2


# -- two programs ----------------------------------------------------------------------------------------------------


class Post:
    """Carries what desks write to each other, as their servers would, until nobody writes any more."""

    def __init__(self, *offices: Office) -> None:
        self.offices = {office.settings.email_host_user: office for office in offices}
        self.carried: set[str] = set()

    def carry(self, rounds: int) -> int:
        """Deliver what waits, round after round; return how many mails went."""
        for _ in range(rounds):
            if not self._round():
                return len(self.carried)
        raise AssertionError(f"still writing after {rounds} rounds and {len(self.carried)} mails")

    def _round(self) -> int:
        waiting = [row for office in self.offices.values() for row in office.outbox() if row["message_id"] not in self.carried]
        for row in waiting:
            self.carried.add(row["message_id"])
            for address in addressees(row):
                if address in self.offices:
                    path = f"Return-Path: <{row['envelope_from']}>\r\n".encode()
                    self.offices[address].takes(path + row["raw"])
        return len(waiting)


def test_two_desks_that_write_to_each_other(tmp_path: Path) -> None:
    """A customer's mail in the name of the other desk, and an agent's answer to it: two acknowledgements at the most."""
    one = Office(tmp_path / "one", EMAIL_HOST_USER="desk@one.example")
    two = Office(tmp_path / "two", EMAIL_HOST_USER="desk@two.example")
    post = Post(one, two)
    one.says("desk@two.example", "Hello", "from the other desk")
    assert reason(one.heard[-1]).startswith("acknowledged")
    assert post.carry(10) == 1
    one.replies(1, "Who are you?")
    assert post.carry(10) <= 3
    before = len(post.carried)
    for office in (one, two):
        for number in range(1, 1 + office.store.count(tables.Ticket.select())):
            office.replies(number, "And again.")
    assert post.carry(10) - before <= 5
    one.close()
    two.close()


def test_a_desk_that_strips_the_marks(tmp_path: Path) -> None:
    """Another program answers each of ours as a person would, in a new thread, from a new address: the bounds end it."""
    office = Office(tmp_path)
    seen = 0
    office.says("r0@robot.example", "0")
    for number in range(1, 300):
        written = office.outbox()
        if len(written) == seen:
            break
        seen = len(written)
        office.says(f"r{number}@robot.example", f"{number}", "We have received your message.")
    assert seen == len(office.outbox()) == 50
    office.close()
