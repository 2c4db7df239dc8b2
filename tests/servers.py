"""Real mail servers on free loopback ports, each started and stopped by the test that needs it."""

from __future__ import annotations

import contextlib
import imaplib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .conftest import needs

USER, PASSWORD = "support@desk.example", "p#ss w'rd"

DOVECOT = """
protocols = imap
listen = 127.0.0.1
base_dir = {base}/run
state_dir = {base}/state
instance_name = t{port}
log_path = {base}/dovecot.log
ssl = {ssl}
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 0
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {base}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={base}/home/%u
}}
namespace inbox {{
  inbox = yes
  separator = .
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
  chroot =
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  service_count = 0
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Imap:
    """An IMAP server that runs, and what a person at a mail client would do to it."""

    def __init__(self, port: int, base: Path, tls: bool = False) -> None:
        self.port = port
        self.base = base
        self.tls = tls
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def certificate(self) -> Path:
        return self.base / "cert.pem"

    def env(self, **more: str) -> dict[str, str]:
        """Return the settings that lead to this server."""
        security = {"IMAP_SECURITY": "ssl", "IMAP_CA_FILE": str(self.certificate)} if self.tls else {"IMAP_SECURITY": "none"}
        host = "localhost" if self.tls else "127.0.0.1"
        return {
            "IMAP_HOST": host,
            "IMAP_PORT": str(self.port),
            "IMAP_USERNAME": USER,
            "IMAP_PASSWORD": PASSWORD,
            **security,
            **more,
        }

    def client(self) -> imaplib.IMAP4:
        if self.tls:
            import ssl

            context = ssl.create_default_context(cafile=str(self.certificate))
            client: imaplib.IMAP4 = imaplib.IMAP4_SSL("localhost", self.port, ssl_context=context)
        else:
            client = imaplib.IMAP4("127.0.0.1", self.port)
        client.login(USER, PASSWORD)
        return client

    @contextlib.contextmanager
    def mailbox(self, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        client = self.client()
        try:
            typ, data = client.select(f'"{folder}"')
            assert typ == "OK", data
            yield client
        finally:
            client.logout()

    def append(self, raw: bytes, folder: str = "INBOX", flags: str = "") -> None:
        client = self.client()
        try:
            typ, data = client.append(f'"{folder}"', flags, None, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))  # type: ignore[arg-type]
            assert typ == "OK", data
        finally:
            client.logout()

    def flags(self, folder: str = "INBOX") -> dict[int, set[str]]:
        """Return the flags of every mail by UID, without \\Recent."""
        with self.mailbox(folder) as client:
            _, data = client.uid("FETCH", "1:*", "(UID FLAGS)")
        found = {}
        for item in data or []:
            if item:
                text = item.decode()
                uid = int(text.split("UID ")[1].split()[0].rstrip(")"))
                found[uid] = {flag.decode() for flag in imaplib.ParseFlags(item)} - {"\\Recent"}
        return found

    def listing(self, folder: str = "INBOX") -> dict[int, bytes]:
        """Return the bytes of every mail by UID."""
        with self.mailbox(folder) as client:
            _, data = client.uid("FETCH", "1:*", "(UID BODY.PEEK[])")
        return {int(item[0].split(b"UID ")[1].split()[0]): item[1] for item in data if isinstance(item, tuple)}

    def store(self, uids: str, change: str, flags: str, folder: str = "INBOX") -> None:
        with self.mailbox(folder) as client:
            client.uid("STORE", uids, change, flags)

    def expunge(self, uids: str, folder: str = "INBOX") -> None:
        with self.mailbox(folder) as client:
            client.uid("STORE", uids, "+FLAGS", "(\\Deleted)")
            client.expunge()

    def move(self, uids: str, target: str) -> None:
        with self.mailbox() as client:
            client.uid("COPY", uids, f'"{target}"')
            client.uid("STORE", uids, "+FLAGS", "(\\Deleted)")
            client.expunge()

    def create(self, folder: str) -> None:
        client = self.client()
        try:
            typ, data = client.create(f'"{folder}"')
            assert typ == "OK", data
        finally:
            client.logout()

    def folders(self) -> set[str]:
        """Return the names of all folders, as the protocol writes them."""
        client = self.client()
        try:
            lines = [line.decode() for line in client.list()[1] if isinstance(line, bytes)]
        finally:
            client.logout()
        return {re.sub(r'^\(.*?\) (?:"."|NIL) ', "", line).strip('"') for line in lines}

    def picture(self) -> dict[str, object]:
        """Return all that a mail client can see: every folder, every mail's UID, bytes and flags."""
        return {name: (self.listing(name), self.flags(name)) for name in sorted(self.folders())}

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                self.client().logout()
                return
            assert self.process and self.process.poll() is None, "the IMAP server ended"
            time.sleep(0.05)
        raise AssertionError("the IMAP server is not ready")

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


class Dovecot(Imap):
    """Debian's Dovecot, private to the test."""

    def __init__(self, tls: bool = True) -> None:
        needs("dovecot", "dovecot-imapd")
        # A short path (a unix socket's name has 108 bytes), which the mail user may enter (pytest's are 0700).
        base = Path(tempfile.mkdtemp(prefix="dc"))
        base.chmod(0o755)
        for name in ("run", "state", "home"):
            (base / name).mkdir()
        super().__init__(free_port(), base, tls)
        self._configure()
        self.start()

    def _configure(self) -> None:
        if os.getuid() == 0:
            mail = pwd.getpwnam("mail")
            users = {"uid": mail.pw_uid, "gid": mail.pw_gid, "internal": "dovecot", "group": "dovecot", "login": "dovenull"}
            os.chown(self.base / "home", mail.pw_uid, mail.pw_gid)
        else:
            import grp

            name = pwd.getpwuid(os.getuid()).pw_name
            users = {"uid": os.getuid(), "gid": os.getgid(), "internal": name, "login": name}
            users["group"] = grp.getgrgid(os.getgid()).gr_name
        make_certificate(self.base)
        ports = {"plain": 0 if self.tls else self.port, "tls": self.port if self.tls else 0, "ssl": "yes" if self.tls else "no"}
        text = DOVECOT.format(base=self.base, port=self.port, **users, **ports)
        (self.base / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        (self.base / "dovecot.conf").write_text(text)

    @property
    def mail_folder(self) -> Path:
        return self.base / "home" / USER / "Maildir"

    def fill(self, unread: list[bytes], read: list[bytes]) -> None:
        """Lay mails into the INBOX as another delivery agent would, thousands in a moment."""
        folder = self.mail_folder
        for place, mails, flags in (("new", unread, ""), ("cur", read, ":2,S")):
            (folder / place).mkdir(parents=True, exist_ok=True)
            for number, raw in enumerate(mails):
                (folder / place / f"{1_700_000_000 + number}.{place}.test{flags}").write_bytes(raw)
        if os.getuid() == 0:
            mail = pwd.getpwnam("mail")
            for path in (folder.parent, folder, *folder.rglob("*")):
                os.chown(path, mail.pw_uid, mail.pw_gid)

    def log(self) -> str:
        return (self.base / "dovecot.log").read_text()

    def start(self) -> None:
        command = [shutil.which("dovecot") or "/usr/sbin/dovecot", "-F", "-c", str(self.base / "dovecot.conf")]
        self.process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        self.wait_ready()

    def restart(self) -> None:
        self.stop()
        self.start()

    def new_uidvalidity(self) -> None:
        """Lose the lists of UIDs of all folders, as a restored or rebuilt mailbox does."""
        self.stop()
        for path in self.mail_folder.rglob("dovecot*"):
            path.unlink()
        self.start()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)


class Pymap(Imap):
    """pymap: an IMAP server by pip alone, its mailbox in memory; a new UIDVALIDITY at each start."""

    def __init__(self, later: int = 0) -> None:
        super().__init__(free_port(), Path(tempfile.mkdtemp(prefix="pm")))
        self.start(later)

    def start(self, later: int = 0) -> None:
        """Start it, or let it start itself some seconds later."""
        program = Path(sys.executable).with_name("pymap")
        command = [str(program), "--host", "127.0.0.1", "--port", str(self.port), "--no-tls", "dict"]
        command += ["--demo-user", USER, "--demo-password", PASSWORD]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if later:
            command = ["sh", "-c", f'sleep {later}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
        if not later:
            self.wait_ready()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)


class Taken(NamedTuple):
    """A mail that the SMTP server took."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message_id(self) -> str:
        found = re.search(rb"^Message-ID: <([^>]+)>\r$", self.raw, re.MULTILINE)
        assert found
        return found[1].decode()


class Smtp:
    """An SMTP server that answers as it is told: aiosmtpd on a loopback port, with a certificate that signs itself.

    `answers` maps an address to what RCPT says of it; `finals` are the answers to mails, one after another, then 250:
    "drop" breaks the line before the mail is taken, "take and drop" after it and before the answer.
    """

    def __init__(self, security: str = "none", password: str | None = None, offer_starttls: bool = True) -> None:
        from aiosmtpd.controller import Controller

        self.base = Path(tempfile.mkdtemp(prefix="sm"))
        make_certificate(self.base)
        self.security, self.password = security, password
        self.taken: list[Taken] = []
        self.answers: dict[str, str] = {}
        self.finals: deque[str] = deque()
        self.greetings: list[str] = []  # what MAIL FROM is answered, then 250
        self.connections: set[Any] = set()
        self.logins = 0
        self.during: Callable[[Any], None] = lambda envelope: None  # called when a mail is there, before it is answered
        self.seconds = 0.0  # how long it takes to take a mail
        self._lock = threading.Lock()
        options: dict[str, Any] = {}
        if password is not None:
            tls = security == "starttls" and offer_starttls
            options = {"authenticator": self._authenticate, "auth_require_tls": tls}
        if security == "starttls" and offer_starttls:
            options |= {"tls_context": self._context(), "require_starttls": True}
        if security == "ssl":
            options |= {"ssl_context": self._context()}
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def _context(self) -> Any:
        import ssl

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.base / "cert.pem", self.base / "key.pem")
        return context

    def env(self, **more: str) -> dict[str, str]:
        """Return the settings that lead to this server."""
        login = {"SMTP_USERNAME": USER, "SMTP_PASSWORD": self.password} if self.password is not None else {}
        trust = {} if self.security == "none" else {"SMTP_CA_FILE": str(self.base / "cert.pem")}
        return {
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(self.port),
            "SMTP_SECURITY": self.security,
            "SMTP_TIMEOUT": "10",
            "SEND_PER_MINUTE": "0",
            "DEFAULT_FROM_EMAIL": "Desk <desk@desk.example>",
            **login,
            **trust,
            **more,
        }

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        from aiosmtpd.smtp import AuthResult

        self.logins += 1
        good = data.login == USER.encode() and data.password == (self.password or "").encode()
        return AuthResult(success=good, handled=False)

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        self.connections.add(session.peer)
        if self.password is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if self.greetings:
            return self.greetings.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer == "drop":
            server.transport.abort()
        elif answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        import asyncio

        self.during(envelope)
        await asyncio.sleep(self.seconds / 2)
        final = self.finals.popleft() if self.finals else "250 OK"
        if final.startswith(("2", "take")):
            with self._lock:
                sender = envelope.mail_from.replace("<>", "")  # as it writes the null sender
                self.taken.append(Taken(sender, list(envelope.rcpt_tos), envelope.content))
        await asyncio.sleep(self.seconds / 2)
        if final.endswith("drop"):
            server.transport.abort()
        return final

    def ids(self) -> list[str]:
        """Return the Message-IDs of the mails that were taken, in order."""
        with self._lock:
            return [mail.message_id for mail in self.taken]

    def stop(self) -> None:
        """End the server, as a machine that goes down."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)


def make_certificate(folder: Path, name: str = "localhost") -> None:
    """Make a certificate that signs itself, for one host."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
