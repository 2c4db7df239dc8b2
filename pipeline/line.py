"""The stages in order, and the ones before the desk run: in a reader, then with the settings and a clock."""

from __future__ import annotations

import threading
from pathlib import Path

from . import stages
from .errors import HelpdeskError, Retry
from .letter import Letter, Outcome
from .readers import Limits, Pool
from .settings import Settings
from .stages import Installed, Runs

LONGEST_REASON = 500


class Line:
    """The line of a set of settings; holds the readers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        line = stages.line(settings.stages)
        self.worker_stages = [stage for stage in line if stage.runs is Runs.WORKER]
        self.desk_stages = [stage for stage in line if stage.runs is Runs.DESK]
        self.pool = Pool(tuple(stage.name for stage in line if stage.runs is Runs.READER), Limits.of(settings))

    def read(self, letter: Letter, raw: bytes | None, path: Path | None = None) -> Letter:
        """Run every stage that comes before the desk; `path` names a file that holds a mail too large for a pipe.

        Raises:
            Retry: a stage asked for later.
        """
        letter = self.pool.read(letter, raw, path)
        for stage in self.worker_stages:
            if letter.ended:
                break
            try:
                letter = checked(_timed(stage, letter, self.settings))
            except Retry:
                raise
            except (Exception, SystemExit) as error:  # the stage's own defect: that letter alone fails
                letter = failed(letter, stage.name, error)
        return letter

    def close(self) -> None:
        self.pool.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(returned: object) -> Letter:
    """Return what a stage returned, if it is a letter with a proper outcome.

    Raises:
        TypeError: a `return` was forgotten, or the outcome is none.
    """
    if not isinstance(returned, Letter):
        raise TypeError(f"the stage returned {type(returned).__name__} instead of the letter")
    if not (returned.outcome is None or isinstance(returned.outcome, Outcome)):
        raise TypeError(f"{returned.outcome!r} is no outcome")
    return returned


def failed(letter: Letter, stage: str, error: BaseException) -> Letter:
    """Return the letter as failed by an exception of a stage."""
    return letter.settle(Outcome.FAILED, f"{stage}: {type(error).__name__}: {error}"[:LONGEST_REASON])


def _timed(stage: Installed, letter: Letter, settings: Settings) -> Letter:
    """Call a stage that may use the network. Ours are bounded; another's gets a thread that may be left behind."""
    if stage.function.__module__.startswith("pipeline."):
        return stage.function(letter, settings)
    results: list[Letter | BaseException] = []

    def call() -> None:
        try:
            results.append(stage.function(letter, settings))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=call, name=f"stage-{stage.name}", daemon=True)
    thread.start()
    thread.join(settings.reader_seconds)
    if not results:
        raise HelpdeskError(f"took longer than {settings.reader_seconds} seconds")
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]
