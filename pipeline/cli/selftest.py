"""The command that tries the user's own mails: selftest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..log import safe
from .common import as_json, print_json, print_table, settings, talkative

if TYPE_CHECKING:
    from ..selftest import Report

ROWS = 10  # of a kind that are shown
NAME = 44  # characters of a file's name on a terminal, its end: the sentence beside it says more


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N mails.")
@click.option("--all", "all_of_them", is_flag=True, help=f"Every mail that looks wrong, not {ROWS} of a kind.")
@as_json
@talkative
def selftest(folder: Path, limit: int | None, all_of_them: bool, as_json: bool) -> int:
    """Try a folder of your own mails in a dry run, and say what looks wrong: charsets, cut replies, lost answers...

    It takes .eml files, Maildir folders and mbox files, in all folders below. Nothing is written, nothing is sent.
    Exit 0: nothing looks wrong; 1: something does; 65: the folder cannot be read, or holds no mail.
    """
    from ..selftest import selftest as tried
    from ..store import Store

    loaded = settings(log_file=False)
    with Store.open_readonly(loaded) as store:
        report = tried(store, loaded, folder, limit, _progress if sys.stderr.isatty() else lambda count: None)
    if sys.stderr.isatty():
        click.echo("\r\033[K", err=True, nl=False)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, None if all_of_them else ROWS)
    return int(report.suspicious)


def _progress(count: int) -> None:
    if count % 20 == 0:
        click.echo(f"\r{count} mails", err=True, nl=False)


def _print(report: Report, rows: int | None) -> None:
    from ..oddities import TITLES

    for kind, found in report.trouble.items():
        if found:
            click.echo(click.style(f"{TITLES[kind]}: {len(found)}", bold=True))
            print_table(("FILE", "WHAT"), [(_end(name), why) for name, why in found[:rows]], "")
            hidden = len(found) - len(found[:rows])
            click.echo(f"... and {hidden} more (--all)\n" if hidden else "")
    for line in _summary(report):
        click.echo(safe(line, None))


def _end(name: str) -> str:
    return name if len(name) <= NAME or not sys.stdout.isatty() else f"…{name[1 - NAME :]}"


def _summary(report: Report) -> list[str]:
    """Say in four lines what came of the mails."""
    counts = report.as_json()
    outcomes = ", ".join(f"{count} {name}" for name, count in counts["outcomes"].items() if count) or "none decided"
    kinds = ", ".join(f"{count} {name}" for name, count in counts["kinds"].items())
    wrong = len({name for found in report.trouble.values() for name, _ in found})
    return [
        f"{report.mails} mails in {report.seconds:.1f} seconds, {counts['mails_per_second'] or 0:.0f} a second: {outcomes}.",
        f"They would make {report.tickets} tickets.{f' Kinds: {kinds}.' if kinds else ''}",
        f"{wrong} of them are worth a look." if wrong else "Nothing looks wrong.",
    ]
