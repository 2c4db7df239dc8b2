"""screen only marks: kind, null sender, who wants no answer, ours, ticket numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.letter import Address, Kind, Letter, Mail, Place
from pipeline.settings import Settings, load
from pipeline.stages.screen import screen, ticket_numbers

# (subject, numbers) with the default prefix.
SUBJECTS = [
    ("[TICKET-123] printer", (123,)),
    ("Re: [ticket-00123] printer", (123,)),
    ("AW: WG: Fwd: [Ticket-123] printer", (123,)),
    ("RE: #123", (123,)),
    ("Ticket #123: printer", (123,)),
    ("AW:#123", (123,)),
    ("About ticket #7, please", (7,)),
    ("(#7)", (7,)),
    ("[#7] and [Ticket #8]", (7, 8)),
    ("#1 then [TICKET-2] then #3", (1, 2, 3)),
    ("#5 #5", (5,)),
    ("Is #12 done?", (12,)),
    ("It is #12.", (12,)),
]

NEAR_MISSES = [
    "Problem with ticket 123",
    "#123abc",
    "[OTHER-123]",
    "[list #123] news",
    "[list #123 without an end",
    "ticket #55606OTC1",
    "C#123",
    "version #1.5",
    "#12/34",
    "&#123;",
    "TICKET-123",
    "[TICKET-]",
    "[XTICKET-1]",
    "[TICKET-1x]",
    "#0",
    "#1234567890123",
    "##12",
    "#12-3",
]


@pytest.mark.parametrize(("subject", "numbers"), SUBJECTS)
def test_a_subject_names_its_tickets(subject: str, numbers: tuple[int, ...]) -> None:
    """The recognised forms are read whatever stands before them, in any letter case, with leading zeros."""
    assert ticket_numbers(subject, "TICKET") == numbers


@pytest.mark.parametrize("subject", NEAR_MISSES)
def test_a_near_miss_names_none(subject: str) -> None:
    """What only looks like a ticket number is none."""
    assert ticket_numbers(subject, "TICKET") == ()


def test_the_prefix_is_a_setting() -> None:
    """Another prefix makes the default one foreign."""
    assert ticket_numbers("[HELP_2-4] [TICKET-9]", "HELP_2") == (4,)


def a_read_mail(headers: dict[str, str], subject: str = "Hello", sender: str = "ann@example.com") -> Mail:
    named = tuple((name.lower(), value) for name, value in headers.items())
    return Mail(subject=subject, authors=(Address("", sender),), headers=named)


def settings_of(tmp_path: Path, **keys: str) -> Settings:
    return load(keys, tmp_path)


@pytest.mark.parametrize("sender", ["support@desk.example", "SUPPORT@Desk.Example", "help@desk.example"])
def test_mail_from_our_addresses_is_marked(tmp_path: Path, sender: str) -> None:
    """Each of our addresses counts, in any letter case."""
    settings = settings_of(tmp_path, EMAIL_HOST_USER="support@desk.example", SUPPORT_ADDRESSES="help@desk.example")
    letter = Letter("00", Place(".", "k"), mail=a_read_mail({}, sender=sender))
    assert "ours" in screen(letter, settings).marks


def test_an_empty_return_path_is_marked(tmp_path: Path) -> None:
    """Nobody must be answered where the envelope sender is empty."""
    letter = Letter("00", Place(".", "k"), mail=a_read_mail({"Return-Path": " <> "}))
    assert screen(letter, settings_of(tmp_path)).marks == {"null-sender"}


def test_who_wants_no_answer_is_marked(tmp_path: Path) -> None:
    """A wish for silence is a mark; it does not make a person's mail an automatic one."""
    letter = screen(Letter("00", Place(".", "k"), mail=a_read_mail({"X-Auto-Response-Suppress": "OOF"})), settings_of(tmp_path))
    assert letter.marks == {"no-answer"}
    assert letter.mail.kind is Kind.MESSAGE


def test_a_kind_is_told_with_its_reason(tmp_path: Path) -> None:
    """The trail names the header that made a mail more than a message."""
    letter = screen(Letter("00", Place(".", "k"), mail=a_read_mail({"List-Id": "<x>"})), settings_of(tmp_path))
    assert [str(step) for step in letter.trail] == ["screen: list by its list-id"]
