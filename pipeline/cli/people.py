"""The commands on people: customers, and the agents who answer them."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..log import safe
from .common import an_address, as_json, local, print_json, print_table, reading, settings, talkative
from .handle import as_agent, working

if TYPE_CHECKING:
    from ..desk import Desk, Row

LONGEST_NAME = 200  # characters
LONGEST_KIND = 60  # characters of a wrong word
WEEK = 7 * 24 * 60  # minutes
LONGEST_LINE = 8_192  # bytes of a password on standard input


# -- customers -------------------------------------------------------------------------------------------------------


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
    with reading() as (_, store):
        row = _person(store, who)
    if as_json:
        print_json(row)
        return 0
    click.echo(click.style(safe(row["name"] or row["addresses"][0]), bold=True))
    for address in row["addresses"]:
        click.echo(safe(f"  {address}"))
    click.echo(f"  tickets: {', '.join(row['tickets']) or 'none'}")
    return 0


def _person(store: Any, who: str) -> dict[str, Any]:
    from ..letter import canonical
    from ..views import person_show

    return person_show(store, who, canonical(who))


@people.command("merge")
@click.argument("stays", metavar="ID|ADDRESS")
@click.argument("goes", metavar="ID|ADDRESS")
@as_agent
@talkative
def people_merge(stays: str, goes: str, agent: str | None) -> int:
    """Make two people one: the first stays, and gets the addresses of the second.

    From any of them one may then reply on a ticket that another opened.
    """
    with working(agent) as hand:
        desk = hand.desk
        first, second = _person(desk.store, stays), _person(desk.store, goes)
        desk.merge_people(first["id"], second["id"])
        one, other = first["addresses"][0], second["addresses"][0]
        for number in desk.open_tickets_of([*first["addresses"], *second["addresses"]]):
            desk.event(number, f"{other} is the same person as {one}", "people merged", who=hand.who)
        hand.say(f"{', '.join([*first['addresses'], *second['addresses']])} are one person now, number {first['id']}.")
    return 0


# -- agents ----------------------------------------------------------------------------------------------------------


an_agent = click.argument("address")
from_stdin = click.option("--password-stdin", is_flag=True, help="The password is the first line of standard input.")


@click.group()
def agent() -> None:
    """Agents: who may answer, and log in to the page."""


@agent.command("add")
@an_agent
@click.option("--name", metavar="N", default="", help="The name that customers see.")
@click.option("--password", "ask", is_flag=True, help="Ask for a password for the page, twice, on the terminal.")
@from_stdin
@talkative
def agent_add(address: str, name: str, ask: bool, password_stdin: bool) -> int:
    """Let somebody answer; one who is an agent already gets the new name or password, and may answer again."""
    settings(log_file=False)
    name, address = _name(name), an_address(address)
    hashed = _hashed(password_stdin) if ask or password_stdin else None
    with working(None) as hand:
        row = hand.desk.add_agent(address, name)
        if hashed:
            hand.desk.set_password(row, hashed)
        hand.say(f"{row['address']} may answer{' and log in' if hashed or row['password'] else ''}.")
    return 0


def _name(text: str) -> str:
    name = " ".join(text.split())
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"{text!r} is no name.", f"Take up to {LONGEST_NAME} characters on one line.")
    return name


@agent.command("list")
@as_json
@talkative
def agent_list(as_json: bool) -> int:
    """List the agents, and how many open tickets are theirs."""
    from ..views import agent_list as listed

    with reading() as (loaded, store):
        rows = listed(store)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("ADDRESS", "NAME", "STATE", "PASSWORD", "TICKETS", "ADDED"),
        [
            (
                row["address"],
                row["name"],
                "disabled" if row["disabled"] else "active",
                "yes" if row["has_password"] else "no",
                row["tickets"],
                local(row["created"], loaded),
            )
            for row in rows
        ],
        "There is no agent yet; `helpdesk agent add ADDRESS` makes one.",
    )
    return 0


@agent.command("password")
@an_agent
@from_stdin
@talkative
def agent_password(address: str, password_stdin: bool) -> int:
    """Give an agent a new password for the page, asked for twice on the terminal."""
    with working(None) as hand:
        hand.desk.any_agent(an_address(address))
    hashed = _hashed(password_stdin)  # outside: nothing waits for somebody who types

    def change(desk: Desk, row: Row) -> str:
        desk.set_password(row, hashed)
        return "has a new password"

    return _change(address, change)


@agent.command("disable")
@an_agent
@talkative
def agent_disable(address: str) -> int:
    """Let somebody answer no more; what they wrote stays."""

    def change(desk: Desk, row: Row) -> str:
        desk.disable_agent(row)
        return "is disabled"

    return _change(address, change)


@agent.command("enable")
@an_agent
@talkative
def agent_enable(address: str) -> int:
    """Let somebody who was disabled answer again."""

    def change(desk: Desk, row: Row) -> str:
        desk.enable_agent(row)
        return "may answer again"

    return _change(address, change)


@agent.command("notify")
@an_agent
@click.option("--on", metavar="KIND", multiple=True, help="Tell of new, replied, assigned or failed. May be given several times.")
@click.option("--off", metavar="KIND", multiple=True, help="Do not tell of it any more. May be given several times.")
@click.option("--at-once", is_flag=True, help="A mail for each, at once.")
@click.option("--digest", "minutes", metavar="MINUTES", type=click.IntRange(1, WEEK), help="One mail for all of so many minutes.")
@talkative
def agent_notify(address: str, on: tuple[str, ...], off: tuple[str, ...], at_once: bool, minutes: int | None) -> int:
    """Show or change of what an agent is told by mail: new tickets, replies, tickets that become theirs, mails that failed."""
    from ..notices import KINDS

    wanted, unwanted = _kinds(on), _kinds(off)
    if both := wanted & unwanted:
        raise UsageError(f"{min(both)} cannot be switched on and off at once.")
    if at_once and minutes:
        raise UsageError("Say --at-once or --digest, not both.")
    with working(None) as hand:
        row = hand.desk.any_agent(an_address(address))
        kinds = [one for one in KINDS if one in (set(row["notify"].split()) | wanted) - unwanted]
        digest = 0 if at_once else minutes or row["digest_minutes"]
        if on or off or at_once or minutes:
            hand.desk.set_notify(row, kinds, digest)
    how = f"once in {digest} minutes" if digest else "at once"
    click.echo(
        f"{safe(row['address'])} is told of {', '.join(kinds)}, {how}."
        if kinds
        else f"{safe(row['address'])} is told of nothing."
    )
    return 0


def _kinds(words: tuple[str, ...]) -> set[str]:
    """Read kinds of notices.

    Raises:
        UsageError: with the kind that may be meant.
    """
    from ..notices import KINDS

    for word in words:
        if word not in KINDS:
            near = difflib.get_close_matches(word[:LONGEST_KIND].lower(), KINDS, 1)
            hint = f"Did you mean {near[0]}?" if near else f"Take {', '.join(KINDS[:-1])} or {KINDS[-1]}."
            raise UsageError(f"{word!r} is nothing that agents are told of.", hint)
    return set(words)


def _change(address: str, change: Any) -> int:
    with working(None) as hand:
        row = hand.desk.any_agent(an_address(address))
        hand.say(f"{row['address']} {change(hand.desk, row)}.")
    return 0


def _hashed(from_stdin: bool) -> str:
    """Read a password and hash it.

    Raises:
        UsageError: too short, no UTF-8, or there is no terminal to ask on.
    """
    from ..passwords import hashed

    if from_stdin:
        line = sys.stdin.buffer.readline(LONGEST_LINE).removesuffix(b"\n").removesuffix(b"\r")
        try:
            return hashed(line.decode())
        except UnicodeDecodeError:
            raise UsageError("The password on standard input is no UTF-8.") from None
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for the password.", "Pipe it in, with --password-stdin.")
    return hashed(click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))
