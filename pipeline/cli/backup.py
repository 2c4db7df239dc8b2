"""The commands that write the desk into one file and bring it back: backup, restore."""

from __future__ import annotations

from pathlib import Path

import click

from ..log import safe
from .common import settings, talkative, tell

a_file = click.argument("file", type=click.Path(path_type=Path), metavar="FILE")


@click.command()
@a_file
@click.option("--verify", is_flag=True, help="Write nothing: read the backup FILE to its end, and say what is wrong in it.")
@click.option("--force", is_flag=True, help="Write over a FILE that is there.")
@talkative
def backup(file: Path, verify: bool, force: bool) -> int:
    """Write database, large mails, rules and templates into FILE.tar or FILE.tar.gz, while everything runs.

    It holds the desk as it stood at one moment, but not .env, where the secrets are, and no mail that waits in the Maildir.
    Exit 0: done; 1: bytes of mails are missing or damaged (told); 73: FILE is there, or cannot be made; 75: the disk is full.
    """
    from .. import backup as backups

    loaded = settings(log_file=False)
    if verify:
        manifest, wrong = backups.verify(loaded, file)
        for sentence in wrong:
            click.echo(safe(sentence, None))
        if manifest:
            click.echo(safe(f"{file}: {manifest}; {manifest.created}, version {manifest.version}.", None))
        click.echo("Not whole." if wrong else "Whole: every file, row and mail in it is what it was.")
        return int(bool(wrong))
    manifest, wrong = backups.write(loaded, file, force)
    for sentence in wrong:
        click.echo(safe(f"helpdesk: {sentence}", None), err=True)
    tell(safe(f"Written: {file}, {file.stat().st_size / 1e6:.1f} MB: {manifest}.", None))
    tell("It does not hold .env, where the secrets are: keep that in a safe place of its own.")
    return int(bool(wrong))


@click.command()
@a_file
@talkative
def restore(file: Path) -> int:
    """Put a backup into an empty place, and pause sending there until you have looked.

    There must be no database, and no large mail in DATA_DIR; a Maildir may have its files. Stop everything else first.
    Exit 0: done; 1: done, but bytes of mails were missing when the backup was made (told); 65: FILE is no backup, or damaged;
    73: something is there already; 75: the disk is full, or a newer Letterdesk made the backup.
    """
    from .. import backup as backups
    from ..outbox import PAUSE

    loaded = settings(log_file=False)
    restored = backups.restore(loaded, file)
    for sentence in restored.damaged:
        click.echo(safe(f"helpdesk: {sentence}", None), err=True)
    tell(safe(f"Restored from {file}, made {restored.manifest.created}: {restored.manifest}.", None))
    for path in restored.beside:
        tell(safe(f"Another file has its place, so the one of the backup lies beside it: {path}", None))
    if restored.again:
        tell(f"Mails without an outcome, which wait in the drop box again: {restored.again}.")
    pause = loaded.data_dir / PAUSE
    tell(f"Sending is paused; mails that wait: {restored.waiting}.")
    tell(safe(f"Look at `helpdesk outbox list`, cancel what is old (`helpdesk outbox cancel`), then remove {pause}.", None))
    return int(bool(restored.damaged))
