"""Agents are told by mail: what goes out through a real SMTP server, when, to whom, and how it reads."""

from __future__ import annotations

import datetime
import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.desk import at_desk
from pipeline.digest import AT_ONCE, LISTED, worded
from pipeline.letter import Address
from pipeline.mime import read_mail
from pipeline.outbox import Sender
from pipeline.runner import Runner
from pipeline.store import Store

from .conftest import House, a_mail
from .posting import words
from .sending import rows, settings_of
from .servers import Smtp
from .test_conversations_bounces import a_report

ANN, BOB = "ann@desk.example", "bob@desk.example"
NOW = datetime.datetime.now(datetime.UTC)
EMAIL_DATE = "%a, %d %b %Y %H:%M:%S +0000"
LAST_YEAR = f"from a.example by b.example; {NOW - datetime.timedelta(days=365):{EMAIL_DATE}}"


class Place(House):
    """A house with an SMTP server."""

    def __init__(self, home: Path, smtp: Smtp) -> None:
        super().__init__(home)
        self.smtp = smtp
        self.more: dict[str, str] = {}
        self._read = 0

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.smtp.env(ACKNOWLEDGE="no"), **self.more}

    def says(
        self, subject: str = "Printer", who: str = "Cat <cat@example.com>", body: str = "It is on fire.", **headers: str
    ) -> None:
        """Deliver a mail and work it."""
        headers = {"message_id": f"<{random.random()}@example.com>", **headers}
        self.drop(a_mail(subject, who, body, **headers), f"{random.random()}.eml")
        self.process()

    def sends(self, code: int = 0) -> list[tuple[list[str], Message]]:
        """Run `send`; return what arrived since: to whom, and the mail."""
        self.run("send", code=code)
        return self.arrived()

    def arrived(self) -> list[tuple[list[str], Message]]:
        new, self._read = self.smtp.taken[self._read :], len(self.smtp.taken)
        return [(mail.recipients, message_from_bytes(mail.raw)) for mail in new]

    def later(self, age: datetime.timedelta = datetime.timedelta(), in_loop: bool = False) -> list[tuple[list[str], Message]]:
        """Make a pass of `send`, or of `send --loop`, at another time; return what arrived."""
        settings = settings_of(self, **self.smtp.env(ACKNOWLEDGE="no"), **self.more)
        with Store.open(settings) as store:
            sender = Sender(store, settings, threading.Event(), lambda: datetime.datetime.now(datetime.UTC) + age)
            sender._round() if in_loop else sender.once()
        return self.arrived()

    def asks(self, query: Any) -> list[dict[str, Any]]:
        with Store.open(settings_of(self)) as store:
            return store.rows(query)

    def notices(self) -> list[dict[str, Any]]:
        return self.asks(tables.Notice.select().order_by(tables.Notice.id))

    def events(self) -> list[str]:
        return [event["what"] for event in self.json("ticket", "show", "1")["events"]]


@pytest.fixture
def smtp() -> Iterator[Smtp]:
    running = Smtp()
    yield running
    running.close()


@pytest.fixture
def place(tmp_path: Path, smtp: Smtp) -> Place:
    place = Place(tmp_path, smtp)
    with Store.open(settings_of(place)) as store, at_desk(store, store.settings) as desk:
        desk.add_agent(ANN, "Ann")
        desk.add_agent(BOB, "Bob")
    return place


def recipients(mails: list[tuple[list[str], Message]]) -> list[str]:
    return [one for people, _ in mails for one in people]


# -- one mail --------------------------------------------------------------------------------------------------------


def test_a_new_ticket_by_mail(place: Place) -> None:
    """Each agent gets one mail from the desk, to be answered at an address with a token; it says what came, and how to answer."""
    place.says(body="It is on fire.\n#close")
    mails = place.sends()
    assert recipients(mails) == [ANN, BOB] and {mail.sender for mail in place.smtp.taken} == {"desk@desk.example"}
    for (_, mail), row in zip(mails, place.notices(), strict=True):
        assert mail["Reply-To"] == f'"Desk" <desk+{row["token"]}@desk.example>'
        assert (mail["From"], mail["Subject"]) == ('"Desk" <desk@desk.example>', "[TICKET-001] Printer")
        assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
        assert mail["Precedence"] is None and mail["References"] == mail["In-Reply-To"]
        text = words(mail)
        assert text.startswith("## Reply above this line ##\n\nA new ticket: TICKET-001 Printer\n")
        for said in ("every agent is told", "From: Cat <cat@example.com>", "It is on fire.", "goes to the customer", "#note"):
            assert said in text
    assert [row["told"] is not None and row["outbox"] for row in place.notices()] == [1, 2]
    assert place.sends() == []


def test_a_program_for_mail_shows_one_thread_per_ticket(place: Place) -> None:
    """All notifications of a ticket answer one id, which is no mail's and proves nothing; another ticket has another."""
    place.says(message_id="<q@example.com>")
    place.says("Re: Printer", in_reply_to="<q@example.com>")
    place.says("Toner")
    mails = [mail for people, mail in place.sends() if people == [ANN]]
    roots = [mail["In-Reply-To"] for mail in mails]
    assert roots[0] == roots[1] != roots[2] and not {*roots} & {mail["Message-ID"] for mail in mails}
    place.says("Re: Printer", "Eve <eve@evil.example>", in_reply_to=roots[0])
    assert len(place.json("ticket", "list")) == 3  # a stranger who names it gets a ticket of their own


def test_an_answer_to_it_is_only_what_stands_above(place: Place) -> None:
    """Below the marker all is ours: of an answer with the whole mail below it the new words are left."""
    place.says(body="It is on fire.")
    text = words(place.sends()[0][1])
    answer = read_mail(a_mail("Re: [TICKET-001] Printer", ANN, f"Pour water on it.\n\n{text}", in_reply_to="<x@desk.example>"))
    assert answer.reply_text == "Pour water on it."
    quoted = "\n".join(f"> {line}" for line in text.splitlines())
    assert read_mail(a_mail("Re: x", ANN, f"Pour water.\n\n{quoted}")).reply_text == "Pour water."


def test_a_reply_an_assignment_and_a_failure(place: Place) -> None:
    """The assignee alone is told of what comes next; who wrote an answer that is refused is told why."""
    place.says(message_id="<q@example.com>")
    place.sends()
    place.run("ticket", "assign", "1", BOB, "--as", ANN)
    [(people, mail)] = place.sends()
    assert people == [BOB] and "A ticket is yours now: TICKET-001 Printer" in words(mail) and f"By: {ANN}" in words(mail)
    assert "It is on fire." in words(mail)
    place.says("Re: Printer", body="Still burning.\n\n> Did you try\n> water?", in_reply_to="<q@example.com>")
    [(people, mail)] = place.sends()
    assert people == [BOB] and "A reply: TICKET-001 Printer" in words(mail)
    assert "Still burning." in words(mail) and "Did you try" not in words(mail)
    place.run("ticket", "reply", "1", "--text", "Pour water.", "--as", ANN)
    place.smtp.answers["cat@example.com"] = "550 no such user"
    assert place.sends(code=1) == []
    [(people, mail)] = place.sends()
    assert people == [ANN] and "did not reach cat@example.com: 550 no such user" in words(mail) and "Pour water." in words(mail)


def test_a_bounce_of_an_answer_is_told(place: Place) -> None:
    """A report that comes later is told like a refusal; a bounce of a notification or of a digest tells nobody."""
    place.says()
    place.run("ticket", "reply", "1", "--text", "Pour water.", "--as", ANN)
    mails = place.sends()
    reply = next(mail for people, mail in mails if people == ["cat@example.com"])
    place.drop(a_report(reply["Message-ID"].strip("<>"), "cat@example.com"), "bounce.eml")
    place.process()
    [(people, mail)] = place.sends()
    assert people == [ANN] and "did not reach cat@example.com: 5.1.1 550 no such user here" in words(mail)
    place.run("agent", "notify", BOB, "--digest", "5")
    place.says("2")
    place.says("3")
    mails = place.later(datetime.timedelta(minutes=6))
    digest = next(mail for people, mail in mails if people == [BOB])
    for number, one in enumerate((mail, digest)):
        place.drop(a_report(one["Message-ID"].strip("<>"), ANN, BOB, status=f"5.2.{number}"), f"bounce{number}.eml")
    lines, _ = place.process()
    assert [line["outcome"] for line in lines] == ["ignored", "ignored"]
    assert place.events()[-1].startswith("bounced: did not reach") and place.sends() == []


def test_a_notification_that_fails_tells_nobody(place: Place) -> None:
    """It is an event of the ticket, and causes no other mail."""
    place.smtp.answers[BOB] = "550 no such user"
    place.says()
    assert recipients(place.sends(code=1)) == [ANN]
    assert place.sends() == [] and len(place.notices()) == 2
    assert f"send failed: {BOB}: 550 no such user" in place.events()


def test_members_and_whom_a_rule_names(place: Place) -> None:
    """Who is no agent is told, and gets no token: an answer goes to the queue's address."""
    (place.home / "config").mkdir()
    (place.home / "config" / "rules.toml").write_text("""
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
sender = "Billing <billing@desk.example>"
prefix = "BILL"
members = ["bob@desk.example", "bills@elsewhere.example"]

[[rule]]
name = "all"
[rule.when]
always = true
[rule.then]
notify = ["boss@elsewhere.example"]
""")
    place.says(cc="billing@desk.example")
    mails = place.sends()
    assert recipients(mails) == [BOB, "bills@elsewhere.example", "boss@elsewhere.example"]
    answers = [mail["Reply-To"] for _, mail in mails]
    assert "+" in answers[0] and answers[1:] == ['"Billing" <billing@desk.example>'] * 2
    assert {mail["From"] for _, mail in mails} == {'"Billing" <billing@desk.example>'}
    assert {mail["Subject"] for _, mail in mails} == {"[BILL-001] Printer"}
    assert "goes to the customer" not in words(mails[1][1]) and "a rule names you" in words(mails[2][1])


def test_what_became_of_an_answer_by_mail(place: Place) -> None:
    """Its agent alone is told, wanted or not; no token, and none of the customer's words."""
    place.says()
    place.sends()
    with Store.open(settings_of(place, **place.smtp.env())) as store, at_desk(store, store.settings) as desk:
        desk.tell_back(desk.any_agent(BOB), 1, "your answer was not sent: it says nothing new")
    [(people, mail)] = place.sends()
    assert people == [BOB] and mail["Subject"] == "[TICKET-001] Printer" and "+" not in mail["Reply-To"]
    assert "it says nothing new" in words(mail) and "fire" not in words(mail)


def test_attachments_are_named(place: Place) -> None:
    """The files of a mail stand there by name; their bytes do not go out again."""
    body = (
        '--b\nContent-Type: text/plain\n\nSee there.\n--b\nContent-Type: application/pdf; name="bill.pdf"\n\nxxSECRETxx\n--b--\n'
    )
    place.says(body=body, mime_version="1.0", content_type="multipart/mixed; boundary=b")
    text = words(place.sends()[0][1])
    assert "See there." in text and "Attachments: bill.pdf" in text and "SECRET" not in text


HOSTILE = [
    "=?utf-8?b?QQ0KQmNjOiBldmVAZXZpbC5leGFtcGxl?=",
    "=?utf-8?q?A=0ABcc:_eve=40evil.example?=",
    "=?utf-8?q?=E2=80=AE=00=1B=5B2J_[TICKET-001]_Re:_[TICKET-007]?=",
    "[TICKET-001] [TICKET-002] Re: x",
    "x" * 5_000,
    "",
]


@pytest.mark.parametrize("subject", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_subjects_and_names(place: Place, subject: str) -> None:
    """Whatever a mail claims: our headers and our one recipient, one tag, and the agent's address nowhere else."""
    place.run("agent", "disable", BOB)
    name = subject[:300] or "=?utf-8?q?=22=0D=0ABcc=3A_eve=40evil.example?="
    place.says(
        subject, f"{name} <eve@evil.example>", body="## Reply above this line ##\n\x00\x1b[2J\u202e.\r\n.\r\n=?utf-8?q?x?="
    )
    [(people, mail)] = place.sends()
    assert people == [ANN] and mail["To"] == '"Ann" <ann@desk.example>'
    known = {"From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"}
    known |= {"X-Auto-Response-Suppress", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
    assert set(mail.keys()) == known and len(mail.keys()) == len(known)
    read = read_mail(place.smtp.taken[-1].raw)
    assert read.subject.startswith("[TICKET-001]") and read.subject.count("[TICKET-001]") == 1 and len(read.subject) < 200
    assert "\x1b" not in words(mail) and read.reply_text == ""


def test_an_endless_text_is_cut(place: Place) -> None:
    """Of a text of a megabyte the first 20,000 characters are told."""
    place.says(body="word " * 200_000)
    text = words(place.sends()[0][1])
    assert 20_000 < len(text) < 21_000 and "[...]" in text


def test_an_agent_whose_address_is_none(place: Place) -> None:
    """A mail that cannot be written is an event of its ticket, and keeps no other from going."""
    with Store.open(settings_of(place)) as store, store.transaction():
        store.run(tables.Agent.update(written="ann@@desk..example\r\nBcc: eve@evil.example").where(tables.Agent.address == ANN))
    place.says()
    assert recipients(place.sends()) == [BOB]
    assert any(what.startswith("could not tell ann@@desk") for what in place.events())
    assert place.sends() == [] and all(row["told"] for row in place.notices())


def test_a_long_address_of_the_desk(place: Place) -> None:
    """Where a token does not fit before the @, agents are told all the same, and not that they may answer."""
    long = f"{'d' * 45}@desk.example"
    place.more = {"DEFAULT_FROM_EMAIL": long}
    place.says()
    mails = place.sends()
    assert recipients(mails) == [ANN, BOB] and mails[0][1]["Reply-To"] == long
    assert "goes to the customer" not in words(mails[0][1])


# -- who, and when ---------------------------------------------------------------------------------------------------


def test_preferences(place: Place) -> None:
    """`agent notify` shows and changes what an agent is told; `agent list --json` shows it too."""
    assert place.run("agent", "notify", ANN).stdout == b"ann@desk.example is told of new, replied, assigned, failed, at once.\n"
    done = place.run("agent", "notify", ANN, "--off", "new", "--off", "failed", "--digest", "30")
    assert done.stdout == b"ann@desk.example is told of replied, assigned, once in 30 minutes.\n"
    listed = [(one["notify"], one["digest_minutes"]) for one in place.json("agent", "list")]
    assert listed == [(["replied", "assigned"], 30), (["new", "replied", "assigned", "failed"], 0)]
    place.says()
    assert recipients(place.sends()) == [BOB]
    done = place.run("agent", "notify", ANN, "--on", "failed", "--off", "replied", "--off", "assigned", "--at-once")
    assert done.stdout == b"ann@desk.example is told of failed, at once.\n"
    assert place.run("agent", "notify", ANN, "--off", "failed").stdout == b"ann@desk.example is told of nothing.\n"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--on", "repleid"], "Did you mean replied?"),
        (["--off", "everything"], "Take new, replied, assigned or failed."),
        (["--on", "new", "--off", "new"], "new cannot be switched on and off at once."),
        (["--at-once", "--digest", "5"], "not both"),
        (["--digest", "0"], "--digest"),
    ],
)
def test_wrong_words(place: Place, asked: list[str], said: str) -> None:
    """A word that is none exits 2 with the one that may be meant, and changes nothing."""
    before = place.json("agent", "list")
    done = place.run("agent", "notify", ANN, *asked, code=2)
    assert said in done.stderr.decode() and place.json("agent", "list") == before


def test_an_unknown_agent(place: Place) -> None:
    """Who is no agent has no preferences: exit 1."""
    assert b"There is no agent" in place.run("agent", "notify", "eve@desk.example", code=1).stderr


def test_a_digest(place: Place) -> None:
    """With --digest all of so many minutes come in one mail, each ticket with the address to which an answer goes."""
    place.run("agent", "notify", ANN, "--digest", "30")
    place.run("agent", "disable", BOB)
    place.says(message_id="<q@example.com>")
    place.says("Re: Printer", body="Still burning.", in_reply_to="<q@example.com>")
    place.says("Toner", body="Empty.")
    assert place.later(datetime.timedelta(minutes=29)) == []
    [(people, mail)] = place.later(datetime.timedelta(minutes=31))
    tokens = [row["token"] for row in place.notices()]
    text = words(mail)
    assert people == [ANN] and mail["Subject"] == "3 notices on 2 tickets" and mail["Reply-To"] == '"Desk" <desk@desk.example>'
    assert [token in text for token in tokens] == [False, True, True]
    assert text.count("answer to: desk+") == 2 and text.startswith("## Reply above this line ##")
    for said in ("[TICKET-001] Printer", "A new ticket", "A reply", "Still burning.", "[TICKET-002] Toner", "Empty."):
        assert said in text
    assert place.later(datetime.timedelta(minutes=90)) == [] and rows_of(place) == 1
    place.says("Paper", body="Out.")
    assert place.later(datetime.timedelta(minutes=29)) == []
    [(_, mail)] = place.later(datetime.timedelta(minutes=62))
    assert mail["Subject"] == "[TICKET-003] Paper"


def rows_of(place: Place) -> int:
    with Store.open(settings_of(place)) as store:
        return len(rows(store))


def pour(place: Place, mails: int, start: int = 0, **headers: str) -> None:
    """Let many mails come at once."""
    for number in range(start, start + mails):
        place.drop(
            a_mail(f"Q{number}", f"c{number}@example.com", message_id=f"<{number}@example.com>", **headers), f"{number}.eml"
        )
    place.process()


def test_a_flood_does_not_become_a_flood(place: Place) -> None:
    """Of 60 tickets at once an agent gets 20 mails and a digest of the rest; more of that come every ten minutes, no sooner."""
    place.run("agent", "disable", BOB)
    pour(place, 60)
    mails = place.sends()
    assert len(mails) == AT_ONCE + 1 and mails[-1][1]["Subject"] == f"{60 - AT_ONCE} notices on {60 - AT_ONCE} tickets"
    pour(place, 30, start=60)
    assert place.sends() == [] and place.later(datetime.timedelta(minutes=9)) == []
    [(_, mail)] = place.later(datetime.timedelta(minutes=11))
    assert mail["Subject"] == "30 notices on 30 tickets"
    pour(place, 1, start=90)
    [(_, mail)] = place.later(datetime.timedelta(minutes=90))
    assert mail["Subject"] == "[TICKET-091] Q90"
    assert [row["told"] is not None for row in place.notices()] == [True] * 91


def test_a_digest_is_bounded() -> None:
    """However much is in it, a digest lists 200 tickets and says how many more there are."""
    entry = {"number": "T-1", "subject": "x", "happened": ["A reply (x)"], "author": "a", "text": "t", "answer_to": "a@b"}
    _, text = worded({"kind": "digest", "notices": 900, "tickets": 300, "entries": [entry] * LISTED})
    assert text.count("answer to:") == LISTED and "And 100 more" in text


def test_who_is_disabled_meanwhile_gets_nothing(place: Place) -> None:
    """Whether an agent may know is asked when the mail is written; what was noted for them is let be for good."""
    place.says()
    place.run("agent", "disable", BOB)
    assert recipients(place.sends()) == [ANN]
    place.run("agent", "enable", BOB)
    assert place.sends() == [] and all(row["told"] for row in place.notices())


def test_a_desk_without_an_address(place: Place) -> None:
    """Without an address to write from notices wait, one line says why, and they go once there is one."""
    place.more = {"DEFAULT_FROM_EMAIL": "", "EMAIL_HOST_USER": "just-a-name"}
    place.says()
    place.run("send")
    assert "Notifications wait: DEFAULT_FROM_EMAIL" in place.log.read_text() and place.arrived() == []
    place.more = {}
    assert recipients(place.sends()) == [ANN, BOB]


def test_a_paused_outbox(place: Place) -> None:
    """While sending is paused no mail to agents is written either."""
    place.says()
    pause = place.home / "data" / "PAUSE"
    pause.touch()
    assert place.sends() == [] and rows_of(place) == 0
    pause.unlink()
    assert recipients(place.sends()) == [ANN, BOB]


# -- old mail --------------------------------------------------------------------------------------------------------


def test_5000_old_mails_then_a_fresh_one(place: Place) -> None:
    """The first look at a full mailbox: no mail to a customer, one summary to each agent; then one acknowledgement."""
    settings = settings_of(place, **place.smtp.env())
    with Store.open(settings) as store, Runner(store, settings, lambda settled, ms: None) as runner:
        inbox = runner.boxes["INBOX"]
        inbox.create()
        for n in range(5000):
            raw = a_mail(f"Question {n}", f"a{n}@customer{n % 700}.example", message_id=f"<{n}@c.example>", received=LAST_YEAR)
            (inbox.root / "new" / f"{n}.host,U={n},FMD5={'0' * 32}").write_bytes(raw)
        runner.sweep()
        assert store.count(tables.Ticket.select()) == 5000 == store.count(tables.Notice.select())
    place.more = {"ACKNOWLEDGE": "yes"}
    mails = place.sends()
    assert sorted(recipients(mails)) == [ANN, BOB]
    text = words(mails[0][1])
    assert mails[0][1]["Subject"] == "Old mail on 5000 tickets"
    assert "5000 mails on 5000 tickets, TICKET-001 to TICKET-5000, dated from 2026-11-22 to 2026-11-22." in text
    assert text.count("[TICKET-") == 20 and "And 4980 more" in text
    place.says("Fresh", received=f"from a by b; {datetime.datetime.now(datetime.UTC):{EMAIL_DATE}}")
    assert sorted(recipients(place.sends())) == [ANN, BOB, "cat@example.com"]
    assert [row["kind"] for row in place.asks(tables.Outbox.select(tables.Outbox.kind))].count("acknowledgement") == 1


def test_old_mail_in_the_loop(place: Place) -> None:
    """With --loop the summary waits until no more came for a minute; a second one comes an hour after the first, no sooner."""
    minute = datetime.timedelta(minutes=1)
    place.says("1", received=LAST_YEAR)
    assert place.later(in_loop=True) == []
    mails = place.later(minute * 1.1, in_loop=True)
    assert recipients(mails) == [ANN, BOB] and mails[0][1]["Subject"] == "Old mail on 1 ticket"
    place.says("2", received=LAST_YEAR)
    assert place.later(minute * 59, in_loop=True) == [] and place.sends() == []
    place.says("3", received=LAST_YEAR)
    mails = place.later(minute * 62, in_loop=True)
    assert recipients(mails) == [ANN, BOB] and "TICKET-002 to TICKET-003" in words(mails[0][1])
    assert place.later(minute * 200, in_loop=True) == []


# -- killed ----------------------------------------------------------------------------------------------------------


def test_killed_between(place: Place) -> None:
    """Under 25 SIGKILLs at random moments no notice is lost, and none is told twice but between a 250 and its commit."""
    chance, window = random.Random(7), set[str]()
    place.smtp.seconds = 0.005
    pour(place, 15)
    for number in range(25):
        before = len(place.smtp.ids())
        running = subprocess.Popen(
            place.command("send"), cwd=place.home, env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 5
        while len(place.smtp.ids()) == before and running.poll() is None and time.monotonic() < end and number % 3:
            time.sleep(0.001)
        time.sleep(chance.random() * (0.02 if number % 3 else 0.8))
        running.send_signal(signal.SIGKILL)
        running.wait()
        time.sleep(0.02)
        sent = {row["message_id"] for row in place.asks(tables.Outbox.select()) if row["state"] == "sent"}
        window |= set(place.smtp.ids()) - sent
    place.run("send")
    counts = Counter(place.smtp.ids())
    outbox = place.asks(tables.Outbox.select().order_by(tables.Outbox.id))
    assert len(outbox) == 30 and set(counts) == {row["message_id"] for row in outbox}
    assert {one for one, count in counts.items() if count > 1} <= window
    told = Counter((row["agent"], row["ticket"], row["outbox"]) for row in place.notices())
    assert len(told) == 30 and {key[2] for key in told} == {row["id"] for row in outbox}


def test_an_agents_reply_by_another_is_no_news(place: Place) -> None:
    """What agents do themselves, notes and answers, is told to nobody by mail."""
    place.says()
    place.sends()
    with Store.open(settings_of(place, **place.smtp.env())) as store, at_desk(store, store.settings) as desk:
        desk.note(1, "seen", Address("Ann", ANN))
        desk.reply(1, "Pour water.", Address("Ann", ANN))
    mails = place.sends()
    assert recipients(mails) == ["cat@example.com"] and json.loads(rows_last(place)["recipients"]) == ["cat@example.com"]


def rows_last(place: Place) -> dict[str, Any]:
    return place.asks(tables.Outbox.select().order_by(tables.Outbox.id))[-1]
