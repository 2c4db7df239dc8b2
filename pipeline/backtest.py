"""What the rules would have done to the mails that are stored: read anew, side by side, and nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import rules, tables
from .errors import Retry
from .letter import Letter, Outcome, Place
from .line import Line
from .settings import Settings
from .store import Store


def backtest(store: Store, settings: Settings, ruleset: rules.Ruleset, last: int) -> rules.Backtest:
    """Return what each rule would have done to the last mails, oldest first, with counts and examples."""
    mail = tables.Mail
    newest = mail.select(mail.id, mail.received, mail.outcome).where(mail.outcome.is_null(False)).order_by(mail.id.desc())
    rows = list(reversed(store.rows(newest.limit(last))))
    with Line(settings) as line, ThreadPoolExecutor(settings.reader_processes) as threads:
        read = threads.map(lambda row: _read(store.raw(row["id"]), row["id"], line), rows)
        pairs = zip(rows, read, strict=True)
        return rules.backtest(ruleset, _facts(((row, letter) for row, letter in pairs if letter), settings, ruleset))


def _read(raw: bytes, mail_id: int, line: Line) -> Letter | None:
    try:
        letter = line.read(Letter(hashlib.sha256(raw).hexdigest(), Place(".", str(mail_id))), raw)
    except Retry:
        return None
    return None if letter.outcome is Outcome.FAILED else letter


def _facts(pairs: Iterator[tuple[dict[str, Any], Letter]], settings: Settings, ruleset: rules.Ruleset) -> Iterator[rules.Facts]:
    for row, letter in pairs:
        facts = rules.Facts.of(
            letter.mail,
            row["received"],
            settings.time_zone,
            verified=letter.verified,
            is_reply=row["outcome"] == Outcome.COMMENTED,
            size=letter.size,
        )
        found = ruleset.queue_of(facts.recipients, facts.folder)
        yield facts.in_queue(found.name if found else rules.DEFAULT_QUEUE)
