"""The whole house with real servers: a customer and an agent at their mail programs, and nobody at a command line."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message

import pytest

from .conftest import House, a_mail, needs
from .servers import USER, Dovecot, Smtp, Taken
from .test_sync import until

ANN, BOB = "ann@example.com", "bob@desk.example"
SECONDS = 90


@pytest.fixture(name="dovecot")
def a_dovecot() -> Iterator[Dovecot]:
    needs("dovecot", "dovecot-imapd")
    server = Dovecot()
    yield server
    server.close()


@pytest.fixture(name="smtp")
def an_smtp_server() -> Iterator[Smtp]:
    server = Smtp("starttls", "p#ss w'rd")
    yield server
    server.close()


class Wire:
    """What the outer world does: takes what the desk sends, and writes to the desk."""

    def __init__(self, dovecot: Dovecot, smtp: Smtp) -> None:
        self.dovecot, self.smtp = dovecot, smtp

    def taken(self, to: str) -> list[Taken]:
        return [mail for mail in list(self.smtp.taken) if mail.recipients == [to]]

    def gets(self, to: str, count: int) -> Message:
        """Wait until so many mails went to this address; return the last."""
        until(lambda: len(self.taken(to)) >= count, SECONDS)
        return message_from_bytes(self.taken(to)[count - 1].raw)

    def writes(self, sender: str, to: str, subject: str, body: str, **headers: str) -> None:
        """Let a mail of the outer world arrive in the desk's mailbox."""
        mail = a_mail(subject, sender, body, **headers).replace(b"To: support@desk.example", f"To: {to}".encode(), 1)
        self.dovecot.append(b"Received: from x by y; Wed, 25 Nov 2099 09:00:00 +0000\n" + mail)


def text_of(mail: Message) -> str:
    part = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content.decode()


def quoted(mail: Message) -> str:
    """Return a mail's text as mail programs quote it below an answer."""
    lines = [f"> {line}" for line in text_of(mail).splitlines()]
    return "\n".join([f"On Sun, 22 Nov 2026 at 07:31, {mail['From']} wrote:", *lines])


@pytest.fixture(name="wire")
def a_running_house(house: House, dovecot: Dovecot, smtp: Smtp) -> Iterator[Wire]:
    """A house with one agent that is up, fetches every five seconds and sends."""
    env = {**dovecot.env(SYNC_SECONDS="5"), **smtp.env(DEFAULT_FROM_EMAIL=f"Desk <{USER}>", EMAIL_HOST_USER=USER)}
    house.run("agent", "add", BOB, "--name", "Bob Miller", **env)
    house.run("sync", "--once", **env)  # what lies there before the first round is old mail, which nobody is written about
    with subprocess.Popen(house.command("up"), cwd=house.home, env={**house.environment, **env}) as running:
        yield Wire(dovecot, smtp)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_a_dialogue_by_mail_alone(house: House, wire: Wire) -> None:
    """Customer, acknowledgement, the agent's answer by mail, the customer's reply without the tag: one ticket, three messages."""
    wire.writes(f"Ann <{ANN}>", USER, "The printer is dead", "It prints no more.", message_id="<one@ann.example>")
    acknowledged, notified = wire.gets(ANN, 1), wire.gets(BOB, 1)
    assert acknowledged["Auto-Submitted"] == "auto-replied" and "[TICKET-001]" in acknowledged["Subject"]
    assert "It prints no more." in text_of(notified) and re.search(r"support\+[a-z2-7]{26}@", notified["Reply-To"])

    asked = re.search(r"[\w.+-]+@[\w.-]+", notified["Reply-To"].rpartition("<")[2] or notified["Reply-To"])
    assert asked
    wire.writes(
        f"Bob Miller <{BOB}>",
        asked[0],
        f"Re: {notified['Subject']}",
        f"#tag printer\nPlease switch it off and on.\n\n{quoted(notified)}",
        message_id="<two@bob.example>",
        in_reply_to=notified["Message-ID"],
    )
    answered = wire.gets(ANN, 2)
    assert "Please switch it off and on." in text_of(answered) and BOB not in wire.taken(ANN)[1].raw.decode()
    assert answered["In-Reply-To"] == "<one@ann.example>" and answered["Subject"].count("[TICKET-001]") == 1

    wire.writes(
        f"Ann <{ANN}>",
        USER,
        "AW: The printer is dead",
        f"That helped!\n\n{quoted(answered)}",
        message_id="<three@ann.example>",
        in_reply_to=answered["Message-ID"],
    )
    told = wire.gets(BOB, 2)
    assert "That helped!" in text_of(told) and "switch it off" not in text_of(told).partition("An answer to this mail")[0]

    [ticket] = house.json("ticket", "list", "--all")
    shown = house.json("ticket", "show", "1")
    assert [message["kind"] for message in shown["messages"]] == ["mail", "reply", "mail"]
    assert [message["reply_text"].strip() for message in shown["messages"]] == [
        "It prints no more.",
        "Please switch it off and on.",
        "That helped!",
    ]
    assert sum("acknowledged" in event["what"] for event in shown["events"]) == 1
    assert (ticket["status"], ticket["tags"]) == ("open", ["printer"])
    assert len(wire.taken(ANN)) == 2 and len(wire.taken(BOB)) == 2
