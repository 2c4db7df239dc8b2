"""The commands that run the line: up, worker, process."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..log import say
from .common import settings, talkative, tell

if TYPE_CHECKING:
    from ..runner import Settled
    from ..settings import Settings
    from ..store import Store

# What the log says of a mail, and on a dry run would say.
PHRASES = {
    "opened": ("Created new Ticket from email", "Would create new Ticket from email"),
    "commented": ("Added comment to Ticket", "Would add comment to Ticket"),
    "duplicate": ("Email is in already", "Would skip email that is in already"),
    "ignored": ("Email kept without a ticket", "Would keep email without a ticket"),
    "held": ("Email held", "Would hold email"),
    "failed": ("Email failed", "Would fail email"),
}


class Teller:
    """Says what became of each mail: a log line, and with --json a line on standard output."""

    def __init__(self, dry: bool, as_json: bool) -> None:
        self._dry = dry
        self._as_json = as_json
        self.shown: Callable[[str], str] = str  # how a path is shown; the runner knows

    def __call__(self, settled: Settled, ms: float) -> None:
        letter = settled.letter
        outcome = str(letter.outcome)
        file = self.shown(settled.taken.found.path)
        level = logging.WARNING if outcome == "failed" else logging.INFO
        say(
            PHRASES[outcome][self._dry],
            level,
            ticket=settled.label,
            message_id=letter.mail.message_id,
            file=file,
            outcome=outcome,
            ms=round(ms),
            reason=letter.trail[-1] if outcome in ("failed", "ignored", "held") and letter.trail else None,
        )
        for step in letter.trail:
            say(f"  {step}", logging.DEBUG)
        if self._as_json:
            line = {"file": file, "outcome": outcome, "ticket": settled.label, "why": [str(step) for step in letter.trail]}
            click.echo(json.dumps(line))


def on_stop(stop: threading.Event, *bells: threading.Event) -> None:
    """Let SIGTERM and SIGINT set events, nothing more."""

    def handle(number: int, frame: Any) -> None:
        stop.set()
        for bell in bells:
            bell.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would become of each mail; write nothing at all.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Process at most N mails; the rest waits.")
@click.option("--folder", metavar="NAME", help="Only this folder of IMAP_FOLDER; `.` is the drop box.")
@click.option(
    "--sync", "fetch", is_flag=True, help="Fetch by offlineimap once first, but in a dry run; skipped while another fetch runs."
)
@click.option("--json", "as_json", is_flag=True, help="A JSON line per mail, then one with the summary.")
@talkative
def process(dry_run: bool, limit: int | None, folder: str | None, fetch: bool, as_json: bool) -> int:
    """Process what waits, once, then exit; for cron.

    Silent where there is nothing to do. Exit 0: done; 1: done, but some mails failed; 75: trouble left some mails waiting.
    """
    from ..maildir import ignore_lease_signal
    from ..runner import Runner, tell_pass
    from ..store import Store

    # Without a terminal only what went wrong is told, so that cron writes to the operator then and not otherwise.
    loaded = settings(log_file=not dry_run, log_stderr=logging.INFO if dry_run or sys.stderr.isatty() else logging.WARNING)
    if folder is not None:
        loaded.require_box(folder)
    stop = threading.Event()
    on_stop(stop)
    ignore_lease_signal()
    teller = Teller(dry_run, as_json)
    with (
        Store.open_readonly(loaded) if dry_run else Store.open(loaded, migrate=True) as store,
        Runner(store, loaded, teller, stop.is_set) as runner,
    ):
        teller.shown = runner.shown
        fetched = _fetch(store, loaded, stop, fetch and not dry_run)
        summary = runner.sweep(limit, folder)
    tell_pass(summary, "Dry run" if dry_run else "Email processing")
    if summary.trouble:
        tell(f"helpdesk: {summary.left} left for later: {summary.trouble}")
    if as_json:
        click.echo(json.dumps({"summary": summary.as_json()}))
    return summary.exit_code or fetched


def _fetch(store: Store, loaded: Settings, stop: threading.Event, asked: bool) -> int:
    """Fetch once if it was asked for, else say if fetching has failed for an hour. Return the fetch's exit code."""
    if not loaded.imap_configured:
        return 0
    from ..sync.keeper import Keeper
    from ..sync.report import stale_line

    if not asked:
        if line := stale_line(store, loaded):
            tell(f"helpdesk: {line}")
        return 0
    done = Keeper(store, loaded, stop).round()
    if done.reason and done.kind != "busy":
        tell(f"helpdesk: {done.reason}. {done.hint}")
    return 0 if done.kind == "busy" else done.code


@click.command()
@talkative
def worker() -> int:
    """Watch the Maildir and process each mail as it lands.

    Several workers may run on one Maildir. SIGTERM ends it after the batch in hand.
    """
    from ..maildir import ignore_lease_signal
    from ..runner import Runner
    from ..store import Store
    from ..worker import Worker

    loaded = settings(log_stderr=logging.INFO, warn=True)
    stop, bell = threading.Event(), threading.Event()
    on_stop(stop, bell)
    ignore_lease_signal()
    teller = Teller(dry=False, as_json=False)
    with Store.open(loaded, migrate=True) as store, Runner(store, loaded, teller, stop.is_set) as runner:
        teller.shown = runner.shown
        say("Worker watches", folders=" ".join(runner.shown(str(box.root)) for box in runner.boxes.values()))
        Worker(runner, loaded, bell, stop).run()
        say("Worker stopped")
    return 0


@click.command()
@click.option("--demo", is_flag=True, help="Load the demo mails first.")
@talkative
def up(demo: bool) -> int:
    """Start everything in the Procfile; demo mails first where nothing is configured and nothing stored.

    A process that dies is started again, after 1 to 60 seconds. Ctrl-C stops all of them.
    """
    from .. import demo as demo_mails
    from ..store import Store
    from ..sync.report import sync_status
    from ..up import House

    loaded = settings(warn=True)
    house = House(loaded)  # it imports: an interrupt that meets Python in the middle of an import may be lost
    with Store.open(loaded, migrate=True) as store:
        if demo or demo_mails.is_wanted(store, loaded):
            count = demo_mails.load(loaded)
            tell(f"{count} demo mails go into {loaded.maildir / 'new'}; watch them become tickets.")
        elif loaded.imap_configured and demo_mails.are_all(store):
            tell("The demo's tickets are still here; `helpdesk demo --clear` takes them away.")
        if loaded.imap_configured:
            tell(str(sync_status(store, loaded)["sentence"]))
    tell(demo_mails.WHAT_TO_TRY.format(maildir=loaded.maildir))
    sys.stderr.flush()
    return house.run()
