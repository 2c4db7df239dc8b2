"""The commands on mails: deliver, replay, parse, explain."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import CannotCreate, InputError, SettingsError, TryLater
from ..log import safe
from .common import as_json, print_json, settings, talkative, tell

if TYPE_CHECKING:
    from ..settings import Settings


@click.command()
@talkative
def deliver() -> int:
    """Put the mail on standard input into the drop box, for a pipe from postfix, procmail or fetchmail.

    Exit 75 on any trouble, so that the caller keeps the mail and tries again.
    """
    try:
        raw = sys.stdin.buffer.read()
        loaded = settings(log_file=False)
        if not raw.strip():
            raise InputError("There is no mail on standard input.", "Pipe one in: helpdesk deliver < mail.eml")
        _drop_box(loaded).deliver(raw)
    except OSError as error:
        raise TryLater(f"The mail cannot be delivered: {error.strerror}.") from error
    except (CannotCreate, SettingsError) as error:  # a mistake in .env must not turn a customer's mail away
        raise TryLater(error.sentence, error.hint) from error
    return 0


def _drop_box(loaded: Settings) -> Any:
    from ..maildir import boxes

    box = boxes(loaded.maildir, ["."], loaded.maildir_separator)["."]
    try:
        box.create()
    except OSError as error:
        raise CannotCreate(
            f"The Maildir {loaded.maildir} cannot be made: {error.strerror}.", "Set MAILDIR, or mend its rights."
        ) from error
    return box


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@talkative
def replay(files: tuple[Path, ...]) -> int:
    """Copy .eml files into the drop box, where they are processed like any mail.

    A mail that is in already is derived anew from its bytes, in place; it never makes a second ticket or message, and
    nobody is written to because of a replayed mail. (A new mail that is to be acknowledged goes through `helpdesk deliver`.)
    """
    from ..maildir import REPLAYED

    box = _drop_box(settings(log_file=False))
    for path in files:
        raw = _read(path)
        try:
            box.deliver(raw, REPLAYED)
        except OSError as error:
            raise CannotCreate(f"{path} cannot be copied into the drop box: {error.strerror}.") from error
    waiting = "1 mail waits" if len(files) == 1 else f"{len(files)} mails wait"
    tell(f"{waiting} in the drop box; a running worker takes them at once, `helpdesk process` now.")
    return 0


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@talkative
def parse(files: tuple[Path, ...]) -> int:
    """Show how mails are understood: one JSON object a line; `-` is standard input. Nothing is stored.

    What is broken in a mail is told in its "defects". Exit 65 if a file cannot be read.
    """
    from ..line import Line

    code = 0
    with Line(settings(log_file=False)) as line:
        for path in files:
            try:
                raw = _read(path)
            except InputError as error:
                click.echo(safe(f"helpdesk: {error}", None), err=True)
                code = error.exit_code
                continue
            click.echo(json.dumps(parsed(str(path), raw, line)))
    return code


def parsed(name: str, raw: bytes, line: Any) -> dict[str, Any]:
    """Return how a mail is understood, in the shape of `parse`."""
    from ..letter import Letter, Place

    letter = line.read(Letter(hashlib.sha256(raw).hexdigest(), Place("", name)), raw)
    mail = letter.mail
    people = {name: [_person(one) for one in getattr(mail, name)] for name in ("reply_to", "to", "cc")}
    defects = list(mail.defects)
    if letter.outcome and letter.trail[-1].why not in defects:
        defects.append(letter.trail[-1].why)
    return {
        "file": name,
        "sha256": letter.digest,
        "message_id": mail.message_id,
        "in_reply_to": list(mail.in_reply_to),
        "references": list(mail.references),
        "subject": mail.subject,
        "date": mail.date,
        "from": _person(mail.author),
        "sender": _person(mail.sender),
        **people,
        "text": mail.text,
        "reply_text": mail.reply_text,
        "html": line.pool.html(raw) if mail.has_html else None,
        "attachments": [
            {name: getattr(part, name) for name in ("filename", "content_type", "size", "sha256", "inline", "content_id")}
            for part in mail.attachments
        ],
        "kind": str(mail.kind),
        "ticket_numbers": list(mail.ticket_numbers),
        "defects": defects,
        "auth": [asdict(one) for one in mail.auth],
        "bounce": asdict(mail.bounce) if mail.bounce else None,
        "original": asdict(mail.original) if mail.original else None,
    }


def _person(address: Any) -> dict[str, Any] | None:
    return {"name": address.name, "address": address.address} if address else None


@click.command()
@click.argument("what", metavar="MAIL")
@click.option("--now", is_flag=True, help="Run today's code on it too, in a dry run, and show both.")
@as_json
@talkative
def explain(what: str, now: bool, as_json: bool) -> int:
    """Say what each stage decided about a mail, and why.

    It is named by a file, the name of one in the Maildir, a Message-ID, its number in the ledger (as `failed list` shows it), or
    its ticket (TICKET-001, #1: every mail on it). A file that was never processed is run in a dry run.
    """
    from ..explain import explain as explain_mail
    from ..store import Store

    loaded = settings(log_file=False)
    with Store.open_readonly(loaded) as store:
        documents = explain_mail(store, loaded, what, now)
    if as_json:
        print_json(documents)
        return 0
    for document in documents:
        _print_explained(document)
    return 0


def _print_explained(document: dict[str, Any]) -> None:
    for title, steps in (("", document["why"]), ("today's code, in a dry run", document["now"])):
        if steps is None:
            continue
        if title:
            click.echo(f"  {title}:")
        else:
            click.echo(click.style(safe(f"{document['file'] or document['message_id']}", None), bold=True))
            ticket = f" on {document['ticket']}" if document["ticket"] else ""
            click.echo(f"  {document['outcome'] or 'not processed yet'}{ticket}")
        for step in steps:
            click.echo(f"    {safe(step, None)}")
