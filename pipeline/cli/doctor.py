"""The command that looks whether all is well: doctor."""

from __future__ import annotations

import logging
import time

import click

from .common import an_address, as_json, print_json, talkative

STYLES = {"ok": {"fg": "green"}, "warn": {"fg": "yellow"}, "FAIL": {"fg": "red", "bold": True}}
WIDTH = 16  # of a check's name


@click.command()
@click.option("--send-test", "send_to", metavar="ADDR", help="Also send a real mail there, and say what the server said.")
@as_json
@talkative
def doctor(send_to: str | None, as_json: bool) -> int:
    """Look whether all is well: settings, Maildir, database, IMAP and SMTP with log-in, disk, inotify and more.

    A line a check: ok, warn or FAIL, and what to do. It changes nothing, and takes less than five seconds.
    Exit 0: no check failed; 1: one did.
    """
    began = time.monotonic()
    from ..doctor import document, examine, summary

    logging.getLogger("pipeline").addHandler(logging.NullHandler())  # what is found is told below, not as log lines
    found = examine(an_address(send_to) if send_to is not None else None, began)
    told = document(found)
    if as_json:
        print_json(told)
        return int(not told["healthy"])
    quiet = click.get_current_context().obj["quiet"]
    for one in found:
        if quiet and one.state != "FAIL":
            continue
        fix = f" -> {one.fix}" if one.fix else ""
        state = click.style(f"{one.state:4}", **STYLES[one.state])  # type: ignore[arg-type]
        click.echo(f"{state}  {one.name:{WIDTH}}  {one.detail}{fix}")
    click.echo(summary(found))
    return int(not told["healthy"])
