"""The commands on tickets and people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from ..log import safe
from .common import as_json, local, print_json, print_table, reading, talkative


@click.group()
def ticket() -> None:
    """Tickets from a terminal."""


@ticket.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Closed and merged ones too.")
@click.option("--from", "sender", metavar="ADDRESS", help="Only those opened by this address, or by the person's others.")
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
def ticket_list(all_of_them: bool, sender: str | None, limit: int, as_json: bool) -> int:
    """List the open and waiting tickets, the latest touched first."""
    from ..letter import canonical
    from ..views import ticket_list as listed

    with reading() as (loaded, store):
        rows = listed(store, all_of_them, canonical(sender) if sender else None, None if as_json else limit + 1)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("NUMBER", "STATUS", "SUBJECT", "REQUESTER", "MESSAGES", "UPDATED"),
        [
            (row["number"], row["status"], row["subject"], _who(row["requester"]), row["messages"], local(row["updated"], loaded))
            for row in rows[:limit]
        ],
        "No open tickets. Drop an .eml file into maildir/new, or run `helpdesk demo`.",
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
    head = f"--- {message['id']}  {_who(message['author'])}  {clock(message['date'])}{VERIFIED[message['verified']]}"
    click.echo("\n" + click.style(safe(head, None), bold=True))
    text = message["text"] if opening else message["reply_text"] or message["text"]
    for line in text.strip().splitlines():
        click.echo("  " + safe(line, None))
    for part in message["attachments"]:
        click.echo(safe(f"  [{part['filename']}, {part['content_type']}, {part['size']} bytes]", None))
    for defect in message["defects"]:
        click.echo(safe(f"  ! {defect}", None))


@click.group()
def people() -> None:
    """Customers: every sender of a mail becomes one."""


@people.command("list")
@as_json
@talkative
def people_list(as_json: bool) -> int:
    """List everybody with addresses and the tickets that they opened."""
    from ..views import people_list as listed

    with reading() as (_, store):
        rows = listed(store)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("ID", "NAME", "ADDRESSES", "TICKETS"),
        [(row["id"], row["name"], ", ".join(row["addresses"]), ", ".join(row["tickets"])) for row in rows],
        "Nobody has written yet.",
    )
    return 0


@people.command("show")
@click.argument("who", metavar="ID|ADDRESS")
@as_json
@talkative
def people_show(who: str, as_json: bool) -> int:
    """Show one person, by id or by any of the addresses."""
    from ..letter import canonical
    from ..views import person_show

    with reading() as (_, store):
        row = person_show(store, who, canonical(who))
    if as_json:
        print_json(row)
        return 0
    click.echo(click.style(safe(row["name"] or row["addresses"][0]), bold=True))
    for address in row["addresses"]:
        click.echo(safe(f"  {address}"))
    click.echo(f"  tickets: {', '.join(row['tickets']) or 'none'}")
    return 0
