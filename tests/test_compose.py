"""Mails that go out hold exactly what was said, whatever the subject, the names, the addresses and the text are."""

from __future__ import annotations

import email
import email.policy
import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compose import (
    File,
    Outgoing,
    bounded_references,
    compose,
    new_message_id,
    quoted,
    reply_subject,
    strict_address,
    writable,
)
from pipeline.errors import CannotSend
from pipeline.letter import Address, canonical
from pipeline.mime import html_of, part_bytes, read_mail
from pipeline.stages.screen import ticket_numbers
from pipeline.trim import new_text

WHEN = datetime(2026, 11, 22, 7, 31, tzinfo=UTC)
ANN = Address("Ann Smith", "ann@example.com")
DESK = Address("Support Desk", "desk@desk.example")
PLAIN = Outgoing("0123456789abcdef0123456789abcdef@desk.example", DESK, (ANN,), "Printer", "Good morning.\n", WHEN)
CONTROLS = ["\r", "\n", "\r\nBcc: evil@x.example", "\0", "\x0b", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"]


def heads(raw: bytes) -> list[str]:
    """Return the names of a mail's headers, read as plainly as can be."""
    return [line.partition(b":")[0].decode() for line in raw.partition(b"\r\n\r\n")[0].split(b"\r\n") if line[:1] not in b" \t"]


def test_a_plain_mail_to_the_letter() -> None:
    """A plain mail is these bytes."""
    assert compose(PLAIN) == (
        b'From: "Support Desk" <desk@desk.example>\r\n'
        b'To: "Ann Smith" <ann@example.com>\r\n'
        b"Subject: Printer\r\n"
        b"Date: Sun, 22 Nov 2026 07:31:00 +0000\r\n"
        b"Message-ID: <0123456789abcdef0123456789abcdef@desk.example>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n"
        b"\r\n"
        b"Good morning.\r\n"
    )


def test_everything_at_once() -> None:
    """Copies, Reply-To, threading, extra headers, HTML and files are all there when the mail is read again."""
    files = (
        File("Rechnung für Zoë.pdf", "application/pdf", b"%PDF" * 100),
        File("a.eml", "message/rfc822", b"From: x\n\nBcc: y"),
    )
    mail = replace(
        PLAIN,
        subject="Re: [TICKET-001] Grüße aus 東京 " + "und weiter " * 20,
        text="Hellö\n\n-- \nDesk\n",
        html="<p>Hellö</p>",
        cc=(Address("Müller, Bob <evil@x.example>", "bob@bücher.example"), Address("", "carol@example.com")),
        reply_to=(Address("", "desk+t1@desk.example"),),
        in_reply_to="1@example.com",
        references=("0@example.com", "1@example.com"),
        headers=(("Auto-Submitted", "auto-replied"), ("Precedence", "bulk")),
        attachments=files,
    )
    raw = compose(mail)
    read = read_mail(raw)
    assert [one.address for one in read.cc] == ["bob@xn--bcher-kva.example", "carol@example.com"]
    assert read.cc[0].name == "Müller, Bob <evil@x.example>"
    assert read.in_reply_to == ("1@example.com",) and read.references == ("0@example.com", "1@example.com")
    assert (read.header("auto-submitted"), read.header("precedence")) == ("auto-replied", "bulk")
    assert html_of(raw) == "<p>Hellö</p>" and read.text == mail.text
    assert [(one.filename, one.content_type, part_bytes(raw, one)) for one in read.attachments] == [
        (files[0].filename, "application/pdf", files[0].content),
        ("a.eml", "application/octet-stream", files[1].content),
    ]
    modern = email.message_from_bytes(raw, policy=email.policy.default)
    assert [part.get_filename() for part in modern.iter_attachments()] == [file.filename for file in files]
    assert modern["Subject"] == mail.subject.strip()
    assert max(map(len, raw.split(b"\r\n"))) <= 78


FIELDS = {
    "Subject": lambda text: {"subject": text},
    "From": lambda text: {"sender": Address(text, "desk@desk.example")},
    "To": lambda text: {"recipients": (Address(text, "ann@example.com"),)},
    "To address": lambda text: {"recipients": (Address("", f"ann{text}@example.com"),)},
    "To domain": lambda text: {"recipients": (Address("", f"ann@example.com{text}"),)},
    "Cc": lambda text: {"cc": (Address(text, "ann@example.com"),)},
    "Reply-To": lambda text: {"reply_to": (Address(text, "ann@example.com"),)},
    "Message-ID": lambda text: {"message_id": f"a{text}@desk.example"},
    "Precedence": lambda text: {"headers": (("Precedence", f"bulk{text}"),)},
    "headers": lambda text: {"headers": ((f"Precedence{text}", "bulk"),)},
    "attachments": lambda text: {"attachments": (File(f"a{text}.pdf", "application/pdf", b""),)},
    "attachments type": lambda text: {"attachments": (File("a.pdf", f"application/pdf{text}", b""),)},
}


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("field", FIELDS)
def test_a_control_character_is_refused(field: str, control: str) -> None:
    """A line break, NUL or other control in any value is refused, and the sentence names the field."""
    with pytest.raises(CannotSend) as refused:
        compose(replace(PLAIN, **FIELDS[field](f"x{control}y")))
    assert refused.value.field == field.partition(" ")[0]
    assert refused.value.exit_code == 1 and str(refused.value).isprintable()


@pytest.mark.parametrize("control", [c for c in CONTROLS if c != "\n" and "Bcc" not in c], ids=ascii)
def test_a_control_character_in_the_text(control: str) -> None:
    """In a text only LF and tab stand; `writable` makes any text such a text."""
    with pytest.raises(CannotSend, match="text"):
        compose(replace(PLAIN, text=f"x{control}y"))
    compose(replace(PLAIN, text=writable(f"x{control}y")))


@pytest.mark.parametrize(
    "text", ["From here on\n", "x\nFrom \n", ".\n", "..\n", "a \nb\t\n", "x" * 3000 + "\n", "=20\n", "東京\n"]
)
def test_what_relays_change_is_encoded(text: str) -> None:
    """No line begins with `From `, is a lone dot, ends in a blank or is long: what relays and mailboxes are known to change."""
    raw = compose(replace(PLAIN, text=text))
    lines = raw.partition(b"\r\n\r\n")[2].split(b"\r\n")
    assert all(len(line) <= 76 and not line.startswith(b"From ") and line == line.rstrip() != b"." for line in lines)
    assert read_mail(raw).text == text


def test_ids_of_customers_are_never_a_reason_not_to_answer() -> None:
    """An id that cannot be written is left out of References and In-Reply-To; a strange one that can be is kept."""
    strange = "1$2;@[local]!x"
    mail = replace(PLAIN, in_reply_to="a b@x\r\nBcc: y@z", references=("ä@x", strange, "x" * 600, "a>b@x", "\0@x"))
    raw = compose(mail)
    assert "In-Reply-To" not in heads(raw) and "Bcc" not in heads(raw)
    assert read_mail(raw).references == (strange,)


def test_references_are_bounded() -> None:
    """Of many references the first and the last ten are kept, each once, one a line."""
    ids = [f"{number}@example.com" for number in range(1000)]
    assert bounded_references(ids) == [ids[0], *ids[-10:]]
    assert bounded_references([*ids[:5], *ids[:5]]) == ids[:5]
    raw = compose(replace(PLAIN, references=tuple("x" * 200 + one for one in ids)))
    assert len(read_mail(raw).references) == 11 and max(map(len, raw.split(b"\r\n"))) < 300


ADDRESSES = {
    "ann@example.com": "ann@example.com",
    "Ann.O'Neil+x=y@Example.COM": "Ann.O'Neil+x=y@example.com",
    "ann@bücher.example": "ann@xn--bcher-kva.example",
    "ann@xn--bcher-kva.example": "ann@xn--bcher-kva.example",
    "ann@localhost": "ann@localhost",
    "ann..b@docomo.example": '"ann..b"@docomo.example',
    '"ann.".b@x.example': None,
    '"ann."@x.example': '"ann."@x.example',
    '"ann smith"@x.example': None,
    "änn@example.com": None,
    "ann@example.com, evil@x.example": None,
    "ann@example.com>": None,
    "<ann@example.com>": None,
    "ann@evil.example@example.com": None,
    "ann@-x.example": None,
    "ann@exa_mple.com": None,
    "ann@example..com": None,
    "ann@example.com.": None,
    "ann@ｅxample.com": None,
    "ann@[192.0.2.1]": None,
    "ann@e\u0301x.example": None,
    "ann@ex\u200bample.com": None,
    "ann": None,
    "": None,
    "a" * 65 + "@example.com": None,
    "a@" + "x" * 64 + ".com": None,
    "a@" + "x." * 126 + "com": None,
    "Bcc:x@example.com": None,
}


@pytest.mark.parametrize(("given_address", "written"), ADDRESSES.items(), ids=ascii)
def test_addresses_are_checked_strictly(given_address: str, written: str | None) -> None:
    """An address is written in ASCII, or refused with a sentence that names the field."""
    if written is not None:
        assert strict_address("To", given_address) == written
        assert read_mail(compose(replace(PLAIN, recipients=(Address("", given_address),)))).to[0].address == written
        return
    with pytest.raises(CannotSend, match="To: "):
        strict_address("To", given_address)


REFUSED: dict[str, dict[str, Any]] = {
    "nobody": {"recipients": ()},
    "too many": {"recipients": (ANN,) * 101},
    "Bcc": {"headers": (("Bcc", "evil@x.example"),)},
    "twice": {"headers": (("Precedence", "bulk"), ("Precedence", "bulk"))},
    "no zone": {"date": datetime(2026, 11, 22)},
    "a long subject": {"subject": "x" * 999},
    "a path": {"attachments": (File("../x", "text/plain", b""),)},
    "no name": {"attachments": (File(" ", "text/plain", b""),)},
    "60 MB": {"attachments": (File("x.bin", "application/octet-stream", bytes(60 << 20)),)},
    "no address": {"recipients": (Address("Ann", None),)},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent(changes: dict[str, Any]) -> None:
    """Nobody to send to, a header that is not ours, a path as a file name, too much of anything: a sentence, no mail."""
    with pytest.raises(CannotSend) as refused:
        compose(replace(PLAIN, **changes))
    assert refused.value.sentence.startswith("The mail cannot be sent as it is: ")


def test_a_message_id_is_never_the_same() -> None:
    """An id has 128 random bits and the domain's A-labels."""
    ids = {new_message_id("bücher.example") for _ in range(100)}
    assert len(ids) == 100 and all(re.fullmatch(r"[0-9a-f]{32}@xn--bcher-kva\.example", one) for one in ids)
    with pytest.raises(CannotSend):
        new_message_id("x>\r\n")


# -- hypothesis: whatever is said ------------------------------------------------------------------------------------

ANY = st.text(max_size=200) | st.text(alphabet="\r\n\t =?utf8bq_,;:<>@()[]\"\\.'Bcx\0", max_size=200)
SAID = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=300) | st.text(
    alphabet=" =?utf-8bq_,;:<>@()[]\"\\.'éx", max_size=300
)
LOCAL = st.text(alphabet="abcXYZ019.!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=64).filter(
    lambda local: "=?" not in local and not local.startswith("'")  # such are no mailboxes but slips, and refused
)
DOMAIN = st.from_regex(r"\A[a-z0-9]{1,9}(\.[a-z0-9éü東][a-z0-9]{0,9}){0,3}\Z")
ADDRESS = st.builds("{}@{}".format, LOCAL, DOMAIN)
PEOPLE = st.lists(st.builds(Address, SAID, ADDRESS), min_size=1, max_size=4).map(tuple)
WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=500) | st.text(
    alphabet="begin 64\n\t=-_.>Fromé ", max_size=500
)


def compared(people: Any) -> list[str]:
    return [canonical(one.address or "").replace('"', "") for one in people]


def holds(mail: Outgoing, raw: bytes) -> None:
    """Assert that a mail has our headers, each once, our recipients, subject and text, by three ways of reading."""
    names = ["From", "To", "Cc"] if mail.cc else ["From", "To"]
    names += ["Reply-To"] if mail.reply_to else []
    assert heads(raw)[: len(names) + 4] == [*names, "Subject", "Date", "Message-ID", "MIME-Version"]
    assert len(heads(raw)) <= len(names) + 6 and raw.isascii()
    read = read_mail(raw)
    for people, meant in ((read.authors, (mail.sender,)), (read.to, mail.recipients), (read.cc, mail.cc)):
        assert compared(people) == compared(meant)
    assert read.subject == (" ".join(mail.subject.split()) or "(no subject)")
    assert read.text.strip() == mail.text.strip()
    modern = email.message_from_bytes(raw, policy=email.policy.default)
    for name, meant in (("To", mail.recipients), ("Cc", mail.cc)):
        found = modern[name].addresses if name in modern else ()
        assert [canonical(one.addr_spec).replace('"', "") for one in found] == compared(meant)
    assert "Bcc" not in modern


@settings(max_examples=300, deadline=None)
@given(subject=SAID, sender=st.builds(Address, SAID, ADDRESS), people=PEOPLE, cc=PEOPLE | st.just(()), text=WORDS)
def test_whatever_is_said_is_read_again(
    subject: str, sender: Address, people: tuple[Address, ...], cc: tuple[Address, ...], text: str
) -> None:
    """Any subject, names, addresses and text that can be sent at all are read back as they were, with our headers alone."""
    mail = replace(PLAIN, subject=subject, sender=sender, recipients=people, cc=cc, reply_to=people, text=writable(text))
    holds(mail, compose(mail))


@settings(max_examples=300, deadline=None)
@given(ANY, ANY, ANY, ANY, ANY, ANY)
def test_hostile_values_or_a_sentence(subject: str, name: str, address: str, text: str, reference: str, file: str) -> None:
    """Arbitrary values everywhere give exactly our mail, or CannotSend; never another error, never another header."""
    mail = replace(
        PLAIN,
        subject=subject,
        recipients=(Address(name, address if "@" in address else "ann@example.com"), ANN),
        text=text,
        references=(reference,),
        in_reply_to=reference,
        attachments=(File(file, "application/pdf", b"x"),) if file else (),
    )
    try:
        raw = compose(mail)
    except CannotSend:
        return
    assert set(heads(raw)) <= {
        *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    }
    assert len(heads(raw)) == len(set(heads(raw)))
    assert compared(read_mail(raw).to) == compared(mail.recipients)


# -- subjects and quotes ---------------------------------------------------------------------------------------------

SUBJECTS = {
    "Printer": "Printer",
    "Re: Printer": "Printer",
    "RE: AW: Fwd: [TICKET-001] Re[2]: Printer": "Printer",
    "[TICKET-001] Printer [ticket-1]": "Printer",
    "AW: [TICKET-001] WG: [TICKET-002] SV: Printer": "Printer",
    "回复：转发: Printer": "Printer",
    "Vá: Odp: Ynt: RES: Rif: Antw: Printer": "Printer",
    "Отв: Re(3): ΑΠ: Printer": "Printer",
    "Réf : TR : Printer": "Printer",
    "[TICKET-[TICKET-1]1] Printer": "Printer",
    "[OTHER-5] Printer": "[OTHER-5] Printer",
    "Regarding: the printer": "Regarding: the printer",
    "Research: printers": "Research: printers",
    "": "",
    "Re:": "",
    "a\r\nBcc: b\0c": "a Bcc: bc",
}


@pytest.mark.parametrize(("subject", "rest"), SUBJECTS.items(), ids=ascii)
def test_the_subject_of_an_answer(subject: str, rest: str) -> None:
    """An answer's subject has one `Re:` and one tag, whatever it bore, and is the same when answered again."""
    answer = reply_subject(subject, "TICKET-001")
    assert answer == f"Re: [TICKET-001] {rest}".rstrip()
    assert reply_subject(f"AW: {answer}", "TICKET-001") == answer


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400) | st.text(alphabet="[]TICKET-01 Re:AW", max_size=400))
def test_any_subject_of_an_answer(subject: str) -> None:
    """Any subject gives one that can be sent, bounded, with our tag once, that our own matching reads as this ticket."""
    answer = reply_subject(subject, "TICKET-001")
    assert len(answer) < 180 and len(re.findall(r"(?i)\[ticket-\d+\]", answer)) == 1
    assert answer.startswith("Re: [TICKET-001]") and not answer.startswith("Re: [TICKET-001] Re:")
    assert 1 in ticket_numbers(read_mail(compose(replace(PLAIN, subject=answer))).subject, "TICKET")


def test_a_quote_is_cut_again() -> None:
    """What is quoted stands below who wrote it and when, and our own reader takes it off again."""
    text = "It does not print.\n\n> What does it say?\nNothing.\x0b\x1b"
    below = quoted(text, Address("Ann", "ann@example.com"), WHEN)
    assert below.split("\n") == [
        "On Sun, 22 Nov 2026 at 07:31 UTC, Ann wrote:",
        "> It does not print.",
        ">",
        ">> What does it say?",
        "> Nothing.",
        ">",
    ] or below.endswith("> Nothing.")
    assert new_text(f"Please switch it on.\n\n{below}") == "Please switch it on."
    compose(replace(PLAIN, text=below))


def test_a_quote_is_bounded() -> None:
    """Of an endless text the first lines are quoted."""
    below = quoted("line\n" * 100_000, Address("", None), WHEN)
    assert below.count("\n") == 2001 and below.endswith("> [...]") and "somebody wrote:" in below


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_any_quote_can_be_sent(text: str, name: str) -> None:
    """Whatever a customer wrote can be quoted, and the mail holds it."""
    below = quoted(text, Address(name, "ann@example.com"), WHEN)
    compose(replace(PLAIN, text=below))
    assert all(unicodedata.category(char) != "Cc" or char in "\n\t" for char in below)
