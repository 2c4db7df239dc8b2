"""A look inside: stages."""

from __future__ import annotations

import click

from .common import as_json, print_json, print_table, settings, talkative


@click.command()
@as_json
@talkative
def stages(as_json: bool) -> int:
    """Show the line of stages in order, and the package and version that each comes from."""
    from ..stages import line

    rows = [
        {
            "name": stage.name,
            "runs": stage.runs.name.lower(),
            "package": stage.package,
            "version": stage.version,
            "summary": stage.summary,
        }
        for stage in line(settings(log_file=False).stages)
    ]
    if as_json:
        print_json(rows)
        return 0
    print_table(("STAGE", "RUNS IN", "PACKAGE", "VERSION", "WHAT IT DOES"), [list(row.values()) for row in rows], "No stages.")
    return 0
