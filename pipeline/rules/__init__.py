"""Rules and queues, as an operator writes them in a file: checked when read, asked for every mail; they never touch the desk."""

from __future__ import annotations

from .current import current, problem
from .facts import Facts
from .ruleset import Backtest, Decision, Example, Finding, Fired, Queue, Rule, Ruleset, Tally, backtest
from .schema import DEFAULT_QUEUE, load, parse

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
