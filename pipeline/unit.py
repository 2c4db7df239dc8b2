"""A unit of work: what letters cause is kept on pages and written once, inside one transaction.

Nothing is written while stages run. Every effect goes on the letter's own page; the page joins the batch when the
letter ended well, and is dropped when it did not; `flush` writes what was kept. Look-ups ask the pages first, then what
was fetched for the batch, then the store, so that a reply finds the mail that came just before it. Over a read-only
store it is a dry run: pages are kept and never flushed. (No savepoints: a full disk inside one rolls back everything
and leaves autocommit behind.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import tables
from .settings import Settings
from .store import Store, among, defaults_of, now

Row = dict[str, Any]


class Shelf:
    """One kind of look-up: key -> rows, oldest first."""

    def __init__(self, fetch: Callable[[Sequence[Any]], Iterable[tuple[Any, Row]]]) -> None:
        self._fetch = fetch
        self._stored: dict[Any, list[Row]] = {}
        self._kept: dict[Any, list[Row]] = defaultdict(list)
        self._page: dict[Any, list[Row]] = defaultdict(list)

    def prefetch(self, keys: Iterable[Any]) -> None:
        """Ask the store once for all keys that were not asked for yet."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._stored]
        if missing:
            self._stored.update({key: [] for key in missing})
            for key, row in self._fetch(missing):
                self._stored[key].append(row)

    def find(self, key: Any) -> list[Row]:
        if key not in self._stored:
            self.prefetch([key])
        return [*self._stored[key], *self._kept.get(key, ()), *self._page.get(key, ())]

    def last(self, key: Any) -> Row | None:
        """Return the newest row; a changed row stands after the one it replaces."""
        rows = self.find(key)
        return rows[-1] if rows else None

    def put(self, key: Any, row: Row) -> None:
        self._page[key].append(row)

    def made(self, key: Any) -> None:
        """Note that this key was made just now, so the store need not be asked for it."""
        self._stored.setdefault(key, [])

    def keep(self) -> None:
        for key, rows in self._page.items():
            self._kept[key] += rows
        self._page.clear()

    def drop(self) -> None:
        self._page.clear()

    def forget(self) -> None:
        self._stored.clear()
        self._kept.clear()
        self._page.clear()


@dataclass
class Page:
    """What one letter causes: rows to insert, columns to change, queries to run before both, and queries to run after."""

    inserts: list[tuple[type[tables.Table], Row]] = field(default_factory=list)
    changes: list[tuple[type[tables.Table], int, Row]] = field(default_factory=list)
    queries: list[Any] = field(default_factory=list)
    later: list[Any] = field(default_factory=list)

    def join(self, other: Page) -> None:
        self.inserts += other.inserts
        self.changes += other.changes
        self.queries += other.queries
        self.later += other.later


class Unit:
    """A unit of work over a store: `begin`, then per letter `turn` ... `keep` or `drop`, then `flush`; the caller commits."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], str] = now) -> None:
        self.store = store
        self.settings = settings
        self._clock = clock
        self.now = clock()
        self._page = Page()
        self._raw: Callable[[], bytes] | None = None
        self._kept = Page()
        self._counters: dict[str, int] = {}
        self._counters_before_turn: dict[str, int] = {}
        self._shelves: list[Shelf] = []

    def _shelf(self, query: Any, key: Any) -> Shelf:
        def fetch(keys: Sequence[Any]) -> Iterable[tuple[Any, Row]]:
            for row in self.store.rows(query.where(among(key, keys))):
                yield row[key.name], row

        shelf = Shelf(fetch)
        self._shelves.append(shelf)
        return shelf

    def _start(self) -> None:
        """Forget what may be stale: the batch before has ended, and others may have written since."""
        if not self.store.readonly:
            self._kept = Page()
            for shelf in self._shelves:
                shelf.forget()
        self.now = self._clock()
        if not self._counters or not self.store.readonly:
            rows = self.store.rows(tables.Counter.select())
            self._counters = {row["name"]: row["value"] for row in rows}

    def turn(self, raw: Callable[[], bytes] | None = None) -> None:
        """Open a page for the next letter; `raw` fetches its bytes, which few letters ask for."""
        self._page = Page()
        self._raw = raw
        self._counters_before_turn = dict(self._counters)

    def raw_of_turn(self) -> bytes:
        """Return the bytes of the letter whose turn it is."""
        assert self._raw is not None, "no letter is in hand"
        return self._raw()

    def keep(self) -> None:
        """The letter ended well: its page joins the batch."""
        self._kept.join(self._page)
        for shelf in self._shelves:
            shelf.keep()
        self._page = Page()

    def drop(self) -> None:
        """The letter did not end well: forget what it caused, and give its numbers back."""
        for shelf in self._shelves:
            shelf.drop()
        self._counters = dict(self._counters_before_turn)
        self._page = Page()

    def flush(self) -> None:
        """Write what was kept; the caller commits. Does nothing on a dry run."""
        if self.store.readonly:
            return
        kept, self._kept = self._kept, Page()
        for query in kept.queries:
            self.store.run(query)
        by_model: dict[type[tables.Table], list[Row]] = defaultdict(list)
        for model, row in kept.inserts:
            by_model[model].append(row)
        for model in tables.ALL:
            if model in by_model:
                self.store.insert(model, by_model[model])
        self._flush_changes(kept)
        for query in kept.later:
            self.store.run(query)
        counters = [{"name": name, "value": value} for name, value in self._counters.items()]
        if by_model:
            self.store.run(upsert(tables.Counter, counters))

    def _flush_changes(self, kept: Page) -> None:
        merged: dict[tuple[type[tables.Table], int], Row] = defaultdict(dict)
        for model, key, columns in kept.changes:
            merged[model, key].update(columns)
        alike: dict[tuple[type[tables.Table], frozenset[str]], list[tuple[int, Row]]] = defaultdict(list)
        for (model, key), columns in merged.items():
            alike[model, frozenset(columns)].append((key, columns))
        for (model, _), rows in alike.items():
            self.store.update(model, rows)

    def _insert(self, model: type[tables.Table], **values: Any) -> Row:
        name = model._meta.table_name
        self._counters[name] = self._counters.get(name, 0) + 1
        row = {**defaults_of(model), "id": self._counters[name], **values}
        self._page.inserts.append((model, row))
        return row

    def _change(self, model: type[tables.Table], key: int, **columns: Any) -> None:
        self._page.changes.append((model, key, columns))


def delete(model: type[tables.Table], **where: int) -> Any:
    """Build a delete of the rows that point to another."""
    [(name, key)] = where.items()
    return model.delete().where(model._meta.fields[name] == key)


def upsert(model: type[tables.Table], rows: list[Row]) -> Any:
    """Build an insert that replaces rows of the same primary key."""
    rest = [f for f in model._meta.sorted_fields if not f.primary_key]
    return model.insert_many(rows).on_conflict(conflict_target=[model._meta.primary_key], preserve=rest)
