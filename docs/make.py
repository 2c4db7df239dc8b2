"""Write what docs/ and .env.example take from the code; with --check only say which file differs.

`python docs/make.py` writes docs/settings.md, docs/commands.md, docs/schema.md and .env.example.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipeline import errors, settings, tables
from pipeline.cli import cli

ROOT = Path(__file__).parents[1]
WRITTEN = "<!-- Written by docs/make.py from the code; `make docs` writes it anew. -->"
EVERYWHERE = ("help", "verbose", "quiet", "version")  # options that every command has, told once

# What `errors.py` draws at its top: `+-- TryLater   75  sentence`.
DRAWN = re.compile(r"^[| ]*\+-- (?P<name>\w+) +(?P<code>\d+)  (?P<sentence>.+)$", re.MULTILINE)

# Exit codes that no error makes.
OTHER_CODES = {
    0: "done",
    1: "done, but some mails failed, or a check found something",
    130: "interrupted (Ctrl-C)",
}

COLUMN_TYPES = {"AUTO": "integer", "BIGINT": "integer", "INT": "integer", "BOOL": "0 or 1", "TEXT": "text", "BLOB": "bytes"}

EXAMPLES = """\
## Questions in SQL

Any SQLite client may read the file while Letterdesk runs; writing is Letterdesk's alone:

    sqlite3 -readonly data/helpdesk.db

Tickets created from email, and by whom:

```sql
SELECT ticket_number, email_from, created_from_email, created
FROM ticket
WHERE created_from_email = 1
ORDER BY id;
```

Messages that came by email:

```sql
SELECT ticket.ticket_number, message.author_address, message.date, message.is_from_email,
       coalesce(message.reply_text, message.text) AS newly_written
FROM message JOIN ticket ON ticket.id = message.ticket_id
WHERE message.is_from_email = 1
ORDER BY message.id;
```

Why each mail became what it became, a row a reason (`helpdesk explain` shows the same):

```sql
SELECT mail.id, mail.message_id, mail.outcome, ticket.ticket_number, reason.value AS why
FROM mail
LEFT JOIN ticket ON ticket.id = mail.ticket_id
JOIN json_each(mail.trail) AS reason
ORDER BY mail.id, reason.key;
```

Mails that failed, and at which stage:

```sql
SELECT id, digest, stage, reason, tries FROM mail WHERE outcome = 'failed' ORDER BY id;
```

Every file in which a mail was seen:

```sql
SELECT place.box, place.key, place.original, place.outcome, place.state, mail.message_id
FROM place LEFT JOIN mail ON mail.id = place.mail_id
ORDER BY place.id;
```
"""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# -- commands --------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Write docs/commands.md: every command with its help and options, and the exit codes."""
    lines = [
        "# Commands",
        "",
        WRITTEN,
        "",
        "`helpdesk` is `python -m pipeline`. Tables are for people, `--json` is for programs: one document on standard output.",
        "Logs and progress go to standard error. These options may stand before or after a command, `--version` before one:",
        "",
        "| Option | What it does |",
        "|---|---|",
        *(f"| `{_option(option)}` | {_cell(_option_help(option))} |" for option in _everywhere()),
        "",
        *_exit_codes(),
    ]
    root = click.Context(cli, info_name="helpdesk")
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None
        lines += _command(command, f"helpdesk {name}")
    return "\n".join(lines) + "\n"


def _everywhere() -> list[click.Option]:
    """Return the options of `helpdesk` itself."""
    params = cli.get_params(click.Context(cli, info_name="helpdesk"))
    return [param for param in params if isinstance(param, click.Option)]


def _command(command: click.Command, path: str) -> Iterator[str]:
    arguments = " ".join(_argument(param) for param in command.params if isinstance(param, click.Argument))
    yield from ("", f"## `{path}{' ' * bool(arguments)}{arguments}`", "", inspect.cleandoc(command.help or ""))
    options = [param for param in command.params if isinstance(param, click.Option) and param.name not in EVERYWHERE]
    if options:
        yield from ("", "| Option | What it does |", "|---|---|")
        yield from (f"| `{_option(option)}` | {_cell(_option_help(option))} |" for option in options)
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _command(child, f"{path} {name}")


def _argument(param: click.Argument) -> str:
    return param.metavar or (param.name or "").upper()


def _option(param: click.Option) -> str:
    value = "" if param.is_flag or param.count else f" {param.metavar or 'N'}"
    return ", ".join(param.opts) + value


def _option_help(param: click.Option) -> str:
    return (param.help or "") + (f" Default: {param.default}." if param.show_default and not param.is_flag else "")


def exit_code_rows() -> dict[int, list[str]]:
    """Return the sentences of every exit code, from the tree that errors.py draws and from OTHER_CODES."""
    rows = {code: [sentence] for code, sentence in OTHER_CODES.items()}
    for match in DRAWN.finditer(errors.__doc__ or ""):
        rows.setdefault(int(match["code"]), []).append(f"{match['sentence']} (`{match['name']}`)")
    return dict(sorted(rows.items()))


def _exit_codes() -> Iterator[str]:
    yield from ("## Exit codes", "", "75 wins over 1.", "", "| Code | When |", "|---|---|")
    yield from (f"| {code} | {_cell('; '.join(sentences))} |" for code, sentences in exit_code_rows().items())


# -- schema ----------------------------------------------------------------------------------------------------------


def schema() -> str:
    """Write docs/schema.md: every table and column, and examples in SQL."""
    lines = ["# The database", "", WRITTEN, "", _cell_paragraphs(tables.__doc__ or ""), ""]
    lines += [EXAMPLES.rstrip()]
    for model in tables.ALL:
        lines += ["", f"## `{model._meta.table_name}`"]
        lines += ["", inspect.cleandoc(model.__doc__)] if model.__doc__ else []
        lines += ["", "| Column | Type | Null | What it is |", "|---|---|---|---|"]
        lines += [_column(field) for field in model._meta.sorted_fields]
    return "\n".join(lines) + "\n"


def _cell_paragraphs(text: str) -> str:
    return "\n".join(inspect.cleandoc(text).splitlines())


def _column(field: object) -> str:
    target = getattr(field, "rel_model", None)
    kind = f"id of `{target._meta.table_name}`" if target is not None else COLUMN_TYPES[field.field_type]
    null = "yes" if field.null else ""
    return f"| `{field.column_name}` | {kind} | {null} | {_cell(field.help_text or '')} |"


# -- all of them -----------------------------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    """Return every generated file with the text that the code makes for it."""
    return {
        ROOT / "docs" / "settings.md": settings.markdown(),
        ROOT / "docs" / "commands.md": commands(),
        ROOT / "docs" / "schema.md": schema(),
        ROOT / ".env.example": settings.example(),
    }


def differing() -> list[str]:
    """Name the generated files that are not what the code makes."""
    return [
        str(path.relative_to(ROOT))
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Write the files, or with --check name those that differ; return the exit code."""
    if "--check" in sys.argv[1:]:
        for name in (names := differing()):
            sys.stderr.write(f"{name} is not what the code makes; run `make docs`.\n")
        return 1 if names else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
