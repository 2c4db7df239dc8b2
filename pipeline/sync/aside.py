"""What to do when a server numbers its mails anew: put the folder and offlineimap's notes about it aside, together.

offlineimap goes by UIDs. After a change of UIDVALIDITY its notes and the names of the files in the folder speak of other
mails than the server does, and new mail whose UID is not new would never come. With both gone all mail comes again, and the
ledger knows every one that it has seen.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from .. import tables
from ..log import say
from ..maildir import Found, Maildir, NotAMail, NotWhole, Vanished
from ..scan import Scan
from ..settings import Settings
from ..store import Store

ASIDE = ".aside"  # below the Maildir: on the same file system, and no folder that anybody syncs


def put_aside(store: Store, settings: Settings, box: Maildir, drop_box: Maildir) -> Path:
    """Move a folder and its notes aside; hold the sync's lock. Return where the folder went.

    Mail in it that was not worked yet goes into the drop box first: the server may not have it any more. Every step may be
    repeated after a crash; the folder goes before the notes, for notes without a folder are harmless, and the reverse is not.
    """
    aside = box.root.parent / ASIDE / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    for found in _not_worked(store, box):
        with contextlib.suppress(Vanished, NotWhole, NotAMail), box.hold(found) as file:
            drop_box.deliver(file.read())
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        box.root.rename(aside / box.name)
    for path in sorted(settings.data_dir.glob(f"offlineimap/*/*/{_literal(box.name)}")):
        path.rename(aside / f"{path.parent.parent.name}.{path.parent.name}.{path.name}")
    box.create()
    _forget_files(store, box)
    say("Folder put aside", folder=box.name, reason="the server numbered its mails anew", kept=str(aside / box.name))
    return aside


def _literal(name: str) -> str:
    """Keep a folder's name from being read as a pattern."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _not_worked(store: Store, box: Maildir) -> list[Found]:
    scan = Scan(box, store)
    files = [*box.new(), *box.found_in_cur(box.cur_names())]
    undecided = set(store.undecided(box.name, [found.place.key for found in files])) - _noted_baseline(store, box)
    return [found for found in files if found.place.key in undecided and not ("S" in found.flags and scan.baseline_open())]


def _noted_baseline(store: Store, box: Maildir) -> set[str]:
    place = tables.Place
    return set(store.values(place.select(place.key).where((place.box == box.name) & (place.state == "waiting"))))


def _forget_files(store: Store, box: Maildir) -> None:
    """The ledger keeps the mails; that their files are gone from the folder is what the audit must know.

    A baseline that was not read to its end is decided anew: its mails come again under other names.
    """
    place = tables.Place
    with store.transaction():
        if _noted_baseline(store, box):
            store.run(tables.Box.delete().where(tables.Box.name == box.name))
            store.run(place.delete().where((place.box == box.name) & (place.state == "waiting")))
        store.run(place.update(state="gone").where((place.box == box.name) & (place.state != "gone")))
