"""`helpdesk up`: the processes of the Procfile under honcho's Manager, each started again when it dies."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Process

from .settings import Settings

NAMES = {"sync": "sync", "worker": "worker", "send": "send --loop"}
PROCFILE = "".join(f"{name}: python -m pipeline {words}\n" for name, words in NAMES.items())  # for a wheel without a checkout
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
STEADY_SECONDS = 60.0  # who lived this long starts with a short wait again
STOP_SECONDS = 4.0  # from SIGTERM to SIGKILL
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """The word to stop, said once to many processes, with the methods of an Event.

    It is a pipe in which the word stays, so whoever looks finds it, and needs no lock: of multiprocessing's Event a process
    that ends or is killed may keep the lock, and then nobody is ever told. The end of the pipe, where `up` itself was
    killed, is the same word.
    """

    def __init__(self) -> None:
        self._hearing, self._saying = multiprocessing.Pipe(duplex=False)

    def set(self) -> None:
        """Say it; safe in a signal handler."""
        if not self.is_set():
            self._saying.send_bytes(b"stop")

    def is_set(self) -> bool:
        return self.wait(0)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is said, or so long; return whether it is."""
        try:
            return self._hearing.poll(seconds)
        except BrokenPipeError:  # the pipe's end, on Windows
            return True

    def only_hear(self) -> None:
        """Let go of the end that says it: else the pipe would not end with `up`."""
        self._saying.close()


class Restarting(Process):
    """A process that is started again when it ends, and ended when the house is told to stop.

    It runs in a process of its own, which alone knows its child at every moment: what honcho hears of it comes later.
    """

    def __init__(self, *args: Any, stopping: Stop, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stopping = stopping
        self._wait = FIRST_WAIT

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        self._events = events
        _let_signals_pass()
        self._stopping.only_hear()
        threading.Thread(target=self._end_when_told, daemon=True).start()
        while not self._stopping.is_set():
            started = time.monotonic()
            super().run(events)
            if time.monotonic() - started > STEADY_SECONDS:
                self._wait = FIRST_WAIT
            if not self._stopping.wait(self._wait):
                self._wait = min(self._wait * 2, LONGEST_WAIT)
        super()._send_message({"returncode": 0}, type="stop")

    def _end_when_told(self) -> None:
        """End the child's whole group: the shell that honcho starts may be gone while what it started does not listen."""
        self._stopping.wait()
        end = time.monotonic() + STOP_SECONDS
        asked = None
        while True:  # until this process ends: a child may be starting just now
            child, force = self._child, time.monotonic() > end
            if child is not None and (force or child is not asked):
                _end_group(child.pid, force)
                asked = child
            time.sleep(0.1)

    def _send_message(self, data: Any, type: str = "line") -> None:
        if type == "stop":  # to honcho that would mean: stop everything
            if self._stopping.is_set():
                return
            data, type = f"ended (exit {data['returncode']}), starts again in {self._wait:g} s", "line"
        super()._send_message(data, type=type)


def _let_signals_pass() -> None:
    """Hear Ctrl-C and do nothing: the house decides. (An ignored signal would stay ignored in the children.)"""
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _end_group(pid: int, force: bool) -> None:
    """End a child with what it started; honcho gives each a session of its own, but on Windows."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL if force else signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGTERM)  # which asks nobody there


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold signals back while processes are forked, so that none is heard by a half-made one."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class House(Manager):
    """Runs the Procfile until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(Printer(sys.stderr, colour=sys.stderr.isatty()))
        self._settings = settings
        self._stopping = Stop()
        self._process_ctor = lambda *args, **kwargs: Restarting(*args, stopping=self._stopping, **kwargs)
        for name, command in self._commands().items():
            self.add_process(name, command, env=self._environment(), cwd=str(settings.home))

    def run(self) -> int:
        """Start every process and wait; return 0 after a stop that was asked for."""
        try:
            self.loop()
        finally:
            self._stopping.set()  # whatever ended the loop: Python waits for the processes, so they must be told
        for one in self._processes.values():
            if one["process"].exitcode and "pid" in one:  # it was killed, and could not end its child
                _end_group(one["pid"], force=True)
        return 0

    def terminate(self) -> None:
        """Tell every process to end its child; each knows it."""
        self._stopping.set()

    def kill(self) -> None:
        """Leave the killing to those who know whom: they do it after four seconds."""

    def _start(self) -> None:
        with _signals_wait():
            for number in SIGNALS:  # honcho's handler prints, and may meet itself in the middle of a line
                signal.signal(number, lambda *_: self.terminate())
            super()._start()

    def _all_started(self) -> bool:
        """Once they are forked: one that is killed at once never says that it has started."""
        return True

    def _all_stopped(self) -> bool:
        """Ask the system: one that was killed says nothing any more."""
        return not any(one["process"].is_alive() for one in self._processes.values())

    def _commands(self) -> dict[str, str]:
        path = self._settings.home / "Procfile"
        text = path.read_text("utf-8") if path.exists() else PROCFILE
        return dict(parse_procfile(text).processes)

    def _environment(self) -> dict[str, str]:
        """Put this Python first on the PATH, so that the Procfile's `python` is ours whether the venv is active or not."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "HELPDESK_HOME": str(self._settings.home), "PYTHONUNBUFFERED": "1"}
