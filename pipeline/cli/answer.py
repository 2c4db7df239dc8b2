"""The verbs that write to a customer: reply, and what can be done about an answer that was written."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CannotSend, InputError
from .common import an_address, talkative
from .handle import as_agent, one_ticket, text_of, working

if TYPE_CHECKING:
    from ..compose import File
    from ..settings import Settings

a_message = click.argument("message", metavar="MESSAGE")
LONGEST_WHY = 300  # characters of what a server said
ENCODED = 4 / 3  # what base64 makes of a file


@click.command("reply")
@one_ticket
@click.option("--text", metavar="T", help="The answer; without it and --saved, it is read from standard input.")
@click.option("--saved", metavar="NAME", help="A saved reply (`helpdesk replies list`); what --text says stands below it.")
@click.option("--cc", metavar="ADDRESS", multiple=True, help="Who else gets it. May be given several times.")
@click.option(
    "--attach",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that goes with it. May be given several times.",
)
@click.option("--quote", is_flag=True, help="Quote the customer's last mail below the answer.")
@click.option("--close", "status", flag_value="closed", help="Close the ticket; an answer of the requester opens it again.")
@click.option("--wait", "status", flag_value="waiting", default=True, help="Let it wait for the requester (this is so anyway).")
@as_agent
@talkative
def ticket_reply(
    number: str,
    text: str | None,
    saved: str | None,
    cc: tuple[str, ...],
    files: tuple[Path, ...],
    quote: bool,
    status: str,
    agent: str | None,
) -> int:
    """Answer the requester of a ticket, and those who were approved, by mail.

    The answer goes into the outbox; `helpdesk send` delivers it. Exit 1: something in it cannot stand in a mail, or there is no
    such saved reply, or it has an error.
    """
    if text is None and saved is None:
        with working(agent) as hand:  # is there such a ticket? Then nothing waits while somebody types
            hand.ticket(number)
            hand.said.clear()
    written = text_of(text) if text is not None or saved is None else ""
    copies = [an_address(one) for one in cc]
    attached = list(_files(files))
    with working(agent) as hand:
        row = hand.ticket(number)
        if saved is not None:
            written = text_of("\n\n".join(filter(None, (hand.desk.saved_reply(row, saved, hand.author), written))))
        to = hand.desk.reply(
            row["id"], written, hand.author, cc=copies, attachments=attached, quote=quote, status=status or "waiting"
        )
        hand.say(f"{row['ticket_number']}: the answer to {', '.join(to)} is in the outbox.")
        for address, why in hand.desk.unreached(to):
            hand.say(f"Mail did not reach {address} before: {why[:LONGEST_WHY]}")
        for line in _hindrance(hand.desk.settings):
            hand.say(line)
    return 0


def _hindrance(loaded: Settings) -> Iterable[str]:
    from ..outbox import hindrance_to_send

    hindrance = hindrance_to_send(loaded)
    return [f"{hindrance}."] if hindrance else []


def _files(paths: Iterable[Path]) -> Iterable[File]:
    """Read the files that go with an answer.

    Raises:
        InputError: one cannot be read.
        CannotSend: together they are too large for a mail.
    """
    from ..compose import MOST_BYTES, File

    room = MOST_BYTES / ENCODED
    for path in paths:
        try:
            if path.exists() and not path.is_file():
                raise InputError(f"{path} is no file.")
            room -= path.stat().st_size
            if room < 0:
                raise CannotSend("attachments", f"with {path.name} they are larger than the {MOST_BYTES >> 20} MB of a mail")
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error
        yield File(path.name, mimetypes.guess_type(path.name)[0] or "application/octet-stream", content)


@click.command("resend")
@one_ticket
@a_message
@as_agent
@talkative
def ticket_resend(number: str, message: str, agent: str | None) -> int:
    """Send an answer again to whom it was sent, if it did not arrive.

    MESSAGE is its number, as `helpdesk ticket show` prints it, or its Message-ID.
    """
    with working(agent) as hand:
        row = hand.ticket(number)
        to = hand.desk.resend(row["id"], message, hand.who)
        hand.say(f"{row['ticket_number']}: message {message} is in the outbox again, to {', '.join(to)}.")
        for line in _hindrance(hand.desk.settings):
            hand.say(line)
    return 0


@click.command("cancel")
@one_ticket
@a_message
@as_agent
@talkative
def ticket_cancel(number: str, message: str, agent: str | None) -> int:
    """Keep an answer from going out, while it still waits in the outbox.

    MESSAGE is its number, as `helpdesk ticket show` prints it, or its Message-ID.
    """
    with working(agent) as hand:
        row = hand.ticket(number)
        hand.desk.cancel(row["id"], message, hand.who)
        hand.say(f"{row['ticket_number']}: message {message} will not be sent.")
    return 0


VERBS = (ticket_reply, ticket_resend, ticket_cancel)
