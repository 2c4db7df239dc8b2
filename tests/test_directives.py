"""The first lines of an agent's answer: what they order, what is text, and what nobody may guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.directives import Directives, read
from pipeline.errors import UsageError

READ = [
    ("Try again.", Directives(text="Try again.")),
    ("", Directives()),
    ("#note", Directives(note=True)),
    ("#note\nHe is angry.", Directives(note=True, text="He is angry.")),
    ("#note he is angry\nCall him.", Directives(note=True, text="he is angry\nCall him.")),
    ("#NOTE: careful", Directives(note=True, text="careful")),
    ("\n\n#close\n\nDone.", Directives(close=True, text="Done.")),
    ("#close", Directives(close=True)),
    ("#assign bob\nOver to Bob.", Directives(assign="bob", text="Over to Bob.")),
    ("#assign Bob Miller", Directives(assign="Bob Miller")),
    ("#tag urgent, -waiting +paid", Directives(tags=("urgent", "-waiting", "paid"))),
    ("#tag x\n#close\n#assign me\nBye.", Directives(close=True, assign="me", tags=("x",), text="Bye.")),
    ("#tag x\n#tag y", Directives(tags=("x", "y"))),
    ("#123 is on its way.", Directives(text="#123 is on its way.")),
    ("#1\n#close", Directives(text="#1\n#close")),
    ("# A heading", Directives(text="# A heading")),
    ("Done.\n#close", Directives(text="Done.\n#close")),
    ("  #close  ", Directives(close=True)),
    ("#close" + "\n#tag x" * 9 + "\n#tag y", Directives(close=True, tags=("x",) * 9, text="#tag y")),
]
WRONG = [
    ("#noet\nHe is angry.", "#noet is none of #note, #close, #assign, #tag."),
    ("#hashtag", "#hashtag is none of"),
    ("#close please", "#close stands alone"),
    ("#assign", "does not say to whom"),
    ("#tag", "does not say which"),
    ("#tag a <b>", "'<b>' is no tag"),
    ("#note #close\nHi.", "another directive"),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_the_first_lines_are_read(text: str, expected: Directives) -> None:
    """Lines of directives at the beginning order something; the rest is text, to the letter."""
    assert read(text) == expected


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_what_is_no_directive_is_refused(text: str, why: str) -> None:
    """A first line that looks like a directive and is none is refused, with the reason: a note must never go out by a typo."""
    with pytest.raises(UsageError, match=r".") as refused:
        read(text)
    assert why in str(refused.value)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Any text is read or refused with a sentence, and no word of it gets lost without a directive."""
    try:
        found = read(text)
    except UsageError:
        return
    if found == Directives(text=found.text):
        assert found.text == "\n".join(text.split("\n")).strip()
