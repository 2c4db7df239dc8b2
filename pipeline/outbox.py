"""The outbox: rows become mails at the SMTP server, at least once and under one Message-ID.

A row is written by what causes it, in its transaction. Here it is only read, and marked in a small transaction of its own
right after the server's 250: a mail goes twice only if we die, or the line breaks, between the two. Two senders never
work at once: the system frees the lock of one that dies.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from . import tables
from .compose import strict_address
from .desk import WHO, Desk, at_desk
from .digest import Gatherer
from .errors import CannotSend, LoginRefused, NotFound, OutOfReach, SettingsError, TryLater, UsageError
from .locks import file_lock
from .log import safe, say
from .notices import FAILED
from .settings import Settings
from .smtp import Dropped, Line, Refusal
from .store import Store

SEND_LOCK = "send.lock"
PAUSE = "PAUSE"
LOOK_SECONDS = 2.0  # between two looks at the table
LOGIN_SECONDS = 300.0  # three refused log-ins a round lock an account
TROUBLE_SECONDS = (5.0, 300.0)  # the first wait for a server out of reach, and the longest
FIRST_RETRY, LONGEST_RETRY = 60.0, 4 * 3600.0  # RFC 5321, 4.5.4.1: at least 30 minutes in the end, 4 to 5 days in all
GIVE_UP_DAYS, GIVE_UP_TRIES = 5, 8
DROPS = 3  # lines that break one after another: it is the server, not the mails
MARK_TRIES = 5
AT_ONCE = 200  # ids in one question
LONGEST_REASON = 2000
MINUTE = 60.0
ORIGINAL = "X-Original-Recipients"

Row = dict[str, Any]


def utc_now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(datetime.UTC)


@dataclass(slots=True)
class Summary:
    """What a pass did: mails sent, mails that somebody refused for good, and mails that wait after it."""

    sent: int = 0
    refused: int = 0
    waiting: int = 0

    @property
    def exit_code(self) -> int:
        return 75 if self.waiting else 1 if self.refused else 0

    def __str__(self) -> str:
        if not (self.sent or self.refused or self.waiting):
            return "There is nothing to send."
        return f"{self.sent} sent, {self.refused} refused for good, {self.waiting} wait for another try."


class Sender:
    """Delivers what is due, on one connection; `stop` ends it after the mail in hand."""

    def __init__(
        self, store: Store, settings: Settings, stop: threading.Event, clock: Callable[[], datetime.datetime] = utc_now
    ) -> None:
        self.store = store
        self.settings = settings
        self._stop = stop
        self._clock = clock
        self._line = Line(settings)
        self._gatherer = Gatherer(store, settings, clock)
        self._said: str | None = None
        self._wait = TROUBLE_SECONDS[0]
        self._unwritten: list[tuple[Row, list[Refusal], bool]] = []  # what the server answered, where the disk took no word of it
        self._times: deque[float] | None = None  # when the last mails went out

    # -- a loop, or a pass -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Deliver until told to stop; while another sender is at work, wait for its end."""
        while not self._stop.is_set():
            try:
                with file_lock(self.settings.data_dir / SEND_LOCK, seconds=0.0):
                    while not self._stop.is_set():
                        self._stop.wait(self._round())
            except TryLater:
                self._tell("Another sender is at work; this one idles")
                self._stop.wait(LOOK_SECONDS)

    def _round(self) -> float:
        """Deliver what is due; return the seconds to the next look. Trouble is told once, when it begins and when it ends."""
        try:
            hindrance = hindrance_to_send(self.settings)
            if not hindrance:
                hindrance = self._gather(in_loop=True)
                self.deliver()
            self._tell(hindrance)
            self._wait = TROUBLE_SECONDS[0]
            return LOOK_SECONDS
        except LoginRefused as trouble:
            self._tell(trouble.sentence, trouble.hint)
            return LOGIN_SECONDS
        except (OutOfReach, TryLater) as trouble:
            self._tell(trouble.sentence, trouble.hint)
            pause, self._wait = self._wait, min(self._wait * 2, TROUBLE_SECONDS[1])
            return pause

    def _tell(self, sentence: str | None, hint: str | None = None) -> None:
        if sentence and sentence != self._said:
            say(sentence, logging.WARNING if hint else logging.INFO, hint=hint)
        elif self._said and not sentence:
            say("Sending mail works")
        self._said = sentence

    def once(self) -> Summary | None:
        """Make one pass; None while another sender is at work.

        Raises:
            OutOfReach, LoginRefused, TryLater
        """
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self.settings.data_dir / SEND_LOCK, seconds=0.0))
            except TryLater:
                return None
            if trouble := self._gather(in_loop=False):
                say(trouble, logging.WARNING)
            return self.deliver()

    def _gather(self, in_loop: bool) -> str | None:
        """Write the mails to agents that are due; say why they wait, if they do. No customer's mail waits for them."""
        if hindrance_to_send(self.settings):
            return None
        try:
            self._gatherer.gather(in_loop)
        except SettingsError as error:
            return f"Notifications wait: {'; '.join(error.problems)}"
        return None

    def deliver(self) -> Summary:
        """Deliver what is due, in order; the caller holds the lock. A mail that cannot go keeps no other from going.

        Raises:
            OutOfReach, LoginRefused, TryLater: the rest waits.
        """
        summary, drops = Summary(), 0
        self._write_down_the_rest()
        try:
            for number in self._due():
                if not self._may_go_on():
                    break
                row = self._row(number)
                if row is not None:
                    drops = 0 if self._send(row, summary) else drops + 1
                if drops >= DROPS:
                    raise OutOfReach("The SMTP server breaks the line again and again.", "The mails wait.")
        finally:
            self._line.close()
        summary.waiting = self.store.count(tables.Outbox.select().where(tables.Outbox.state == "waiting"))
        return summary

    def _may_go_on(self) -> bool:
        return not self._stop.is_set() and not hindrance_to_send(self.settings) and self._paced()

    def _paced(self) -> bool:
        """Wait until another mail may go within SEND_PER_MINUTE; say whether it may, or we are told to stop."""
        most = self.settings.send_per_minute
        if self._times is None:
            self._times = self._sent_lately(most)
        while most and len(self._times) >= most and not self._stop.is_set():
            self._stop.wait(max(self._times[0] + MINUTE - time.monotonic(), 0.0))
            while self._times and self._times[0] + MINUTE <= time.monotonic():
                self._times.popleft()
        return not self._stop.is_set()

    def _sent_lately(self, most: int) -> deque[float]:
        """Return when mails went out in the last minute, from the table: a pass each minute must keep the limit too."""
        sent = tables.Outbox.sent
        since = (self._clock() - datetime.timedelta(seconds=MINUTE)).isoformat(timespec="seconds")
        asked = tables.Outbox.select(sent).where(tables.Outbox.state == "sent").order_by(tables.Outbox.id.desc()).limit(most)
        times = [datetime.datetime.fromisoformat(one) for one in self.store.values(asked) if one > since]
        ages = sorted(((self._clock() - one).total_seconds() for one in times), reverse=True)
        return deque((time.monotonic() - age for age in ages), maxlen=max(most, 1))

    # -- rows --------------------------------------------------------------------------------------------------------

    def _due(self) -> Iterator[int]:
        outbox, last = tables.Outbox, 0
        while True:
            rested = outbox.next_try.is_null() | (outbox.next_try <= self._now())
            asked = outbox.select(outbox.id).where((outbox.state == "waiting") & rested & (outbox.id > last))
            numbers = self.store.values(asked.order_by(outbox.id).limit(AT_ONCE))
            if not numbers:
                return
            yield from numbers
            last = numbers[-1]

    def _row(self, number: int) -> Row | None:
        """Read a row again: an agent may have cancelled it since it was listed."""
        outbox, ticket = tables.Outbox, tables.Ticket
        asked = outbox.select(outbox, ticket.ticket_number.alias("label")).left_outer_join(ticket)
        with self.store.transaction():
            return self.store.row(asked.where((outbox.id == number) & (outbox.state == "waiting")))

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")

    # -- a mail ------------------------------------------------------------------------------------------------------

    def _send(self, row: Row, summary: Summary) -> bool:
        """Send a mail and write down what became of it; say whether the line held."""
        began = time.monotonic()
        recipients: list[str] = json.loads(row["recipients"])
        try:
            refusals = self._hand_over(row, recipients)
        except Dropped as drop:
            self._put_off(row, f"the line broke: {drop}")
            return False
        row["ms"] = round((time.monotonic() - began) * 1000)
        if self._times is not None:
            self._times.append(time.monotonic())
        self._unwritten.append((row, refusals, len(refusals) < len(recipients)))
        self._write_down_the_rest()
        summary.sent += len(refusals) < len(recipients)
        summary.refused += any(one.for_good for one in refusals)
        return True

    def _hand_over(self, row: Row, recipients: list[str]) -> list[Refusal]:
        """Give a mail to the server; an address that is none is refused here, and never reaches the line."""
        senders, wrong = _checked([row["envelope_from"]]) if row["envelope_from"] else ([""], [])
        if wrong:
            return [wrong[0]._replace(address=safe(one)) for one in recipients]
        envelope, wrong = _checked(recipients)
        raw = bytes(row["raw"])
        if not envelope:
            return wrong or [Refusal("nobody", 553, "there is no recipient")]
        if not self.settings.all_mail_to:
            return wrong + self._on_the_line(senders[0], envelope, raw)
        refused = self._on_the_line(senders[0], [self.settings.all_mail_to], _with_original(raw, envelope))
        return wrong + [one._replace(address=address) for one in refused for address in envelope]

    def _on_the_line(self, sender: str, envelope: Sequence[str], raw: bytes) -> list[Refusal]:
        """Hand a mail over; a line that the server closed while it was idle is made anew once."""
        try:
            return self._line.hand_over(sender, envelope, raw)
        except Dropped as drop:
            if drop.handed_over:
                raise
        return self._line.hand_over(sender, envelope, raw)

    # -- what became of it -------------------------------------------------------------------------------------------

    def _write_down_the_rest(self) -> None:
        """Write down every answer of the server before another mail goes; a full disk must not make us send again and again.

        Raises:
            TryLater: it could not be written; it is kept.
        """
        while self._unwritten:
            for tries_left in reversed(range(MARK_TRIES)):
                try:
                    self._write_down(*self._unwritten[0])
                    break
                except TryLater:
                    if not tries_left:
                        raise
                    time.sleep(0.2)  # not `stop.wait`: what was sent must be marked, above all when we are to end
            self._unwritten.pop(0)

    def _write_down(self, row: Row, refusals: list[Refusal], taken: bool) -> None:
        given_up = self._is_given_up(row)
        later = [] if given_up else [one for one in refusals if not one.for_good]
        lost = [one for one in refusals if one not in later]
        reason = "; ".join(map(str, refusals))[:LONGEST_REASON] or None
        if later:
            changes = self._rest(row, reason) | {"recipients": json.dumps([one.address for one in later])}
            state = "waiting"
        else:
            state = "sent" if taken else "failed"
            sent = self._now() if taken else None
            changes = {"state": state, "sent": sent, "tries": row["tries"] + 1, "next_try": None, "reason": reason}
        with self._desk_for(row if lost else None) as desk:
            self.store.update(tables.Outbox, [(row["id"], changes)])
            for one in lost:
                tell_ticket(desk, row, one, given_up and not one.for_good)
            _tell_agents(desk, row, lost)
        self._log(row, state, reason)

    @contextlib.contextmanager
    def _desk_for(self, row: Row | None) -> Iterator[Desk | None]:
        """Open a transaction, with a desk where a ticket is to be told something."""
        if row is not None and row["ticket"] is not None:
            with at_desk(self.store, self.settings) as desk:
                yield desk
        else:
            with self.store.transaction():
                yield None

    def _is_given_up(self, row: Row) -> bool:
        """Was it tried long enough? Days alone are not: it may have lain in a paused outbox, or be tried again by hand."""
        age = self._clock() - datetime.datetime.fromisoformat(row["created"])
        return age > datetime.timedelta(days=GIVE_UP_DAYS) and row["tries"] + 1 >= GIVE_UP_TRIES

    def _rest(self, row: Row, reason: str | None) -> Row:
        """Return the columns of a mail that is tried again: after a minute, then twice that, to four hours, not all at once.

        Its state stays what it is: waiting, or cancelled meanwhile.
        """
        seconds = min(FIRST_RETRY * 2 ** min(row["tries"], 20), LONGEST_RETRY) * random.uniform(0.8, 1.2)
        due = self._clock() + datetime.timedelta(seconds=seconds)
        again = due.isoformat(timespec="seconds")
        return {"tries": row["tries"] + 1, "next_try": again, "reason": reason}

    def _put_off(self, row: Row, reason: str) -> None:
        """Let a mail wait whose line broke: whether the server took it, nobody knows."""
        with self.store.transaction():
            self.store.update(tables.Outbox, [(row["id"], self._rest(row, reason))])
        self._log(row, "waiting", reason)

    def _log(self, row: Row, state: str, reason: str | None) -> None:
        phrase, level = PHRASES[state]
        told = {name: row.get(name) for name in ("kind", "message_id", "ms")}
        say(phrase, level, ticket=row["label"], outcome=state, to=",".join(json.loads(row["recipients"])), **told, reason=reason)


PHRASES = {
    "sent": ("Mail sent", logging.INFO),
    "failed": ("Mail refused", logging.WARNING),
    "waiting": ("Mail waits for another try", logging.WARNING),
}


def tell_ticket(desk: Desk | None, row: Row, refusal: Refusal, given_up: bool) -> None:
    """Write into a ticket's history whom a mail did not reach, and why."""
    if desk is not None:
        why = f"given up after {GIVE_UP_DAYS} days" if given_up else f"refused by the mail server ({row['kind']})"
        desk.event(row["ticket"], f"send failed: {refusal}", why, who=WHO)


def _tell_agents(desk: Desk | None, row: Row, lost: list[Refusal]) -> None:
    """Tell the agents whom it concerns; but a notification that fails tells nobody, or it would cause the next one."""
    if desk is not None and lost and row["kind"] != "notification":
        desk.tell(FAILED, row["ticket"], f"did not reach {'; '.join(map(str, lost))}", WHO, row["message"])


def hindrance_to_send(settings: Settings) -> str | None:
    """Say why nothing is sent: not configured, switched off, or paused; None where nothing hinders."""
    if settings.smtp_missing:
        return f"Sending is not configured; set {', '.join(settings.smtp_missing)} in .env. Mails wait in the outbox"
    if not settings.send_enabled:
        return "Sending is switched off (SEND_ENABLED=no); mails wait in the outbox"
    pause = settings.data_dir / PAUSE
    return f"Sending is paused; remove {pause} to go on. Mails wait in the outbox" if pause.exists() else None


def _checked(addresses: Sequence[str]) -> tuple[list[str], list[Refusal]]:
    """Return the addresses that an envelope takes, and a refusal for each of the others."""
    good, wrong = [], []
    for address in addresses:
        try:
            good.append(strict_address("envelope", address))
        except CannotSend as error:
            wrong.append(Refusal(safe(address), 553, safe(error.why)))
    return good, wrong


def _with_original(raw: bytes, recipients: Sequence[str]) -> bytes:
    """Put the header on top that says to whom a mail would have gone."""
    return f"{ORIGINAL}: {(',' + chr(13) + chr(10) + ' ').join(recipients)}\r\n".encode("ascii") + raw


# -- for the commands ------------------------------------------------------------------------------------------------

SHOWN = ("id", "kind", "message_id", "envelope_from", "state", "tries", "next_try", "reason", "created", "sent")


def outbox_list(store: Store, all_of_them: bool = False) -> list[Row]:
    """Return what waits, failed or was cancelled, as JSON shapes; what was sent too if it is asked for."""
    outbox, ticket = tables.Outbox, tables.Ticket
    columns = [outbox._meta.fields[name] for name in (*SHOWN, "recipients")]
    asked = outbox.select(*columns, ticket.ticket_number.alias("ticket")).left_outer_join(ticket).order_by(outbox.id)
    rows = store.rows(asked if all_of_them else asked.where(outbox.state != "sent"))
    return [
        {"id": row["id"], "ticket": row["ticket"], "recipients": json.loads(row["recipients"])}
        | {name: row[name] for name in SHOWN[1:]}
        for row in rows
    ]


def retry(desk: Desk, number: int, who: str) -> None:
    """Let a mail be tried again now, as if for the first time.

    Raises:
        NotFound
        UsageError: it was sent.
    """
    row = _one(desk.store, number)
    if row["state"] == "sent":
        raise UsageError(f"Mail {number} of the outbox was sent already.", "`helpdesk ticket resend` sends an answer again.")
    again = {"state": "waiting", "tries": 0, "next_try": None, "reason": None}
    _set(desk, row, again, "a mail is tried again", who)


def cancel(desk: Desk, number: int, who: str) -> None:
    """Keep a mail from going out.

    Raises:
        NotFound
        UsageError: it was sent.
    """
    row = _one(desk.store, number)
    if row["state"] == "sent":
        raise UsageError(f"Mail {number} of the outbox was sent already.")
    _set(desk, row, {"state": "cancelled", "next_try": None, "reason": f"{who} cancelled it"}, "a mail was cancelled", who)


def _one(store: Store, number: int) -> Row:
    outbox = tables.Outbox
    columns = (outbox.id, outbox.ticket, outbox.kind, outbox.state, outbox.recipients)
    row = store.row(outbox.select(*columns).where(outbox.id == number))
    if row is None:
        raise NotFound(f"No mail of the outbox has the id {number}.", "`helpdesk outbox list --all` shows them.")
    return row


def _set(desk: Desk, row: Row, changes: Row, what: str, who: str) -> None:
    desk.store.update(tables.Outbox, [(row["id"], changes)])
    if row["ticket"] is not None:
        to = re.sub(r"[\x00-\x1f\x7f]+", " ", ", ".join(json.loads(row["recipients"])))
        desk.event(row["ticket"], what, f"{row['kind']} to {to}", who=who)
