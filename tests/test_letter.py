"""The letter and what it carries."""

from __future__ import annotations

import dataclasses

import pytest

from pipeline.letter import Address, Letter, Mail, Outcome, Place, Step, canonical

PLACE = Place(".", "key")


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("ÄNN@example.com", "Änn@example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ａnn@example.com", "ａnn@example.com"),
        ("nobody", "nobody"),
        ("a@b@c.example", "a@b@c.example"),
    ],
)
def test_addresses_compare_by_ascii_case_and_a_label(written: str, compared: str) -> None:
    """A to Z fold, the domain becomes A-labels, and look-alikes (full-width, accents) stay apart."""
    assert canonical(written) == compared


def test_a_change_is_a_copy_with_its_reason() -> None:
    """The letter itself never changes; each copy carries one more step."""
    letter = Letter("00", PLACE)
    changed = letter.because("match: In-Reply-To a@b is on TICKET-001", ticket=1)
    assert (letter.ticket, letter.trail) == (None, ())
    assert (changed.ticket, changed.trail) == (1, (Step("match", "In-Reply-To a@b is on TICKET-001"),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        letter.ticket = 2  # type: ignore[misc]


def test_settle_ends_a_letter() -> None:
    """A settled letter has an outcome and says why."""
    letter = Letter("00", PLACE).settle(Outcome.IGNORED, "match: a bounce")
    assert (letter.outcome, str(letter.trail[-1])) == (Outcome.IGNORED, "match: a bounce")


def test_steps_survive_being_written() -> None:
    """A step is read as it was written, also with colons in its sentence."""
    for text in ("match: a: b: c", "no stage at all"):
        assert str(Step.of(text)).endswith(text)


def test_named_ids_put_the_likeliest_parent_first() -> None:
    """In-Reply-To counts before References, and those from the last to the first; none twice."""
    mail = Mail(in_reply_to=("b",), references=("a", "b", "c"))
    assert Letter("00", PLACE, mail=mail).named_ids == ("b", "c", "a")


def test_the_author_is_the_first_with_an_address() -> None:
    """Of several From addresses the first usable one is the author; none is None."""
    nobody, ann = Address("Nobody"), Address("Ann", "ann@example.com")
    assert Mail(authors=(nobody, ann)).author == ann
    assert Mail(authors=(nobody,)).author == nobody
    assert Mail().author is None


def test_headers_compare_in_any_case() -> None:
    """A header is found however it is asked for, the topmost first."""
    mail = Mail(headers=(("x-spam", "1"), ("x-spam", "2")))
    assert mail.header("X-SPAM") == "1"
    assert mail.all_headers("X-Spam") == ["1", "2"]
