"""The line itself: what waits is read, decided in one transaction a batch, committed, told, and only then filed.

The order is the promise. Before the commit a file stays where it was; after it the ledger knows the mail, and the rename
is done again if we died before it. Readers work ahead in other processes; the writer commits in order of arrival.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import peewee

from . import rules, tables
from .desk import BY_HAND, Desk, Row, is_own, sender_of
from .errors import Retry, SchemaNewer, TryLater
from .filing import Filing
from .inflight import Inflight
from .intake import Approval, Intake, Left, Taken
from .letter import Letter, Outcome, Place
from .line import Line, checked, failed
from .locks import file_lock
from .log import say
from .maildir import Found, Maildir, boxes, name_as_text
from .scan import Look, Scan, in_turns
from .settings import Settings
from .store import Store, passing_trouble, unpack

DEATHS = 3  # programs that died with one mail alone in hand before it is called guilty
LINE_LOCK = "line.lock"
NOT_THE_STAGES_OWN = (peewee.PeeweeException, sqlite3.Error, OSError, MemoryError, TryLater)  # end the batch


class Settled(NamedTuple):
    """A mail whose outcome is committed."""

    taken: Taken
    letter: Letter
    place_id: int | None
    label: str | None  # the ticket's number as people write it
    mended: int | None = None  # the mail in the ledger that had failed before, and did not now


@dataclass
class Summary:
    """What a pass did."""

    counts: Counter[str] = field(default_factory=Counter)
    left: int = 0
    trouble: str | None = None  # why mail was left, if not because of a limit
    seconds: float = 0.0

    @property
    def touched(self) -> int:
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        return {**{o.value: self.counts[o.value] for o in Outcome}, "left": self.left, "seconds": round(self.seconds, 3)}

    @property
    def exit_code(self) -> int:
        return 75 if self.trouble else 1 if self.counts["failed"] else 0


Tell = Callable[[Settled, float], None]


class Runner:
    """The line over a Maildir and a store. On a read-only store every pass is a dry run."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        tell: Tell = lambda settled, ms: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self.settings = settings
        self.dry = store.readonly
        self.tell = tell
        self.stop = stop
        self.boxes: dict[str, Maildir] = boxes(settings.maildir, settings.boxes, settings.maildir_separator)
        if not self.dry:
            for box in self.boxes.values():
                box.create()
        if os.path.lexists(settings.rules_file):  # wrong rules end the program before any mail
            rules.load(settings.rules_file, settings.boxes, settings.own_addresses)
        self.line = Line(settings)
        self.desk = Desk(store, settings)
        self.intake = Intake(store, self.line, self.boxes)
        self.filing = Filing(store, self.boxes, lambda path, why: self._warn_once(path, "Email not filed yet", path, why))
        self.inflight = None if self.dry else Inflight(settings.data_dir)
        self._scans = {name: Scan(box, store) for name, box in self.boxes.items()}
        self._suspects: dict[Place, int] = {}
        self._first_sync: set[Place] = set()  # that lay in their folder when its first sync ended
        self._late: list[tuple[Found, str]] = []  # decided before this batch, but still in new/
        self._warned: set[str] = set()

    def close(self) -> None:
        self.intake.close()
        self.line.close()
        if self.inflight:
            self.inflight.close()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- a pass ------------------------------------------------------------------------------------------------------

    def sweep(self, limit: int | None = None, folder: str | None = None) -> Summary:
        """Work what waits; return what became of it. Trouble that passes ends the pass and is told in the summary."""
        start, summary = time.monotonic(), Summary()
        self.filing.refused.clear()
        self._warn_of_rules()
        try:
            self._catch_up()
            looks = {name: self._look(name) for name in ([folder] if folder is not None else self.boxes)}
            self._refile([(found, found.place.key) for look in looks.values() for found in look.again])
            self._work(looks, limit, summary)
        except SchemaNewer:
            raise
        except NOT_THE_STAGES_OWN as error:
            summary.trouble = _sentence(error)
        with contextlib.suppress(TryLater):  # what is not written down now is found again
            self.filing.write_down()
        if refused := self.filing.refused:  # decided, but not where it belongs: the next pass has to move it
            summary.left = max(summary.left, len(refused)) if summary.trouble else summary.left + len(refused)
            summary.trouble = summary.trouble or next(iter(refused.values()))
        summary.seconds = time.monotonic() - start
        return summary

    def sweep_tmp(self) -> None:
        """Remove what deliveries that died left in tmp/ days ago (maildir(5)); a full disk leaves such files."""
        for box in self.boxes.values():
            with contextlib.suppress(OSError):
                box.sweep_tmp()

    def _catch_up(self) -> None:
        if not self.dry and self.filing.noted():
            with self._line_lock():  # else another worker is between its commit and its rename
                self.filing.catch_up()

    def _look(self, name: str) -> Look:
        scan = self._scans[name]
        for path in self.boxes[name].strange():
            self._warn_once(path, "Not a mail, left alone: a directory, link or pipe", path)
        look = scan.look()
        if self._sync_decides(name) and scan.baseline_open():
            look.baseline.clear()
        return look

    def _sync_decides(self, name: str) -> bool:
        """Is what was there before us settled by the first complete sync, not by the first scan?"""
        return name != "." and self.settings.imap_configured

    def _decide_baselines(self, looks: dict[str, Look]) -> None:
        """An empty folder has had no first scan: a mailbox may be connected to it later."""
        for name, look in looks.items():
            if look.found_any and not self._sync_decides(name):
                self._scans[name].decide_baseline(look, self.desk)

    def _work(self, looks: dict[str, Look], limit: int | None, summary: Summary) -> None:
        waiting = [*in_turns(look.fresh for look in looks.values()), *in_turns(look.baseline for look in looks.values())]
        baseline = {found.place for look in looks.values() for found in look.baseline}
        synced = ((self._scans[name], look) for name, look in looks.items() if self._sync_decides(name))
        self._first_sync = {found.place for scan, look in synced for found in scan.of_first_sync(look)}
        self._suspects = self.inflight.suspects() if self.inflight else {}
        work, done = waiting[:limit], 0
        alone = [found for found in work if found.place in self._suspects]
        rest = [found for found in work if found.place not in self._suspects]
        try:
            self._decide_baselines(looks)
            for batch in self.intake.batches(alone, rest, baseline):
                taken = [item for item in batch if isinstance(item, Taken)]
                results = self._commit(taken) if taken else []
                done += len(batch)
                for result in [*results, *(item for item in batch if isinstance(item, Left))]:
                    self._count(result, summary)
                if self.stop():
                    break
        finally:
            summary.left += len(waiting) - done

    def _warn_of_rules(self) -> None:
        """A rules file that went wrong while we run stops no mail: the rules that were right stay in force."""
        if wrong := rules.problem(self.settings.rules_file):
            path = str(self.settings.rules_file)
            self._warn_once(str(wrong), "Rules not read, the older ones stay in force", path, "; ".join(wrong.problems))

    def _count(self, result: Settled | Left, summary: Summary) -> None:
        if isinstance(result, Left):
            summary.left += 1
            summary.trouble = result.why
            self._warn_once(f"{result.found.path} {result.why}", "Email left for later", result.found.path, result.why)
        else:
            summary.counts[str(result.letter.outcome)] += 1

    def _warn_once(self, mark: str, phrase: str, path: str, why: str | None = None) -> None:
        if mark not in self._warned:
            self._warned.add(mark)
            say(phrase, logging.WARNING, file=self.shown(path), reason=why)

    def shown(self, path: str) -> str:
        """Return a path as the user knows it: relative to HELPDESK_HOME."""
        with contextlib.suppress(ValueError):
            return str(Path(path).relative_to(self.settings.home))
        return path

    # -- a batch -----------------------------------------------------------------------------------------------------

    def _commit(self, batch: list[Taken]) -> list[Settled | Left]:
        """Decide a batch in one transaction under the line's lock, then tell and file it."""
        if self.dry:
            return self._told([result for taken in batch for result in self._rehearse(taken)])
        assert self.inflight is not None
        with self._line_lock(), self.inflight.holding([taken.found.place for taken in batch]):
            results = self._told(self._transact(batch))
            self._refile(self._late)
            self._late.clear()
            for result in results:
                if isinstance(result, Settled):
                    self._file(result)
        return results

    def _line_lock(self) -> contextlib.AbstractContextManager[None]:
        return file_lock(self.settings.data_dir / LINE_LOCK, stop=self.stop)

    def _transact(self, batch: list[Taken]) -> list[Settled | Left]:
        """Commit the batch; where the database refuses it for one mail's sake, commit letter by letter."""
        try:
            with self.store.transaction():
                self.filing.write()
                results = self._decide(batch)
                self.desk.flush()
            self.filing.clear()
            return results
        except NOT_THE_STAGES_OWN as error:
            self._let_pass(error)
            if len(batch) > 1:
                return [result for taken in batch for result in self._transact([taken])]
            return self._write_failed(batch[0], error)

    def _write_failed(self, taken: Taken, error: BaseException) -> list[Settled | Left]:
        try:
            with self.store.transaction():
                results = self._fail_alone(taken, error)
                self.desk.flush()
            return results
        except peewee.PeeweeException as refused:  # not even that row: the mail waits, and the others go on
            self._let_pass(refused)
            return [Left(taken.found, f"the database refuses it: {refused}")]

    def _rehearse(self, taken: Taken) -> list[Settled | Left]:
        """Decide one letter of a dry run: its page is kept and never flushed."""
        try:
            return self._decide([taken])
        except NOT_THE_STAGES_OWN as error:
            self._let_pass(error)
            self.desk.drop()
            return self._fail_alone(taken, error)

    @staticmethod
    def _let_pass(error: BaseException) -> None:
        """Raise what passes by itself (full, locked, I/O) as TryLater; return for what is the mail's own."""
        if trouble := passing_trouble(error):
            raise trouble from error

    def _fail_alone(self, taken: Taken, error: BaseException) -> list[Settled | Left]:
        self.desk.begin([taken.letter])
        self.desk.turn()
        settled = self._settle(taken, failed(taken.letter, "desk", error))
        self.desk.keep()
        return [settled]

    def _decide(self, batch: list[Taken]) -> list[Settled | Left]:
        self.store.check_schema()
        self.desk.begin([taken.letter for taken in batch], [taken.found.place for taken in batch])
        return [result for taken in batch if (result := self._one(self._named(taken)))]

    def _told(self, results: list[Settled | Left]) -> list[Settled | Left]:
        for result in results:
            if isinstance(result, Settled):
                self.tell(result, (time.monotonic() - result.taken.since) * 1000)
        return results

    def _file(self, settled: Settled) -> None:
        """Move the file of a mail whose outcome is committed; a failed one gets a star, a mended one loses ours."""
        if delivery := settled.taken.delivery:
            star = "F" if settled.letter.outcome is Outcome.FAILED else ""
            self.filing.move(settled.taken.found, delivery.place.key, "S" + star, settled.place_id)
        if settled.mended is not None:
            self.filing.unstar(settled.mended)

    def _refile(self, again: list[tuple[Found, str]]) -> None:
        """Known mails back in new/: a human un-read or re-flagged them. Their flags are theirs; nothing runs."""
        if not self.dry:
            for found, key in again:
                self.filing.move(found, key, "", None)

    # -- a letter ----------------------------------------------------------------------------------------------------

    def _named(self, taken: Taken) -> Taken:
        """Settle under which name a foreign file goes on.

        One that bears a name that the ledger knows is that file again (a human un-read it), unless its bytes are others or
        that file is still where it was filed: then it is another, and gets a fresh name.
        """
        known = self.desk.place(taken.found.place)
        if known is None or known["state"] == "waiting" or taken.delivery is None or taken.found.whole_by_name:
            return taken
        box = self.boxes[taken.found.place.box]
        is_again = known["digest"] == taken.letter.digest and (known["state"] == "noted" or box.in_cur(known["key"]) is None)
        place = taken.found.place if is_again else Place(box.name, box.fresh_key())
        delivery = taken.delivery._replace(place=place, original=name_as_text(taken.found.path))
        return taken._replace(letter=replace(taken.letter, place=place), delivery=delivery)

    def _one(self, taken: Taken) -> Settled | Left | None:
        """Decide one letter on a page of its own."""
        if taken.delivery and not os.path.lexists(taken.found.path):  # moved meanwhile: another pass sees it where it is
            return None
        place = self.desk.place(taken.letter.place) if taken.delivery else None
        if taken.delivery and place and place["state"] != "waiting":  # another worker was faster, or we died before the rename
            self._late.append((taken.found, taken.delivery.place.key))
            return None
        if self.desk.rests(taken.letter):
            return Left(taken.found, "a stage asked for another try later")
        self.desk.turn(partial(self._raw, taken))
        try:
            settled = self._settle(taken, self._through_the_desk(taken))
        except Retry as retry:
            return self._postpone(taken, retry)
        self.desk.keep()
        return settled

    def _raw(self, taken: Taken) -> bytes:
        """Fetch the bytes of a mail in hand from where they are just now: the batch, data/mails, the ledger, or its file."""
        if taken.delivery and taken.delivery.packed is not None:
            return unpack(taken.delivery.packed)
        if taken.delivery and self.dry:
            return Path(taken.found.path).read_bytes()
        known = None if taken.delivery else self.desk.known(taken.letter)
        return self.store.raw(known["id"]) if known else self.store.mail_file(taken.letter.digest).read_bytes()

    def _postpone(self, taken: Taken, retry: Retry) -> Settled | Left:
        self._start_over()
        if taken.delivery is None:  # its file is filed: without an outcome it would wait for nobody
            settled = self._settle(taken, failed(taken.letter, "later", retry))
            self.desk.keep()
            return settled
        self.desk.postpone(taken.letter, taken.delivery, retry)
        self.desk.keep()
        return Left(taken.found, f"a stage asked for another try later: {retry.why}")

    def _start_over(self) -> None:
        self.desk.drop()
        self.desk.turn()

    def _through_the_desk(self, taken: Taken) -> Letter:
        """Run the desk's stages; what was decided before about the same mail stands, whatever befell this copy."""
        letter, known = taken.letter, self._decided(taken.letter)
        if taken.found.place in self._first_sync:
            letter = letter.marked("first-sync")
        if known and (taken.retry or letter.outcome):
            return _duplicate(letter, known)
        if taken.retry:
            raise taken.retry
        if self._suspects.get(taken.found.place, 0) >= DEATHS:
            return letter.settle(Outcome.FAILED, f"runner: the program died {DEATHS} times with this mail alone in hand")
        for stage in self.line.desk_stages:
            if letter.ended:
                return letter
            try:
                arguments = {name: getattr(self, name) for name in stage.asks}
                letter = checked(stage.function(letter, **arguments))
            except (Retry, *NOT_THE_STAGES_OWN):
                raise
            except (Exception, SystemExit) as error:  # the stage's own defect: that letter alone fails
                return _duplicate(letter, known) if known else failed(taken.letter, stage.name, error)
        return letter if letter.outcome else letter.settle(Outcome.FAILED, "runner: no stage settled the mail")

    def _decided(self, letter: Letter) -> Row | None:
        known = self.desk.known(letter)
        return known if known and known["outcome"] not in (None, Outcome.FAILED) else None

    def _settle(self, taken: Taken, letter: Letter) -> Settled:
        """Write the letter's end onto its page; of a failed one nothing else stays."""
        before = self.desk.known(letter)
        if letter.outcome is Outcome.DUPLICATE and before is None:
            letter = letter.settle(Outcome.FAILED, "runner: a stage called the mail a duplicate of none", ticket=None)
        if letter.outcome is Outcome.FAILED:
            self._start_over()
        self.desk.settle(letter, taken.delivery)
        if taken.approval and letter.outcome in (Outcome.OPENED, Outcome.COMMENTED):
            self._note_approval(letter, taken.approval)
        place = self.desk.place(taken.delivery.place) if taken.delivery else None
        mended = before and before["outcome"] == Outcome.FAILED and letter.outcome is not Outcome.FAILED
        return Settled(
            taken,
            letter,
            place["id"] if place else None,
            self.desk.label(letter.ticket) if letter.ticket else None,
            before["id"] if before and mended else None,
        )

    def _note_approval(self, letter: Letter, approval: Approval) -> None:
        assert letter.ticket is not None
        self.desk.event(letter.ticket, "let a held mail through", BY_HAND, who=approval.who)
        sender = sender_of(letter)
        if approval.join and sender and not is_own(sender, self.settings):
            self.desk.approve(letter.ticket, sender, approval.who)

    # -- mails from the store ----------------------------------------------------------------------------------------

    def rehearse(self, raw: bytes, place: Place, as_of: Row | None = None) -> Letter:
        """Run the whole line on bytes and write nothing; `as_of` asks as if that mail and later ones had not come."""
        assert self.dry
        letter = Letter(hashlib.sha256(raw).hexdigest(), place)
        try:
            letter = self.line.read(letter, raw)
        except Retry as retry:
            return letter.because(f"later: {retry.why}")
        self.desk.begin([letter])
        self.desk.look_back(as_of)
        self.desk.turn(lambda: raw)
        try:
            found = Found(place, place.key, "cur", "", None, 0, 0, (0, 0))
            return self._through_the_desk(Taken(found, letter, None, time.monotonic()))
        except Retry as retry:
            return letter.because(f"later: {retry.why}")
        except NOT_THE_STAGES_OWN as error:
            self._let_pass(error)
            return failed(letter, "desk", error)
        finally:
            self.desk.drop()
            self.desk.look_back(None)

    def retry(self, mail_ids: Iterable[int]) -> Summary:
        """Run failed mails again from their stored bytes; a success takes away the star that we set."""
        return self._again(mail_ids, lambda taken: taken)

    def approve(self, mail_ids: Iterable[int], who: str, join: bool = False) -> Summary:
        """Let held mails through; with `join` their senders may speak on the tickets from now on."""

        def approved(taken: Taken) -> Taken:
            letter = taken.letter.because(f"held: {who} let it through").marked("approved")
            return taken._replace(letter=letter, approval=Approval(who, join))

        return self._again(mail_ids, approved)

    def _again(self, mail_ids: Iterable[int], changed: Callable[[Taken], Taken]) -> Summary:
        start, summary = time.monotonic(), Summary()
        for mail_id in mail_ids:
            taken = self.intake.from_store(mail_id, *self._first_place(mail_id))
            for result in self._commit([changed(taken)]):
                self._count(result, summary)
        summary.seconds = time.monotonic() - start
        return summary

    def _first_place(self, mail_id: int) -> tuple[Place, str]:
        """Return where a mail was filed first, and the name that it came with."""
        row = self.store.row(tables.Place.select().where(tables.Place.mail == mail_id).order_by(tables.Place.id))
        return (Place(row["box"], row["key"]), row["original"] or "") if row else (Place(".", str(mail_id)), "")


def _sentence(error: BaseException) -> str:
    """Say what ended a pass, if it may pass by itself; else raise it."""
    if trouble := passing_trouble(error):
        return trouble.sentence
    if isinstance(error, OSError) and error.filename:  # a folder that may not be listed, say
        return f"{error.strerror}: {error.filename}"
    raise error


def _duplicate(letter: Letter, known: Row) -> Letter:
    return letter.settle(Outcome.DUPLICATE, "runner: the mail is in already", ticket=known["ticket"])


def tell_pass(summary: Summary, phrase: str = "Email processing") -> None:
    """Write the line of a pass that touched something, with its counts."""
    if summary.touched:
        say(phrase, **{name: value for name, value in summary.as_json().items() if value or name in ("left", "seconds")})
