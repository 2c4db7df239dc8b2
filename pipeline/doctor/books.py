"""Checks that ask the database, which is opened read-only and for looking alone."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import peewee

from .. import tables
from ..errors import HelpdeskError, SchemaNewer, SchemaOlder
from ..letter import Authentication, Outcome
from ..mime import read_mail
from ..mime.authentication import MICROSOFT, trusted
from ..outbox import hindrance_to_send
from ..store import LARGE, Store, as_helpdesk_error, unpack
from ..sync.report import STALE_SECONDS, age, sync_status
from .finding import Case, Finding, counted, fail, ok, warn
from .house import cleaned

LONG_MINUTES = 10.0
QUICK_SECONDS = 1.0  # for looking for damage; of a large database a part is looked at
STEPS = 10_000  # of SQLite's machine, between two looks at the clock
RECENT = 10_000  # mails, counted from the newest
SYNCED = 50
HEAD = 64 << 10  # bytes of a mail in which its headers are looked for
FEWEST = 3  # mails that must agree before anything is proposed

NOT_FOR_CAPS = "%not acknowledged: % were written %"
ANSWERED = "%answers a notification of %"


def database(case: Case) -> Iterator[Finding]:
    """Is the database there, of this version, undamaged, and may it be written? Opens it for the checks that follow."""
    path = case.settings.database_path
    if not path.exists() or path.stat().st_size == 0:
        fix = "`helpdesk process` makes it; if there was one, bring it back from its copy, or set DATA_DIR to where it is."
        yield fail(f"{path} is not there", fix)
        return
    log = path.with_name(path.name + "-wal")
    written = log.exists()
    try:
        store = Store.open_readonly(case.settings)
    except (SchemaOlder, SchemaNewer) as error:
        yield fail(error.sentence, error.hint or "", "migrations")
        return
    except (HelpdeskError, peewee.PeeweeException, sqlite3.Error) as error:
        sentence = error.sentence if isinstance(error, HelpdeskError) else str(error)
        yield fail(f"{path}: {sentence}", _MEND)
        return
    damage = _damage(store)
    if damage and not written and log.exists():  # a program began to write while the file was read as one at rest
        store.close()
        store = Store.open_readonly(case.settings)
        damage = _damage(store)
    if damage:
        store.close()
        yield fail(f"{path} is damaged: {damage}", _MEND)
        return
    case.store = store
    yield from _rights(case)
    mails, tickets = store.count(tables.Mail.select()), store.count(tables.Ticket.select())
    yield ok(f"{path}: {counted(mails, 'mail')}, {counted(tickets, 'ticket')}, {path.stat().st_size >> 20} MB")
    yield ok(f"at {max(store.applied())}", "migrations")


_MEND = "Stop everything, keep a copy of the file, and bring back the last good one; `sqlite3 FILE .recover` may save the rest."


def _damage(store: Store) -> str:
    """Return what SQLite finds wrong in the time that there is; "" for nothing."""
    connection = store.database.connection()
    deadline = time.monotonic() + QUICK_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        return "" if said == "ok" else said
    except sqlite3.Error as error:
        return "" if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT" else str(error)
    finally:
        connection.set_progress_handler(None, 0)


def _rights(case: Case) -> Iterator[Finding]:
    path = case.settings.database_path
    for one in (path, path.parent):
        if not os.access(one, os.W_OK):
            yield fail(f"{one} cannot be written to", "Give it to the user who runs this.")


# -- mails that came ---------------------------------------------------------------------------------------------------


def _with_outcome(case: Case, outcome: Outcome | None) -> tuple[int, str]:
    """Return how many mails have an outcome, and the reason of the last."""
    mail, store = tables.Mail, case.must_store()
    which = mail.outcome.is_null() if outcome is None else mail.outcome == outcome.value
    with as_helpdesk_error():
        last = store.row(mail.select(mail.reason).where(which).order_by(mail.id.desc()))
        return store.count(mail.select(mail.id).where(which)), cleaned([last["reason"]]) if last else ""


def _told(count: int, what: str, reason: str) -> str:
    return f"{counted(count, 'mail')} {what}" + (f"; the last: {reason}" if reason else "")


def undecided(case: Case) -> Iterator[Finding]:
    """Do mails wait for another try?"""
    count, reason = _with_outcome(case, None)
    if count:
        yield warn(_told(count, "waiting for another try", reason), "`helpdesk process` tries those that are due.")


def failed(case: Case) -> Iterator[Finding]:
    """Are there mails that could not be processed?"""
    count, reason = _with_outcome(case, Outcome.FAILED)
    fix = "`helpdesk failed list` shows them, `helpdesk failed retry ID` tries one again."
    yield warn(_told(count, "could not be processed", reason), fix) if count else ok("no mail")


def held(case: Case) -> Iterator[Finding]:
    """Do mails wait for an agent?"""
    count, reason = _with_outcome(case, Outcome.HELD)
    fix = "`helpdesk held list` shows them, `helpdesk held approve ID` lets one through."
    yield warn(_told(count, "held for an agent", reason), fix) if count else ok("no mail")


def sync(case: Case) -> Iterator[Finding]:
    """Was a fetch good lately?"""
    with as_helpdesk_error():
        status = sync_status(case.must_store(), case.settings)
    sentence, rounds = str(status["sentence"]), status["rounds"]
    if not status["configured"]:
        yield from _not_configured(case, sentence)
    elif status["healthy"]:
        yield ok(sentence)
    elif not rounds:
        yield warn("no round has run yet", "Start `helpdesk up`, or `helpdesk sync --once`.")
    else:
        hint = str(rounds[0]["hint"] or "Start `helpdesk up`, or `helpdesk sync --once`.")
        say = fail if age(status["last_good"]) > STALE_SECONDS else warn
        yield say(sentence.removesuffix(hint).rstrip(), hint)


def _not_configured(case: Case, sentence: str) -> Iterator[Finding]:
    missing = case.settings.imap_missing
    if case.settings.imap_enabled and 0 < len(missing) < 3:
        yield warn(sentence, f"Set {', '.join(missing)} in .env.")
    else:
        yield ok(sentence)


# -- whom to believe ---------------------------------------------------------------------------------------------------


def authserv_id(case: Case) -> Iterator[Finding]:
    """Does TRUSTED_AUTHSERV_ID fit the mail that is fetched? Without it, what should it be?"""
    with as_helpdesk_error():
        heads = [auth for raw in _synced(case.must_store()) for auth in [_origin(raw)]]
    wanted = case.settings.trusted_authserv_id
    if wanted is None:
        yield from _proposal(heads)
        return
    hits = sum(trusted(auth, wanted) is not None for auth, _ in heads)
    if heads and not hits:
        names = cleaned(dict.fromkeys(auth[0].server or "(no name)" for auth, _ in heads if auth)) or "nobody"
        fix = "Set TRUSTED_AUTHSERV_ID to the name under which your own server writes; without a match nobody is proven."
        yield fail(f"{wanted} wrote none of the last {counted(len(heads), 'mail')}; topmost stands {names}", fix)
    else:
        yield ok(f"{wanted} wrote {hits} of the last {counted(len(heads), 'mail')}")


def _synced(store: Store) -> Iterator[bytes]:
    """Yield the last mails that were fetched, at most 50, without the large ones."""
    mail, place = tables.Mail, tables.Place
    fetched = place.select(place.mail).where((place.box != ".") & place.mail.is_null(False)).order_by(place.id.desc())
    numbers = list(dict.fromkeys(store.values(fetched.limit(2 * SYNCED))))
    for number in islice(numbers, SYNCED):
        row = store.row(mail.select(mail.packed).where((mail.id == number) & (mail.size <= LARGE) & mail.packed.is_null(False)))
        if row:
            yield unpack(row["packed"])


def _origin(raw: bytes) -> tuple[tuple[Authentication, ...], bool]:
    """Return what servers wrote about a mail, and whether Microsoft's took it in."""
    mail = read_mail(raw[:HEAD])
    received = " ".join(value for name, value in mail.headers if name == "received")
    return mail.auth, "outlook.com" in received


def _proposal(heads: list[tuple[tuple[Authentication, ...], bool]]) -> Iterator[Finding]:
    """Propose the name that stands topmost in most of the mails: who sends mail can write the header, but not on top of all."""
    tops = [MICROSOFT if microsoft and not auth[0].server else auth[0].server for auth, microsoft in heads if auth]
    name, count = _most_common([top for top in tops if top])
    if count < FEWEST or 2 * count <= len(heads):
        looked = f"the last {counted(len(heads), 'fetched mail')}" if heads else "no fetched mail yet"
        yield ok(f"not set, and nothing to propose ({looked}); a sender counts as neither proven nor false")
        return
    fix = f"If that is your own mail server, set TRUSTED_AUTHSERV_ID={name}; ask your provider if you do not know."
    yield warn(f"not set; {name} wrote the topmost Authentication-Results of {count} of the last {len(heads)} mails", fix)


def _most_common(names: list[str]) -> tuple[str, int]:
    """Return the name that is there most often; hosts of one domain count together, as `*.example.com`."""
    hosts = Counter(names)
    domains = Counter(f"*.{rest}" for name in names if "." in (rest := name.partition(".")[2]))
    best, count = next(iter(hosts.most_common(1)), ("", 0))
    shared, many = next(iter(domains.most_common(1)), ("", 0))
    return (shared, many) if many > count else (best, count)


# -- mails that go out -------------------------------------------------------------------------------------------------


def outbox(case: Case) -> Iterator[Finding]:
    """Do mails wait for long, or were some refused?"""
    table, hindrance = tables.Outbox, hindrance_to_send(case.settings)
    late, why = _in_outbox(case, (table.state == "waiting") & (table.created < case.ago(minutes=LONG_MINUTES)))
    refused, last = _in_outbox(case, table.state == "failed")
    if late:
        what = "waiting to be sent for more than ten minutes"
        yield warn(_told(late, what, why or (hindrance or "")), "`helpdesk send` says why; `helpdesk outbox list` shows them.")
    elif hindrance and case.settings.smtp_configured:
        yield warn(
            hindrance, "Go on with SEND_ENABLED=yes and without the file PAUSE, and with all of SMTP_HOST and SMTP_PASSWORD."
        )
    if refused:
        fix = "`helpdesk outbox list` shows them, `helpdesk outbox retry ID` tries one again."
        yield warn(_told(refused, "refused for good", last), fix)
    if not late and not refused and not (hindrance and case.settings.smtp_configured):
        yield ok("no mail waits for long, and none was refused")


def _in_outbox(case: Case, which: Any) -> tuple[int, str]:
    """Return how many rows there are, and the last reason that one has."""
    table, store = tables.Outbox, case.must_store()
    with as_helpdesk_error():
        last = store.row(table.select(table.reason).where(which & table.reason.is_null(False)).order_by(table.id.desc()))
        return store.count(table.select(table.id).where(which)), cleaned([last["reason"]]) if last else ""


def acknowledgements(case: Case) -> Iterator[Finding]:
    """Was a bound on acknowledgements reached within 24 hours?"""
    limits = case.settings
    if not (limits.smtp_configured and limits.acknowledge):
        yield ok("none are written" + ("" if limits.smtp_configured else " while SMTP is not configured"))
        return
    store = case.must_store()
    with as_helpdesk_error():
        reached = [*_reached(case, store)]
        unwritten = _recent(store, NOT_FOR_CAPS, case.ago(hours=24))
    if reached or unwritten:
        told = f"{cleaned(reached) or 'a bound was reached'}; {counted(unwritten, 'mail')} not acknowledged for that in 24 hours"
        fix = "If that was no loop of programs, raise the ACKNOWLEDGE_PER_... that is named; `helpdesk explain` has each mail."
        yield warn(told, fix)
    else:
        yield ok("no bound was reached within 24 hours")


def _reached(case: Case, store: Store) -> Iterator[str]:
    book, count = tables.Acknowledged, peewee.fn.COUNT(tables.Acknowledged.id)
    bounds: tuple[tuple[Any, str, int], ...] = (
        (book.address, "ACKNOWLEDGE_PER_SENDER", case.settings.acknowledge_per_sender),
        (book.domain, "ACKNOWLEDGE_PER_DOMAIN", case.settings.acknowledge_per_domain),
    )
    lately = book.at > case.ago(hours=24)
    for column, key, most in bounds:
        if most:
            asked = book.select(column).where(lately).group_by(column).having(count >= most).limit(RECENT)
            yield from (f"{who} ({key}={most})" for who in store.values(asked))
    most = case.settings.acknowledge_per_hour
    if most and store.count(book.select().where(book.at > case.ago(hours=1))) >= most:
        yield f"all in an hour (ACKNOWLEDGE_PER_HOUR={most})"


def _recent(store: Store, pattern: str, since: str = "") -> int:
    """Count the mails, of the newest 10,000, in whose trail a pattern of LIKE stands."""
    mail = tables.Mail
    newest = next(iter(store.values(mail.select(peewee.fn.MAX(mail.id)))), None) or 0
    return store.count(mail.select(mail.id).where((mail.id > newest - RECENT) & (mail.received > since) & (mail.trail**pattern)))


def plus_addresses(case: Case) -> Iterator[Finding]:
    """Did an agent's answer ever reach us at an address with a `+`? Notifications ask for it; only the mail server can do it."""
    if not case.settings.smtp_configured:
        return
    store = case.must_store()
    with as_helpdesk_error():
        agents = store.count(tables.Agent.select().where(~tables.Agent.disabled))
        seen = _recent(store, ANSWERED) if agents else 0
    if not agents:
        yield ok("not needed: there is no agent")
    elif seen:
        yield ok(f"they work: {counted(seen, 'answer')} came to one")
    else:
        fix = "Have the mail server deliver name+anything@ to name@, or agents' answers to notifications come back to them."
        yield warn("agents answer notifications to name+token@, and no such mail was ever seen here", fix)
