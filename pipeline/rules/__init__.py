"""Rules and queues, as an operator writes them in a file: checked when read, asked for every mail; they never touch the desk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .current import current, problem

if TYPE_CHECKING:
    from .facts import Facts
    from .ruleset import Backtest, Decision, Example, Finding, Fired, Queue, Rule, Ruleset, Tally, backtest
    from .schema import DEFAULT_QUEUE, load, parse

# Which room each name comes from when it is first asked for: most commands ask no rule, and the grammar takes its time.
ROOMS = {
    "facts": ("Facts",),
    "ruleset": ("Backtest", "Decision", "Example", "Finding", "Fired", "Queue", "Rule", "Ruleset", "Tally", "backtest"),
    "schema": ("DEFAULT_QUEUE", "load", "parse"),
}

__all__ = [
    "DEFAULT_QUEUE",
    "Backtest",
    "Decision",
    "Example",
    "Facts",
    "Finding",
    "Fired",
    "Queue",
    "Rule",
    "Ruleset",
    "Tally",
    "backtest",
    "current",
    "load",
    "parse",
    "problem",
]


def __getattr__(name: str) -> Any:
    """Fetch a name from its room when it is first asked for."""
    room = next((room for room, names in ROOMS.items() if name in names), None)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{room}"), name)
