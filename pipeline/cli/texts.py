"""The texts of what goes out: which template is used for what, what is wrong with one, and the saved replies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ..log import safe
from .common import as_json, print_json, print_table, settings, talkative

if TYPE_CHECKING:
    from ..settings import Settings
    from ..templates import Entry, Templates

BUILT_IN = "(built in)"
BY_RULES = "(RULES_FILE)"


@click.group()
def templates() -> None:
    """Templates of what goes out: which file is used for what, and whether it is right."""


@click.group()
def replies() -> None:
    """Saved replies, for `helpdesk ticket reply --saved NAME`."""


def _folder() -> tuple[Settings, Templates]:
    from ..wording import templates_of

    loaded = settings(log_file=False)
    return loaded, templates_of(loaded)


def _queues(loaded: Settings) -> list[str]:
    """Name every queue; the rules file must be right, or files would seem to be in the wrong place."""
    from ..rules import DEFAULT_QUEUE, load

    found = load(loaded.rules_file, loaded.boxes, loaded.own_addresses).queues
    return list(dict.fromkeys((DEFAULT_QUEUE, *(queue.name for queue in found))))


# -- templates -------------------------------------------------------------------------------------------------------


@templates.command("list")
@as_json
@talkative
def templates_list(as_json: bool) -> int:
    """List which file says what for each queue and language, and what is built in."""
    loaded, folder = _folder()
    rows = [row for queue in _queues(loaded) for row in _used(loaded, folder, queue)]
    if as_json:
        print_json(rows)
        return 0
    table = [(row["template"], row["queue"], row["language"], row["file"] or _otherwise(row)) for row in rows]
    print_table(("TEMPLATE", "QUEUE", "LANGUAGE", "FILE"), table, "")
    return 0


def _otherwise(row: dict[str, Any]) -> str:
    return BY_RULES if row["by_rules"] else BUILT_IN


def _used(loaded: Settings, folder: Templates, queue: str) -> Iterable[dict[str, Any]]:
    from .. import rules
    from ..templates import ACKNOWLEDGEMENT, NAMES, languages

    found = rules.current(loaded.rules_file).queue(queue)
    ordered = bool(found and found.acknowledgement)
    for name in NAMES:
        by_rules = ordered and name == ACKNOWLEDGEMENT
        for language in [found.language] if found and found.language else _languages(loaded, folder, name):
            path = folder.find(name, queue, languages(language), general=not by_rules)
            file = folder.shown(path) if path else None
            html = path is not None and path.with_suffix(".html").exists()
            row = {"template": name, "queue": queue, "language": language, "file": file}
            yield {**row, "html": html, "by_rules": by_rules and path is None}


def _languages(loaded: Settings, folder: Templates, name: str) -> list[str]:
    """Return the desk's language, and every other in which there is something to say."""
    from ..templates import ACKNOWLEDGEMENT, languages
    from ..wording import RECEIVED

    built_in = RECEIVED if name == ACKNOWLEDGEMENT else ()
    files = (entry.language for entry in folder.entries() if entry.kind == name and entry.language)
    first = languages(loaded.desk_language)[0]
    return [first, *sorted({*built_in, *files} - {first})]


@templates.command("check")
@as_json
@talkative
def templates_check(as_json: bool) -> int:
    """Try every template and saved reply with sample values; exit 1 and a line `FILE:LINE: error` if one is wrong."""
    loaded, folder = _folder()
    count = sum(1 for _ in folder.entries())
    wrong = list(folder.wrong(_queues(loaded)))
    if as_json:
        print_json([{"file": error.file, "line": error.line or None, "error": error.why} for error in wrong])
    elif wrong:
        for error in wrong:
            click.echo(safe(f"{error.place}: {error.why}", None))
    else:
        files = "1 file, all right" if count == 1 else f"{count} files, all right"
        click.echo(f"{loaded.templates_dir}: {files if count else 'no files, so that the built-in texts are used'}.")
    return 1 if wrong else 0


# -- saved replies ---------------------------------------------------------------------------------------------------


@replies.command("list")
@click.option("--search", metavar="WORDS", default="", help="Only those that hold all of these words, in name or text.")
@as_json
@talkative
def replies_list(search: str, as_json: bool) -> int:
    """List the saved replies: name, queue and language that each is for, and how it begins."""
    _, folder = _folder()
    words = search.casefold().split()
    rows = [row for entry in folder.saved() if _holds(row := _saved(folder, entry), words)]
    if as_json:
        print_json(rows)
        return 0
    table = [(row["name"], row["queue"], row["language"], (row["text"] or "").strip().partition("\n")[0]) for row in rows]
    empty = "No such saved reply." if words else f"There are no saved replies in {folder.root / 'replies'}."
    print_table(("NAME", "QUEUE", "LANGUAGE", "BEGINS"), table, empty)
    return 0


def _saved(folder: Templates, entry: Entry) -> dict[str, Any]:
    from ..errors import WrongTemplate

    try:
        text, error = folder.source(entry.path), None
    except WrongTemplate as wrong:
        text, error = None, f"{wrong.place}: {wrong.why}"
    file = folder.shown(entry.path)
    return {"name": entry.name, "queue": entry.queue, "language": entry.language, "file": file, "text": text, "error": error}


def _holds(row: dict[str, Any], words: list[str]) -> bool:
    looked_at = f"{row['name']}\n{row['text'] or ''}".casefold()
    return all(word in looked_at for word in words)


@replies.command("show")
@click.argument("name")
@click.option("--ticket", "number", metavar="N", help="With the values of this ticket; without it, with samples.")
@click.option("--as", "agent", metavar="ADDRESS", help="In the name of this agent; without it, of the only one or the desk.")
@as_json
@talkative
def replies_show(name: str, number: str | None, agent: str | None, as_json: bool) -> int:
    """Show a saved reply as it would be sent; exit 1 where there is none of this name, or it has an error."""
    said = _of_ticket(name, number, agent) if number is not None else _of_samples(name)
    if as_json:
        print_json({"name": name, "text": said})
        return 0
    for line in said.split("\n"):
        click.echo(safe(line, None))
    return 0


def _of_ticket(name: str, number: str, agent: str | None) -> str:
    from .handle import working

    with working(agent) as hand:
        return hand.desk.saved_reply(hand.ticket(number), name, hand.author)


def _of_samples(name: str) -> str:
    """Render what every queue has, or else the first of this name."""
    from ..errors import NotFound
    from ..rules import DEFAULT_QUEUE
    from ..templates import SAVED, languages, samples

    loaded, folder = _folder()
    try:
        path = folder.find_saved(name, DEFAULT_QUEUE, languages(loaded.desk_language))
    except NotFound:
        others = [entry.path for entry in folder.saved() if entry.name == name]
        if not others:
            raise
        path = others[0]
    return folder.render(path, next(samples(SAVED)))
