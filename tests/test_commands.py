"""Every command from outside: tables for people, JSON for programs, exit codes, and sentences instead of tracebacks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline import __version__
from pipeline.cli import COMMANDS, cli

from .conftest import House, a_mail

TICKET = ["number", "id", "subject", "status", "priority", "queue", "assignee", "requester", "tags", "created_from_email"]
TICKET += ["email_from", "messages", "created", "updated"]
MESSAGE = ["id", "kind", "author", "is_from_email", "message_id", "date", "text", "reply_text", "html", "attachments"]
MESSAGE += ["verified", "defects", "delivery"]
ATTACHMENT = ["filename", "content_type", "size", "sha256", "inline", "content_id"]
FAILED = ["id", "file", "sha256", "reason", "stage", "attempts", "when"]
AUDIT = ["complete", "files", "waiting", "ledger", "missing", "orphaned", "by_outcome"]
PARSED = ["file", "sha256", "message_id", "in_reply_to", "references", "subject", "date", "from", "sender", "reply_to", "to"]
PARSED += ["cc", "text", "reply_text", "html", "attachments", "kind", "ticket_numbers", "defects", "auth", "bounce", "original"]
OURS = ["parse", "screen", "match", "triage", "persist", "acknowledge", "notify"]
WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")

INVOICE = b"""\
From: Eve <eve@elsewhere.example>
To: support@desk.example
Cc: "Bob B." <bob@example.com>
Subject: =?utf-8?Q?Invoice_=E2=80=93_wrong?=
Date: Sun, 22 Nov 2026 09:31:00 +0100
Message-ID: <invoice@elsewhere.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p onclick="steal()">Dear <b>team</b>, see attachment.</p><script>alert(1)</script>
--b
Content-Type: application/pdf
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a.pdf"

aGVsbG8=
--b
Content-Type: text/csv
Content-Disposition: attachment

a,b
--b--
"""
REPLY = "Thanks, that helped.\n\nAm 22.11.2026 um 08:31 schrieb Support:\n> Try again.\n"
COPY = b"Received: from a by b; Sun, 22 Nov 2026 08:00:00 +0000\n" + a_mail("Printer")


def drop_in_order(house: House, mails: dict[str, bytes]) -> None:
    for number, (name, raw) in enumerate(mails.items()):
        path, when = house.drop(raw, name), time.time() - 500 + number
        os.utime(path, (when, when))


def fill(house: House) -> House:
    """Process a question, its reply, a second delivery, an invoice with attachments, and an empty file."""
    mails = {
        "question.eml": a_mail("Printer"),
        "reply.eml": a_mail("Re: Printer", message_id="<2@example.com>", body=REPLY, in_reply_to="<1@example.com>"),
        "copy.eml": COPY,
        "invoice.eml": INVOICE,
        "empty.eml": b"",
    }
    drop_in_order(house, mails)
    house.run("process", code=1)
    return house


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Share a filled house among tests that only read."""
    return fill(House(tmp_path_factory.mktemp("desk")))


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().splitlines()


def ask(house: House, sql: str) -> list[Any]:
    with sqlite3.connect(house.database) as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


# ticket


def test_ticket_list(desk: House) -> None:
    """The table has a row a ticket, with number, status, subject, requester and messages."""
    title, *rows = lines(desk.run("ticket", "list"))
    assert title.split() == ["NUMBER", "STATUS", "SUBJECT", "REQUESTER", "MESSAGES", "UPDATED"]
    assert {row.split()[0] for row in rows} == {"TICKET-001", "TICKET-002"}
    assert any("Printer" in row and "Ann <ann@example.com>" in row for row in rows)


def test_ticket_list_as_json(desk: House) -> None:
    """--json has the shape of the contract, field by field."""
    by_number = {row["number"]: row for row in desk.json("ticket", "list")}
    row = by_number["TICKET-001"]
    assert list(row) == TICKET
    assert WHEN.fullmatch(row.pop("created")) and WHEN.fullmatch(row.pop("updated"))
    assert row == {
        "number": "TICKET-001",
        "id": 1,
        "subject": "Printer",
        "status": "open",
        "priority": "normal",
        "queue": row["queue"],
        "assignee": None,
        "requester": {"name": "Ann", "address": "ann@example.com"},
        "tags": [],
        "created_from_email": True,
        "email_from": "ann@example.com",
        "messages": 2,
    }
    assert by_number["TICKET-002"]["subject"] == "Invoice \u2013 wrong"


@pytest.mark.parametrize(
    ("address", "numbers"),
    [
        ("ann@example.com", ["TICKET-001"]),
        ("ANN@Example.COM", ["TICKET-001"]),
        ("eve@elsewhere.example", ["TICKET-002"]),
        ("bob@example.com", []),
        ("nobody@example.com", []),
    ],
)
def test_ticket_list_from(desk: House, address: str, numbers: list[str]) -> None:
    """`--from` shows what this address opened, in any letter case."""
    assert [row["number"] for row in desk.json("ticket", "list", "--from", address)] == numbers


def test_ticket_list_limit(desk: House) -> None:
    """`--limit` cuts the table, and says so; --json has no limit."""
    done = desk.run("ticket", "list", "--limit", "1")
    assert len(lines(done)) == 2 and b"more" in done.stderr
    assert len(desk.json("ticket", "list", "--limit", "1")) == 2


def test_ticket_list_shows_what_is_open(house: House) -> None:
    """Open and waiting tickets are listed, closed and merged ones only with --all."""
    drop_in_order(house, {f"{n}.eml": a_mail(f"{n}", body=f"{n}", message_id=f"<{n}@x.example>") for n in range(4)})
    house.run("process")
    with sqlite3.connect(house.database) as database:
        for number, status in enumerate(["open", "waiting", "closed", "merged"], 1):
            database.execute("UPDATE ticket SET status = ? WHERE id = ?", (status, number))
    database.close()
    assert {row["status"] for row in house.json("ticket", "list")} == {"open", "waiting"}
    assert {row["status"] for row in house.json("ticket", "list", "--all")} == {"open", "waiting", "closed", "merged"}


def test_lists_of_nothing(house: House) -> None:
    """On an empty home every list is a sentence, and [] under --json; the exit is 0."""
    for command in (("ticket", "list"), ("people", "list"), ("failed", "list"), ("held", "list"), ("agent", "list")):
        assert house.json(*command) == []
        assert len(lines(house.run(*command))) == 1


@pytest.mark.parametrize("number", ["1", "001", "#1", "TICKET-001", "ticket-1", "#001"])
def test_ticket_show_takes_every_way_to_write_a_number(desk: House, number: str) -> None:
    """N is 1, 001, #1 or TICKET-001."""
    assert desk.json("ticket", "show", number)["number"] == "TICKET-001"


@pytest.mark.parametrize("number", ["99", "0", "#99", "TICKET-099", "abc", "", "1;2", "1.0", "９"])
def test_ticket_show_of_an_unknown_ticket(desk: House, number: str) -> None:
    """An unknown ticket: exit 1, and the next command to try; nothing on stdout."""
    done = desk.run("ticket", "show", "--", number, code=1)
    assert done.stdout == b"" and b"helpdesk ticket list" in done.stderr


def test_ticket_show_as_json(desk: House) -> None:
    """--json has the ticket's own fields and participants, messages in order, events and links."""
    ticket = desk.json("ticket", "show", "1")
    assert set(ticket) == {*TICKET, "participants", "events", "links", "merged_into"}
    assert ticket["participants"][0] == "ann@example.com" and ticket["links"] == []
    assert [list(message) for message in ticket["messages"]] == [MESSAGE, MESSAGE]
    reply = ticket["messages"][1]
    assert reply["reply_text"].strip() == "Thanks, that helped." and "Try again" in reply["text"]
    assert (reply["kind"], reply["is_from_email"], reply["message_id"]) == ("mail", True, "2@example.com")
    assert (reply["author"], reply["date"]) == ({"name": "Ann", "address": "ann@example.com"}, "2026-11-22T07:31:00+00:00")
    assert (reply["verified"], reply["defects"], reply["html"]) == (None, [], None)
    assert all(list(event) == ["when", "who", "what", "why"] for event in ticket["events"])
    assert [event["what"] for event in ticket["events"]] == ["opened", "commented"]


def test_ticket_show_of_attachments_and_html(desk: House) -> None:
    """Attachments have type, size and digest, a nameless one a made name; HTML is sanitised."""
    ticket = desk.json("ticket", "show", "2")
    (message,) = ticket["messages"]
    assert [list(part) for part in message["attachments"]] == [ATTACHMENT, ATTACHMENT]
    pdf, csv = message["attachments"]
    assert (pdf["filename"], pdf["content_type"], pdf["size"]) == ("a.pdf", "application/pdf", 5)
    assert (pdf["sha256"], pdf["inline"]) == (hashlib.sha256(b"hello").hexdigest(), False)
    assert re.fullmatch(r"part-\d+\.csv", csv["filename"])
    assert "<b>team</b>" in message["html"] and "script" not in message["html"] and "onclick" not in message["html"]
    assert "bob@example.com" in ticket["participants"]


def test_ticket_show_for_people(desk: House) -> None:
    """For people the ticket is text: subject, who, the messages trimmed, attachments, history."""
    shown = desk.run("ticket", "show", "1").stdout.decode()
    for part in ("TICKET-001", "Printer", "Ann <ann@example.com>", "Good morning.", "Thanks, that helped.", "opened"):
        assert part in shown
    assert "Try again." not in shown
    assert "a.pdf" in desk.run("ticket", "show", "2").stdout.decode()


# people


def test_people_list(desk: House) -> None:
    """Every sender is listed once, with addresses and tickets; somebody in Cc alone is nobody yet."""
    people = desk.json("people", "list")
    assert [(row["name"], row["addresses"], row["tickets"]) for row in people] == [
        ("Ann", ["ann@example.com"], ["TICKET-001"]),
        ("Eve", ["eve@elsewhere.example"], ["TICKET-002"]),
    ]
    assert len(lines(desk.run("people", "list"))) == 3


@pytest.mark.parametrize("who", ["ann@example.com", "ANN@EXAMPLE.com", "1"])
def test_people_show(desk: House, who: str) -> None:
    """A person is found by id or by address, whatever the letter case."""
    person = desk.json("people", "show", who)
    assert (person["name"], person["addresses"], person["tickets"]) == ("Ann", ["ann@example.com"], ["TICKET-001"])
    assert b"ann@example.com" in desk.run("people", "show", who).stdout


def test_a_second_address(house: House) -> None:
    """A person who has two addresses is found by either, with the tickets of both, and may reply from either."""
    house.drop(a_mail())
    house.run("process")
    with sqlite3.connect(house.database) as database:
        database.execute("INSERT INTO person_address (id, address, written, person_id) VALUES (99, 'a@home', 'A@home', 1)")
    database.close()
    assert house.json("people", "show", "a@HOME")["addresses"] == ["ann@example.com", "A@home"]
    assert [row["number"] for row in house.json("ticket", "list", "--from", "a@home")] == ["TICKET-001"]
    house.drop(a_mail("Re", "A@home", message_id="<2@home>", in_reply_to="<1@example.com>"))
    assert house.process()[1]["commented"] == 1


@pytest.mark.parametrize("who", ["nobody@example.com", "77", "²", ""])
def test_people_show_of_nobody(desk: House, who: str) -> None:
    """An unknown person: exit 1, and the next command to try."""
    assert b"helpdesk people list" in desk.run("people", "show", who, code=1).stderr


# parse


def test_parse_field_by_field(house: House) -> None:
    """The object has the fields of the contract in their order, and the mail's values; nothing is stored."""
    (house.home / "x.eml").write_bytes(INVOICE)
    (line,) = lines(house.run("parse", "x.eml"))
    got = json.loads(line)
    assert list(got) == PARSED
    assert [list(part) for part in got["attachments"]] == [ATTACHMENT, ATTACHMENT]
    assert [part["filename"] for part in got.pop("attachments")] == ["a.pdf", None]
    assert "<b>team</b>" in got.pop("html") and "see attachment." in got.pop("text") and got.pop("reply_text")
    assert got == {
        "file": "x.eml",
        "sha256": hashlib.sha256(INVOICE).hexdigest(),
        "message_id": "invoice@elsewhere.example",
        "in_reply_to": [],
        "references": [],
        "subject": "Invoice \u2013 wrong",
        "date": "2026-11-22T08:31:00+00:00",
        "from": {"name": "Eve", "address": "eve@elsewhere.example"},
        "sender": None,
        "reply_to": [],
        "to": [{"name": "", "address": "support@desk.example"}],
        "cc": [{"name": "Bob B.", "address": "bob@example.com"}],
        "kind": "message",
        "ticket_numbers": [],
        "auth": [],
        "bounce": None,
        "original": None,
        "defects": [],
    }
    assert os.listdir(house.home) == ["x.eml"]


def test_parse_of_the_rest(house: House) -> None:
    """Ids have no angle brackets; Sender, Reply-To, numbers and the trimmed text are there; a plain mail has no HTML."""
    raw = a_mail(
        "Re: [TICKET-001] and #7",
        body=REPLY,
        in_reply_to="<c@d>",
        references="<e@f> <g@h>",
        sender_="x",
        reply_to="R <r@example.com>, s@example.com",
    ).replace(b"Sender-: x", b"Sender: Sec <sec@example.com>")
    got = json.loads(house.run("parse", "-", stdin=raw).stdout)
    assert (got["file"], got["message_id"], got["in_reply_to"]) == ("-", "1@example.com", ["c@d"])
    assert (got["references"], got["ticket_numbers"]) == (["e@f", "g@h"], [1, 7])
    assert got["sender"] == {"name": "Sec", "address": "sec@example.com"}
    assert [one["address"] for one in got["reply_to"]] == ["r@example.com", "s@example.com"]
    assert (got["reply_text"].strip(), got["html"]) == ("Thanks, that helped.", None)


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({}, "message"),
        ({"auto_submitted": "auto-replied"}, "auto-reply"),
        ({"list_id": "<list.example.com>"}, "list"),
        ({"content_type": "multipart/report; report-type=delivery-status; boundary=b"}, "bounce"),
    ],
)
def test_parse_tells_the_kind(house: House, header: dict[str, str], kind: str) -> None:
    """The kind is message, auto-reply, bounce or list."""
    assert json.loads(house.run("parse", "-", stdin=a_mail(**header)).stdout)["kind"] == kind


@pytest.mark.parametrize(
    "raw", [b"", b"\x00\xff" * 500, b"no header", b"Subject: =?x?q?\n\n"], ids=["empty", "noise", "text", "word"]
)
def test_parse_never_fails_on_a_readable_file(house: House, raw: bytes) -> None:
    """Whatever a readable file holds, it is one object of the full shape, exit 0; what is broken is a defect."""
    got = json.loads(house.run("parse", "-", stdin=raw).stdout)
    assert list(got) == PARSED
    assert got["defects"] or raw.startswith(b"Subject")


def test_parse_of_several_files(house: House) -> None:
    """Of several files an unreadable one is told on stderr, the others are printed, and the exit is 65."""
    for name in ("a.eml", "b.eml"):
        (house.home / name).write_bytes(a_mail(name))
    (house.home / "folder").mkdir()
    done = house.run("parse", "a.eml", "gone.eml", "folder", "b.eml", code=65)
    assert [json.loads(line)["file"] for line in lines(done)] == ["a.eml", "b.eml"]
    assert b"gone.eml" in done.stderr and b"folder" in done.stderr and b"Traceback" not in done.stderr


# explain


def test_explain_a_file_before_it_is_processed(house: House) -> None:
    """A file that was never processed has no outcome yet; why says what today's code does with it."""
    (house.home / "x.eml").write_bytes(a_mail())
    (document,) = house.json("explain", "x.eml")
    assert list(document) == ["file", "message_id", "outcome", "ticket", "why", "now"]
    assert (document["file"], document["message_id"], document["outcome"]) == ("x.eml", "1@example.com", None)
    steps = document["why"] + (document["now"] or [])
    assert [step.partition(":")[0] for step in steps] == ["parse", "match", "persist"]
    assert b"not processed yet" in house.run("explain", "x.eml").stdout


@pytest.mark.parametrize("what", ["2@example.com", "<2@example.com>", "2", "reply.eml", "maildir/new/reply.eml"])
def test_explain_a_mail(desk: House, what: str) -> None:
    """A mail is found by Message-ID with or without <>, by its number, and by the name under which it was dropped."""
    (document,) = desk.json("explain", what)
    assert (document["outcome"], document["ticket"], document["now"]) == ("commented", "TICKET-001", None)
    assert "match: In-Reply-To 1@example.com is on TICKET-001" in document["why"]
    assert b"match: In-Reply-To" in desk.run("explain", what).stdout


@pytest.mark.parametrize("what", ["TICKET-001", "#1", "ticket-1"])
def test_explain_a_ticket(desk: House, what: str) -> None:
    """A ticket explains every mail that is on it, in their order."""
    assert [document["message_id"] for document in desk.json("explain", what)] == ["1@example.com", "2@example.com"]


def in_cur(house: House, raw: bytes) -> str:
    """Name the filed file that has these bytes."""
    return next(str(path.relative_to(house.home)) for path in house.cur.iterdir() if path.read_bytes() == raw)


def test_explain_a_filed_file(desk: House) -> None:
    """A file in cur/ is explained from the ledger, by its path or its bare name."""
    path = in_cur(desk, INVOICE)
    for what in (path, str(desk.home / path), Path(path).name):
        (document,) = desk.json("explain", what)
        assert (document["outcome"], document["ticket"]) == ("opened", "TICKET-002")


@pytest.mark.parametrize("way", ["path", "name", "dropped name"])
def test_explain_a_duplicate(desk: House, way: str) -> None:
    """A second delivery is explained as what it is, a duplicate, not as the mail that it repeats."""
    path = in_cur(desk, COPY)
    what = {"path": path, "name": Path(path).name, "dropped name": "copy.eml"}[way]
    (document,) = desk.json("explain", what)
    assert (document["outcome"], document["ticket"]) == ("duplicate", "TICKET-001")
    assert "already" in document["why"][-1]


def test_explain_now_shows_both(desk: House) -> None:
    """`--now` shows today's code beside the ledger, as of the mail's arrival; it writes nothing."""
    (document,) = desk.json("explain", "2@example.com", "--now")
    assert document["why"] == document["now"]
    shown = desk.run("explain", "2@example.com", "--now").stdout.decode()
    assert shown.count("match: In-Reply-To") == 2 and "today's code" in shown
    assert len(desk.json("ticket", "show", "1")["messages"]) == 2


def test_explain_now_of_a_duplicate(desk: House) -> None:
    """`--now` on a second delivery says what today's code makes of that delivery: a duplicate again."""
    (document,) = desk.json("explain", in_cur(desk, COPY), "--now")
    assert document["now"] == document["why"]


def test_explain_nothing_known(desk: House) -> None:
    """What is no file and no mail: exit 1, and the next command to try."""
    assert b"helpdesk " in desk.run("explain", "nobody@nowhere.example", code=1).stderr.split(b"\n", 1)[1]


# failed


def test_failed_list(desk: House) -> None:
    """A failed mail is listed with file, digest, reason, stage, attempts and when."""
    (row,) = desk.json("failed", "list")
    assert list(row) == FAILED and WHEN.fullmatch(row["when"])
    assert (row["file"], row["stage"], row["attempts"]) == ("empty.eml", "parse", 1)
    assert row["sha256"] == hashlib.sha256(b"").hexdigest() and "empty" in row["reason"]
    assert "empty.eml" in lines(desk.run("failed", "list"))[1]


def test_failed_retry_that_fails_again(house: House) -> None:
    """A retry that fails again exits 1, counts one more attempt, and leaves the star."""
    path = house.drop(b"", "empty.eml")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    house.run("process", code=1)
    (row,) = house.json("failed", "list")
    house.run("failed", "retry", str(row["id"]), code=1)
    house.run("failed", "retry", "--all", code=1)
    assert [row["attempts"] for row in house.json("failed", "list")] == [3]
    assert [name.partition(":")[2] for name in os.listdir(house.cur)] == ["2,FS"]


def test_failed_retry_of_what_did_not_fail(desk: House) -> None:
    """An unknown id exits 1, none at all is a usage error, and --all with nothing to do exits 0."""
    assert b"helpdesk failed list" in desk.run("failed", "retry", "999", code=1).stderr
    desk.run("failed", "retry", code=2)


GATE = """
from pathlib import Path

def gate(letter, settings):
    if (settings.home / "closed").exists():
        raise ValueError("the gate is closed")
    return letter.because("gate: it is open")
"""


@pytest.fixture
def gated(house: House) -> Iterator[House]:
    """A house with a plug-in stage that raises while a file `closed` lies there."""
    info = house.home / "plugin" / "gate-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gate\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipeline.stages]\ngate = gate:gate\n")
    (house.home / "plugin" / "gate.py").write_text(GATE)
    (house.home / ".env").write_text("STAGES=parse screen gate match persist\n")
    (house.home / "closed").touch()
    yield house


def flags(house: House) -> dict[str, str]:
    """Return the flags of each filed mail, by its subject."""
    return {
        next(line for line in path.read_text().splitlines() if line.startswith("Subject")): path.name.partition(":2,")[2]
        for path in house.cur.iterdir()
    }


def test_failed_retry_that_succeeds(gated: House) -> None:
    """A retry that succeeds opens the ticket and takes our star away, but not the star of a human."""
    plugin = {"PYTHONPATH": "plugin"}
    gated.drop(a_mail("One"), "one.eml")
    gated.drop(a_mail("Two", body="Two.", message_id="<2@example.com>"), "two.eml:2,F")
    gated.run("process", code=1, **plugin)
    assert flags(gated) == {"Subject: One": "FS", "Subject: Two": "FS"}
    assert [row["stage"] for row in gated.json("failed", "list")] == ["gate", "gate"]
    gated.run("failed", "retry", "--all", code=1, **plugin)
    (gated.home / "closed").unlink()
    gated.run("failed", "retry", "--all", **plugin)
    assert flags(gated) == {"Subject: One": "S", "Subject: Two": "FS"}
    assert gated.json("failed", "list") == []
    assert {row["subject"] for row in gated.json("ticket", "list")} == {"One", "Two"}
    assert gated.json("audit")["complete"]
    gated.run("failed", "retry", "--all", **plugin)


def test_a_copy_of_a_failed_mail_that_succeeds(gated: House) -> None:
    """A copy of a failed mail retries it: one mail, one ticket, and nothing is failed any more."""
    gated.drop(a_mail(), "one.eml")
    gated.run("process", code=1, PYTHONPATH="plugin")
    (gated.home / "closed").unlink()
    gated.drop(a_mail(), "again.eml")
    gated.run("process", PYTHONPATH="plugin")
    assert gated.json("failed", "list") == [] and len(gated.json("ticket", "list")) == 1
    assert ask(gated, "SELECT outcome, tries FROM mail") == [("opened", 2)]


# audit


def test_audit_of_a_complete_house(desk: House) -> None:
    """Every file has its row and every row its file: complete, exit 0, with counts."""
    document = desk.json("audit")
    assert list(document) == AUDIT and document["complete"] is True
    assert (document["files"], document["waiting"], document["ledger"]) == (5, 0, 4)
    assert (document["missing"], document["orphaned"]) == ([], [])
    counts = {name: count for name, count in document["by_outcome"].items() if count}
    assert counts == {"opened": 2, "commented": 1, "failed": 1, "duplicate": 1}
    assert b"omplete" in desk.run("audit").stdout


def test_audit_of_an_empty_house(house: House) -> None:
    """Nothing is complete too."""
    document = house.json("audit")
    assert (document["complete"], document["files"], document["ledger"]) == (True, 0, 0)


def test_audit_counts_what_waits(house: House) -> None:
    """What waits in new/ is a file, is waiting, and is not missing."""
    house.drop(a_mail())
    document = house.json("audit")
    assert (document["complete"], document["files"], document["waiting"], document["ledger"]) == (True, 1, 1, 0)


def test_audit_names_the_gaps(house: House) -> None:
    """A file without a row is missing, a row without its file is orphaned; both are named, exit 1."""
    fill(house)
    gone = house.home / in_cur(house, INVOICE)
    gone.unlink()
    (house.cur / "stranger:2,S").write_bytes(a_mail("Never seen"))
    document = house.json("audit", code=1)
    assert document["complete"] is False
    assert [Path(name).name for name in document["missing"]] == ["stranger"]
    assert [Path(name).name for name in document["orphaned"]] == [gone.name.partition(":")[0]]
    shown = house.run("audit", code=1).stdout.decode()
    assert "stranger" in shown and gone.name.partition(":")[0] in shown


def test_audit_misses_the_bytes_of_a_large_mail(house: House) -> None:
    """A mail above 1 MiB whose bytes are gone from data/mails is a gap."""
    house.drop(a_mail(body="large\n" * 250_000))
    house.run("process")
    house.run("audit")
    (kept,) = [path for path in (house.home / "data" / "mails").rglob("*") if path.is_file()]
    kept.unlink()
    assert house.json("audit", code=1)["orphaned"]


# deliver and replay


def test_deliver(house: House) -> None:
    """A mail on standard input lands whole in the drop box, and nothing is said."""
    done = house.run("deliver", stdin=a_mail())
    assert (done.stdout, done.stderr) == (b"", b"")
    (path,) = house.new.iterdir()
    assert path.read_bytes() == a_mail()
    assert house.process()[1]["opened"] == 1


@pytest.mark.parametrize("raw", [b"", b"\n\n"])
def test_deliver_of_nothing(house: House, raw: bytes) -> None:
    """No mail on standard input: exit 65, nothing delivered."""
    assert b"standard input" in house.run("deliver", stdin=raw, code=65).stderr
    assert not house.new.exists() or os.listdir(house.new) == []


def test_deliver_where_nothing_can_be_written(house: House) -> None:
    """Where the drop box cannot be made or written, the exit is 75, so that the caller keeps the mail."""
    (house.home / "file").write_text("")
    done = house.run("deliver", stdin=a_mail(), code=75, MAILDIR="file/maildir")
    assert b"Traceback" not in done.stderr and b"helpdesk:" in done.stderr
    house.new.mkdir(parents=True)
    (house.maildir / "tmp").write_text("")
    house.run("deliver", stdin=a_mail(), code=75)


def test_replay(house: House) -> None:
    """Files are copied into the drop box; the same bytes again are a duplicate, derived anew, never a second ticket."""
    (house.home / "a.eml").write_bytes(a_mail())
    (house.home / "b.eml").write_bytes(INVOICE)
    house.run("replay", "a.eml", "b.eml")
    assert (house.home / "a.eml").exists() and house.process()[1]["opened"] == 2
    house.run("replay", "a.eml")
    assert house.process()[1]["duplicate"] == 1
    assert [len(house.json("ticket", "show", number)["messages"]) for number in "12"] == [1, 1]


def test_replay_derives_anew(house: House) -> None:
    """Replaying identical bytes mends the derived fields in place, and nothing else of the message."""
    (house.home / "a.eml").write_bytes(INVOICE)
    house.run("replay", "a.eml")
    house.run("process")
    before = house.json("ticket", "show", "1")
    with sqlite3.connect(house.database) as database:
        database.execute("UPDATE message SET text = 'old code', defects = '[\"x\"]'")
        database.execute("DELETE FROM attachment")
    database.close()
    house.run("replay", "a.eml")
    house.run("process")
    assert house.json("ticket", "show", "1") == before


def test_replay_of_what_cannot_be_read(house: House) -> None:
    """A file that cannot be read: exit 65, and it is named."""
    assert b"gone.eml" in house.run("replay", "gone.eml", code=65).stderr


# config, migrate, stages, demo


def test_config_masks_secrets(house: House) -> None:
    """Secrets are masked in both forms, wherever they come from; the origin is named."""
    (house.home / "secret").write_text("hunter2\n")
    (house.home / ".env").write_text("IMAP_PASSWORD=hunter3\nIMAP_PORT=143 # old\n")
    rows = {row["key"]: row for row in house.json("config")}
    assert list(rows["IMAP_PORT"]) == ["key", "value", "origin", "help"]
    assert (rows["IMAP_PORT"]["value"], rows["IMAP_PORT"]["origin"]) == ("143", ".env")
    assert (rows["IMAP_PASSWORD"]["value"], rows["IMAP_PASSWORD"]["origin"]) == ("****", ".env")
    done = house.run("config", SMTP_PASSWORD_FILE="secret", IMAP_HOST="imap.example.com")
    assert b"SMTP_PASSWORD_FILE" in done.stdout and b"imap.example.com" in done.stdout
    assert b"hunter" not in done.stdout + done.stderr
    assert all(row["help"].endswith(".") for row in rows.values())


def test_migrate(house: House) -> None:
    """`migrate` makes or mends the database and says where it is; again it changes nothing."""
    for _ in range(2):
        assert b"helpdesk.db" in house.run("migrate").stdout
    assert house.json("ticket", "list") == []


@pytest.mark.parametrize("words", [("process",), ("ticket", "list"), ("worker",), ("migrate",)])
def test_a_newer_database_is_left_alone(house: House, words: tuple[str, ...]) -> None:
    """A database of a newer Letterdesk: exit 75 with a sentence, and not a byte changed."""
    house.run("migrate")
    with sqlite3.connect(house.database) as database:
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01')")
    database.close()
    before = house.database.read_bytes()
    assert b"newer" in house.run(*words, code=75).stderr
    assert house.database.read_bytes() == before


def test_stages(house: House) -> None:
    """The stages are listed in their order with package and version."""
    rows = house.json("stages")
    assert [row["name"] for row in rows] == OURS
    assert {(row["package"], row["version"]) for row in rows} == {("letterdesk", __version__)}
    assert [line.split()[0] for line in lines(house.run("stages"))] == ["STAGE", *OURS]


def test_demo(house: House) -> None:
    """The demo shows a ticket with a comment, a duplicate, a failure and an attachment."""
    house.run("demo")
    _, summary = house.process(code=1)
    assert {name: summary[name] for name in ("opened", "commented", "duplicate", "failed")} == {
        "opened": 2,
        "commented": 1,
        "duplicate": 1,
        "failed": 1,
    }


def test_demo_clear(house: House) -> None:
    """`demo --clear` takes tickets, people, mails and files away; the numbers start at 1 again."""
    house.run("demo")
    house.run("process", code=1)
    house.run("demo", "--clear")
    assert (house.json("ticket", "list", "--all"), house.json("people", "list"), os.listdir(house.cur)) == ([], [], [])
    house.run("audit")
    house.drop(a_mail())
    assert house.process()[0][0]["ticket"] == "TICKET-001"
    house.run("demo", "--clear", code=1)


def test_demo_clear_of_mail_that_still_waits(house: House) -> None:
    """Demo mails that still wait in the drop box are taken away too, so that none becomes a ticket afterwards."""
    house.run("demo")
    house.run("demo", "--clear")
    assert os.listdir(house.new) == []
    assert house.process()[1]["opened"] == 0


def test_demo_clear_is_refused_beside_real_mail(house: House) -> None:
    """While other mail is stored nothing is taken away, and the exit is 1."""
    house.run("demo")
    house.drop(a_mail())
    house.run("process", code=1)
    before = house.json("ticket", "list")
    done = house.run("demo", "--clear", code=1)
    assert b"Traceback" not in done.stderr and house.json("ticket", "list") == before and len(before) == 3


def test_demo_clear_of_nothing(house: House) -> None:
    """Where there is no demo, `--clear` says so and exits 0."""
    assert house.run("demo", "--clear").stderr


# Errors: a sentence, a number, the next thing to try

EVERY = [
    ("process",),
    ("process", "--dry-run"),
    ("sync",),
    ("sync", "--once"),
    ("sync", "--status"),
    ("worker",),
    ("up",),
    ("send",),
    ("send", "--loop"),
    ("outbox", "list"),
    ("outbox", "retry", "1"),
    ("outbox", "cancel", "1"),
    ("deliver",),
    ("replay", "x.eml"),
    ("parse", "x.eml"),
    ("explain", "x.eml"),
    ("selftest", "."),
    ("rules", "check"),
    ("rules", "backtest"),
    ("failed", "list"),
    ("failed", "show", "1"),
    ("failed", "retry", "--all"),
    ("failed", "drop", "1"),
    ("held", "list"),
    ("held", "show", "1"),
    ("held", "approve", "1"),
    ("held", "reject", "1"),
    ("ticket", "list"),
    ("ticket", "show", "1"),
    ("ticket", "save", "1", "out"),
    ("ticket", "set", "1", "--status", "closed"),
    ("ticket", "close", "1"),
    ("ticket", "reopen", "1"),
    ("ticket", "assign", "1", "nobody"),
    ("ticket", "note", "1"),
    ("ticket", "reply", "1"),
    ("ticket", "resend", "1", "2"),
    ("ticket", "cancel", "1", "2"),
    ("ticket", "approve", "1", "bob@example.com"),
    ("ticket", "spam", "1"),
    ("ticket", "merge", "1", "2"),
    ("ticket", "unmerge", "1"),
    ("ticket", "split", "1", "2"),
    ("ticket", "link", "1", "2"),
    ("ticket", "unlink", "1", "2"),
    ("people", "list"),
    ("people", "show", "1"),
    ("people", "merge", "1", "2"),
    ("agent", "add", "bob@example.com"),
    ("agent", "list"),
    ("agent", "password", "bob@example.com"),
    ("agent", "disable", "bob@example.com"),
    ("agent", "enable", "bob@example.com"),
    ("agent", "notify", "bob@example.com"),
    ("templates", "list"),
    ("templates", "check"),
    ("replies", "list"),
    ("replies", "show", "refund"),
    ("backup", "x.tar"),
    ("restore", "x.tar"),
    ("audit",),
    ("config",),
    ("migrate",),
    ("schedule", "cron"),
    ("stages",),
    ("demo",),
    ("demo", "--clear"),
]


def test_every_command_is_tried() -> None:
    """The table of commands above leaves none out but the doctor, to whom wrong settings are a finding (test_doctor.py)."""
    assert {words[0] for words in EVERY} == set(COMMANDS) - {"doctor"}


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_wrong_settings_are_told_all_at_once(house: House, words: tuple[str, ...]) -> None:
    """On every command a wrong .env exits 78 (deliver: 75, the mail must wait) and names every wrong key; nothing is made."""
    (house.home / "x.eml").write_bytes(a_mail())
    (house.home / ".env").write_text("IMAP_PORT=many\nMAX_MESSAGE_MB=-1\nREPLY_POLICY=nobody\n")
    done = house.run(*words, stdin=a_mail(), code=75 if words == ("deliver",) else 78)
    for key in (b"IMAP_PORT", b"MAX_MESSAGE_MB", b"REPLY_POLICY", b"many"):
        assert key in done.stderr
    assert done.stdout == b"" and b"Traceback" not in done.stderr
    assert sorted(os.listdir(house.home)) == [".env", "x.eml"]


@pytest.mark.parametrize(
    "words", [("process",), ("worker",), ("stages",), ("parse", "x.eml"), ("process", "--dry-run")], ids=" ".join
)
@pytest.mark.parametrize("line", ["parse nosuch persist", "persist parse match", "parse parse persist", "parse screen match"])
def test_a_wrong_line_of_stages(house: House, words: tuple[str, ...], line: str) -> None:
    """STAGES with an unknown stage, a wrong order, one twice or no persist exits 78; an unknown one names the installed."""
    (house.home / "x.eml").write_bytes(a_mail())
    done = house.run(*words, code=78, STAGES=line)
    assert b"STAGES" in done.stderr and b"Traceback" not in done.stderr
    if "nosuch" in line:
        assert b"nosuch" in done.stderr and b"acknowledge, match, notify, parse, persist, screen" in done.stderr


USAGE = [
    ("nosuch",),
    ("process", "--nosuch"),
    ("process", "--limit", "-1"),
    ("process", "--limit", "x"),
    ("process", "extra"),
    ("parse",),
    ("ticket", "nosuch"),
    ("ticket", "show"),
    ("schedule", "cron", "--minutes", "0"),
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_a_usage_error(house: House, words: tuple[str, ...]) -> None:
    """A command that cannot be understood exits 2 and points to --help."""
    done = house.run(*words, code=2)
    assert b"--help" in done.stderr and b"Traceback" not in done.stderr and done.stdout == b""


@pytest.mark.parametrize("loud", ["", "-v", "-q", "-vv"])
def test_a_traceback_only_when_asked(house: House, loud: str) -> None:
    """Without -vv an error is a sentence, also where the database is no database; with -vv there is a traceback."""
    house.database.parent.mkdir()
    house.database.write_bytes(b"this is no database, but long enough to look at" * 100)
    done = house.run(*filter(None, ["ticket", "list", loud]), code=None)
    assert done.returncode != 0 and (b"Traceback" in done.stderr) == (loud == "-vv")
    assert loud == "-vv" or done.stderr.startswith(b"helpdesk: ")


def test_the_version(house: House) -> None:
    """`--version` says name and version."""
    assert lines(house.run("--version")) == [f"helpdesk, version {__version__}"]


def test_shell_completion(house: House) -> None:
    """The shell completes commands."""
    done = house.run(code=None, _HELPDESK_COMPLETE="bash_complete", COMP_WORDS="helpdesk wo", COMP_CWORD="1")
    assert done.stdout.strip() == b"plain,worker"


@pytest.mark.parametrize(
    "words", [("demo",), ("replay", "x.eml"), ("failed", "retry", "--all"), ("demo", "--clear")], ids=" ".join
)
def test_quiet_means_errors_only(house: House, words: tuple[str, ...]) -> None:
    """With -q a command that went well says nothing on stderr."""
    (house.home / "x.eml").write_bytes(a_mail())
    assert house.run("-q", *words).stderr == b""


# Help


def every_command(group: click.Command = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from every_command(command, (*path, name))


COMMAND_TREE = dict(every_command())


@pytest.mark.parametrize("path", COMMAND_TREE, ids=" ".join)
def test_every_command_and_option_is_explained(path: tuple[str, ...]) -> None:
    """Every command has a sentence, and so has every option."""
    command = COMMAND_TREE[path]
    assert re.match(r"[A-Z].*[.:]$", (command.help or "").split("\n\n")[0].replace("\n", " "))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.name == "version" or re.match(r"[A-Z].*\.", parameter.help or ""), parameter.name


@pytest.mark.parametrize("path", [path for path in COMMAND_TREE if path], ids=" ".join)
def test_help_is_shown(house: House, path: tuple[str, ...]) -> None:
    """`--help` works for every command, exits 0, and touches nothing, even beside a wrong .env."""
    (house.home / ".env").write_text("IMAP_PORT=many\n")
    done = house.run(*path, "--help")
    assert done.stdout.startswith(b"Usage: helpdesk " + " ".join(path).encode()) and done.stderr == b""
    assert os.listdir(house.home) == [".env"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_is_true(name: str) -> None:
    """The line that `helpdesk --help` shows for a command is the command's own first line."""
    assert COMMANDS[name][1] == (COMMAND_TREE[name,].help or "").split("\n\n")[0].replace("\n", " ")


# Pipes and terminals


def with_closed_pipe(house: House, *words: str) -> tuple[int, bytes]:
    """Run a command whose output nobody reads, like `helpdesk ... | head -0`."""
    reading, writing = os.pipe()
    os.close(reading)
    process = house.start(*words, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no EPIPE")
@pytest.mark.parametrize(
    "words",
    [
        ("ticket", "list"),
        ("ticket", "list", "--json"),
        ("ticket", "show", "1"),
        ("config",),
        ("--help",),
        ("audit", "--json"),
        ("stages",),
    ],
    ids=" ".join,
)
def test_a_closed_pipe_ends_quietly(desk: House, words: tuple[str, ...]) -> None:
    """`helpdesk ... | head` ends without a word."""
    assert with_closed_pipe(desk, *words) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no EPIPE")
def test_a_closed_pipe_loses_no_mail(house: House) -> None:
    """Where nobody reads the lines of `process --json`, no mail is lost and none comes twice."""
    drop_in_order(house, {f"{n}.eml": a_mail(f"{n}", body=f"{n}", message_id=f"<{n}@x.example>") for n in range(20)})
    assert with_closed_pipe(house, "process", "--json")[1] == b""
    house.process()
    assert len(house.json("ticket", "list")) == 20 and os.listdir(house.new) == []
    assert house.json("audit")["complete"]


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2066\u2028\x85"
RAW = [mark.encode() for mark in ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u2028", "\x85")]


def hostile_mail() -> bytes:
    """A mail that holds terminal escapes wherever it can: subject, name, id, body, file name of a part."""
    coded = f"=?utf-8?B?{b64encode(HOSTILE.encode()).decode()}?="
    part = f'--b\nContent-Type: text/plain; charset=utf-8\n\nBody {HOSTILE} end\n--b\nContent-Type: application/x; name="{coded}"'
    raw = a_mail(f"Hello {coded}", f"{coded} <ann@example.com>", part + "\n\nx\n--b--", f"<a{HOSTILE[:5]}b@example.com>")
    return raw.replace(b"\n\n", b"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n", 1)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house that holds mails full of terminal escapes."""
    house = House(tmp_path_factory.mktemp("hostile"))
    house.drop(hostile_mail(), "mail.eml")
    if os.name != "nt":
        path = house.drop(b"", f"bad{HOSTILE.replace('/', '')}\n.eml")
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (house.home / "x.eml").write_bytes(hostile_mail())
    house.run("process", "-vv", code=None)
    return house


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    "words",
    [
        ("ticket", "list"),
        ("ticket", "show", "1"),
        ("failed", "list"),
        ("people", "list"),
        ("people", "show", "1"),
        ("explain", "x.eml"),
        ("audit",),
    ],
    ids=" ".join,
)
def test_no_escape_reaches_the_terminal(hostile: House, words: tuple[str, ...], form: tuple[str, ...]) -> None:
    """No control, bidi or separator character of a mail or a file's name comes out raw."""
    done = hostile.run(*words, *form)
    assert not [mark for mark in RAW if mark in done.stdout + done.stderr]
    assert done.stdout


def test_no_escape_reaches_log_or_parse(hostile: House) -> None:
    """Nor in the log, in `parse`, in `process --json`, in a dry run, or in an error about a file's name."""
    said = hostile.log.read_bytes() + hostile.run("parse", "x.eml").stdout
    hostile.drop(hostile_mail().replace(b"Body", b"Another body"), "again.eml")
    said += hostile.run("process", "--dry-run", "-vv").stderr + hostile.run("process", "--json").stdout
    said += hostile.run("parse", f"gone{HOSTILE}.eml", code=65).stderr
    said += hostile.run("explain", f"gone{HOSTILE}.eml", code=1).stderr
    said += hostile.run("ticket", "show", HOSTILE, code=1).stderr + hostile.run("people", "show", HOSTILE, code=1).stderr
    assert not [mark for mark in RAW if mark in said]


def test_no_escape_by_settings_or_usage(house: House) -> None:
    """Nor in what is said about a setting, a stage, a folder, an option or a command."""
    said = house.run("process", code=78, IMAP_PORT=HOSTILE).stderr + house.run("stages", code=78, STAGES=f"x{HOSTILE}").stderr
    said += house.run("process", "--folder", HOSTILE, code=78).stderr
    said += house.run("process", f"--{HOSTILE}", code=2).stderr + house.run(HOSTILE, code=2).stderr
    assert not [mark for mark in RAW if mark in said]


def on_terminal(house: House, *words: str, columns: int = 80) -> list[str]:
    """Run a command on a terminal of this width; return its lines without our own bold."""
    import pty
    import termios

    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, columns))
    process = house.start(*words, stdout=terminal, stdin=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    try:
        while block := os.read(controller, 65536):
            shown += block
    except OSError:  # Linux says so where the last writer has gone
        pass
    os.close(controller)
    assert process.wait(60) == 0
    return re.sub(rb"\x1b\[[01]m", b"", shown).decode().splitlines()


needs_pty = pytest.mark.skipif(os.name == "nt", reason="a terminal here is a pty")


@needs_pty
def test_a_terminal_gets_no_escape_but_bold(hostile: House) -> None:
    """On a terminal too nothing comes raw but our own bold."""
    shown = "\n".join(on_terminal(hostile, "ticket", "list") + on_terminal(hostile, "ticket", "show", "1"))
    assert "TICKET-001" in shown and not [mark for mark in RAW if mark in shown.encode()]


@needs_pty
@pytest.mark.parametrize("columns", [80, 100, 120, 200])
@pytest.mark.parametrize("words", [("ticket", "list"), ("people", "list"), ("failed", "list")], ids=" ".join)
def test_a_table_fits_the_terminal(desk: House, words: tuple[str, ...], columns: int) -> None:
    """A table of ordinary mail is cut to the width of the terminal, so that a row is a line."""
    assert max(len(line) for line in on_terminal(desk, *words, columns=columns)) <= columns
