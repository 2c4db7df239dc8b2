"""Checks that need neither database nor server: settings, files and folders, the disk, watching, the clock."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import shutil
import sys
import threading
import zoneinfo
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from .. import rules
from ..errors import SettingsError
from ..log import safe
from ..maildir import Maildir, boxes
from ..post import voice_of
from ..settings import Settings
from ..stages import line
from ..stages.screen import ticket_numbers
from ..sync.aside import ASIDE
from ..sync.keeper import command
from ..wording import templates_of
from ..worker import Doorbell, make_observer
from .finding import Case, Finding, counted, fail, ok, warn

MB = 1 << 20
LEAST_MB, FEW_MB = 64, 512  # free; below the first a few mails with files fill the disk
LEAST_INODES = 1000
PROBE = 64 << 10  # bytes of the probe file: more than what a small disk's last block may still take
LOOKED_AT = 10_000  # files in a folder
SHOWN = 5
LONG_SECONDS = 600.0  # for which a mail may wait while the desk is at work
REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs")  # whose other writers ring no bell here
YEARS = (2024, 2100)

# The five forms of subjects, and whether a number is to be read in them.
SUBJECTS = (
    ("[{prefix}-123] Printer", (123,)),
    ("RE: AW: [{prefix}-123] Printer", (123,)),
    ("#123 Printer", (123,)),
    ("Ticket #123: Printer", (123,)),
    ("Problem with ticket 123", ()),
)


# -- what was written down ---------------------------------------------------------------------------------------------


def settings(case: Case) -> Iterator[Finding]:
    """Are there slips in .env, and is it for the owner only? (Wrong values were told before.)"""
    named = sum(origin != "default" for origin in case.settings.origin.values())
    for warning in case.settings.warnings:
        detail, _, fix = warning.partition("; ")
        yield warn(detail, fix)
    if not case.settings.warnings:
        yield ok(f"{counted(named, 'setting')} made in {case.settings.home / '.env'} or the environment, the others by default")


def stages(case: Case) -> Iterator[Finding]:
    """Can every stage of STAGES be loaded?"""
    try:
        yield ok(" ".join(stage.name for stage in line(case.settings.stages)))
    except SettingsError as error:
        yield from (fail(problem, error.hint or "") for problem in error.problems)


def _ruleset(case: Case) -> rules.Ruleset:
    return rules.load(case.settings.rules_file, case.settings.boxes, case.settings.own_addresses)


def rules_file(case: Case) -> Iterator[Finding]:
    """Is the rules file right?"""
    try:
        found = _ruleset(case)
    except SettingsError as error:
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        yield fail(
            f"{error.problems[0]}{more}", "Mend it, then try `helpdesk rules check`; until then older rules hold, or none."
        )
        return
    if not case.settings.rules_file.exists():
        yield ok(f"{case.settings.rules_file} is not there, so there are no rules")
    else:
        yield ok(f"{case.settings.rules_file}: {counted(len(found.queues), 'queue')}, {counted(len(found.rules), 'rule')}")


def templates(case: Case) -> Iterator[Finding]:
    """Do the operator's own texts render?"""
    folder = templates_of(case.settings)
    with contextlib.suppress(SettingsError):  # told by the check of the rules; files would seem to be in the wrong place
        queues = dict.fromkeys((rules.DEFAULT_QUEUE, *(queue.name for queue in _ruleset(case).queues)))
        wrong = list(islice(folder.wrong(queues), SHOWN))
        for error in wrong:
            yield fail(f"{error.place}: {error.why}", "Mend the file, then try `helpdesk templates check`.")
        count = sum(1 for _ in folder.entries())
        if not wrong:
            yield ok(f"{folder.root}: {counted(count, 'file')}" if count else "none of your own, so the built-in texts are used")


def subjects(case: Case) -> Iterator[Finding]:
    """What does today's code read in the five forms of subjects?"""
    prefix = case.settings.ticket_prefix
    answers = {written.format(prefix=prefix): wanted for written, wanted in SUBJECTS}
    prefixes = (prefix, *rules.current(case.settings.rules_file).prefixes)
    found = {written: ticket_numbers(written, *prefixes) for written in answers}
    told = "; ".join(f"{written} = {', '.join(map(str, numbers)) or 'no ticket'}" for written, numbers in found.items())
    if found == answers:
        yield ok(told)
    else:
        yield fail(told, "Set TICKET_PREFIX to a word like TICKET.")


def clock(case: Case) -> Iterator[Finding]:
    """Is the time plausible? A clock that is behind the program's own files, or in another century, is wrong."""
    zone = datetime.UTC if case.settings.time_zone == "UTC" else zoneinfo.ZoneInfo(case.settings.time_zone)
    shown = f"{case.now.astimezone(zone):%Y-%m-%d %H:%M} {case.settings.time_zone}"
    installed = datetime.datetime.fromtimestamp(os.stat(__file__).st_mtime, datetime.UTC)
    if not YEARS[0] <= case.now.year < YEARS[1] or case.now < installed - datetime.timedelta(days=1):
        fix = "Set the clock, best by `timedatectl set-ntp true`: tries, caps and the age of mail go by it."
        yield fail(f"it is {shown}, which cannot be: the program was installed on {installed:%Y-%m-%d}", fix)
    else:
        yield ok(shown)


def sender(case: Case) -> Iterator[Finding]:
    """Is there an address to write from, and does mail go where it is meant to?"""
    if not case.settings.smtp_configured:
        return
    try:
        voice = voice_of(case.settings, rules.DEFAULT_QUEUE)
    except SettingsError as error:
        yield fail("; ".join(error.problems), "Set DEFAULT_FROM_EMAIL, like Support Desk <desk@example.org>.")
        return
    yield ok(f"{voice.sender.address}; answers come to {voice.reply_to.address}")
    if case.settings.all_mail_to:
        yield warn(f"every mail goes to {case.settings.all_mail_to} instead", "Take ALL_MAIL_TO away if this is no test system.")


def offlineimap(case: Case) -> Iterator[Finding]:
    """Is there what `helpdesk sync` runs?"""
    if not case.settings.imap_configured:
        return
    program = Path(command(case.settings)[0])  # raises where config/offlineimap.conf is not found
    if program.exists():
        yield ok("the program and config/offlineimap.conf are there")
    else:
        yield fail(f"{program} is not there", f"{sys.executable} -m pip install offlineimap3")


# -- folders -----------------------------------------------------------------------------------------------------------


def _boxes(case: Case) -> list[Maildir]:
    return list(boxes(case.settings.maildir, case.settings.boxes, case.settings.maildir_separator).values())


def disk(case: Case) -> Iterator[Finding]:
    """Is there room, and may we write, where mail, database and log are kept?"""
    places = {"DATA_DIR": case.settings.data_dir, "MAILDIR": case.settings.maildir, "LOG_FILE": case.settings.log_file.parent}
    free: dict[int, str] = {}
    for key, place in places.items():
        folder = next(one for one in (place, *place.parents) if one.exists())
        if not folder.is_dir():
            yield fail(f"{folder} is no folder", f"Set {key} to another place, or move that file away.")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield fail(f"{folder} cannot be written to", f"Give it to the user who runs this, or set {key}.")
        elif folder.stat().st_dev not in free:
            megabytes = shutil.disk_usage(folder).free // MB
            free[folder.stat().st_dev] = f"{folder}: {megabytes:,} MB free"
            yield from _room(folder, megabytes)
    if free:
        yield ok("; ".join(free.values()))


def _room(folder: Path, megabytes: int) -> Iterator[Finding]:
    if megabytes < FEW_MB:
        say = fail if megabytes < LEAST_MB else warn
        yield say(f"{folder} has {megabytes} MB left; a full disk lets all mail wait", "Make room on that disk.")
    if hasattr(os, "statvfs"):
        status = os.statvfs(folder)
        if status.f_files and status.f_favail < LEAST_INODES:
            yield fail(f"{folder} has room for {status.f_favail} files only (inodes)", "Remove small files on that disk.")


def maildir(case: Case) -> Iterator[Finding]:
    """Are the folders there? What is fetched comes with the first fetch."""
    there = [box for box in _boxes(case) if box.root.exists() or box.is_drop_box]
    for box in there:
        for folder in (box.root, *(box.root / name for name in ("tmp", "new", "cur"))):
            if not folder.is_dir():
                what = "is no folder" if folder.exists() else "is not there"
                yield fail(f"{folder} {what}", "`helpdesk process` makes it; or set MAILDIR to where it is.")
                return
    names = ", ".join("the drop box" if box.is_drop_box else box.name for box in there)
    yield ok(f"{case.settings.maildir}: {names}")


def rename(case: Case) -> Iterator[Finding]:
    """Can a file be made in tmp/ and be moved on by one rename (maildir(5))? tmp/, new/ and cur/ must share a file system."""
    looked = [box for box in _boxes(case) if all((box.root / name).is_dir() for name in ("tmp", "new", "cur"))]
    apart = [target for box in looked for target in _apart(box)]
    for target in apart:
        fix = "Have tmp/, new/ and cur/ of a Maildir on one file system: no mount and no link to another disk below it."
        yield fail(f"{target} is on another file system than the tmp/ beside it", fix)
    for box in looked:
        _probe(box.root / "tmp")
    if looked and not apart:
        yield ok("a file made in tmp/ can be renamed into new/ and cur/")


def _probe(folder: Path) -> None:
    """Write a file as a delivery would, and take it away; raises OSError where that cannot be done."""
    path = folder / Maildir.fresh_key()
    try:
        with open(path, "xb") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def _apart(box: Maildir) -> Iterator[Path]:
    """Name the folders to which nothing can be renamed out of tmp/.

    The system compares the mounts before it looks for the file, so that a name which is not there asks without moving
    anything; two mounts of one disk have the same number.
    """
    source, key = box.root / "tmp", Maildir.fresh_key()
    for target in (box.root / "new", box.root / "cur"):
        try:
            os.rename(source / key, target / key)
        except OSError as error:
            if error.errno == errno.EXDEV or source.stat().st_dev != target.stat().st_dev:
                yield target


def inotify(case: Case) -> Iterator[Finding]:
    """Does the system tell us of new files? It is really asked to."""
    if case.settings.observer == "polling":
        yield ok("not used (OBSERVER=polling)")
        return
    if remote := _remote(case.settings):
        yield warn(f"MAILDIR is on {remote}, where other machines' files are not told of", "Set OBSERVER=polling.")
    folders = [folder for box in _boxes(case) for folder in box.watched() if folder.is_dir()]
    observer = make_observer(case.settings)
    try:
        for folder in folders:
            observer.schedule(Doorbell(threading.Event()), str(folder), recursive=False)
        observer.start()
    except OSError as error:
        what = "max_user_instances" if error.errno == errno.EMFILE else "max_user_watches"
        fix = f"As root: sysctl -w fs.inotify.{what}=524288 (and into /etc/sysctl.d); or set OBSERVER=polling."
        yield fail(f"new files cannot be watched ({error.strerror}); they are found every 30 seconds only", fix)
        return
    finally:
        observer.stop()
        if observer.is_alive():
            observer.join()
    yield ok(f"{counted(len(folders), 'folder')} can be watched")


def _remote(settings: Settings) -> str:
    """Return the kind of file system that MAILDIR is on, if it is one of the network (proc(5), /proc/mounts)."""
    with contextlib.suppress(OSError):
        rows = [line.split(" ")[1:3] for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines()]
        above = [(Path(mount), kind) for mount, kind in rows if settings.maildir.is_relative_to(mount)]
        kind = max(above, key=lambda pair: len(pair[0].parts), default=(Path(), ""))[1]
        return kind if kind.startswith(REMOTE) else ""
    return ""


def waiting(case: Case) -> Iterator[Finding]:
    """Does mail lie in new/ for long? Then nobody works it."""
    late = sum(1 for box in _boxes(case) for status in _waiting(box) if case.now.timestamp() - status.st_ctime > LONG_SECONDS)
    if late:
        yield warn(
            f"{counted(late, 'mail')} in the Maildir for more than ten minutes", "Start `helpdesk up`, or `helpdesk process`."
        )
    else:
        yield ok("no mail lies in the Maildir for long")


def _waiting(box: Maildir) -> Iterator[os.stat_result]:
    """Look at the files that wait in a box, at 10,000 in a folder."""
    for folder in box.watched():
        suffix = "" if folder.name == "new" else ".eml"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as files:
            yield from (file.stat() for file in islice(files, LOOKED_AT) if _is_mail(file, suffix))


def _is_mail(file: os.DirEntry[str], suffix: str) -> bool:
    return file.name.endswith(suffix) and not file.name.startswith(".") and file.is_file(follow_symlinks=False)


def aside(case: Case) -> Iterator[Finding]:
    """Was a folder put aside, since the server numbered its mails anew?"""
    root = case.settings.maildir / ASIDE
    folders = sorted(path for path in root.glob("*/*") if path.is_dir()) if root.is_dir() else []
    if folders:
        names = ", ".join(str(path.relative_to(root)) for path in folders[:SHOWN])
        fix = f"Its mails are fetched again; once `helpdesk audit` says complete, {root} may be removed."
        yield warn(f"put aside after a changed UIDVALIDITY: {names}", fix)


def cleaned(values: Iterable[str | None]) -> str:
    """Join a few values out of mails for a line."""
    found = [safe(value, 160) for value in values if value]
    return ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
