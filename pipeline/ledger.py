"""The ledger: which mails were seen, what became of each and why, and which files they came in."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from . import __version__, tables
from .errors import Retry, no_mail
from .letter import Letter, Outcome, Place, canonical
from .mime import IDENTITY_VERSION
from .settings import Settings
from .store import Store, among, now
from .unit import Row, Shelf, Unit, delete, upsert

EXPLAINED = frozenset({Outcome.FAILED, Outcome.HELD})  # whose last reason is kept beside them, for people
RETRY_SECONDS = (60, 3600)  # the first wait after a Retry, and the longest; it doubles in between


class Delivery(NamedTuple):
    """One file of a mail, as it was taken."""

    place: Place  # where it will be filed; fresh for a file from the drop box
    size: int
    packed: bytes | None  # compressed; None: kept in data/mails
    original: str | None = None  # the name it came with into the drop box
    flags: str = ""


class Ledger(Unit):
    """The rows of mails and of the places in which their files were seen."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        super().__init__(store, settings, clock)
        self._as_of: int | None = None
        mail, reference = tables.Mail, tables.Reference
        mails = mail.select(
            mail.id,
            mail.digest,
            mail.identity,
            mail.message_id,
            mail.sender,
            mail.outcome,
            mail.ticket,
            mail.tries,
            mail.next_try,
        )
        self._by_digest = self._shelf(mails, mail.digest)
        self._by_identity = self._shelf(mails, mail.identity)
        self._by_message_id = self._shelf(mails.order_by(mail.id), mail.message_id)
        self._namers = self._shelf(
            reference.select(reference.message_id, mail.ticket).join(mail).where(mail.ticket.is_null(False)),
            reference.message_id,
        )
        self._places = Shelf(self._fetch_places)
        self._shelves.append(self._places)

    def _fetch_places(self, places: Sequence[Place]) -> Iterable[tuple[Place, Row]]:
        by_box: dict[str, list[str]] = defaultdict(list)
        for place in places:
            by_box[place.box].append(place.key)
        for box, keys in by_box.items():
            where = (tables.Place.box == box) & among(tables.Place.key, keys)
            for row in self.store.rows(tables.Place.select().where(where)):
                yield Place(row["box"], row["key"]), row

    def look_back(self, mail: Row | None) -> None:
        """Answer as if this mail of the ledger and later ones had not come (None: as it is now); for dry runs."""
        self._as_of = mail["id"] if mail else None
        if mail and mail["outcome"] == Outcome.OPENED:  # so that it opens the same ticket
            self._counters["ticket"] = mail["ticket"] - 1

    def begin(self, letters: Sequence[Letter] = (), places: Iterable[Place] = ()) -> None:
        """Start a batch inside a transaction; what its letters will ask for is fetched at once."""
        self._start()
        self._prefetch(letters)
        self._places.prefetch([*places, *(letter.place for letter in letters)])

    def _prefetch(self, letters: Sequence[Letter]) -> None:
        self._by_digest.prefetch(letter.digest for letter in letters)
        self._by_identity.prefetch(letter.mail.identity for letter in letters if letter.mail.identity)
        self._by_message_id.prefetch(ids_of(letters))
        self._namers.prefetch(letter.mail.message_id for letter in letters if letter.mail.message_id)

    def place(self, place: Place) -> Row | None:
        """Return what the ledger knows of a file, or None."""
        return self._places.last(place)

    def known(self, letter: Letter) -> Row | None:
        """Return the ledger's row of the same mail (same bytes, or same identity), or None."""
        identity = letter.mail.identity
        rows = self._by_digest.find(letter.digest) or (self._by_identity.find(identity) if identity else [])
        rows = self._before(rows)
        return rows[-1] if rows else None

    def _before(self, rows: list[Row]) -> list[Row]:
        return rows if self._as_of is None else [row for row in rows if row["id"] < self._as_of]

    def received(self, message_id: str) -> list[Row]:
        """Return the mails of this id that we received, oldest first."""
        return self._before(self._by_message_id.find(message_id))

    def named_before(self, message_id: str) -> list[int]:
        """Return the tickets of mails that named this id before it came."""
        return list(dict.fromkeys(row["ticket"] for row in self._namers.find(message_id)))

    def _mail_id(self, letter: Letter) -> int:
        """Return the id that this letter's row in the ledger has or will have."""
        known = self.known(letter)
        return int(known["id"]) if known else self._counters.get("mail", 0) + 1

    def settle(self, letter: Letter, delivery: Delivery | None) -> None:
        """Write what became of a letter: its row, and the place of its file (none for a mail taken from the store)."""
        assert letter.outcome is not None
        known = self.known(letter)
        if letter.outcome is Outcome.DUPLICATE:
            if known is None:
                raise ValueError("a stage called the mail a duplicate of none")
            mail_id = known["id"]
        else:
            failure = letter.trail[-1] if letter.outcome in EXPLAINED and letter.trail else None
            mail_id = self._record(
                letter,
                delivery,
                known,
                outcome=letter.outcome.value,
                ticket=letter.ticket,
                stage=failure.stage if failure else None,
                reason=failure.why if failure else None,
                tries=(known["tries"] if known else 0) + 1,
                next_try=None,
            )
        if known and (known["outcome"] == Outcome.FAILED or ("approved" in letter.marks and known["outcome"] == Outcome.HELD)):
            # A copy, a retry or an approval: what failed or was held before is what this one is now.
            self._page.queries.append(_renew_places(mail_id, known["outcome"], str(letter.outcome)))
        self._settle_place(letter, delivery, mail_id)

    def put_aside(self, mail: Row, why: str) -> None:
        """Let a held or failed mail be, for good: it is kept in the ledger with the reason, and makes nothing."""
        trail = json.dumps([*json.loads(mail["trail"]), why], ensure_ascii=False)
        self._change(tables.Mail, mail["id"], outcome=Outcome.IGNORED.value, trail=trail, reason=None, stage=None)
        self._page.queries.append(_renew_places(mail["id"], mail["outcome"], Outcome.IGNORED.value))

    def kept_mail(self, mail_id: int, outcome: Outcome) -> Row:
        """Return the row of a mail that is held, or one that failed.

        Raises:
            NotFound: there is no such mail, or it is something else by now.
        """
        mail = tables.Mail
        columns = mail.select(mail.id, mail.outcome, mail.sender, mail.ticket, mail.trail)
        row = self.store.row(columns.where((mail.id == mail_id) & (mail.outcome == outcome.value)))
        if row is None:
            raise no_mail(mail_id, outcome)
        return row

    def postpone(self, letter: Letter, delivery: Delivery, retry: Retry) -> None:
        """Note that a stage asked for later; the mail has no outcome yet, and rests."""
        known = self.known(letter)
        tries = (known["tries"] if known else 0) + 1
        wait = retry.after if retry.after is not None else min(RETRY_SECONDS[0] * 2 ** (tries - 1), RETRY_SECONDS[1])
        at = datetime.datetime.fromisoformat(self.now) + datetime.timedelta(seconds=wait)
        self._record(
            letter, delivery, known, outcome=None, tries=tries, reason=retry.why, next_try=at.isoformat(timespec="seconds")
        )

    def note_baseline(self, box: str, keys: Iterable[str]) -> None:
        """Write down, once for ever, which read mail lay in a box before us; it is read later and causes nothing."""
        for key in keys:
            self._insert(tables.Place, box=box, key=key, state="waiting", seen=self.now)
        self._page.queries.append(upsert(tables.Box, [{"name": box, "baseline": self.now}]))

    def rests(self, letter: Letter) -> bool:
        """Is the mail undecided, and its time not come yet?"""
        known = self.known(letter)
        return bool(known and known["outcome"] is None and known["next_try"] and known["next_try"] > self.now)

    def _record(self, letter: Letter, delivery: Delivery | None, known: Row | None, **decided: Any) -> int:
        columns = {
            "trail": json.dumps([str(step) for step in letter.trail], ensure_ascii=False),
            "version": __version__,
            **self._read_columns(letter),
            **decided,
        }
        if delivery is not None:
            columns |= {"digest": letter.digest, "size": delivery.size, "packed": delivery.packed}
        if known:
            self._change(tables.Mail, known["id"], **columns)
            self._page.queries.append(delete(tables.Reference, mail=known["id"]))
            row = {**known, **columns}
        else:
            row = self._insert(tables.Mail, received=self.now, **columns)
        for message_id in letter.named_ids:
            self._insert(tables.Reference, mail=row["id"], message_id=message_id)
        self._remember(row, letter)
        return int(row["id"])

    def _read_columns(self, letter: Letter) -> Row:
        mail = letter.mail
        return {
            "identity": mail.identity,
            "identity_version": IDENTITY_VERSION if mail.identity else 0,
            "message_id": mail.message_id,
            "sender": sender_of(letter),
            "date": mail.date,
        }

    def _remember(self, row: Row, letter: Letter) -> None:
        self._by_digest.put(row["digest"], row)
        if row["identity"]:
            self._by_identity.put(row["identity"], row)
        if row["message_id"]:
            self._by_message_id.put(row["message_id"], row)
        for named in letter.named_ids if row["ticket"] else ():
            self._namers.put(named, row)

    def _settle_place(self, letter: Letter, delivery: Delivery | None, mail_id: int) -> None:
        failed, duplicate = letter.outcome is Outcome.FAILED, letter.outcome is Outcome.DUPLICATE
        columns: Row = {"mail": mail_id, "digest": letter.digest, "outcome": str(letter.outcome), "state": "noted"}
        if duplicate:
            columns["trail"] = json.dumps([str(step) for step in letter.trail], ensure_ascii=False)
        if delivery is None:
            return
        columns["starred"] = failed and "F" not in delivery.flags
        known = self._places.last(delivery.place)
        if known:
            self._change(tables.Place, known["id"], **columns)
            row = {**known, **columns}
        else:
            place = delivery.place
            row = self._insert(tables.Place, box=place.box, key=place.key, original=delivery.original, seen=self.now, **columns)
        self._places.put(delivery.place, row)


def ids_of(letters: Iterable[Letter]) -> list[str]:
    """Return every Message-ID that letters bear or name."""
    return [i for letter in letters for i in (letter.mail.message_id, *letter.named_ids) if i]


def _renew_places(mail_id: int, before: str, outcome: str) -> Any:
    place = tables.Place
    return place.update(outcome=outcome).where((place.mail == mail_id) & (place.outcome == before))


def sender_of(letter: Letter) -> str | None:
    """Return the one From address of a mail as addresses compare; None where there is none."""
    author = letter.mail.author
    return canonical(author.address) if author and author.address else None
