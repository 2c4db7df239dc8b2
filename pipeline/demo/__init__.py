"""The demo: five files that show what becomes of mail. They never mix with real mail, and are taken away whole."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from .. import tables
from ..errors import HelpdeskError
from ..maildir import REPLAYED, Maildir, boxes
from ..settings import Settings
from ..store import Store

FOLDER = Path(__file__).parent
AGE = 120  # seconds: an empty file is given up after 60

WHAT_TO_TRY = """\
Drop any .eml file into {maildir}/new and it becomes a ticket. In another terminal:

    helpdesk ticket list            the tickets
    helpdesk ticket show 1          one ticket: its messages, history and links
    helpdesk explain FILE           why a mail became what it became
    helpdesk failed list            the mail that could not be read, kept and starred
    helpdesk audit                  proof that nothing was lost

(`.venv/bin/helpdesk`, if the virtual environment is not active. Ctrl-C stops everything.)
"""


def mails() -> list[Path]:
    """Return the demo's files in the order in which they arrive."""
    return sorted(FOLDER.glob("*.eml"))


def load(settings: Settings) -> int:
    """Drop the demo mails into the drop box, in order; return how many."""
    box = boxes(settings.maildir, ["."], settings.maildir_separator)["."]
    box.create()
    for position, path in enumerate(mails()):
        _drop(box, path, time.time() - AGE + position)
    return len(mails())


def _drop(box: Maildir, source: Path, arrived: float) -> None:
    part, target = box.root / "tmp" / box.fresh_key(), box.root / "new" / f"{source.stem}{REPLAYED}{source.suffix}"
    part.write_bytes(source.read_bytes())
    os.utime(part, (arrived, arrived))
    os.replace(part, target)


def is_wanted(store: Store, settings: Settings) -> bool:
    """Is nothing configured and nothing stored?"""
    nothing_waits = not any(box.new() for box in boxes(settings.maildir, settings.boxes, settings.maildir_separator).values())
    return not settings.imap_configured and nothing_waits and store.count(tables.Mail.select()) == 0


def are_all(store: Store) -> bool:
    """Are mails stored, and all of them the demo's? They are known by their bytes."""
    stored = store.values(tables.Mail.select(tables.Mail.digest))
    return bool(stored) and _digests().issuperset(stored)


def clear(store: Store, settings: Settings) -> int:
    """Take the demo's tickets, people, mails and files away; return how many mails.

    Raises:
        HelpdeskError: other mail is stored too.
    """
    count = store.count(tables.Mail.select())
    if count and not are_all(store):
        raise HelpdeskError(
            "Other mail than the demo's is stored, so nothing is taken away.", "Close the demo's tickets instead."
        )
    places = store.rows(tables.Place.select())
    with store.transaction():
        for model in reversed(tables.ALL):
            if model not in (tables.Box, tables.SyncRound):  # what was there before us stays decided
                store.run(model.delete())
    known = boxes(settings.maildir, {".", *(place["box"] for place in places)}, settings.maildir_separator)
    files = [known[place["box"]].find(place["key"]) for place in places]
    waiting = [found for found in known["."].new() if _digest(Path(found.path)) in _digests()]
    for found in filter(None, [*files, *waiting]):
        Path(found.path).unlink(missing_ok=True)
    return count + len(waiting)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digests() -> set[str]:
    return {_digest(path) for path in mails()}
