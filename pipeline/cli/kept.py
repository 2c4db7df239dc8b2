"""The commands on mails that are kept from tickets: failed, and held."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any

import click

from ..errors import no_mail
from ..letter import Outcome
from ..log import safe
from .common import as_json, local, print_json, print_table, reading, settings, talkative, tell
from .handle import as_agent

if TYPE_CHECKING:
    from ..runner import Runner, Settled
    from ..settings import Settings
    from ..store import Store

SHOWN_SERVERS = 5  # authentication results on a terminal; the topmost is the nearest
mail_id = click.argument("number", metavar="ID", type=click.IntRange(1, 2**63 - 1))
mail_ids = click.argument("numbers", metavar="ID...", nargs=-1, required=True, type=click.IntRange(1, 2**63 - 1))


# -- failed ----------------------------------------------------------------------------------------------------------


@click.group()
def failed() -> None:
    """Mails that could not be processed: they are kept, starred, and can be tried again."""


@failed.command("list")
@as_json
@talkative
def failed_list(as_json: bool) -> int:
    """List the failed mails with their reasons."""
    from ..views import failed_list as listed

    with reading() as (loaded, store):
        rows = listed(store)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("ID", "FILE", "STAGE", "REASON", "TRIES", "WHEN"),
        [(row["id"], row["file"], row["stage"], row["reason"], row["attempts"], local(row["when"], loaded)) for row in rows],
        "No mail has failed.",
    )
    return 0


@failed.command("show")
@mail_id
@as_json
@talkative
def failed_show(number: int, as_json: bool) -> int:
    """Show a failed mail: why it failed, and what can be read of it."""
    return _show(Outcome.FAILED, number, as_json)


@failed.command("retry")
@click.argument("ids", nargs=-1, type=int, metavar="[ID]...")
@click.option("--all", "all_of_them", is_flag=True, help="Every failed mail.")
@talkative
def failed_retry(ids: tuple[int, ...], all_of_them: bool) -> int:
    """Try failed mails again, from their kept bytes; a success takes their star away. Exit 1 if some fail again."""
    from ..store import Store
    from .run import Teller

    if not ids and not all_of_them:
        raise click.UsageError("Name the ids that `helpdesk failed list` shows, or --all.")
    loaded = _loaded()
    with Store.open(loaded) as store:
        chosen = _chosen(store, Outcome.FAILED, ids, all_of_them)
        with _runner(store, loaded, Teller(dry=False, as_json=False)) as runner:
            summary = runner.retry(chosen)
    done = summary.touched - summary.counts["failed"]
    tell(f"{done} of {len(chosen)} went through, {summary.counts['failed']} failed again.")
    return summary.exit_code


@failed.command("drop")
@mail_ids
@as_agent
@talkative
def failed_drop(numbers: tuple[int, ...], agent: str | None) -> int:
    """Put failed mails aside for good: their star is taken away, and they make no ticket. Their bytes stay in the ledger."""
    from ..filing import Filing
    from ..maildir import boxes
    from .handle import working

    with working(agent) as hand:
        rows = [hand.desk.kept_mail(number, Outcome.FAILED) for number in dict.fromkeys(numbers)]
        for row in rows:
            hand.desk.put_aside(row, f"failed: {hand.who} put it aside")
            hand.say(f"{row['id']}: put aside.")
    with reading() as (loaded, store):
        filing = Filing(store, boxes(loaded.maildir, loaded.boxes, loaded.maildir_separator), lambda path, why: None)
        for row in rows:
            filing.unstar(row["id"])
    return 0


def _loaded() -> Settings:
    return settings(log_stderr=logging.INFO if sys.stderr.isatty() else None)


def _runner(store: Store, loaded: Settings, teller: Any) -> Runner:
    from ..runner import Runner

    runner = Runner(store, loaded, teller)
    teller.shown = runner.shown
    return runner


def _chosen(store: Store, outcome: Outcome, ids: tuple[int, ...], all_of_them: bool = False) -> list[int]:
    from ..views import failed_list, held_list

    known = [row["id"] for row in (held_list if outcome is Outcome.HELD else failed_list)(store)]
    for number in ids:
        if number not in known:
            raise no_mail(number, outcome)
    return known if all_of_them else list(dict.fromkeys(ids))


# -- held ------------------------------------------------------------------------------------------------------------


@click.group()
def held() -> None:
    """Mails that wait for an agent: flagged as spam, from a sender who is not who From says, or held by a rule."""


@held.command("list")
@as_json
@talkative
def held_list(as_json: bool) -> int:
    """List the held mails with their reasons, and the tickets that they name."""
    from ..views import held_list as listed

    with reading() as (loaded, store):
        rows = listed(store)
    if as_json:
        print_json(rows)
        return 0
    print_table(
        ("ID", "FROM", "TICKET", "REASON", "WHEN"),
        [(row["id"], row["from"], row["ticket"], row["reason"], local(row["when"], loaded)) for row in rows],
        "No mail is held.",
    )
    return 0


@held.command("show")
@mail_id
@as_json
@talkative
def held_show(number: int, as_json: bool) -> int:
    """Show a held mail: why it waits, who sent it, what servers found about its origin, and its text."""
    return _show(Outcome.HELD, number, as_json)


@held.command("approve")
@mail_ids
@click.option("--participant", is_flag=True, help="Their senders may speak on the tickets from now on.")
@as_agent
@talkative
def held_approve(numbers: tuple[int, ...], participant: bool, agent: str | None) -> int:
    """Let held mails through: they become tickets, or comments on the tickets that they name."""
    from ..desk import at_desk
    from ..store import Store
    from .handle import in_the_name_of

    loaded = _loaded()
    with Store.open(loaded) as store:
        with at_desk(store, loaded) as desk:
            who = in_the_name_of(desk, agent)
        chosen, became, codes = _chosen(store, Outcome.HELD, numbers), Became(), [0]
        with _runner(store, loaded, became) as runner:
            for number in chosen:
                codes.append(runner.approve([number], who, participant).exit_code)
                tell(f"{number}: {became.what}.")
    return max(codes)


class Became:
    """Hears what became of a mail, beside the log."""

    def __init__(self) -> None:
        from .run import Teller

        self._teller = Teller(dry=False, as_json=False)
        self.what = "left as it was"
        self.shown: Any = str

    def __call__(self, settled: Settled, ms: float) -> None:
        self._teller.shown = self.shown
        self._teller(settled, ms)
        words = {"opened": "opened {}", "commented": "commented on {}"}
        outcome = str(settled.letter.outcome)
        self.what = words.get(outcome, outcome).format(settled.label)


@held.command("reject")
@mail_ids
@as_agent
@talkative
def held_reject(numbers: tuple[int, ...], agent: str | None) -> int:
    """Put held mails aside for good: they make no ticket and no comment. Their bytes stay in the ledger."""
    from .handle import working

    with working(agent) as hand:
        for number in dict.fromkeys(numbers):
            hand.desk.reject(hand.desk.kept_mail(number, Outcome.HELD), hand.who)
            hand.say(f"{number}: rejected.")
    return 0


# -- what can be seen of one -----------------------------------------------------------------------------------------


def _show(outcome: Outcome, number: int, as_json: bool) -> int:
    from ..line import Line
    from ..views import kept_show
    from .mails import parsed

    with reading() as (loaded, store), Line(loaded) as line:
        document = kept_show(store, outcome, number)
        document["mail"] = parsed(document["file"] or str(number), store.raw(number), line)
    if as_json:
        click.echo(json.dumps(document))
    else:
        _print_kept(document, local(document["when"], loaded), outcome)
    return 0


def _print_kept(document: dict[str, Any], when: str, outcome: Outcome) -> None:
    mail, ticket = document["mail"], document.get("ticket")
    click.echo(click.style(f"{document['id']}  {outcome}, {when}{f', names {ticket}' if ticket else ''}", bold=True))
    click.echo(safe(f"{document['stage']}: {document['reason']}", None))
    click.echo()
    heads = {"From": [mail["from"]], "To": mail["to"], "Cc": mail["cc"], "Subject": mail["subject"], "Date": mail["date"]}
    for name, value in heads.items():
        if value:
            shown = value if isinstance(value, str) else ", ".join(_person(one) for one in value)
            click.echo(f"  {name:8} {safe(shown, 1000)}")
    for found in mail["auth"][:SHOWN_SERVERS]:
        results = ", ".join(f"{name}={found[name]}" for name in ("spf", "dkim", "dmarc") if found[name]) or "nothing"
        click.echo(f"  {'Origin':8} {safe(found['server'] or 'a server without a name')} found {safe(results)}")
    click.echo()
    for text in mail["text"].strip().splitlines():
        click.echo("  " + safe(text, None))
    for part in mail["attachments"]:
        click.echo(safe(f"  [{part['filename'] or 'without a name'}, {part['content_type']}, {part['size']} bytes]", None))
    click.echo(click.style("\nWhy", bold=True))
    for step in document["why"]:
        click.echo(f"  {safe(step, None)}")


def _person(person: dict[str, Any] | None) -> str:
    if person is None:
        return "nobody"
    return " ".join(filter(None, (person["name"], f"<{person['address']}>" if person["address"] else "(no address)")))
