"""The rules file, checked and tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..log import safe
from .common import as_json, print_json, print_table, reading, settings, talkative, tell

if TYPE_CHECKING:
    from ..rules import Backtest, Ruleset
    from ..settings import Settings


@click.group()
def rules() -> None:
    """Rules and queues of RULES_FILE: checked, and tried on the mail that is stored."""


@rules.command()
@as_json
@talkative
def check(as_json: bool) -> int:
    """Say what is wrong with the rules file, each with its line; exit 78 if anything is."""
    loaded = settings(log_file=False)
    ruleset = _loaded(loaded)
    if as_json:
        print_json({"file": str(loaded.rules_file), "queues": len(ruleset.queues), "rules": len(ruleset.rules)})
    elif not loaded.rules_file.exists():
        tell(f"{loaded.rules_file} is not there, so there are no rules; config/rules.toml of the program is an example.")
    else:
        click.echo(
            f"{loaded.rules_file}: {_count(len(ruleset.queues), 'queue')}, {_count(len(ruleset.rules), 'rule')}, all right."
        )
    return 0


def _loaded(loaded: Settings) -> Ruleset:
    from ..rules import load

    return load(loaded.rules_file, loaded.boxes, loaded.own_addresses)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


@rules.command()
@click.option("--last", default=1000, show_default=True, type=click.IntRange(1), help="How many mails, counted from the newest.")
@as_json
@talkative
def backtest(last: int, as_json: bool) -> int:
    """Say what each rule would have done to the last mails, with counts and examples; nothing is changed."""
    from ..backtest import backtest as tried

    with reading() as (loaded, store):
        found = tried(store, loaded, _loaded(loaded), last)
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    return 0


def _document(found: Backtest) -> dict[str, Any]:
    return {
        "mails": found.mails,
        "touched": found.touched,
        "rules": [
            {
                "name": tally.rule.name,
                "line": tally.rule.line,
                "mails": tally.count,
                "examples": [example._asdict() for example in tally.examples],
            }
            for tally in found.tallies
        ],
    }


def _print(found: Backtest) -> None:
    rows = [(tally.rule.name, tally.rule.line, tally.count) for tally in found.tallies]
    print_table(("RULE", "LINE", "MAILS"), rows, "There are no rules.")
    for tally in found.tallies:
        for example in tally.examples:
            click.echo("")
            click.echo(safe(f"{tally.rule.name}: {example.sender or 'nobody'}: {example.subject}", None))
            click.echo(safe(f"  {example.why}", None))
    click.echo(f"\n{_count(found.mails, 'mail')} asked; a rule would have fired on {found.touched}.")
