"""The doctor, through the command line: a healthy house, and each thing that can be wrong with one, planted and told."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline import doctor, tables
from pipeline.doctor import house as house_checks
from pipeline.doctor.finding import Case, Finding
from pipeline.settings import Settings, load
from pipeline.store import Store, now

from .conftest import ROOT, House, a_mail, needs
from .sending import put, settings_of
from .sending import servers as servers
from .servers import PASSWORD, USER, Dovecot, Pymap, Smtp, free_port, make_certificate
from .test_trouble import disk, fill

SECONDS = 5.0
CANARY = "Canary+17/yellow"
Said = dict[str, list[dict[str, str]]]


def examined(house: House, code: int = 0, **environment: str) -> Said:
    """Run `doctor --json`; return its checks by name, after a look at the whole document."""
    done = house.run("doctor", "--json", code=code, **environment)
    assert done.stderr == b""
    document = json.loads(done.stdout)
    assert list(document) == ["healthy", "checks", "issues", "actions"]
    assert document["healthy"] is (code == 0)
    said: Said = {}
    for check in document["checks"]:
        assert list(check) == ["name", "state", "detail", "fix"]
        assert check["state"] in ("ok", "warn", "FAIL") and check["detail"]
        assert bool(check["fix"]) is (check["state"] != "ok"), check
        said.setdefault(check["name"], []).append(check)
    wrong = [check for check in document["checks"] if check["state"] != "ok"]
    assert document["issues"] == [f"{check['name']}: {check['detail']}" for check in wrong]
    assert document["actions"] == list(dict.fromkeys(check["fix"] for check in wrong))
    assert document["healthy"] is all(check["state"] != "FAIL" for check in wrong)
    return said


def states(said: Said) -> dict[str, list[str]]:
    """Return the checks that are not ok, with their states."""
    found = {name: [check["state"] for check in checks if check["state"] != "ok"] for name, checks in said.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def the(said: Said, name: str, state: str) -> str:
    """Return the only line of a check in a state: detail, then fix."""
    [check] = [check for check in said[name] if check["state"] == state]
    return f"{check['detail']} -> {check['fix']}"


@pytest.fixture
def worked(house: House) -> House:
    """A house that has worked once."""
    house.run("process")
    return house


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    server = Dovecot()
    yield server
    server.close()


@contextlib.contextmanager
def speaking(*answers: bytes) -> Iterator[int]:
    """Listen on a port: say one thing to each who comes, then one for each line that is heard; without any, stay silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            listener.settimeout(0.05)
            while not over.is_set():
                with contextlib.suppress(OSError):
                    line, _ = listener.accept()
                    with line:
                        line.settimeout(0.05)
                        talk(line)

        def talk(line: socket.socket) -> None:
            left = list(answers)
            if left:
                line.sendall(left.pop(0))
            heard = b""
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    heard = line.recv(65536)
                    if not heard:
                        return
                    if left:
                        line.sendall(left.pop(0).replace(b"HEARD", heard.strip()).replace(b"TAG", heard.split(b" ")[0]))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


def opened(house: House) -> Store:
    return Store.open(settings_of(house))


# -- a healthy house ---------------------------------------------------------------------------------------------------


def test_a_healthy_house_is_told_to_be_one_within_five_seconds(
    house: House, dovecot: Dovecot, servers: Callable[..., Smtp]
) -> None:
    """With real servers, TLS and log-ins, all checks are ok and made within five seconds."""
    smtp = servers("starttls", PASSWORD)
    env = {**dovecot.env(), **smtp.env()}
    house.run("sync", "--once", **env)
    house.run("process", **env)
    times = []
    for _ in range(3):
        began = time.monotonic()
        said = examined(house, **env)
        times.append(time.monotonic() - began)
    assert states(said) == {}
    assert min(times) < SECONDS, times
    optional = {"undecided", "aside"}  # told only where there is something to tell
    assert {check.name for check in doctor.CHECKS} - said.keys() == optional
    assert "log-in of support@desk.example taken" in said["imap"][0]["detail"]
    assert "STARTTLS, certificate checked, log-in of support@desk.example taken" in said["smtp"][0]["detail"]
    assert said["folders"][0]["detail"].startswith("INBOX (")
    assert smtp.taken == [], "a mail went out that nobody asked for"


def test_a_line_a_check_with_state_and_fix(worked: House) -> None:
    """On a terminal each check is a line: state, name, what was found, what to do; the last line sums up."""
    done = worked.run("doctor")
    *lines, last = done.stdout.decode().splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert last == f"Healthy: {len(lines)} checks."
    (worked.home / ".env").write_text("IMAP_HOTS=imap.example.com\n")
    (worked.home / ".env").chmod(0o600)
    lines = worked.run("doctor").stdout.decode().splitlines()
    assert "warn  settings          IMAP_HOTS is not a setting -> did you mean IMAP_HOST?" in lines
    assert lines[-1] == f"Healthy: {len(lines) - 1} checks, 1 with a warning."
    shutil.rmtree(worked.new)
    [failed, last] = worked.run("doctor", "-q", code=1).stdout.decode().splitlines()
    assert failed.startswith("FAIL  maildir ") and last.startswith("Not healthy: 1 of ")


def test_nothing_is_changed(worked: House) -> None:
    """A look leaves every file as it was, name, bytes and time, and makes none."""
    worked.drop(a_mail())
    worked.run("process")

    def picture() -> dict[str, tuple[bytes, int]]:
        files = (path for path in worked.home.rglob("*") if path.is_file())
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = picture()
    examined(worked)
    assert picture() == before


def test_the_database_may_be_in_use(worked: House) -> None:
    """While another program writes, the doctor reads what was there before, and waits for nobody."""
    with contextlib.closing(sqlite3.connect(worked.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE counter SET value = value + 1")
        assert states(examined(worked)) == {}


def test_every_check_is_explained() -> None:
    """docs/doctor.md has a row for every check, and for those that a check adds."""
    page = (ROOT / "docs" / "doctor.md").read_text("utf-8")
    for name in [*(check.name for check in doctor.CHECKS), "migrations", "folders", "send-test"]:
        assert f"| `{name}` |" in page, name


# -- settings and files ------------------------------------------------------------------------------------------------


def test_wrong_settings_are_told_all_at_once(house: House) -> None:
    """Each wrong value is a line that failed, none shows a secret, and nothing is made."""
    env = {"IMAP_PORT": "many", "REPLY_POLICY": "nobody", "IMAP_HOST": "imap.example.com", "IMAP_SECURITY": "none"}
    said = examined(house, 1, **env, IMAP_PASSWORD=f"{CANARY}\x01")
    told = " ".join(check["detail"] for check in said["settings"])
    for key in ("IMAP_PORT", "REPLY_POLICY", "IMAP_SECURITY", "IMAP_PASSWORD"):
        assert key in told
    assert states(said) == {"settings": ["FAIL"] * 4} and CANARY not in told
    assert os.listdir(house.home) == []


def test_a_file_of_settings_that_all_may_read(worked: House) -> None:
    """A .env that others can read is a warning with the chmod that mends it."""
    (worked.home / ".env").write_text("TICKET_PREFIX=HELP\n")
    (worked.home / ".env").chmod(0o644)
    assert f"chmod 600 {worked.home}/.env" in the(examined(worked), "settings", "warn")


def test_the_five_forms_of_subjects(worked: House) -> None:
    """The line says what today's code reads in each form, with the prefix that is set."""
    detail = examined(worked, TICKET_PREFIX="HELP")["subjects"][0]["detail"]
    assert "RE: AW: [HELP-123] Printer = 123" in detail
    assert "Problem with ticket 123 = no ticket" in detail
    assert detail.count("; ") == 4


def test_a_wrong_rules_file(worked: House) -> None:
    """A rules file that cannot be read fails with the line of its first error."""
    (worked.home / "config").mkdir()
    (worked.home / "config" / "rules.toml").write_text('[[rule]]\nname = "x"\nwhne = "true"\n')
    told = the(examined(worked, 1), "rules", "FAIL")
    assert "rules.toml line" in told and "helpdesk rules check" in told


def test_a_wrong_template(worked: House) -> None:
    """A template with an error fails with its file and line."""
    folder = worked.home / "config" / "templates"
    folder.mkdir(parents=True)
    (folder / "reply.txt").write_text("{{ text }}\n{{ nonsense }}\n")
    assert "config/templates/reply.txt:2" in the(examined(worked, 1), "templates", "FAIL")


def test_a_stage_that_is_not_installed(worked: House) -> None:
    """A stage that nobody has installed fails, with the names of those that are."""
    told = the(examined(worked, 1, STAGES="parse screen match persist shout"), "stages", "FAIL")
    assert '"shout" is not installed' in told


@pytest.mark.parametrize(("year", "state"), [(1999, "FAIL"), (2023, "FAIL"), (2150, "FAIL"), (2099, "ok")])
def test_a_clock_that_cannot_be_right(year: int, state: str) -> None:
    """A year out of all reason, or before the program was installed, is told; a later one may be true."""
    [found] = house_checks.clock(Case(defaults(), datetime.datetime(year, 6, 1, tzinfo=datetime.UTC)))
    assert isinstance(found, Finding) and found.state == state


def defaults() -> Settings:
    return load({})


# -- folders and disks -------------------------------------------------------------------------------------------------


def test_nothing_there_yet(house: House) -> None:
    """Without Maildir and database both fail with the command that makes them, and nothing is made."""
    said = examined(house, 1)
    assert states(said) == {"maildir": ["FAIL"], "database": ["FAIL"]}
    assert "`helpdesk process` makes it" in the(said, "maildir", "FAIL")
    assert "`helpdesk process` makes it" in the(said, "database", "FAIL")
    assert os.listdir(house.home) == []
    house.run("process")
    assert states(examined(house)) == {}


def test_a_maildir_that_is_no_folder(worked: House) -> None:
    """A file where the Maildir should be, or a Maildir without its cur/, fails; there is no traceback."""
    shutil.rmtree(worked.cur)
    assert f"{worked.cur} is not there" in the(examined(worked, 1), "maildir", "FAIL")
    shutil.rmtree(worked.maildir)
    worked.maildir.write_text("")
    said = examined(worked, 1)
    assert f"{worked.maildir} is no folder" in the(said, "maildir", "FAIL")
    assert f"{worked.maildir} is no folder" in the(said, "disk", "FAIL")


def test_a_maildir_of_two_file_systems(worked: House) -> None:
    """A new/ on another disk than tmp/ fails: no mail could be moved by one rename."""
    with disk(worked.new, "80m"):
        told = the(examined(worked, 1), "rename", "FAIL")
    assert f"{worked.new} is on another file system" in told
    assert os.listdir(worked.maildir / "tmp") == []


def test_a_maildir_of_two_mounts_of_one_disk(worked: House) -> None:
    """Two mounts of one disk have the same number, and yet no file is renamed between them: that is told too."""
    other = worked.home / "other"
    other.mkdir()
    if os.getuid() or sys.platform != "linux" or subprocess.run(["mount", "--bind", other, worked.cur], check=False).returncode:
        pytest.skip("a folder cannot be mounted here")
    try:
        told = the(examined(worked, 1), "rename", "FAIL")
    finally:
        subprocess.run(["umount", "-l", str(worked.cur)], check=True)
    assert f"{worked.cur} is on another file system" in told


def test_a_maildir_on_a_disk_of_its_own(house: House) -> None:
    """A whole Maildir on another disk than the database is as good as any; a small disk is a warning."""
    with disk(house.maildir, "100m"):
        house.run("process")
        said = examined(house)
    assert states(said) == {"disk": ["warn"]}


def test_a_full_disk(worked: House) -> None:
    """A full disk fails, and the probe that did not fit is taken away."""
    shutil.rmtree(worked.maildir)
    with disk(worked.maildir):
        worked.run("process")
        fill(worked.maildir, 8192)
        said = examined(worked, 1)
        assert os.listdir(worked.maildir / "tmp") == []
    assert "0 MB left" in the(said, "disk", "FAIL")
    assert "No space left on device" in the(said, "rename", "FAIL")


def test_a_disk_that_may_not_be_written(house: House) -> None:
    """A DATA_DIR that cannot be written fails with the folder and the setting, and so does the database in it."""
    with disk(house.home / "disk", "100m") as data:
        house.run("process", DATA_DIR=str(data))
        subprocess.run(["mount", "-o", "remount,ro", str(data)], check=True)
        said = examined(house, 1, DATA_DIR=str(data))
    assert f"{data} cannot be written to" in the(said, "disk", "FAIL") and "DATA_DIR" in the(said, "disk", "FAIL")
    assert states(said)["database"] == ["FAIL", "FAIL"]


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_too_few_inotify_watches(worked: House, limit: str) -> None:
    """Where the kernel has no watch left, that fails with the sysctl that mends it."""
    needs("unshare", "util-linux")
    script = f'echo 0 > /proc/sys/user/{limit} || exit 99; exec "$@"'
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *worked.command("doctor", "--json")]
    done = subprocess.run(words, env=worked.environment, capture_output=True, timeout=60)
    if done.returncode == 99 or b"unshare" in done.stderr:
        pytest.skip("the limits of inotify cannot be changed here")
    [check] = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "inotify"]
    assert done.returncode == 1 and check["state"] == "FAIL"
    assert limit.replace("inotify", "user") in check["fix"] and "OBSERVER=polling" in check["fix"]


def test_mail_that_nobody_works(worked: House) -> None:
    """Mail that lies in new/ for more than ten minutes is a warning; fresh mail, and scratch files, are none."""
    worked.drop(a_mail())
    (worked.new / ".scratch").write_bytes(b"")
    found = house_checks.waiting(Case(settings_of(worked), datetime.datetime.now(datetime.UTC)))
    assert [one.state for one in found] == ["ok"]
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(
        minutes=11
    )  # no file can be made older: its ctime is the kernel's
    [one] = house_checks.waiting(Case(settings_of(worked), later))
    assert one.state == "warn" and one.detail.startswith("1 mail in the Maildir")


def test_a_folder_that_was_put_aside(worked: House) -> None:
    """A folder put aside after a changed UIDVALIDITY is told with its place."""
    (worked.maildir / ".aside" / "20261122-073100-7" / "INBOX" / "cur").mkdir(parents=True)
    assert "20261122-073100-7/INBOX" in the(examined(worked), "aside", "warn")


# -- the database ------------------------------------------------------------------------------------------------------


def no_database_at_all(house: House) -> None:
    house.database.write_bytes(b"This is no database. " * 1000)


def a_page_is_lost(house: House) -> None:
    with contextlib.closing(sqlite3.connect(house.database)) as database, database:
        [(root,)] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'mail'")
        [(size,)] = database.execute("PRAGMA page_size")
    with house.database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)


def it_is_cut(house: House) -> None:
    os.truncate(house.database, house.database.stat().st_size // 2)


def it_is_a_folder(house: House) -> None:
    house.database.unlink()
    (house.database / "x").mkdir(parents=True)


@pytest.mark.parametrize("damage", [no_database_at_all, a_page_is_lost, it_is_cut, it_is_a_folder])
def test_a_damaged_database(worked: House, damage: Callable[[House], None]) -> None:
    """A file that is no database, or a damaged one, fails with what to do, and the other checks are made."""
    damage(worked)
    said = examined(worked, 1)
    assert states(said) == {"database": ["FAIL"]}
    assert "bring back the last good one" in the(said, "database", "FAIL")
    assert said["smtp"] and "failed" not in said


def test_an_older_and_a_newer_database(worked: House) -> None:
    """A database of another version fails with the command to run, and is not touched."""
    with contextlib.closing(sqlite3.connect(worked.database)) as database, database:
        database.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2026-11-22')")
    assert "newer Letterdesk (9999_later)" in the(examined(worked, 1), "migrations", "FAIL")
    with contextlib.closing(sqlite3.connect(worked.database)) as database, database:
        database.execute("DELETE FROM schema_migration WHERE name > '0002'")
    before = worked.database.read_bytes()
    assert "helpdesk migrate" in the(examined(worked, 1), "migrations", "FAIL")
    assert worked.database.read_bytes() == before


def test_a_database_that_somebody_locks(worked: House) -> None:
    """A database that another program keeps for itself does not keep the doctor longer than the others."""
    with contextlib.closing(sqlite3.connect(worked.database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = delete")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE counter SET value = value + 1")
        began = time.monotonic()
        said = examined(worked)  # without a write-ahead log it is read as it is on disk
        assert time.monotonic() - began < SECONDS + 3
    assert states(said) == {}


# -- what the books say ------------------------------------------------------------------------------------------------


def test_failed_and_held_mails(worked: House) -> None:
    """Mails that failed, or are held, are counted with the reason of the last and the command that shows them."""
    empty = worked.drop(b"")
    os.utime(empty, (time.time() - 120,) * 2)
    worked.drop(a_mail(x_spam_flag="YES"), "spam.eml")
    worked.process(code=None)
    said = examined(worked)
    assert states(said) == {"failed": ["warn"], "held": ["warn"]}
    assert the(said, "failed", "warn").startswith("1 mail could not be processed; the last: ")
    assert "helpdesk failed list" in the(said, "failed", "warn")
    assert "1 mail held for an agent" in the(said, "held", "warn") and "helpdesk held list" in the(said, "held", "warn")


def test_mail_that_waits_for_another_try(worked: House) -> None:
    """A mail that a stage put off is counted, with what it waits for."""
    with opened(worked) as store, store.transaction():
        row = {"digest": "0" * 64, "received": now(), "size": 1, "reason": "the\nscorer is busy", "version": "0"}
        store.insert(tables.Mail, [{"id": 1, **row}])
    assert "1 mail waiting for another try; the last: the\\nscorer is busy" in the(examined(worked), "undecided", "warn")


def minutes_ago(minutes: int) -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)).isoformat(timespec="seconds")


def test_mails_that_do_not_go_out(worked: House, servers: Callable[..., Smtp]) -> None:
    """Mails that wait for more than ten minutes, and those that were refused, are counted with the last reason."""
    env = servers().env()
    with opened(worked) as store:
        put(store)
        assert states(examined(worked, **env)) == {}
        put(store, created=minutes_ago(11), reason="ann@example.com: 451 later", tries=3)
        put(store, created=minutes_ago(60), state="failed", reason="ann@example.com: 550 no such user")
    said = examined(worked, **env)
    late, refused = (f"{check['detail']} -> {check['fix']}" for check in said["outbox"])
    assert late.startswith("1 mail waiting to be sent for more than ten minutes; the last: ann@example.com: 451 later ->")
    assert refused.startswith("1 mail refused for good; the last: ann@example.com: 550 no such user ->")
    assert "helpdesk outbox list" in late and "helpdesk outbox retry" in refused


def test_sending_that_is_paused(worked: House, servers: Callable[..., Smtp]) -> None:
    """A file PAUSE, and mail that goes to one address only, are warnings."""
    (worked.home / "data" / "PAUSE").touch()
    said = examined(worked, **servers().env(ALL_MAIL_TO="me@example.com"))
    assert states(said) == {"outbox": ["warn"], "sender": ["warn"]}
    assert "PAUSE" in the(said, "outbox", "warn") and "ALL_MAIL_TO" in the(said, "sender", "warn")


def test_no_address_to_write_from(worked: House, servers: Callable[..., Smtp]) -> None:
    """SMTP without an address to write from fails with the setting."""
    env = servers().env()
    del env["DEFAULT_FROM_EMAIL"]
    assert "DEFAULT_FROM_EMAIL" in the(examined(worked, 1, **env), "sender", "FAIL")


def test_bounds_of_acknowledgements(worked: House, servers: Callable[..., Smtp]) -> None:
    """A bound that was reached within 24 hours is told with its setting and how many mails had no acknowledgement for it."""
    env = servers().env(ACKNOWLEDGE_PER_SENDER="1", ACKNOWLEDGE_WITHIN="8760")
    for number in (1, 2):
        worked.drop(a_mail(f"Subject {number}", message_id=f"<{number}@example.com>"), f"{number}.eml")
    worked.run("process", **env)
    said = examined(worked, **env)
    assert states(said) == {"acknowledgements": ["warn"]}
    told = the(said, "acknowledgements", "warn")
    assert told.startswith("ann@example.com (ACKNOWLEDGE_PER_SENDER=1); 1 mail not acknowledged for that")
    assert states(examined(worked, **{**env, "ACKNOWLEDGE_PER_SENDER": "9"})) == {"acknowledgements": ["warn"]}  # the mail
    assert states(examined(worked, **{**env, "ACKNOWLEDGE": "no"})) == {}


def test_an_hour_that_was_full(worked: House, servers: Callable[..., Smtp]) -> None:
    """The bounds on a domain and on all in an hour are told by their settings."""
    env = servers().env()
    worked.drop(a_mail())
    worked.run("process", **env)
    assert states(examined(worked, **env)) == {}
    told = the(examined(worked, **env, ACKNOWLEDGE_PER_DOMAIN="1", ACKNOWLEDGE_PER_HOUR="1"), "acknowledgements", "warn")
    assert "example.com (ACKNOWLEDGE_PER_DOMAIN=1), all in an hour (ACKNOWLEDGE_PER_HOUR=1)" in told


def test_plus_addresses(worked: House, servers: Callable[..., Smtp]) -> None:
    """With an agent and SMTP, that plus addresses work is doubted until an answer to one came."""
    env = servers().env()
    assert "plus addresses" not in examined(worked)
    worked.run("agent", "add", "gus@desk.example")
    told = the(examined(worked, **env), "plus addresses", "warn")
    assert "no such mail was ever seen" in told and "name+anything@" in told
    with opened(worked) as store:
        trail = json.dumps(["match: Gus answers a notification of TICKET-001, proven by its token"])
        row = {"digest": "0" * 64, "received": now(), "size": 1, "version": "0", "outcome": "commented", "trail": trail}
        with store.transaction():
            store.insert(tables.Mail, [{"id": 1, **row}])
    assert "plus addresses" not in states(examined(worked, **env))


def results(server: str) -> dict[str, str]:
    return {"Authentication_Results": f"{server}; spf=pass smtp.mailfrom=example.com; dmarc=pass header.from=example.com"}


def fetched(house: House, *servers: str, **headers: str) -> None:
    """Let mails come by the INBOX, each with the header of a server."""
    for number, server in enumerate(servers):
        origin = results(server) if server else {}
        raw = a_mail(f"Subject {number}", message_id=f"<{number}@example.com>", **origin, **headers)
        house.drop(raw, f"1700000000_{number}.1.host,U={number + 1},FMD5={'0' * 32}", "INBOX")
    house.run("process")


@pytest.mark.parametrize(
    ("servers_named", "proposed"),
    [
        (["mx.desk.example"] * 4 + ["forged.example"], "mx.desk.example"),
        (["mx1.hoster.example", "mx2.hoster.example", "mx3.hoster.example", "mx1.hoster.example"], "*.hoster.example"),
    ],
)
def test_a_proposal_for_the_authserv_id(worked: House, servers_named: list[str], proposed: str) -> None:
    """What most of the fetched mails bear on top is proposed; hosts of one domain as that domain."""
    fetched(worked, *servers_named)
    assert f"set TRUSTED_AUTHSERV_ID={proposed};" in the(examined(worked), "authserv-id", "warn")
    said = examined(worked, TRUSTED_AUTHSERV_ID=proposed)
    assert states(said) == {} and said["authserv-id"][0]["detail"].startswith(f"{proposed} wrote 4 of the last ")


def test_microsofts_name_is_proposed(worked: House) -> None:
    """A header without a name below Microsoft's Received is proposed under the name that stands for it."""
    values = {"Authentication_Results": "spf=pass smtp.mailfrom=example.com; dmarc=pass header.from=example.com"}
    fetched(worked, "", "", "", "", Received="from x by AM0.eurprd01.prod.outlook.com; Sun, 22 Nov 2026 07:31:00 +0000", **values)
    assert "set TRUSTED_AUTHSERV_ID=protection.outlook.com;" in the(examined(worked), "authserv-id", "warn")


@pytest.mark.parametrize(
    "named", [["mx.desk.example"] * 2, ["a.example", "b.example", "c.example"], ["mx.a.example"] * 3 + [""] * 3]
)
def test_no_proposal_without_a_majority(worked: House, named: list[str]) -> None:
    """Two mails, servers that disagree, and a header in half of the mails prove no name."""
    fetched(worked, *named)
    assert "nothing to propose" in examined(worked)["authserv-id"][0]["detail"]


def test_an_authserv_id_that_nobody_writes(worked: House) -> None:
    """A TRUSTED_AUTHSERV_ID that none of the fetched mails bears fails, with the names that stand there."""
    fetched(worked, "mx.desk.example")
    told = the(examined(worked, 1, TRUSTED_AUTHSERV_ID="mx.dekk.example"), "authserv-id", "FAIL")
    assert "mx.dekk.example wrote none of the last 1 mail; topmost stands mx.desk.example" in told


def a_round(ended: str, **columns: Any) -> Callable[[House], None]:
    def write(house: House) -> None:
        with opened(house) as store, store.transaction():
            tables.SyncRound.insert(started=ended, ended=ended, **columns).execute(store.database)

    return write


def test_how_fetching_went(worked: House, dovecot: Dovecot) -> None:
    """No round yet and a fresh trouble are warnings; no good round for an hour fails; a half-made setting is named."""
    env = dovecot.env()
    assert "no round has run yet" in the(examined(worked, **env), "sync", "warn")
    a_round(minutes_ago(90))(worked)
    assert "helpdesk up" in the(examined(worked, 1, **env), "sync", "FAIL")
    a_round(minutes_ago(2))(worked)
    assert states(examined(worked, **env)) == {}
    a_round(minutes_ago(1), kind="login", reason="the server refused the log-in", hint="Check IMAP_PASSWORD.")(worked)
    told = the(examined(worked, **env), "sync", "warn")
    assert "the server refused the log-in" in told and told.endswith("-> Check IMAP_PASSWORD.")
    del env["IMAP_PASSWORD"]
    assert "Set IMAP_PASSWORD in .env." in the(examined(worked, **env), "sync", "warn")


# -- servers -----------------------------------------------------------------------------------------------------------


def test_an_imap_server_out_of_reach(worked: House, dovecot: Dovecot) -> None:
    """No server, no such name, no TLS where it must be: each fails in the words of `sync`, with the settings to check."""
    nobody = dovecot.env(IMAP_PORT=str(free_port()))
    assert "the server does not answer" in the(examined(worked, 1, **nobody), "imap", "FAIL")
    nowhere = dovecot.env(IMAP_HOST="imap.invalid")
    assert "the server's name is not known" in the(examined(worked, 1, **nowhere), "imap", "FAIL")
    strangers = dovecot.env()
    del strangers["IMAP_CA_FILE"]
    assert "certificate is not trusted" in the(examined(worked, 1, **strangers), "imap", "FAIL")
    (worked.home / "empty.pem").touch()
    for name in ("none.pem", "empty.pem"):
        assert "IMAP_CA_FILE" in the(examined(worked, 1, **dovecot.env(IMAP_CA_FILE=name)), "imap", "FAIL")


def test_a_wrong_imap_password(worked: House, dovecot: Dovecot) -> None:
    """A refused log-in fails as such, with what the server said."""
    said = examined(worked, 1, **dovecot.env(IMAP_PASSWORD=CANARY))
    told = the(said, "imap", "FAIL")
    assert "the server refused the log-in" in told and "AUTHENTICATIONFAILED" in told and "IMAP_PASSWORD" in told
    assert "folders" not in said and CANARY not in json.dumps(said)


def test_a_password_beyond_ascii(worked: House, dovecot: Dovecot) -> None:
    """A password with letters beyond ASCII is refused by the server, not by us."""
    assert "the server refused the log-in" in the(examined(worked, 1, **dovecot.env(IMAP_PASSWORD="Größe")), "imap", "FAIL")


def test_pymap_is_examined_too(worked: House) -> None:
    """Another server, without TLS: a log-in that is taken, one that is refused, a folder that is not there."""
    server = Pymap()
    try:
        said = examined(worked, 1, **server.env(IMAP_FOLDER="INBOX,Sentt"))
        assert "no TLS, log-in of" in said["imap"][0]["detail"]
        assert "the server has no folder Sentt" in the(said, "folders", "FAIL") and "It has INBOX" in the(said, "folders", "FAIL")
        assert said["folders"][1]["detail"].startswith("INBOX (")
        assert "refused the log-in" in the(examined(worked, 1, **server.env(IMAP_PASSWORD=CANARY)), "imap", "FAIL")
    finally:
        server.close()


def test_names_of_folders(worked: House, dovecot: Dovecot) -> None:
    """A folder in another case, with a slip, or as people read it, fails with the name that the server writes."""
    umlaut = "Gr&APYA3w-e Post"
    for name in ("Support", umlaut):
        if name not in dovecot.folders():
            dovecot.create(name)
    right = examined(worked, **dovecot.env(IMAP_FOLDER=f"inbox,Support,{umlaut}"))
    assert "Support (0 mails), Gr&APYA3w-e Post (0 mails)" in right["folders"][0]["detail"]
    for wrong, meant in (("support", "Support"), ("Suport", "Support"), ("Größe Post", umlaut), ("Zebra", "")):
        told = the(examined(worked, 1, **dovecot.env(IMAP_FOLDER=f"INBOX,{wrong}")), "folders", "FAIL")
        assert f"the server has no folder {wrong}" in told and "IMAP_FOLDER" in told

        assert (f"Did you mean {meant}?" if meant else "It has ") in told


def test_a_certificate_of_another_host(worked: House, servers: Callable[..., Smtp]) -> None:
    """A certificate of another name is not taken, by neither protocol."""
    imap, smtp = Dovecot(), servers("ssl")
    try:
        make_certificate(imap.base, "other.example")
        imap.kill()
        imap.process = subprocess.Popen(
            [shutil.which("dovecot") or "/usr/sbin/dovecot", "-F", "-c", str(imap.base / "dovecot.conf")],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        said = examined(worked, 1, **listening(imap), **smtp.env(SMTP_HOST="127.0.0.1"))
    finally:
        imap.close()
    assert "mismatch" in the(said, "imap", "FAIL") and "IMAP_HOST" in the(said, "imap", "FAIL")
    assert "mismatch" in the(said, "smtp", "FAIL") and "SMTP_HOST" in the(said, "smtp", "FAIL")


def listening(server: Dovecot) -> dict[str, str]:
    """Wait until a server that no client of ours trusts takes connections; return its settings."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            break
        time.sleep(0.05)
    return server.env()


def test_an_smtp_server_out_of_reach(worked: House, servers: Callable[..., Smtp]) -> None:
    """No server, and a certificate that nobody vouches for, fail with the settings to check."""
    assert "is out of reach" in the(examined(worked, 1, **servers().env(SMTP_PORT=str(free_port()))), "smtp", "FAIL")
    env = servers("starttls").env()
    del env["SMTP_CA_FILE"]
    assert "cannot be trusted" in the(examined(worked, 1, **env), "smtp", "FAIL")
    assert "SMTP_CA_FILE" in the(examined(worked, 1, **servers("ssl").env(SMTP_CA_FILE="none.pem")), "smtp", "FAIL")


def test_a_server_without_starttls(worked: House, servers: Callable[..., Smtp]) -> None:
    """A server that offers no STARTTLS fails, and never hears a password."""
    smtp = servers("starttls", PASSWORD, offer_starttls=False)
    told = the(examined(worked, 1, **smtp.env()), "smtp", "FAIL")
    assert "STARTTLS" in told and "SMTP_SECURITY=ssl" in told and smtp.logins == 0


def test_a_wrong_smtp_password(worked: House, servers: Callable[..., Smtp]) -> None:
    """A refused log-in fails as such, and is tried once."""
    smtp = servers("starttls", PASSWORD)
    said = examined(worked, 1, **smtp.env(SMTP_PASSWORD=CANARY))
    assert "refuses the log-in" in the(said, "smtp", "FAIL") and "SMTP_PASSWORD" in the(said, "smtp", "FAIL")
    assert smtp.logins == 1 and CANARY not in json.dumps(said)
    assert "SMTP_PASSWORD not set" in the(examined(worked, 1, **smtp.env(SMTP_PASSWORD="")), "smtp", "FAIL")


def test_servers_that_say_nothing(worked: House) -> None:
    """Two silent servers cost no more than the five seconds together, and each is told."""
    with speaking() as imap, speaking() as smtp:
        env = {"IMAP_HOST": "127.0.0.1", "IMAP_PORT": str(imap), "IMAP_USERNAME": USER, "IMAP_PASSWORD": PASSWORD}
        env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp), "DEFAULT_FROM_EMAIL": "desk@desk.example"}
        began = time.monotonic()
        said = examined(worked, 1, **env, IMAP_SECURITY="none")
        assert time.monotonic() - began < SECONDS + 1.5  # the machine may be busy
    for name in ("imap", "smtp"):  # a machine that is slow to begin gives no server its three seconds
        told = the(said, name, "FAIL")
        assert ("timed out" in told or "no answer within" in told) and f"{name.upper()}_HOST" in told


def test_servers_that_never_come_to_an_end(worked: House) -> None:
    """A server that sends a letter now and then, so that no single wait is long, is given up all the same."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                while not over.wait(0.3):
                    line.sendall(b"2")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            port = str(listener.getsockname()[1])
            began = time.monotonic()
            said = examined(worked, 1, SMTP_HOST="127.0.0.1", SMTP_PORT=port, DEFAULT_FROM_EMAIL="desk@desk.example")
            assert time.monotonic() - began < SECONDS + 1.5
        finally:
            over.set()
            thread.join()
    assert f"no answer within {doctor.SECONDS} seconds" in the(said, "smtp", "FAIL")


def test_a_server_that_falls_silent_at_the_log_in(worked: House) -> None:
    """That a server stops answering in the middle is told as that, not as a refused log-in."""
    with speaking(b"* OK hello\r\n", b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n") as imap:
        env = {"IMAP_HOST": "127.0.0.1", "IMAP_PORT": str(imap), "IMAP_USERNAME": USER, "IMAP_PASSWORD": PASSWORD}
        told = the(examined(worked, 1, **env, IMAP_SECURITY="none"), "imap", "FAIL")
    assert "refused" not in told and ("the server does not answer" in told or "no answer within" in told)


def test_servers_that_refuse(worked: House) -> None:
    """Servers that send everybody away fail with what they say."""
    with speaking(b"* BYE too many users\r\n") as imap, speaking(b"554 go away\r\n") as smtp:
        env = {"IMAP_HOST": "127.0.0.1", "IMAP_PORT": str(imap), "IMAP_USERNAME": USER, "IMAP_PASSWORD": PASSWORD}
        env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp), "DEFAULT_FROM_EMAIL": "desk@desk.example"}
        said = examined(worked, 1, **env, IMAP_SECURITY="none")
    assert "too many users" in the(said, "imap", "FAIL") and "554 go away" in the(said, "smtp", "FAIL")


def test_what_a_server_says_back_shows_no_secret(worked: House) -> None:
    """A server that repeats what it heard, plain or packed, makes no password visible, nor a line of its own."""
    imap_said = (b"* OK hello\r\n", b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n", b"TAG NO \x1b[31m HEARD\r\n")
    smtp_said = (b"220 hello\r\n", b"250-me\r\n250 AUTH PLAIN\r\n", b"535 HEARD\r\n")
    with speaking(*imap_said) as imap, speaking(*smtp_said) as smtp:
        env = {"IMAP_HOST": "127.0.0.1", "IMAP_PORT": str(imap), "IMAP_USERNAME": USER, "IMAP_PASSWORD": CANARY}
        env |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp), "SMTP_USERNAME": USER, "SMTP_PASSWORD": CANARY}
        env |= {"IMAP_SECURITY": "none", "SMTP_SECURITY": "none", "DEFAULT_FROM_EMAIL": "desk@desk.example"}
        told = json.dumps(examined(worked, 1, **env))
        shown = worked.run("doctor", code=1, **env)
    assert told.count("****") >= 2, "the servers were not heard"
    packed = base64.b64encode(f"\0{USER}\0{CANARY}".encode()).decode()
    for secret in (CANARY, packed, base64.b64encode(CANARY.encode()).decode()):
        assert secret not in told and secret.encode() not in shown.stdout + shown.stderr
    assert b"\x1b[31m" not in shown.stdout


# -- a mail that really goes out ---------------------------------------------------------------------------------------


def test_a_mail_is_really_sent(worked: House, servers: Callable[..., Smtp]) -> None:
    """With --send-test one mail arrives, and what the server said is told; the database knows nothing of it."""
    smtp = servers("starttls", PASSWORD)
    smtp.finals.append("250 2.0.0 queued as 4XyZ")
    done = worked.run("doctor", "--send-test", "Ann <ann@example.com>", **smtp.env())
    [line] = [line for line in done.stdout.decode().splitlines() if "send-test" in line]
    [taken] = smtp.taken
    assert line.startswith("ok ") and "sent to ann@example.com; the server said: 250 2.0.0 queued as 4XyZ." in line
    assert taken.recipients == ["ann@example.com"] and taken.sender == "desk@desk.example"
    assert b"Subject: A test of Letterdesk" in taken.raw and b"Auto-Submitted: auto-generated" in taken.raw
    assert taken.message_id in line
    assert worked.json("outbox", "list", "--all") == []


def test_a_mail_that_is_refused(worked: House, servers: Callable[..., Smtp]) -> None:
    """A recipient whom the server does not take, and a line that breaks, fail with what was said."""
    smtp = servers()
    smtp.answers["ann@example.com"] = "550 5.1.1 no such user"
    smtp.answers["bob@example.com"] = "drop"
    for address, told in (("ann@example.com", "550 5.1.1 no such user"), ("bob@example.com", "the line broke")):
        done = worked.run("doctor", "--send-test", address, "--json", code=1, **smtp.env())
        [check] = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "send-test"]
        assert check["state"] == "FAIL" and told in check["detail"]


def test_no_mail_is_sent_where_none_may_go(worked: House, servers: Callable[..., Smtp]) -> None:
    """SEND_ENABLED=no, no SMTP_HOST and a refused log-in send nothing; ALL_MAIL_TO has the mail for itself."""
    smtp = servers("none", PASSWORD)
    words = ("doctor", "--send-test", "ann@example.com")
    assert b"SEND_ENABLED=no" in worked.run(*words, code=1, **smtp.env(SEND_ENABLED="no")).stdout
    assert b"SMTP_HOST" in worked.run(*words, code=1).stdout
    before = smtp.logins
    assert b"the check of the SMTP server failed" in worked.run(*words, code=1, **smtp.env(SMTP_PASSWORD="wrong")).stdout
    assert smtp.logins == before + 1 and smtp.taken == []
    worked.run(*words, **smtp.env(ALL_MAIL_TO="me@example.com"))
    assert [taken.recipients for taken in smtp.taken] == [["me@example.com"]]
    assert b"is no address" in worked.run("doctor", "--send-test", "ann", code=2).stderr
