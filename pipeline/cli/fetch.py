"""The command that fetches: sync."""

from __future__ import annotations

import logging
import threading
from typing import Any

import click

from .common import as_json, local, print_json, print_table, reading, settings, talkative, tell
from .run import on_stop

SHOWN = 10  # rounds in the table


@click.command()
@click.option(
    "--once", is_flag=True, help="One round, then exit: 0 done, 69 no server, 75 later, 77 log-in refused, 78 settings."
)
@click.option("--status", is_flag=True, help="Say how the last rounds went, and why the last failed.")
@as_json
@talkative
def sync(once: bool, status: bool, as_json: bool) -> int:
    """Fetch mail by offlineimap, round after round; idle while IMAP is not configured.

    A server's trouble never ends it: it is told once, and tried again, after a refused log-in in 5 minutes. On the server
    only \\Seen and a star are ever written.
    """
    if status:
        return _status(as_json)
    from ..store import Store
    from ..sync.keeper import Keeper, idle_line

    loaded = settings(log_stderr=logging.WARNING if once else logging.INFO, warn=True)
    stop = threading.Event()
    on_stop(stop)
    with Store.open(loaded, migrate=True) as store:
        keeper = Keeper(store, loaded, stop)
        if not once:
            keeper.run()
            return 0
        if not loaded.imap_configured:
            tell(idle_line(loaded))
            return 0
        done = keeper.round()
    if done.reason:
        click.echo(f"helpdesk: {done.reason}.\n  {done.hint}", err=True)
    else:
        tell(f"{done.came} mails fetched from {', '.join(done.folders)}.")
    return done.code


def _status(as_json: bool) -> int:
    """Answer: did the fetch run, and if not, why?"""
    from ..sync.report import sync_status

    with reading() as (loaded, store):
        document = sync_status(store, loaded)
        if as_json:
            print_json(document)
            return int(not document["healthy"])
        click.echo(document["sentence"])
        rows = [_row(row, loaded) for row in document["rounds"][:SHOWN]]
    print_table(("ENDED", "FETCHED", "RESULT"), rows, "No round yet.")
    return int(not document["healthy"])


def _row(row: dict[str, Any], loaded: Any) -> tuple[str, int, str]:
    return local(row["ended"], loaded), row["came"], row["reason"] or "good"
