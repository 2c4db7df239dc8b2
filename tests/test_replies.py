"""Agents' answers: one transaction, one mail that threads in the customer's program, and nothing in it that was not meant."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.compose import File
from pipeline.errors import CannotSend, HelpdeskError, NotFound, SettingsError, UsageError
from pipeline.letter import REPLY_ABOVE, Address
from pipeline.mime import read_mail

from .conftest import House, a_mail
from .posting import GUS, Office, addressees, words
from .servers import Smtp

QUIET = {"ACKNOWLEDGE": "no"}
CONFIGURED = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "support@desk.example", **QUIET}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path, **QUIET)
    yield office
    office.close()


def test_an_answer_goes_to_the_requester(office: Office) -> None:
    """From the desk in the agent's name, to the requester, with tag, thread and marker; the ticket waits."""
    office.says(subject="Printer", message_id="<q@example.com>")
    mail = office.replies(1, "Try again.")
    [row] = office.outbox()
    assert (mail["From"], mail["Reply-To"]) == ('"Gus" <support@desk.example>', "support@desk.example")
    assert (mail["To"], mail["Cc"], mail["Subject"]) == ('"Ann" <ann@example.com>', None, "Re: [TICKET-001] Printer")
    assert (mail["In-Reply-To"], mail["References"]) == ("<q@example.com>", "<q@example.com>")
    assert words(mail).splitlines() == [REPLY_ABOVE, "", "Try again."]
    assert (row["kind"], row["state"], row["envelope_from"]) == ("reply", "waiting", "support@desk.example")
    assert addressees(row) == ["ann@example.com"] and mail["Auto-Submitted"] is None
    assert office.ticket(1)["status"] == "waiting"
    assert office.events(1)[-2:] == ["replied", "status open -> waiting"]


def test_the_message_is_what_the_agent_wrote(office: Office) -> None:
    """The ticket keeps the words alone, who wrote them, our id and to whom they went."""
    office.says()
    office.replies(1, "Try again.", quote=True)
    message, [row] = office.messages(1)[-1], office.outbox()
    assert (message["kind"], message["text"], message["author_address"]) == ("reply", "Try again.", "gus@desk.example")
    assert (message["message_id"], json.loads(message["sent_to"])) == (row["message_id"], ["ann@example.com"])
    assert not message["is_from_email"] and row["message"] == message["id"]


def test_all_of_it_or_nothing(office: Office) -> None:
    """An answer that cannot be sent leaves no message, no row, no event and no status behind."""
    office.says()
    before = office.events(1)
    with pytest.raises(CannotSend), office.desk() as desk:
        desk.reply(1, "Hello", GUS, attachments=[File("a\nb.txt", "text/plain", b"x")])
    assert (office.outbox(), len(office.messages(1)), office.events(1)) == ([], 1, before)
    assert office.ticket(1)["status"] == "open"


def test_a_crash_after_it_leaves_nothing(office: Office) -> None:
    """Message and mail are of one transaction."""
    office.says()
    with pytest.raises(ZeroDivisionError), office.desk() as desk:
        desk.reply(1, "Hello", GUS)
        raise ZeroDivisionError
    assert office.outbox() == [] and len(office.messages(1)) == 1


def test_where_answers_go(office: Office) -> None:
    """Reply-To of the opening mail comes before From, that of later mails does not count, and never an address of ours."""
    office.says(message_id="<q@example.com>", reply_to="Ann at work <work@example.com>")
    office.says(in_reply_to="<q@example.com>", subject="Re: Printer", reply_to="eve@evil.example")
    assert office.replies(1)["To"] == '"Ann" <work@example.com>'
    office.says(subject="Toner", reply_to="support+x@desk.example")
    assert office.replies(2)["To"] == '"Ann" <ann@example.com>'
    office.says(subject="Paper", reply_to="support@desk.example, home@example.com")
    assert office.replies(3)["To"] == '"Ann" <home@example.com>'


def test_who_gets_a_copy(office: Office) -> None:
    """Those who were approved and those who are named, each once; the opening mail's To and Cc are not written to."""
    office.says(cc="boss@example.com")
    with office.desk() as desk:
        desk.approve(1, "bob@example.com", "gus@desk.example")
    mail = office.replies(1, cc=["BOB@example.com", "carl@example.com", "ann@example.com"])
    assert mail["Cc"].replace("\r\n", "") == "bob@example.com, carl@example.com"
    assert addressees(office.outbox()[0]) == ["ann@example.com", "bob@example.com", "carl@example.com"]


@pytest.mark.parametrize(
    ("who", "more", "error", "sentence"),
    [
        ("", {}, UsageError, "Nobody knows who wrote TICKET-001"),
        ("support@desk.example", {}, UsageError, "written by the desk itself"),
        ("ann@example.com", {"cc": ["support@desk.example"]}, UsageError, "the desk's own address"),
        ("ann@example.com", {"cc": ["bob@example.com\nBcc: eve@evil.example"]}, CannotSend, "control character"),
        ("ann@example.com", {"cc": ["bob@-"]}, CannotSend, "no usable domain"),
        ("ann@example.com", {"author": Address("Gus\r\nBcc: eve@evil.example", "gus@desk.example")}, CannotSend, "control"),
        ("näme@example.com", {}, CannotSend, "beyond ASCII"),
    ],
)
def test_what_is_refused(office: Office, who: str, more: dict[str, Any], error: type[HelpdeskError], sentence: str) -> None:
    """What cannot be answered or written is refused with a sentence, and nothing is stored."""
    office.says(who)
    with pytest.raises(error, match=sentence):
        office.replies(1, **more)
    assert office.outbox() == [] and len(office.messages(1)) == 1


def test_no_address_to_write_from(tmp_path: Path) -> None:
    """Without an address of ours the setting is named."""
    office = Office(tmp_path, EMAIL_HOST_USER="")
    office.says()
    with pytest.raises(SettingsError, match="DEFAULT_FROM_EMAIL"):
        office.replies(1)
    office.close()


HOSTILE = [
    "Printer\x00\x07 on fire",
    "=?utf-8?Q?Hi=0D=0ABcc=3A_eve=40evil.example?=",
    "=?utf-8?Q?=E2=80=AEevil=E2=80=A8next?=",
    "Re: [TICKET-001] RE: AW: [TICKET-001] Printer [TICKET-007]",
    "=?utf-8?B?" + "w7w" * 300 + "?=",
    "A" * 5000,
    "",
    "=?x?Q?a?= =?utf-8?Q?=3D=3Futf-8=3FQ=3Fb=3F=3D?=",
]


@pytest.mark.parametrize("subject", HOSTILE)
@pytest.mark.parametrize("name", ["Ann", "=?utf-8?Q?Eve=0D=0ABcc=3A_x=40evil.example?=", '"a, b@c.example"', "x" * 2000])
def test_hostile_subjects_and_names(office: Office, subject: str, name: str) -> None:
    """Whatever a customer calls herself and her mail, the answer has our headers, one tag and one recipient."""
    office.says(f"{name} <ann@example.com>", subject)
    mail = office.replies(1)
    assert list(mail) == [
        *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
        *("MIME-Version", "Content-Type"),
    ]
    assert addressees(office.outbox()[0]) == ["ann@example.com"]
    read = read_mail(office.outbox()[0]["raw"])
    assert [one.address for one in read.to] == ["ann@example.com"]
    assert read.subject.startswith("Re: [TICKET-001]") and read.subject.count("[TICKET-") == 1


def test_the_thread_grows(office: Office) -> None:
    """Each answer names the customer's newest mail, and all that was said before; a second answer in a row too."""
    office.says(message_id="<1@example.com>")
    first = office.replies(1)["Message-ID"]
    office.says(subject="Re: Printer", message_id="<2@example.com>", in_reply_to=first)
    mail, again = office.replies(1), office.replies(1)
    assert mail["In-Reply-To"] == again["In-Reply-To"] == "<2@example.com>"
    assert mail["References"].split() == ["<1@example.com>", first, "<2@example.com>"]
    assert again["References"].split() == ["<1@example.com>", first, mail["Message-ID"], "<2@example.com>"]
    assert len({first, mail["Message-ID"], again["Message-ID"]}) == 3


def test_a_long_thread_is_cut(office: Office) -> None:
    """Of hundreds of mails the first and the last ten are named."""
    for number in range(30):
        more = {"in_reply_to": "<0@example.com>"} if number else {}
        office.says(message_id=f"<{number}@example.com>", **more)
    named = office.replies(1)["References"].split()
    assert named == ["<0@example.com>", *(f"<{number}@example.com>" for number in range(20, 30))]


def test_ids_that_cannot_be_written_are_left_out(office: Office) -> None:
    """A customer's broken Message-ID stops no answer."""
    office.says(message_id="<a b\tü@example.com>")
    assert office.replies(1)["To"] == '"Ann" <ann@example.com>'


def test_files_go_along(office: Office) -> None:
    """An attachment is in the mail byte for byte, and on the ticket by name and size."""
    office.says()
    content = bytes(range(256)) * 50
    mail = office.replies(1, attachments=[File("Größe.pdf", "application/pdf", content), File("b.txt", "text/plain", b"b")])
    files = [part for part in mail.walk() if part.get_content_disposition() == "attachment"]
    assert [(part.get_filename(), part.get_payload(decode=True)) for part in files] == [("Größe.pdf", content), ("b.txt", b"b")]
    rows = office.store.rows(tables.Attachment.select().order_by(tables.Attachment.id))
    assert [(row["filename"], row["size"]) for row in rows] == [("Größe.pdf", len(content)), ("b.txt", 1)]


def test_html_stands_beside_the_text(office: Office) -> None:
    """What was sanitised goes along as the alternative, under the marker."""
    office.says()
    mail = office.replies(1, "Try <again>.", html="<p>Try <b>&lt;again&gt;</b>.</p>")
    assert mail.get_content_type() == "multipart/alternative"
    text, markup = mail.get_payload()
    assert "<b>&lt;again&gt;</b>" in markup.get_payload(decode=True).decode() and "Reply above" in str(markup)


def test_signature_and_sender_of_the_queue(tmp_path: Path) -> None:
    """A queue writes from its own address, under its signature; answers are read at its address."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").write_text("""
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
sender = "Billing <money@desk.example>"
signature = "The billing people"
prefix = "BILL"
""")
    office = Office(tmp_path, **QUIET)
    office.says(cc="billing@desk.example")
    mail = office.replies(1, "Paid.", quote=True)
    assert (mail["From"], mail["Reply-To"]) == ('"Gus via Billing" <money@desk.example>', '"Billing" <billing@desk.example>')
    assert mail["Subject"] == "Re: [BILL-001] Printer" and mail["Message-ID"].endswith("@desk.example>")
    assert words(mail).splitlines()[:5] == [REPLY_ABOVE, "", "Paid.", "", "-- "]
    assert words(mail).splitlines()[5:] == ["The billing people", "", "On Sun, 22 Nov 2026 at 07:31 UTC, Ann wrote:", "> Hello."]
    office.close()


def test_noreply_senders_are_answered_elsewhere(tmp_path: Path) -> None:
    """Where DEFAULT_FROM_EMAIL is an address that nobody reads, answers are asked to the desk's."""
    office = Office(tmp_path, DEFAULT_FROM_EMAIL="Desk <noreply@desk.example>", **QUIET)
    office.says()
    mail = office.replies(1, author=Address())
    assert (mail["From"], mail["Reply-To"]) == ('"Desk" <noreply@desk.example>', '"Desk" <support@desk.example>')
    office.close()


# -- cancel and resend -----------------------------------------------------------------------------------------------


def mark(office: Office, **columns: Any) -> None:
    with office.store.transaction():
        office.store.run(tables.Outbox.update(**columns))


def test_resend(office: Office) -> None:
    """The same mail goes again under another id; an answer to either finds the ticket."""
    office.says()
    office.replies(1, cc=["bob@example.com"])
    mark(office, state="sent", recipients='["bob@example.com"]')  # whoever it reached left the list
    with office.desk() as desk:
        assert desk.resend(1, "2", "gus@desk.example") == ["ann@example.com", "bob@example.com"]
    first, second = office.outbox()
    assert (second["kind"], second["state"], second["message"]) == ("resend", "waiting", first["message"])
    assert addressees(second) == ["ann@example.com", "bob@example.com"]
    assert first["message_id"] != second["message_id"]
    assert second["raw"] == first["raw"].replace(first["message_id"].encode(), second["message_id"].encode(), 1)
    for n, row in enumerate((first, second)):
        settled = office.says("ann@example.com", "No tag", message_id=f"<r{n}@example.com>", in_reply_to=f"<{row['message_id']}>")
        assert (settled.letter.outcome, settled.letter.ticket) == ("commented", 1)


def test_cancel(office: Office) -> None:
    """An answer that waits is kept from going out; it can be sent again, and what was sent cannot be cancelled."""
    office.says()
    office.replies(1)
    with office.desk() as desk:
        desk.cancel(1, "2", "gus@desk.example")
    assert [(row["state"], row["reason"]) for row in office.outbox()] == [("cancelled", "gus@desk.example cancelled it")]
    with pytest.raises(UsageError, match="it is cancelled"), office.desk() as desk:
        desk.cancel(1, "2", "gus@desk.example")
    with office.desk() as desk:
        desk.resend(1, "2", "gus@desk.example")
    assert [row["state"] for row in office.outbox()] == ["cancelled", "waiting"]
    assert office.events(1)[-2:] == ["message 2 will not be sent", "message 2 is sent again"]


@pytest.mark.parametrize("verb", ["resend", "cancel"])
@pytest.mark.parametrize(("named", "error", "why"), [("1", UsageError, "is a mail"), ("77", NotFound, "no message 77")])
def test_only_answers_are_sent_again(office: Office, verb: str, named: str, error: type[HelpdeskError], why: str) -> None:
    """A customer's mail is none, and a message that is not there is told."""
    office.says()
    with pytest.raises(error, match=why), office.desk() as desk:
        getattr(desk, verb)(1, named, "gus@desk.example")


def test_what_still_waits_is_not_sent_again(office: Office) -> None:
    """Twice in the outbox would be twice at the customer's."""
    office.says()
    office.replies(1)
    with pytest.raises(UsageError, match="still waits"), office.desk() as desk:
        desk.resend(1, "2", "gus@desk.example")


def test_a_bounce_of_either_is_an_event(office: Office) -> None:
    """A report that names our id, also that of a mail sent again, is told on the ticket."""
    office.says()
    office.replies(1)
    mark(office, state="sent")
    with office.desk() as desk:
        desk.resend(1, "2", "gus@desk.example")
    for n, row in enumerate(office.outbox()):
        report = a_mail("Undelivered Mail Returned to Sender", "MAILER-DAEMON@example.com", "mailbox full", f"<b{n}@example.com>")
        settled = office.takes(report.replace(b"\nDate:", f"\nIn-Reply-To: <{row['message_id']}>\nDate:".encode(), 1))
        assert (settled.letter.outcome, settled.letter.ticket) == ("ignored", 1)
    assert sum("did not reach" in what for what in office.events(1)) == 2


# -- from a terminal -------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house with one ticket of Ann's and one agent."""
    house = House(tmp_path)
    house.drop(a_mail("Printer"))
    house.run("process", **CONFIGURED)
    house.run("agent", "add", "gus@desk.example", "--name", "Gus")
    return house


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    server = Smtp()
    yield server
    server.close()


def test_reply_from_a_terminal(house: House) -> None:
    """The answer is in the outbox, the ticket shows it with its state, and both say so."""
    done = house.run("ticket", "reply", "1", "--text", "Try again.", **CONFIGURED)
    assert done.stderr.decode() == "TICKET-001: the answer to ann@example.com is in the outbox.\n"
    message = house.json("ticket", "show", "1")["messages"][-1]
    assert (message["kind"], message["author"]) == ("reply", {"name": "Gus", "address": "gus@desk.example"})
    assert message["delivery"] == {"state": "waiting", "tries": 0, "next_try": None, "reason": None, "sent": None}
    shown = house.run("ticket", "show", "1").stdout.decode()
    assert "[reply, waiting]" in shown and "to ann@example.com" in shown


def test_reply_with_everything(house: House) -> None:
    """Text on standard input, copies, files, a quote, and the ticket closed."""
    (house.home / "a.pdf").write_bytes(b"%PDF-1.4 small")
    words = ("ticket", "reply", "TICKET-001", "--cc", "Bob <bob@example.com>", "--attach", "a.pdf", "--quote", "--close")
    house.run(*words, stdin="Grüße\n".encode(), **CONFIGURED)
    document = house.json("ticket", "show", "1")
    message = document["messages"][-1]
    assert document["status"] == "closed" and message["text"] == "Grüße"
    assert [(one["filename"], one["content_type"], one["size"]) for one in message["attachments"]] == [
        ("a.pdf", "application/pdf", 14)
    ]
    assert any(event["why"] == "to ann@example.com, bob@example.com" for event in document["events"])


def test_without_smtp_the_answer_waits(house: House) -> None:
    """The command says which key is missing; nothing is lost."""
    done = house.run("ticket", "reply", "1", "--text", "Hello", EMAIL_HOST_USER="support@desk.example")
    assert b"SMTP_HOST" in done.stderr and b"is in the outbox" in done.stderr
    assert house.json("ticket", "show", "1")["messages"][-1]["delivery"]["state"] == "waiting"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("reply", "9", "--text", "x"), 1, "There is no ticket 9"),
        (("reply", "1", "--text", " "), 2, "There is no text"),
        (("reply", "1", "--text", "x", "--cc", "nobody"), 2, "is no address"),
        (("reply", "1", "--text", "x", "--cc", "a@example.com\nBcc: b@example.com"), 2, "is no address"),
        (("reply", "1", "--text", "x", "--cc", "ü@example.com"), 1, "beyond ASCII"),
        (("reply", "1", "--text", "x", "--attach", "gone.pdf"), 65, "gone.pdf cannot be read"),
        (("reply", "1", "--text", "x", "--attach", "."), 65, "is no file"),
        (("reply", "1", "--text", "x", "--attach", "huge.bin"), 1, "larger than the 35 MB"),
        (("reply", "1", "--text", "x", "--as", "una@desk.example"), 1, "There is no agent"),
        (("resend", "1", "1"), 2, "is a mail"),
        (("cancel", "1", "5"), 1, "has no message 5"),
    ],
)
def test_what_a_terminal_is_told(house: House, words: tuple[str, ...], code: int, says: str) -> None:
    """Every mistake is a sentence with its exit code, and nothing is written."""
    with (house.home / "huge.bin").open("wb") as file:
        file.truncate(60 << 20)
    done = house.run("ticket", *words, code=code, **CONFIGURED)
    assert says in done.stderr.decode() and b"Traceback" not in done.stderr
    assert len(house.json("ticket", "show", "1")["messages"]) == 1


def test_cancel_and_resend_from_a_terminal(house: House) -> None:
    """Both name the message by its number; the ticket shows how it stands."""
    house.run("ticket", "reply", "1", "--text", "x", **CONFIGURED)
    assert b"will not be sent" in house.run("ticket", "cancel", "1", "2", **CONFIGURED).stderr
    assert b"[reply, cancelled: gus@desk.example cancelled it]" in house.run("ticket", "show", "1").stdout
    assert b"in the outbox again, to ann@example.com" in house.run("ticket", "resend", "1", "2", **CONFIGURED).stderr
    assert b"[reply, waiting]" in house.run("ticket", "show", "1").stdout


def test_a_resend_after_a_partial_deferral(house: House, smtp: Smtp) -> None:
    """Whom a server took it for leaves the row that waits; sent again, it goes to everybody whom the answer was for."""
    settings = {**smtp.env(), **QUIET}
    smtp.answers["bob@example.com"] = "450 4.2.1 later"
    house.run("ticket", "reply", "1", "--text", "x", "--cc", "bob@example.com", "--cc", "cy@example.com", **settings)
    assert house.run("send", code=None, **settings).returncode == 75
    assert [mail.recipients for mail in smtp.taken] == [["ann@example.com", "cy@example.com"]]
    house.run("ticket", "cancel", "1", "2", **settings)
    smtp.answers.clear()
    told = house.run("ticket", "resend", "1", "2", **settings).stderr
    assert b"to ann@example.com, bob@example.com, cy@example.com" in told
    house.run("send", **settings)
    assert smtp.taken[1].recipients == ["ann@example.com", "bob@example.com", "cy@example.com"] and len(smtp.taken) == 2


def test_who_was_not_reached_before_is_told(house: House) -> None:
    """An answer to an address whose mail came back is in the outbox all the same, with a warning."""
    assert b"did not reach" not in house.run("ticket", "reply", "1", "--text", "x", **CONFIGURED).stderr
    message_id = house.json("ticket", "show", "1")["messages"][-1]["message_id"]
    report = a_mail("Undelivered Mail Returned to Sender", "MAILER-DAEMON@example.com", "", "<b@example.com>")
    parts = [
        *("--b", "Content-Type: text/plain", "", "It did not arrive.", "--b", "Content-Type: message/delivery-status", ""),
        *("Reporting-MTA: dns; mx.example.com", "", "Final-Recipient: rfc822; ann@example.com", "Action: failed"),
        *(
            "Status: 5.2.2",
            "Diagnostic-Code: smtp; 552 mailbox full \x1b[31m",
            "",
            "--b",
            "Content-Type: text/rfc822-headers",
            "",
        ),
        *(f"Message-ID: <{message_id}>", "From: support@desk.example", "", "--b--", ""),
    ]
    kind = b"\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\nDate:"
    house.drop(report.replace(b"\nDate:", kind, 1).rstrip() + ("\n\n" + "\n".join(parts)).encode(), "bounce.eml")
    house.run("process", **CONFIGURED)
    done = house.run("ticket", "reply", "1", "--text", "Again", **CONFIGURED).stderr.decode()
    assert "is in the outbox." in done and "Mail did not reach ann@example.com before: " in done
    assert "mailbox full" in done and "\x1b" not in done


def test_files_of_answers_are_saved(house: House, tmp_path: Path) -> None:
    """`ticket save` writes what came and what was sent, byte for byte; of an answer that was sent again, once."""
    content = bytes(range(256)) * 40
    (house.home / "a.bin").write_bytes(content)
    (house.home / "Größe.txt").write_text("x")
    house.run("ticket", "reply", "1", "--text", "x", "--attach", "a.bin", "--attach", "Größe.txt", **CONFIGURED)
    house.run("ticket", "cancel", "1", "2", **CONFIGURED)
    house.run("ticket", "resend", "1", "2", **CONFIGURED)
    saved = house.run("ticket", "save", "1", "out", **CONFIGURED).stdout.decode().splitlines()
    assert saved == [str(Path("out") / "a.bin"), str(Path("out") / "Größe.txt")]
    assert (house.home / "out" / "a.bin").read_bytes() == content
    with sqlite3.connect(house.database) as database:
        database.execute("UPDATE outbox SET raw = replace(raw, 'AAEC', 'AAED')")
        database.execute("UPDATE outbox SET raw = CAST(raw AS BLOB)")
    database.close()
    done = house.run("ticket", "save", "1", "again", code=1, **CONFIGURED)
    assert "a.bin of message 2 is not what it was" in done.stderr.decode() and not (house.home / "again" / "a.bin").exists()


# -- saved replies ---------------------------------------------------------------------------------------------------


def save(house: House, name: str, text: str) -> None:
    path = house.home / "config" / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_saved_reply(house: House) -> None:
    """It is rendered for the ticket and the agent, and what --text says stands below it."""
    save(house, "replies/restart.txt", "Dear {{ customer.name }},\nrestart it, {{ ticket.number }}.\n{{ agent.name }}\n")
    house.run("ticket", "reply", "1", "--saved", "restart", **CONFIGURED)
    house.run("ticket", "reply", "1", "--saved", "restart", "--text", "PS: {{ 1 }}", **CONFIGURED)
    texts = [message["text"] for message in house.json("ticket", "show", "1")["messages"]]
    assert texts[1:] == [
        "Dear Ann,\nrestart it, TICKET-001.\nGus",
        "Dear Ann,\nrestart it, TICKET-001.\nGus\n\nPS: {{ 1 }}",
    ]


def test_saved_replies_by_queue_and_language(house: House) -> None:
    """They are found in the order in which templates are, and listed with what they are for."""
    save(house, "replies/hi.txt", "General {{ queue }}")
    save(house, "replies/hi.de.txt", "Deutsch")
    save(house, "billing/replies/hi.txt", "Billing")
    save(house, "replies/Turn off.txt", "Please turn it OFF.")
    (house.home / "config" / "rules.toml").write_text('[[queue]]\nname = "billing"\n')
    assert house.run("replies", "show", "hi").stdout == b"General support\n"
    assert house.json("replies", "show", "hi") == {"name": "hi", "text": "General support"}
    assert house.run("replies", "show", "hi", "--ticket", "1", **CONFIGURED).stdout == b"General support\n"
    house.run("ticket", "set", "1", "--queue", "billing")
    assert house.run("replies", "show", "hi", "--ticket", "1", **CONFIGURED).stdout == b"Billing\n"
    assert house.run("replies", "show", "hi", "--ticket", "1", DESK_LANGUAGE="de", **CONFIGURED).stdout == b"Billing\n"
    assert house.run("replies", "show", "hi", DESK_LANGUAGE="de").stdout == b"Deutsch\n"
    listed = [(row["name"], row["queue"], row["language"]) for row in house.json("replies", "list")]
    assert listed == [("hi", None, None), ("hi", None, "de"), ("hi", "billing", None), ("Turn off", None, None)]
    assert [row["name"] for row in house.json("replies", "list", "--search", "off PLEASE")] == ["Turn off"]
    assert house.json("replies", "list", "--search", "nothing") == []
    assert "Please turn it OFF." in house.run("replies", "list").stdout.decode()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("restrat", "There is no saved reply 'restrat' here.\n  Perhaps restart?"),
        ("../restart", "There is no saved reply '../restart' here."),
        ("broken", "replies/broken.txt:2: 'nobody' is undefined."),
        ("endless", "replies/endless.txt: what it makes is longer than 100000 characters."),
        ("blank", "There is no text"),
    ],
)
def test_a_saved_reply_that_cannot_be_used(house: House, name: str, says: str) -> None:
    """It is refused with the nearest names, or file and line; nothing is sent and nothing written."""
    save(house, "replies/restart.txt", "x")
    save(house, "replies/broken.txt", "Dear Ann,\n{{ nobody }}")
    save(house, "replies/endless.txt", "{% for a in range(999) %}{% for b in range(999) %}x{% endfor %}{% endfor %}")
    save(house, "replies/blank.txt", "{# nothing #}")
    done = house.run("ticket", "reply", "1", "--saved", name, code=None, **CONFIGURED)
    assert done.returncode == (2 if name == "blank" else 1) and says in done.stderr.decode().replace(os.sep, "/")
    assert len(house.json("ticket", "show", "1")["messages"]) == 1


# -- HTML, and what comes back of it ---------------------------------------------------------------------------------


def html_of(mail: Any) -> str:
    """Return the HTML part of a mail."""
    [part] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    content: bytes = part.get_payload(decode=True)
    return content.decode().replace("\r\n", "\n")


def test_every_answer_has_html(office: Office) -> None:
    """It says what the text says, escaped, and the text part is what it was."""
    office.says()
    mail = office.replies(1, "Try <b>again</b>:\nhttps://a.example/?x=1&y=2\n\nGus", quote=True)
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert words(mail).splitlines()[:4] == [REPLY_ABOVE, "", "Try <b>again</b>:", "https://a.example/?x=1&y=2"]
    assert html_of(mail) == (
        f"<!DOCTYPE html>\n<html><body>\n<p>{REPLY_ABOVE}</p>\n"
        '<p>Try &lt;b&gt;again&lt;/b&gt;:<br>\n<a href="https://a.example/?x=1&amp;y=2">https://a.example/?x=1&amp;y=2</a></p>\n'
        "<p>Gus</p>\n<p>On Sun, 22 Nov 2026 at 07:31 UTC, Ann wrote:</p>\n"
        '<blockquote type="cite"><p>Hello.</p></blockquote>\n</body></html>\n'
    )


def test_an_endless_answer_goes_out_as_text(office: Office) -> None:
    """HTML must not make a mail too large to be sent: of a very long text none is made."""
    office.says()
    mail = office.replies(1, "<" * 300_000)
    assert mail.get_content_type() == "text/plain" and words(mail).count("<") == 300_000


CLIENTS = {  # what a customer's program puts around our HTML when she answers it
    "gmail": '<div dir="ltr">{new}</div><br><div class="gmail_quote"><div class="gmail_attr">On Sun, Desk wrote:<br></div>'
    '<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{ours}</blockquote></div>',
    "apple": '<body>{new}<br><div><blockquote type="cite"><div>On 22 Nov 2026, Desk wrote:</div>{ours}</blockquote></div></body>',
    "outlook": '<div>{new}</div><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p><b>From:</b> Desk<br>'
    "<b>Sent:</b> Sunday<br><b>To:</b> Ann<br><b>Subject:</b> Re: Printer</p></div>{ours}",
    "nothing": "<p>{new}</p>{ours}",
    "a bare blockquote": "<p>{new}</p><blockquote>{ours}</blockquote>",
    "a table": "<p>{new}</p><table><tr><td>{ours}</td></tr></table>",
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("signature", ["", "Kind regards\nThe desk"])
def test_an_answer_to_our_html_is_only_what_is_new(tmp_path: Path, client: str, signature: str) -> None:
    """However her program quotes our HTML, with our signature and her own words in it, her answer is her new words."""
    if signature:
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "rules.toml").write_text(f'[[queue]]\nname = "support"\nsignature = """{signature}"""\n')
    office = Office(tmp_path, **QUIET)
    office.says(body="It does not print.\n\n> what I was told\n\nPlease help.")
    ours = html_of(office.replies(1, "Try again.\n\n> Please help.\n\nWe do: https://a.example", quote=True))
    ours = ours.partition("<body>")[2].partition("</body>")[0]
    raw = a_mail(
        "Re: Printer", body=CLIENTS[client].format(new="It works now.<br>Thank you!", ours=ours), content_type="text/html"
    )
    assert read_mail(raw).reply_text.strip() == "It works now.\nThank you!"
    office.close()
