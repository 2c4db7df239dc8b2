"""The commands that show tickets: list, show, save; the verbs that change them are in handle.py."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CannotCreate, HelpdeskError
from ..log import safe
from . import answer
from .common import an_address, as_json, local, print_json, print_table, reading, talkative, tell
from .handle import VERBS, led_on

if TYPE_CHECKING:
    from ..readers import Pool
    from ..store import Store
    from ..views import Kept


@click.group()
def ticket() -> None:
    """Tickets from a terminal."""


for verb in (*VERBS, *answer.VERBS):
    ticket.add_command(verb)


@ticket.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Closed and merged ones too.")
@click.option("--from", "sender", metavar="ADDRESS", help="Only those opened by this address, or by the person's others.")
@click.option("--status", type=click.Choice(("open", "waiting", "closed", "merged")), help="Only those of this status.")
@click.option("--queue", metavar="Q", help="Only those of this queue.")
@click.option("--assignee", metavar="ADDRESS", help="Only those of this agent; `nobody` for those of none.")
@click.option("--tag", metavar="TAG", help="Only those that bear this tag.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="Rows on a terminal; --json has no limit.",
)
@as_json
@talkative
def ticket_list(
    all_of_them: bool, sender: str | None, assignee: str | None, limit: int, as_json: bool, **asked: str | None
) -> int:
    """List the open and waiting tickets, the latest touched first."""
    from ..letter import canonical
    from ..views import Filters
    from ..views import ticket_list as listed

    if assignee is not None:
        assignee = "" if assignee == "nobody" else canonical(an_address(assignee))
    filters = Filters(assignee=assignee, sender=canonical(sender) if sender else None, **asked)
    with reading() as (loaded, store):
        rows = listed(store, all_of_them, filters, None if as_json else limit + 1)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("NUMBER", "STATUS", "SUBJECT", "REQUESTER", "MESSAGES", "UPDATED"),
        [
            (row["number"], row["status"], row["subject"], _who(row["requester"]), row["messages"], local(row["updated"], loaded))
            for row in rows[:limit]
        ],
        "No such ticket." if any(filters) else "No open tickets. Drop an .eml file into maildir/new, or run `helpdesk demo`.",
    )
    if len(rows) > limit:
        click.echo(f"... and more; --limit {limit * 10} shows them.", err=True)
    return 0


def _who(person: dict[str, Any]) -> str:
    return " ".join(filter(None, (person["name"], f"<{person['address']}>" if person["address"] else "(unknown)")))


@ticket.command("show")
@click.argument("number", metavar="N")
@as_json
@talkative
def ticket_show(number: str, as_json: bool) -> int:
    """Show one ticket: its messages, history and links. N is 1, 001, #1 or TICKET-001."""
    from ..readers import Limits, Pool
    from ..views import ticket_number
    from ..views import ticket_show as shown

    with reading() as (loaded, store), Pool(limits=Limits.of(loaded)) as pool:
        document = shown(store, ticket_number(number), pool)
    if document["merged_into"]:
        tell(led_on(document["number"], document["merged_into"]))
    if as_json:
        print_json(document)
    else:
        _print_ticket(document, lambda when: local(when, loaded))
    return 0


def _print_ticket(document: dict[str, Any], clock: Callable[[str], str]) -> None:
    click.echo(click.style(safe(f"{document['number']}  {document['subject']}", None), bold=True))
    assignee = document["assignee"] or "not assigned"
    click.echo(safe(f"{document['status']}, {document['priority']}, queue {document['queue']}, {assignee}"))
    participants = ", ".join(document["participants"])
    click.echo(safe(f"From {_who(document['requester'])}, {clock(document['created'])}; participants: {participants}", None))
    if document["tags"]:
        click.echo(safe("Tags: " + ", ".join(document["tags"])))
    for position, message in enumerate(document["messages"]):
        _print_message(message, clock, opening=position == 0)
    if document["links"]:
        click.echo(click.style("\nLinks", bold=True))
        for link in document["links"]:
            click.echo(safe(f"  {link['number']}  {link['why']}", None))
    click.echo(click.style("\nHistory", bold=True))
    for event in document["events"]:
        click.echo(safe(f"  {clock(event['when'])}  {event['who']}: {event['what']} ({event['why']})", None))


VERIFIED = {True: "", False: "  [sender not verified]", None: ""}


def _print_message(message: dict[str, Any], clock: Callable[[str], str], opening: bool) -> None:
    kind = "" if message["kind"] == "mail" else f"  [{message['kind']}{_delivery(message['delivery'])}]"
    head = f"--- {message['id']}  {_author(message)}  {clock(message['date'])}{kind}{VERIFIED[message['verified']]}"
    click.echo("\n" + click.style(safe(head, None), bold=True))
    text = message["text"] if opening else message["reply_text"] or message["text"]
    for line in text.strip().splitlines():
        click.echo("  " + safe(line, None))
    for part in message["attachments"]:
        click.echo(safe(f"  [{part['filename']}, {part['content_type']}, {part['size']} bytes]", None))
    for defect in message["defects"]:
        click.echo(safe(f"  ! {defect}", None))


def _delivery(delivery: dict[str, Any] | None) -> str:
    """Say how an answer stands: waiting, sent, failed, cancelled, and why."""
    if delivery is None:
        return ""
    return f", {delivery['state']}{': ' if delivery['reason'] else ''}{delivery['reason'] or ''}"


def _author(message: dict[str, Any]) -> str:
    written_here = message["kind"] != "mail" and not message["author"]["address"]
    return "the desk" if written_here else _who(message["author"])


@ticket.command("save")
@click.argument("number", metavar="N")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@talkative
def ticket_save(number: str, folder: Path) -> int:
    """Write a ticket's attachments, those of answers too, into a folder, under safe names and never over another file.

    The names are printed. Exit 1: some are not what they were when they came; 73: the folder or a file cannot be made.
    """
    from ..desk import Desk
    from ..readers import Limits, Pool
    from ..views import attachments_of, ticket_number

    with reading() as (loaded, store), Pool(limits=Limits.of(loaded)) as pool:
        desk = Desk(store, loaded)
        asked = desk.must(ticket_number(number))
        row = desk.ticket(asked["id"]) or asked
        if row["id"] != asked["id"]:
            tell(led_on(asked["ticket_number"], row["ticket_number"]))
        bad = _save(store, pool, attachments_of(store, row["id"]), folder)
    return 1 if bad else 0


def _save(store: Store, pool: Pool, kept: list[Kept], path: Path) -> int:
    """Write attachments and print where they are; return how many are not what they were."""
    from ..filenames import Folder, safe_name

    if not kept:
        tell("The ticket has no attachments.")
        return 0
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder, bad = Folder(path), 0
        for _, parts in itertools.groupby(kept, key=lambda one: one.message):
            for part, content in _contents(store, pool, parts):
                bad += content is None
                if content is not None:
                    name = safe_name(part.attachment.filename or "", part.made_name)
                    click.echo(safe(str(folder.write(name, content)), None))
    except OSError as error:
        raise CannotCreate(f"{path} cannot be written to: {error.strerror}.", "Name a folder that is yours.") from error
    return bad


def _contents(store: Store, pool: Pool, parts: Iterable[Kept]) -> Iterator[tuple[Kept, bytes | None]]:
    """Yield the attachments of a mail with their bytes; None, and a sentence, for one that is not what it was."""
    from ..readers import ReaderDied
    from ..views import raw_of

    raw = b""
    for part in parts:
        try:
            raw = raw or raw_of(store, part)
            content = pool.cut(raw, part.attachment)
            why = "" if hashlib.sha256(content).hexdigest() == part.attachment.sha256 else "is not what it was when it came"
        except (ReaderDied, HelpdeskError) as error:
            why = f"cannot be read: {error}"
        if why:
            source = f"mail {part.mail}" if part.mail is not None else f"message {part.message}"
            click.echo(safe(f"helpdesk: {part.attachment.filename or part.made_name} of {source} {why}.", None), err=True)
        yield part, None if why else content
