"""`helpdesk schedule`: what is printed runs as it stands, from any folder and with nothing in the environment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import House, a_mail

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no cron")


def entry(house: House, *words: str) -> tuple[str, str]:
    """Return the times and the command of the line for cron."""
    (line,) = house.run("schedule", "cron", *words).stdout.decode().splitlines()
    *times, command = line.split(" ", 5)
    return " ".join(times), command


def as_cron(command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command as cron does: `\\%` is a percent sign, by sh, from elsewhere, with next to no environment."""
    assert "%" not in command.replace(r"\%", ""), "cron would end the command at a bare %"
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "LOGNAME": "nobody"}
    return subprocess.run(
        ["/bin/sh", "-c", command.replace(r"\%", "%")], cwd="/", env=environment, capture_output=True, timeout=120
    )


@pytest.mark.parametrize(("words", "times"), [((), "*/5 * * * *"), (("--minutes", "1"), "*/1 * * * *")])
def test_the_times(house: House, words: tuple[str, ...], times: str) -> None:
    """The entry is one line, every 5 minutes unless asked otherwise."""
    assert entry(house, *words)[0] == times


def test_the_paths_are_absolute(house: House) -> None:
    """Home and program are named by absolute paths, and the program exists."""
    command = entry(house)[1]
    assert str(house.home) in command
    program = next(word for word in command.split() if word.endswith("helpdesk"))
    assert Path(program).is_absolute() and os.access(program, os.X_OK)


HOMES = ["plain", "with blank", "100% sure", "it's", 'a"b', "$HOME", "semi;colon & co", "Größe"]


@pytest.mark.parametrize("name", HOMES)
def test_the_entry_runs(tmp_path: Path, name: str) -> None:
    """Executed by sh as cron does it, the entry processes the mail, silently, wherever the home lies."""
    (tmp_path / name).mkdir()
    house = House(tmp_path / name)
    house.drop(a_mail())
    done = as_cron(entry(house)[1])
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [row["number"] for row in house.json("ticket", "list")] == ["TICKET-001"]
    assert os.listdir(house.new) == []


def test_the_entry_speaks_up_where_something_is_wrong(house: House) -> None:
    """Where the settings are wrong the entry says so, so that cron sends a mail."""
    command = entry(house)[1]
    (house.home / ".env").write_text("IMAP_PORT=many\n")
    done = as_cron(command)
    assert done.returncode == 78 and b"IMAP_PORT" in done.stderr


def test_the_entry_says_that_a_mail_failed(house: House) -> None:
    """Silent unless something is wrong: a pass in which a mail failed exits 1, and cron is told which mail."""
    command = entry(house)[1]
    house.drop(b"no header\n", "broken.eml")
    done = as_cron(command)
    assert done.returncode == 1 and b"broken.eml" in done.stderr


def test_a_percent_sign_is_escaped(tmp_path: Path) -> None:
    """cron ends a command at a bare %, so every one is escaped."""
    (tmp_path / "100%").mkdir()
    command = entry(House(tmp_path / "100%"))[1]
    assert r"100\%" in command


def test_no_kind_is_a_usage_error(house: House) -> None:
    """`schedule` alone says what there is and exits 2."""
    assert b"cron" in house.run("schedule", code=2).stderr + house.run("schedule", code=2).stdout
