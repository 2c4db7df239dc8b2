"""Checks that ask the servers: a log-in at each, the folders, and, if it is asked for, a mail that really goes out."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import imaplib
import re
import socket
import ssl
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime

from .. import rules
from ..compose import Outgoing, compose, new_message_id, strict_address
from ..errors import HelpdeskError, LoginRefused
from ..letter import Address
from ..log import safe
from ..outbox import hindrance_to_send
from ..post import domain_of, voice_of
from ..settings import LOOPBACK, Settings
from ..smtp import Dropped, Line
from ..sync.judge import TROUBLES, Trouble
from .finding import FAIL, Case, Finding, counted, fail, ok, warn

STEP_SECONDS = 3  # for each answer of a server
ENDING_SECONDS = 0.5  # for a good-bye
SEND_SECONDS = 30  # for each answer to a mail that really goes out: a server may look through it first
MOST_FOLDERS = 5_000
SHOWN = 3
LATE = {
    "imap": "Check IMAP_HOST and IMAP_PORT, whether a firewall swallows the packets, and whether the server runs.",
    "smtp": "Check SMTP_HOST and SMTP_PORT, whether a firewall swallows the packets, and whether the server runs.",
}
KINDS = {trouble.kind: trouble for trouble in TROUBLES}

_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) (?:"(?:\\.|[^"\\])*"|NIL) (?P<name>.*)', re.DOTALL)
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")


# -- IMAP --------------------------------------------------------------------------------------------------------------


def imap(case: Case) -> Iterator[Finding]:
    """Does the IMAP server let us in, and does it have the folders?"""
    settings = case.settings
    if not settings.imap_configured:
        yield ok(
            "not asked: " + ("IMAP_ENABLED=no" if not settings.imap_enabled else f"{', '.join(settings.imap_missing)} not set")
        )
        return
    where = f"{settings.imap_host}:{settings.imap_port}"
    try:
        context = ssl.create_default_context(cafile=settings.imap_ca_file)
    except OSError:
        yield fail("IMAP_CA_FILE cannot be read", "Set it to a file of certificates in PEM, or take it away.")
        return
    try:
        client = _connected(settings, context)
    except (OSError, imaplib.IMAP4.error, UnicodeError) as error:
        yield _refused(where, error)
        return
    with contextlib.closing(_Ending(client)):
        try:
            _log_in(client, settings)
        except (OSError, imaplib.IMAP4.error) as error:
            yield _refused(where, error, KINDS["login"] if isinstance(error, imaplib.IMAP4.error) else None)
            return
        yield _let_in(where, settings)
        try:
            yield from (finding._replace(name="folders") for finding in _folders(client, settings))
        except (OSError, imaplib.IMAP4.error) as error:
            yield _refused(where, error)._replace(name="folders")


class _Ending:
    """Says good-bye to a server that may not listen any more."""

    def __init__(self, client: imaplib.IMAP4) -> None:
        self._client = client

    def close(self) -> None:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self._client.sock.settimeout(ENDING_SECONDS)
            self._client.logout()


def _connected(settings: Settings, context: ssl.SSLContext) -> imaplib.IMAP4:
    host, port = settings.imap_host or "", settings.imap_port
    if settings.imap_security == "none":
        return imaplib.IMAP4(host, port, timeout=STEP_SECONDS)
    return imaplib.IMAP4_SSL(host, port, ssl_context=context, timeout=STEP_SECONDS)


def _let_in(where: str, settings: Settings) -> Finding:
    login = f"log-in of {settings.imap_username} taken"
    if settings.imap_security == "ssl":
        return ok(f"{where}: TLS, certificate checked, {login}")
    told = f"{where}: no TLS, {login}"
    near = LOOPBACK.fullmatch(settings.imap_host or "")
    return ok(told) if near else warn(told, "The password goes over the network in clear text: set IMAP_SECURITY=ssl.")


def _log_in(client: imaplib.IMAP4, settings: Settings) -> None:
    """Log in as offlineimap does: PLAIN (RFC 4616, in UTF-8) where it is offered, else LOGIN."""
    name, password = settings.imap_username or "", settings.imap_password or ""
    if "AUTH=PLAIN" in client.capabilities:
        client.authenticate("PLAIN", lambda _: f"\0{name}\0{password}".encode())
    else:
        client._encoding = "utf-8"  # type: ignore[attr-defined]  # else it raises on a letter beyond ASCII
        client.login(name, password)


def _refused(where: str, error: Exception, otherwise: Trouble | None = None) -> Finding:
    """Say what went wrong in the words of `helpdesk sync`, and what the server or the system said."""
    said = safe(" ".join(_text(error).split()), 200)
    text = f"{type(error).__name__}: {said}"
    trouble = next((one for one in TROUBLES if one.pattern.search(text)), otherwise)
    if isinstance(error, socket.gaierror | UnicodeError):
        trouble = KINDS["name"]
    if trouble is None:
        return fail(f"{where}: {said}", "Check IMAP_HOST, IMAP_PORT and IMAP_SECURITY.")
    return fail(f"{where}: {trouble.sentence} ({said})", trouble.hint)


def _text(error: Exception) -> str:
    said = error.args[0] if error.args and isinstance(error, imaplib.IMAP4.error) else error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _folders(client: imaplib.IMAP4, settings: Settings) -> Iterator[Finding]:
    listed = _listed(client)
    there: list[str] = []
    for name in settings.folders:
        if name not in listed:
            yield fail(f"the server has no folder {name}", f"Set IMAP_FOLDER as the server writes it. {_meant(name, listed)}")
            continue
        answer, data = client.select(_quoted(name), readonly=True)
        if answer == "OK" and data and data[0]:
            there.append(f"{name} ({counted(int(data[0]), 'mail')})")
        else:
            yield fail(f"the server does not open the folder {name}", "Check the rights on it, or take it out of IMAP_FOLDER.")
    if there:
        yield ok(", ".join(there))


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _listed(client: imaplib.IMAP4) -> list[str]:
    """Return the names of the folders that can be opened, as the protocol writes them, INBOX in capitals."""
    names = []
    for item in client.list()[1][:MOST_FOLDERS]:
        # A name with odd characters comes as a literal behind the line (RFC 3501, 7.2.2).
        line = item[0].rpartition(b"{")[0] + item[1] if isinstance(item, tuple) else item
        found = _LISTED.match(line or b"")
        if found and b"\\noselect" not in found["flags"].lower() and b"\\nonexistent" not in found["flags"].lower():
            name = (
                re.sub(rb'^"(.*)"$', rb"\1", found["name"])
                .replace(b'\\"', b'"')
                .replace(b"\\\\", b"\\")
                .decode("utf-8", "replace")
            )
            names.append("INBOX" if name.upper() == "INBOX" else name)
    return names


def _meant(name: str, listed: list[str]) -> str:
    """Say which folders may be meant, also where a name was written as people read it (modified UTF-7, RFC 3501, 5.1.3)."""
    read = {_decoded(one).casefold(): one for one in listed}
    near = [read[one] for one in difflib.get_close_matches(_decoded(name).casefold(), read, SHOWN, 0.6)]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"It has {', '.join(listed[:10])}{', ...' if len(listed) > 10 else ''}." if listed else "It has none."


def _decoded(name: str) -> str:
    def read(found: re.Match[str]) -> str:
        if not found[1]:
            return "&"
        try:
            return b64decode(found[1].replace(",", "/") + "=" * (-len(found[1]) % 4)).decode("utf-16-be")
        except ValueError:
            return found[0]

    return _SHIFTED.sub(read, name)


# -- SMTP --------------------------------------------------------------------------------------------------------------


def smtp(case: Case) -> Iterator[Finding]:
    """Does the SMTP server speak TLS as it must, and let us in?"""
    settings = case.settings
    if not settings.smtp_configured:
        yield ok("not asked: SMTP_HOST not set, so nothing is sent")
        return
    if settings.smtp_missing:
        yield fail(
            f"{', '.join(settings.smtp_missing)} not set, so nothing is sent", "Set it in .env, or take SMTP_USERNAME away."
        )
        return
    line = Line(dataclasses.replace(settings, smtp_timeout=STEP_SECONDS))
    try:
        line.connect()
    except HelpdeskError as error:
        sentence = "; ".join(getattr(error, "problems", ())) or error.sentence
        kind = " (log-in refused)" if isinstance(error, LoginRefused) else ""
        yield fail(f"{sentence.rstrip('.')}{kind}", error.hint or "See SMTP_HOST, SMTP_PORT and SMTP_SECURITY.")
        return
    finally:
        line.close()
    yield from _taken(settings)


def _taken(settings: Settings) -> Iterator[Finding]:
    tls = {"starttls": "STARTTLS, certificate checked", "ssl": "TLS, certificate checked", "none": "no TLS"}
    login = f"log-in of {settings.smtp_username} taken" if settings.smtp_username else "no log-in, as SMTP_USERNAME is not set"
    told = f"{settings.smtp_host}:{settings.smtp_port}: {tls[settings.smtp_security]}, {login}"
    if settings.smtp_security == "none" and not LOOPBACK.fullmatch(settings.smtp_host or ""):
        yield warn(told, "Mail goes over the network in clear text: set SMTP_SECURITY=starttls or ssl.")
    else:
        yield ok(told)


def send_test(case: Case, to: str, found: list[Finding]) -> Iterator[Finding]:
    """Send a mail to an address, and say what the server said.

    Raises:
        HelpdeskError: it cannot be written, or the server cannot be reached.
    """
    settings = case.settings
    hindrance = hindrance_to_send(settings)
    if not hindrance and any(finding.name == "smtp" and finding.state == FAIL for finding in found):
        hindrance = "Not sent, since the check of the SMTP server failed"  # nor is a refused log-in tried twice
    if hindrance:
        yield fail(hindrance, "Mend what it says, then try again.")
        return
    voice = voice_of(settings, rules.DEFAULT_QUEUE)
    mail = Outgoing(
        message_id=new_message_id(domain_of(voice)),
        sender=voice.sender,
        recipients=(Address("", to),),
        subject="A test of Letterdesk",
        text="This mail was sent by `helpdesk doctor --send-test`, to see whether mail goes out.\n",
        date=datetime.now(UTC),
        headers=(("Auto-Submitted", "auto-generated"),),
    )
    envelope = settings.all_mail_to or strict_address("To", to)
    yield _sent(settings, mail, voice.sender.address or "", envelope)


def _sent(settings: Settings, mail: Outgoing, sender: str, to: str) -> Finding:
    line = Line(dataclasses.replace(settings, smtp_timeout=SEND_SECONDS))
    try:
        refusals = line.hand_over(sender, [to], compose(mail))
    except Dropped as drop:
        return fail(f"the line broke: {drop}", "Try again; if it breaks each time, ask who runs the server.")
    finally:
        line.close()
    if refusals:
        return fail(
            f"the server refuses {refusals[0]}", "Ask who runs the server: may this log-in write from this address, to that one?"
        )
    return ok(f"sent to {to}; the server said: {line.said}. Message-ID {mail.message_id}")
