"""What looks wrong about a mail as it was read, matched and trimmed: a table of questions, each with its sentence.

For people who look over their own mails: in doubt a mail is not named, for a list of false alarms is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import trim_tables
from .letter import REPLY_ABOVE, Kind, Letter, Outcome
from .trim import is_forwarded

LINES = 3_000  # of a text that are looked at
CUT_WORDS = 25  # in a row that may go without a mark
SHORT = 6  # characters of a line that says nothing about where it stands
LEFT_LINES = 3  # of a quote that may be left at the end
SHOWN = 60  # characters of a mail's own words

_QUOTED = re.compile(r"\s{0,4}(?:[>＞|:]|[\w-]{1,5}>)")
_C1 = re.compile("[\x80-\x9f]")
_MOJIBAKE = re.compile(
    "[ÂÃ][\x80-¿€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œŸž]|â€[\x80-¿œ™“”˜¢¦\x9d]|(?:[ÐÑÎÏ×ØÙÄÅ][\x80-¿‚ƒ„…†‡ˆ‰Š‹Œ•˜™š›œŸž]){3}"
)
_BODY_LINE = re.compile(rb"\n(?!--)(?![!-9;-~]+:)[ \t]*\w")


class Seen(NamedTuple):
    """A mail after its way down the line, and what else is asked about it."""

    letter: Letter
    raw: bytes | None  # None: too large to be kept in hand
    pictures: bool = False  # is there nothing to read, but something to see?


Question = Callable[[Seen], str | None]


class Oddity(NamedTuple):
    """A kind of trouble: its title, and the question that finds it."""

    title: str
    asks: Question


def oddities(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield (kind, sentence) for whatever looks wrong; a mail that failed is only told as such."""
    if seen.letter.outcome is Outcome.FAILED:
        yield "failed", seen.letter.trail[-1].why if seen.letter.trail else "no reason was given"
        return
    for kind, oddity in ODDITIES.items():
        sentence = oddity.asks(seen)
        if sentence:
            yield kind, sentence


# -- reading ---------------------------------------------------------------------------------------------------------


def _undecoded(seen: Seen) -> str | None:
    """Look for characters that stand for bytes nobody could read."""
    mail = seen.letter.mail
    for where, text in (
        ("subject", mail.subject),
        ("sender's name", mail.author.name if mail.author else ""),
        ("text", mail.text),
    ):
        lost = text.count("\ufffd")
        if lost:
            return f"{_count(lost, 'character')} of the {where} could not be decoded: {_around(text, text.index(chr(0xFFFD)))}"
        found = _C1.search(text)
        if found:
            return f"the {where} holds control characters, as of a wrong charset: {_around(text, found.start())}"
    return None


def _mojibake(seen: Seen) -> str | None:
    """Look for what another charset looks like when it is read as Windows-1252."""
    mail = seen.letter.mail
    for where, text in (("subject", mail.subject), ("text", mail.text)):
        found = None if text.isascii() else _MOJIBAKE.search(text)
        if found:
            return f"the {where} looks as if it was read by a wrong charset: {_around(text, found.start())}"
    return None


def _unknown_charset(seen: Seen) -> str | None:
    """Tell of a charset that nobody knows where it matters."""
    if seen.letter.mail.text.isascii():
        return None
    return next((defect for defect in seen.letter.mail.defects if defect.startswith("unknown charset")), None)


def _other_defects(seen: Seen) -> str | None:
    """Tell the reader's other defects; a mail that uses an id again has a row of its own."""
    told = ("unknown charset", "no usable From", "the Date is not", "another mail with other content")
    return "; ".join(defect for defect in seen.letter.mail.defects if not defect.startswith(told)) or None


def _empty(seen: Seen) -> str | None:
    """Find mails without a word though there is something to read; a picture or a file may be all that somebody sends."""
    mail = seen.letter.mail
    if mail.text.strip() or mail.attachments or seen.pictures:
        return None
    if mail.has_html:
        return "there is an HTML part, but no word was found in it"
    return "there is no text, though the mail has a body" if _has_body(seen.raw or b"") else None


def _has_body(raw: bytes) -> bool:
    """Say whether a word stands below the headers that is no boundary and no header of a part."""
    end = re.search(rb"\n\r?\n", raw)
    return bool(end and _BODY_LINE.search(raw, end.end() - 1))


# -- headers ---------------------------------------------------------------------------------------------------------


def _no_sender(seen: Seen) -> str | None:
    author = seen.letter.mail.author
    if author is None:
        return "there is no From"
    return None if author.address else f"no address in From: {_short(author.name)}"


def _no_date(seen: Seen) -> str | None:
    if seen.letter.mail.date:
        return None
    written = seen.letter.mail.header("date")
    return f"the Date cannot be read: {_short(written)}" if written else "there is no Date"


def _no_id(seen: Seen) -> str | None:
    if seen.letter.mail.message_id:
        return None
    written = seen.letter.mail.header("message-id")
    return f"the Message-ID cannot be used: {_short(written)}" if written else "there is no Message-ID: replies cannot name it"


def _id_again(seen: Seen) -> str | None:
    return f"another mail came as {seen.letter.mail.message_id}" if "reused-id" in seen.letter.marks else None


# -- trimming --------------------------------------------------------------------------------------------------------


def _cut(seen: Seen) -> str | None:
    """Find words that the trimmed view lost though nothing said that they are quoted, or all of them."""
    mail = seen.letter.mail
    if not mail.text.strip() or is_forwarded(mail.subject) or mail.kind is Kind.BOUNCE:
        return None
    for block in _lost_blocks(mail.text, mail.reply_text):
        words = sum(len(line.split()) for line in block)
        if words > CUT_WORDS and not any(map(_says_quote, block)):
            return f"{words} words went though nothing says that they are quoted: {_short(' '.join(block))}"
    if not mail.reply_text.strip() and not any(map(_says_quote, mail.text.split("\n")[:LINES])):
        return f"nothing of the text is left: {_short(mail.text)}"
    return None


def _lost_blocks(text: str, reply: str) -> Iterator[list[str]]:
    """Yield stretches of lines that the reply does not have; compared without blanks, as HTML may be wrapped otherwise."""
    kept, block = _bare(reply[: len(text) + 1000]), list[str]()
    for line in text.split("\n")[:LINES]:
        bare = _bare(line)
        if bare not in kept or _says_quote(line):
            block.append(line.strip())
        elif len(bare) > SHORT:  # a shorter one may stand anywhere
            yield block
            block = []
    yield block


def _says_quote(line: str) -> bool:
    """Say whether a line is quoted, or stands above a quote, a signature or a list's footer."""
    bare = line.strip()
    head = bare[:600].lstrip("-_=*~> ")
    return bool(
        _QUOTED.match(line)
        or bare in ("--", "—")
        or trim_tables.RULE.fullmatch(bare)
        or trim_tables.ORIGINAL.match(head)
        or trim_tables.FORWARDED.search(bare[:600])
        or trim_tables.HEADER.match(bare[:600])
        or trim_tables.WROTE.search(head)
        or trim_tables.SENT_FROM.fullmatch(bare[:600])
        or REPLY_ABOVE.lower() in bare.lower()
    )


def _left(seen: Seen) -> str | None:
    """Find quotes that the trimmed view still ends with; those between answers are meant to stay."""
    mail = seen.letter.mail
    lines = [line for line in mail.reply_text.split("\n")[-LINES:] if line.strip()]
    quoted = next((at for at, line in enumerate(reversed(lines)) if not line.lstrip().startswith(">")), len(lines))
    if quoted >= LEFT_LINES and quoted < len(lines):
        return f"it still ends with {quoted} quoted lines: {_short(lines[-quoted])}"
    if is_forwarded(mail.subject) or not _answers(seen.letter):
        return None
    heading = next((line for line in lines if not _QUOTED.match(line) and _is_heading(line.strip())), None)
    return f"what heads a quote is left: {_short(heading)}" if heading else None


def _is_heading(line: str) -> bool:
    dashed = line[:2] in ("--", "__", "==", "**")
    original = dashed and trim_tables.ORIGINAL.match(line[:200].lstrip("-_=* "))
    opens = len(line) < 200 and line.endswith((":", "："))
    wrote = opens and trim_tables.OPENER.match(line) and trim_tables.DATE.search(line) and trim_tables.WROTE.search(line)
    return bool(original or wrote)


# -- matching --------------------------------------------------------------------------------------------------------


def _answers(letter: Letter) -> bool:
    return bool(letter.named_ids) or is_forwarded(letter.mail.subject) is False


def _orphan(seen: Seen) -> str | None:
    """Find answers that opened a ticket of their own."""
    letter = seen.letter
    if letter.outcome is not Outcome.OPENED or letter.mail.kind is Kind.LIST or not _answers(letter):
        return None
    stranger = next((step.why for step in letter.trail if "no participant" in step.why), None)
    if stranger:
        return stranger
    if letter.named_ids:
        return f"it answers {letter.named_ids[0]}, which is not here"
    return f"it answers by its subject only: {_short(letter.mail.subject)}"


ODDITIES: dict[str, Oddity] = {
    "undecoded": Oddity("Characters that could not be decoded", _undecoded),
    "mojibake": Oddity("Text that looks wrongly decoded", _mojibake),
    "charset": Oddity("Unknown charset", _unknown_charset),
    "empty": Oddity("Nothing to read", _empty),
    "cut": Oddity("Replies that may have lost words", _cut),
    "left": Oddity("Replies with a quote left over", _left),
    "no-sender": Oddity("No sender", _no_sender),
    "no-date": Oddity("No date", _no_date),
    "no-id": Oddity("No Message-ID", _no_id),
    "id-again": Oddity("Message-ID used twice", _id_again),
    "orphan": Oddity("Answers to no mail here", _orphan),
    "defect": Oddity("Other defects", _other_defects),
}
TITLES = {
    "failed": "Mails that failed",
    "unreadable": "Files that cannot be read",
    **{kind: oddity.title for kind, oddity in ODDITIES.items()},
}


# -- words -----------------------------------------------------------------------------------------------------------


def _bare(text: str) -> str:
    return "".join(text.split())


def _short(text: str) -> str:
    text = " ".join(text[: 4 * SHOWN].split())
    return f"“{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'}”"


def _around(text: str, at: int) -> str:
    return _short(text[max(0, at - SHOWN // 3) : at + SHOWN])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
