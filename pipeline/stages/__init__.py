"""The line of stages: found as entry points of the group `pipeline.stages`, ordered by the setting STAGES."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ..errors import SettingsError
from ..letter import Stage

GROUP = "pipeline.stages"


class Runs(enum.IntEnum):
    """Where a stage runs; it follows from what the stage asks for, and the line never goes back."""

    READER = 0  # asks for nothing but the letter
    WORKER = 1  # asks for settings: before the transaction, may use the network
    DESK = 2  # asks for the desk: inside the transaction


# A function's further parameters, and where that makes it run.
ASKS = {
    (): Runs.READER,
    ("settings",): Runs.WORKER,
    ("desk",): Runs.DESK,
    ("desk", "settings"): Runs.DESK,
    ("settings", "desk"): Runs.DESK,
}


@dataclass(frozen=True)
class Installed:
    """A stage on the line: its function, where it runs, and the package it comes from."""

    name: str
    function: Stage
    runs: Runs
    asks: tuple[str, ...]
    package: str
    version: str

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


@cache
def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def load(name: str) -> Installed:
    """Load a stage by name.

    Raises:
        SettingsError: it is not installed, cannot be imported, or asks for something unknown.
    """
    point = _found().get(name)
    if point is None:
        known = ", ".join(sorted(_found())) or "none: is the package installed?"
        raise SettingsError(
            [f'STAGES: "{name}" is not installed; installed are: {known}'], "Run `helpdesk stages` to see the line."
        )
    try:
        function = point.load()
        asks = tuple(inspect.signature(function).parameters)[1:]
    except Exception as error:  # a plug-in may fail in any way while it is imported
        raise SettingsError([f'STAGES: "{name}" ({point.value}) cannot be loaded: {type(error).__name__}: {error}']) from error
    if asks not in ASKS:
        raise SettingsError([f'STAGES: "{name}" asks for {", ".join(asks)}; a stage may ask for settings and desk'])
    dist = point.dist
    return Installed(name, function, ASKS[asks], asks, dist.name if dist else "?", dist.version if dist else "?")


def line(names: Sequence[str]) -> tuple[Installed, ...]:
    """Load the stages of STAGES in order.

    Raises:
        SettingsError: a stage is missing or named twice, the order leads back, or nothing persists.
    """
    stages = tuple(load(name) for name in names)
    problems = [f'STAGES: "{name}" is named twice' for name in dict.fromkeys(names) if names.count(name) > 1]
    for before, after in zip(stages, stages[1:], strict=False):
        if after.runs < before.runs:
            problems.append(
                f'STAGES: "{after.name}" runs in the {after.runs.name.lower()} and must stand before "{before.name}", '
                f"which runs in the {before.runs.name.lower()}"
            )
    if "persist" not in names:
        problems.append('STAGES: "persist" is missing: without it no mail is kept')
    if problems:
        raise SettingsError(problems, "Run `helpdesk stages` to see where each stage runs.")
    return stages
