"""The operator's commands: audit, config, migrate, schedule, demo."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from ..log import safe
from .common import as_json, print_json, print_table, reading, settings, talkative, tell


@click.command()
@as_json
@talkative
def audit(as_json: bool) -> int:
    """Prove that every file in the Maildir has its row in the ledger, and the other way round.

    What still waits in new/ is not missing. Exit 0: complete; 1: gaps, listed.
    """
    from ..audit import audit as audited
    from ..maildir import boxes

    with reading() as (loaded, store):
        document = audited(store, loaded, boxes(loaded.maildir, loaded.boxes, loaded.maildir_separator))
    if as_json:
        print_json(document)
    else:
        counts = ", ".join(f"{count} {name}" for name, count in document["by_outcome"].items() if count) or "no mail yet"
        files = f"{document['files']} files, {document['waiting']} of them waiting"
        click.echo(f"{files}; {document['ledger']} mails in the ledger: {counts}.")
        for name in ("missing", "orphaned"):
            for path in document[name]:
                click.echo(safe(f"{name}: {path}", None))
        click.echo("Complete: every file has its row and every row its file." if document["complete"] else "Not complete.")
    return 0 if document["complete"] else 1


@click.command()
@as_json
@talkative
def config(as_json: bool) -> int:
    """Show every setting: its value (secrets masked), where it comes from, and what it is for."""
    loaded = settings(log_file=False, warn=True)
    rows = list(loaded.shown())
    if as_json:
        print_json([{"key": key, "value": value, "origin": origin, "help": text} for key, value, origin, text in rows])
        return 0
    print_table(("KEY", "VALUE", "FROM", "WHAT IT IS FOR"), rows, "No settings.")
    return 0


@click.command()
@talkative
def migrate() -> int:
    """Bring the database to this version; an older one is copied first (helpdesk.db.before-...)."""
    from ..store import Store

    loaded = settings(log_file=False)
    with Store.open(loaded, migrate=True) as store:
        click.echo(f"{loaded.database_path} is at {sorted(store.applied())[-1]}.")
    return 0


@click.group()
def schedule() -> None:
    """Print a ready entry for a scheduler, with absolute paths."""


@schedule.command("cron")
@click.option("--minutes", type=click.IntRange(1, 59), default=5, show_default=True, help="How often.")
@talkative
def schedule_cron(minutes: int) -> int:
    """Print a line for `crontab -e`: a pass every few minutes, silent unless something is wrong."""
    loaded = settings(log_file=False)
    click.echo(f"*/{minutes} * * * * {_cron_word(f'cd {_quoted(loaded.home)} && {_quoted(_program())} process')}")
    return 0


def _program() -> Path:
    """Find the installed command beside this Python; a wheel without scripts still has the module."""
    return Path(sys.executable).with_name("helpdesk" + (".exe" if os.name == "nt" else ""))


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _cron_word(command: str) -> str:
    """In a crontab an unescaped % ends the command (crontab(5))."""
    return command.replace("%", r"\%")


@click.command()
@click.option("--clear", is_flag=True, help="Take the demo's tickets away; refused while other mail is stored.")
@talkative
def demo(clear: bool) -> int:
    """Put the demo mails into the drop box: a new one, a reply, a second delivery, an empty file, an attachment."""
    from .. import demo as demo_mails

    if not clear:
        loaded = settings(log_file=False)
        count = demo_mails.load(loaded)
        tell(f"{count} demo mails wait in {loaded.maildir / 'new'}; a running worker takes them, `helpdesk process` now.")
        return 0
    with reading() as (loaded, store):
        count = demo_mails.clear(store, loaded)
    tell(f"{count} demo mails taken away." if count else "There is no demo mail to take away.")
    return 0
