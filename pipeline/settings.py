"""The settings: one table that feeds the code, .env.example, `helpdesk config` and docs/settings.md.

The environment wins over .env, .env over the default; a secret may also stand in a file that KEY_FILE names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import ipaddress
import os
import re
import shlex
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import SettingsError

PLACEHOLDERS = frozenset({"your_password_here", "support@...", "..."})  # as .env.example has them
DROP_BOX = "."
WINDOWS_DEFAULTS = {"MAILDIR_SEPARATOR": "!"} if os.name == "nt" else {}  # no `:` in file names there
UNFIT = re.compile(r"[\0-\x08\n-\x1f\x7f\ud800-\udfff]")  # a line break in a value could become a mail header of its own
LOOPBACK = re.compile(r"localhost|127(\.[0-9]+){3}|::1", re.I)
ADDRESS = re.compile(r"([^<>@]*<)?([^\s<>@,;]+@[^\s<>@,;]+)(?(1)>)")  # alone, or in <> after a name
WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


class Kind(NamedTuple):
    """What a value must be: what the user is told, and what reads the text or raises ValueError, LookupError, OSError."""

    expected: str
    read: Callable[[str], Any]


def _checked(value: Any, good: object) -> Any:
    if not good:
        raise ValueError
    return value


def _number(low: int, high: int, noun: str = "a whole number") -> Kind:
    return Kind(f"{noun} from {low} to {high} is expected", lambda text: _checked(int(text), low <= int(text) <= high))


def _one_of(*words: str) -> Kind:
    return Kind(f"{' or '.join(words)} is expected", lambda text: _checked(text.lower(), text.lower() in words))


def _host(text: str) -> str:
    name = text.removeprefix("[").removesuffix("]")
    return name if re.fullmatch(r"[\w.-]+", name) else str(ipaddress.ip_address(name))


def _boxes(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    _checked(names, names and not any(re.search(r"[/\\]|\.\.|^(\.|cur|new|tmp)$", name) for name in names))
    # INBOX in any letter case is the same folder (RFC 3501, 5.1).
    return tuple(dict.fromkeys("INBOX" if name.upper() == "INBOX" else name for name in names))


def _address(text: str) -> str:
    found = ADDRESS.fullmatch(text.strip())
    if not found:
        raise ValueError
    return found[2].encode().lower().decode()  # A to Z only


TEXT = Kind("text in one line is expected", str)
SWITCH = Kind("yes or no is expected", lambda text: WORDS[text.lower()])
PORT = _number(1, 65535, "a port")
PATH = Kind("a path is expected", Path)
FOLDER = Kind("a folder that exists is expected", lambda text: _checked(Path(text), os.path.isdir(os.path.expanduser(text))))
HOST = Kind("the name of a server is expected, without scheme and port", _host)
IMAP_SECURITY = Kind("ssl (port 993) or none is expected; starttls would not check the certificate", _one_of("ssl", "none").read)
BOXES = Kind("names of folders separated by commas are expected, without / \\ .. and none of . cur new tmp", _boxes)
BOX = Kind("the name of one folder is expected", lambda text: _checked(_boxes(text)[0], len(_boxes(text)) == 1))
STAGES = Kind("names of stages are expected", lambda text: _checked(tuple(text.replace(",", " ").split()), text.strip(", ")))
PREFIX = Kind("a word like TICKET or HELP_2 is expected", lambda text: _checked(text, re.fullmatch(r"(?a)[A-Za-z]\w*", text)))
MAILBOX = Kind("one address is expected, like Support Desk <desk@example.org>", lambda text: _checked(text, _address(text)))
ONE_ADDRESS = Kind("one address is expected, like test@example.org", _address)
ADDRESSES = Kind("addresses between commas are expected", lambda text: tuple(map(_address, filter(str.strip, text.split(",")))))
DATABASE = Kind(
    "only sqlite:/// in this version, like sqlite:///data/helpdesk.db",
    lambda text: _checked(text, re.fullmatch(r"sqlite:///(?!:memory:$)[^?]*[^?/]", text)),
)
ZONE = Kind(
    "a name of the time zone database is expected, like Europe/Berlin or UTC",
    lambda text: text if text == "UTC" else zoneinfo.ZoneInfo(text).key,
)  # Windows has no database; UTC needs none
LANGUAGE = Kind(
    "a language is expected, like en or pt-BR",
    lambda text: _checked(text, re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", text)),
)
FETCH, SEND, DESK, PLACE, WORK = "Fetching mail (IMAP)", "Sending mail (SMTP)", "The desk", "Where things are", "The work"


@dataclass(frozen=True)
class Setting:
    """Describe a row of the table; `default` None means not configured, `sample` is what .env.example sets."""

    group: str
    default: str | None
    kind: Kind
    help: str
    sample: str = ""
    secret: bool = False
    name: str = ""
    key: str = ""

    def masked(self, value: str) -> str:
        return "****" if self.secret and value else value

    def value(self, text: str) -> Any:
        """Read a value, or raise ValueError with a line for the user."""
        try:
            return self.kind.read(_checked(text if self.secret else text.strip(), not UNFIT.search(text)))
        except (ValueError, LookupError, OSError):
            raise ValueError(f'{self.key} = "{self.masked(UNFIT.sub("?", text))}": {self.kind.expected}') from None


def _row(*args: Any, **kwargs: Any) -> Any:
    row = Setting(*args, **kwargs)
    return dataclasses.field(metadata={"row": row}, repr=not row.secret)


@dataclass(frozen=True)
class Settings:
    """Hold every setting, read and checked; paths are absolute, and what is not configured is None."""

    imap_enabled: bool = _row(FETCH, "yes", SWITCH, "Fetch mail by IMAP; with no, only the drop box is worked.", "True")
    imap_host: str | None = _row(FETCH, None, HOST, "The IMAP server.", "...")
    imap_port: int = _row(FETCH, "993", PORT, "The port of the IMAP server.", "993   # usually 993")
    imap_username: str | None = _row(FETCH, None, TEXT, "The name to log in with, often the address.", "support@...")
    imap_password: str | None = _row(FETCH, None, TEXT, "The password; or IMAP_PASSWORD_FILE.", "your_password_here", secret=True)
    imap_folder: tuple[str, ...] = _row(FETCH, "INBOX", BOXES, "The folders to fetch, separated by commas.")
    imap_security: str = _row(FETCH, "ssl", IMAP_SECURITY, "How IMAP is protected: ssl, or none for a server on this machine.")
    imap_insecure: bool = _row(FETCH, "no", SWITCH, "Let IMAP_SECURITY=none send the password readable over the network.")
    imap_ca_file: Path | None = _row(FETCH, None, PATH, "A file of certificates to trust, in place of the system's.")
    sync_seconds: int = _row(FETCH, "60", _number(5, 3600), "The seconds between two rounds of fetching.")
    smtp_host: str | None = _row(SEND, None, HOST, "The SMTP server; while it is not set, nothing is sent.", "...")
    smtp_port: int = _row(SEND, "587", PORT, "The port of the SMTP server.")
    smtp_username: str | None = _row(SEND, None, TEXT, "The name to log in with; without it there is no log-in.", "support@...")
    smtp_password: str | None = _row(SEND, None, TEXT, "The password; or SMTP_PASSWORD_FILE.", "your_password_here", secret=True)
    smtp_security: str = _row(SEND, "starttls", _one_of("starttls", "ssl", "none"), "starttls, ssl or none; it never falls back.")
    smtp_insecure: bool = _row(SEND, "no", SWITCH, "Let SMTP_SECURITY=none send the password readable over the network.")
    smtp_ca_file: Path | None = _row(SEND, None, PATH, "A file of certificates to trust, in place of the system's.")
    smtp_timeout: int = _row(SEND, "60", _number(1, 600), "The seconds after which a server that does not answer is given up.")
    send_enabled: bool = _row(
        SEND, "yes", SWITCH, "Send mail; with no, all of it waits (a file PAUSE in DATA_DIR does the same)."
    )
    send_per_minute: int = _row(SEND, "60", _number(0, 100_000), "The most mails sent in a minute; 0: no limit.")
    all_mail_to: str | None = _row(SEND, None, ONE_ADDRESS, "For a test system: every mail goes to this address instead.")
    email_host_user: str | None = _row(SEND, None, TEXT, "The address of the desk; mail from it is our own.", "support@...")
    default_from_email: str | None = _row(SEND, None, MAILBOX, "The sender of our mail, if not EMAIL_HOST_USER.", "support@...")
    acknowledge: bool = _row(SEND, "yes", SWITCH, "Tell the sender of a new ticket that it arrived, once SMTP is configured.")
    acknowledge_within: int = _row(SEND, "24", _number(1, 8760), "The hours after which a mail is too old to be acknowledged.")
    acknowledge_per_sender: int = _row(SEND, "5", _number(0, 1000), "How many acknowledgements an address gets in 24 hours.")
    acknowledge_per_domain: int = _row(SEND, "50", _number(0, 100_000), "How many acknowledgements a domain gets in 24 hours.")
    acknowledge_per_hour: int = _row(SEND, "100", _number(0, 100_000), "How many acknowledgements are written in an hour in all.")
    support_addresses: tuple[str, ...] = _row(DESK, "", ADDRESSES, "Further addresses that are ours, separated by commas.")
    ticket_prefix: str = _row(DESK, "TICKET", PREFIX, "What stands before the number of a ticket in subjects.")
    reply_policy: str = _row(DESK, "participants", _one_of("participants", "anyone"), "Who may reply: participants or anyone.")
    trusted_authserv_id: str | None = _row(
        DESK, None, TEXT, "The server whose Authentication-Results are believed; without it no sender counts as verified."
    )
    reopen_days: int = _row(
        DESK, "0", _number(0, 3650), "The days after which an answer to a closed ticket opens a new one, linked; 0: never."
    )
    sent_folder: str | None = _row(
        DESK, None, BOX, "The Sent folder, fetched too: what was answered from another mail client is found there."
    )
    desk_language: str = _row(
        DESK, "en", LANGUAGE, "The language of what goes out, where neither the queue nor the customer's mail names one."
    )
    time_zone: str = _row(DESK, "UTC", ZONE, "The time zone in which times are shown.")
    home: Path = _row(PLACE, ".", FOLDER, "The folder of .env and of relative paths; set it in the environment.")
    maildir: Path = _row(PLACE, "maildir", PATH, "The Maildir: the drop box, with the fetched folders in it.")
    maildir_separator: str = _row(PLACE, ":", _one_of(":", "!"), "What stands before the flags in file names (on Windows: !).")
    data_dir: Path = _row(PLACE, "data", PATH, "The folder of the database, large mails and locks.")
    database_url: str = _row(
        PLACE,
        "sqlite:///data/helpdesk.db",
        DATABASE,
        "The database; without it (or DATABASE_URL_FILE) helpdesk.db in DATA_DIR.",
        secret=True,
    )
    rules_file: Path = _row(PLACE, "config/rules.toml", PATH, "The rules and queues; without the file there are none.")
    templates_dir: Path = _row(
        PLACE, "config/templates", PATH, "The folder of templates and saved replies; without it the built-in texts are used."
    )
    log_file: Path = _row(PLACE, "logs/helpdesk.log", PATH, "The log file.")
    log_format: str = _row(PLACE, "text", _one_of("text", "json"), "How log lines are written: text or json.")
    stages: tuple[str, ...] = _row(
        WORK, "parse screen match triage persist acknowledge notify", STAGES, "What every mail goes through, in this order."
    )
    max_message_mb: int = _row(WORK, "25", _number(1, 1024), "The size in MB above which a mail is not read.")
    observer: str = _row(WORK, "auto", _one_of("auto", "polling"), "How new files are noticed; polling for network file systems.")
    reader_processes: int = _row(WORK, "2", _number(1, 64), "How many processes read mails.")
    reader_seconds: int = _row(WORK, "10", _number(1, 3600), "The seconds after which reading one mail is given up.")
    reader_mb: int = _row(WORK, "512", _number(64, 65536), "The memory in MB that a reading process may use.")
    warnings: tuple[str, ...] = ()
    origin: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)  # of the value, by key

    @property
    def database_path(self) -> Path:
        return _absolute(self.home, self.database_url.removeprefix("sqlite:///"))

    @property
    def imap_missing(self) -> tuple[str, ...]:
        """Name the keys that must still be set before mail can be fetched."""
        return tuple(key for key in ("IMAP_HOST", "IMAP_USERNAME", "IMAP_PASSWORD") if getattr(self, key.lower()) is None)

    @property
    def imap_configured(self) -> bool:
        return self.imap_enabled and not self.imap_missing

    @property
    def smtp_configured(self) -> bool:
        return self.smtp_host is not None

    @property
    def smtp_missing(self) -> tuple[str, ...]:
        """Name the keys that must still be set before mail can be sent; without a user name there is no log-in."""
        wanted = ("SMTP_HOST", "SMTP_PASSWORD") if self.smtp_username else ("SMTP_HOST",)
        return tuple(key for key in wanted if getattr(self, key.lower()) is None)

    @property
    def own_addresses(self) -> frozenset[str]:
        """Return every address that is ours, A to Z in lower case."""
        named = (self.email_host_user, self.default_from_email, self.imap_username, *self.support_addresses)
        return frozenset(_address(text) for text in named if text and ADDRESS.fullmatch(text))

    @property
    def boxes(self) -> tuple[str, ...]:
        """Name the folders we work: the drop box, then those that are fetched."""
        return (DROP_BOX, *self.folders)

    @property
    def folders(self) -> tuple[str, ...]:
        """Name the folders that are fetched: those of IMAP_FOLDER, and SENT_FOLDER."""
        sent = (self.sent_folder,) if self.sent_folder and self.sent_folder not in self.imap_folder else ()
        return (*self.imap_folder, *sent)

    def require_box(self, name: str) -> str:
        """Return the name if it is one of `boxes`, else raise SettingsError."""
        if name not in self.boxes:
            raise SettingsError([f'IMAP_FOLDER = "{",".join(self.imap_folder)}": the folder "{name}" is not in it'])
        return name

    def shown(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (key, value with secrets masked, origin, help) of every setting."""
        for setting in SETTINGS:
            value, origin = _written(getattr(self, setting.name)), self.origin.get(setting.key, "default")
            yield setting.key, value if origin == "default" else setting.masked(value), origin, setting.help


SETTINGS = tuple(
    dataclasses.replace(f.metadata["row"], name=f.name, key={"home": "HELPDESK_HOME"}.get(f.name, f.name.upper()))
    for f in dataclasses.fields(Settings)
    if f.metadata
)
GROUPS = {group: [row for row in SETTINGS if row.group == group] for group in (FETCH, SEND, DESK, PLACE, WORK)}
KEYS = [setting.key for setting in SETTINGS] + [f"{setting.key}_FILE" for setting in SETTINGS if setting.secret]


def load(environ: Mapping[str, str] | None = None, home: Path | None = None) -> Settings:
    """Read the environment, .env and defaults into Settings, or raise SettingsError with all problems."""
    environ = dict(os.environ if environ is None else environ)
    start = home or _configured(environ.get("HELPDESK_HOME"))
    base = _absolute(Path.cwd(), start or ".")
    environ |= {"HELPDESK_HOME": str(base)} if start else {}
    lines, problems = _env_lines(base / ".env")
    sources = {"environment": _without_honcho(environ, lines), ".env": {line.key: line.value for line in lines}}
    values, origin = dict[str, Any](), dict[str, str]()
    for setting in SETTINGS:
        try:
            text, origin[setting.key] = _find(setting, sources, base)
            values[setting.name] = None if text is None else setting.value(text)
        except ValueError as problem:
            problems.append(str(problem))
    if problems := [*problems, *_clear_text(values)]:
        raise SettingsError(problems)
    root = _absolute(base, values["home"])
    values |= {name: _absolute(root, value) for name, value in values.items() if isinstance(value, Path)}
    if origin["DATABASE_URL"] == "default":
        values["database_url"] = f"sqlite:///{values['data_dir'] / 'helpdesk.db'}"
    return Settings(**values, warnings=tuple(_warnings(base / ".env", sources[".env"])), origin=origin)


def _absolute(base: Path, path: str | Path) -> Path:
    return Path(os.path.abspath(base / os.path.expanduser(path)))


def _configured(text: str | None) -> str | None:
    return text if text and text.strip() and text.strip() not in PLACEHOLDERS else None


def _env_lines(path: Path) -> tuple[list[Any], list[str]]:
    """Return what python-dotenv reads in the file, without interpolation, and a problem for each line it cannot read."""
    from dotenv.parser import parse_stream

    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        return [], [f"{path}: a file that can be read is expected ({error.strerror})"]
    lines = list(parse_stream(io.StringIO(data.decode("utf-8-sig", "surrogateescape"))))
    problems = [problem for line in lines for problem in _unreadable(line)]
    return [line for line in lines if line.key and not any(_unreadable(line))], problems


def _unreadable(line: Any) -> Iterator[str]:
    written = line.original.string
    broken = re.search(r"[\ud800-\udfff]", written)  # what surrogateescape made of bytes that are not UTF-8
    if broken or line.error or (line.key and line.value is None):
        before = broken.start() if broken else len(written) - len(written.lstrip())
        expected = "UTF-8 is expected" if broken else "KEY=value is expected, with every quote closed"
        yield f".env line {line.original.line + written.count(chr(10), 0, before)}: {expected}"


def _without_honcho(environ: Mapping[str, str], lines: list[Any]) -> dict[str, str]:
    """Leave out what honcho carried over from .env, for it maims `#`, blanks, quotes and backslashes on the way."""
    carried: set[tuple[str, str]] = set()
    for text in (line.original.string for line in lines if line.key in environ):
        from honcho.environ import parse

        with contextlib.suppress(ValueError):  # "No closing quotation": then honcho carries nothing
            carried.update(parse(text).items())
    return {key: value for key, value in environ.items() if (key, value) not in carried}


def _find(setting: Setting, sources: Mapping[str, Mapping[str, str]], base: Path) -> tuple[str | None, str]:
    """Return the text of a setting and its origin."""
    file_key = setting.key + "_FILE"
    for origin, source in sources.items():
        if text := _configured(source.get(setting.key)):
            return text, origin
        path = _configured(source.get(file_key)) if setting.secret else None
        if path and (text := _file_text(file_key, path, base)):
            return text, file_key
    return WINDOWS_DEFAULTS.get(setting.key, setting.default), "default"


def _file_text(key: str, path: str, base: Path) -> str | None:
    try:
        return _configured(_absolute(base, path.strip()).read_text("utf-8").rstrip("\r\n"))
    except (OSError, ValueError):
        raise ValueError(f'{key} = "{UNFIT.sub("?", path)}": a file that can be read, in UTF-8, is expected') from None


def _clear_text(values: Mapping[str, Any]) -> Iterator[str]:
    near = LOOPBACK.fullmatch(values.get("imap_host") or "localhost")
    if values.get("imap_security") == "none" and not values.get("imap_insecure") and not near:
        yield 'IMAP_SECURITY = "none": ssl is expected, since IMAP_HOST is not on this machine (or set IMAP_INSECURE=yes)'
    near = LOOPBACK.fullmatch(values.get("smtp_host") or "localhost")
    if values.get("smtp_security") == "none" and values.get("smtp_password") and not values.get("smtp_insecure") and not near:
        yield (
            'SMTP_SECURITY = "none": starttls or ssl is expected, since SMTP_HOST is not on this machine and would be sent'
            " SMTP_PASSWORD readable (or set SMTP_INSECURE=yes)"
        )


def _warnings(path: Path, keys: Iterable[str]) -> Iterator[str]:
    if os.name == "posix" and path.exists() and path.stat().st_mode & 0o006:
        yield f"{path} is open to every user of this machine; chmod 600 {shlex.quote(str(path))}"
    for key in keys:
        # Below 0.81 the names of others (EMAIL_HOST) would count as slips of ours.
        near = () if key in KEYS else difflib.get_close_matches(key.upper(), KEYS, 1, 0.81)
        yield from (f"{key} is not a setting; did you mean {meant}?" for meant in near)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else ",".join(value) if isinstance(value, tuple) else str(value)


def example() -> str:
    """Write .env.example."""
    lines = ["# Copy this file to .env and put your values in; the environment wins over it."]
    for group, rows in GROUPS.items():
        lines += ["", "", f"# {group}"]
        for row in rows:
            lines += ["", f"# {row.help}", f"{row.key}={row.sample}" if row.sample else f"#{row.key}={row.default or ''}"]
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """Write docs/settings.md."""
    lines = ["# Settings", "", "The environment wins over `.env`, `.env` over the default; a `_FILE` holds the value."]
    for group, rows in GROUPS.items():
        lines += ["", f"## {group}", "", "| Key | Default | What it is |", "|---|---|---|"]
        lines += [f"| `{row.key}` | {f'`{row.default}`' if row.default else ''} | {row.help} |" for row in rows]
    return "\n".join(lines) + "\n"
