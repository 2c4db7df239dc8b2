"""Mails to agents, gathered out of the notices that wait: a mail each, a digest, or the summary of old mail.

One transaction a mail lays it into the outbox and marks what it tells, so that nothing is lost and nothing told twice,
whenever we die. The caller holds the sender's lock: nobody else gathers meanwhile.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import peewee

from . import tables
from .compose import Outgoing, new_message_id, reply_subject, writable
from .desk import Desk, at_desk
from .errors import CannotSend, SettingsError
from .letter import REPLY_ABOVE, Address
from .log import safe, say
from .notices import ASSIGNED, FAILED, NEW, OLD, Reader, answer_address
from .post import HOUR, Voice, domain_of, plain, voice_of
from .rules import DEFAULT_QUEUE
from .settings import Settings
from .store import Store, among, passing_trouble

AT_ONCE = 20  # mails that an agent gets within an hour before the rest comes in a digest
FLOOD = datetime.timedelta(minutes=10)  # between two digests of such a rest
QUIET = datetime.timedelta(seconds=60)  # no further old mail for so long: the summary may be written
LONGEST_TEXT = 20_000  # characters of a message
EXCERPT = 300  # characters of one in a digest
LISTED = 200  # tickets in a digest
HAPPENED = 5  # lines on each of them
NAMED = 20  # subjects in the summary of old mail
ATTACHMENTS = 50  # names
LONGEST_NAME = 200  # characters of a subject, a name, a file's name
EVENTS = 100  # tickets that are told that a mail could not be written

# What tells other programs that no person wrote this (RFC 3834, 3.1.7; MS-OXCMAIL for Exchange).
AUTOMATIC = (("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All"))

Row = dict[str, Any]


class Waiting(NamedTuple):
    """What waits for one reader: an agent, an address, or (`is_old`) all agents."""

    agent: int | None
    address: str | None
    is_old: bool
    oldest: str
    newest: str


class Gatherer:
    """Makes mails of the notices that are due."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], datetime.datetime]) -> None:
        self.store = store
        self.settings = settings
        self._clock = clock

    def gather(self, in_loop: bool) -> None:
        """Lay what is due into the outbox; in a loop the summary of old mail waits until no more of that comes.

        Raises:
            SettingsError: there is no address to write from; the notices wait.
            TryLater
        """
        for waiting in self._waiting():
            if waiting.is_old:
                self._old(waiting, in_loop)
            else:
                self._for_reader(waiting)

    def _waiting(self) -> list[Waiting]:
        notice, count = tables.Notice, peewee.fn
        is_old = notice.kind == OLD
        columns = (notice.agent, notice.address, is_old, count.MIN(notice.created), count.MAX(notice.created))
        asked = notice.select(*columns).where(notice.told.is_null()).group_by(notice.agent, notice.address, is_old)
        return [Waiting(*row) for row in asked.order_by(peewee.fn.MIN(notice.id)).tuples().execute(self.store.database)]

    def _desk(self) -> Any:
        return at_desk(self.store, self.settings, lambda: self._clock().isoformat(timespec="seconds"))

    def _since(self, moment: str | None) -> datetime.timedelta:
        return self._clock() - datetime.datetime.fromisoformat(moment) if moment else datetime.timedelta.max

    # -- an agent, or an address that a rule or a queue names --------------------------------------------------------

    def _for_reader(self, waiting: Waiting) -> None:
        agent = self.store.row(tables.Agent.select().where(tables.Agent.id == waiting.agent)) if waiting.agent else None
        reader, notices = Reader(agent["written"] if agent else waiting.address or "", agent), self._untold(waiting)
        if agent and agent["disabled"]:
            self._put_aside(notices)
        elif agent and agent["digest_minutes"]:
            minutes = datetime.timedelta(minutes=agent["digest_minutes"])
            if self._since(waiting.oldest) >= minutes and self._since(agent["digested"]) >= minutes:
                self._mail(reader, notices)
        else:
            self._at_once(waiting, reader, notices)

    def _at_once(self, waiting: Waiting, reader: Reader, notices: list[int]) -> None:
        """Write a mail for each, until there were too many within an hour: a flood must not become a flood."""
        lately = [one for one in self._told(waiting) if self._since(one) < HOUR]
        single = notices[: max(AT_ONCE - len(lately), 0)]
        for notice in single:
            self._mail(reader, [notice])
        rest = notices[len(single) :]
        if rest and (single or all(self._since(one) >= FLOOD for one in lately)):
            self._mail(reader, rest)

    def _theirs(self, waiting: Waiting) -> Any:
        notice = tables.Notice
        mine = (
            (notice.agent == waiting.agent) if waiting.agent else (notice.agent.is_null() & (notice.address == waiting.address))
        )
        return mine & (notice.kind != OLD)

    def _untold(self, waiting: Waiting) -> list[int]:
        notice = tables.Notice
        return self.store.values(
            notice.select(notice.id).where(self._theirs(waiting) & notice.told.is_null()).order_by(notice.id)
        )

    def _told(self, waiting: Waiting) -> list[str]:
        """Return when the last of theirs were told."""
        notice = tables.Notice
        asked = notice.select(notice.told).where(self._theirs(waiting) & notice.told.is_null(False))
        return self.store.values(asked.order_by(notice.id.desc()).limit(AT_ONCE))

    def _put_aside(self, notices: list[int]) -> None:
        with self._desk() as desk:
            desk.mark_told(notices)

    # -- a mail ------------------------------------------------------------------------------------------------------

    def _mail(self, reader: Reader, notices: list[int]) -> None:
        """Write one mail for these notices. One that cannot be written keeps no other from being written."""
        with _Guard(self, reader.address, notices), self._desk() as desk:
            outbox = self._single(desk, reader, notices) if len(notices) == 1 else self._digest(desk, reader, notices)
            desk.mark_told(notices, outbox)
            if reader.agent and (len(notices) > 1 or reader.agent["digest_minutes"]):
                desk.mark_digested(reader.agent)

    def _single(self, desk: Desk, reader: Reader, notices: list[int]) -> int:
        [row] = self._rows(notices, LONGEST_TEXT + 1)
        voice = voice_of(self.settings, row["queue"])
        answer = answer_address(voice, row["token"]) if row["token"] else None
        return desk.lay_notification(_outgoing(desk, voice, reader, self._values(row, answer), answer, row), row["ticket"])

    def _values(self, row: Row, answer: Address | None) -> Row:
        files = tables.Attachment
        asked = files.select(files.filename, files.content_type).where(files.message == row["message"]).order_by(files.position)
        names = [one["filename"] or one["content_type"] for one in self.store.rows(asked.limit(ATTACHMENTS))]
        return {
            "kind": row["kind"],
            **{name: _line(row[name]) for name in ("number", "subject", "queue", "who")},
            "why": plain(row["what"]),
            "author": _person(row["author_name"], row["author_address"]),
            "text": _shortened(row["text"] or ""),
            "attachments": [_line(name) for name in names],
            "may_answer": answer is not None,
        }

    def _rows(self, notices: Sequence[int], longest: int) -> list[Row]:
        """Return notices with their tickets and messages; who gets a ticket is shown its last mail."""
        notice, ticket, message = tables.Notice, tables.Ticket, tables.Message
        newest = tables.Message.alias()
        mails = (newest.ticket == notice.ticket) & (newest.kind == "mail") & (notice.kind == ASSIGNED)
        last = newest.select(peewee.fn.MAX(newest.id)).where(mails)
        shown = peewee.Case(None, [(notice.kind == NEW, message.text)], peewee.fn.COALESCE(message.reply_text, message.text))
        asked = notice.select(
            *(notice.id, notice.kind, notice.ticket, notice.token, notice.who, notice.what, notice.created),
            *(ticket.ticket_number.alias("number"), ticket.subject, ticket.queue, ticket.created.alias("opened")),
            *(message.id.alias("message"), message.author_name, message.author_address),
            peewee.fn.SUBSTR(shown, 1, longest).alias("text"),
        ).join(ticket)
        asked = asked.join(message, peewee.JOIN.LEFT_OUTER, on=(message.id == peewee.fn.COALESCE(notice.message, last)))
        return self.store.rows(asked.where(among(notice.id, notices)).order_by(notice.id))

    def _digest(self, desk: Desk, reader: Reader, notices: list[int]) -> int:
        tickets: dict[int, list[Row]] = {}
        for row in self._rows(notices, EXCERPT + 1):
            tickets.setdefault(row["ticket"], []).append(row)
        entries = [self._entry(rows) for rows in list(tickets.values())[:LISTED]]
        values = {"kind": "digest", "notices": len(notices), "tickets": len(tickets), "entries": entries}
        return desk.lay_notification(_outgoing(desk, self._voice(), reader, values))

    def _voice(self) -> Voice:
        return voice_of(self.settings, DEFAULT_QUEUE)

    def _entry(self, rows: list[Row]) -> Row:
        row, token = rows[-1], next((one["token"] for one in reversed(rows) if one["token"]), None)
        answer = answer_address(voice_of(self.settings, row["queue"]), token) if token else None
        return {
            **{name: _line(row[name]) for name in ("number", "subject")},
            "happened": [f"{HEADLINES[one['kind']]} ({plain(one['what'])})" for one in rows[-HAPPENED:]],
            "author": _person(row["author_name"], row["author_address"]),
            "text": plain(_shortened(row["text"] or "", EXCERPT)),
            "answer_to": answer.address if answer else None,
        }

    # -- the summary of old mail -------------------------------------------------------------------------------------

    def _old(self, waiting: Waiting, in_loop: bool) -> None:
        """Tell every agent once of all the old mail that came; the next such mail is written an hour later."""
        notice = tables.Notice
        last = notice.select(notice.told).where((notice.kind == OLD) & notice.told.is_null(False)).order_by(notice.id.desc())
        told = self.store.values(last.limit(1))
        if (in_loop and self._since(waiting.newest) < QUIET) or (told and self._since(told[0]) < HOUR):
            return
        rows = self.store.rows(notice.select(notice.id, notice.ticket).where((notice.kind == OLD) & notice.told.is_null()))
        notices = [row["id"] for row in rows]
        with _Guard(self, "every agent", notices), self._desk() as desk:
            values, outbox = self._summary(sorted({row["ticket"] for row in rows})), None
            for agent in desk.readers():
                try:
                    outbox = desk.lay_notification(_outgoing(desk, self._voice(), agent, values))
                except CannotSend as error:
                    say("Summary of old mail not written", logging.WARNING, to=safe(agent.address), reason=safe(error.sentence))
            desk.mark_told(notices, outbox)

    def _summary(self, tickets: list[int]) -> Row:
        ticket, message = tables.Ticket, tables.Message
        count, first, last = peewee.fn.COUNT(message.id), peewee.fn.MIN(message.date), peewee.fn.MAX(message.date)
        dated = message.select(count.alias("mails"), first.alias("since"), last.alias("until"))
        [mails] = self.store.rows(dated.where(among(message.ticket, tickets) & (message.kind == "mail")))
        shown = [*tickets[:NAMED], *tickets[-1:]]
        asked = ticket.select(ticket.id, ticket.ticket_number, ticket.subject).where(among(ticket.id, shown)).order_by(ticket.id)
        named = [(_line(row["ticket_number"]), _line(row["subject"])) for row in self.store.rows(asked)]
        counted = {"kind": OLD, "tickets": len(tickets), "first": named[0][0], "last": named[-1][0]}
        return counted | mails | {"subjects": named[:NAMED]}

    # -- what cannot be written --------------------------------------------------------------------------------------

    def give_up(self, address: str, notices: list[int], error: Exception) -> None:
        """Let notices be that cannot be told; their tickets say why."""
        why = f"{error.field}: {error.why}" if isinstance(error, CannotSend) else f"{type(error).__name__}: {error}"
        say("Notification not written", logging.WARNING, to=safe(address), reason=safe(why))
        notice = tables.Notice
        tickets = self.store.values(notice.select(notice.ticket).where(among(notice.id, notices)).distinct().limit(EVENTS))
        with self._desk() as desk:
            desk.mark_told(notices)
            for ticket in tickets:
                desk.event(ticket, f"could not tell {plain(address)}", plain(why))


class _Guard:
    """Ends what goes wrong with one mail: its tickets say so. Trouble that passes, or that every mail has, goes on."""

    def __init__(self, gatherer: Gatherer, address: str, notices: list[int]) -> None:
        self._gatherer = gatherer
        self._address = address
        self._notices = notices

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, SettingsError) or passing_trouble(error):
            return False
        self._gatherer.give_up(self._address, self._notices, error)
        return True


# -- the mail as it is meant -----------------------------------------------------------------------------------------


def _outgoing(
    desk: Desk, voice: Voice, reader: Reader, values: Row, answer: Address | None = None, row: Row | None = None
) -> Outgoing:
    subject, text = worded(values)
    message_id = new_message_id(domain_of(voice))
    root = _thread_root(row, message_id) if row else None
    return Outgoing(
        message_id=message_id,
        sender=voice.sender,
        recipients=(Address(plain(reader.agent["name"]) if reader.agent else "", reader.address),),
        reply_to=(answer or voice.reply_to,),
        subject=subject,
        text=f"{REPLY_ABOVE}\n\n{writable(text).strip()}\n",
        date=datetime.datetime.fromisoformat(desk.now),
        in_reply_to=root,
        references=(root,) if root else (),
        headers=AUTOMATIC,
    )


def _thread_root(row: Row, message_id: str) -> str:
    """Return the id that all notifications of a ticket seem to answer: no mail has it, so naming it proves nothing."""
    opened = re.sub(r"\D", "", row["opened"])[:14]
    return f"notices-{row['ticket']}-{opened}@{message_id.rpartition('@')[2]}"


def _line(text: str | None) -> str:
    return plain(text)[:LONGEST_NAME]


def _person(name: str | None, address: str | None) -> str:
    return _line(f"{plain(name)} <{plain(address)}>" if name and address else name or address or "")


def _shortened(text: str, longest: int = LONGEST_TEXT) -> str:
    text = writable(text).strip()
    return text if len(text) <= longest else f"{text[:longest].rstrip()} [...]"


# -- its words -------------------------------------------------------------------------------------------------------

HEADLINES = {
    NEW: "A new ticket",
    "replied": "A reply",
    ASSIGNED: "A ticket is yours now",
    FAILED: "A mail did not arrive",
    "rule": "Mail that a rule tells you of",
    "answer": "About your answer",
}

HOW_TO_ANSWER = """\
An answer to this mail goes to the customer as your reply. Its first lines may order something:
#note (a note for agents: the customer does not get it), #close, #assign bob, #tag x."""
NO_ANSWER = "This mail was written by a program; an answer to it is read by nobody in particular."
HOW_TO_ANSWER_A_DIGEST = (
    "An answer to the address beside a ticket goes to its customer as your reply; an answer to this mail does not."
)


def worded(values: Mapping[str, Any]) -> tuple[str, str]:
    """Return subject and text of a mail to an agent. Every value is one line already, but for `text`.

    `kind` says which values there are: "digest" has notices, tickets (how many) and entries (number, subject, happened,
    author, text, answer_to); "old" has tickets and mails (how many), first, last, since, until, subjects; any other has
    number, subject, queue, who, why, author, text, attachments, may_answer.
    """
    return {"digest": _worded_digest, OLD: _worded_old}.get(values["kind"], _worded_single)(values)


def _worded_single(values: Mapping[str, Any]) -> tuple[str, str]:
    number, files = values["number"], values["attachments"]
    head = [f"{HEADLINES[values['kind']]}: {number} {values['subject']}", f"Why you get this: {values['why']}"]
    head += [f"By: {values['who']}"] if values["kind"] == ASSIGNED else []
    head += [f"From: {values['author']}"] if values["author"] else []
    parts = ["\n".join(head), values["text"], f"Attachments: {', '.join(files)}" if files else ""]
    parts += ["-" * 40, HOW_TO_ANSWER if values["may_answer"] else NO_ANSWER]
    subject = reply_subject(values["subject"], number).removeprefix("Re: ")
    return subject, "\n\n".join(filter(None, parts))


def _worded_digest(values: Mapping[str, Any]) -> tuple[str, str]:
    tickets, entries = values["tickets"], values["entries"]
    parts = [f"{values['notices']} things happened on {_counted(tickets, 'ticket')}.", HOW_TO_ANSWER_A_DIGEST]
    parts += ["\n".join(_worded_entry(entry)) for entry in entries]
    parts += [f"And {tickets - len(entries)} more; `helpdesk ticket list` shows them."] if tickets > len(entries) else []
    return f"{values['notices']} notices on {_counted(tickets, 'ticket')}", "\n\n".join(parts)


def _worded_entry(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"[{entry['number']}] {entry['subject']}"
    yield from (f"    {line}" for line in entry["happened"])
    if entry["text"]:
        yield f"    {entry['author']}: {entry['text']}"
    if entry["answer_to"]:
        yield f"    answer to: {entry['answer_to']}"


def _worded_old(values: Mapping[str, Any]) -> tuple[str, str]:
    tickets, subjects = values["tickets"], values["subjects"]
    span = f"{values['first']} to {values['last']}" if tickets > 1 else values["first"]
    dated = f"dated from {(values['since'] or '?')[:10]} to {(values['until'] or '?')[:10]}"
    parts = [
        f"Old mail came in: {_counted(values['mails'], 'mail')} on {_counted(tickets, 'ticket')}, {span}, {dated}.",
        "Neither the customers nor you were told of any of it by a mail of its own.",
        "\n".join(f"[{number}] {subject}" for number, subject in subjects),
    ]
    parts += [f"And {tickets - len(subjects)} more; `helpdesk ticket list` shows them."] if tickets > len(subjects) else []
    return f"Old mail on {_counted(tickets, 'ticket')}", "\n\n".join([*parts, NO_ANSWER])


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
