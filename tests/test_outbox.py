"""The outbox against a real SMTP server that takes, puts off, refuses, and breaks the line."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import HelpdeskError, LoginRefused, OutOfReach, SettingsError, TryLater
from pipeline.locks import file_lock
from pipeline.mime import read_mail
from pipeline.outbox import Sender, Summary
from pipeline.settings import load
from pipeline.store import Store

from .conftest import House, a_mail
from .sending import put, rows, settings_of, storm
from .sending import servers as servers
from .servers import PASSWORD, Smtp, free_port

Servers = Callable[..., Smtp]


@pytest.fixture
def smtp(servers: Servers) -> Smtp:
    return servers()


@pytest.fixture
def store(house: House) -> Iterator[Store]:
    with Store.open(settings_of(house), migrate=True) as opened:
        yield opened


def sender(store: Store, house: House, smtp: Smtp, later: timedelta = timedelta(), **environment: str) -> Sender:
    settings = settings_of(house, **smtp.env(**environment))
    return Sender(store, settings, threading.Event(), lambda: datetime.now(UTC) + later)


def deliver(store: Store, house: House, smtp: Smtp, later: timedelta = timedelta(), **environment: str) -> Summary:
    summary = sender(store, house, smtp, later, **environment).once()
    assert summary is not None
    return summary


def states(store: Store) -> list[str]:
    return [row["state"] for row in rows(store)]


def a_ticket(house: House) -> None:
    house.drop(a_mail())
    house.process()


def events(house: House) -> list[str]:
    return [event["what"] for event in house.json("ticket", "show", "1")["events"]]


# -- a good server ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "ssl", "none"])
@pytest.mark.parametrize("password", [None, PASSWORD, "pässwörd"], ids=["no log-in", "log-in", "beyond ASCII"])
def test_many_mails_on_one_line(store: Store, house: House, servers: Servers, security: str, password: str | None) -> None:
    """Over TLS or on loopback, with and without a log-in: the bytes arrive as they are, in order, on one connection."""
    smtp = servers(security, password)
    text = ".\n..\n.dots\nand a line\n"
    for number in range(5):
        put(store, f"ann{number}@example.com", "bob@example.com", text=text)
    assert deliver(store, house, smtp) == Summary(sent=5)
    assert [mail.recipients for mail in smtp.taken] == [[f"ann{n}@example.com", "bob@example.com"] for n in range(5)]
    assert [mail.raw for mail in smtp.taken] == [row["raw"] for row in rows(store)]
    assert {mail.sender for mail in smtp.taken} == {"desk@desk.example"} and len(smtp.connections) == 1
    assert smtp.logins == (password is not None)
    assert states(store) == ["sent"] * 5 and all(row["sent"] and row["tries"] == 1 for row in rows(store))
    assert deliver(store, house, smtp) == Summary() and len(smtp.taken) == 5


def test_the_null_sender(store: Store, house: House, smtp: Smtp) -> None:
    """A mail with an empty envelope sender goes out as `MAIL FROM:<>`."""
    put(store, envelope_from="")
    assert deliver(store, house, smtp).sent == 1 and smtp.taken[0].sender == ""


# -- never in clear text, never to a stranger ------------------------------------------------------------------------


def refused(store: Store, house: House, smtp: Smtp, **environment: str) -> HelpdeskError:
    put(store)
    with pytest.raises(HelpdeskError) as error:
        deliver(store, house, smtp, **environment)
    assert smtp.taken == [] and states(store) == ["waiting"] and rows(store)[0]["tries"] == 0
    return error.value


def test_no_starttls_no_mail(store: Store, house: House, servers: Servers) -> None:
    """Where the server offers no STARTTLS nothing is sent, not even the log-in; the sentence names the way out."""
    smtp = servers("starttls", PASSWORD, offer_starttls=False)
    error = refused(store, house, smtp)
    assert error.exit_code == 69 and "SMTP_SECURITY=ssl" in str(error) and smtp.logins == 0


@pytest.mark.parametrize("security", ["starttls", "ssl"])
def test_an_unknown_certificate(store: Store, house: House, servers: Servers, security: str) -> None:
    """A certificate that nobody vouches for is not trusted, nor is one of another host."""
    smtp = servers(security, PASSWORD)
    error = refused(
        store, house, smtp, SMTP_CA_FILE=ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    )
    assert error.exit_code == 69 and "cannot be trusted" in str(error) and "SMTP_CA_FILE" in str(error)
    with pytest.raises(OutOfReach, match="127.0.0.1"):
        deliver(store, house, smtp, SMTP_HOST="127.0.0.1")
    assert smtp.logins == 0 and smtp.taken == []


def test_a_file_of_certificates_that_is_none(store: Store, house: House, servers: Servers) -> None:
    """A SMTP_CA_FILE that holds no certificate is a wrong setting."""
    (house.home / "ca.pem").write_text("nothing")
    assert isinstance(refused(store, house, servers("starttls"), SMTP_CA_FILE="ca.pem"), SettingsError)


def test_tls_where_the_server_speaks_none(store: Store, house: House, smtp: Smtp) -> None:
    """A server that speaks plain SMTP where TLS is expected is out of reach."""
    assert refused(store, house, smtp, SMTP_SECURITY="ssl").exit_code == 69


def test_a_password_never_goes_out_readable() -> None:
    """SMTP_SECURITY=none with a password and a server elsewhere is a wrong setting, unless SMTP_INSECURE=yes."""
    far = {"SMTP_HOST": "mail.example.com", "SMTP_SECURITY": "none"}
    assert load(far).smtp_configured
    with pytest.raises(SettingsError, match="SMTP_INSECURE=yes"):
        load({**far, "SMTP_PASSWORD": "x"})
    assert load({**far, "SMTP_PASSWORD": "x", "SMTP_INSECURE": "yes"}).smtp_password == "x"
    assert load({**far, "SMTP_PASSWORD": "x", "SMTP_HOST": "localhost"}).smtp_password == "x"


@pytest.mark.parametrize("security", ["starttls", "none"])
def test_a_wrong_password(store: Store, house: House, servers: Servers, security: str) -> None:
    """A refused log-in is an error of its own, is tried once, and the mails wait."""
    smtp = servers(security, PASSWORD)
    error = refused(store, house, smtp, SMTP_PASSWORD="wrong")
    assert isinstance(error, LoginRefused) and "SMTP_PASSWORD" in str(error) and "wrong" not in str(error)
    assert smtp.logins == 1


# -- later, or never -------------------------------------------------------------------------------------------------


def test_a_mail_that_is_put_off(store: Store, house: House, smtp: Smtp) -> None:
    """After a 4xx a mail waits a minute, then twice that, to four hours, with the server's sentence; then it goes."""
    put(store)
    later, waits = timedelta(), []
    for _ in range(11):
        smtp.finals.append("451 4.3.0 try later")
        assert deliver(store, house, smtp, later) == Summary(waiting=1)
        (row,) = rows(store)
        waits.append((datetime.fromisoformat(row["next_try"]) - datetime.now(UTC) - later).total_seconds())
        assert row["reason"] == "ann@example.com: 451 4.3.0 try later" and row["state"] == "waiting"
        assert deliver(store, house, smtp, later) == Summary(waiting=1) and not smtp.finals
        later += timedelta(seconds=waits[-1] + 2)
    for tries, wait in enumerate(waits):
        usual = min(60 * 2**tries, 4 * 3600)
        assert 0.79 * usual - 3 < wait < 1.21 * usual + 3
    assert deliver(store, house, smtp, later) == Summary(sent=1)
    assert rows(store)[0]["reason"] is None and smtp.ids() == [rows(store)[0]["message_id"]]


def test_a_mail_is_given_up(store: Store, house: House, smtp: Smtp) -> None:
    """After five days and many tries a mail fails, and its ticket says so; days alone do not count."""
    a_ticket(house)
    old = (datetime.now(UTC) - timedelta(days=6)).isoformat(timespec="seconds")
    put(store, ticket=1, created=old, tries=7)
    put(store, ticket=1, created=old)
    smtp.answers["ann@example.com"] = "452 4.2.2 mailbox full"
    assert deliver(store, house, smtp).waiting == 1
    assert states(store) == ["failed", "waiting"]
    assert "send failed: ann@example.com: 452 4.2.2 mailbox full" in events(house)


def test_a_mail_that_is_refused(store: Store, house: House, smtp: Smtp) -> None:
    """After a 5xx a mail has failed for good with the server's sentence, its ticket says so, and the next one goes."""
    a_ticket(house)
    for address in ("gone@example.com", "ann@example.com", "ann@example.com"):
        put(store, address, ticket=1)
    smtp.answers["gone@example.com"] = "550 5.1.1 no such user"
    smtp.finals.append("554 5.7.1 spam")
    assert deliver(store, house, smtp) == Summary(sent=1, refused=2)
    assert [(row["state"], row["reason"]) for row in rows(store)] == [
        ("failed", "gone@example.com: 550 5.1.1 no such user"),
        ("failed", "ann@example.com: 554 5.7.1 spam"),
        ("sent", None),
    ]
    assert events(house)[-2:] == [
        "send failed: gone@example.com: 550 5.1.1 no such user",
        "send failed: ann@example.com: 554 5.7.1 spam",
    ]
    assert len(smtp.connections) == 1


def test_some_recipients_are_refused(store: Store, house: House, smtp: Smtp) -> None:
    """Of several recipients one is refused and one put off: the others get the mail once, and only the latter is tried again."""
    a_ticket(house)
    put(store, "ann@example.com", "gone@example.com", "busy@example.com", "bob@example.com", ticket=1)
    smtp.answers = {"gone@example.com": "550 no such user", "busy@example.com": "450 greylisted"}
    assert deliver(store, house, smtp) == Summary(sent=1, refused=1, waiting=1)
    assert smtp.taken[0].recipients == ["ann@example.com", "bob@example.com"]
    (row,) = rows(store)
    assert (row["state"], json.loads(row["recipients"])) == ("waiting", ["busy@example.com"])
    smtp.answers.clear()
    assert deliver(store, house, smtp, timedelta(minutes=2)) == Summary(sent=1)
    assert [mail.recipients for mail in smtp.taken[1:]] == [["busy@example.com"]] and len(set(smtp.ids())) == 1
    assert [what for what in events(house) if "failed" in what] == ["send failed: gone@example.com: 550 no such user"]


def test_a_sender_that_is_refused(store: Store, house: House, smtp: Smtp) -> None:
    """A refusal of the envelope sender concerns every recipient, and keeps no other mail from going."""
    put(store, "ann@example.com", "bob@example.com")
    put(store)
    smtp.greetings = ["553 5.7.1 not your address"]
    assert deliver(store, house, smtp) == Summary(sent=1, refused=1)
    assert rows(store)[0]["reason"].count("553") == 2


def test_what_a_server_says_is_one_clean_line(store: Store, house: House, smtp: Smtp) -> None:
    """A refusal of many lines with control characters becomes one bounded line."""
    put(store)
    smtp.answers["ann@example.com"] = "550-first\r\n550-\x1b[31msecond\t\x00\r\n550 " + "x" * 400
    assert deliver(store, house, smtp).refused == 1
    reason = rows(store)[0]["reason"]
    assert reason.startswith("ann@example.com: 550 first \\x1b[31msecond") and reason.isprintable() and len(reason) < 400


ROWS: dict[str, dict[str, Any]] = {
    "a newline": {"recipients": json.dumps(["ann@example.com\r\nRCPT TO:<evil@x.example>"])},
    "a bracket": {"recipients": json.dumps(["ann@example.com> NOTIFY=NEVER"])},
    "nobody": {"recipients": "[]"},
    "no address": {"recipients": json.dumps(["ann"])},
    "beyond ASCII": {"recipients": json.dumps(["änn@example.com"])},
    "the sender": {"envelope_from": "desk@desk.example\r\nRSET"},
}


@pytest.mark.parametrize("columns", ROWS.values(), ids=ROWS)
def test_a_bad_row(store: Store, house: House, smtp: Smtp, columns: dict[str, Any]) -> None:
    """A row whose addresses are none fails with a sentence, nothing of it reaches the wire, and the next one goes."""
    a_ticket(house)
    put(store, ticket=1, **columns)
    put(store)
    assert deliver(store, house, smtp) == Summary(sent=1, refused=1)
    assert states(store) == ["failed", "sent"] and smtp.taken[0].recipients == ["ann@example.com"]
    assert rows(store)[0]["reason"].isprintable() and "send failed" in events(house)[-1]


def test_a_bad_recipient_among_good_ones(store: Store, house: House, smtp: Smtp) -> None:
    """Of several recipients one is no address: the others get the mail."""
    put(store, recipients=json.dumps(["ann@example.com", "bob@example.com\r\nDATA", "carol@example.com"]))
    assert deliver(store, house, smtp) == Summary(sent=1, refused=1)
    assert smtp.taken[0].recipients == ["ann@example.com", "carol@example.com"]
    assert states(store) == ["sent"] and rows(store)[0]["reason"].startswith("bob@example.com\\r\\nDATA: 553")


# -- the line breaks -------------------------------------------------------------------------------------------------


def test_the_line_breaks_before_the_mail_is_taken(store: Store, house: House, smtp: Smtp) -> None:
    """A mail whose line breaks waits, the others go on a new line, and it goes at the next try."""
    for _ in range(3):
        put(store)
    smtp.finals.append("drop")
    assert deliver(store, house, smtp) == Summary(sent=2, waiting=1)
    assert states(store) == ["waiting", "sent", "sent"] and "the line broke" in rows(store)[0]["reason"]
    assert deliver(store, house, smtp, timedelta(minutes=2)) == Summary(sent=1)
    assert sorted(smtp.ids()) == sorted(row["message_id"] for row in rows(store))


def test_the_line_breaks_before_we_hear_that_it_was_taken(store: Store, house: House, smtp: Smtp) -> None:
    """A mail that was taken without our hearing it goes twice, under one Message-ID."""
    put(store)
    smtp.finals.append("take and drop")
    assert deliver(store, house, smtp) == Summary(waiting=1)
    assert deliver(store, house, smtp, timedelta(minutes=2)) == Summary(sent=1)
    assert smtp.ids() == [rows(store)[0]["message_id"]] * 2


def test_a_line_that_was_idle(store: Store, house: House, smtp: Smtp) -> None:
    """Where the server closes before a mail begins, the mail goes at once on a new line."""
    for _ in range(2):
        put(store)
    smtp.greetings = ["421 4.4.2 idle for too long"]
    assert deliver(store, house, smtp) == Summary(sent=2) and len(smtp.connections) == 2


def test_a_mail_that_breaks_every_line(store: Store, house: House, smtp: Smtp) -> None:
    """A mail at which the server breaks the line each time keeps no other from going."""
    put(store, "poison@example.com")
    put(store)
    smtp.answers["poison@example.com"] = "drop"
    assert deliver(store, house, smtp) == Summary(sent=1, waiting=1)


def test_a_server_that_breaks_every_line(store: Store, house: House, smtp: Smtp) -> None:
    """Three broken lines in a row are the server's trouble: the rest is not touched."""
    for _ in range(5):
        put(store)
    smtp.finals.extend(["drop"] * 9)
    with pytest.raises(OutOfReach, match="again and again"):
        deliver(store, house, smtp)
    assert [row["tries"] for row in rows(store)] == [1, 1, 1, 0, 0] and set(states(store)) == {"waiting"}


def test_a_server_that_says_nothing(store: Store, house: House, smtp: Smtp) -> None:
    """A server that takes a mail and never answers is given up after SMTP_TIMEOUT; the mail waits."""
    put(store)
    smtp.seconds = 3.0
    assert deliver(store, house, smtp, SMTP_TIMEOUT="1") == Summary(waiting=1)
    assert "timed out" in rows(store)[0]["reason"]


def test_a_host_that_is_none(store: Store, house: House, smtp: Smtp) -> None:
    """A host name that cannot be one is a server out of reach, not a fault of ours."""
    assert refused(store, house, smtp, SMTP_HOST="x" * 70 + ".example").exit_code == 69


def test_a_server_without_log_in(store: Store, house: House, smtp: Smtp) -> None:
    """Where the server offers no log-in and one is set, nothing is sent."""
    assert refused(store, house, smtp, SMTP_USERNAME="desk", SMTP_PASSWORD="x").exit_code == 69


def test_no_server(store: Store, house: House) -> None:
    """Without a server nothing is tried, nothing is counted, and the exit code is 69."""
    put(store)
    environment = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(free_port()), "SMTP_SECURITY": "none"}
    done = house.run("send", code=69, **environment)
    assert b"SMTP_HOST" in done.stderr and b"Traceback" not in done.stderr and rows(store)[0]["tries"] == 0


# -- waiting on purpose ----------------------------------------------------------------------------------------------


HINDRANCES: dict[str, tuple[dict[str, str], bytes]] = {
    "not configured": ({"SMTP_HOST": ""}, b"SMTP_HOST"),
    "a name without a password": ({"SMTP_USERNAME": "desk"}, b"SMTP_PASSWORD"),
    "switched off": ({"SEND_ENABLED": "no"}, b"SEND_ENABLED=no"),
    "paused": ({}, b"PAUSE"),
}


@pytest.mark.parametrize("name", HINDRANCES)
def test_mails_wait_on_purpose(store: Store, house: House, smtp: Smtp, name: str) -> None:
    """Not configured, switched off or paused: mails wait, one line says which key or file it is, and the exit code is 0."""
    environment, said = HINDRANCES[name]
    if name == "paused":
        (house.home / "data" / "PAUSE").touch()
    put(store)
    done = house.run("send", **smtp.env(**environment))
    assert said in done.stderr and done.stderr.count(b"\n") == 1 and done.stdout == b""
    assert states(store) == ["waiting"] and smtp.taken == []


def test_a_pause_in_the_middle(store: Store, house: House, smtp: Smtp) -> None:
    """PAUSE holds after the mail in hand; taking it away lets the rest go."""
    pause = house.home / "data" / "PAUSE"
    for _ in range(3):
        put(store)
    smtp.during = lambda envelope: pause.touch()
    assert deliver(store, house, smtp) == Summary(sent=1, waiting=2)
    smtp.during = lambda envelope: None
    pause.unlink()
    assert deliver(store, house, smtp).sent == 2


def test_a_test_system_writes_to_nobody_else(store: Store, house: House, smtp: Smtp) -> None:
    """With ALL_MAIL_TO every envelope goes there alone; a header says to whom it would have gone, and the row keeps them."""
    put(store, "ann@example.com", "bob@example.com")
    put(store)
    smtp.finals.append("451 later")
    assert deliver(store, house, smtp, ALL_MAIL_TO="Test <test@desk.example>") == Summary(sent=1, waiting=1)
    assert deliver(store, house, smtp, timedelta(minutes=2), ALL_MAIL_TO="test@desk.example").sent == 1
    assert [mail.recipients for mail in smtp.taken] == [["test@desk.example"]] * 2
    wanted = [read_mail(mail.raw).header("x-original-recipients") for mail in smtp.taken]
    assert wanted == ["ann@example.com", "ann@example.com, bob@example.com"]
    assert b"X-Original" not in rows(store)[0]["raw"]
    assert json.loads(rows(store)[0]["recipients"]) == ["ann@example.com", "bob@example.com"]


def test_so_many_in_a_minute(store: Store, house: House, smtp: Smtp) -> None:
    """SEND_PER_MINUTE holds within a pass and for the next one; a stop ends the wait."""
    for _ in range(4):
        put(store)
    for _ in range(2):
        slow = sender(store, house, smtp, SEND_PER_MINUTE="3")
        timer = threading.Timer(1.0, slow._stop.set)
        timer.start()
        began = time.monotonic()
        slow.once()
        assert 0.5 < time.monotonic() - began < 5
        timer.join()
        assert len(smtp.taken) == 3
    fast = sender(store, house, smtp, timedelta(minutes=2), SEND_PER_MINUTE="3")
    assert fast.once() == Summary(sent=1)


def test_a_mail_that_is_cancelled_at_the_last_moment(store: Store, house: House, smtp: Smtp) -> None:
    """The state is read again before each mail: one that was cancelled while another was sent stays here."""
    put(store)
    put(store)
    smtp.during = lambda envelope: ask(house, "UPDATE outbox SET state = 'cancelled' WHERE id = 2")
    assert deliver(store, house, smtp) == Summary(sent=1)
    assert states(store) == ["sent", "cancelled"] and len(smtp.taken) == 1


def ask(house: House, sql: str) -> None:
    database = sqlite3.connect(house.database, timeout=5)
    with database:
        database.execute(sql)
    database.close()


def test_a_database_that_takes_no_mark(store: Store, house: House, smtp: Smtp) -> None:
    """Where the 250 cannot be written down no other mail goes, and it is written down before the next pass: nothing twice."""
    for _ in range(3):
        put(store)
    store.database.execute_sql("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(house.database, isolation_level=None, check_same_thread=False)
    smtp.during = lambda envelope: other.execute("BEGIN IMMEDIATE")
    one = sender(store, house, smtp)
    with pytest.raises(TryLater):
        one.once()
    assert len(smtp.taken) == 1
    with pytest.raises(TryLater):
        one.once()
    assert len(smtp.taken) == 1
    other.execute("ROLLBACK")
    other.close()
    smtp.during = lambda envelope: None
    assert one.once() == Summary(sent=2)
    assert states(store) == ["sent"] * 3 and len(set(smtp.ids())) == len(smtp.ids()) == 3


# -- two senders, and senders that die -------------------------------------------------------------------------------


def test_two_senders(store: Store, house: House, smtp: Smtp) -> None:
    """While one sender holds the lock another says so, sends nothing and ends with 0."""
    put(store)
    with file_lock(house.home / "data" / "send.lock"):
        assert sender(store, house, smtp).once() is None
        assert b"Another sender is at work" in house.run("send", **smtp.env()).stderr
    assert smtp.taken == [] and deliver(store, house, smtp).sent == 1


def test_six_senders_at_once(store: Store, house: House, smtp: Smtp) -> None:
    """Six senders at the same time send every mail once."""
    for _ in range(30):
        put(store)
    smtp.seconds = 0.01
    environment = {**house.environment, **smtp.env()}
    started = [start_with(house, environment, "send") for _ in range(6)]
    assert [one.wait(60) for one in started] == [0] * 6
    assert len(smtp.taken) == 30 == len(set(smtp.ids())) and states(store) == ["sent"] * 30


def start_with(house: House, environment: dict[str, str], *words: str) -> Any:
    return subprocess.Popen(house.command(*words), cwd=house.home, env=environment, stderr=subprocess.DEVNULL)


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_a_loop_takes_over_from_one_that_died(store: Store, house: House, smtp: Smtp) -> None:
    """A second loop idles and says so once; when the first is killed it delivers what comes; SIGTERM ends it with 0."""
    environment = {**house.environment, **smtp.env()}
    first = start_with(house, environment, "send", "--loop")
    put(store)
    wait_for(lambda: len(smtp.taken) == 1)
    second = start_with(house, environment, "send", "--loop")
    try:
        wait_for(lambda: "Another sender is at work" in house.log.read_text())
        put(store)
        wait_for(lambda: len(smtp.taken) == 2)
        first.kill()
        put(store)
        wait_for(lambda: len(smtp.taken) == 3)
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    finally:
        for one in (first, second):
            one.kill()
            one.wait()
    assert house.log.read_text().count("Another sender is at work") == 1 and states(store) == ["sent"] * 3


def test_a_loop_tells_trouble_once(store: Store, house: House, servers: Servers) -> None:
    """With a wrong password the loop says so once, asks the server once, and goes on; a stop ends it at once."""
    smtp = servers("starttls", PASSWORD)
    put(store)
    running = start_with(house, {**house.environment, **smtp.env(SMTP_PASSWORD="wrong")}, "send", "--loop")
    try:
        wait_for(lambda: house.log.exists() and "refuses the log-in" in house.log.read_text())
        time.sleep(1)
        assert running.poll() is None and smtp.logins == 1
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()
    assert house.log.read_text().count("refuses the log-in") == 1 and "wrong" not in house.log.read_text()


def test_thirty_mails_and_ten_kills(house: House, smtp: Smtp) -> None:
    """Killed at random moments, every mail arrives at least once under its one id; twice only from between 250 and commit."""
    smtp.seconds = 0.004
    told = storm(house, smtp, mails=30, kills=10, seed=int(os.environ.get("SEED", "1")))
    print(told)
    assert told.arrived.keys() == told.put_in and (len(told.put_in), told.kills) == (30, 10)
    assert told.twice <= told.in_the_window
    assert sum(told.arrived.values()) <= 30 + told.kills


# -- the commands ----------------------------------------------------------------------------------------------------


def test_exit_codes(store: Store, house: House, servers: Servers) -> None:
    """`send` ends with 0, 1, 75, 77 as the contract says, and tells in one line what it did."""
    smtp = servers("starttls", PASSWORD)
    assert b"nothing to send" in house.run("send", **smtp.env()).stderr
    put(store)
    assert b"1 sent, 0 refused" in house.run("send", **smtp.env()).stderr
    put(store, "gone@example.com")
    smtp.answers = {"gone@example.com": "550 no", "busy@example.com": "450 later"}
    house.run("send", code=1, **smtp.env())
    put(store, "busy@example.com")
    house.run("send", code=75, **smtp.env())
    put(store)
    done = house.run("send", code=77, **smtp.env(SMTP_PASSWORD="wrong"))
    assert b"SMTP_PASSWORD" in done.stderr and b"Traceback" not in done.stderr


def test_outbox_list_retry_cancel(store: Store, house: House, smtp: Smtp) -> None:
    """What waits or failed is listed, can be tried again and cancelled; the ticket's history says who did it."""
    a_ticket(house)
    put(store, "gone@example.com", ticket=1)
    put(store)
    smtp.answers = {"gone@example.com": "550 no such user"}
    house.run("send", code=1, **smtp.env())
    (row,) = house.json("outbox", "list")
    assert row == {
        "id": 1,
        "ticket": "TICKET-001",
        "recipients": ["gone@example.com"],
        "kind": "reply",
        "message_id": rows(store)[0]["message_id"],
        "envelope_from": "desk@desk.example",
        "state": "failed",
        "tries": 1,
        "next_try": None,
        "reason": "gone@example.com: 550 no such user",
        "created": row["created"],
        "sent": None,
    }
    assert len(house.json("outbox", "list", "--all")) == 2
    table = house.run("outbox", "list").stdout.decode()
    assert "gone@example.com" in table and "550 no such user" in table
    house.run("outbox", "retry", "1")
    assert [(one["state"], one["tries"]) for one in house.json("outbox", "list")] == [("waiting", 0)]
    house.run("outbox", "cancel", "1")
    assert rows(store)[0]["state"] == "cancelled" and events(house)[-2:] == ["a mail is tried again", "a mail was cancelled"]
    house.run("send", **smtp.env())
    assert len(smtp.taken) == 1


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_what_cannot_be_done_to_a_mail(store: Store, house: House, smtp: Smtp, verb: str) -> None:
    """An unknown id exits 1, a mail that was sent 2; nothing changes, also of the others that were named."""
    put(store)
    deliver(store, house, smtp)
    put(store, state="failed")
    assert b"no mail of the outbox" in house.run("outbox", verb, "2", "7", code=1).stderr.lower()
    assert b"sent already" in house.run("outbox", verb, "2", "1", code=2).stderr
    assert states(store) == ["sent", "failed"]


def test_a_log_line_a_mail(store: Store, house: House, smtp: Smtp) -> None:
    """The log says of each mail what became of it, with its id; no hostile server can forge a line."""
    put(store)
    put(store, "gone@example.com")
    smtp.answers["gone@example.com"] = "550-no\r\n550 Mail sent message_id=x"
    house.run("send", code=1, **smtp.env())
    lines = house.log.read_text().splitlines()
    assert [line.split()[2:4] for line in lines if "message_id=" in line] == [["Mail", "sent"], ["Mail", "refused"]]
    assert all(row["message_id"] in line for row, line in zip(rows(store), lines[-2:], strict=True))
