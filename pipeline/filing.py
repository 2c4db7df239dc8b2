"""Filing: the renames that follow a commit, written down afterwards, and done again where a run died between the two."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from . import tables
from .maildir import Found, Maildir, NotAMail, NotWhole, Vanished, name_as_text
from .store import Store

Tell = Callable[[str, str | None], None]


class Filing:
    """Moves decided mails to cur/ and remembers which of them the ledger does not know as filed yet."""

    def __init__(self, store: Store, boxes: dict[str, Maildir], tell: Tell) -> None:
        self._store = store
        self._boxes = boxes
        self._tell = tell  # (path, why) of a file that could not be moved yet
        self._done: list[tuple[int, str]] = []  # (place id, state) still to be written down
        self.refused: dict[str, str] = {}  # path -> why, of files that could not be moved in this pass

    def move(self, found: Found, key: str, add: str, place_id: int | None) -> None:
        """Move a file to cur/. What fails here is found again by its noted place in the next pass."""
        try:
            self._boxes[found.place.box].file(found, key=key, add=add)
        except Vanished:
            state = "gone"
        except OSError as error:
            self._tell(found.path, error.strerror)
            self.refused[found.path] = str(error.strerror)
            return
        else:
            state = "filed"
        self.refused.pop(found.path, None)
        if place_id is not None:
            self._done.append((place_id, state))

    def noted(self) -> list[dict[str, Any]]:
        """Return the places whose rename is still to be done."""
        place = tables.Place
        return self._store.rows(place.select().where((place.state == "noted") & place.box.in_(list(self._boxes))))

    def catch_up(self) -> None:
        """Do the renames again of runs that died between commit and rename. Hold the line's lock, or it is no death."""
        for row in self.noted():
            found = self._find(row)
            if found is None:
                self._done.append((row["id"], "gone"))
            else:
                self.move(found, row["key"], "FS" if row["starred"] else "S", row["id"])

    def _find(self, row: dict[str, Any]) -> Found | None:
        """Find a noted place's file: under its key, or in the drop box still under the name that it came with."""
        box = self._boxes[row["box"]]
        found = box.find(row["key"])
        if found is not None or not row["original"]:
            return found
        named = (candidate for candidate in box.new() if name_as_text(candidate.path) == row["original"])
        return next((candidate for candidate in named if _digest(box, candidate) == row["digest"]), None)

    def write(self) -> None:
        """Write down what was filed; inside a transaction. `clear` once it is committed."""
        self._store.update(tables.Place, [(place_id, {"state": state}) for place_id, state in self._done])

    def clear(self) -> None:
        self._done.clear()

    def write_down(self) -> None:
        """Write down what was filed, in a transaction of its own."""
        if self._done:
            with self._store.transaction():
                self.write()
            self.clear()

    def unstar(self, mail_id: int) -> None:
        """Take away the star that we set on a mail; a human's stays. It may be on another file by now: the mail came again."""
        rows = self._store.rows(tables.Place.select().where(tables.Place.mail == mail_id))
        if not any(row["starred"] for row in rows):
            return
        for row in rows:
            if row["box"] in self._boxes:
                self._boxes[row["box"]].reflag(row["key"], drop="F")
        with self._store.transaction():
            self._store.update(tables.Place, [(row["id"], {"starred": False}) for row in rows])


def _digest(box: Maildir, found: Found) -> str | None:
    try:
        with box.hold(found) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (Vanished, NotWhole, NotAMail, OSError):
        return None
