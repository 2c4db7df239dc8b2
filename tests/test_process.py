"""The user's own acceptance of `helpdesk process`: real mails on a real disk, asked for by command line and sqlite3."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import House, a_mail

FMD5 = "7e33429f656f1e6e9d79b29c3f82c57e"
COUNTS = ["opened", "commented", "duplicate", "ignored", "held", "failed", "left"]
needs_posix = pytest.mark.skipif(os.name == "nt", reason="Windows allows no such name")

Lines = list[dict[str, Any]]


def synced(uid: int, flags: str | None = None) -> str:
    """Name a file as offlineimap does."""
    return f"1795333660_{uid}.24998.vm,U={uid},FMD5={FMD5}" + ("" if flags is None else f":2,{flags}")


def put(house: House, raw: bytes, name: str, folder: str = "new", box: str = "INBOX") -> Path:
    """Put a file where a synced mail would stand."""
    return house.drop(raw, name, box).rename(house.maildir / box / folder / name)


def aged(path: Path, seconds: float = 120) -> Path:
    """Set the time of last change back."""
    os.utime(path, (time.time() - seconds, time.time() - seconds))
    return path


def numbered(number: int, **headers: str) -> bytes:
    """Make one of many different mails."""
    return a_mail(f"Mail {number}", body=f"Text {number}.", message_id=f"<n{number}@example.com>", **headers)


def outcomes(lines: Lines) -> list[tuple[str, str | None]]:
    return [(line["outcome"], line["ticket"]) for line in lines]


def ask(house: House, sql: str) -> list[Any]:
    """Ask the database as a user would, past our own code."""
    with sqlite3.connect(house.database) as database:
        found = database.execute(sql).fetchall()
    database.close()
    return found


def cur(house: House, box: str = "INBOX") -> list[str]:
    return sorted(os.listdir(house.maildir / box / "cur"))


def show(house: House, number: int) -> Any:
    return house.json("ticket", "show", str(number))


# The first acceptance: a mail, a reply, a customer


def test_a_new_mail_opens_a_ticket(house: House) -> None:
    """A new mail opens TICKET-001, whose customer is the sender."""
    house.drop(a_mail("Printer on fire"))
    lines, summary = house.process()
    assert outcomes(lines) == [("opened", "TICKET-001")] and summary["opened"] == 1
    ticket = show(house, 1)
    assert ticket["requester"] == {"name": "Ann", "address": "ann@example.com"}
    assert (ticket["subject"], ticket["status"], len(ticket["messages"])) == ("Printer on fire", "open", 1)
    assert [person["addresses"] for person in house.json("people", "list")] == [["ann@example.com"]]


def test_the_columns_that_a_user_asks_for(house: House) -> None:
    """ticket_number, email_from, created_from_email and is_from_email can be asked for by sqlite3."""
    house.drop(a_mail(), "1.eml")
    house.process()
    house.drop(a_mail("Re: Hello", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    house.process()
    columns = "SELECT ticket_number, email_from, created_from_email FROM ticket"
    assert ask(house, columns) == [("TICKET-001", "ann@example.com", 1)]
    assert ask(house, "SELECT is_from_email FROM message") == [(1,), (1,)]


@pytest.mark.parametrize(
    "headers",
    [
        {"in_reply_to": "<1@example.com>"},
        {"references": "<1@example.com>"},
        {"references": "<a@x.example> <b@x.example> <1@example.com>"},
        {"references": "<1@example.com> <b@x.example> <c@x.example>"},
        {"in_reply_to": "<gone@x.example>", "references": "<a@x.example>\n\t<1@example.com>"},
        {"in_reply_to": "Your message of Sunday <1@example.com>"},
    ],
    ids=["in-reply-to", "references", "third of references", "first of references", "folded", "phrase"],
)
def test_a_reply_is_a_comment(house: House, headers: dict[str, str]) -> None:
    """A reply by In-Reply-To or any id of References is a comment, whatever its subject."""
    house.drop(a_mail(), "1.eml")
    house.process()
    house.drop(a_mail("Something else", message_id="<2@example.com>", body="More.", **headers), "2.eml")
    lines, _ = house.process()
    assert outcomes(lines) == [("commented", "TICKET-001")]
    assert [message["reply_text"].strip() for message in show(house, 1)["messages"]] == ["Good morning.", "More."]


# Subjects: one pass for all of them

JOIN = [
    "[TICKET-001]",
    "[TICKET-001] Hello",
    "[ticket-1] Hello",
    "[Ticket-00001] Hello",
    "#1",
    "Ticket #1",
    "ticket #001 again",
    "Hello (#1)",
    "RE: [TICKET-001] Hello",
    "AW: #1",
    "Fwd: Ticket #1",
    "RE: AW: Fwd: [TICKET-001] Hello",
    "Antwort: WG: Re[2]: Ticket #1",
    "Re:Re:RE:[TICKET-1]Hello",
    "[list] Re: [TICKET-001] Hello",
    "#1 and #99999",
    "[TICKET-99999] was [TICKET-001]",
    "=?utf-8?Q?Re=3A_=5BTICKET-001=5D_Gr=C3=BC=C3=9Fe?=",
]
OPEN_NEW = [
    "Hello",
    "Re: Hello",
    "Problem with ticket 1",
    "ticket 1",
    "1",
    "#1abc",
    "#1st place",
    "[OTHER-1] Hello",
    "[MYTICKET-1] Hello",
    "[TICKET-1a] Hello",
    "[TICKET-0] Hello",
    "[list #1] Hello",
    "[#1 of list] Hello",
    "ticket #55606OTC1",
    "Vol 1 #659",
    "C#1",
    "PO#1",
    "page.html#1",
    "#1.5 is out",
    "[TICKET-99999] Hello",
    "#0",
]


@pytest.fixture(scope="module")
def by_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Process a mail of Ann's for every subject; she has opened TICKET-001."""
    house = House(tmp_path_factory.mktemp("subjects"))
    house.drop(a_mail(), "000.eml")
    house.process()
    for number, subject in enumerate(JOIN + OPEN_NEW, 1):
        raw = a_mail(subject, body=f"Text {number}.", message_id=f"<s{number}@example.com>")
        aged(house.drop(raw, f"{number:03d}.eml"), 1000 - number)
    yield dict(zip(JOIN + OPEN_NEW, house.process()[0], strict=True))


@pytest.mark.parametrize("subject", JOIN)
def test_a_subject_that_names_the_ticket(by_subject: dict[str, dict[str, Any]], subject: str) -> None:
    """A participant's mail whose subject names the ticket is a comment on it."""
    assert (by_subject[subject]["outcome"], by_subject[subject]["ticket"]) == ("commented", "TICKET-001")


@pytest.mark.parametrize("subject", OPEN_NEW)
def test_a_subject_that_only_looks_like_it(by_subject: dict[str, dict[str, Any]], subject: str) -> None:
    """A subject that only looks like a ticket's number opens a new ticket, also for a participant."""
    assert by_subject[subject]["outcome"] == "opened"


def test_the_prefix_is_a_setting(house: House) -> None:
    """With TICKET_PREFIX=CASE the tickets are CASE-001, and [TICKET-001] is foreign."""
    for number, subject in enumerate(["Hello", "[CASE-001] Hello", "[TICKET-001] Hello"]):
        raw = a_mail(subject, body=subject, message_id=f"<{number}@example.com>")
        aged(house.drop(raw, f"{number}.eml"), 100 - number)
    (house.home / ".env").write_text("TICKET_PREFIX=CASE\n")
    assert outcomes(house.process()[0]) == [("opened", "CASE-001"), ("commented", "CASE-001"), ("opened", "CASE-002")]


# Who may join

EVE = "Eve <eve@elsewhere.example>"
NAMES_IT: list[tuple[str, dict[str, str]]] = [
    ("[TICKET-001] let me in", {}),
    ("let me in", {"in_reply_to": "<1@example.com>"}),
    ("let me in", {"references": "<0@x.example> <1@example.com>"}),
]


@pytest.mark.parametrize(("subject", "headers"), NAMES_IT, ids=["subject", "in-reply-to", "references"])
def test_a_stranger_is_linked_and_not_joined(house: House, subject: str, headers: dict[str, str]) -> None:
    """A stranger who names a ticket gets a ticket of his own; both tickets say that they are linked."""
    house.drop(a_mail(), "1.eml")
    house.process()
    house.drop(a_mail(subject, EVE, message_id="<eve@elsewhere.example>", **headers), "2.eml")
    assert outcomes(house.process()[0]) == [("opened", "TICKET-002")]
    old, new = show(house, 1), show(house, 2)
    assert [link["number"] for link in old["links"]] == ["TICKET-002"]
    assert [link["number"] for link in new["links"]] == ["TICKET-001"]
    assert len(old["messages"]) == 1 and "eve@elsewhere.example" not in old["participants"]
    assert any("linked" in event["what"] for event in new["events"])


@pytest.mark.parametrize(("subject", "headers"), NAMES_IT, ids=["subject", "in-reply-to", "references"])
def test_anyone_may_reply_where_the_policy_says_so(house: House, subject: str, headers: dict[str, str]) -> None:
    """With REPLY_POLICY=anyone a stranger's mail is a comment."""
    (house.home / ".env").write_text("REPLY_POLICY=anyone\n")
    aged(house.drop(a_mail(), "1.eml"))
    house.drop(a_mail(subject, EVE, message_id="<eve@elsewhere.example>", **headers), "2.eml")
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001"), ("commented", "TICKET-001")]


@pytest.mark.parametrize(("subject", "headers"), NAMES_IT, ids=["subject", "in-reply-to", "references"])
def test_several_senders_never_join(house: House, subject: str, headers: dict[str, str]) -> None:
    """A mail with several From addresses never joins by a name, though one of them is a participant."""
    aged(house.drop(a_mail(), "1.eml"))
    house.drop(a_mail(subject, f"Ann <ann@example.com>, {EVE}", message_id="<2@example.com>", **headers), "2.eml")
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001"), ("opened", "TICKET-002")]


@pytest.mark.parametrize("role", ["to", "cc"])
def test_who_was_addressed_may_reply(house: House, role: str) -> None:
    """Who stood in To or Cc of the opening mail is a participant; Cc of a reply adds nobody."""
    header = f"{role.title()}: Bob <BOB@Example.com>\n".encode()
    opening = a_mail().replace(b"To: support@desk.example\n", header)
    reply = a_mail("a", "bob@example.com", message_id="<2@example.com>", in_reply_to="<1@example.com>", cc=EVE)
    eves = a_mail("b", EVE, message_id="<3@example.com>", in_reply_to="<2@example.com>")
    for number, raw in enumerate([opening, reply, eves]):
        aged(house.drop(raw, f"{number}.eml"), 100 - number)
    assert outcomes(house.process()[0]) == [
        ("opened", "TICKET-001"),
        ("commented", "TICKET-001"),
        ("opened", "TICKET-002"),
    ]


@pytest.mark.parametrize("line", [b"", b"From:\n", b"From: undisclosed\n", b"From: <>\n"])
def test_no_sender_at_all(house: House, line: bytes) -> None:
    """A mail with no usable From opens a ticket whose requester has the address null, and makes nobody a customer."""
    house.drop(a_mail().replace(b"From: Ann <ann@example.com>\n", line))
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001")]
    (ticket,) = house.json("ticket", "list")
    assert ticket["requester"]["address"] is None and ticket["email_from"] is None
    assert house.json("people", "list") == []
    assert b"TICKET-001" in house.run("ticket", "list").stdout


# Order of arrival


def test_synced_mails_come_in_order_of_their_uid(house: House) -> None:
    """In a synced folder UID decides, as a number, whatever names and times say."""
    reply = a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>")
    aged(put(house, reply, synced(10)), 900)
    aged(put(house, numbered(3), synced(100)), 950)
    aged(put(house, a_mail(), synced(9)), 10)
    lines, _ = house.process()
    assert [Path(line["file"]).name for line in lines] == [synced(9), synced(10), synced(100)]
    assert outcomes(lines) == [("opened", "TICKET-001"), ("commented", "TICKET-001"), ("opened", "TICKET-002")]


def test_dropped_mails_come_in_order_of_their_time(house: House) -> None:
    """In the drop box the time of last change decides, then the name."""
    aged(house.drop(a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "a.eml"), 50)
    for name in ("z.eml", "c.eml", "b.eml"):
        path = house.drop(numbered(ord(name[0])) if name != "z.eml" else a_mail(), name)
        os.utime(path, (1_700_000_000, 1_700_000_000 - (name == "z.eml")))
    lines, _ = house.process()
    assert [Path(line["file"]).name for line in lines] == ["z.eml", "b.eml", "c.eml", "a.eml"]
    assert outcomes(lines)[3] == ("commented", "TICKET-001")


# Options, output and exit codes


def test_limit_leaves_the_rest(house: House) -> None:
    """`--limit` leaves the rest, counts it and exits 0; the next pass goes on with it."""
    for number in range(5):
        aged(house.drop(numbered(number), f"{number}.eml"), 100 - number)
    lines, summary = house.process("--limit", "2")
    assert ([line["file"][-5:] for line in lines], summary["left"]) == (["0.eml", "1.eml"], 3)
    assert house.process("--limit", "0")[1]["left"] == 3
    lines, summary = house.process()
    assert ([line["file"][-5:] for line in lines], summary["left"]) == (["2.eml", "3.eml", "4.eml"], 0)


@pytest.mark.parametrize(("folder", "name"), [(".", "drop.eml"), ("INBOX", synced(7))])
def test_one_folder_alone(house: House, folder: str, name: str) -> None:
    """`--folder` works that folder alone; `.` is the drop box."""
    house.drop(numbered(1), "drop.eml")
    put(house, numbered(2), synced(7))
    lines, _ = house.process("--folder", folder)
    assert [Path(line["file"]).name for line in lines] == [name]
    assert len(house.process()[0]) == 1


def test_further_folders(house: House) -> None:
    """Every folder of IMAP_FOLDER is worked, and may be named; blanks after the comma do not count."""
    (house.home / ".env").write_text("IMAP_FOLDER=INBOX, Sales   # two\n")
    put(house, numbered(1), synced(1), box="Sales")
    put(house, numbered(2), synced(1))
    assert len(house.process("--folder", "Sales")[0]) == 1
    assert len(house.process()[0]) == 1
    assert cur(house, "Sales") == [synced(1, "S")]


@pytest.mark.parametrize("folder", ["Sales", "inbox/../x", "maildir", ""])
def test_an_unknown_folder(house: House, folder: str) -> None:
    """A `--folder` that is not in IMAP_FOLDER exits 78 and names the key."""
    done = house.run("process", "--folder", folder, code=78)
    assert b"IMAP_FOLDER" in done.stderr and done.stdout == b"" and b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [("process", "--verbose"), ("process", "-v"), ("-v", "process")])
def test_verbose_says_it_on_stderr(house: House, words: tuple[str, ...]) -> None:
    """`--verbose` puts the log lines on stderr, on either side of the command; stdout stays empty."""
    house.drop(a_mail())
    done = house.run(*words)
    assert b"Email processing" in done.stderr and b"Created new Ticket from email" in done.stderr
    assert done.stdout == b""


def test_the_reasons_of_very_verbose(house: House) -> None:
    """`-vv` also says each stage's reason."""
    house.drop(a_mail())
    assert b"persist: opened TICKET-001" in house.run("process", "-vv").stderr


def test_json_has_the_shapes_of_the_contract(house: House) -> None:
    """A line a mail with file, outcome, ticket and why, then one line with the summary, and nothing else."""
    house.drop(a_mail(), "1.eml")
    lines, summary = house.process()
    assert [list(line) for line in lines] == [["file", "outcome", "ticket", "why"]]
    assert lines[0]["file"] == os.path.join("maildir", "new", "1.eml")
    assert all(isinstance(why, str) and ": " in why for why in lines[0]["why"])
    assert list(summary) == [*COUNTS, "seconds"] and isinstance(summary["seconds"], float)


def test_a_comment_says_what_it_matched(house: House) -> None:
    """The why of a reply names the header, the id and the ticket, as in the contract."""
    aged(house.drop(a_mail(message_id="<a@b>"), "1.eml"))
    house.drop(a_mail("Re", message_id="<c@d>", in_reply_to="<a@b>"), "2.eml")
    assert "match: In-Reply-To a@b is on TICKET-001" in house.process()[0][1]["why"]


def test_nothing_to_do_is_silent(house: House) -> None:
    """A pass with nothing to do exits 0 and says nothing; under --json the summary comes."""
    for _ in range(2):
        done = house.run("process")
        assert (done.stdout, done.stderr) == (b"", b"")
    lines, summary = house.process()
    assert lines == [] and [summary[name] for name in COUNTS] == [0] * 7


def test_nothing_to_do_is_silent_beside_a_plain_env(house: House) -> None:
    """Also beside an .env as `cp .env.example .env` makes it a pass with nothing to do says nothing, or cron mails for ever."""
    shutil.copy(Path(__file__).parents[1] / ".env.example", house.home / ".env")
    (house.home / ".env").chmod(0o644)
    done = house.run("process")
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_pass_without_json_is_silent_too(house: House) -> None:
    """For cron a pass that worked says nothing on a pipe; its lines are in the log."""
    house.drop(a_mail())
    done = house.run("process")
    assert (done.stdout, done.stderr) == (b"", b"") and "Email processing" in house.log.read_text()


@pytest.mark.parametrize("raw", [b"", b"no header line at all, only text\n", b"\n\n\n"], ids=["empty", "no header", "blank"])
def test_a_failed_mail_exits_1(house: House, raw: bytes) -> None:
    """An empty mail and one without a header line fail: exit 1, a star, a line in `failed list`; the rest goes on."""
    aged(house.drop(raw, "broken.eml"))
    house.drop(a_mail(), "good.eml")
    lines, summary = house.process(code=1)
    assert [line["outcome"] for line in lines] == ["failed", "opened"] and summary["failed"] == 1
    assert lines[0]["ticket"] is None
    assert [row["file"] for row in house.json("failed", "list")] == ["broken.eml"]
    assert sorted(name.partition(":")[2] for name in cur(house, ".")) == ["2,FS", "2,S"]


def test_a_mail_that_is_still_written_waits(house: House) -> None:
    """A file that somebody still writes is left: exit 75, `left` counts it; once it is closed it is taken whole."""
    house.process()
    raw = a_mail(body="x" * 70_000)
    with open(house.new / "slow.eml", "wb") as file:
        file.write(raw[:40_000])
        file.flush()
        lines, summary = house.process(code=75)
        assert (lines, summary["left"]) == ([], 1)
        file.write(raw[40_000:])
    aged(house.new / "slow.eml", 5)
    assert house.process()[1]["opened"] == 1
    assert len(show(house, 1)["messages"][0]["text"].strip()) == 70_000


def test_a_fresh_empty_file_waits(house: House) -> None:
    """An empty file may still be written to: it waits a minute before it fails."""
    house.drop(b"", "empty.eml")
    assert house.process(code=75)[1]["left"] == 1
    aged(house.new / "empty.eml", 61)
    assert house.process(code=1)[1]["failed"] == 1


# Identity


def deliveries() -> dict[str, bytes]:
    """Return further deliveries of one mail."""
    once = a_mail(body="Grüße aus München.").replace(b"\n\n", b"\nContent-Type: text/plain; charset=utf-8\n\n", 1)
    coded = once.replace(b"\n\n", b"\nContent-Transfer-Encoding: quoted-printable\n\n", 1)
    coded = coded.replace("Grüße".encode(), b"Gr=C3=BC=C3=9Fe").replace("ü".encode(), b"=C3=BC")
    trace = b"Return-Path: <x@y.example>\nReceived: from a by b; Sun, 22 Nov 2026 08:00:00 +0000\n"
    latin = once.replace(b"utf-8", b"iso-8859-1").decode().encode("latin-1")
    return {
        "once": once,
        "same bytes": once,
        "trace headers": trace + once,
        "line ends": once.replace(b"\n", b"\r\n"),
        "quoted-printable": coded,
        "charset": latin,
        "all": trace + coded.replace(b"\n", b"\r\n"),
    }


@pytest.mark.parametrize("way", [way for way in deliveries() if way != "once"])
@pytest.mark.parametrize("when", ["same pass", "later"])
def test_a_second_delivery_is_a_duplicate(house: House, way: str, when: str) -> None:
    """The same mail again, however it was carried, is a duplicate and changes nothing stored."""
    aged(house.drop(deliveries()["once"], "1.eml"))
    if when == "later":
        house.process()
    house.drop(deliveries()[way], "2.eml")
    assert outcomes(house.process()[0])[-1] == ("duplicate", "TICKET-001")
    assert len(show(house, 1)["messages"]) == 1 and len(house.json("ticket", "list")) == 1
    assert ask(house, "SELECT count(*) FROM mail") == [(1,)] and ask(house, "SELECT count(*) FROM place") == [(2,)]
    house.run("audit")


def test_a_reused_id_with_other_content(house: House) -> None:
    """Another content under the same Message-ID is a mail of its own, with a defect on the message and an event."""
    aged(house.drop(a_mail(body="One."), "1.eml"))
    house.drop(a_mail(body="Two."), "2.eml")
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001"), ("opened", "TICKET-002")]
    ticket = show(house, 2)
    assert any("Message-ID" in defect for defect in ticket["messages"][0]["defects"])
    assert any("Message-ID" in event["what"] for event in ticket["events"])


def test_a_reused_id_in_a_reply(house: House) -> None:
    """Another content under the same Message-ID is matched like any mail: a reply is a comment, and flagged."""
    for number, body in enumerate(["One.", "Two."]):
        aged(house.drop(a_mail(body=body, in_reply_to="<0@x.example>"), f"{number}.eml"), 50 - number)
    house.process()
    house.drop(a_mail("Re", body="Three.", references="<1@example.com>"), "3.eml")
    lines, _ = house.process()
    assert lines[0]["outcome"] == "commented"
    assert show(house, int(lines[0]["ticket"][-3:]))["messages"][-1]["defects"]


def test_another_date_is_another_mail(house: House) -> None:
    """The same id and text under another Date is another mail."""
    aged(house.drop(a_mail(), "1.eml"))
    house.drop(a_mail().replace(b"07:31:00", b"07:32:00"), "2.eml")
    assert [line["outcome"] for line in house.process()[0]] == ["opened", "opened"]


def test_mails_without_an_id(house: House) -> None:
    """Without a Message-ID the same mail is a duplicate all the same, and another mail is another."""
    trace = b"Received: from a by b; Sun, 22 Nov 2026 08:00:00 +0000\n"
    mails = [a_mail(message_id=None), trace + a_mail(message_id=None), a_mail(message_id=None, body="Another.")]
    for number, raw in enumerate(mails):
        aged(house.drop(raw, f"{number}.eml"), 50 - number)
    assert [line["outcome"] for line in house.process()[0]] == ["opened", "duplicate", "opened"]


def test_a_copy_of_a_failed_mail_tries_it_again(house: House) -> None:
    """The same empty mail twice is one row of the ledger with two tries."""
    for number in range(2):
        aged(house.drop(b"", f"{number}.eml"))
        house.process(code=1)
    assert ask(house, "SELECT outcome, tries FROM mail") == [("failed", 2)]
    assert [row["attempts"] for row in house.json("failed", "list")] == [2]
    house.run("audit")


# Flags and names


def test_the_baseline_is_ignored(house: House) -> None:
    """Mail already read at the first scan is ignored; unread mail, and read mail that comes later, is processed."""
    put(house, numbered(1), synced(1, "S"), "cur")
    put(house, numbered(2), synced(2, "RS"), "cur")
    put(house, numbered(3), synced(3, ""), "cur")
    put(house, numbered(4), synced(4), "new")
    lines, summary = house.process()
    by_name = {Path(line["file"]).name: line["outcome"] for line in lines}
    assert [by_name[name] for name in (synced(1, "S"), synced(2, "RS"))] == ["ignored", "ignored"]
    assert (summary["opened"], summary["ignored"]) == (2, 2)
    put(house, numbered(5), synced(5, "S"), "cur")
    put(house, numbered(6), synced(6, "FRS"), "cur")
    assert house.process()[1]["opened"] == 2
    assert cur(house) == [synced(1, "S"), synced(2, "RS"), *(synced(uid, "S") for uid in (3, 4, 5)), synced(6, "FRS")]
    house.run("audit")


def test_an_ignored_baseline_mail_still_leads_replies_nowhere(house: House) -> None:
    """A reply to a mail of the baseline opens a ticket, for the baseline has none."""
    put(house, a_mail(), synced(1, "S"), "cur")
    house.process()
    put(house, a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>"), synced(2))
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001")]


@pytest.mark.parametrize("flags", ["FR", "", "F", "RS"])
def test_a_known_mail_back_in_new_only_moves(house: House, flags: str) -> None:
    """A mail that a human put back into new/ moves to cur/ with its flags untouched, and nothing runs."""
    put(house, a_mail(), synced(1))
    house.process()
    inbox = house.maildir / "INBOX"
    (inbox / "cur" / synced(1, "S")).rename(inbox / "new" / synced(1, flags))
    before = ask(house, "SELECT * FROM place")
    lines, summary = house.process()
    assert (lines, [summary[name] for name in COUNTS]) == ([], [0] * 7)
    assert (cur(house), os.listdir(inbox / "new")) == ([synced(1, flags)], [])
    assert ask(house, "SELECT * FROM place") == before
    house.run("audit")


@pytest.mark.parametrize("box", ["INBOX", "."])
def test_a_mail_that_we_named_back_in_new(house: House, box: str) -> None:
    """Also where the name is not offlineimap's a mail put back into new/ makes no second ticket, and the audit stays complete."""
    house.drop(a_mail(), "plain.eml", box)
    house.process()
    root = house.maildir if box == "." else house.maildir / box
    (name,) = os.listdir(root / "cur")
    (root / "cur" / name).rename(root / "new" / name.partition(":")[0])
    house.process()
    assert len(house.json("ticket", "list")) == 1 and os.listdir(root / "new") == []
    house.run("audit")


@pytest.mark.parametrize(("before", "after"), [("F", "FS"), ("", "S"), ("R", "RS"), ("DF", "DFS"), ("S", "S"), ("Fab", "FSab")])
def test_flags_are_kept(house: House, before: str, after: str) -> None:
    """A mail keeps the flags that it had in new/, and gets S."""
    put(house, a_mail(), synced(1, before))
    house.process()
    assert cur(house) == [synced(1, after)]


def by_copy(source: Path, target: Path) -> None:
    shutil.copy(source, target)


def by_move(source: Path, target: Path) -> None:
    shutil.move(source, target)


def by_link(source: Path, target: Path) -> None:
    os.link(source, target)


def by_slow_writer(source: Path, target: Path) -> None:
    with open(target, "wb") as file:
        for byte in source.read_bytes():
            file.write(bytes([byte]))
            file.flush()


@pytest.mark.parametrize("way", [by_copy, by_move, by_link, by_slow_writer])
@pytest.mark.parametrize("box", [".", "INBOX"])
def test_every_way_to_drop_a_file(house: House, way: Any, box: str) -> None:
    """A file dropped by cp, mv, ln or a slow writer is processed, once and whole, and the original of a copy stays."""
    house.process()
    source = house.home / "archive.eml"
    source.write_bytes(a_mail())
    way(source, house.maildir / box / "new" / "dropped.eml")
    aged(house.maildir / box / "new" / "dropped.eml", 5)
    assert outcomes(house.process()[0]) == [("opened", "TICKET-001")]
    assert source.exists() == (way is not by_move)
    (name,) = cur(house, box)
    assert (house.maildir / box / "cur" / name).read_bytes() == a_mail()
    house.run("audit")


NAMES = [
    b"two blanks  here.eml",
    "Grüße aus München.eml".encode(),
    "Grüße.eml".encode("latin-1"),
    b"-rf.eml",
    b"--json",
    b"n" * 196 + b".eml",
    b'quote\'s "double" $HOME `id`.eml',
    b"new\nline.eml",
    b"\x1b[31mred.eml",
    b"no extension",
    b"percent%20s.eml",
]


@needs_posix
@pytest.mark.parametrize("box", [".", "INBOX"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[2:30])
def test_any_file_name(house: House, box: str, name: bytes) -> None:
    """Any name that the disk allows is processed and filed, in either box; output stays one line a mail."""
    house.process()
    root = house.maildir if box == "." else house.maildir / box
    Path(os.fsdecode(os.path.join(os.fsencode(root / "new"), name))).write_bytes(a_mail())
    lines, _ = house.process()
    assert outcomes(lines) == [("opened", "TICKET-001")]
    assert (os.listdir(root / "new"), len(cur(house, box))) == ([], 1)
    assert not house.process()[0]
    house.run("audit")


def test_a_foreign_file_in_a_synced_folder_keeps_its_name(house: House) -> None:
    """A foreign file in INBOX/new is processed and filed in INBOX/cur under its own name."""
    house.drop(a_mail(), "dropped.eml", "INBOX")
    assert house.process()[1]["opened"] == 1
    assert cur(house) == ["dropped.eml:2,S"]


def test_a_foreign_name_twice(house: House) -> None:
    """The same foreign name twice with different content is two mails and two files."""
    for number in range(2):
        house.drop(numbered(number), "dropped.eml", "INBOX")
        assert house.process()[1]["opened"] == 1
    names = cur(house)
    assert len(names) == 2 and "dropped.eml:2,S" in names
    house.run("audit")


def test_a_dropped_name_twice(house: House) -> None:
    """The same name dropped twice with different content is two mails, each under a fresh name."""
    for number in range(2):
        house.drop(numbered(number), "mail.eml")
        assert house.process()[1]["opened"] == 1
    assert len(cur(house, ".")) == 2 and not any("mail.eml" in name for name in cur(house, "."))


def test_an_eml_in_the_maildir_itself(house: House) -> None:
    """An .eml lying in maildir/ itself is taken too, in any letter case; another file there is left alone."""
    house.process()
    (house.maildir / "one.eml").write_bytes(numbered(1))
    (house.maildir / "TWO.EML").write_bytes(numbered(2))
    (house.maildir / "notes.txt").write_bytes(numbered(3))
    assert house.process()[1]["opened"] == 2
    assert sorted(os.listdir(house.maildir)) == ["INBOX", "cur", "new", "notes.txt", "tmp"]
    assert len(cur(house, ".")) == 2
    house.run("audit")


@needs_posix
def test_what_is_no_file_is_left_alone(house: House) -> None:
    """A directory, a symlink and a pipe in new/ are never followed, never read, and stop nothing."""
    house.process()
    (house.home / "secret").write_bytes(a_mail("secret"))
    (house.new / "folder.eml").mkdir()
    (house.new / "link.eml").symlink_to(house.home / "secret")
    os.mkfifo(house.new / "pipe.eml")
    house.drop(a_mail(), "mail.eml")
    assert house.process()[1]["opened"] == 1
    assert sorted(os.listdir(house.new)) == ["folder.eml", "link.eml", "pipe.eml"]


def test_the_separator_is_a_setting(house: House) -> None:
    """With MAILDIR_SEPARATOR=! files are filed as name!2,S, and names with either separator are read."""
    (house.home / ".env").write_text("MAILDIR_SEPARATOR=!\n")
    put(house, numbered(1), synced(1).replace(":", "!"))
    put(house, numbered(2), synced(2) + "!2,F")
    house.drop(numbered(3), "dropped.eml")
    assert house.process()[1]["opened"] == 3
    assert cur(house) == [synced(1) + "!2,S", synced(2) + "!2,FS"]
    assert cur(house, ".")[0].endswith("!2,S")
    assert not house.process()[0]
    house.run("audit")


def test_a_synced_name_is_never_changed(house: House) -> None:
    """What stands before the flags of a synced file stays as it was, for a failed mail and a duplicate too."""
    aged(put(house, b"", synced(1)))
    put(house, a_mail(), synced(2))
    put(house, a_mail(), synced(3))
    house.process(code=1)
    assert cur(house) == [synced(1, "FS"), synced(2, "S"), synced(3, "S")]


def test_two_passes_at_once(house: House) -> None:
    """Two passes started at the same time make each mail's ticket once, and neither fails."""
    for number in range(30):
        house.drop(numbered(number), f"{number}.eml")
    running = [house.start("process", "--json", stdout=subprocess.PIPE) for _ in range(2)]
    lines = [json.loads(line) for process in running for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in running] == [0, 0]
    assert sum(line["summary"]["opened"] for line in lines if "summary" in line) == 30
    assert ask(house, "SELECT count(*), max(id) FROM ticket") == [(30, 30)]
    house.run("audit")


# What a mail does to its ticket


def set_status(house: House, status: str, **columns: int) -> None:
    with sqlite3.connect(house.database) as database:
        database.execute("UPDATE ticket SET status = ? WHERE id = 1", (status,))
        for name, value in columns.items():
            database.execute(f"UPDATE ticket SET {name} = ? WHERE id = 1", (value,))  # noqa: S608
    database.close()


@pytest.mark.parametrize(
    ("before", "headers", "after"),
    [
        ("closed", {}, "open"),
        ("waiting", {}, "open"),
        ("open", {}, "open"),
        ("closed", {"auto_submitted": "auto-replied"}, "closed"),
        ("waiting", {"auto_submitted": "auto-replied"}, "waiting"),
    ],
)
def test_a_reply_reopens_a_ticket(house: House, before: str, headers: dict[str, str], after: str) -> None:
    """A requester's reply opens a closed or waiting ticket again; an out-of-office reply is commented and reopens nothing."""
    house.drop(a_mail(), "1.eml")
    house.process()
    set_status(house, before)
    house.drop(a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>", **headers), "2.eml")
    assert outcomes(house.process()[0]) == [("commented", "TICKET-001")]
    assert show(house, 1)["status"] == after


def test_a_merged_ticket_passes_its_replies_on(house: House) -> None:
    """A reply to a merged ticket, by header or by number, lands on the ticket that it was merged into."""
    for number in (1, 2):
        house.drop(numbered(number), f"{number}.eml")
        house.process()
    set_status(house, "merged", merged_into_id=2)
    house.drop(a_mail("Re", message_id="<r1@example.com>", in_reply_to="<n1@example.com>"), "3.eml")
    house.drop(a_mail("[TICKET-001]", message_id="<r2@example.com>"), "4.eml")
    assert outcomes(house.process()[0]) == [("commented", "TICKET-002")] * 2


def test_a_reply_that_comes_before_its_parent(house: House) -> None:
    """A reply that overtakes its parent opens a ticket; the parent opens its own, and both are linked."""
    house.drop(a_mail("Re", message_id="<2@example.com>", in_reply_to="<1@example.com>"), "2.eml")
    house.process()
    house.drop(a_mail(), "1.eml")
    assert outcomes(house.process()[0]) == [("opened", "TICKET-002")]
    assert [link["number"] for link in show(house, 2)["links"]] == ["TICKET-001"]
    assert [link["number"] for link in show(house, 1)["links"]] == ["TICKET-002"]


def test_a_bounce_makes_no_ticket(house: House) -> None:
    """A bounce that names no message of ours is ignored: in the ledger, filed, and on no ticket."""
    report = "multipart/report; report-type=delivery-status; boundary=b"
    house.drop(a_mail("Undelivered", "MAILER-DAEMON@mx.example", content_type=report))
    assert outcomes(house.process()[0]) == [("ignored", None)]
    assert house.json("ticket", "list", "--all") == [] and house.json("audit")["by_outcome"]["ignored"] == 1


def test_list_mail_opens_a_ticket(house: House) -> None:
    """Automatic and list mail that matches nothing opens a ticket like any other."""
    house.drop(a_mail(list_id="<list.example.com>"), "1.eml")
    house.drop(a_mail("Away", message_id="<2@example.com>", auto_submitted="auto-replied"), "2.eml")
    assert [line["outcome"] for line in house.process()[0]] == ["opened", "opened"]


def test_a_mail_above_the_limit_is_kept_whole(house: House) -> None:
    """A mail above MAX_MESSAGE_MB opens a ticket with a defect, and every byte of it is kept."""
    raw = a_mail("Large", body="line of text\n" * 200_000)
    house.drop(raw)
    house.run("process", MAX_MESSAGE_MB="1")
    ticket = show(house, 1)
    assert ticket["subject"] == "Large" and ticket["messages"][0]["defects"]
    (kept,) = (path for path in (house.home / "data" / "mails").rglob("*") if path.is_file())
    assert kept.read_bytes() == raw


def test_the_bytes_of_a_mail_are_kept(house: House) -> None:
    """The ledger keeps the raw mail byte by byte, so that the file may go."""
    house.drop(a_mail())
    house.process()
    assert zlib.decompress(ask(house, "SELECT packed FROM mail")[0][0]) == a_mail()


def test_the_baseline_waits_for_the_first_sync(house: House) -> None:
    """With IMAP configured, read mail in cur/ waits until the first sync is complete; unread mail is worked at once."""
    (house.home / ".env").write_text("IMAP_HOST=imap.invalid\nIMAP_USERNAME=u\nIMAP_PASSWORD=p\n")
    put(house, numbered(1), synced(1, "S"), "cur")
    put(house, numbered(2), synced(2, ""), "cur")
    put(house, numbered(3), synced(3))
    lines, summary = house.process()
    assert [line["outcome"] for line in lines] == ["opened", "opened"] and summary["left"] == 0
    assert cur(house) == [synced(uid, "S") for uid in (1, 2, 3)]
    audit = house.json("audit")
    assert audit["complete"] and audit["waiting"] == 1


def test_what_we_make_is_ours_alone(house: House) -> None:
    """Database, log and filed mail can be read by their owner only."""
    house.drop(a_mail(body="large\n" * 250_000))
    house.process()
    paths = [house.database, house.log, house.maildir / "INBOX" / "cur", house.home / "data", house.home / "data" / "mails"]
    assert [oct(path.stat().st_mode & 0o077) for path in paths] == ["0o0"] * len(paths)
