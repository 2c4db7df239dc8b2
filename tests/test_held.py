"""Held and failed mails: who is held, what an agent sees of it, and what becomes of it then."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from .conftest import House, a_mail
from .test_commands import needs_pty, on_terminal
from .test_ticket_commands import ANN, BOB, EVE, GUS, bring, dump, events, show, texts

TRUSTED = "mx.desk.example"
HELD = ["id", "file", "sha256", "reason", "stage", "attempts", "when", "ticket", "from"]


def proven(raw: bytes, dmarc: str, **results: str) -> bytes:
    """Put the header of the trusted server above a mail."""
    words = "; ".join(f"{name}={result}" for name, result in results.items())
    return f"Authentication-Results: {TRUSTED}; {words + '; ' if words else ''}dmarc={dmarc}\n".encode() + raw


def trust(house: House) -> None:
    """Name the server whose findings are believed."""
    (house.home / ".env").write_text(f"TRUSTED_AUTHSERV_ID={TRUSTED}\n")
    (house.home / ".env").chmod(0o600)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Ann's ticket, and two held mails that claim to be hers; Gus is the only agent."""
    house = House(tmp_path_factory.mktemp("full"))
    trust(house)
    forged = a_mail("Re: Printer", ANN, "Send money.", "<f@example.com>", in_reply_to="<q@example.com>")
    other = a_mail("[TICKET-001] again", ANN, "Send more.", "<g@example.com>")
    bring(house, proven(a_mail("Printer", ANN, message_id="<q@example.com>"), "pass"))
    bring(house, proven(forged, "fail", spf="softfail"), proven(other, "fail"))
    house.run("agent", "add", GUS)
    return house


@pytest.fixture
def guarded(full: House, tmp_path: Path) -> House:
    """A copy of the full house, to work in."""
    return House(Path(shutil.copytree(full.home, tmp_path / "home")))


def held_ids(house: House) -> list[int]:
    return [row["id"] for row in house.json("held", "list")]


# held list, show


def test_held_list(full: House) -> None:
    """A held mail is listed with its reason, its sender and the ticket that it names; the ticket has nothing of it."""
    rows = full.json("held", "list")
    assert [list(row) for row in rows] == [HELD, HELD]
    assert [(row["stage"], row["ticket"], row["from"]) for row in rows] == [("match", "TICKET-001", "ann@example.com")] * 2
    assert "failed dmarc" in rows[0]["reason"]
    title, *lines = full.run("held", "list").stdout.decode().splitlines()
    assert title.split() == ["ID", "FROM", "TICKET", "REASON", "WHEN"] and len(lines) == 2
    assert texts(full, 1) == ["Good morning."]


def test_held_show(full: House) -> None:
    """`held show` has the reason, the steps, the headers, what servers found, the text and the ticket."""
    number = held_ids(full)[0]
    document = full.json("held", "show", str(number))
    assert list(document) == [*HELD, "why", "mail"]
    assert document["why"][-1] == f"match: {document['reason']}" and document["ticket"] == "TICKET-001"
    mail = document["mail"]
    assert (mail["from"], mail["subject"]) == ({"name": "Ann", "address": "ann@example.com"}, "Re: Printer")
    assert (mail["to"][0]["address"], mail["date"]) == ("support@desk.example", "2026-11-22T07:31:00+00:00")
    assert (mail["text"].strip(), mail["auth"][0]["server"], mail["auth"][0]["dmarc"]) == ("Send money.", TRUSTED, "fail")
    shown = full.run("held", "show", str(number)).stdout.decode()
    for part in ("failed dmarc", "Ann <ann@example.com>", "support@desk.example", "Re: Printer", "spf=softfail, dmarc=fail"):
        assert part in shown
    for part in ("Send money.", "TICKET-001", f"{TRUSTED} found", "match: In-Reply-To q@example.com"):
        assert part in shown


@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [
        *((verb, number, 1) for verb in ("show", "approve", "reject") for number in ("1", "99")),
        *(("approve", number, 2) for number in ("99999999999999999999", "0", "x")),
    ],
)
def test_a_mail_that_is_not_held(full: House, verb: str, number: str, code: int) -> None:
    """A mail that is something else, or nothing: exit 1 and the command that lists; no number: exit 2; nothing changed."""
    before = dump(full)
    assert (b"helpdesk held list" if code == 1 else b"Usage") in full.run("held", verb, number, code=code).stderr
    assert dump(full) == before


# approve, reject


def test_held_approve(guarded: House) -> None:
    """What an agent lets through is commented, not verified, and the history says who; the other still waits."""
    first, second = held_ids(guarded)
    done = guarded.run("held", "approve", str(first))
    assert f"{first}: commented on TICKET-001." in done.stderr.decode()
    assert texts(guarded, 1) == ["Good morning.", "Send money."]
    assert show(guarded, 1)["messages"][1]["verified"] is False
    assert (GUS, "let a held mail through") in events(guarded, 1)
    assert held_ids(guarded) == [second]
    assert guarded.json("audit")["by_outcome"]["commented"] == 1 and guarded.json("audit")["complete"]
    assert GUS in json.dumps(guarded.json("explain", "f@example.com"))
    guarded.run("held", "approve", str(first), code=1)
    assert len(texts(guarded, 1)) == 2


def test_held_approve_of_several(guarded: House) -> None:
    """Several are let through in one command, in their order; one that is not held lets none through."""
    numbers = [str(number) for number in held_ids(guarded)]
    guarded.run("held", "approve", *numbers, "99", code=1)
    assert len(held_ids(guarded)) == 2
    guarded.run("-q", "held", "approve", *numbers)
    assert texts(guarded, 1) == ["Good morning.", "Send money.", "Send more."] and held_ids(guarded) == []


def test_held_approve_reopens(guarded: House) -> None:
    """A mail that an agent lets through is the requester's: it opens the ticket again."""
    guarded.run("ticket", "close", "1")
    guarded.run("held", "approve", str(held_ids(guarded)[0]))
    assert show(guarded, 1)["status"] == "open"


def test_held_reject(guarded: House) -> None:
    """A rejected mail is kept and ignored for good: its ticket's history says who, and a copy of it is a duplicate."""
    first, second = held_ids(guarded)
    assert guarded.run("held", "reject", str(first), "--as", GUS).stderr == f"{first}: rejected.\n".encode()
    assert (held_ids(guarded), texts(guarded, 1)) == ([second], ["Good morning."])
    assert (GUS, "a mail was rejected") in events(guarded, 1)
    (document,) = guarded.json("explain", "f@example.com")
    assert (document["outcome"], document["why"][-1]) == ("ignored", f"held: {GUS} rejected it")
    forged = a_mail("Re: Printer", ANN, "Send money.", "<f@example.com>", in_reply_to="<q@example.com>")
    assert bring(guarded, proven(forged, "fail", spf="softfail"))[0]["outcome"] == "duplicate"
    assert guarded.json("audit")["complete"]


def test_reject_takes_all_or_none(full: House) -> None:
    """One id that is not held among several: nothing is rejected."""
    before = dump(full)
    full.run("held", "reject", *map(str, held_ids(full)), "99", code=1)
    assert dump(full) == before


# spam


def test_spam_holds_the_next_mail(house: House) -> None:
    """`ticket spam` closes, tags and holds what the sender writes next; others come in; `held approve` lets it through."""
    bring(house, a_mail("Pills", EVE, message_id="<p@elsewhere.example>"))
    house.run("agent", "add", GUS)
    done = house.run("ticket", "spam", "1")
    assert b"mail from eve@elsewhere.example is held from now on" in done.stderr
    assert (show(house, 1)["status"], show(house, 1)["tags"]) == ("closed", ["spam"])
    became = bring(
        house, a_mail("More", EVE, message_id="<m@elsewhere.example>"), a_mail("Printer", BOB, message_id="<b@example.com>")
    )
    assert [row["outcome"] for row in became] == ["held", "opened"]
    (row,) = house.json("held", "list")
    assert (row["from"], row["ticket"]) == ("eve@elsewhere.example", None) and "called spam" in row["reason"]
    assert f"{row['id']}: opened TICKET-003." in house.run("held", "approve", str(row["id"])).stderr.decode()
    assert (GUS, "let a held mail through") in events(house, 3)
    assert [who for who, what in events(house, 1) if "held from now on" in what or "spam" in what] == [GUS, GUS]
    assert bring(house, a_mail("Third", EVE, "3", message_id="<3@elsewhere.example>"))[0]["outcome"] == "held"


def test_spam_is_undone(house: House) -> None:
    """`ticket spam --undo` opens the ticket, takes the tag off, and takes the sender's mail again; once."""
    bring(house, a_mail("Pills", EVE))
    house.run("ticket", "spam", "1")
    house.run("ticket", "spam", "1")
    house.run("ticket", "spam", "1", "--undo")
    assert (show(house, 1)["status"], show(house, 1)["tags"]) == ("open", [])
    assert bring(house, a_mail("Sorry", EVE, message_id="<s@elsewhere.example>"))[0]["outcome"] == "opened"
    house.run("ticket", "spam", "1", "--undo", code=2)


def test_spam_of_an_agent_or_nobody_holds_nobody(house: House) -> None:
    """An agent's own mail is never held by it, and a mail without a sender has nobody to hold."""
    house.run("agent", "add", GUS)
    bring(house, a_mail("Mine", GUS), b"Subject: whose?\nMessage-ID: <n@x.example>\n\nText.\n")
    for number in ("1", "2"):
        assert b"held" not in house.run("ticket", "spam", number).stderr
        assert show(house, int(number))["status"] == "closed"
    assert bring(house, a_mail("Again", GUS, message_id="<2@desk.example>"))[0]["outcome"] == "opened"


def test_approve_of_a_participant(house: House) -> None:
    """`--participant` lets the sender of a held mail speak on its ticket from then on."""
    trust(house)
    bring(house, proven(a_mail("Printer", ANN, message_id="<q@example.com>"), "pass"))
    bring(house, a_mail("Flagged", EVE, "Hello.", "<h@elsewhere.example>", x_spam_flag="YES"))
    house.run("held", "approve", str(held_ids(house)[0]), "--participant")
    assert "eve@elsewhere.example" in show(house, 2)["participants"]


# failed


@pytest.fixture(scope="module")
def cracked(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house with an empty mail, which failed, and a good one."""
    house = House(tmp_path_factory.mktemp("cracked"))
    path = house.drop(b"", "empty.eml")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    house.drop(a_mail(), "good.eml")
    house.run("process", code=1)
    return house


@pytest.fixture
def broken(cracked: House, tmp_path: Path) -> House:
    """A copy of the cracked house, to work in."""
    return House(Path(shutil.copytree(cracked.home, tmp_path / "home")))


def failed_id(house: House) -> str:
    (row,) = house.json("failed", "list")
    return str(row["id"])


def test_failed_show(cracked: House) -> None:
    """`failed show` has what the list has, the steps, and what can be read."""
    document: dict[str, Any] = cracked.json("failed", "show", failed_id(cracked))
    assert list(document) == [*HELD[:7], "why", "mail"]
    assert (document["file"], document["why"]) == ("empty.eml", ["parse: the mail is empty"])
    assert document["mail"]["defects"] == ["the mail is empty"] and document["mail"]["from"] is None
    assert "parse: the mail is empty" in cracked.run("failed", "show", failed_id(cracked)).stdout.decode()


def test_failed_drop(broken: House) -> None:
    """`failed drop` takes the star away and lists the mail no more; its bytes and file stay, and all is accounted for."""
    number = failed_id(broken)
    flags = sorted(name.partition(":")[2] for name in os.listdir(broken.cur))
    assert flags == ["2,FS", "2,S"]
    assert broken.run("failed", "drop", number).stderr == f"{number}: put aside.\n".encode()
    assert broken.json("failed", "list") == []
    assert {name.partition(":")[2] for name in os.listdir(broken.cur)} == {"2,S"} and len(os.listdir(broken.cur)) == 2
    document = broken.json("audit")
    assert document["complete"] and (document["by_outcome"]["ignored"], document["by_outcome"]["failed"]) == (1, 0)
    assert b"helpdesk failed list" in broken.run("failed", "drop", number, code=1).stderr
    broken.run("failed", "retry", number, code=1)
    assert "letterdesk put it aside" in json.dumps(broken.json("explain", "empty.eml"))


def test_failed_drop_takes_all_or_none(cracked: House) -> None:
    """An id that did not fail among several: exit 1, and nothing is put aside."""
    before = dump(cracked)
    for verb in ("drop", "show"):
        cracked.run("failed", verb, *([failed_id(cracked)] if verb == "drop" else []), "99", code=1)
    assert dump(cracked) == before


# hostile


def test_no_escape_reaches_the_terminal(house: House) -> None:
    """What a held mail says cannot move a cursor, in a table, as text or as JSON."""
    coded = "=?utf-8?B?G1sySgfCm+KAruKBpuKAqMKF?="
    raw = a_mail(f"Hi {coded}", f"{coded} <eve@elsewhere.example>", "Text \x1b[2J \u202e end", x_spam_flag="YES")
    bring(house, raw.replace(b"\n\n", b"\nContent-Type: text/plain; charset=utf-8\n\n", 1))
    number = str(held_ids(house)[0])
    for words in (("held", "list"), ("held", "show", number), ("held", "show", number, "--json"), ("held", "approve", number)):
        done = house.run(*words)
        for mark in ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u2028", "\x85"):
            assert mark.encode() not in done.stdout + done.stderr, words


@needs_pty
def test_the_list_fits_a_terminal(full: House) -> None:
    """At 80 columns a held mail is a line; the reason is cut, the ticket and the date are not."""
    lines = on_terminal(full, "held", "list")
    assert max(map(len, lines)) <= 80 and all("TICKET-001" in line and line[-3] == ":" for line in lines[1:])
