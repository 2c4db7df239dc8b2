"""Say why a mail became what it became: from the ledger, and, if asked, by today's code in a dry run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from . import tables
from .desk import Row
from .errors import InputError, NotFound
from .letter import Letter, Place
from .maildir import boxes, split_name
from .runner import Runner
from .settings import Settings
from .store import Store, among

_TICKET = re.compile(r"(?:#|[A-Za-z]\w*-)0*(\d{1,9})")  # #1, TICKET-001
NO_PLACE: Row = {"trail": None}  # a mail that was asked for by its id or bytes, not by a file


def explain(store: Store, settings: Settings, what: str, now: bool) -> list[dict[str, Any]]:
    """Return a document for each mail that is meant: outcome, ticket, reasons; with `now` also today's reasons.

    Raises:
        NotFound: no file, no mail.
    """
    path = Path(what)
    if path.is_file():
        return _explain_file(store, settings, path, now)
    pairs = _mails_of(store, what)
    if not pairs:
        sentence = f"{what} is no file, no number of a mail or ticket, and no mail has this Message-ID or file name."
        raise NotFound(sentence, "`helpdesk audit` lists what is stored.")
    return [_document(store, settings, row, place, now) for row, place in pairs]


def _explain_file(store: Store, settings: Settings, path: Path, now: bool) -> list[dict[str, Any]]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(raw).hexdigest()
    pairs = [pair for pair in _by_name(store, path.name) if pair[1]["digest"] == digest]
    pairs = pairs or [(row, NO_PLACE) for row in store.rows(tables.Mail.select().where(tables.Mail.digest == digest))]
    if pairs:
        return [{**_document(store, settings, row, place, now), "file": str(path)} for row, place in pairs[-1:]]
    letter = _rehearse(store, settings, raw, None)
    return [_shape(str(path), letter.mail.message_id, None, None, [], [str(step) for step in letter.trail])]


def _mails_of(store: Store, what: str) -> list[tuple[Row, Row]]:
    """Return (mail, place) for a Message-ID, a number in the ledger, a ticket (places are not asked for), or a file's name."""
    mail = tables.Mail
    message_id = what.strip().removeprefix("<").removesuffix(">")
    where = [mail.message_id == message_id]
    if message_id.isdecimal():
        where.append(mail.id == int(message_id))
    elif ticket := _TICKET.fullmatch(message_id):
        where.append(mail.ticket == int(ticket[1]))
    for condition in where:
        if rows := store.rows(mail.select().where(condition).order_by(mail.id)):
            return [(row, NO_PLACE) for row in rows]
    return list(_by_name(store, Path(what).name))


def _by_name(store: Store, name: str) -> list[tuple[Row, Row]]:
    place = tables.Place
    named = (place.key == split_name(name)[0]) | (place.original == name)
    places = store.rows(place.select().where(named & place.mail.is_null(False)).order_by(place.id))
    mails = {row["id"]: row for row in store.rows(tables.Mail.select().where(among(tables.Mail.id, [p["mail"] for p in places])))}
    return [(mails[row["mail"]], row) for row in places]


def _document(store: Store, settings: Settings, row: Row, place: Row, now: bool) -> dict[str, Any]:
    ticket = store.row(tables.Ticket.select().where(tables.Ticket.id == row["ticket"])) if row["ticket"] else None
    again = place["trail"] is not None  # another delivery of the mail has its own reasons
    told = place if again else row
    today = None
    if now:
        raw = (_bytes_of(settings, place) if again else None) or store.raw(row["id"])
        today = _rehearse(store, settings, raw, None if again else row)
    return _shape(
        None,
        row["message_id"],
        told["outcome"],
        ticket["ticket_number"] if ticket else None,
        json.loads(told["trail"]),
        [str(step) for step in today.trail] if today else None,
    )


def _bytes_of(settings: Settings, place: Row) -> bytes | None:
    """Return the bytes of another delivery, which the store does not keep; None if its file is gone."""
    box = boxes(settings.maildir, [place["box"]], settings.maildir_separator)[place["box"]]
    found = box.find(place["key"])
    return Path(found.path).read_bytes() if found else None


def _shape(
    file: str | None, message_id: str | None, outcome: str | None, ticket: str | None, why: list[str], now: list[str] | None
) -> dict[str, Any]:
    return {"file": file, "message_id": message_id, "outcome": outcome, "ticket": ticket, "why": why, "now": now}


def _rehearse(store: Store, settings: Settings, raw: bytes, as_of: Row | None) -> Letter:
    with Runner(store, settings) as runner:
        return runner.rehearse(raw, Place("", "explain"), as_of)
