"""The keeper: round after round of `offlineimap -o`, each judged, written down and told."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .. import tables
from ..desk import Desk
from ..errors import SettingsError, TryLater
from ..locks import file_lock
from ..log import say
from ..maildir import boxes
from ..scan import Scan
from ..settings import Settings
from ..store import Store, now
from .aside import put_aside
from .judge import Round, judge

SYNC_LOCK = "sync.lock"
ROUND_SECONDS = 3600.0  # the first round of a large mailbox is long; one that hangs must end
STOP_SECONDS = 3.0  # from SIGTERM to SIGKILL for offlineimap
LOGIN_SECONDS = 300.0  # three log-ins a round lock an account
LONGEST_WAIT = 300.0
LOGGED = 100  # lines of a round whose trouble we do not know
KEPT_ROUNDS = 10_000  # a week of rounds a minute


class Keeper:
    """Fetches mail for one set of settings."""

    def __init__(self, store: Store, settings: Settings, stop: threading.Event) -> None:
        self.store = store
        self.settings = settings
        self._stop = stop
        self._boxes = boxes(settings.maildir, settings.boxes, settings.maildir_separator)
        self._said: str | None = None

    def run(self) -> None:
        """Fetch until told to stop; while IMAP is not configured, idle."""
        if not self.settings.imap_configured:
            say(idle_line(self.settings))
            self._stop.wait()
            return
        wait = float(self.settings.sync_seconds)
        while not self._stop.is_set():
            done = self.round()
            if self._stop.is_set():
                break
            self._tell(done)
            wait = self._pause(done, wait)
            self._stop.wait(wait)

    def _pause(self, done: Round, last: float) -> float:
        """Return the seconds to the next round; trouble doubles them, up to five minutes."""
        usual = float(self.settings.sync_seconds)
        if done.good:
            return usual
        if done.kind == "uidvalidity":  # put aside: fetch it at once
            return 0.0
        return LOGIN_SECONDS if done.kind == "login" else min(max(last, usual) * 2, LONGEST_WAIT)

    def _tell(self, done: Round) -> None:
        """Tell a round that brought mail; trouble when it begins, changes and ends."""
        if done.came:
            say("Mail fetched", came=done.came, folders=",".join(done.folders))
        if done.reason and done.reason != self._said:
            say("Fetching mail failed", logging.WARNING, kind=done.kind, reason=done.reason, hint=done.hint)
        elif self._said and done.good:
            say("Fetching mail works again")
        self._said = done.reason

    def round(self) -> Round:
        """Run offlineimap once under the lock that `process --sync` takes too; judge it, act on it, write it down."""
        try:
            with file_lock(self.settings.data_dir / SYNC_LOCK, seconds=0.0):
                done = self._fetch()
                for name in done.renumbered:
                    put_aside(self.store, self.settings, self._boxes[name], self._boxes["."])
                if done.good:
                    self._decide_baseline()
        except TryLater as trouble:
            done = Round(now(), now(), kind="busy", reason=trouble.sentence, hint="It is tried again.", code=75)
        if not self._stop.is_set():
            write_down(self.store, done)
        return done

    def _fetch(self) -> Round:
        started = now()
        for box in self._boxes.values():
            box.create()
        process = subprocess.Popen(
            command(self.settings),
            env={**os.environ, **environment(self.settings)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",  # Ctrl-C is ours to pass on
        )
        output = self._listen(process)
        if self._stop.is_set():  # it exits 0 then too, in the middle of a folder
            return Round(started, now(), kind="stopped", reason="it was stopped", hint="Start it again.", code=75)
        done = judge(output, process.returncode, self.settings.folders, started)
        for line in output.splitlines()[-LOGGED:]:
            say(f"  offlineimap: {line}", logging.INFO if done.kind == "other" else logging.DEBUG)
        return done

    def _listen(self, process: subprocess.Popen[bytes]) -> str:
        """Collect what offlineimap prints until it ends, is stopped, or takes too long."""
        assert process.stdout
        lines: list[bytes] = []
        reading = threading.Thread(target=lines.extend, args=(process.stdout,), name="offlineimap", daemon=True)
        reading.start()
        deadline = time.monotonic() + ROUND_SECONDS
        while process.poll() is None:
            if self._stop.wait(0.05) or time.monotonic() > deadline:
                _end(process)
        reading.join()
        process.stdout.close()
        return b"".join(lines).decode("utf-8", "replace")

    def _decide_baseline(self) -> None:
        """After the first complete round, what lies in a folder and is read was there before us."""
        desk = Desk(self.store, self.settings)
        for name in self.settings.folders:
            scan = Scan(self._boxes[name], self.store)
            if scan.baseline_open():
                scan.decide_baseline(scan.look(), desk)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask offlineimap to stop, then make it: a killed round leaves no half mail and no lock."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def command(settings: Settings) -> list[str]:
    """Return the command of one round."""
    script = Path(sys.executable).with_name("offlineimap" + (".exe" if os.name == "nt" else ""))
    folder = config_folder(settings)
    words = [str(script), "-o", "-c", str(folder / "offlineimap.conf")]
    if settings.imap_security == "none":
        words += ["-k", "Repository_desk-remote:ssl=no"]
    if settings.imap_ca_file:
        words += ["-k", f"Repository_desk-remote:sslcacertfile={settings.imap_ca_file}"]
    if os.name == "nt":
        words += ["-k", "general:maildir-windows-compatible=yes"]
    return words


def config_folder(settings: Settings) -> Path:
    """Return the folder of offlineimap.conf: the one of HELPDESK_HOME, else the one of the checkout.

    Raises:
        SettingsError: there is none.
    """
    candidates = (settings.home / "config", Path(__file__).parents[2] / "config")
    for folder in candidates:
        if (folder / "offlineimap.conf").exists():
            return folder
    raise SettingsError(
        [f"config/offlineimap.conf is missing in {settings.home}"], "Copy the folder config/ of Letterdesk there."
    )


def environment(settings: Settings) -> dict[str, str]:
    """Hand the resolved settings to offlineimap; a password never stands in its arguments."""
    values: dict[str, Any] = {
        "IMAP_HOST": settings.imap_host,
        "IMAP_PORT": settings.imap_port,
        "IMAP_USERNAME": settings.imap_username,
        "IMAP_PASSWORD": settings.imap_password,
        "IMAP_FOLDER": ",".join(settings.folders),
        "DATA": settings.data_dir,
        "MAILDIR": settings.maildir,
        "CONFIG": config_folder(settings),
    }
    return {f"LETTERDESK_{name}": str(value) for name, value in values.items()} | {"PYTHONUNBUFFERED": "1"}


def idle_line(settings: Settings) -> str:
    """Say why nothing is fetched, and what to set."""
    if not settings.imap_enabled:
        return "Fetching is switched off (IMAP_ENABLED=no); the drop box is worked"
    return f"Fetching is not configured; set {', '.join(settings.imap_missing)} in .env. The drop box is worked"


def write_down(store: Store, done: Round) -> None:
    """Keep a row of the round, and of the last 10,000."""
    columns = {name: getattr(done, name) for name in ("started", "ended", "came", "kind", "reason", "hint")}
    row = tables.SyncRound
    with contextlib.suppress(TryLater), store.transaction():
        store.run(row.insert(**columns, folders=",".join(done.folders)))
        old = store.values(row.select(row.id).order_by(row.id.desc()).limit(1).offset(KEPT_ROUNDS))
        if old:
            store.run(row.delete().where(row.id <= old[0]))
