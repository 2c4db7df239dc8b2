"""Dialogues with machines: bounces, people out of office, lists, other helpdesks. Kept, and never let loose."""

from __future__ import annotations

import json

import pytest

from pipeline import tables

from .talk import ANN, BOB, DESK, EVE, TRUSTED, Talk, expect, found, why, written
from .talk import one_desk as one_desk
from .talk import one_guarded_desk as one_guarded_desk
from .talk import some_desks as some_desks
from .talk import some_readers as some_readers

DAEMON = "Mail Delivery System <MAILER-DAEMON@mx.example>"


def a_report(of: str, *recipients: str, action: str = "failed", status: str = "5.1.1", sender: str = DAEMON) -> bytes:
    """Write a delivery report (RFC 3464) of a message of ours."""
    told = "".join(
        f"\nFinal-Recipient: rfc822; {one}\nAction: {action}\nStatus: {status}\nDiagnostic-Code: smtp; 550 no such user here\n"
        for one in recipients
    )
    parts = [
        ("text/plain", "I am sorry, your message could not be delivered.\n"),
        ("message/delivery-status", f"Reporting-MTA: dns; mx.example\n{told}"),
        ("message/rfc822", f"From: {DESK}\nSubject: Re: Printer\nMessage-ID: <{of}>\n\nOur answer\n"),
    ]
    body = "".join(f"--=_b\nContent-Type: {content_type}\n\n{text}\n" for content_type, text in parts) + "--=_b--\n"
    return written(
        sender,
        "Undelivered Mail Returned to Sender",
        body,
        return_path="<>",
        auto_submitted="auto-replied",
        mime_version="1.0",
        content_type='multipart/report; report-type=delivery-status; boundary="=_b"',
        message_id=f"<{len(told)}.{action}.{status}@mx.example>",
    )


def bounced(talk: Talk) -> dict[str, str | None]:
    """Return why mail to each known address came back."""
    return {row["address"]: row["bounced"] for row in talk.store.rows(tables.PersonAddress.select())}


# -- bounces -----------------------------------------------------------------------------------------------------------


def test_a_bounce_of_our_answer_is_an_event(talk: Talk) -> None:
    """Its ticket's history tells whom the answer did not reach and why, the address is marked, and nothing is reopened."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    expect(talk.brings(a_report("random@desk.example", "ann@example.com")), "ignored", 1)
    assert talk.events(1)[-1] == "bounced: did not reach ann@example.com"
    assert bounced(talk)["ann@example.com"] == "5.1.1 550 no such user here"
    assert (talk.status(1), len(talk.messages(1)), talk.tickets()) == ("closed", 2, 1)
    assert talk.participants(1) == ["ann@example.com"]


def test_a_delay_is_an_event_and_marks_nobody(talk: Talk) -> None:
    """A server that still tries says nothing against an address."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    expect(talk.brings(a_report("random@desk.example", "ann@example.com", action="delayed", status="4.4.1")), "ignored", 1)
    assert talk.events(1)[-1] == "delayed: did not reach yet ann@example.com"
    assert bounced(talk) == {"ann@example.com": None}


def test_a_report_of_success_marks_nobody(talk: Talk) -> None:
    """A server that tells that all went well is heard, and nothing is noted (RFC 3464, 2.3.3)."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    expect(talk.brings(a_report("random@desk.example", "ann@example.com", action="delivered", status="2.0.0")), "ignored", 1)
    assert bounced(talk) == {"ann@example.com": None}
    assert not any("bounced" in what for what in talk.events(1))


def test_a_bounce_marks_only_whom_we_wrote_to(talk: Talk) -> None:
    """Who holds a message of ours can forge a report; it speaks of nobody to whom that message did not go."""
    talk.says(ANN, "Printer")
    talk.says(BOB, "Scanner")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    expect(talk.brings(a_report("random@desk.example", BOB, "ANN@example.com")), "ignored", 1)
    assert bounced(talk)[BOB] is None
    assert bounced(talk)["ann@example.com"]
    assert talk.events(1)[-2:] == ["bounced: did not reach bob@example.com", "bounced: did not reach ANN@example.com"]
    assert not any("bounced" in what for what in talk.events(2))


def test_a_plain_bounce_names_the_only_addressee(talk: Talk) -> None:
    """Many servers only return the headers: whom we wrote to is known, if it was one."""
    talk.says(ANN, "Printer")
    talk.we_answered(1, "one@desk.example", "ann@example.com")
    talk.we_answered(1, "two@desk.example", "ann@example.com", BOB)
    expect(talk.says(DAEMON, "Undelivered Mail Returned to Sender", "Sorry.", references="<one@desk.example>"), "ignored", 1)
    assert talk.events(1)[-1] == "bounced: did not reach ann@example.com"
    assert bounced(talk)["ann@example.com"]
    expect(talk.says(DAEMON, "Undelivered Mail Returned to Sender", "Sorry.", references="<two@desk.example>"), "ignored", 1)
    assert talk.events(1)[-1] == "bounced: did not reach the recipient"


def test_a_bounce_of_a_merged_ticket_is_told_where_it_went(talk: Talk) -> None:
    """The ticket that took the messages over hears of it."""
    talk.says(ANN, "One")
    talk.says(ANN, "Two")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.merges(1, 2)
    expect(talk.brings(a_report("random@desk.example", "ann@example.com")), "ignored", 2)
    assert talk.events(2)[-1] == "bounced: did not reach ann@example.com"


@pytest.mark.parametrize("named", [{}, {"references": "<q@example.com>"}, {"in_reply_to": "<lost@desk.example>"}])
def test_a_bounce_that_names_nothing_of_ours_is_ignored(talk: Talk, named: dict[str, str]) -> None:
    """A bounce makes no ticket and no comment, and marks nobody: it is in the ledger with its reason."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    settled = talk.says(DAEMON, "Undelivered Mail Returned to Sender: [TICKET-001]", "To: ann@example.com failed", **named)
    expect(settled, "ignored", None)
    assert "a bounce that names no message of ours" in why(settled)
    assert (talk.tickets(), len(talk.messages(1)), bounced(talk)) == (1, 1, {"ann@example.com": None})


def test_a_hundred_bounces_make_no_ticket(talk: Talk) -> None:
    """Backscatter, of mail that somebody sent in our name, leaves nothing behind but ledger rows."""
    for number in range(100):
        talk.runner.boxes["."].deliver(a_report(f"{number}@forged.example", f"p{number}@x.example"))
    assert talk.runner.sweep().counts == {"ignored": 100}
    assert talk.tickets() == 0


# -- people who are away -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", [{"in_reply_to": "<q@example.com>"}, {"references": "<random@desk.example>"}, {"subject": "#1"}]
)
def test_out_of_office_is_kept_and_reopens_nothing(talk: Talk, named: dict[str, str]) -> None:
    """An automatic reply to a closed ticket is a comment; the ticket stays closed until a person writes."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.we_answered(1, "random@desk.example", "ann@example.com")
    talk.set(1, status="closed")
    away = {"subject": "Automatic reply: Printer", "auto_submitted": "auto-replied", **named}
    expect(talk.says(ANN, **away), "commented", 1)
    assert talk.status(1) == "closed"
    expect(talk.says(ANN, "Re: Printer", in_reply_to="<q@example.com>"), "commented", 1)
    assert talk.status(1) == "open"


def test_out_of_office_by_its_subject_alone(talk: Talk) -> None:
    """Where no header says it, the machine's own phrase does, in any language."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.set(1, status="closed")
    for subject in ("Automatische Antwort: Printer", "Réponse automatique : Printer", "自動返信: Printer", "Автоответ: Printer"):
        expect(talk.says(ANN, subject, in_reply_to="<q@example.com>"), "commented", 1)
    assert talk.status(1) == "closed"


def test_out_of_office_that_names_nothing_opens_a_ticket(talk: Talk) -> None:
    """Automatic mail is mail: it is never dropped."""
    expect(talk.says(ANN, "Out of office", auto_submitted="auto-replied"), "opened", 1)


def test_out_of_office_does_not_leave_waiting(talk: Talk) -> None:
    """A ticket that waits for its requester goes on waiting."""
    talk.says(ANN, "Printer", message_id="<q@example.com>")
    talk.set(1, status="waiting")
    expect(talk.says(ANN, "Out of office", in_reply_to="<q@example.com>", auto_submitted="auto-replied"), "commented", 1)
    assert talk.status(1) == "waiting"


@pytest.mark.parametrize(
    "headers", [{"list_id": "<news.shop.example>"}, {"precedence": "bulk"}, {"list_unsubscribe": "<mailto:x@y>"}]
)
def test_list_mail_opens_a_ticket(talk: Talk, headers: dict[str, str]) -> None:
    """Newsletters and notifications open tickets like any other; only what they may cause is less."""
    expect(talk.says("shop@news.example", "Our offers", **headers), "opened", 1)


# -- another helpdesk --------------------------------------------------------------------------------------------------


def test_another_helpdesks_confirmations_make_one_ticket(talk: Talk) -> None:
    """Its automatic replies that name each other, or our answer, are comments on one ticket, and change no status."""
    auto = {"auto_submitted": "auto-replied", "precedence": "bulk"}
    other = "Their Desk <desk@other.example>"
    expect(talk.says(other, "[#4711] We got your mail", message_id="<o1@other.example>", **auto), "opened", 1)
    talk.we_answered(1, "random@desk.example", "desk@other.example")
    talk.set(1, status="closed")
    for number in range(2, 12):
        headers = {"in_reply_to": "<random@desk.example>", "references": "<o1@other.example>"}
        settled = talk.says(other, "[#4711] We got your mail", message_id=f"<o{number}@other.example>", **headers, **auto)
        expect(settled, "commented", 1)
    assert (talk.tickets(), talk.status(1)) == (1, "closed")


# -- who is proven, with machines --------------------------------------------------------------------------------------


def test_a_bounce_is_asked_for_no_proof(guarded: Talk) -> None:
    """Reports come with an empty envelope and often fail dmarc; naming our id is what counts."""
    guarded.says(ANN, "Printer", authentication_results=found("pass"))
    guarded.we_answered(1, "random@desk.example", "ann@example.com")
    raw = f"Authentication-Results: {TRUSTED}; dmarc=fail header.from=mx.example\n".encode()
    expect(guarded.brings(raw + a_report("random@desk.example", "ann@example.com")), "ignored", 1)
    assert guarded.events(1)[-1] == "bounced: did not reach ann@example.com"


def test_a_report_that_is_no_mail_servers_is_a_mail(talk: Talk) -> None:
    """Who quotes a bounce is a person, and opens a ticket."""
    expect(talk.says(EVE, "Fwd: Undelivered Mail Returned to Sender", "My mail to Ann came back."), "opened", 1)
    assert json.loads(talk.messages(1)[0]["defects"]) == []
