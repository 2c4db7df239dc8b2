"""How old a mail is: what lay somewhere for long, or was brought here out of an archive, writes to nobody."""

from __future__ import annotations

import datetime

from .letter import Letter
from .settings import Settings

# Marks that say that a mail is old, whatever its headers say.
OLD_MARKS = {
    "replayed": "it came by replay",
    "first-sync": "it lay in its folder before the first complete sync",
}


def why_old(letter: Letter, now: str, settings: Settings) -> str:
    """Say why a mail is old mail, of which nobody is told by a mail of its own; "" for a fresh one. `now` is ISO 8601."""
    marked = next((why for mark, why in OLD_MARKS.items() if mark in letter.marks), "")
    return marked or _taken_in_long_ago(letter, now, settings)


def _taken_in_long_ago(letter: Letter, now: str, settings: Settings) -> str:
    """Is it long ago that the newest server took it in? A mail without Received was brought here by hand, or by a test."""
    received = letter.mail.all_headers("received")
    if not received:
        return ""
    from .mime.fields import date  # here, so that a pass without mail does not wait for its tables

    newest = next(filter(None, (date(value.rpartition(";")[2]) for value in received)), None)
    if newest is None:
        return "no Received header says when it came"
    hours = settings.acknowledge_within
    age = datetime.datetime.fromisoformat(now) - datetime.datetime.fromisoformat(newest)
    if age <= datetime.timedelta(hours=hours):
        return ""
    return f"it was received on {newest[:10]}, more than {hours} hours ago"
