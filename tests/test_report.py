"""Delivery reports tell whom a mail did not reach, in the standard's form and in the words of the servers that have none."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letter import Bounce, Undelivered
from pipeline.mime import structure
from pipeline.mime.report import REASON, RECIPIENTS, bounce_in, bounce_of

HEADERS = (
    ("return-path", "<>"),
    ("from", "Mail Delivery System <MAILER-DAEMON@mx.example.org>"),
    ("to", "Desk <support@desk.example>"),
    ("subject", "Undelivered Mail Returned to Sender"),
)
RETURNED = b"Received: from a by b\nFrom: support@desk.example\nTo: ann@example.com\nMessage-ID: <our-1@desk.example>\n\nHello\n"


def of_text(text: str, subject: str = "Undelivered Mail Returned to Sender") -> list[tuple[str | None, str, str | None]]:
    """Return (address, action, status) of a report that is only text."""
    bounce = bounce_of((*HEADERS[:3], ("subject", subject)), None, None, text)
    return [(one.address, one.action, one.status) for one in bounce.recipients] if bounce else []


def of_status(status: str, text: str = "") -> list[tuple[str | None, str, str | None, str]]:
    """Return what a delivery-status part says."""
    bounce = bounce_of(HEADERS, status.encode(), None, text)
    assert bounce is not None
    return [(one.address, one.action, one.status, one.reason) for one in bounce.recipients]


# -- RFC 3464 --------------------------------------------------------------------------------------------------------

MTA = "Reporting-MTA: dns; mx.example.org\nArrival-Date: Sun, 22 Nov 2026 07:31:00 +0000\n\n"

# (delivery-status part, recipients)
STATUS = [
    (
        MTA + "Final-Recipient: rfc822; ann@example.com\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 No"
        " such user",
        [("ann@example.com", "failed", "5.1.1", "550 5.1.1 No such user")],
    ),
    (  # folded, glued, in capitals, an older CRLF
        MTA + "FINAL-RECIPIENT:RFC822;<Ann@Example.COM>\r\nACTION:Failed (gave up)\r\nDIAGNOSTIC-CODE: SMTP;\r\n 552"
        " 5.2.2\r\n\tOver quota\r\n",
        [("Ann@Example.COM", "failed", "5.2.2", "552 5.2.2 Over quota")],
    ),
    (  # the address that was written goes before the one it is forwarded to
        MTA + "Original-Recipient: rfc822;ann@example.com\nFinal-Recipient: rfc822; box17@mx.example.org\nAction:"
        " failed\nStatus: 5.2.1",
        [("ann@example.com", "failed", "5.2.1", "")],
    ),
    (
        MTA + "Original-Recipient: rfc822;\nFinal-Recipient: rfc822; ann@example.com\nAction: failed",
        [("ann@example.com", "failed", None, "")],
    ),
    (  # a delay, and those whom it reached
        MTA + "Final-Recipient: rfc822; a@example.com\nAction: delayed\nStatus: 4.4.1\n\n"
        "Final-Recipient: rfc822; b@example.com\nAction: delivered\nStatus: 2.0.0\n\n"
        "Final-Recipient: rfc822; c@example.com\nAction: relayed\nStatus: 2.0.0\n\n"
        "Final-Recipient: rfc822; d@example.com\nAction: failed\nStatus: 5.0.0\n",
        [("a@example.com", "delayed", "4.4.1", ""), ("d@example.com", "failed", "5.0.0", "")],
    ),
    (  # no blank lines between the groups, Action first
        MTA + "Action: failed\nFinal-Recipient: rfc822; a@example.com\nStatus: 5.1.1\n"
        "Action: failed\nFinal-Recipient: rfc822; b@example.com\nStatus: 5.7.1\n",
        [("a@example.com", "failed", "5.1.1", ""), ("b@example.com", "failed", "5.7.1", "")],
    ),
    (  # too many of them
        "\n\n" + MTA + "\n\nFinal-Recipient: rfc822; a@example.com\nAction: failed\n\n\n\nFinal-Recipient: rfc822;"
        " b@example.com\n",
        [("a@example.com", "failed", None, ""), ("b@example.com", "failed", None, "")],
    ),
    ("Final-Recipient: rfc822; a@example.com\nAction: error\nStatus: 5.1.2", [("a@example.com", "failed", "5.1.2", "")]),
    (  # the diagnosis says more than the status, or less
        MTA + "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550-5.7.26"
        " unauthenticated",
        [("a@example.com", "failed", "5.7.26", "550-5.7.26 unauthenticated")],
    ),
    (
        MTA + "Final-Recipient: rfc822; a@example.com\nAction: failed\nStatus: 4.4.7\nDiagnostic-Code: smtp; 550 5.1.1 no",
        [("a@example.com", "failed", "4.4.7", "550 5.1.1 no")],
    ),
    (  # a reply code alone, RFC 5321: undefined in its class, RFC 3463
        MTA + "Final-Recipient: rfc822; a@example.com\nAction: failed\nDiagnostic-Code: smtp; 550 no such user\n\n"
        "Final-Recipient: rfc822; b@example.com\nAction: delayed\nDiagnostic-Code: smtp; 451 try later\n",
        [("a@example.com", "failed", "5.0.0", "550 no such user"), ("b@example.com", "delayed", "4.0.0", "451 try later")],
    ),
    (  # RFC 6533
        MTA + "Final-Recipient: utf-8; j\\x{F6}rg@example.com\nAction: failed\nStatus: 5.1.1",
        [("jörg@example.com", "failed", "5.1.1", "")],
    ),
    (MTA + "Final-Recipient: rfc822; a@example.com\nAction: failed\nAction: failed\n", [("a@example.com", "failed", None, "")]),
]


@pytest.mark.parametrize(("status", "recipients"), STATUS)
def test_a_delivery_status_is_read(status: str, recipients: list[tuple[str, str, str | None, str]]) -> None:
    """Every group gives a recipient with action, status and reason, however loosely the groups are written."""
    assert of_status(status) == recipients


def test_what_the_status_lacks_is_taken_from_the_text() -> None:
    """A report without a usable recipient or without a reason is completed by its words for people."""
    text = "Delivery to these people failed:\n\n  ann@example.com\n\nThe server said: 550 5.1.1 unknown user\n"
    expected = [("ann@example.com", "failed", "5.1.1", "The server said: 550 5.1.1 unknown user")]
    assert of_status(MTA + "Final-Recipient: rfc822; unknown\nAction: failed\n", text) == expected
    assert of_status(MTA + "Final-Recipient: rfc822; ann@example.com\nAction: failed\n", text) == expected
    assert of_status(MTA, text) == expected


def test_good_news_names_nobody() -> None:
    """A report of success is a report, with no recipient whom the mail missed; its text adds none."""
    status = MTA + "Final-Recipient: rfc822; ann@example.com\nAction: delivered\nStatus: 2.1.5\n"
    assert of_status(status, "Your message was delivered to:\n\n  ann@example.com\n") == []


# -- words for people ------------------------------------------------------------------------------------------------

# (text, recipients), a row a server
TEXTS = [
    (  # qmail
        "Hi. This is the qmail-send program at mx.example.org.\nI'm afraid I wasn't able to deliver your message to the following"
        " addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<ann@example.com>:\nSorry, no"
        " mailbox"
        " here by that name. (#5.1.1)\n\n<bob@example.com>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\n"
        "--- Below this line is a copy of the message.\n\nReturn-Path: <x@example.net>\nFrom: carl@example.net\n",
        [("ann@example.com", "failed", "5.1.1"), ("bob@example.com", "failed", "5.0.0")],
    ),
    (  # Exim
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered"
        " to one"
        " or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n  ann@example.com\n   "
        " SMTP error"
        " from remote mail server after RCPT TO:<ann@example.com>:\n    host mx.example.com [192.0.2.2]: 554 5.7.1"
        " <ann@example.com>:"
        "\n    Recipient address rejected: Access denied\n\n------ This is a copy of the message, including all the headers."
        " ------\n"
        "\nTo: carl@example.net\n",
        [("ann@example.com", "failed", "5.7.1")],
    ),
    (  # Exim, a warning
        "This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered"
        " to one"
        " or more of its\nrecipients after more than 24 hours on the queue on mx.example.org.\n\nThe address to which the"
        " message has"
        " not yet been delivered is:\n\n  ann@example.com\n    Delay reason: connection refused\n\nNo action is required on"
        " your part.",
        [("ann@example.com", "delayed", None)],
    ),
    (  # Postfix, old
        "This is the Postfix program at host mx.example.org.\n\nI'm sorry to have to inform you that the message"
        " returned\nbelow could"
        " not be delivered to one or more destinations.\n\nFor further assistance, please send mail to"
        " <postmaster@example.org>\n\n"
        "<ann@example.com>: host mx.example.com[192.0.2.2] said: 550 5.1.1\n    <ann@example.com>... User unknown (in reply to"
        " RCPT)\n",
        [("ann@example.com", "failed", "5.1.1")],
    ),
    (  # Sendmail
        "The original message was received at Sun, 22 Nov 2026 07:31:00 GMT\nfrom root@localhost\n\n   ----- The following"
        " addresses had"
        " permanent fatal errors -----\n<ann@example.com>\n    (reason: 550 5.1.1 User unknown)\n\n   ----- Transcript of"
        " session follows"
        " -----\n... while talking to mx.example.com.:\n>>> RCPT To:<ann@example.com>\n<<< 550 5.1.1 User unknown\n",
        [("ann@example.com", "failed", "5.1.1")],
    ),
    (  # Exchange 5.5
        "Your message\n\n  To:      team@example.net\n  Subject: Printer\n  Sent:    Sun, 22 Nov 2026 07:31:00 -0700\n\ndid"
        " not reach the"
        " following recipient(s):\n\nann@example.com on Sun, 22 Nov 2026 07:32:00 -0700\n    The recipient name is not"
        " recognized\n",
        [("ann@example.com", "failed", None)],
    ),
    (  # Exchange 2003
        "Your message\n\n  To:      Ann\n  Subject: Printer\n  Sent:    22.11.2026 07:31\n\ndid not reach the following"
        " recipient(s):\n\n"
        "ann@example.com on 22.11.2026 07:31\n    There was a SMTP communication problem with the recipient's email server.\n"
        "    <mx.example.org #5.5.0 smtp;550 no such user>\n",
        [("ann@example.com", "failed", "5.5.0")],
    ),
    (  # Domino
        "Your message\n\n  Subject: Printer\n\nwas not delivered to:\n\n  ann@example.com\n\nbecause:\n\n  User ann"
        " (ann@example.com) not"
        " listed in Domino Directory\n",
        [("ann@example.com", "failed", None)],
    ),
    (  # Google
        "Delivery to the following recipient failed permanently:\n\n     ann@example.com\n\nTechnical details of permanent"
        " failure:\n"
        "Google tried to deliver your message, but it was rejected by the server. The error was:\n550 5.1.1 <ann@example.com>"
        " unknown\n"
        "\n   ----- Original message -----\n\nTo: carl@example.net\n",
        [("ann@example.com", "failed", "5.1.1")],
    ),
    (  # Yahoo
        "Message from mail.example.org.\nUnable to deliver message to the following address(es).\n\n<ann@example.com>:\nThis"
        " user doesn't"
        " have an account (ann@example.com) [-9]\n\n--- Original message follows.\n\nReturn-Path: <a@b.example>\n",
        [("ann@example.com", "failed", None)],
    ),
    ("User mailbox exceeds allowed size: ann@example.com\n", [("ann@example.com", "failed", None)]),
    (
        "Invalid final delivery userid: ann@example.com\n\n\nOriginal message follows.\n\nTo: b@example.net",
        [("ann@example.com", "failed", None)],
    ),
    ("Undeliverable Address: ann@example.com\nReason: over quota\n", [("ann@example.com", "failed", None)]),
    ("Sent <<< RCPT TO:<ann@example.com>\nReceived >>> 550 5.1.1 unknown user.\n", [("ann@example.com", "failed", "5.1.1")]),
    ("|----- Failed addresses follow: -----|\n ann@example.com ... unknown host\n", [("ann@example.com", "failed", None)]),
    ("The message to ann@example.com is delayed; delivery attempts will continue.", [("ann@example.com", "delayed", None)]),
    (  # Sendmail, very old: only the copy names somebody
        "   ----- Transcript of session follows -----\n421 example.com (smtp)... Deferred: Connection timed out\n\n"
        "   ----- Unsent message follows -----\nReceived: by mx.example.org; id 1\nFrom: support@desk.example\n"
        "To: ann@example.com\nSubject: Printer\n\nTo: eve@example.com\n",
        [("ann@example.com", "failed", "4.0.0")],
    ),
    ("Your mail was refused, as we take no mail from lists@desk2.example:\n\tann\n", []),
    (  # a telephone company's, in two languages
        "送信先のメールボックスが一杯のため、送信できませんでした。\n\nYour mail sent on: Sun, 22 Nov 2026 07:31:00 +0900\n"
        "     Could not be delivered to: <ann@example.com>\n     As their mailbox is full.\n",
        [("ann@example.com", "failed", None)],
    ),
    # other languages
    (
        "Diese Nachricht wurde automatisch erstellt.\n\nIhre Nachricht konnte nicht zugestellt werden an:\n\nann@example.com\n"
        "Das Postfach ist überfüllt. (552 5.2.2)\n",
        [("ann@example.com", "failed", "5.2.2")],
    ),
    ("Votre message n'a pas pu être remis à\n ann@example.com\n\nAdresse inconnue.\n", [("ann@example.com", "failed", None)]),
    (
        "El mensaje no pudo ser entregado al destinatario ann@example.com: 550 desconocido",
        [("ann@example.com", "failed", "5.0.0")],
    ),
    (
        "Сообщение не может быть доставлено получателю ann@example.com\n550 5.1.1 не существует",
        [("ann@example.com", "failed", "5.1.1")],
    ),
    ("抱歉，您的邮件被退回。\n\n收件人：ann@example.com\n退信原因：550 用户不存在\n", [("ann@example.com", "failed", "5.0.0")]),
    (
        "次のあて先へのメッセージはエラーのため送信できませんでした。\n\n<ann@example.com>: 550 Unknown user\n",
        [("ann@example.com", "failed", "5.0.0")],
    ),
    ("다음 수신자에게 배달되지 않았습니다: ann@example.com\n", [("ann@example.com", "failed", None)]),
    # nobody
    ("Something went wrong.", []),
    ("For help write to <postmaster@example.org>.\nFrom: carl@example.net\n", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "recipients"), TEXTS)
def test_words_for_people_are_read(text: str, recipients: list[tuple[str, str, str | None]]) -> None:
    """Whom the text of a server without the standard's part names as missed is found; nobody else is."""
    assert of_text(text) == recipients


@pytest.mark.parametrize(
    ("subject", "action"),
    [
        ("Delivery Status Notification (Delay)", "delayed"),
        ("Warning: could not send message for past 4 hours", "delayed"),
        ("Zustellung verzögert", "delayed"),
        ("Remise retardée", "delayed"),
        ("配信の遅延", "delayed"),
        ("Delivery Status Notification (Failure)", "failed"),
        ("Returned mail: warning ignored", "failed"),
        ("Unzustellbar: Verzögerung", "failed"),
    ],
)
def test_a_subject_tells_delay_from_failure(subject: str, action: str) -> None:
    """Where only the subject tells whether the server still tries, it is believed."""
    assert of_text("Recipient: ann@example.com\n", subject) == [("ann@example.com", action, None)]


def test_a_header_names_the_failed() -> None:
    """X-Failed-Recipients goes before the text, which gives the reasons."""
    text = "The following address(es) failed:\n\n  ann@example.com\n    550 5.1.1 no such user\n\n  Also mentioned:"
    " eve@example.net\n"
    bounce = bounce_of((*HEADERS, ("x-failed-recipients", "ann@example.com, bob@example.com")), None, None, text)
    assert bounce is not None
    assert [(one.address, one.status) for one in bounce.recipients] == [
        ("ann@example.com", "5.1.1"),
        ("bob@example.com", "5.1.1"),
    ]


def test_the_only_recipient_of_the_returned_mail_is_the_one() -> None:
    """Where a report names nobody, the one to whom the returned mail was addressed did not get it; of several, nobody knows."""
    bounce = bounce_of(HEADERS, None, RETURNED, "The mail could not be delivered: 552 5.2.2 mailbox full\n")
    reason = "The mail could not be delivered: 552 5.2.2 mailbox full"
    assert bounce == Bounce("our-1@desk.example", (Undelivered("ann@example.com", "failed", "5.2.2", reason),))
    several = RETURNED.replace(b"ann@example.com", b"ann@example.com, bob@example.com")
    assert bounce_of(HEADERS, None, several, "The mail could not be delivered.") == Bounce("our-1@desk.example")


# -- which mail ------------------------------------------------------------------------------------------------------

REFERENCES = (*HEADERS, ("references", "<first@desk.example> <last@desk.example>"))
REPLY = (*REFERENCES, ("in-reply-to", "<reply@desk.example>"))


@pytest.mark.parametrize(
    ("headers", "status", "returned", "text", "message_id"),
    [
        (REPLY, None, RETURNED, "", "our-1@desk.example"),
        (REPLY, None, b"\r\n\r\nSubject: x\r\nMESSAGE-ID:\r\n <our-2@desk.example>\r\n\r\nMessage-ID: <no@x.example>", "",
        "our-2@desk.example"),
        (REPLY, None, b"Message-ID: <our-3@desk.example>", "", "our-3@desk.example"),
        (REPLY, b"Reporting-MTA: dns; a\nX-Original-Message-ID: <our-4@desk.example>\n\n", None, "", "our-4@desk.example"),
        (REPLY, None, None, "Sorry.\n\n--- The header of the original message ---\n> Message-Id: <our-5@desk.example>\n",
        "our-5@desk.example"),
        (REPLY, None, None, "Sorry.", "reply@desk.example"),
        (REFERENCES, None, None, "Sorry.", "last@desk.example"),
        (HEADERS, None, b"Subject: no id\n\nMessage-ID: <body@x.example>\n", "Recipient: ann@example.com", None),
    ],
)  # fmt: skip
def test_the_mail_that_bounced_is_named(
    headers: tuple[tuple[str, str], ...], status: bytes | None, returned: bytes | None, text: str, message_id: str | None
) -> None:
    """Its id comes from its copy, else from the report's own words, else from what the report answers."""
    bounce = bounce_of(headers, status, returned, text)
    assert bounce is not None
    assert bounce.message_id == message_id


def test_what_reports_nothing_is_none() -> None:
    """Without a recipient, an id and a delivery-status part there is no report."""
    assert bounce_of((), None, None, "") is None
    assert bounce_of(HEADERS, b"", b"", "Hello") is None


# -- whole mails -----------------------------------------------------------------------------------------------------

WHOLE = b"""Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

Sorry.

--b
Content-Type: message/delivery-status
%(encoding)s
%(status)s
--b
Content-Type: %(type)s

Message-ID: <our-1@desk.example>
Content-Type: multipart/mixed; boundary=c

--c
Content-Type: message/delivery-status

Final-Recipient: rfc822; eve@example.com

--c--
--b--
"""
GROUP = b"Final-Recipient: rfc822; ann@example.com\nAction: failed\nStatus: 5.1.1\n"


@pytest.mark.parametrize("kind", [b"message/rfc822", b"text/rfc822-headers", b"message/partial", b"message/global"])
@pytest.mark.parametrize(
    ("encoding", "status"), [(b"", GROUP), (b"Content-Transfer-Encoding: base64\n", base64.encodebytes(GROUP))]
)
def test_the_parts_of_a_report_are_found(kind: bytes, encoding: bytes, status: bytes) -> None:
    """The status and the returned mail are parts, in any encoding; what the returned mail holds is not the report's."""
    data = WHOLE % {b"type": kind, b"encoding": encoding, b"status": status}
    root, _ = structure.split(data)
    assert bounce_in(data, root, HEADERS, "Sorry.") == Bounce(
        "our-1@desk.example", (Undelivered("ann@example.com", "failed", "5.1.1"),)
    )


def test_several_status_parts_are_one() -> None:
    """Some servers write a part for each recipient."""
    part = b"--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; %s@example.com\nAction: failed\n"
    data = b"Content-Type: multipart/report; boundary=b\n\n" + part % b"ann" + part % b"bob" + b"--b--\n"
    bounce = bounce_in(data, structure.split(data)[0], HEADERS, "")
    assert bounce is not None
    assert [one.address for one in bounce.recipients] == ["ann@example.com", "bob@example.com"]


# -- hostile reports -------------------------------------------------------------------------------------------------


def test_reasons_are_one_clean_line() -> None:
    """Controls, line ends and signs that turn the writing around do not get through; the length is bounded."""
    status = f"Final-Recipient: rfc822; a@example.com\nDiagnostic-Code: smtp; 550\x1b[31m \u202e\x00evil\x85\u2028{'x' * 5000}"
    [(_, _, _, reason)] = of_status(status)
    assert reason.startswith("550 [31m evil x")
    assert len(reason) == REASON
    assert reason.isprintable()


def test_recipients_are_bounded_and_unique() -> None:
    """Of endless recipients the first are told; nobody twice."""
    groups = "\n\n".join(f"Final-Recipient: rfc822; a{number}@example.com\nAction: failed" for number in range(5000))
    assert len(of_status(groups)) == RECIPIENTS
    assert len(of_text("\n".join(f"<a{number}@example.com>: no" for number in range(5000)))) == RECIPIENTS
    assert of_text("<a@example.com>: 550 no\n\n<A@Example.com>: 550 no\n") == [("a@example.com", "failed", "5.0.0")]


@given(st.binary(), st.binary(), st.text(), st.text())
def test_any_report_is_read(status: bytes, returned: bytes, text: str, subject: str) -> None:
    """Nothing makes the reader raise."""
    bounce_of((("subject", subject), ("from", text), ("references", text), ("x-failed-recipients", text)), status, returned, text)


PIECES = [
    *(
        "a@b.example ",
        "a" * 60 + "@",
        "@",
        "<",
        "<a@b.example>:\n",
        "- ",
        "> ",
        "550 5.1.1 ",
        "5.1.",
        "x: y\n",
        "\n",
        " ",
        "to: ",
    ),
    *("Final-Recipient: rfc822; a@b.example\n", "message-id: <", "delivery to ", "--", "will be ", "a.", "warning ", "1) "),
    *(
        "-" * 90 + "\n",
        "-- " * 30 + "\n",
        "> " * 20 + "\n",
        "delivery to for of " * 5 + "a@b.example\n",
        "mail a b c " * 9 + "\n",
    ),
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_huge_report_is_read_in_no_time(piece: str) -> None:
    """Megabytes of one sign or line, in every place at once, take less than a second."""
    text = piece * (2_000_000 // len(piece))
    headers = [("subject", text), ("to", text), ("references", text), ("in-reply-to", text), ("x-failed-recipients", text)]
    start = time.process_time()
    bounce_of(headers, text.encode(), text.encode(), text)
    assert time.process_time() - start < 1
