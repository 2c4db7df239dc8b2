"""The worker: a doorbell that only rings, and a loop that works. The directory is the truth.

watchdog tells that something happened in new/; it may tell late, twice or not at all (the kernel's queue overflows without
a word to us), so the loop looks every 30 seconds anyway.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver

from .log import say
from .runner import Runner, Summary, tell_pass
from .settings import Settings

RESCAN_SECONDS = 30.0
LEFT_SECONDS = 1.0  # a file that was being written is looked at again after this
TROUBLE_SECONDS = (1.0, 30.0)  # the first wait after trouble, and the longest


class Doorbell(FileSystemEventHandler):
    """Sets an event, nothing more: a handler that raises kills watchdog's thread without a word."""

    def __init__(self, bell: threading.Event) -> None:
        self._bell = bell

    def on_any_event(self, event: FileSystemEvent) -> None:
        self._bell.set()


def _linux_observer() -> BaseObserver:
    """Make an observer with the narrow mask: our own renames out of new/ must not ring (they would hold arrivals 0.5 s)."""
    from watchdog.observers.inotify import InotifyEmitter
    from watchdog.observers.inotify_c import InotifyConstants, Mask

    mask = (
        InotifyConstants.IN_MOVED_TO
        | InotifyConstants.IN_CLOSE_WRITE
        | InotifyConstants.IN_CREATE
        | InotifyConstants.IN_DELETE_SELF
    )

    class NarrowEmitter(InotifyEmitter):
        def get_event_mask_from_filter(self) -> Mask:
            return Mask(mask)

    return BaseObserver(NarrowEmitter)


def make_observer(settings: Settings) -> BaseObserver:
    """Make the observer that this system and the setting OBSERVER ask for."""
    if settings.observer == "polling":
        from watchdog.observers.polling import PollingObserver

        return PollingObserver()
    if sys.platform == "linux":
        return _linux_observer()
    from watchdog.observers import Observer

    return Observer()


class Watch:
    """An observer on the folders where mail lands, watched over itself: a dead thread or a replaced folder is re-armed."""

    def __init__(self, settings: Settings, bell: threading.Event) -> None:
        self._settings = settings
        self._bell = bell
        self._observer: BaseObserver | None = None
        self._watched: dict[Path, tuple[int, int] | None] = {}

    def check(self, folders: list[Path]) -> None:
        """Start the observer, or start it anew where it died or a folder is no longer the one it watches."""
        now = {folder: _identity(folder) for folder in folders}
        alive = self._observer is not None and self._observer.is_alive() and all(e.is_alive() for e in self._observer.emitters)
        if alive and now == self._watched:
            return
        self.close()
        self._watched = now
        try:
            self._observer = make_observer(self._settings)
            for folder, identity in now.items():
                if identity is not None:
                    self._observer.schedule(Doorbell(self._bell), str(folder), recursive=False)
            self._observer.start()
        except OSError as error:  # inotify's limits: the rescan still finds every mail, later
            say("Watching failed, looking every 30 seconds instead", logging.WARNING, reason=error.strerror)
            self._observer = None
        self._bell.set()  # what came before the watch stood has rung no bell

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
            self._observer = None


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Worker:
    """Sweeps when the bell rings, and every 30 seconds; stops after the batch in hand."""

    def __init__(self, runner: Runner, settings: Settings, bell: threading.Event, stop: threading.Event) -> None:
        self._runner = runner
        self._bell = bell
        self._stop = stop
        self._watch = Watch(settings, bell)
        self._folders = [folder for box in runner.boxes.values() for folder in box.watched()]
        self._wait = TROUBLE_SECONDS[0]
        self._trouble: str | None = None

    def run(self) -> None:
        """Work until told to stop."""
        self._runner.sweep_tmp()
        try:
            while not self._stop.is_set():
                self._watch.check(self._folders)
                self._bell.clear()  # before the look: what lands during it rings again
                summary = self._runner.sweep()
                self._tell(summary)
                if not self._stop.is_set():  # set before the bell was cleared, it would be waited for in vain
                    self._bell.wait(self._pause(summary))
        finally:
            self._watch.close()

    def _tell(self, summary: Summary) -> None:
        tell_pass(summary)
        if summary.trouble != self._trouble:
            if summary.trouble:
                say("Email processing waits", logging.WARNING, left=summary.left, reason=summary.trouble)
            self._trouble = summary.trouble

    def _pause(self, summary: Summary) -> float:
        if summary.trouble is None:
            self._wait = TROUBLE_SECONDS[0]
            return RESCAN_SECONDS
        if summary.touched:
            self._wait = LEFT_SECONDS
        pause, self._wait = self._wait, min(self._wait * 2, TROUBLE_SECONDS[1])
        return pause
