"""What people see of the store: the JSON shapes of tickets, people and failed mails; nothing here writes."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import peewee

from . import tables
from .errors import NotFound, no_mail, no_ticket
from .letter import Attachment, Outcome
from .readers import Pool
from .store import Store, among

OPEN = ("open", "waiting")
NUMBER = re.compile(r"(?:[A-Za-z]\w*-|#)?0*(\d{1,9})")


def ticket_number(text: str) -> int:
    """Read `1`, `001`, `#1` or `TICKET-001`.

    Raises:
        NotFound: it is none of these.
    """
    match = NUMBER.fullmatch(text.strip())
    if match is None:
        raise NotFound(f"{text!r} is no ticket number.", "Say 1, 001, #1 or TICKET-001; `helpdesk ticket list` shows them.")
    return int(match[1])


class Filters(NamedTuple):
    """Which tickets are meant; None: whatever they have. Addresses are in the form in which addresses compare."""

    status: str | None = None
    queue: str | None = None
    assignee: str | None = None  # "" for nobody
    tag: str | None = None
    sender: str | None = None  # or another address of the same person


EVERY = Filters()


def ticket_list(
    store: Store, all_of_them: bool = False, filters: Filters = EVERY, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return tickets, the latest touched first: open and waiting ones, those of the status that is asked for, or all."""
    ticket, tag = tables.Ticket, tables.Tag
    query = ticket.select().order_by(ticket.updated.desc(), ticket.id.desc()).limit(limit)
    if not all_of_them or filters.status:
        query = query.where(ticket.status.in_((filters.status,) if filters.status else OPEN))
    if filters.queue is not None:
        query = query.where(ticket.queue == filters.queue)
    if filters.assignee is not None:
        query = query.where((ticket.assignee == filters.assignee) if filters.assignee else ticket.assignee.is_null())
    if filters.tag is not None:
        query = query.where(ticket.id.in_(tag.select(tag.ticket).where(tag.name == filters.tag)))
    if filters.sender is not None:
        query = query.where(among(ticket.id, _tickets_of(store, filters.sender)))
    return _ticket_shapes(store, store.rows(query))


def _tickets_of(store: Store, address: str) -> list[int]:
    part = tables.Participant
    return store.values(
        part.select(part.ticket).where(among(part.address, addresses_of(store, address)) & (part.role == "requester"))
    )


def addresses_of(store: Store, address: str) -> list[str]:
    """Return every address of the person who has this one."""
    own = tables.PersonAddress
    people = own.select(own.person).where(own.address == address)
    return store.values(own.select(own.address).where(own.person.in_(people))) or [address]


def _ticket_shapes(store: Store, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = [row["id"] for row in rows]
    message = tables.Message
    counts = (
        message.select(message.ticket, peewee.fn.COUNT(message.id)).where(among(message.ticket, ids)).group_by(message.ticket)
    )
    messages = dict(counts.tuples().execute(store.database))
    tags = _grouped(store, tables.Tag, ids)
    return [
        {
            "number": row["ticket_number"],
            "id": row["id"],
            "subject": row["subject"],
            "status": row["status"],
            "priority": row["priority"],
            "queue": row["queue"],
            "assignee": row["assignee"],
            "requester": {"name": row["requester_name"], "address": row["requester_address"]},
            "tags": [tag["name"] for tag in tags[row["id"]]],
            "created_from_email": bool(row["created_from_email"]),
            "email_from": row["email_from"],
            "messages": messages.get(row["id"], 0),
            "created": row["created"],
            "updated": row["updated"],
        }
        for row in rows
    ]


def _grouped(store: Store, model: type[tables.Table], tickets: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows(model.select().where(among(model.ticket, tickets)).order_by(model.id)):  # type: ignore[attr-defined]
        groups[row["ticket"]].append(row)
    return groups


def ticket_show(store: Store, number: int, pool: Pool) -> dict[str, Any]:
    """Return a ticket with its messages in order, its history and its links. HTML is cut and sanitised now, by a reader.

    Raises:
        NotFound
    """
    row = store.row(tables.Ticket.select().where(tables.Ticket.id == number))
    if row is None:
        raise no_ticket(number)
    shape = _ticket_shapes(store, [row])[0]
    merged = store.values(tables.Ticket.select(tables.Ticket.ticket_number).where(tables.Ticket.id == row["merged_into"]))
    shape["merged_into"] = merged[0] if merged else None
    shape["participants"] = [part["address"] for part in _grouped(store, tables.Participant, [number])[number]]
    shape["messages"] = _messages(store, number, pool)
    shape["events"] = [
        {"when": event["at"], "who": event["who"], "what": event["what"], "why": event["why"]}
        for event in _grouped(store, tables.Event, [number])[number]
    ]
    shape["links"] = _links(store, number)
    return shape


def _links(store: Store, number: int) -> list[dict[str, Any]]:
    link, ticket = tables.Link, tables.Ticket
    both = store.rows(link.select().where((link.ticket == number) | (link.other == number)).order_by(link.id))
    ids = [row["other"] if row["ticket"] == number else row["ticket"] for row in both]
    labels = {row["id"]: row["ticket_number"] for row in store.rows(ticket.select().where(among(ticket.id, ids)))}
    return [{"number": labels[other], "why": row["why"]} for other, row in zip(ids, both, strict=True)]


def _messages(store: Store, number: int, pool: Pool) -> list[dict[str, Any]]:
    message, attachment = tables.Message, tables.Attachment
    rows = store.rows(
        message.select(message, tables.Mail.message_id.alias("mail_message_id"))
        .join(tables.Mail, peewee.JOIN.LEFT_OUTER)
        .where(message.ticket == number)
        .order_by(message.id)
    )
    parts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    ids = [row["id"] for row in rows]
    for part in store.rows(attachment.select().where(among(attachment.message, ids)).order_by(attachment.position)):
        parts[part["message"]].append(part)
    deliveries = _deliveries(store, ids)
    return [{**_message(store, row, parts[row["id"]], pool), "delivery": deliveries.get(row["id"])} for row in rows]


def _deliveries(store: Store, messages: list[int]) -> dict[int, dict[str, Any]]:
    """Return how the answers from here stand in the outbox, by message; of one that was sent again, the last."""
    outbox = tables.Outbox
    shown = ("state", "tries", "next_try", "reason", "sent")
    asked = outbox.select(outbox.message, *(outbox._meta.fields[name] for name in shown)).order_by(outbox.id)
    rows = store.rows(asked.where(among(outbox.message, messages)))
    return {row["message"]: {name: row[name] for name in shown} for row in rows}


def _message(store: Store, row: dict[str, Any], parts: list[dict[str, Any]], pool: Pool) -> dict[str, Any]:
    html = pool.html(store.raw(row["mail"])) if row["has_html"] and row["mail"] else None
    return {
        "id": row["id"],
        "kind": row["kind"],
        "author": {"name": row["author_name"], "address": row["author_address"]},
        "is_from_email": bool(row["is_from_email"]),
        "message_id": row["message_id"] or row["mail_message_id"],
        "date": row["date"],
        "text": row["text"],
        "reply_text": row["text"] if row["reply_text"] is None else row["reply_text"],
        "html": html,
        "attachments": [_attachment(part) for part in parts],
        "verified": None if row["verified"] is None else bool(row["verified"]),
        "defects": json.loads(row["defects"]),
    }


# A nameless part is shown under its number and its type (RFC 2046's commonest; the rest is .bin).
EXTENSIONS = {
    "application/pdf": "pdf",
    "application/zip": "zip",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "message/delivery-status": "txt",
    "message/rfc822": "eml",
    "text/calendar": "ics",
    "text/csv": "csv",
    "text/html": "html",
    "text/plain": "txt",
    "text/vcard": "vcf",
}


def _attachment(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "filename": part["filename"] or _made_name(part),
        "content_type": part["content_type"],
        "size": part["size"],
        "sha256": part["sha256"],
        "inline": bool(part["inline"]),
        "content_id": part["content_id"],
    }


def _made_name(part: dict[str, Any]) -> str:
    return f"part-{part['position'] + 1}.{EXTENSIONS.get(part['content_type'], 'bin')}"


class Kept(NamedTuple):
    """An attachment of a mail that came, or (`mail` is None) of an answer from here; and a name where its own is of no use."""

    message: int
    mail: int | None
    attachment: Attachment
    made_name: str


def attachments_of(store: Store, number: int) -> list[Kept]:
    """Return the attachments of a ticket's mails and of the answers from here, in order."""
    message, part = tables.Message, tables.Attachment
    asked = part.select(part, message.mail).join(message).where(message.ticket == number)
    rows = store.rows(asked.order_by(message.id, part.position))
    return [Kept(row["message"], row["mail"], _as_attachment(row), _made_name(row)) for row in rows]


def _as_attachment(row: dict[str, Any]) -> Attachment:
    return Attachment(**{name: row[name] for name in Attachment.__dataclass_fields__})


def raw_of(store: Store, kept: Kept) -> bytes:
    """Return the bytes of the mail that holds an attachment.

    Raises:
        HelpdeskError: they are not there, or are not what they were.
    """
    if kept.mail is not None:
        return store.raw(kept.mail)
    outbox = tables.Outbox
    row = store.row(outbox.select(outbox.raw).where(outbox.message == kept.message).order_by(outbox.id))
    if row is None:
        raise NotFound(f"Nothing in the outbox is message {kept.message}.")
    return bytes(row["raw"])


def failed_list(store: Store) -> list[dict[str, Any]]:
    """Return the mails that could not be processed, oldest first."""
    return [shape for shape, _ in _ledger_shapes(store, Outcome.FAILED)]


def held_list(store: Store) -> list[dict[str, Any]]:
    """Return the mails that wait for an agent, oldest first, each with the ticket that it names."""
    held = _ledger_shapes(store, Outcome.HELD)
    ticket = tables.Ticket
    named = store.rows(ticket.select().where(among(ticket.id, [row["ticket"] for _, row in held])))
    labels = {row["id"]: row["ticket_number"] for row in named}
    return [{**shape, "ticket": labels.get(row["ticket"]), "from": row["sender"]} for shape, row in held]


def kept_show(store: Store, outcome: Outcome, number: int) -> dict[str, Any]:
    """Return a mail that is held, or one that failed, with the reasons for it.

    Raises:
        NotFound
    """
    shapes = held_list(store) if outcome is Outcome.HELD else failed_list(store)
    for shape in shapes:
        if shape["id"] == number:
            trail = store.values(tables.Mail.select(tables.Mail.trail).where(tables.Mail.id == number))
            return {**shape, "why": json.loads(trail[0])}
    raise no_mail(number, outcome)


def _ledger_shapes(store: Store, outcome: Outcome) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    mail, place = tables.Mail, tables.Place
    rows = store.rows(mail.select().where(mail.outcome == outcome.value).order_by(mail.id))
    files: dict[int, str] = {}
    for row in store.rows(place.select().where(among(place.mail, [row["id"] for row in rows])).order_by(place.id)):
        files.setdefault(row["mail"], row["original"] or f"{row['box']}/{row['key']}")
    return [
        (
            {
                "id": row["id"],
                "file": files.get(row["id"]),
                "sha256": row["digest"],
                "reason": row["reason"],
                "stage": row["stage"],
                "attempts": row["tries"],
                "when": row["received"],
            },
            row,
        )
        for row in rows
    ]


def people_list(store: Store) -> list[dict[str, Any]]:
    """Return every person with addresses and the numbers of the tickets that they opened."""
    addresses: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in store.rows(tables.PersonAddress.select().order_by(tables.PersonAddress.id)):
        addresses[row["person"]].append(row)
    part, ticket = tables.Participant, tables.Ticket
    opened: dict[str, list[str]] = defaultdict(list)
    asked = part.select(part.address, ticket.ticket_number).join(ticket).where(part.role == "requester").order_by(ticket.id)
    for address, number in asked.tuples().execute(store.database):
        opened[address].append(number)
    return [
        {
            "id": person["id"],
            "name": person["name"],
            "addresses": [row["written"] for row in addresses[person["id"]]],
            "tickets": [number for row in addresses[person["id"]] for number in opened[row["address"]]],
            "created": person["created"],
        }
        for person in store.rows(tables.Person.select().order_by(tables.Person.id))
    ]


def person_show(store: Store, who: str, compared: str) -> dict[str, Any]:
    """Return one person, by id or address.

    Raises:
        NotFound
    """
    own = tables.PersonAddress
    found = store.row(own.select(own.person).where(own.address == compared))
    person = found["person"] if found else int(who) if who.isdecimal() else None
    for row in people_list(store):
        if row["id"] == person:
            return row
    raise NotFound(f"There is no person {who!r}.", "`helpdesk people list` shows everybody.")


def agent_list(store: Store) -> list[dict[str, Any]]:
    """Return every agent, with the number of open tickets that are theirs."""
    ticket, agent = tables.Ticket, tables.Agent
    counted = ticket.select(ticket.assignee, peewee.fn.COUNT(ticket.id)).where(ticket.status.in_(OPEN)).group_by(ticket.assignee)
    tickets = dict(counted.tuples().execute(store.database))
    return [
        {
            "id": row["id"],
            "address": row["address"],
            "name": row["name"],
            "disabled": bool(row["disabled"]),
            "has_password": row["password"] is not None,
            "tickets": tickets.get(row["address"], 0),
            "notify": row["notify"].split(),
            "digest_minutes": row["digest_minutes"],
            "created": row["created"],
        }
        for row in store.rows(agent.select().order_by(agent.id))
    ]
