"""What a check finds, and what it is given to look at."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from ..settings import Settings
from ..store import Store

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Finding(NamedTuple):
    """A line of the report; `fix` is empty where there is nothing to mend, `name` where it is that of the check."""

    name: str
    state: str
    detail: str
    fix: str


class NoStore(Exception):
    """The database cannot be asked; why, its own check has said."""


@dataclass
class Case:
    """The installation that is looked at; `store` is there once the check of the database has opened it."""

    settings: Settings
    now: datetime.datetime
    store: Store | None = None

    def must_store(self) -> Store:
        """Return the store.

        Raises:
            NoStore
        """
        if self.store is None:
            raise NoStore
        return self.store

    def ago(self, **period: float) -> str:
        """Return the time some hours or minutes ago, as the store writes times."""
        return (self.now - datetime.timedelta(**period)).isoformat(timespec="seconds")


class Check(NamedTuple):
    """A row of the table: the checks of one hand are made one after another, the hands work side by side."""

    name: str
    hand: str
    ask: Callable[[Case], Iterable[Finding]]


def ok(detail: str, name: str = "") -> Finding:
    """Say that all is well."""
    return Finding(name, OK, detail, "")


def warn(detail: str, fix: str, name: str = "") -> Finding:
    """Say what deserves a look."""
    return Finding(name, WARN, detail, fix)


def fail(detail: str, fix: str, name: str = "") -> Finding:
    """Say what keeps the desk from its work."""
    return Finding(name, FAIL, detail, fix)


def counted(number: int, noun: str) -> str:
    """Return `1 mail` or `2 mails`."""
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
