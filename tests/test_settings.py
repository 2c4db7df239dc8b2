"""The settings, read from real .env files and from environments as honcho makes them."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from honcho.environ import parse as honcho_parse

from pipeline import settings as room
from pipeline.errors import SettingsError
from pipeline.settings import load

ROOT = Path(__file__).parents[1]
LOGIN = {"IMAP_HOST": "imap.example.org", "IMAP_USERNAME": "desk@example.org", "IMAP_PASSWORD": "s3cr3t"}


def write(home: Path, text: str | bytes) -> Path:
    """Write .env as only its owner may read it."""
    path = home / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def problems(environ: dict[str, str], home: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(environ, home)
    return caught.value.problems


# Defaults and the table

DEFAULTS = [
    ("imap_enabled", True), ("imap_host", None), ("imap_port", 993), ("imap_username", None), ("imap_password", None),
    ("imap_folder", ("INBOX",)), ("imap_security", "ssl"), ("imap_insecure", False), ("imap_ca_file", None), ("sync_seconds", 60),
    ("smtp_host", None), ("smtp_port", 587), ("smtp_username", None), ("smtp_password", None), ("smtp_security", "starttls"),
    ("smtp_insecure", False), ("smtp_ca_file", None), ("smtp_timeout", 60), ("send_enabled", True), ("send_per_minute", 60),
    ("all_mail_to", None),
    ("email_host_user", None), ("default_from_email", None), ("support_addresses", ()), ("ticket_prefix", "TICKET"),
    ("reply_policy", "participants"), ("time_zone", "UTC"), ("maildir_separator", "!" if os.name == "nt" else ":"),
    ("desk_language", "en"),
    ("log_format", "text"), ("max_message_mb", 25), ("observer", "auto"),
    ("stages", ("parse", "screen", "match", "triage", "persist", "acknowledge", "notify")),
    ("acknowledge", True), ("acknowledge_within", 24), ("acknowledge_per_sender", 5), ("acknowledge_per_domain", 50),
    ("acknowledge_per_hour", 100), ("trusted_authserv_id", None), ("reopen_days", 0), ("sent_folder", None),
    ("reader_processes", 2), ("reader_seconds", 10), ("reader_mb", 512),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), DEFAULTS)
def test_default(name, value, tmp_path):
    """Every setting has the default that the docs promise."""
    assert getattr(load({}, tmp_path), name) == value


PATHS = [
    ("home", "."), ("maildir", "maildir"), ("data_dir", "data"), ("log_file", "logs/helpdesk.log"),
    ("database_path", "data/helpdesk.db"), ("rules_file", "config/rules.toml"), ("templates_dir", "config/templates"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path"), PATHS)
def test_default_path(name, path, tmp_path):
    """Paths are absolute and lie in the home."""
    assert getattr(load({}, tmp_path), name) == tmp_path / path


def test_defaults_are_all_tested():
    """No setting is missing in the two tables above, but for the URL that database_path stands for."""
    assert {s.name for s in room.SETTINGS} == {name for name, _ in DEFAULTS + PATHS} - {"database_path"} | {"database_url"}


@pytest.mark.parametrize("setting", room.SETTINGS, ids=lambda setting: setting.key)
def test_every_row_has_its_sentence(setting):
    """Each setting has a key in capitals, a group, and exactly one sentence of help."""
    assert re.fullmatch("[A-Z_]+", setting.key)
    assert setting.group in room.GROUPS
    assert re.fullmatch(r"[^\n|]{10,}\.", setting.help)
    assert ". " not in setting.help


def test_under_sixty():
    """There are fewer than sixty settings, each key once."""
    assert len({s.key for s in room.SETTINGS}) == len(room.SETTINGS) < 60


# Where values come from


def test_order(tmp_path):
    """The environment wins over .env, and .env over the default; `origin` names the winner."""
    write(tmp_path, "IMAP_PORT=1993\nSMTP_PORT=25\n")
    settings = load({"IMAP_PORT": "2993"}, tmp_path)
    assert (settings.imap_port, settings.smtp_port, settings.log_format) == (2993, 25, "text")
    assert [settings.origin[key] for key in ("IMAP_PORT", "SMTP_PORT", "LOG_FORMAT")] == ["environment", ".env", "default"]


@pytest.mark.parametrize("unset", ["", "   ", "your_password_here", "support@...", "..."])
@pytest.mark.parametrize("key", ["IMAP_HOST", "IMAP_PORT", "IMAP_PASSWORD", "DATABASE_URL", "SUPPORT_ADDRESSES"])
def test_not_configured_yet(key, unset, tmp_path):
    """Empty values and the placeholders of .env.example count as not set, in the environment and in .env."""
    nothing = load({}, tmp_path)
    write(tmp_path, f"{key}={unset}\n")
    settings = load({key: unset}, tmp_path)
    assert settings == nothing
    assert settings.origin[key] == "default"


@pytest.mark.parametrize("value", ["Your_Password_Here", "your_password_here!", "....", "support@..", "x"])
def test_only_the_exact_placeholders(value, tmp_path):
    """What only resembles a placeholder is a password."""
    assert load({"IMAP_PASSWORD": value}, tmp_path).imap_password == value


def test_empty_environment_leaves_the_line(tmp_path):
    """An empty value in the environment does not hide the line of .env."""
    write(tmp_path, "IMAP_PASSWORD=real\n")
    assert load({"IMAP_PASSWORD": ""}, tmp_path).imap_password == "real"


def test_home_from_environment(tmp_path, monkeypatch):
    """HELPDESK_HOME names the folder of .env; a relative one starts at the working directory, like the default."""
    (tmp_path / "desk").mkdir()
    write(tmp_path / "desk", "TICKET_PREFIX=HELP\n")
    monkeypatch.chdir(tmp_path)
    for environ, prefix, home in [
        ({"HELPDESK_HOME": "desk"}, "HELP", "desk"),
        ({}, "TICKET", "."),
        ({"HELPDESK_HOME": str(tmp_path / "desk")}, "HELP", "desk"),
    ]:
        settings = load(environ)
        assert (settings.ticket_prefix, settings.home) == (prefix, tmp_path / home)


def test_home_in_env_file(tmp_path, monkeypatch):
    """HELPDESK_HOME in .env itself moves the relative paths."""
    (tmp_path / "desk").mkdir()
    write(tmp_path, "HELPDESK_HOME=desk\n")
    monkeypatch.chdir(tmp_path)
    assert load({}).data_dir == tmp_path / "desk" / "data"


def test_process_environment_is_the_default(tmp_path, monkeypatch):
    """Without an argument the environment of the process is read."""
    monkeypatch.setenv("HELPDESK_HOME", str(tmp_path))
    monkeypatch.setenv("TICKET_PREFIX", "ENV")
    assert load().ticket_prefix == "ENV"


LINES = [
    ("IMAP_PORT=1993   # usually 993", "imap_port", 1993),
    ("export IMAP_PORT=1993", "imap_port", 1993),
    ("IMAP_PORT = 1993", "imap_port", 1993),
    ("IMAP_PASSWORD=p#ss w", "imap_password", "p#ss w"),
    ("IMAP_PASSWORD='p # w'", "imap_password", "p # w"),
    ("IMAP_PASSWORD=${HOME}$x", "imap_password", "${HOME}$x"),
    ('IMAP_PASSWORD="  blanks  "', "imap_password", "  blanks  "),
    ("IMAP_PASSWORD=pässwörd€", "imap_password", "pässwörd€"),
    ("IMAP_USERNAME=old\r\nIMAP_USERNAME=new\r\n", "imap_username", "new"),
    ("\ufeffIMAP_USERNAME=bom", "imap_username", "bom"),
    ("# IMAP_USERNAME=comment", "imap_username", None),
]


@pytest.mark.parametrize(("text", "name", "value"), LINES)
def test_line(text, name, value, tmp_path):
    """A line of .env means what python-dotenv reads in it, nothing interpolated."""
    write(tmp_path, text)
    assert getattr(load({}, tmp_path), name) == value


# honcho carries .env into the environment, and maims it on the way

MAIMED = [
    ("IMAP_PASSWORD=p#ss w", "imap_password", "p#ss w", "p"),
    ("IMAP_FOLDER=Sent Items", "imap_folder", ("Sent Items",), "SentItems"),
    (
        "DEFAULT_FROM_EMAIL=Support Desk <a@b.example>",
        "default_from_email",
        "Support Desk <a@b.example>",
        "SupportDesk<a@b.example>",
    ),
    ("IMAP_PASSWORD=C:\\mail", "imap_password", "C:\\mail", "C:mail"),
    ("IMAP_PASSWORD=it's", "imap_password", "it's", None),
    ("IMAP_PASSWORD='a\\nb'", "imap_password", "a\\nb", "a\nb"),
    ("IMAP_PORT=1993   # usually 993", "imap_port", 1993, "1993"),
]


@pytest.mark.parametrize(("line", "name", "value", "misread"), MAIMED)
def test_line_beats_its_misreading(line, name, value, misread, tmp_path):
    """What honcho made of a line does not beat the line, and the line is named as the origin."""
    write(tmp_path, f"IMAP_HOST=imap.example.org\n{line}\nLOG_FORMAT=json\n")
    key = line.partition("=")[0]
    try:
        environ = dict(honcho_parse((tmp_path / ".env").read_text()))
    except ValueError:
        environ = {}
    assert environ.get(key) == misread
    settings = load(environ, tmp_path)
    assert getattr(settings, name) == value
    assert settings.origin[key] == ".env"


def test_other_values_beat_the_line(tmp_path):
    """A value that honcho did not make of the line is the environment's own, and wins."""
    write(tmp_path, "IMAP_PASSWORD=p#ss w\nSMTP_PASSWORD=it's\n")
    settings = load({"IMAP_PASSWORD": "q", "SMTP_PASSWORD": "it"}, tmp_path)
    assert (settings.imap_password, settings.smtp_password) == ("q", "it")


# Secrets in files


@pytest.mark.parametrize("key", ["IMAP_PASSWORD", "SMTP_PASSWORD", "DATABASE_URL"])
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_secret_file(key, where, tmp_path):
    """KEY_FILE reads a secret from a file, without its last line break; a relative path starts at home."""
    value = "sqlite:///other.db"
    (tmp_path / "secret").write_text(value + "\n")
    write(tmp_path, f"{key}_FILE=secret\n" if where == ".env" else "")
    settings = load({f"{key}_FILE": str(tmp_path / "secret")} if where == "environment" else {}, tmp_path)
    assert getattr(settings, key.lower()) == value
    assert settings.origin[key] == f"{key}_FILE"


def test_secret_file_order(tmp_path):
    """A KEY_FILE of the environment wins over the key in .env, even when honcho has carried that along."""
    (tmp_path / "secret").write_text("from file")
    write(tmp_path, "IMAP_PASSWORD=from-line\n")
    assert load({"IMAP_PASSWORD_FILE": "secret", "IMAP_PASSWORD": "from-line"}, tmp_path).imap_password == "from file"
    assert load({"IMAP_PASSWORD_FILE": "secret", "IMAP_PASSWORD": "own"}, tmp_path).imap_password == "own"


@pytest.mark.parametrize("content", [b"", b"\n", b"your_password_here\n"])
def test_empty_secret_file(content, tmp_path):
    """A file with nothing or a placeholder in it sets nothing."""
    (tmp_path / "secret").write_bytes(content)
    write(tmp_path, "DATABASE_URL=sqlite:///line.db\n")
    settings = load({"DATABASE_URL_FILE": "secret", "IMAP_PASSWORD_FILE": "secret"}, tmp_path)
    assert (settings.imap_password, settings.database_url) == (None, "sqlite:///line.db")


def test_unreadable_secret_file(tmp_path):
    """A secret's file that is missing, a folder, or not UTF-8 is a problem; its content is not shown."""
    (tmp_path / "latin").write_bytes(b"p\xe4ss")
    found = problems({"IMAP_PASSWORD_FILE": "none", "SMTP_PASSWORD_FILE": str(tmp_path), "DATABASE_URL_FILE": "latin"}, tmp_path)
    assert found == [
        'IMAP_PASSWORD_FILE = "none": a file that can be read, in UTF-8, is expected',
        f'SMTP_PASSWORD_FILE = "{tmp_path}": a file that can be read, in UTF-8, is expected',
        'DATABASE_URL_FILE = "latin": a file that can be read, in UTF-8, is expected',
    ]


def test_only_secrets_have_files(tmp_path):
    """KEY_FILE is not read for a setting that is no secret."""
    assert load({"IMAP_USERNAME_FILE": "none"}, tmp_path).imap_username is None


# Values

GOOD = [
    *[("IMAP_ENABLED", word, True) for word in ("yes", "True", "ON", "1")],
    *[("IMAP_ENABLED", word, False) for word in ("no", "False", "OFF", "0")],
    ("IMAP_PORT", " 143 ", 143), ("SMTP_PORT", "65535", 65535),
    ("IMAP_HOST", "imap.example.org", "imap.example.org"), ("IMAP_HOST", "[::1]", "::1"),
    ("SMTP_HOST", "bücher.example", "bücher.example"),
    ("IMAP_FOLDER", "INBOX, Sent Items ,,INBOX", ("INBOX", "Sent Items")), ("IMAP_FOLDER", "inbox", ("INBOX",)),
    ("IMAP_SECURITY", "SSL", "ssl"), ("SMTP_SECURITY", "none", "none"), ("LOG_FORMAT", "JSON", "json"),
    ("OBSERVER", "polling", "polling"),
    ("REPLY_POLICY", "Anyone", "anyone"), ("MAILDIR_SEPARATOR", "!", "!"), ("TIME_ZONE", "Europe/Berlin", "Europe/Berlin"),
    ("STAGES", "parse, screen,match  persist", ("parse", "screen", "match", "persist")), ("TICKET_PREFIX", "HELP_2", "HELP_2"),
    ("DEFAULT_FROM_EMAIL", "Support Desk <Desk@Example.org>", "Support Desk <Desk@Example.org>"),
    ("DEFAULT_FROM_EMAIL", '"Desk, Support" <desk@example.org>', '"Desk, Support" <desk@example.org>'),
    ("SUPPORT_ADDRESSES", "A@B.example, Help <c@d.example>,", ("a@b.example", "c@d.example")),
    ("IMAP_PASSWORD", " a\tb ", " a\tb "), ("SMTP_PASSWORD", "yes", "yes"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text", "value"), GOOD)
def test_good_value(key, text, value, tmp_path):
    """A good value is read as its kind; blanks around it do not count, but for secrets."""
    assert getattr(load({key: text}, tmp_path), key.lower()) == value


PORT = "a port from 1 to 65535 is expected"
FOLDERS = "names of folders separated by commas are expected, without / \\ .. and none of . cur new tmp"
ZONE = "a name of the time zone database is expected, like Europe/Berlin or UTC"
BAD = [
    *[("IMAP_PORT", text, PORT) for text in ("abc", "0", "65536", "-1", "9" * 5000, "9.5", "993 # usually 993")],
    ("IMAP_ENABLED", "maybe", "yes or no is expected"), ("IMAP_INSECURE", "2", "yes or no is expected"),
    *[("IMAP_FOLDER", text, FOLDERS) for text in ("a/b", "..", "a..b", "/etc", "a\\b", "cur", "INBOX,new", "tmp", ".", ",")],
    *[("IMAP_HOST", text, "the name of a server is expected, without scheme and port")
      for text in ("https://imap.example.org", "imap.example.org:993", "a b", "desk@example.org")],
    ("SMTP_SECURITY", "tls", "starttls or ssl or none is expected"), ("LOG_FORMAT", "xml", "text or json is expected"),
    ("REPLY_POLICY", "all", "participants or anyone is expected"), ("MAILDIR_SEPARATOR", ";", ": or ! is expected"),
    ("OBSERVER", "inotify", "auto or polling is expected"), ("STAGES", ", ,", "names of stages are expected"),
    *[("TICKET_PREFIX", text, "a word like TICKET or HELP_2 is expected") for text in ("1A", "_A", "A B", "A-B", "Ä", "A]")],
    *[("TIME_ZONE", text, ZONE) for text in ("Mars/Olympus", "../../etc/passwd", "Europe", "/etc/localtime", "x" * 300)],
    *[("DEFAULT_FROM_EMAIL", text, "one address is expected, like Support Desk <desk@example.org>")
      for text in ("Support Desk", "a@b.example, c@d.example", "<a@b.example", "a@b.example>",
                   "a@b.example, X <c@d.example>", "@", "a@")],
    ("SUPPORT_ADDRESSES", "a@b.example c@d.example", "addresses between commas are expected"),
    ("MAX_MESSAGE_MB", "0", "a whole number from 1 to 1024 is expected"),
    ("READER_PROCESSES", "two", "a whole number from 1 to 64 is expected"),
    ("READER_SECONDS", "0", "a whole number from 1 to 3600 is expected"),
    ("READER_MB", "8", "a whole number from 64 to 65536 is expected"),
    ("IMAP_USERNAME", "caf\udce9", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text", "expected"), BAD)
def test_bad_value(key, text, expected, tmp_path):
    """A bad value is refused with its key, the value, and what is expected."""
    expected = expected or "text in one line is expected"
    assert problems({key: text}, tmp_path) == [f'{key} = "{text}": {expected}'.replace("\udce9", "?")]


@pytest.mark.parametrize("text", ["a\nBcc: x@y.example", "a\rb", "a\0b", "a\x1bb"])
@pytest.mark.parametrize("key", ["DEFAULT_FROM_EMAIL", "IMAP_PASSWORD", "TICKET_PREFIX", "IMAP_FOLDER"])
def test_control_characters(key, text, tmp_path):
    """No value holds a line break or another control character, and no message repeats one."""
    (found,) = problems({key: text}, tmp_path)
    assert found.startswith(f"{key} = ")
    assert found.isprintable()


def test_home_must_exist(tmp_path):
    """A home that is not there is a problem, not a new folder."""
    assert problems({"HELPDESK_HOME": str(tmp_path / "typo")}, None) == [
        f'HELPDESK_HOME = "{tmp_path / "typo"}": a folder that exists is expected'
    ]
    assert not (tmp_path / "typo").exists()


def test_tilde(tmp_path, monkeypatch):
    """~ in a path is the user's home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert load({"MAILDIR": "~/Mail"}, tmp_path).maildir == tmp_path / "me" / "Mail"


def test_all_problems_at_once(tmp_path):
    """Every problem is told in one error, those of .env lines, files, values and rules together; no secret is in it."""
    write(tmp_path, "TICKET_PREFIX=1\nnonsense here\n")
    environ = {
        "IMAP_PORT": "abc",
        "IMAP_SECURITY": "none",
        "IMAP_HOST": "imap.example.org",
        "IMAP_PASSWORD": "s3cr\n3t",
        "SMTP_PASSWORD_FILE": "none",
        "DATABASE_URL": "mysql://me:s3cr3t@host/db",
    }
    with pytest.raises(SettingsError) as caught:
        load(environ, tmp_path)
    assert [re.split("[: ]", p)[0] for p in caught.value.problems] == [
        ".env",
        "IMAP_PORT",
        "IMAP_PASSWORD",
        "SMTP_PASSWORD_FILE",
        "TICKET_PREFIX",
        "DATABASE_URL",
        "IMAP_SECURITY",
    ]
    assert caught.value.exit_code == 78
    assert "s3cr" not in str(caught.value) + repr(caught.value)
    assert 'IMAP_PASSWORD = "****": ' in str(caught.value)


# Rules between settings


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_clear_text_on_this_machine(host, tmp_path):
    """IMAP_SECURITY=none is allowed on loopback."""
    assert load({"IMAP_SECURITY": "none", "IMAP_HOST": host}, tmp_path).imap_security == "none"


@pytest.mark.parametrize("host", ["imap.example.org", "127.example.org", "localhost.example.org", "10.0.0.1", "2001:db8::1"])
def test_clear_text_elsewhere(host, tmp_path):
    """IMAP_SECURITY=none is refused elsewhere, unless IMAP_INSECURE=yes says so."""
    environ = {"IMAP_SECURITY": "none", "IMAP_HOST": host}
    (found,) = problems(environ, tmp_path)
    assert found.startswith('IMAP_SECURITY = "none": ssl is expected') and "IMAP_INSECURE=yes" in found
    assert load({**environ, "IMAP_INSECURE": "yes"}, tmp_path).imap_security == "none"


@pytest.mark.parametrize("host", ["localhost", "imap.example.org"])
def test_starttls_for_imap(host, tmp_path):
    """starttls is refused for IMAP, and the problem names port 993."""
    (found,) = problems({"IMAP_SECURITY": "StartTLS", "IMAP_HOST": host, "IMAP_INSECURE": "yes"}, tmp_path)
    assert found.startswith('IMAP_SECURITY = "StartTLS": ssl (port 993)') and "certificate" in found


# The .env file as a file

BROKEN = [
    (b'\n\n# fine\n\nIMAP_PASSWORD="open\n', 5, "KEY=value is expected, with every quote closed"),
    (b"A=1\njust words\n", 2, "KEY=value is expected, with every quote closed"),
    (b"IMAP_HOST\n", 1, "KEY=value is expected, with every quote closed"),
    (b"A=1\n\nIMAP_PASSWORD=p\xe4ss\n", 3, "UTF-8 is expected"),
    (b"\n# gr\xfc\xdfe\nA=1\n", 2, "UTF-8 is expected"),
]


@pytest.mark.parametrize(("data", "number", "expected"), BROKEN)
def test_broken_line(data, number, expected, tmp_path):
    """A line that cannot be read is named by its number, and its text is not shown."""
    write(tmp_path, data)
    assert problems({}, tmp_path) == [f".env line {number}: {expected}"]


def test_utf16(tmp_path):
    """A .env that an editor saved as UTF-16 is refused at line 1."""
    write(tmp_path, "IMAP_HOST=a\r\n".encode("utf-16"))
    assert ".env line 1: UTF-8 is expected" in problems({}, tmp_path)


def test_env_is_a_folder(tmp_path):
    """A .env that cannot be opened is a problem."""
    (tmp_path / ".env").mkdir()
    (found,) = problems({}, tmp_path)
    assert found.startswith(f"{tmp_path / '.env'}: a file that can be read is expected")


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o666, True)])
def test_open_to_others(mode, warned, tmp_path):
    """A .env that everybody may read brings a warning with the chmod that mends it."""
    path = write(tmp_path, "IMAP_PASSWORD=x\n")
    path.chmod(mode)
    assert [f"chmod 600 {path}" in line for line in load({}, tmp_path).warnings] == [True] * warned


TYPOS = [
    ("IMAP_PASWORD", "IMAP_PASSWORD"), ("imap_password", "IMAP_PASSWORD"), ("MAIL_DIR", "MAILDIR"),
    ("IMAP_USER", "IMAP_USERNAME"),
    ("TIMEZONE", "TIME_ZONE"), ("SMTP_PASSWORD_FIEL", "SMTP_PASSWORD_FILE"),
    ("PATH", None), ("EMAIL_HOST", None), ("REDIS_URL", None),
    ("IMAP_PASSWORD", None), ("IMAP_PASSWORD_FILE", None), ("WEB_HOST", None), ("SENT_FOLDER", None), ("SECRET_KEY", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "meant"), TYPOS)
def test_slip_of_the_pen(key, meant, tmp_path):
    """A key in .env that nearly is ours brings a warning; other people's keys do not."""
    (tmp_path / "x").write_text("x")
    write(tmp_path, f"{key}=x\n")
    assert load({}, tmp_path).warnings == ((f"{key} is not a setting; did you mean {meant}?",) if meant else ())


# What follows from the values

DATABASES = [
    ({}, "data/helpdesk.db"), ({"DATA_DIR": "store"}, "store/helpdesk.db"), ({"DATA_DIR": "/var/desk"}, "/var/desk/helpdesk.db"),
    ({"DATABASE_URL": "sqlite:///a.db", "DATA_DIR": "store"}, "a.db"), ({"DATABASE_URL": "sqlite:////var/a.db"}, "/var/a.db"),
    ({"DATABASE_URL": "sqlite:///data/helpdesk.db", "DATA_DIR": "store"}, "data/helpdesk.db"),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "path"), DATABASES)
def test_database_path(environ, path, tmp_path):
    """DATA_DIR moves the database with it, unless DATABASE_URL says otherwise."""
    assert load(environ, tmp_path).database_path == tmp_path / path


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cr3t@host/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite:///data/",
        "data/helpdesk.db",
    ],
)
def test_database_refused(url, tmp_path):
    """Only a file of SQLite is a database in this version, and the URL is not shown."""
    assert problems({"DATABASE_URL": url}, tmp_path) == [
        'DATABASE_URL = "****": only sqlite:/// in this version, like sqlite:///data/helpdesk.db'
    ]


@pytest.mark.parametrize("missing", [(), ("IMAP_HOST",), ("IMAP_USERNAME", "IMAP_PASSWORD"), tuple(LOGIN)])
def test_imap_configured(missing, tmp_path):
    """IMAP is configured once it has a host, a user and a password; what is missing is named by key."""
    settings = load({key: value for key, value in LOGIN.items() if key not in missing}, tmp_path)
    assert (settings.imap_missing, settings.imap_configured) == (missing, not missing)


def test_imap_switched_off(tmp_path):
    """IMAP_ENABLED=False wins over complete credentials."""
    settings = load({**LOGIN, "IMAP_ENABLED": "False"}, tmp_path)
    assert (settings.imap_configured, settings.imap_missing) == (False, ())


def test_smtp_configured(tmp_path):
    """SMTP is configured once SMTP_HOST is set."""
    assert load({"SMTP_HOST": "smtp.example.org"}, tmp_path).smtp_configured
    assert not load({"SMTP_USERNAME": "me", "SMTP_PASSWORD": "x"}, tmp_path).smtp_configured


def test_own_addresses(tmp_path):
    """Every address that is ours is known, A to Z in lower case and nothing else changed."""
    settings = load(
        {
            "EMAIL_HOST_USER": "Support@Example.org",
            "DEFAULT_FROM_EMAIL": "Desk <DESK@example.org>",
            "IMAP_USERNAME": "Box@example.org",
            "SUPPORT_ADDRESSES": "Ä.B@example.org",
        },
        tmp_path,
    )
    assert settings.own_addresses == {"support@example.org", "desk@example.org", "box@example.org", "Ä.b@example.org"}
    assert load({"IMAP_USERNAME": "box", "EMAIL_HOST_USER": "apikey"}, tmp_path).own_addresses == frozenset()


def test_boxes(tmp_path):
    """The drop box comes first, then the fetched folders; another one is refused, naming IMAP_FOLDER."""
    settings = load({"IMAP_FOLDER": "INBOX,Sent Items"}, tmp_path)
    assert settings.boxes == (".", "INBOX", "Sent Items")
    assert [settings.require_box(name) for name in settings.boxes] == list(settings.boxes)
    with pytest.raises(SettingsError, match='IMAP_FOLDER = "INBOX,Sent Items": the folder "Spam" is not in it') as caught:
        settings.require_box("Spam")
    assert caught.value.exit_code == 78


# What is shown


def test_secrets_are_not_shown(tmp_path):
    """Neither repr nor `shown` tells a secret, and `shown` tells everything else."""
    environ = {**LOGIN, "SMTP_PASSWORD": "s3cr3t", "DATABASE_URL": "sqlite:///s3cr3t.db", "IMAP_FOLDER": "INBOX,Sent Items"}
    settings = load(environ, tmp_path)
    rows = {key: (value, origin) for key, value, origin, _ in settings.shown()}
    assert "s3cr3t" not in repr(settings) + str(rows)
    assert rows["IMAP_PASSWORD"] == rows["DATABASE_URL"] == ("****", "environment")
    assert rows["IMAP_FOLDER"] == ("INBOX,Sent Items", "environment")
    assert (rows["IMAP_ENABLED"], rows["SMTP_HOST"]) == (("yes", "default"), ("", "default"))
    assert list(rows) == [setting.key for setting in room.SETTINGS]


def test_default_database_is_shown(tmp_path):
    """The default database is no secret, and is shown where it really is."""
    assert ("DATABASE_URL", f"sqlite:///{tmp_path}/x/helpdesk.db", "default") in [
        row[:3] for row in load({"DATA_DIR": "x"}, tmp_path).shown()
    ]


def test_frozen(tmp_path):
    """Settings cannot be changed; they can be copied, compared, hashed and pickled."""
    settings = load({}, tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.imap_port = 1
    assert dataclasses.replace(settings, imap_port=1).imap_port == 1
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(settings) == hash(load({}, tmp_path))


def test_example_is_the_file():
    """.env.example is what the table makes of it."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == room.example()


def test_example_loads(tmp_path):
    """A copy of .env.example loads, changes nothing, and counts as not configured; honcho can read it, too."""
    nothing = load({}, tmp_path)
    write(tmp_path, room.example())
    for environ in ({}, dict(honcho_parse(room.example()))):
        settings = load(environ, tmp_path)
        assert settings == nothing
        assert (settings.imap_configured, settings.smtp_configured) == (False, False)
        assert settings.imap_missing == ("IMAP_HOST", "IMAP_USERNAME", "IMAP_PASSWORD")


def test_example_uncommented_loads(tmp_path):
    """What is commented out in .env.example is the default."""
    nothing = load({}, tmp_path)
    write(tmp_path, re.sub("(?m)^#(?=[A-Z])", "", room.example()))
    settings = load({}, tmp_path)
    assert settings.origin["READER_MB"] == ".env"
    assert settings.database_path == nothing.database_path
    assert dataclasses.replace(settings, database_url=nothing.database_url) == nothing


@pytest.mark.parametrize("setting", room.SETTINGS, ids=lambda setting: setting.key)
def test_every_row_is_told(setting):
    """.env.example and docs/settings.md have every key once, with its help."""
    assert len(re.findall(rf"(?m)^#?{setting.key}=", room.example())) == 1
    assert f"# {setting.help}\n" in room.example()
    assert room.markdown().count(f"| `{setting.key}` |") == 1
    assert setting.help in room.markdown()


def test_example_keeps_the_users_lines():
    """The lines that users know from the first version stand in .env.example as they were."""
    kept = {"IMAP_PORT=993   # usually 993", "IMAP_PASSWORD=your_password_here", "EMAIL_HOST_USER=support@..."}
    assert kept <= set(room.example().splitlines())


def test_light():
    """Importing the settings loads neither python-dotenv nor honcho."""
    code = "import sys, pipeline.settings; sys.exit(any(name in sys.modules for name in ('dotenv', 'honcho')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
