"""The commands that send: send, and what can be done to the outbox."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

import click

from .common import as_json, local, print_json, print_table, reading, settings, talkative, tell
from .handle import as_agent, working

outbox_ids = click.argument("numbers", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


@click.command()
@click.option("--loop", is_flag=True, help="Go on until told to stop, and look for new mail every two seconds.")
@talkative
def send(loop: bool) -> int:
    """Deliver the outbox over SMTP: once, or with --loop for ever.

    Exit 0: done, nothing to do, or not configured; 1: a mail was refused for good; 69: no server; 75: some wait for another
    try; 77: log-in refused. With --loop a server's trouble never ends it: it is told once, and tried again.
    """
    from ..outbox import Sender, hindrance_to_send
    from ..store import Store
    from .run import on_stop

    loaded = settings(log_stderr=logging.INFO if loop or sys.stderr.isatty() else logging.WARNING, warn=loop)
    stop = threading.Event()
    on_stop(stop)
    with Store.open(loaded, migrate=True) as store:
        sender = Sender(store, loaded, stop)
        if loop:
            sender.run()
            return 0
        if hindrance := hindrance_to_send(loaded):
            tell(f"{hindrance}.")
            return 0
        summary = sender.once()
    if summary is None:
        tell("Another sender is at work; it delivers what waits.")
        return 0
    tell(str(summary))
    return summary.exit_code


@click.group()
def outbox() -> None:
    """Mails that go out: those that wait, and those that a server refused."""


@outbox.command("list")
@click.option("--all", "all_of_them", is_flag=True, help="Those that were sent too.")
@as_json
@talkative
def outbox_list(all_of_them: bool, as_json: bool) -> int:
    """List the mails that wait, failed or were cancelled, with the reasons."""
    from ..outbox import hindrance_to_send
    from ..outbox import outbox_list as listed

    with reading() as (loaded, store):
        rows = listed(store, all_of_them)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("ID", "TICKET", "KIND", "TO", "STATE", "TRIES", "NEXT TRY", "REASON"),
        [
            (
                *(row["id"], row["ticket"], row["kind"], ", ".join(row["recipients"]), row["state"], row["tries"]),
                *(row["next_try"] and local(row["next_try"], loaded), row["reason"]),
            )
            for row in rows
        ],
        "No mail is in the outbox." if all_of_them else "No mail waits, and none has failed.",
    )
    if hindrance := hindrance_to_send(loaded):
        tell(f"{hindrance}.")
    return 0


@outbox.command("retry")
@outbox_ids
@as_agent
@talkative
def outbox_retry(numbers: tuple[int, ...], agent: str | None) -> int:
    """Let mails that wait, failed or were cancelled be tried again now."""
    from ..outbox import retry

    return _each(numbers, agent, retry, "is tried again")


@outbox.command("cancel")
@outbox_ids
@as_agent
@talkative
def outbox_cancel(numbers: tuple[int, ...], agent: str | None) -> int:
    """Keep mails that were not sent yet from going out."""
    from ..outbox import cancel

    return _each(numbers, agent, cancel, "will not be sent")


def _each(numbers: tuple[int, ...], agent: str | None, verb: Callable[..., None], said: str) -> int:
    with working(agent) as hand:
        for number in dict.fromkeys(numbers):
            verb(hand.desk, number, hand.who)
            hand.say(f"{number}: {said}.")
    return 0
