"""An agent's answer to a notification, as it came by mail: it becomes a reply to the customer, a note, or what it orders."""

from __future__ import annotations

from . import directives, mime
from .compose import File
from .desk import Desk, Row, sender_of
from .directives import Directives
from .errors import CannotSend, HelpdeskError, NotFound, SettingsError, UsageError
from .filenames import safe_name
from .letter import Address, Kind, Letter
from .notices import tokens_in

BY_MAIL = "by mail"  # why a ticket was changed
REFUSALS = (CannotSend, SettingsError, UsageError, NotFound)
SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")  # of bytes that change


def take(letter: Letter, desk: Desk, ticket: int) -> str:
    """Do what an agent's answer says, all of it or nothing; return what was done.

    Where it cannot be done, or is not plainly meant, nothing goes to the customer: it is kept as a note, and the agent is told.
    """
    row = desk.any_agent(sender_of(letter) or "")
    agent = Address(row["name"], row["address"])
    try:
        said = directives.read(letter.mail.reply_text)
        _refuse_leaks(said.text, tokens_in(letter, desk.settings))
        _refuse_halves(letter, desk)
        assignee = _assignee(said.assign, desk, agent)
        done = _written(letter, desk, ticket, agent, said)
    except REFUSALS as error:
        return _kept(letter, desk, ticket, row, error)
    return "; ".join([*done, *_ordered(desk, ticket, agent, said, assignee)]) or "nothing was to be changed"


def _refuse_leaks(text: str, tokens: list[str]) -> None:
    """Refuse an answer that still quotes the notification: by its address the customer could speak as the agent."""
    if any(token in text.lower() for token in tokens):
        raise UsageError("It holds parts of the notification between its own words.", "Write above the quote, in one piece.")


def _refuse_halves(letter: Letter, desk: Desk) -> None:
    """Refuse an answer of which only the head was read: what hangs on it would be lost on the way."""
    most = desk.settings.max_message_mb
    if letter.size > most << 20:
        raise CannotSend("attachments", f"the mail is larger than {most} MB")


def _assignee(named: str | None, desk: Desk, agent: Address) -> str | None:
    """Return the address of the agent who is meant: by address, by what stands before the @, or by name."""
    wanted = (named or "nobody").lower()
    if wanted in ("nobody", "me"):
        return agent.address if wanted == "me" else None
    known = [(row["address"], row["address"].partition("@")[0], row["name"].lower()) for row in desk.agents()]
    found = [names[0] for names in known if wanted in names]
    if len(found) != 1:
        raise UsageError(f"{named!r} is {'several agents' if found else 'no agent'}.", "`helpdesk agent list` shows them.")
    return str(found[0])


def _written(letter: Letter, desk: Desk, ticket: int, agent: Address, said: Directives) -> list[str]:
    """Send the words and files to the customer, or keep them as a note."""
    if said.note:
        desk.note(ticket, said.text, agent, letter)
        return ["noted"]
    files = _files(letter, desk)
    if not said.text and not files:
        if said == Directives():
            raise UsageError("There is no new text in it, only what it quotes.")
        return []
    status = "closed" if said.close else "waiting"
    to = desk.reply(ticket, said.text, agent, attachments=files, status=status, letter=letter)
    return [f"sent to {', '.join(to)} as the reply of {agent.address}"]


def _files(letter: Letter, desk: Desk) -> list[File]:
    """Cut the answer's attachments out of its bytes."""
    parts = [part for part in letter.mail.attachments if part.content_type not in SIGNATURES]
    raw = desk.raw_of_turn() if parts else b""
    return [
        File(safe_name(part.filename or "", f"part-{number}"), part.content_type, mime.part_bytes(raw, part))
        for number, part in enumerate(parts, 1)
    ]


def _ordered(desk: Desk, ticket: int, agent: Address, said: Directives, assignee: str | None) -> list[str]:
    who = agent.address or ""
    done = desk.set(ticket, BY_MAIL, who=who, status="closed") if said.close else []
    if said.assign:
        done += desk.set(ticket, BY_MAIL, who=who, assignee=assignee)
    done += desk.tag(ticket, *(name for name in said.tags if not name.startswith("-")), who=who)
    return done + desk.untag(ticket, *(name[1:] for name in said.tags if name.startswith("-")), who=who)


def tell_unproven(letter: Letter, desk: Desk, ticket: int) -> None:
    """Tell an agent whose answer came to another address than the notification asked for that it went to nobody."""
    agent = desk.agent(sender_of(letter))
    if agent and letter.mail.kind is Kind.MESSAGE:
        why = "it did not come to the address that the notification names, so nobody knows that it is yours"
        desk.tell_back(agent, ticket, f"your answer was not sent, it is a comment now: {why}")


def _kept(letter: Letter, desk: Desk, ticket: int, agent: Row, error: HelpdeskError) -> str:
    why = " ".join(f"{error.sentence} {error.hint or ''}".split())
    desk.note(ticket, letter.mail.reply_text or letter.mail.text, Address(agent["name"], agent["address"]), letter)
    desk.tell_back(agent, ticket, f"your answer was not sent, it is a note now: {why}")
    return f"not sent, but noted: {why}"
