"""Agents handle tickets from a terminal: each verb by a real process, seen through `ticket show --json` and the next mail."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import sqlite3
import stat
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.filenames import LONGEST, Folder, safe_name
from pipeline.passwords import hashed, is_password

from .conftest import House, a_mail
from .test_commands import needs_pty, on_terminal

ANN, BOB, EVE = "Ann <ann@example.com>", "Bob <bob@example.com>", "Eve <eve@elsewhere.example>"
GUS, UNA, OFF = "gus@desk.example", "una@desk.example", "off@desk.example"
numbers = itertools.count(1)


def bring(house: House, *mails: bytes) -> list[dict[str, Any]]:
    """Bring mails, one after the other; return what became of each."""
    became = []
    for raw in mails:
        house.drop(raw, f"{next(numbers)}.eml")
        became += house.process()[0]
    return became


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Three tickets: Ann's with Bob in Cc and two mails, Eve's, Bob's; two agents and a disabled one."""
    house = House(tmp_path_factory.mktemp("filled"))
    bring(
        house,
        a_mail("Printer", ANN, message_id="<q@example.com>", cc=BOB),
        a_mail("Re: Printer", BOB, "Also the toner.", "<r@example.com>", in_reply_to="<q@example.com>"),
        a_mail("Invoice", EVE, "Wrong.", "<i@elsewhere.example>"),
        a_mail("Toner", BOB, "Empty.", "<t@example.com>"),
    )
    for address in (GUS, UNA, OFF):
        house.run("agent", "add", address, "--name", address[:3].title())
    house.run("agent", "disable", OFF)
    return house


@pytest.fixture
def desk(filled: House, tmp_path: Path) -> House:
    """A copy of the filled house, to work in."""
    return House(Path(shutil.copytree(filled.home, tmp_path / "home")))


def show(house: House, number: int) -> dict[str, Any]:
    return house.json("ticket", "show", str(number))  # type: ignore[no-any-return]


def events(house: House, number: int) -> list[tuple[str, str]]:
    """Return who did what on a ticket."""
    return [(event["who"], event["what"]) for event in show(house, number)["events"]]


def texts(house: House, number: int) -> list[str]:
    return [message["text"].strip() for message in show(house, number)["messages"]]


def dump(house: House) -> list[str]:
    """Return everything that the database holds."""
    with sqlite3.connect(house.database) as database:
        rows = list(database.iterdump())
    database.close()
    return rows


# set, close, reopen, assign


@pytest.mark.parametrize(
    ("words", "field", "value", "event"),
    [
        (("--status", "waiting"), "status", "waiting", "status open -> waiting"),
        (("--priority", "urgent"), "priority", "urgent", "priority normal -> urgent"),
        (("--queue", "billing"), "queue", "billing", "queue support -> billing"),
        (("--tag", "+vip,printer"), "tags", ["vip", "printer"], "tagged vip, printer"),
        (("--tag", "+vip", "--tag", "+two words"), "tags", ["vip", "two words"], "tagged vip, two words"),
    ],
    ids=lambda value: str(value),
)
def test_set_changes_one_thing(desk: House, words: tuple[str, ...], field: str, value: Any, event: str) -> None:
    """`set` changes what is named, an event says who, and a line on stderr says what; stdout stays empty."""
    done = desk.run("ticket", "set", "1", *words, "--as", GUS)
    assert show(desk, 1)[field] == value
    assert (GUS, event) in events(desk, 1)
    assert (done.stdout, done.stderr) == (b"", f"TICKET-001: {event}.\n".encode())


def test_set_of_several_things(desk: House) -> None:
    """Everything named in one command is done in it; a tag is taken off by `-`, and -q keeps quiet."""
    desk.run("ticket", "set", "TICKET-001", "--tag", "+a,+b")
    done = desk.run("-q", "ticket", "set", "#1", "--status", "closed", "--priority", "low", "--queue", "q", "--tag", "-a,c")
    ticket = show(desk, 1)
    assert [ticket[name] for name in ("status", "priority", "queue", "tags")] == ["closed", "low", "q", ["b", "c"]]
    assert (done.stdout, done.stderr) == (b"", b"")


def test_what_is_so_already_changes_nothing(desk: House) -> None:
    """A verb that changes nothing says so, and leaves no event."""
    before = dump(desk)
    assert b"nothing to change" in desk.run("ticket", "set", "1", "--status", "open", "--tag", "-none").stderr
    desk.run("ticket", "reopen", "1", "2")
    desk.run("ticket", "assign", "1", "nobody")
    assert dump(desk) == before


@pytest.mark.parametrize("words", [("close", "closed"), ("reopen", "open")], ids=lambda words: words[0])
def test_close_and_reopen_take_several(desk: House, words: tuple[str, str]) -> None:
    """`close` and `reopen` take several tickets, each once, and leave the others alone."""
    desk.run("ticket", "set", "3", "--status", "waiting")
    desk.run("ticket", "close" if words[0] == "reopen" else "reopen", "1", "2")
    desk.run("ticket", words[0], "1", "TICKET-002", "001")
    assert [show(desk, number)["status"] for number in (1, 2, 3)] == [words[1], words[1], "waiting"]


def test_several_tickets_are_changed_all_or_none(desk: House) -> None:
    """An unknown ticket among several: exit 1, and no other is changed."""
    before = dump(desk)
    assert b"There is no ticket 99" in desk.run("ticket", "close", "1", "99", "2", code=1).stderr
    assert dump(desk) == before


def test_a_reply_opens_what_was_closed_by_hand(desk: House) -> None:
    """`close` is what a customer's reply undoes."""
    desk.run("ticket", "close", "1")
    assert [row["number"] for row in desk.json("ticket", "list")] == ["TICKET-003", "TICKET-002"]
    bring(desk, a_mail("Re: Printer", ANN, "Still broken.", "<x@example.com>", in_reply_to="<q@example.com>"))
    assert show(desk, 1)["status"] == "open"


def test_assign(desk: House) -> None:
    """A ticket goes to an agent, in any letter case, and back to nobody."""
    desk.run("ticket", "assign", "1", "Gus@Desk.example", "--as", UNA)
    assert show(desk, 1)["assignee"] == GUS
    assert desk.json("agent", "list")[0]["tickets"] == 1
    desk.run("ticket", "assign", "1", "nobody")
    assert show(desk, 1)["assignee"] is None
    assert events(desk, 1)[-2:] == [(UNA, f"assignee nobody -> {GUS}"), ("letterdesk", f"assignee {GUS} -> nobody")]


@pytest.mark.parametrize(
    ("status", "expected"), [("open", ["TICKET-003"]), ("closed", ["TICKET-002"]), ("merged", ["TICKET-001"]), ("waiting", [])]
)
def test_list_by_status(desk: House, status: str, expected: list[str]) -> None:
    """`list --status` shows the tickets of that status, merged ones too."""
    desk.run("ticket", "close", "2")
    desk.run("ticket", "merge", "1", "3")
    assert [row["number"] for row in desk.json("ticket", "list", "--status", status)] == expected


def test_list_filters(desk: House) -> None:
    """--queue, --assignee and --tag each narrow the list, together with the others; closed tickets need --all."""
    desk.run("ticket", "set", "1", "--queue", "billing", "--tag", "vip")
    desk.run("ticket", "set", "2", "--queue", "billing", "--status", "closed")
    desk.run("ticket", "assign", "1", GUS)

    def found(*words: str) -> list[int]:
        return sorted(row["id"] for row in desk.json("ticket", "list", *words))

    assert found("--queue", "billing") == [1]
    assert found("--queue", "billing", "--all") == [1, 2]
    assert found("--assignee", GUS.upper()) == [1]
    assert found("--assignee", "nobody", "--all") == [2, 3]
    assert found("--tag", "vip", "--queue", "billing", "--from", "ann@example.com") == [1]
    assert found("--tag", "vip", "--queue", "support") == found("--tag", "VIP") == []
    assert desk.run("ticket", "list", "--tag", "none").stdout == b"No such ticket.\n"


# --as


def test_without_as_the_only_agent_works(house: House) -> None:
    """One agent alone is who does it; with none, or several, it is the desk itself."""
    bring(house, a_mail())
    house.run("ticket", "set", "1", "--priority", "low")
    house.run("agent", "add", GUS)
    house.run("ticket", "set", "1", "--priority", "high")
    house.run("agent", "add", UNA)
    house.run("ticket", "set", "1", "--priority", "urgent")
    house.run("agent", "disable", GUS)
    house.run("ticket", "set", "1", "--priority", "normal")
    assert [who for who, what in events(house, 1) if "priority" in what] == ["letterdesk", GUS, "letterdesk", UNA]


VERBS = [
    ("ticket", "set", "1", "--status", "closed"),
    ("ticket", "close", "1"),
    ("ticket", "reopen", "1"),
    ("ticket", "assign", "1", GUS),
    ("ticket", "note", "1", "--text", "x"),
    ("ticket", "approve", "1", "new@example.com"),
    ("ticket", "spam", "1"),
    ("ticket", "spam", "1", "--undo"),
    ("ticket", "merge", "1", "2"),
    ("ticket", "unmerge", "1"),
    ("ticket", "split", "1", "2"),
    ("ticket", "link", "1", "2"),
    ("ticket", "unlink", "1", "2"),
    ("people", "merge", "1", "2"),
    ("held", "approve", "1"),
    ("held", "reject", "1"),
    ("failed", "drop", "1"),
]


NO_AGENT = [("nobody@desk.example", 1, b"There is no agent"), ("no address", 2, b"is no address")]


@pytest.mark.parametrize(
    ("words", "agent", "code", "sentence"),
    [*((words, OFF, 1, b"is disabled") for words in VERBS), *((VERBS[0], *row) for row in NO_AGENT)],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_only_an_agent_may_do_it(filled: House, words: tuple[str, ...], agent: str, code: int, sentence: bytes) -> None:
    """`--as` takes an agent who exists and is not disabled; else nothing is done."""
    before = dump(filled)
    assert sentence in filled.run(*words, "--as", agent, code=code).stderr
    assert dump(filled) == before


# Nonsense

NONSENSE = [
    (("set", "1"), 2, b"Say what to change"),
    (("set", "1", "--status", "merged"), 2, b"--status"),
    (("set", "1", "--priority", "highest"), 2, b"--priority"),
    (("set", "1", "--queue", " "), 2, b"name of a queue"),
    (("set", "1", "--queue", "x" * 61), 2, b"name of a queue"),
    (("set", "1", "--tag", ""), 2, b"is no tag"),
    (("set", "1", "--tag", "+"), 2, b"is no tag"),
    (("set", "1", "--tag", "a\x1bb"), 2, b"is no tag"),
    (("set", "1", "--tag", "+a,-a"), 2, b"at once"),
    (("set", "99", "--status", "closed"), 1, b"There is no ticket 99"),
    (("set", "abc", "--status", "closed"), 1, b"is no ticket number"),
    (("close",), 2, b"N..."),
    (("close", "99"), 1, b"helpdesk ticket list"),
    (("assign", "1", "ann@example.com"), 1, b"There is no agent"),
    (("assign", "1", OFF), 1, b"is disabled"),
    (("assign", "1", "somebody"), 2, b"is no address"),
    (("note", "1", "--text", "  \n"), 2, b"There is no text"),
    (("note", "1"), 2, b"There is no text"),
    (("note", "99"), 1, b"There is no ticket 99"),
    (("note", "99", "--text", "x"), 1, b"There is no ticket 99"),
    (("merge", "1", "1"), 2, b"with itself"),
    (("merge", "1", "99"), 1, b"There is no ticket 99"),
    (("merge", "99", "1"), 1, b"There is no ticket 99"),
    (("unmerge", "1"), 2, b"is not merged"),
    (("split", "2", "3"), 2, b"the only mail"),
    (("split", "1", "3"), 1, b"has no message 3"),
    (("split", "1", "<nobody@example.com>"), 1, b"has no message"),
    (("split", "1", "99999999999999999999999"), 1, b"has no message"),
    (("link", "1", "TICKET-001"), 2, b"the same ticket"),
    (("link", "1", "99"), 1, b"There is no ticket 99"),
    (("unlink", "1", "2"), 2, b"are not linked"),
    (("spam", "99"), 1, b"There is no ticket 99"),
    (("spam", "1", "--undo"), 2, b"was not called spam"),
    (("approve", "1", "somebody"), 2, b"is no address"),
    (("approve", "1", "a\x1b[2J@b"), 2, b"is no address"),
    (("approve", "1", f"{'a' * 400}@example.com"), 2, b"is no address"),
    (("save", "99", "out"), 1, b"There is no ticket 99"),
]


@pytest.mark.parametrize(
    ("words", "code", "sentence"), NONSENSE, ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else ""
)
def test_nonsense_changes_nothing(filled: House, words: tuple[str, ...], code: int, sentence: bytes) -> None:
    """What makes no sense ends with 1 or 2 and a sentence, and leaves the database as it was."""
    before = dump(filled)
    done = filled.run("ticket", *words, code=code)
    assert sentence in done.stderr and b"Traceback" not in done.stderr and b"\x1b" not in done.stderr and done.stdout == b""
    assert dump(filled) == before


# note, approve, link


def test_a_note(desk: House) -> None:
    """A note is a message that only agents see, by --text or on standard input, in the name of who wrote it."""
    desk.run("ticket", "note", "1", "--text", "Call her\nback", "--as", GUS)
    desk.run("ticket", "note", "1", stdin="Grüße \0 \udce4\r\nzwei\n".encode("utf-8", "surrogateescape"))
    *_, first, second = show(desk, 1)["messages"]
    assert (first["kind"], first["author"]) == ("note", {"name": "Gus", "address": GUS})
    assert (first["text"], first["is_from_email"], first["html"]) == ("Call her\nback", False, None)
    assert (second["text"], second["author"]["address"]) == ("Grüße  \N{REPLACEMENT CHARACTER}\nzwei", None)
    assert events(desk, 1)[-2:] == [(GUS, "noted"), ("letterdesk", "noted")]
    assert show(desk, 1)["status"] == "open"
    assert "[note]" in desk.run("ticket", "show", "1").stdout.decode()


def test_a_note_of_endless_text(desk: House) -> None:
    """A note that is far too long is refused whole."""
    before = dump(desk)
    assert b"longer than" in desk.run("ticket", "note", "1", stdin=b"x" * 5_000_000, code=2).stderr
    assert dump(desk) == before


def test_an_approved_address_may_reply(desk: House) -> None:
    """Whom an agent approves is a participant: the next reply is added, where it opened a linked ticket before."""
    reply = {"in_reply_to": "<q@example.com>"}
    assert bring(desk, a_mail("Re: Printer", EVE, "Me too.", "<1@elsewhere.example>", **reply))[0]["ticket"] == "TICKET-004"
    desk.run("ticket", "approve", "1", "Eve <Eve@Elsewhere.example>", "--as", GUS)
    assert "eve@elsewhere.example" in show(desk, 1)["participants"]
    assert bring(desk, a_mail("Re: Printer", EVE, "And now?", "<2@elsewhere.example>", **reply))[0]["ticket"] == "TICKET-001"
    assert (GUS, "eve@elsewhere.example may speak here") in events(desk, 1)
    assert b"already" in desk.run("ticket", "approve", "1", "eve@elsewhere.example").stderr


def test_the_desk_itself_is_no_participant(desk: House) -> None:
    """Our own address cannot be approved: it would answer itself."""
    done = desk.run("ticket", "approve", "1", "Support@desk.example", code=2, EMAIL_HOST_USER="support@desk.example")
    assert b"the desk's own address" in done.stderr


def test_link_and_unlink(desk: House) -> None:
    """Linked tickets show each other, once, whichever way they were linked; `unlink` takes them apart from either side."""
    desk.run("ticket", "link", "1", "2", "--as", GUS)
    assert b"already" in desk.run("ticket", "link", "2", "1").stderr
    assert [[link["number"] for link in show(desk, number)["links"]] for number in (1, 2)] == [["TICKET-002"], ["TICKET-001"]]
    assert (GUS, "linked to TICKET-002") in events(desk, 1) and (GUS, "linked from TICKET-001") in events(desk, 2)
    desk.run("ticket", "unlink", "2", "1", "--as", UNA)
    assert show(desk, 1)["links"] == show(desk, 2)["links"] == []
    assert (UNA, "no longer linked to TICKET-002") in events(desk, 1)


# merge, unmerge, split


def test_merge_then_reply(desk: House) -> None:
    """After a merge the target has all messages and people; replies to either go there, and the number leads there."""
    done = desk.run("ticket", "merge", "1", "2", "--as", GUS)
    assert done.stderr == b"TICKET-001: merged into TICKET-002.\n"
    merged, target = show(desk, 1), show(desk, 2)
    assert (merged["status"], merged["merged_into"], merged["messages"]) == ("merged", "TICKET-002", [])
    assert texts(desk, 2) == ["Good morning.", "Also the toner.", "Wrong."]
    assert {"ann@example.com", "bob@example.com", "eve@elsewhere.example"} <= set(target["participants"])
    assert (GUS, "status open -> merged") in events(desk, 1) and (GUS, "TICKET-001 was merged into it") in events(desk, 2)
    by_id = a_mail("Re", ANN, "By id.", "<m1@example.com>", in_reply_to="<q@example.com>")
    by_number = a_mail("[TICKET-001] more", BOB, "By number.", "<m2@example.com>")
    assert [row["ticket"] for row in bring(desk, by_id, by_number)] == ["TICKET-002", "TICKET-002"]
    done = desk.run("ticket", "set", "1", "--priority", "high")
    assert done.stderr == b"TICKET-001 was merged into TICKET-002.\nTICKET-002: priority normal -> high.\n"
    assert b"TICKET-001 was merged into TICKET-002" in desk.run("ticket", "show", "1").stderr


def test_merging_what_is_merged(desk: House) -> None:
    """A merged ticket is neither merged again nor a target, and the sentence names the way out."""
    desk.run("ticket", "merge", "1", "2")
    before = dump(desk)
    for words in (("1", "2"), ("1", "3"), ("3", "1"), ("2", "1")):
        assert b"helpdesk ticket unmerge TICKET-001" in desk.run("ticket", "merge", *words, code=2).stderr
    assert dump(desk) == before


@pytest.mark.parametrize(
    ("mine", "target", "then"), [("open", "closed", "open"), ("closed", "closed", "closed"), ("closed", "open", "open")]
)
def test_merging_hides_nothing_that_is_open(desk: House, mine: str, target: str, then: str) -> None:
    """What is merged into a closed ticket while it is open opens that; what is closed does not."""
    for number, status in ((1, mine), (2, target)):
        desk.run("ticket", "set", str(number), "--status", status)
    desk.run("ticket", "merge", "1", "2")
    assert show(desk, 2)["status"] == then


def test_unmerge_gives_back(desk: House) -> None:
    """`unmerge` brings back messages and people that the ticket brought, and leaves what came to the target since."""
    people = show(desk, 1)["participants"], show(desk, 2)["participants"]
    desk.run("ticket", "note", "1", "--text", "a note")
    desk.run("ticket", "merge", "1", "2")
    bring(desk, a_mail("Re", ANN, "Since then.", "<s@example.com>", in_reply_to="<q@example.com>"))
    desk.run("ticket", "unmerge", "TICKET-001", "--as", GUS)
    assert texts(desk, 1) == ["Good morning.", "Also the toner.", "a note"]
    assert texts(desk, 2) == ["Wrong.", "Since then."]
    assert (show(desk, 1)["participants"], show(desk, 2)["participants"]) == people
    assert (show(desk, 1)["status"], show(desk, 1)["merged_into"]) == ("open", None)
    assert (GUS, "TICKET-001 was taken out") in events(desk, 2)
    assert bring(desk, a_mail("Re", ANN, "Back.", "<b@example.com>", in_reply_to="<q@example.com>"))[0]["ticket"] == "TICKET-001"


def test_merge_and_unmerge_twice(desk: House) -> None:
    """A ticket may be merged again after it was taken out, also elsewhere."""
    for into in ("2", "3"):
        desk.run("ticket", "merge", "1", into)
        desk.run("ticket", "unmerge", "1")
        assert texts(desk, 1) == ["Good morning.", "Also the toner."]


def test_a_chain_of_merges_is_undone_from_the_middle(desk: House) -> None:
    """1 into 2 into 3: taking out 2 takes 1 along; taking out 1 leaves the rest; nobody else's people go."""
    desk.run("ticket", "merge", "1", "2")
    desk.run("ticket", "merge", "2", "3")
    assert texts(desk, 3) == ["Good morning.", "Also the toner.", "Wrong.", "Empty."]
    assert bring(desk, a_mail("Re", ANN, "Far.", "<f@example.com>", in_reply_to="<q@example.com>"))[0]["ticket"] == "TICKET-003"
    desk.run("ticket", "unmerge", "2")
    assert texts(desk, 2) == ["Good morning.", "Also the toner.", "Wrong."] and texts(desk, 3) == ["Empty.", "Far."]
    assert set(show(desk, 3)["participants"]) == {"bob@example.com", "support@desk.example"}
    desk.run("ticket", "merge", "2", "3")
    desk.run("ticket", "unmerge", "1")
    assert texts(desk, 1) == ["Good morning.", "Also the toner."]
    assert texts(desk, 3) == ["Wrong.", "Empty.", "Far."]
    assert set(show(desk, 3)["participants"]) == {"bob@example.com", "support@desk.example", "eve@elsewhere.example"}
    desk.run("ticket", "unmerge", "2")
    assert texts(desk, 2) == ["Wrong."]


def test_people_whom_two_merges_brought_stay_with_one(desk: House) -> None:
    """Bob came with both 1 and 3; taking out one leaves him, taking out the other does not."""
    desk.run("ticket", "merge", "1", "2")
    desk.run("ticket", "merge", "3", "2")
    desk.run("ticket", "unmerge", "3")
    assert "bob@example.com" in show(desk, 2)["participants"]
    desk.run("ticket", "unmerge", "1")
    assert "bob@example.com" not in show(desk, 2)["participants"]


@pytest.mark.parametrize("message", ["2", "r@example.com", "<r@example.com>"])
def test_split_then_reply(desk: House, message: str) -> None:
    """A mail that is split off has a ticket of its own, with its author as requester; replies to it go there."""
    desk.run("ticket", "set", "1", "--queue", "billing", "--priority", "high")
    done = desk.run("ticket", "split", "1", message, "--as", GUS)
    assert f"message {message} is now TICKET-004".encode() in done.stderr
    new = show(desk, 4)
    assert (new["requester"]["address"], new["email_from"], new["subject"]) == ("bob@example.com", "bob@example.com", "Printer")
    assert (new["queue"], new["priority"], new["participants"]) == ("billing", "high", ["bob@example.com"])
    assert texts(desk, 4) == ["Also the toner."] and texts(desk, 1) == ["Good morning."]
    assert [link["number"] for link in new["links"]] == ["TICKET-001"]
    assert (GUS, "opened") in events(desk, 4) and (GUS, "linked from TICKET-004") in events(desk, 1)
    replies = [
        a_mail("Re: [TICKET-001]", BOB, "New.", "<n@example.com>", in_reply_to="<r@example.com>"),
        a_mail("Re: Printer", ANN, "Old.", "<o@example.com>", in_reply_to="<q@example.com>"),
    ]
    assert [row["ticket"] for row in bring(desk, *replies)] == ["TICKET-004", "TICKET-001"]


def test_split_mail_stays_where_it_was_put(desk: House) -> None:
    """Merging and unmerging the old ticket does not pull the split mail back; the new one merges like any other."""
    desk.run("ticket", "merge", "1", "2")
    desk.run("ticket", "split", "2", "2")
    desk.run("ticket", "unmerge", "1")
    assert [texts(desk, number) for number in (1, 2, 4)] == [["Good morning."], ["Wrong."], ["Also the toner."]]
    desk.run("ticket", "merge", "4", "1")
    desk.run("ticket", "merge", "1", "4", code=2)
    desk.run("ticket", "unmerge", "4")
    desk.run("ticket", "merge", "1", "4")
    assert texts(desk, 4) == ["Good morning.", "Also the toner."]
    desk.run("ticket", "unmerge", "1")
    assert [texts(desk, number) for number in (1, 4)] == [["Good morning."], ["Also the toner."]]


def test_only_a_mail_can_be_split_off(desk: House) -> None:
    """A note stays on its ticket."""
    desk.run("ticket", "note", "1", "--text", "a note")
    note = show(desk, 1)["messages"][-1]["id"]
    assert b"is a note" in desk.run("ticket", "split", "1", str(note), code=2).stderr


# save

NAMES = [
    ("../../etc/passwd", "etc_passwd"),
    ("..\\..\\windows\\win.ini", "windows_win.ini"),
    ("/etc/passwd", "etc_passwd"),
    ("C:\\Users\\a.pdf", "C__Users_a.pdf"),
    ("invoice 11/2026.pdf", "invoice 11_2026.pdf"),
    ("CON.txt", "_CON.txt"),
    ("con", "_con"),
    ("nul .tar.gz", "_nul .tar.gz"),
    ("LPT¹.txt", "_LPT¹.txt"),
    ("console.txt", "console.txt"),
    ("a\x1b[2Jb", "a[2Jb"),
    ("a\0b\r\nc\u202egnp.exe", "abcgnp.exe"),
    (".hidden", "hidden"),
    ("...", "part-1.bin"),
    ("..", "part-1.bin"),
    ("", "part-1.bin"),
    (" . / . ", "part-1.bin"),
    ("\ud800", "part-1.bin"),
    ("-rf", "_-rf"),
    ("~root", "_~root"),
    ('a?b*c|d<e>f"g:h', "a_b_c_d_e_f_g_h"),
    ("dots...", "dots"),
    ("naïve \U0001f4c4.pdf", "naïve \U0001f4c4.pdf"),
    ("nai\u0308ve.pdf", "naïve.pdf"),
    ("x" * 300 + ".pdf", "x" * 176 + ".pdf"),
    ("\u00e9" * 300 + ".pdf", "\u00e9" * 88 + ".pdf"),
    ("a." + "x" * 300, "a." + "x" * 178),
]


@pytest.mark.parametrize(("name", "safe"), NAMES, ids=lambda text: ascii(text)[:30])
def test_a_name_is_made_safe(name: str, safe: str) -> None:
    """A name from a mail becomes one that every system takes, below the folder and without surprises."""
    assert safe_name(name, "part-1.bin") == safe
    assert len(safe.encode()) <= LONGEST and safe_name(safe, "") == safe or safe == "part-1.bin"


def test_a_huge_name_is_made_safe_in_no_time() -> None:
    """A name of ten million characters is cut before it is looked at."""
    assert len(safe_name("../" * 3_000_000 + "a", "x")) <= LONGEST


def test_a_folder_never_writes_over_a_file(tmp_path: Path) -> None:
    """A name that is taken, also by a link that leads nowhere or outside, gets a number before its suffix."""
    (tmp_path / "outside").mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.tar.gz").symlink_to(tmp_path / "outside" / "a")
    (inside / "a.tar (2).gz").write_bytes(b"mine")
    folder = Folder(inside)
    assert [folder.write(name, b"x").name for name in ("a.tar.gz", "a.tar.gz", "b", "b")] == [
        "a.tar (3).gz", "a.tar (4).gz", "b", "b (2)",
    ]  # fmt: skip
    assert os.listdir(tmp_path / "outside") == [] and (inside / "a.tar (2).gz").read_bytes() == b"mine"


def with_parts(*parts: tuple[str | None, bytes], message_id: str = "<parts@example.com>") -> bytes:
    """Make a mail with attachments, of any name or none."""
    lines = ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "", "--b", "", "See attachments."]
    for name, content in parts:
        lines += ["--b", "Content-Type: application/pdf", "Content-Transfer-Encoding: base64"]
        coded = "" if name is None else f"; filename*=utf-8''{''.join(f'%{byte:02x}' for byte in name.encode())}"
        lines += [f"Content-Disposition: attachment{coded}", "", b64encode(content).decode()]
    return a_mail("Files", ANN, message_id=message_id).split(b"\n\n")[0] + ("\n" + "\n".join([*lines, "--b--", ""])).encode()


def test_save(house: House) -> None:
    """`save` writes every attachment of a ticket under a safe name, for the owner alone, and prints where; bytes are equal."""
    names = ["../../etc/passwd", "CON.txt", "a\x1b[2Jb", "x" * 300, "", ".hidden", "same.pdf", "same.pdf", None]
    parts = [(name, f"content {number}".encode()) for number, name in enumerate(names)]
    bring(house, with_parts(*parts[:5]), a_mail("none"))
    bring(
        house,
        with_parts(*parts[5:], message_id="<more@example.com>").replace(
            b"Subject:", b"In-Reply-To: <parts@example.com>\nSubject:"
        ),
    )
    done = house.run("ticket", "save", "1", "out/deep")
    written = [house.home / line for line in done.stdout.decode().splitlines()]
    assert sorted(written) == sorted((house.home / "out" / "deep").iterdir())
    assert [path.read_bytes() for path in written] == [content for _, content in parts]
    assert [path.name for path in written[:4]] == ["etc_passwd", "_CON.txt", "a[2Jb", "x" * LONGEST]
    assert [path.name for path in written[5:8]] == ["hidden", "same.pdf", "same (2).pdf"]
    assert {path.name for path in (written[4], written[8])} <= {f"part-{n}.pdf" for n in range(1, 9)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600} or os.name == "nt"
    assert stat.S_IMODE((house.home / "out" / "deep").stat().st_mode) == 0o700 or os.name == "nt"
    assert b"no attachments" in house.run("ticket", "save", "2", "out").stderr


def test_save_twice_writes_over_nothing(house: House) -> None:
    """A second `save` into the same folder takes new names; a merged ticket's number leads to the attachments."""
    bring(house, with_parts(("a.pdf", b"one")), a_mail())
    house.run("ticket", "merge", "1", "2")
    for _ in range(2):
        assert b"was merged into TICKET-002" in house.run("ticket", "save", "1", ".").stderr
    assert (house.home / "a.pdf").read_bytes() == (house.home / "a (2).pdf").read_bytes() == b"one"


def test_save_where_nothing_can_be_written(house: House) -> None:
    """A folder that cannot be made: exit 73, and it is named."""
    bring(house, with_parts(("a.pdf", b"one")))
    (house.home / "file").write_text("mine")
    for name in ("file", "file/below"):
        assert b"file" in house.run("ticket", "save", "1", name, code=73).stderr
    assert (house.home / "file").read_text() == "mine"


def test_save_checks_the_bytes(house: House) -> None:
    """An attachment that is not what it was when it came is told, exit 1, and not written; the others are."""
    bring(house, with_parts(("a.pdf", b"one"), ("b.pdf", b"two")))
    with sqlite3.connect(house.database) as database:
        database.execute("UPDATE attachment SET sha256 = ? WHERE filename = 'a.pdf'", (hashlib.sha256(b"other").hexdigest(),))
    database.close()
    done = house.run("ticket", "save", "1", "out", code=1)
    assert b"a.pdf of mail 1 is not what it was" in done.stderr
    assert os.listdir(house.home / "out") == ["b.pdf"]


def test_save_of_a_large_mail(house: House) -> None:
    """An attachment of a mail that lies in data/mails is cut like any other; without that file it is told."""
    content = os.urandom(2_000_000)
    bring(house, with_parts(("big.pdf", content)))
    house.run("ticket", "save", "1", "out")
    assert (house.home / "out" / "big.pdf").read_bytes() == content
    shutil.rmtree(house.home / "data" / "mails")
    assert b"cannot be read" in house.run("ticket", "save", "1", "out", code=1).stderr


# people and agents


def test_people_merge(desk: House) -> None:
    """After `people merge` the first has both addresses, and from the second one may reply on the first one's ticket."""
    reply = {"in_reply_to": "<q@example.com>"}
    assert bring(desk, a_mail("Re", EVE, "May I?", "<1@elsewhere.example>", **reply))[0]["outcome"] == "opened"
    desk.run("people", "merge", "ann@example.com", "eve@elsewhere.example", "--as", GUS)
    person = desk.json("people", "show", "eve@elsewhere.example")
    assert (person["name"], person["addresses"]) == ("Ann", ["ann@example.com", "eve@elsewhere.example"])
    assert person["tickets"] == ["TICKET-001", "TICKET-002", "TICKET-004"]
    assert "Eve" not in [row["name"] for row in desk.json("people", "list")]
    assert bring(desk, a_mail("Re", EVE, "And now?", "<2@elsewhere.example>", **reply))[0]["ticket"] == "TICKET-001"
    assert (GUS, "eve@elsewhere.example is the same person as ann@example.com") in events(desk, 1)


@pytest.mark.parametrize(
    ("words", "code"), [(("1", "1"), 2), (("1", "ann@example.com"), 2), (("1", "99"), 1), (("nobody@example.com", "1"), 1)]
)
def test_people_merge_of_nonsense(desk: House, words: tuple[str, str], code: int) -> None:
    """Somebody with himself, or with nobody: a sentence, and nothing changed."""
    before = dump(desk)
    assert b"helpdesk people list" in desk.run("people", "merge", *words, code=code).stderr
    assert dump(desk) == before


def test_a_look_alike_is_flagged_and_another_person(desk: House) -> None:
    """An address that looks like a customer's is a person of its own, and its ticket says so."""
    looks_like = "Ann <\N{CYRILLIC SMALL LETTER A}nn@example.com>"
    (row,) = bring(desk, a_mail("Re: [TICKET-001]", looks_like, "My new address.", "<l@example.com>"))
    assert (row["outcome"], row["ticket"]) == ("opened", "TICKET-004")
    assert "look-alike" in [what for _, what in events(desk, 4)]
    assert "looks like ann@example.com" in show(desk, 4)["messages"][0]["defects"][0]
    assert desk.json("people", "show", "ann@example.com")["addresses"] == ["ann@example.com"]


def test_agents(house: House) -> None:
    """Agents are added, listed, disabled and enabled; adding one again renames and enables."""
    house.run("agent", "add", "Gus@Desk.example", "--name", " Gus  G. ")
    house.run("agent", "disable", GUS)
    (row,) = house.json("agent", "list")
    assert list(row) == ["id", "address", "name", "disabled", "has_password", "tickets", "notify", "digest_minutes", "created"]
    assert (row["address"], row["name"], row["disabled"], row["has_password"]) == (GUS, "Gus G.", True, False)
    house.run("agent", "enable", GUS)
    assert house.json("agent", "list")[0]["disabled"] is False
    house.run("agent", "disable", GUS)
    assert house.run("agent", "add", GUS, "--name", "Gustav").stderr == f"{GUS} may answer.\n".encode()
    (row,) = house.json("agent", "list")
    assert (row["name"], row["disabled"]) == ("Gustav", False)
    assert [line.split()[0] for line in house.run("agent", "list").stdout.decode().splitlines()] == ["ADDRESS", GUS]


@pytest.mark.parametrize("verb", ["password", "disable", "enable"])
def test_an_unknown_agent(house: House, verb: str) -> None:
    """A verb on an agent who does not exist: exit 1 and the command that lists them."""
    assert b"helpdesk agent list" in house.run("agent", verb, "nobody@desk.example", code=1).stderr


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (("nobody",), b""),
        (("a@b.example", "--name", "x" * 201), b""),
        (("a@b.example", "--name", "x\x1by"), b""),
        (("a@b.example", "--password-stdin"), b"too short\n"),
        (("a@b.example", "--password-stdin"), b"\xff" * 20),
        (("a@b.example", "--password-stdin"), b"x" * 5000),
        (("a@b.example", "--password-stdin"), b""),
        (("a@b.example", "--password"), b"no terminal here\n"),
    ],
)
def test_agent_add_of_nonsense(house: House, words: tuple[str, ...], stdin: bytes) -> None:
    """No address, no proper name, no proper password: exit 2, and no agent."""
    house.run("agent", "add", *words, stdin=stdin, code=2)
    assert house.json("agent", "list") == []


def stored_password(house: House) -> str:
    with sqlite3.connect(house.database) as database:
        [(stored,)] = database.execute("SELECT password FROM agent").fetchall()
    database.close()
    return str(stored)


def test_a_password_from_standard_input(house: House) -> None:
    """--password-stdin takes the first line; what is stored is a hash that only this password fits."""
    house.run("agent", "add", GUS, "--password-stdin", stdin="vier wörter für heute\nrest\n".encode())
    first = stored_password(house)
    assert "wörter" not in first and is_password("vier wörter für heute", first) and not is_password("vier wörter", first)
    house.run("agent", "password", GUS, "--password-stdin", stdin=b"another one today")
    assert is_password("another one today", stored_password(house))
    assert house.json("agent", "list")[0]["has_password"] is True


@needs_pty
@pytest.mark.parametrize("same", [True, False])
def test_a_password_is_asked_for_twice(house: House, same: bool) -> None:
    """On a terminal the password is asked for twice, and never shown; two that differ are asked for again."""
    import pty
    import subprocess

    house.run("agent", "add", GUS)
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        house.command("agent", "password", GUS),
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=house.home, env=house.environment, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    answers = iter([] if same else ["ten letters at least", "another than that one"])
    shown = b""
    try:
        while block := os.read(controller, 4096):
            shown += block
            if block.rstrip().endswith(b":"):
                os.write(controller, f"{next(answers, 'correct horse battery')}\n".encode())
    except OSError:
        pass
    os.close(controller)
    assert process.wait(60) == 0
    assert b"correct" not in shown and is_password("correct horse battery", stored_password(house))
    assert shown.count(b"again") == (1 if same else 2)


def test_hashes_of_passwords() -> None:
    """Each hash has its own salt and tells its parameters; what is no hash fits nothing."""
    first, second = hashed("correct horse"), hashed("correct horse")
    assert first != second and first.startswith("scrypt$32768$8$1$") and is_password("correct horse", first)
    assert is_password("caf\N{LATIN SMALL LETTER E WITH ACUTE} au lait", hashed("cafe\N{COMBINING ACUTE ACCENT} au lait"))
    for stored in (
        None,
        "",
        "scrypt$1$2",
        first.replace("32768", "999999999999"),
        first.replace("scrypt", "plain"),
        "a$b$c$d$e$f",
    ):
        assert not is_password("correct horse", stored)
    assert not is_password("x" * 2000, first)
    with pytest.raises(UsageError):
        hashed("nine char")


# at once, and on a terminal


def test_verbs_while_a_worker_works(desk: House) -> None:
    """While a worker takes mail, every verb is done and every mail is in: nobody loses anything."""
    worker = desk.start("worker")
    try:
        for number in range(5):
            desk.drop(
                a_mail("Re: Printer", ANN, f"No. {number}", f"<{number}@w.example>", in_reply_to="<q@example.com>"), f"{number}.w"
            )
            desk.run("ticket", "set", "1", "--tag", f"+t{number}", "--as", GUS)
            desk.run("ticket", "close", "1")
            desk.run("ticket", "note", "1", "--text", f"note {number}")
    finally:
        worker.terminate()
        worker.wait(60)
    desk.process()
    ticket = show(desk, 1)
    said = [message["text"].strip() for message in ticket["messages"]]
    assert ticket["tags"] == [f"t{number}" for number in range(5)]
    assert {f"No. {number}" for number in range(5)} | {f"note {number}" for number in range(5)} <= set(said) and len(said) == 12
    assert desk.json("audit")["complete"]


@needs_pty
@pytest.mark.parametrize("words", [("ticket", "list"), ("agent", "list"), ("people", "list")], ids=" ".join)
def test_long_values_fit_a_terminal(desk: House, words: tuple[str, ...]) -> None:
    """At 80 columns long names and subjects are cut; numbers, statuses and dates stay whole."""
    long = f"{'Maximiliane ' * 8}<{'m' * 60}@{'long.' * 9}example>"
    bring(desk, a_mail("A long subject " * 12, long, message_id="<long@example.com>"))
    desk.run("agent", "add", f"{'a' * 60}@desk.example", "--name", "A long name " * 9)
    lines = on_terminal(desk, *words)
    assert max(map(len, lines)) <= 80
    dates = [line for line in lines[1:] if line.rstrip()[-3:-2] == ":"]
    assert words[0] == "people" or len(dates) == len(lines) - 1


def test_json_of_what_was_changed_is_plain(desk: House) -> None:
    """After all verbs `ticket show --json` is still one document that a program reads."""
    desk.run("ticket", "note", "1", "--text", "\x1b[2J")
    raw = desk.run("ticket", "show", "1", "--json").stdout
    assert b"\x1b" not in raw and json.loads(raw)["messages"][-1]["text"] == "\x1b[2J"
