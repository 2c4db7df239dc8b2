"""The verbs with which an agent handles tickets. Each is one transaction: all of it, or nothing and a sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..log import safe
from .common import an_address, reading, talkative, tell

if TYPE_CHECKING:
    from ..desk import Desk, Row
    from ..letter import Address

LONGEST_NOTE = 1 << 20  # characters
LONGEST_WORD = 60  # characters of a tag or a queue's name

as_agent = click.option(
    "--as", "agent", metavar="ADDRESS", help="The agent who does it. Without it: the only agent, or the desk itself."
)
one_ticket = click.argument("number", metavar="N")
some_tickets = click.argument("numbers", metavar="N...", nargs=-1, required=True)
other_ticket = click.argument("other", metavar="OTHER")


# -- what the verbs share --------------------------------------------------------------------------------------------


class Hand:
    """A desk, who works at it, and what is to be said once that is committed."""

    def __init__(self, desk: Desk, author: Address) -> None:
        from ..desk import WHO

        self.desk = desk
        self.author = author
        self.who = author.address or WHO
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def ticket(self, text: str) -> Row:
        """Return the ticket of a number; a merged one leads to where it went, and that is said.

        Raises:
            NotFound
        """
        from ..views import ticket_number

        asked = self.desk.must(ticket_number(text))
        row = self.desk.ticket(asked["id"]) or asked
        if row["id"] != asked["id"]:
            self.say(led_on(asked["ticket_number"], row["ticket_number"]))
        return row

    def very_ticket(self, text: str) -> int:
        """Return the number of a ticket that may be merged; its own verbs must not be led on.

        Raises:
            NotFound
        """
        from ..views import ticket_number

        return int(self.desk.must(ticket_number(text))["id"])

    def change(self, texts: tuple[str, ...], change: Callable[[int], list[str]]) -> None:
        """Change tickets, each once, and say what changed."""
        rows = {row["id"]: row for row in map(self.ticket, texts)}
        for number, row in rows.items():
            self.say(f"{row['ticket_number']}: {', '.join(change(number)) or 'nothing to change'}.")


def led_on(label: str, into: str) -> str:
    """Say that a number leads to another ticket."""
    return f"{label} was merged into {into}."


def in_the_name_of(desk: Desk, agent: str | None) -> str:
    """Return who is written into the history: the agent's address, or the desk itself.

    Raises:
        NotFound: no such agent, or a disabled one.
    """
    return Hand(desk, desk.acting(an_address(agent) if agent is not None else None)).who


@contextmanager
def working(agent: str | None) -> Iterator[Hand]:
    """Yield a hand at the desk, in one transaction; what it said is told when that is on disk."""
    from ..desk import at_desk

    with reading() as (loaded, store):
        with at_desk(store, loaded) as desk:
            hand = Hand(desk, desk.acting(an_address(agent) if agent is not None else None))
            yield hand
        for line in hand.said:
            tell(safe(line, None))


def a_word(text: str, what: str) -> str:
    """Return a tag or a queue's name, if it can be one.

    Raises:
        UsageError
    """
    word = text.strip()
    if not 0 < len(word) <= LONGEST_WORD or not word.isprintable() or "," in word:
        raise UsageError(f"{text!r} is no {what}.", f"Take 1 to {LONGEST_WORD} characters without a comma.")
    return word


# -- status, priority, queue, tags, assignee -------------------------------------------------------------------------


@click.command("set")
@one_ticket
@click.option("--status", type=click.Choice(("open", "waiting", "closed")), help="Open, waiting or closed.")
@click.option("--priority", type=click.Choice(("low", "normal", "high", "urgent")), help="Low, normal, high or urgent.")
@click.option("--queue", metavar="Q", help="The queue that it belongs to.")
@click.option("--tag", "tags", metavar="+x,-y", multiple=True, help="Tags to put on (+x) and to take off (-y).")
@as_agent
@talkative
def ticket_set(number: str, tags: tuple[str, ...], agent: str | None, **columns: str | None) -> int:
    """Change status, priority, queue or tags of a ticket; its history says who did it."""
    from ..desk import BY_HAND

    wanted = {name: value for name, value in columns.items() if value is not None}
    if "queue" in wanted:
        wanted["queue"] = a_word(wanted["queue"], "name of a queue")
    on, off = _tags(tags)
    if not wanted and not on and not off:
        raise click.UsageError("Say what to change: --status, --priority, --queue or --tag.")
    with working(agent) as hand:
        desk, who = hand.desk, hand.who
        hand.change(
            (number,),
            lambda one: [
                *(desk.set(one, BY_HAND, who, **wanted) if wanted else ()),
                *desk.tag(one, *on, who=who),
                *desk.untag(one, *off, who=who),
            ],
        )
    return 0


def _tags(texts: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Read `+x,-y` into tags to put on and tags to take off; a bare word is put on."""
    on: list[str] = []
    off: list[str] = []
    for word in ",".join(texts).split(",") if texts else ():
        word = word.strip()
        (off if word.startswith("-") else on).append(a_word(word[1:] if word[:1] in ("+", "-") else word, "tag"))
    if both := set(on) & set(off):
        raise UsageError(f"The tag {min(both)} cannot be put on and taken off at once.")
    return on, off


@click.command("close")
@some_tickets
@as_agent
@talkative
def ticket_close(numbers: tuple[str, ...], agent: str | None) -> int:
    """Close tickets; a reply of the requester opens one again."""
    return _set_status(numbers, agent, "closed")


@click.command("reopen")
@some_tickets
@as_agent
@talkative
def ticket_reopen(numbers: tuple[str, ...], agent: str | None) -> int:
    """Open tickets again."""
    return _set_status(numbers, agent, "open")


def _set_status(numbers: tuple[str, ...], agent: str | None, status: str) -> int:
    from ..desk import BY_HAND

    with working(agent) as hand:
        hand.change(numbers, lambda one: hand.desk.set(one, BY_HAND, hand.who, status=status))
    return 0


@click.command("assign")
@one_ticket
@click.argument("assignee", metavar="ADDRESS|nobody")
@as_agent
@talkative
def ticket_assign(number: str, assignee: str, agent: str | None) -> int:
    """Give a ticket to an agent, or to nobody."""
    from ..desk import BY_HAND

    with working(agent) as hand:
        named = None if assignee == "nobody" else hand.desk.must_answer(an_address(assignee))["address"]
        hand.change((number,), lambda one: hand.desk.set(one, BY_HAND, hand.who, assignee=named))
    return 0


# -- what is said, and who may speak ---------------------------------------------------------------------------------


@click.command("note")
@one_ticket
@click.option("--text", metavar="T", help="The note; without it, it is read from standard input.")
@as_agent
@talkative
def ticket_note(number: str, text: str | None, agent: str | None) -> int:
    """Write a note that only agents see, given by --text or on standard input."""
    if text is None:
        with working(agent) as hand:  # is there such a ticket? Then nothing waits while somebody types
            hand.ticket(number)
            hand.said.clear()
    written = text_of(text)
    with working(agent) as hand:
        row = hand.ticket(number)
        hand.desk.note(row["id"], written, hand.author)
        hand.say(f"{row['ticket_number']}: noted.")
    return 0


def text_of(text: str | None) -> str:
    """Return what an agent wrote, fit for the store.

    Raises:
        UsageError: nothing, or far too much.
    """
    from ..mime.charsets import clean

    if text is None:
        if sys.stdin.isatty():
            tell("Write the text, then end it with Ctrl-D.")
        text = sys.stdin.buffer.read(4 * LONGEST_NOTE + 1).decode("utf-8", "replace")
    text = clean(text.replace("\r\n", "\n").strip())
    if not text:
        raise UsageError("There is no text.", "Say --text T, or write it on standard input.")
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"The text is longer than {LONGEST_NOTE} characters.")
    return text


@click.command("approve")
@one_ticket
@click.argument("address")
@as_agent
@talkative
def ticket_approve(number: str, address: str, agent: str | None) -> int:
    """Let somebody speak on a ticket: replies from that address are added to it from now on."""
    with working(agent) as hand:
        row, address = hand.ticket(number), an_address(address)
        new = hand.desk.approve(row["id"], address, hand.who)
        hand.say(f"{row['ticket_number']}: {address} may speak{'' if new else ' already'}.")
    return 0


@click.command("spam")
@one_ticket
@click.option("--undo", is_flag=True, help="It is none: open it, and take its sender's mail again.")
@as_agent
@talkative
def ticket_spam(number: str, undo: bool, agent: str | None) -> int:
    """Close a ticket as spam, and hold what its sender writes from now on (`helpdesk held list`)."""
    with working(agent) as hand:
        row = hand.ticket(number)
        sender = (hand.desk.no_spam if undo else hand.desk.spam)(row["id"], hand.who)
        what, then = ("open, and no spam", "taken again") if undo else ("closed as spam", "held from now on")
        hand.say(f"{row['ticket_number']}: {what}{f'; mail from {sender} is {then}' if sender else ''}.")
    return 0


# -- tickets beside each other ---------------------------------------------------------------------------------------


@click.command("merge")
@one_ticket
@click.argument("into", metavar="INTO")
@as_agent
@talkative
def ticket_merge(number: str, into: str, agent: str | None) -> int:
    """Put the messages and people of ticket N onto ticket INTO; replies to N go there from now on."""
    with working(agent) as hand:
        ticket, target = hand.very_ticket(number), hand.very_ticket(into)
        hand.desk.merge(ticket, target, hand.who)
        hand.say(f"{hand.desk.label(ticket)}: merged into {hand.desk.label(target)}.")
    return 0


@click.command("unmerge")
@one_ticket
@as_agent
@talkative
def ticket_unmerge(number: str, agent: str | None) -> int:
    """Take a merged ticket out again, with the messages and people that it brought; it is open."""
    with working(agent) as hand:
        ticket = hand.very_ticket(number)
        was = hand.desk.unmerge(ticket, hand.who)
        hand.say(f"{hand.desk.label(ticket)}: taken out of {hand.desk.label(was)}.")
    return 0


@click.command("split")
@one_ticket
@click.argument("message", metavar="MESSAGE")
@as_agent
@talkative
def ticket_split(number: str, message: str, agent: str | None) -> int:
    """Move a mail to a new ticket of its own, with its author as requester.

    MESSAGE is its number, as `helpdesk ticket show` prints it, or its Message-ID.
    """
    with working(agent) as hand:
        row = hand.ticket(number)
        new = hand.desk.split(row["id"], message, hand.who)
        hand.say(f"{row['ticket_number']}: message {message} is now {hand.desk.label(new)}.")
    return 0


@click.command("link")
@one_ticket
@other_ticket
@as_agent
@talkative
def ticket_link(number: str, other: str, agent: str | None) -> int:
    """Put two tickets side by side: each shows the other to agents."""
    from ..desk import BY_HAND

    with working(agent) as hand:
        one, another = _two(hand, number, other)
        already = hand.desk.are_linked(one["id"], another["id"])
        hand.desk.link(one["id"], another["id"], BY_HAND, hand.who)
        hand.say(f"{one['ticket_number']}: linked to {another['ticket_number']}{' already' if already else ''}.")
    return 0


@click.command("unlink")
@one_ticket
@other_ticket
@as_agent
@talkative
def ticket_unlink(number: str, other: str, agent: str | None) -> int:
    """Take two linked tickets apart."""
    with working(agent) as hand:
        one, another = _two(hand, number, other)
        hand.desk.unlink(one["id"], another["id"], hand.who)
        hand.say(f"{one['ticket_number']}: no longer linked to {another['ticket_number']}.")
    return 0


def _two(hand: Hand, number: str, other: str) -> tuple[Any, Any]:
    one, another = hand.ticket(number), hand.ticket(other)
    if one["id"] == another["id"]:
        raise UsageError(f"{number} and {other} are the same ticket, {one['ticket_number']}.")
    return one, another


VERBS = (
    ticket_set,
    ticket_close,
    ticket_reopen,
    ticket_assign,
    ticket_note,
    ticket_approve,
    ticket_spam,
    ticket_merge,
    ticket_unmerge,
    ticket_split,
    ticket_link,
    ticket_unlink,
)
