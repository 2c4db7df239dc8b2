"""What the commands share: settings, logs, the store, tables and JSON on the terminal."""

from __future__ import annotations

import datetime
import functools
import json
import logging
import shutil
import sys
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..log import safe, set_up
from ..settings import ADDRESS, Settings, load

if TYPE_CHECKING:
    from ..store import Store

LONGEST_ADDRESS = 320  # RFC 3696, erratum 1690: 64 before the @, 255 behind it
NEVER_CUT = 16  # columns of a date with its time
NARROWEST = 6  # columns of a cell that is cut

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def talkative(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command -v and -q of its own, so that they may stand on either side of its name."""

    @click.option("-v", "--verbose", count=True, help="Log lines on the terminal, with the reasons; -vv also tracebacks.")
    @click.option("-q", "--quiet", is_flag=True, help="Errors only.")
    @click.pass_context
    @functools.wraps(command)
    def wrapper(ctx: click.Context, /, *args: Any, verbose: int, quiet: bool, **kwargs: Any) -> Any:
        ctx.obj["verbose"] += verbose
        ctx.obj["quiet"] = ctx.obj["quiet"] or quiet
        return ctx.invoke(command, *args, **kwargs)

    return wrapper


def settings(log_file: bool = True, log_stderr: int | None = None, warn: bool = False) -> Settings:
    """Load the settings and start the log: in LOG_FILE, and on stderr from the level `log_stderr` on.

    What the settings warn of is told on a terminal, with -v, or where `warn` says so; cron must not hear it in every pass.
    """
    options = click.get_current_context().obj
    loaded = load()
    level = logging.ERROR if options["quiet"] else logging.DEBUG if options["verbose"] else log_stderr
    set_up(loaded, log_file, level)
    if not options["quiet"] and (warn or options["verbose"] or sys.stderr.isatty()):
        for warning in loaded.warnings:
            click.echo(f"helpdesk: {safe(warning)}", err=True)
    return loaded


def tell(text: str) -> None:
    """Tell the user something beside the result, unless -q asks for errors only."""
    if not click.get_current_context().obj["quiet"]:
        click.echo(text, err=True)


def an_address(text: str) -> str:
    """Return the address in what a user wrote: alone, or in <> after a name.

    Raises:
        UsageError
    """
    found = ADDRESS.fullmatch(text.strip())
    if found is None or not found[2].isprintable() or len(found[2]) > LONGEST_ADDRESS:
        raise UsageError(f"{text!r} is no address.", "Say ann@example.com, or 'Ann <ann@example.com>'.")
    return found[2]


@contextmanager
def reading(migrate: bool = False) -> Iterator[tuple[Settings, Store]]:
    """Yield settings and an open store, for a command that looks; it logs nothing."""
    from ..store import Store

    loaded = settings(log_file=False)
    with Store.open(loaded, migrate) as store:
        yield loaded, store


def local(when: str, loaded: Settings) -> str:
    """Return a stored time as people read it: in TIME_ZONE, to the minute."""
    zone = datetime.UTC if loaded.time_zone == "UTC" else zoneinfo.ZoneInfo(loaded.time_zone)
    return datetime.datetime.fromisoformat(when).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def print_json(document: Any) -> None:
    """Print one JSON document on a line; it holds no character that moves a cursor."""
    click.echo(json.dumps(document, ensure_ascii=_needs_ascii(document), separators=(", ", ": ")))


def _needs_ascii(document: Any) -> bool:
    """JSON escapes C0 by itself; C1, bidi and separators stay as they are unless all is escaped."""
    text = json.dumps(document, ensure_ascii=False)
    return not text.isascii() and any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs") for char in text)


def print_table(titles: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """Print rows in columns as wide as they need, the widest cut to the terminal; a sentence where there is none."""
    cells = [[safe("" if value is None else str(value)) for value in row] for row in rows]
    if not cells:
        click.echo(empty)
        return
    widths = [max(_width(row[i]) for row in [titles, *cells]) for i in range(len(titles))]
    room = max(shutil.get_terminal_size((120, 24)).columns, 60) if sys.stdout.isatty() else 10_000
    _squeeze(widths, room - 2 * (len(widths) - 1))
    click.echo(click.style(_line(titles, widths), bold=True))
    for row in cells:
        click.echo(_line(row, widths))


def _squeeze(widths: list[int], room: int) -> None:
    """Cut the long columns to one width, so that all have room; a date, a number or a status stays whole."""
    long = [i for i, width in enumerate(widths) if width > NEVER_CUT]
    most = max(widths)
    while long and most > NARROWEST and sum(widths) > room:
        most -= 1
        for i in long:
            widths[i] = min(widths[i], most)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(_fit(text, width) for text, width in zip(row, widths, strict=True)).rstrip()


def _fit(text: str, width: int) -> str:
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Return the columns a text takes: two for wide characters, none for combining marks (UAX 11)."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in text)
