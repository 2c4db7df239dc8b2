"""What the tests share: a house in a temporary folder, driven through the installed command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CI = os.environ.get("CI") == "true"


def needs(program: str, package: str) -> None:
    """Skip where a program is missing, naming its package; in CI its absence is a failure."""
    if shutil.which(program) is None:
        message = f"{program} is not installed: apt install {package}"
        if CI:
            pytest.fail(message)
        pytest.skip(message)


class House:
    """A HELPDESK_HOME and its command line."""

    def __init__(self, home: Path, python: str = sys.executable) -> None:
        self.home = home
        self.python = python
        self.maildir = home / "maildir"
        self.new = self.maildir / "new"
        self.cur = self.maildir / "cur"
        self.log = home / "logs" / "helpdesk.log"
        self.database = home / "data" / "helpdesk.db"

    @property
    def environment(self) -> dict[str, str]:
        keep = {key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT", "TMPDIR") if key in os.environ}
        return {**keep, "HELPDESK_HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *words: str) -> list[str]:
        return [self.python, "-m", "pipeline", *words]

    def run(
        self, *words: str, stdin: bytes = b"", code: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `helpdesk words`; fail the test unless it exits with `code` (None: any)."""
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            cwd=self.home,
            env={**self.environment, **environment},
            timeout=240,
        )
        if code is not None:
            assert done.returncode == code, (
                f"helpdesk {' '.join(words)}: exit {done.returncode}\n{done.stdout!r}\n{done.stderr.decode()}"
            )
        return done

    def json(self, *words: str, code: int | None = 0) -> Any:
        """Run a command with --json and return its document."""
        return json.loads(self.run(*words, "--json", code=code).stdout)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start `helpdesk words`; the test ends it."""
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.command(*words), cwd=self.home, env=self.environment, **options)

    def drop(self, raw: bytes, name: str = "mail.eml", box: str = ".") -> Path:
        """Drop a mail whole into new/ of a box."""
        root = self.maildir if box == "." else self.maildir / box
        for folder in ("tmp", "new", "cur"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        part = root / "tmp" / name
        part.write_bytes(raw)
        return part.rename(root / "new" / name)

    def process(self, *words: str, code: int | None = 0) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Run `process --json`; return its lines and its summary."""
        *lines, last = self.run("process", *words, "--json", code=code).stdout.splitlines()
        return [json.loads(line) for line in lines], json.loads(last)["summary"]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def a_mail(
    subject: str = "Hello",
    sender: str = "Ann <ann@example.com>",
    body: str = "Good morning.",
    message_id: str | None = "<1@example.com>",
    **headers: str,
) -> bytes:
    """Make a plain mail; further headers by keyword, `in_reply_to` for In-Reply-To."""
    lines = [f"From: {sender}", "To: support@desk.example", f"Subject: {subject}", "Date: Sun, 22 Nov 2026 07:31:00 +0000"]
    if message_id:
        lines.append(f"Message-ID: {message_id}")
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", body, ""]).encode()


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    """A test that leaves a thread running hides a leak of the product."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]
    assert not left, f"threads left running: {left}"
