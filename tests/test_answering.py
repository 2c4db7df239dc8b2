"""Agents answer by mail: proven by a token, what they write goes to the customer; nobody else's words ever do."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from pipeline import tables
from pipeline.digest import Gatherer
from pipeline.letter import REPLY_ABOVE, Outcome
from pipeline.runner import Settled

from .conftest import a_mail
from .posting import Office, addressees, words

BOB, EVE = "Bob Miller <bob@desk.example>", "eve@desk.example"
TRUSTED = "mx.desk.example"


class Answers(Office):
    """An office with agents, who answer what they are notified of."""

    def hires(self, address: str, name: str = "") -> None:
        with self.desk() as desk:
            desk.add_agent(address, name)

    def token(self, agent: str = "bob@desk.example", ticket: int = 1) -> str:
        notice, person = tables.Notice, tables.Agent
        asked = notice.select(notice.token).join(person).where((person.address == agent) & (notice.ticket == ticket))
        return str(self.store.values(asked.order_by(notice.id))[-1])

    def writes(self, to: str, body: str, who: str = BOB, subject: str = "Re: [TICKET-001] Printer", **headers: str) -> Settled:
        """Deliver a mail to this address."""
        mail = a_mail(subject, who, body, **{"message_id": f"<{next(self._ids)}@agents.example>", **headers})
        return self.takes(mail.replace(b"\nTo: support@desk.example\n", f"\nTo: {to}\n".encode()))

    def answers(self, body: str, who: str = BOB, token: str | None = None, **headers: str) -> Settled:
        """Deliver an answer to the newest notification, or to that of this token."""
        return self.writes(f"support+{token or self.token()}@desk.example", body, who, **headers)

    def to_customers(self) -> list[dict[str, object]]:
        return [row for row in self.outbox() if row["kind"] in ("reply", "resend")]

    def told(self, kind: str = "answer") -> list[str]:
        return self.store.values(tables.Notice.select(tables.Notice.what).where(tables.Notice.kind == kind))


def office(home: Path, **settings: str) -> Iterator[Answers]:
    desk = Answers(home, ACKNOWLEDGE="no", **settings)
    desk.hires("bob@desk.example", "Bob Miller")
    desk.hires(EVE, "Eve")
    desk.says()
    yield desk
    desk.close()


@pytest.fixture(name="desk")
def a_desk(tmp_path: Path) -> Iterator[Answers]:
    """A desk with two agents and one ticket."""
    yield from office(tmp_path / "home")


@pytest.fixture(name="guarded")
def a_guarded_desk(tmp_path: Path) -> Iterator[Answers]:
    """The same behind a server whose findings are trusted."""
    yield from office(tmp_path / "home", TRUSTED_AUTHSERV_ID=TRUSTED)


def test_an_answer_goes_to_the_customer(desk: Answers) -> None:
    """What a proven agent answers is the agent's reply: mailed on under our id, from the desk, and the ticket waits."""
    settled = desk.answers("Try again.\n\nOn Sun, 22 Nov 2026 at 07:31, Support <support@desk.example> wrote:\n> " + REPLY_ABOVE)
    assert settled.letter.outcome is Outcome.COMMENTED and settled.letter.ticket == 1
    [row] = desk.to_customers()
    mail = desk.written()[-1]
    assert addressees(row) == ["ann@example.com"] and words(mail).splitlines()[2] == "Try again."
    assert mail["From"] == '"Bob Miller" <support@desk.example>' and mail["Subject"] == "Re: [TICKET-001] Printer"
    assert "bob@desk.example" not in row["raw"].decode() and desk.token() not in row["raw"].decode()
    opening, reply = desk.messages(1)
    assert (reply["kind"], reply["author_address"], reply["text"]) == ("reply", "bob@desk.example", "Try again.")
    assert reply["message_id"] == row["message_id"] and reply["is_from_email"] and reply["verified"]
    assert desk.ticket(1)["status"] == "waiting"
    assert "sent to ann@example.com as the reply of bob@desk.example" in str(settled.letter.trail)


def test_the_customer_answers_that(desk: Answers) -> None:
    """The customer's answer to it names our id, and comes to the same ticket."""
    desk.answers("Try again.")
    settled = desk.says(subject="Re: Printer", in_reply_to=desk.written()[-1]["Message-ID"])
    assert settled.letter.ticket == 1 and desk.ticket(1)["status"] == "open"


def test_the_same_answer_twice_goes_out_once(desk: Answers) -> None:
    """A copy of the agent's mail is a duplicate: one reply, unchanged."""
    for _ in range(2):
        desk.answers("Try again.", message_id="<one@bob.example>")
    assert desk.heard[-1].letter.outcome is Outcome.DUPLICATE
    assert len(desk.to_customers()) == 1 and [row["text"] for row in desk.messages(1)] == ["Hello.\n", "Try again."]


def test_files_go_along(desk: Answers) -> None:
    """Attachments of the answer go to the customer, byte for byte, and stay on the ticket."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = BOB, f"support+{desk.token()}@desk.example", "Re: [TICKET-001] Printer"
    mail["Message-ID"], mail["Date"] = "<files@bob.example>", "Sun, 22 Nov 2026 08:00:00 +0000"
    mail.set_content("See the manual.")
    mail.add_attachment(bytes(range(256)) * 9, maintype="application", subtype="pdf", filename="../../Händbuch\u202e.pdf")
    desk.takes(mail.as_bytes())
    [part] = [part for part in desk.written()[-1].walk() if part.get_content_disposition() == "attachment"]
    assert base64.b64decode(part.get_payload()) == bytes(range(256)) * 9  # type: ignore[arg-type]
    assert "/" not in str(part.get_filename())
    assert desk.store.count(tables.Attachment.select()) == 1


ORDERS = [
    ("#note\nHe is angry.", "open", None, ["He is angry."], []),
    ("#close\nAll done.", "closed", None, [], ["All done."]),
    ("#close", "closed", None, [], []),
    ("#assign eve\nEve will help you.", "waiting", EVE, [], ["Eve will help you."]),
    ("#assign me", "open", "bob@desk.example", [], []),
    ("#assign bob miller\n#note\nMine.", "open", "bob@desk.example", ["Mine."], []),
]


@pytest.mark.parametrize(("body", "status", "assignee", "notes", "replies"), ORDERS)
def test_the_first_lines_are_obeyed(
    desk: Answers, body: str, status: str, assignee: str | None, notes: list[str], replies: list[str]
) -> None:
    """`#note`, `#close` and `#assign` do what they say, in the agent's name; only other words go to the customer."""
    desk.answers(body)
    ticket = desk.ticket(1)
    assert (ticket["status"], ticket["assignee"]) == (status, assignee)
    kinds = {kind: [row["text"] for row in desk.messages(1)[1:] if row["kind"] == kind] for kind in ("note", "reply")}
    assert kinds == {"note": notes, "reply": replies} and len(desk.to_customers()) == len(replies)
    who = desk.store.values(tables.Event.select(tables.Event.who).where(tables.Event.what.startswith("status")))
    assert set(who) <= {"bob@desk.example"}


def test_tags_by_mail(desk: Answers) -> None:
    """`#tag` puts tags on and takes them off."""
    desk.answers("#tag urgent, paid")
    desk.answers("#tag -paid")
    assert desk.store.values(tables.Tag.select(tables.Tag.name)) == ["urgent"] and desk.to_customers() == []


UNCLEAR = [
    ("#noet\nHe is angry.", "#noet is none of"),
    ("#assign bobby\nHello.", "'bobby' is no agent"),
    ("> Hello.\n", "no new text"),
]


@pytest.mark.parametrize(("body", "why"), UNCLEAR)
def test_what_is_unclear_is_kept_and_told(desk: Answers, body: str, why: str) -> None:
    """An answer that cannot be done, or may not be meant, goes to nobody: it is a note, and the agent is told why."""
    settled = desk.answers(body)
    assert settled.letter.outcome is Outcome.COMMENTED and desk.to_customers() == []
    assert desk.messages(1)[-1]["kind"] == "note" and desk.ticket(1)["assignee"] is None
    [told] = desk.told()
    assert "not sent" in told and why in told


def test_a_token_within_the_words_is_not_passed_on(desk: Answers) -> None:
    """An answer that quotes the notification's own address goes to nobody: the customer could speak as the agent by it."""
    desk.answers(f"Write to support+{desk.token().upper()}@desk.example please.")
    assert desk.to_customers() == [] and len(desk.told()) == 1


def test_too_large_a_file_is_kept_and_told(desk: Answers) -> None:
    """Files beyond what a mail takes are not sent, and the agent is told; nothing half-done stays."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = BOB, f"support+{desk.token()}@desk.example", "Re: [TICKET-001] Printer"
    mail["Message-ID"] = "<large@bob.example>"
    mail.set_content("See the film.")
    mail.add_attachment(b"x" * (30 << 20), maintype="video", subtype="mp4", filename="film.mp4")
    desk.takes(mail.as_bytes())
    assert desk.to_customers() == [] and [row["kind"] for row in desk.messages(1)] == ["mail", "note"]
    assert "attachments" in desk.told()[0]


def nobody(desk: Answers, settled: Settled) -> None:
    """Nothing goes to a customer, and nothing stands on the ticket as a reply of ours."""
    assert desk.to_customers() == [], settled.letter.trail
    assert all(row["kind"] == "mail" for row in desk.messages(1))


@pytest.mark.parametrize("who", ["mallory@example.org", EVE, "ann@example.com", f"{BOB}, {EVE}"])
def test_another_sender_proves_nothing(desk: Answers, who: str) -> None:
    """A token that was passed on proves nothing of whoever else uses it: a stranger, another agent, the customer, two at once."""
    nobody(desk, desk.answers("Give me the money.", who))


def test_an_agent_without_the_token_is_no_agent(desk: Answers) -> None:
    """From alone, the ticket's number, and a token that nobody was given do not make a reply."""
    for to in ("support@desk.example", f"support+{'a' * 26}@desk.example", f"support+{desk.token()}x@desk.example"):
        nobody(desk, desk.writes(to, "Do it."))


def test_an_agent_who_misses_the_address_is_told(desk: Answers) -> None:
    """An agent who answers a notification at another address than it names learns that nothing was sent."""
    Gatherer(desk.store, desk.settings, lambda: datetime.datetime.now(datetime.UTC)).gather(in_loop=False)
    notification = next(mail for mail in desk.written() if "bob@desk.example" in mail["To"])
    desk.writes("support@desk.example", "Try again.", in_reply_to=notification["Message-ID"])
    assert desk.to_customers() == [] and "not sent" in desk.told()[0]


def test_a_token_in_another_house_is_none(desk: Answers) -> None:
    """A token behind an address that is not ours proves nothing."""
    nobody(desk, desk.writes(f"support+{desk.token()}@elsewhere.example", "Do it."))


@pytest.mark.parametrize("header", ["delivered-to", "x-original-to"])
def test_the_servers_headers_bear_the_token_too(desk: Answers, header: str) -> None:
    """Where To was rewritten, the server's own header says for which address the mail was."""
    token = desk.token()
    desk.says(BOB, "Re: Printer", "Try again.", **{header.replace("-", "_"): f"<support+{token}@desk.example>"})
    assert len(desk.to_customers()) == 1


def test_a_disabled_agent_is_none(desk: Answers) -> None:
    """Who was an agent when the notification went out and is none now answers nobody, and does not speak on the ticket."""
    token = desk.token()
    with desk.desk() as inside:
        inside.disable_agent(inside.any_agent("bob@desk.example"))
    nobody(desk, desk.answers("Do it.", token=token))


def test_an_old_token_is_none(desk: Answers) -> None:
    """A token of more than 90 days ago proves nothing."""
    with desk.store.transaction():
        desk.store.run(tables.Notice.update(created="2026-01-01T00:00:00+00:00"))
    settled = desk.answers("Do it.")
    nobody(desk, settled)
    assert "more than 90" in str(settled.letter.trail)


def test_a_program_does_not_answer(desk: Answers) -> None:
    """An agent's out-of-office reply to a notification goes to nobody, and changes nothing."""
    settled = desk.answers("I am away.", auto_submitted="auto-replied")
    assert settled.letter.outcome is Outcome.IGNORED and len(desk.messages(1)) == 1
    nobody(desk, settled)


def test_a_false_sender_is_held(guarded: Answers) -> None:
    """With the token and dmarc=fail the mail waits for an agent, and goes out when one lets it through."""
    proof = {"authentication_results": f"{TRUSTED}; dmarc=fail header.from=desk.example"}
    settled = guarded.answers("Do it.", **proof)
    assert settled.letter.outcome is Outcome.HELD
    nobody(guarded, settled)
    [held] = guarded.store.values(tables.Mail.select(tables.Mail.id).where(tables.Mail.outcome == "held"))
    guarded.runner.approve([held], "eve@desk.example")
    assert len(guarded.to_customers()) == 1


@pytest.mark.parametrize("dmarc", ["pass", "none"])
def test_a_token_suffices_where_dmarc_does_not_fail(guarded: Answers, dmarc: str) -> None:
    """The token proves the agent where dmarc says nothing against it."""
    guarded.answers("Try again.", authentication_results=f"{TRUSTED}; dmarc={dmarc} header.from=desk.example")
    assert len(guarded.to_customers()) == 1


def test_an_answer_to_a_merged_ticket_follows_it(desk: Answers) -> None:
    """The ticket of the notification was merged into another: the answer goes out on that one."""
    desk.says("Kim <kim@example.com>", "Scanner")
    token = desk.token()
    with desk.desk() as inside:
        inside.merge(1, 2, "eve@desk.example")
    settled = desk.answers("Try again.", token=token)
    assert settled.letter.ticket == 2 and "kim@example.com" in str(desk.to_customers()[0]["recipients"])


def test_nobody_to_answer(desk: Answers) -> None:
    """A ticket whose requester is unknown has nobody to answer: the words stay as a note, and the agent is told."""
    desk.takes(b"Subject: No sender\nMessage-ID: <none@x.example>\n\nHello.\n")
    desk.answers("Who are you?", token=desk.token(ticket=2))
    assert desk.to_customers() == [] and [row["kind"] for row in desk.messages(2)] == ["mail", "note"]
