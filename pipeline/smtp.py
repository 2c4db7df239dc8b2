"""One connection to the SMTP server: made safely or not at all, and mails handed over on it one after another (RFC 5321).

It knows nothing of rows and tickets. Commands are written here and not by smtplib's helpers, which parse addresses anew.
"""

from __future__ import annotations

import base64
import contextlib
import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .errors import LoginRefused, OutOfReach, SettingsError
from .log import safe
from .settings import Settings

LONGEST_SENTENCE = 300
READY, GO_ON, CLOSING = 354, 334, 421


class Refusal(NamedTuple):
    """What the server said to a recipient that it does not take (RFC 5321, 4.2.1)."""

    address: str
    code: int
    sentence: str

    @property
    def for_good(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        return f"{self.address}: {self.code} {self.sentence}".strip()


class Dropped(Exception):
    """The line broke in the middle of a mail; `handed_over`: all of it was written, so it may have been taken."""

    def __init__(self, why: str, handed_over: bool) -> None:
        super().__init__(why)
        self.handed_over = handed_over


class Line:
    """A connection that is made when a mail is to go, and made anew after it broke."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: smtplib.SMTP | None = None
        self._handed_over = False
        self.said = ""  # the last answer of the server in the dialogue of a mail

    def connect(self) -> None:
        """Make the connection, unless there is one: protected as SMTP_SECURITY says, and logged in where a name is set.

        Raises:
            OutOfReach: no server, or none that can be trusted.
            LoginRefused
            SettingsError: SMTP_CA_FILE cannot be read.
        """
        if self._server is not None:
            return
        settings = self._settings
        where = f"{settings.smtp_host}:{settings.smtp_port}"
        try:
            self._server = _open(settings)
            self._log_in(self._server)
        except smtplib.SMTPNotSupportedError as error:
            self.close()
            hint = "Nothing goes out in clear text or without its log-in. See SMTP_PORT and SMTP_SECURITY=ssl (usually port 465)."
            raise OutOfReach(f"The SMTP server {where} does not offer what is needed: {safe(str(error))}.", hint) from error
        except ssl.SSLError as error:
            self.close()
            why = getattr(error, "verify_message", "") or error.reason or "no TLS"
            hint = "See SMTP_HOST, SMTP_PORT, SMTP_SECURITY; SMTP_CA_FILE names a certificate of your own."
            raise OutOfReach(f"The SMTP server {where} cannot be trusted: {safe(str(why))}.", hint) from error
        except (OSError, UnicodeError) as error:  # smtplib's own errors too, and a host name that is none
            self.close()
            hint = "See SMTP_HOST, SMTP_PORT and SMTP_SECURITY. The mails wait."
            raise OutOfReach(f"The SMTP server {where} is out of reach: {_reason(error)}.", hint) from error
        except BaseException:
            self.close()
            raise

    def _log_in(self, server: smtplib.SMTP) -> None:
        name, password = self._settings.smtp_username, self._settings.smtp_password or ""
        if not name:
            return
        code, reply = _authenticate(server, name, password)
        if code == 235:
            return
        sentence = _sentence(reply)
        if code < 500:  # "454 temporary authentication failure" (RFC 4954, 6)
            raise OutOfReach(f"The SMTP server does not log us in just now: {code} {sentence}.", "It is tried again.")
        hint = "Set SMTP_USERNAME and SMTP_PASSWORD; many providers want a password made for programs. The mails wait."
        raise LoginRefused(f"The SMTP server refuses the log-in of {safe(name)}: {code} {sentence}.", hint)

    def hand_over(self, sender: str, recipients: Sequence[str], raw: bytes) -> list[Refusal]:
        """Give a mail to the server; return whom it does not take. The others are the server's from now on.

        Raises:
            Dropped: the line broke, or the server closes.
            OutOfReach, LoginRefused: as `connect` does.
        """
        self.connect()
        assert self._server is not None
        self._handed_over = False
        try:
            return self._dialogue(self._server, sender, recipients, raw)
        except OSError as error:
            self.close()
            raise Dropped(_reason(error), self._handed_over) from error

    def _dialogue(self, server: smtplib.SMTP, sender: str, recipients: Sequence[str], raw: bytes) -> list[Refusal]:
        size = f" SIZE={len(raw)}" if server.has_extn("size") else ""
        if refused := self._asked(server, recipients, "MAIL", f"FROM:<{sender}>{size}"):
            return refused
        refusals = [one for address in recipients for one in self._asked(server, [address], "RCPT", f"TO:<{address}>")]
        taken = [address for address in recipients if address not in {one.address for one in refusals}]
        if not taken:
            server.docmd("RSET")
            return refusals
        if refused := self._asked(server, taken, "DATA", "", wanted=READY):
            server.docmd("RSET")
            return refusals + refused
        self._handed_over = True
        server.send(_stuffed(raw))
        return refusals + self._heard(server, taken, *server.getreply())

    def _asked(self, server: smtplib.SMTP, concerned: Sequence[str], verb: str, rest: str, wanted: int = 0) -> list[Refusal]:
        return self._heard(server, concerned, *server.docmd(verb, rest), wanted=wanted)

    def _heard(self, server: smtplib.SMTP, concerned: Sequence[str], code: int, reply: bytes, wanted: int = 0) -> list[Refusal]:
        """Return a refusal for each of those whom an answer concerns, or none."""
        self.said = f"{code} {_sentence(reply)}"
        if code == CLOSING:
            raise smtplib.SMTPServerDisconnected(f"421 {_sentence(reply)}")
        if code == wanted or (not wanted and 200 <= code < 300):
            return []
        if not 400 <= code < 600:  # no answer to what was asked: the dialogue is out of step
            raise smtplib.SMTPServerDisconnected(f"an answer that does not fit: {code} {_sentence(reply)}")
        return [Refusal(address, code, _sentence(reply)) for address in concerned]

    def close(self) -> None:
        """Say good-bye if somebody listens."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                if server.sock is not None:
                    server.sock.settimeout(2.0)
                    server.docmd("QUIT")
            server.close()


def _open(settings: Settings) -> smtplib.SMTP:
    host, port, timeout = settings.smtp_host or "", settings.smtp_port, float(settings.smtp_timeout)
    name = _own_name(settings)
    if settings.smtp_security == "ssl":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, name, timeout=timeout, context=_context(settings))
    else:
        server = smtplib.SMTP(host, port, name, timeout=timeout)
    with _closed_on_error(server):
        if settings.smtp_security == "starttls":
            server.ehlo_or_helo_if_needed()
            code, reply = server.starttls(context=_context(settings))  # raises where it is not offered: no way around it
            if code != 220:
                raise smtplib.SMTPResponseException(code, reply)
        server.ehlo_or_helo_if_needed()
    return server


@contextlib.contextmanager
def _closed_on_error(server: smtplib.SMTP) -> Iterator[None]:
    try:
        yield
    except BaseException:
        server.close()
        raise


def _context(settings: Settings) -> ssl.SSLContext:
    """Trust the system's certificates, or those of SMTP_CA_FILE alone; the name is always checked."""
    try:
        return ssl.create_default_context(cafile=settings.smtp_ca_file)
    except OSError as error:
        raise SettingsError([f'SMTP_CA_FILE = "{settings.smtp_ca_file}": a file of certificates in PEM is expected']) from error


def _own_name(settings: Settings) -> str:
    """Greet by our domain: to ask the system for this machine's name can take the resolver's patience."""
    domains = sorted(address.rpartition("@")[2] for address in settings.own_addresses)
    return next((domain for domain in domains if domain.isascii()), "[127.0.0.1]")


def _authenticate(server: smtplib.SMTP, name: str, password: str) -> tuple[int, bytes]:
    """Log in by PLAIN or LOGIN in UTF-8 (RFC 4616, 2; smtplib's raise on a password beyond ASCII), else as smtplib can."""
    offered = server.esmtp_features.get("auth", "").upper().split()
    for mechanism, way in _WAYS.items():
        if mechanism in offered:
            return way(server, name, password)
    try:
        return server.login(name, password)
    except smtplib.SMTPAuthenticationError as error:
        return error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()


def _plain(server: smtplib.SMTP, name: str, password: str) -> tuple[int, bytes]:
    return server.docmd("AUTH", f"PLAIN {_packed(f'{chr(0)}{name}{chr(0)}{password}')}")


def _login(server: smtplib.SMTP, name: str, password: str) -> tuple[int, bytes]:
    code, reply = server.docmd("AUTH", f"LOGIN {_packed(name)}")
    return server.docmd(_packed(password)) if code == GO_ON else (code, reply)


_WAYS: dict[str, Callable[[smtplib.SMTP, str, str], tuple[int, bytes]]] = {"PLAIN": _plain, "LOGIN": _login}


def _packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _stuffed(raw: bytes) -> bytes:
    """Double the dots at the beginning of lines, and end the mail (RFC 5321, 4.5.2). Its lines end in CRLF already."""
    stuffed = b"." + raw if raw.startswith(b".") else raw
    stuffed = stuffed.replace(b"\r\n.", b"\r\n..")
    return stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n"


def _sentence(reply: bytes) -> str:
    """Return what a server said as one clean line."""
    return safe(" ".join(reply.decode("utf-8", "replace").split()), LONGEST_SENTENCE)


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        return f"{error.smtp_code} {_sentence(reply)}"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return safe(" ".join(str(said).split()), LONGEST_SENTENCE)
