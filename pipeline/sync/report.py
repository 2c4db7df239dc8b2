"""Did the fetch run, and if not, why? The answer for the operator, from the book of rounds."""

from __future__ import annotations

import datetime
from typing import Any

from .. import tables
from ..settings import Settings
from ..store import Store, now

STALE_SECONDS = 3600  # without a good round for this long, the operator is told
SHOWN = 50


def sync_status(store: Store, settings: Settings) -> dict[str, Any]:
    """Return whether fetching is healthy, one sentence, the last good round and the last rounds, newest first."""
    row = tables.SyncRound
    rounds = store.rows(row.select().order_by(row.id.desc()).limit(SHOWN))
    good = store.row(row.select().where(row.kind.is_null()).order_by(row.id.desc()))
    last_good = good["ended"] if good else None
    healthy = not settings.imap_configured or bool(rounds and rounds[0]["kind"] is None and age(last_good) < STALE_SECONDS)
    return {
        "healthy": healthy,
        "configured": settings.imap_configured,
        "sentence": _sentence(settings, rounds, last_good),
        "last_good": last_good,
        "rounds": [{name: value for name, value in one.items() if name != "id"} for one in rounds],
    }


def age(when: str | None) -> float:
    """Return the seconds since a stored time; for ever, if it never was."""
    if when is None:
        return float("inf")
    return (datetime.datetime.fromisoformat(now()) - datetime.datetime.fromisoformat(when)).total_seconds()


def _sentence(settings: Settings, rounds: list[dict[str, Any]], last_good: str | None) -> str:
    if not settings.imap_configured:
        missing = ", ".join(settings.imap_missing)
        return "Fetching is switched off (IMAP_ENABLED=no)." if not missing else f"Fetching is not configured: set {missing}."
    if not rounds:
        return "No round has run yet: start `helpdesk up`, or `helpdesk sync --once`."
    since = f"the last good round ended {_ago(age(last_good))} ago" if last_good else "no round was good yet"
    if rounds[0]["kind"]:
        return f"Fetching fails: {rounds[0]['reason']}; {since}. {rounds[0]['hint'] or ''}".rstrip()
    return f"Fetching works: {since}."


def _ago(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


def stale_line(store: Store, settings: Settings) -> str | None:
    """Return what `process` says beside its work when no round has been good for an hour; None if all is well."""
    if not settings.imap_configured:
        return None
    status = sync_status(store, settings)
    return str(status["sentence"]) if age(status["last_good"]) > STALE_SECONDS else None
