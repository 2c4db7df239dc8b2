"""Prove that every file in the Maildir has its row in the ledger, and the other way round."""

from __future__ import annotations

from typing import Any

import peewee

from . import tables
from .letter import Outcome
from .maildir import Maildir, split_name
from .settings import Settings
from .store import Store


def audit(store: Store, settings: Settings, boxes: dict[str, Maildir]) -> dict[str, Any]:
    """Return the audit document: counts, files without a row (missing), rows without their file (orphaned)."""
    files = waiting = 0
    missing: list[str] = []
    orphaned: list[str] = _without_bytes(store)
    for name, box in boxes.items():
        new, cur = box.new(), dict(split_name(file) for file in box.cur_names())
        undecided = set(store.undecided(name, sorted(cur)))
        # Until the baseline is decided, read mail waits for that.
        baseline = _baseline(store, name) if _decided(store, name) else {key for key, flags in cur.items() if "S" in flags}
        waits = undecided & baseline
        missing += [f"{name}/{key}" for key in sorted(undecided - waits)]
        files += len(new) + len(cur)
        waiting += len(new) + len(waits)
        standing = {*cur, *(found.place.key for found in new)}
        orphaned += [f"{name}/{key}" for key in _filed(store, name) if key not in standing]
    counts = tables.Mail.select(tables.Mail.outcome, peewee.fn.COUNT(tables.Mail.id)).group_by(tables.Mail.outcome)
    by_outcome = {str(outcome or "undecided"): count for outcome, count in counts.tuples().execute(store.database)}
    return {
        "complete": not missing and not orphaned,
        "files": files,
        "waiting": waiting,
        "ledger": sum(by_outcome.values()),
        "missing": missing,
        "orphaned": orphaned,
        "by_outcome": {outcome.value: by_outcome.pop(outcome.value, 0) for outcome in Outcome if outcome is not Outcome.DUPLICATE}
        | {"duplicate": store.count(tables.Place.select().where(tables.Place.outcome == Outcome.DUPLICATE.value))}
        | by_outcome,
    }


def _baseline(store: Store, box: str) -> set[str]:
    place = tables.Place
    return set(store.values(place.select(place.key).where((place.box == box) & (place.state == "waiting"))))


def _decided(store: Store, box: str) -> bool:
    row = store.row(tables.Box.select().where(tables.Box.name == box))
    return row is not None and row["baseline"] is not None


def _filed(store: Store, box: str) -> list[str]:
    place = tables.Place
    return store.values(place.select(place.key).where((place.box == box) & (place.state == "filed")).order_by(place.id))


def _without_bytes(store: Store) -> list[str]:
    """Name the mails above 1 MiB whose file in data/mails is gone."""
    mail = tables.Mail
    large = store.rows(mail.select(mail.id, mail.digest).where(mail.packed.is_null()))
    return [f"mail {row['id']}: {store.mail_file(row['digest'])}" for row in large if not store.mail_file(row["digest"]).exists()]
