"""Who is told that a mail has arrived, who is not and why, and how seldom."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import tables
from pipeline.mime import read_mail
from pipeline.post import is_unread
from pipeline.settings import load
from pipeline.store import Store

from ..conftest import House, a_mail
from ..posting import Office, addressees, reason, words

NOW = datetime.datetime.now(datetime.UTC)
EMAIL_DATE = "%a, %d %b %Y %H:%M:%S +0000"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    office.close()


def received(age: datetime.timedelta) -> str:
    return f"from a.example by b.example; {NOW - age:{EMAIL_DATE}}"


def test_a_new_ticket_is_acknowledged(office: Office) -> None:
    """One mail to the requester, of fixed words, with the ticket's number, marked as a program's, from the null sender."""
    settled = office.says(subject="Buy cheap pills", body="at http://pills.example", message_id="<q@example.com>")
    assert settled.letter.outcome == "opened" and reason(settled) == "acknowledged to ann@example.com"
    [row], [mail] = office.outbox(), office.written()
    assert (row["kind"], row["state"], row["envelope_from"], row["ticket"]) == ("acknowledgement", "waiting", "", 1)
    assert addressees(row) == ["ann@example.com"] and mail["To"] == "ann@example.com"
    assert mail["Subject"] == "[TICKET-001] Your message has arrived" and "[TICKET-001]" in words(mail)
    assert "pills" not in row["raw"].decode() and "Ann" not in row["raw"].decode()
    marks = (mail["Auto-Submitted"], mail["Precedence"], mail["X-Auto-Response-Suppress"])
    assert marks == ("auto-replied", "auto_reply", "All")
    assert (mail["In-Reply-To"], mail["References"]) == ("<q@example.com>", "<q@example.com>")
    assert (mail["From"], mail["Reply-To"]) == ("support@desk.example", "support@desk.example")
    assert len(row["message_id"].partition("@")[0]) == 32 and mail["Message-ID"] == f"<{row['message_id']}>"


def test_it_is_an_event_and_no_message(office: Office) -> None:
    """The ticket's history says to whom; its messages are the customer's alone."""
    office.says()
    assert office.events(1) == ["opened", "acknowledged to ann@example.com"]
    assert [row["kind"] for row in office.messages(1)] == ["mail"]


def test_a_robot_that_reads_it_keeps_silent(office: Office) -> None:
    """Our own reader, for one, calls it an automatic reply."""
    office.says()
    raw = office.outbox()[0]["raw"]
    settled = office.takes(raw.replace(b"From: support@desk.example", b"From: support@other.example"))
    assert settled.letter.mail.kind == "auto-reply" and len(office.outbox()) == 1
    assert read_mail(raw).header("auto-submitted") == "auto-replied"


# headers of a mail from Ann -> why she is not told
NOT_TOLD = {
    "automatic": ({"auto_submitted": "auto-generated"}, "automatic"),
    "out of office": ({"subject": "Out of office"}, "automatic"),
    "a list's": ({"list_id": "<news.example.com>"}, "list or bulk"),
    "bulk": ({"precedence": "bulk"}, "list or bulk"),
    "a null sender": ({"return_path": "<>"}, "automatic"),
    "who wants no answer": ({"x_auto_response_suppress": "OOF"}, "wants no answer"),
    "old": ({"received": received(datetime.timedelta(hours=25))}, "more than 24 hours ago"),
    "last year's": ({"received": received(datetime.timedelta(days=365))}, "more than 24 hours ago"),
    "no date in Received": ({"received": "from a by b"}, "no Received"),
    "noreply": ({"who": "Shop <noreply@example.com>"}, "nobody reads"),
    "no From": ({"who": ""}, "nobody knows who"),
    "two senders": ({"who": "a@example.com, b@example.com"}, "several senders"),
    "no mail address": ({"who": "näme@example.com"}, "beyond ASCII"),
    "ourselves": ({"who": "support@desk.example"}, "an address of ours"),
    "ourselves, with a detail": ({"who": "support+x@desk.example"}, "an address of ours"),
}


@pytest.mark.parametrize("case", NOT_TOLD)
def test_who_is_not_told(office: Office, case: str) -> None:
    """The ticket opens all the same, nothing goes out, and the trail says why."""
    headers, why = NOT_TOLD[case]
    settled = office.says(**headers)
    assert settled.letter.outcome == "opened" and office.outbox() == []
    assert reason(settled).startswith("not acknowledged: ") and why in reason(settled), reason(settled)
    assert not [what for what in office.events(1) if "acknowledged" in what]


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"x_spam_flag": "YES"}, "held"),
        ({"who": "MAILER-DAEMON@example.com", "subject": "Undelivered"}, "ignored"),
    ],
)
def test_what_opens_nothing_is_not_acknowledged(office: Office, headers: dict[str, str], outcome: str) -> None:
    """Held and ignored mail causes no mail."""
    assert office.says(**headers).letter.outcome == outcome
    assert office.outbox() == []


def test_an_answer_is_not_acknowledged(office: Office) -> None:
    """Only the mail that opens a ticket is; nobody is told twice."""
    office.says(message_id="<q@example.com>")
    assert office.says(subject="Re: Printer", in_reply_to="<q@example.com>").letter.outcome == "commented"
    assert len(office.outbox()) == 1


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"SMTP_HOST": ""}, ""),
        ({"ACKNOWLEDGE": "no"}, "not acknowledged: ACKNOWLEDGE=no"),
        ({"SEND_ENABLED": "no"}, "not acknowledged: SEND_ENABLED=no"),
        ({"EMAIL_HOST_USER": "just-a-name"}, "not acknowledged: DEFAULT_FROM_EMAIL: an address is expected"),
        ({"ACKNOWLEDGE_PER_HOUR": "0"}, "not acknowledged: 0 were written within an hour"),
    ],
)
def test_settings_that_keep_it_silent(tmp_path: Path, settings: dict[str, str], why: str) -> None:
    """Without SMTP, switched off, or with no address to write from nothing is written, and the ticket opens."""
    office = Office(tmp_path, **settings)
    settled = office.says()
    assert settled.letter.outcome == "opened" and office.outbox() == []
    assert reason(settled).startswith(why) and bool(reason(settled)) == bool(why)
    office.close()


def test_dmarc_failed_is_not_acknowledged(tmp_path: Path) -> None:
    """Who is not who From says gets nothing; who is proven may have the subject repeated."""
    office = Office(tmp_path, TRUSTED_AUTHSERV_ID="mx.desk.example")
    found = "mx.desk.example; dmarc={} header.from=example.com"
    assert "dmarc failed" in reason(office.says(authentication_results=found.format("fail")))
    assert reason(office.says(subject="Toner", authentication_results=found.format("pass"))).startswith("acknowledged")
    assert [mail["Subject"] for mail in office.written()] == ["Re: [TICKET-002] Toner"]
    office.close()


def test_the_subject_comes_back_to_whom_we_answered(office: Office) -> None:
    """A stranger's subject is not repeated; one to whom an agent has written is known."""
    office.says(subject="Printer")
    office.replies(1)
    office.says(subject="Toner")
    assert [mail["Subject"] for mail in office.written()] == [
        "[TICKET-001] Your message has arrived",
        "Re: [TICKET-001] Printer",
        "Re: [TICKET-002] Toner",
    ]


def test_a_rule_may_forbid_it(tmp_path: Path) -> None:
    """`acknowledge = false` of a rule holds, and a queue has its own words and sender."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").write_text("""
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
prefix = "BILL"
sender = "Billing <billing@desk.example>"
acknowledgement = "We pay on Mondays."

[[rule]]
name = "silent"
[rule.when]
subject.contains = "silent"
[rule.then]
acknowledge = false
""")
    office = Office(tmp_path)
    assert reason(office.says(subject="silent")) == "not acknowledged: a rule says so"
    office.says(subject="Invoice", cc="billing@desk.example")
    [mail] = office.written()
    assert mail["From"] == '"Billing" <billing@desk.example>' and "We pay on Mondays." in words(mail)
    assert mail["Subject"] == "[BILL-002] Your message has arrived"
    office.close()


@pytest.mark.parametrize("hours", [0, 23])
def test_fresh_mail_is_acknowledged(office: Office, hours: int) -> None:
    """The newest Received counts, which stands on top; older ones below do not matter."""
    fresh = received(datetime.timedelta(hours=hours))
    old = received(datetime.timedelta(days=9)).encode()
    raw = a_mail(received=fresh).replace(b"Received:", b"RECEIVED:", 1)
    assert reason(office.takes(raw.replace(b"\n\n", b"\nReceived: " + old + b"\n\n", 1))).startswith("acknowledged")


# -- how seldom ------------------------------------------------------------------------------------------------------


def test_one_on_a_subject_and_five_to_a_sender(office: Office) -> None:
    """The same subject, however it is marked, is acknowledged once in 24 hours; five mails are the most."""
    told = [reason(office.says(subject=subject)) for subject in ("Printer", "printer ", "AW: Printer", "2", "3", "4", "5", "6")]
    assert [one.startswith("acknowledged") for one in told] == [True, False, False, True, True, True, True, False]
    assert "on this subject" in told[1] and told[-1] == "not acknowledged: 5 were written to ann@example.com within 24 hours"


def test_the_bounds_hold_within_a_batch(tmp_path: Path) -> None:
    """A robot with a new address each time gets 50 in its domain and 100 in all, also when its mails come at once."""
    office = Office(tmp_path)
    office.takes(*(a_mail(f"{n}", f"r{n}@robot{n % 3}.example", message_id=f"<{n}@r.example>") for n in range(320)))
    assert len(office.outbox()) == 100
    why = [reason(one) for one in office.heard]
    assert sum("within an hour" in one for one in why) == 220
    office.close()


def test_a_domain_gets_fifty(office: Office) -> None:
    """The fifty-first address of a domain gets none."""
    office.takes(*(a_mail("Hi", f"r{n}@robot.example", message_id=f"<{n}@r.example>") for n in range(60)))
    assert len(office.outbox()) == 50
    assert reason(office.heard[-1]) == "not acknowledged: 50 were written to robot.example within 24 hours"


def test_the_bounds_end(office: Office) -> None:
    """After a day, the hour's after an hour, the next one is written; old rows of the book go."""
    office.says()
    book = tables.Acknowledged
    for hours, told in ((23, False), (25, True)):
        then = (NOW - datetime.timedelta(hours=hours)).isoformat(timespec="seconds")
        with office.store.transaction():
            office.store.run(book.update(at=then))
        assert reason(office.says()).startswith("acknowledged") == told
    with office.store.transaction():
        office.store.run(book.update(at="2020-01-01T00:00:00+00:00"))
    office.says(subject="another")
    assert office.store.count(book.select()) == 1


def test_many_unread_mails_of_last_year(tmp_path: Path) -> None:
    """The first look at a full mailbox writes to nobody; the next fresh mail is acknowledged."""
    office = Office(tmp_path)
    old = received(datetime.timedelta(days=365))
    inbox = office.runner.boxes["INBOX"]
    for n in range(500):
        raw = a_mail(f"Question {n}", f"a{n}@customer{n % 700}.example", message_id=f"<{n}@c.example>", received=old)
        (inbox.root / "new" / f"{n}.host,U={n},FMD5={'0' * 32}").write_bytes(raw)
    office.runner.sweep()
    assert office.store.count(tables.Ticket.select()) == 500 and office.outbox() == []
    assert reason(office.says(received=received(datetime.timedelta(minutes=1)))).startswith("acknowledged")
    assert len(office.outbox()) == 1
    office.close()


def test_mail_of_the_first_sync(tmp_path: Path) -> None:
    """What an IMAP folder held before its first complete sync is not acknowledged, however new; what comes later is."""
    imap = {"IMAP_HOST": "localhost", "IMAP_USERNAME": "support@desk.example", "IMAP_PASSWORD": "x"}
    office = Office(tmp_path, **imap)
    assert "first complete sync" in reason(office.takes(a_mail("1", message_id="<1@x.example>"), box="INBOX"))
    time.sleep(0.01)
    with office.desk() as desk:
        desk.note_baseline("INBOX", [])
    inbox = office.runner.boxes["INBOX"]
    inbox.deliver(a_mail("2", message_id="<2@x.example>"))
    [found] = inbox.new()
    os.utime(found.path, (time.time() - 60,) * 2)  # fetched before the sync had ended, worked after it
    office.runner.sweep()
    assert "first complete sync" in reason(office.heard[-1])
    assert reason(office.takes(a_mail("3", message_id="<3@x.example>"), box="INBOX")).startswith("acknowledged")
    office.close()


def test_replay_and_demo_write_to_nobody(house: House) -> None:
    """A replayed mail opens its ticket and causes no mail; the same mail delivered does. The demo is silent too."""
    configured = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "support@desk.example"}
    (house.home / "old.eml").write_bytes(a_mail("Old"))
    house.run("replay", "old.eml", **configured)
    house.run("demo", **configured)
    house.run("process", code=None, **configured)
    house.run("deliver", stdin=a_mail("New", message_id="<new@example.com>"), **configured)
    house.run("process", code=None, **configured)
    office = Office(house.home)
    assert [(row["kind"], addressees(row)) for row in office.outbox()] == [("acknowledgement", ["ann@example.com"])]
    assert office.store.count(tables.Ticket.select()) >= 3
    office.close()


def test_what_was_held_is_not_acknowledged_when_it_is_let_through(office: Office) -> None:
    """An agent who lets a held mail through answers it, or not."""
    office.says(x_spam_flag="YES")
    office.runner.approve([1], "gus@desk.example")
    assert office.ticket(1)["status"] == "open" and office.outbox() == []


UNREAD = (
    "noreply@x no-reply@x no_reply@x NoReply@x do-not-reply@x donotreply@x dontreply@x noreply+abc@x news.no-reply@x noreply12@x"
)
UNREAD += " nicht-antworten@x ne-pas-repondre@x bounces+abc=de@x bounce@x owner-list@x list-bounces@x list-request@x postmaster@x"
UNREAD += " mailer-daemon@x no.reply@x no-responder@x"
READ = "ann@x norbert@x reply@x northern.replies@x noah@x piano@x bouncer@x owner@x request@x noreen@x ono@x"


@pytest.mark.parametrize(("addresses", "unread"), [(UNREAD, True), (READ, False)])
def test_addresses_that_nobody_reads(addresses: str, unread: bool) -> None:
    """noreply in its many spellings is known, people with similar names are not mistaken for it."""
    assert [one for one in addresses.split() if is_unread(f"{one}.example") is not unread] == []


def test_a_long_local_part_is_judged_in_no_time(office: Office) -> None:
    """An address made of dashes does not hold up the desk."""
    start = time.monotonic()
    is_unread("no-" * 20_000 + "@x.example")
    assert time.monotonic() - start < 0.2


def test_a_dry_run_writes_nothing(house: House) -> None:
    """`process --dry-run` says what it would do, and the outbox stays empty."""
    configured = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "support@desk.example"}
    house.run("process", **configured)
    house.drop(a_mail())
    done = house.run("process", "--dry-run", "--json", **configured)
    assert b"acknowledge: acknowledged to ann@example.com" in done.stdout
    with Store.open(load({}, house.home)) as store:
        assert store.count(tables.Outbox.select()) == 0
