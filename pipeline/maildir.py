"""The Maildir: which files wait, their bytes once they are whole, and the one rename that says a mail is done (maildir(5)).

A box is one Maildir. This room knows names, flags and files, and nothing of what a mail says. Other programs (offlineimap,
mutt, notmuch, an IMAP server, a person with `cp`) work in the same folders at the same time, so every name is only a hint:
what was listed is looked at again before it is read, and again before it is moved.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import os
import re
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline.letter import Place

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# What this machine can do; tests take things away.
RENAMEAT2: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
LINKS = hasattr(os, "link") and os.name != "nt"  # on Windows a plain rename already refuses a name that is taken
SETLEASE = getattr(fcntl, "F_SETLEASE", None)
LEASE_SIGNAL = getattr(signal, "SIGURG", 0)
OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))

DROP_BOX = "."
REPLAYED = ",replayed"  # behind the name of a file in the drop box: it is old mail, of which nobody is to be told
COMMON_FLAGS = ("", "S", "F", "FS", "RS", "R", "FRS")  # tried by name before a whole folder is listed
EMPTY_AGE = 60.0  # an empty file may still be waiting for its writer's first bytes
TMP_AGE = 36 * 3600.0  # maildir(5): what lies longer in tmp/ was left by a delivery that died
TRIES = 3  # another program may move a file between the look and the rename, but not for ever
# For how many seconds a file must not have been written to, by what a read lease told about writers. `taken` has an end because
# NFSv4 gives the same answer for want of a delegation, and a mail must not wait there for ever.
QUIET = {"free": 0.0, "unknown": 1.0, "taken": 3600.0}

GONE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ESTALE}  # EINVAL: Windows, for a name with `:`
NOT_REGULAR = {errno.ELOOP, errno.EMLINK, errno.ENXIO}  # a symlink (EMLINK: BSD), a socket
CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EMLINK}  # this file system has no such call

_UID = re.compile(r",U=(\d{1,18})(?=,|$)")
_OFFLINEIMAP = re.compile(r",U=\d+,FMD5=[0-9a-f]{32}(?=,|$)")
_counter = itertools.count()


class Vanished(Exception):
    """The file is no longer there, or another has taken its name: nothing to read or to move."""


class NotWhole(Exception):
    """Somebody is writing the file, or may be: try again in the next pass, with a fresh listing."""


class NotAMail(Exception):
    """A directory, symlink, FIFO or device: never followed, never read."""


class Found(NamedTuple):
    """A regular file as it was seen: `folder` is new, cur, or "" for an .eml lying in the drop box itself."""

    place: Place
    path: str
    folder: str
    flags: str
    uid: int | None  # offlineimap's; always None in the drop box, where a name proves nothing
    mtime_ns: int
    size: int
    inode: tuple[int, int]  # device and inode number

    @property
    def arrival(self) -> tuple[int, int, str, str]:
        """Return the sort key of arrival inside a box: mails with a UID by UID, after them the others by mtime, then name.

        The two kinds are not interleaved: UID and mtime may disagree, and then no order would respect both.
        """
        kind, number = (1, self.mtime_ns) if self.uid is None else (0, self.uid)
        return kind, number, self.place.key, self.path

    @property
    def whole_by_name(self) -> bool:
        """Tell whether offlineimap named it: then it was complete before it got this name (tmp/, fsync, rename)."""
        return self.place.box != DROP_BOX and _OFFLINEIMAP.search(self.place.key) is not None


def split_name(name: str, separators: str = ":!") -> tuple[str, str]:
    """Split a file name into its key and its flags, sorted (maildir(5), `:2,`; offlineimap writes `!2,` on Windows).

    No `:` stands in a unique name, so what follows `:2,` is always flags; a `!2,` may be part of a title that somebody saved
    a mail under, and counts only if nothing but letters follows.
    """
    for separator in separators:
        key, mark, info = name.partition(f"{separator}2,")
        if key and mark and (separator == ":" or not info or info.isalpha()):
            return key, _letters(info.partition(",")[0])
    return name, ""


def join_name(key: str, flags: str, separator: str) -> str:
    """Join a key and its flags to a file name; flags stand in ASCII order (maildir(5))."""
    return f"{key}{separator}2,{_letters(flags)}"


def name_as_text(path: str) -> str:
    """Return a file's name as text that any store takes: bytes that are no UTF-8 are escaped."""
    return os.fsencode(os.path.basename(path)).decode("utf-8", "backslashreplace")


def is_replayed(name: str) -> bool:
    """Does the name of a file in the drop box say that it is old mail?"""
    return split_name(name)[0].removesuffix(".eml").endswith(REPLAYED)


def ignore_lease_signal() -> None:
    """Ignore SIGIO, once, from a main program (fcntl(2), F_SETLEASE): a second safety, see `_writer`."""
    if hasattr(signal, "SIGIO") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def boxes(root: Path, names: Iterable[str], separator: str = ":") -> dict[str, Maildir]:
    """Make the boxes of these folder names below root; `.` is root itself, the drop box."""
    return {name: Maildir(root if name == DROP_BOX else root / name, name, separator) for name in names}


class Maildir:
    """One box: a Maildir in the file system. It keeps no state; the folders are the truth."""

    def __init__(self, root: Path, name: str, separator: str = ":") -> None:
        self.root = Path(root)
        self.name = name
        self.separator = separator
        self.is_drop_box = name == DROP_BOX
        self._intake = ("new", "") if self.is_drop_box else ("new",)

    def create(self) -> None:
        """Make tmp/, new/ and cur/ where they are missing, for the owner only."""
        for folder in (self.root, *(self.root / name for name in ("tmp", "new", "cur"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def watched(self) -> list[Path]:
        """Name the folders in which mail lands."""
        return [Path(self._path(folder)) for folder in self._intake]

    def new(self) -> list[Found]:
        """List what waits in new/, in the drop box also `*.eml` lying in it, in order of arrival.

        Of two names of one file only the first is listed: the second would be one mail in two places. It comes up once the
        first is filed, and is a duplicate then.
        """
        return _one_name_each(_in_order(self._look(folder, name) for folder in self._intake for name in self._names(folder)))

    def strange(self) -> list[str]:
        """List the paths that stand where a mail should and are no regular files."""
        paths = [self._path(folder, name) for folder in self._intake for name in self._names(folder)]
        return sorted(path for path in paths if (status := _lstat(path)) and not stat.S_ISREG(status.st_mode))

    def cur_names(self) -> list[str]:
        """List the file names in cur/, unsorted, by one directory scan: nothing is looked at, so 300,000 are cheap."""
        return self._names("cur")

    def cur_mtime_ns(self) -> int:
        """Return when a name in cur/ last changed; 0 if there is no cur/."""
        status = _lstat(self._path("cur"))
        return status.st_mtime_ns if status else 0

    def found_in_cur(self, names: Iterable[str]) -> list[Found]:
        """Look at these names in cur/, in order of arrival; what is gone or no regular file is left out."""
        return _in_order(self._look("cur", name) for name in names)

    def find(self, key: str) -> Found | None:
        """Look up where the file of a key stands now; other programs move it from new/ to cur/ and back, and change its flags."""
        probes = (self._probe(folder, key) for folder in (*self._intake, "cur"))
        return next(filter(None, probes), None) or self._search("cur", key) or self._search("new", key)

    def twin(self, found: Found) -> Found | None:
        """Find the name in cur/ that is the same file: a filing by link and unlink that was cut between the two."""
        if not _has_names(found.path):
            return None
        with os.scandir(self._path("cur")) as entries:
            names = [entry.name for entry in entries if entry.inode() == found.inode[1] and entry.path != found.path]
        return next((twin for twin in self.found_in_cur(names) if twin.inode == found.inode), None)

    @contextlib.contextmanager
    def hold(self, found: Found) -> Iterator[BinaryIO]:
        """Open a whole mail for reading; raise Vanished, NotWhole (also at the end of the block), NotAMail or OSError.

        Windows cannot move an open file: file it after the block.
        """
        descriptor = self._open(found)
        try:
            before = os.fstat(descriptor)
            _check_whole(found, descriptor, before)
            with open(descriptor, "rb", closefd=False) as file:
                yield file
            if _version(os.fstat(descriptor)) != _version(before):
                raise NotWhole(f"{found.path} was written to while it was read")
        finally:
            os.close(descriptor)

    def _open(self, found: Found) -> int:
        with contextlib.suppress(FileNotFoundError):
            return _open_regular(found.path)
        # In the drop box another file may have got this name by now, so only a key that we gave is looked up again.
        again = None if self.is_drop_box and found.folder != "cur" else self.find(found.place.key)
        with contextlib.suppress(FileNotFoundError):
            if again is not None:
                return _open_regular(again.path)
        raise Vanished(found.path)

    @staticmethod
    def fresh_key() -> str:
        """Make a name that no other delivery on any machine makes (maildir(5), unique names)."""
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        host = (socket.gethostname() or "localhost").replace("/", r"\057").replace(":", r"\072")
        return f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}Q{next(_counter)}.{host}"

    def deliver(self, raw: bytes | memoryview, mark: str = "") -> str:
        """Put a mail into new/, whole and on the disk, and return its key (maildir(5)); OSError leaves nothing in tmp/.

        `mark` stands behind the name: REPLAYED for old mail, of which nobody is told.
        """
        key = self.fresh_key() + mark
        draft = self._path("tmp", key)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(descriptor)
            _move(draft, self._path("new", key))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        _sync_folder(self._path("new"))
        return key

    def sweep_tmp(self, older_than: float = TMP_AGE) -> int:
        """Remove files in tmp/ that nobody touched for `older_than` seconds, and return how many (maildir(5): 36 hours)."""
        count, limit = 0, time.time() - older_than
        for path in (self._path("tmp", name) for name in _listdir(self._path("tmp"))):
            status = _lstat(path)
            if status and stat.S_ISREG(status.st_mode) and max(status.st_atime, status.st_mtime) < limit:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                    count += 1
        return count

    def file(self, found: Found, key: str | None = None, add: str = "", drop: str = "") -> str:
        """Move a mail to cur/, or change its flags there, and return its path; may be repeated at any time.

        The flags that it has at that moment stay, but for `add` and `drop`. Raise Vanished if it is gone or its name has other
        bytes than were found, FileExistsError if cur/ holds another file of that key.
        """
        # No fsync of the folder: after a power cut the file stands in new/ again, its ledger row is there, and this is repeated.
        key = key or found.place.key
        if found.whole_by_name and key != found.place.key:
            raise ValueError(f"{found.place.key} is offlineimap's name: it would be another mail under {key}")
        for left in reversed(range(TRIES)):
            source = self._source(found, key)
            try:
                return self._put(source, key, add, drop)
            except FileNotFoundError:
                if not left:  # it stands where it was seen, so it is cur/ that is missing
                    raise
        raise AssertionError("unreachable")

    def reflag(self, key: str, add: str = "", drop: str = "") -> bool:
        """Change the flags of a mail in cur/; return False if no such mail is there."""
        try:
            found = self.in_cur(key)
            return found is not None and bool(self.file(found, add=add, drop=drop))
        except Vanished:
            return False

    def _source(self, found: Found, key: str) -> Found:
        """Look at the file once more, where it was or where it went; Vanished if that is not what was found."""
        here = self._look(found.folder, os.path.basename(found.path))
        if here is None:
            here = self.in_cur(key) if self.is_drop_box else self.find(found.place.key)
        # Size and time only: network file systems give one file a new inode number now and then.
        same = here and (found.whole_by_name or (here.size, here.mtime_ns) == (found.size, found.mtime_ns))
        if not here or not same:
            raise Vanished(found.path)
        return here

    def _put(self, source: Found, key: str, add: str, drop: str) -> str:
        """Give the file its name in cur/; two names of one file become one."""
        flags = _letters(set(source.flags + add) - set(drop))
        target = self._path("cur", join_name(key, flags, self.separator))
        if source.path == target:
            return target
        if source.folder != "cur" and (standing := self._standing(source, key)):
            _drop_twin(source.path, standing.path)
            return self._put(standing, key, add, drop)
        try:
            _move(source.path, target)
        except FileExistsError:  # since we looked: another worker may have linked it here
            _drop_twin(source.path, target)
        return target

    def _standing(self, source: Found, key: str) -> Found | None:
        twin = self.twin(source)
        return twin if twin and twin.place.key == key else self._probe("cur", key)

    def _path(self, folder: str, name: str = "") -> str:
        return os.path.join(self.root, *filter(None, (folder, name)))

    def _names(self, folder: str) -> list[str]:
        names = [name for name in _listdir(self._path(folder)) if not _is_scratch(name)]
        return names if folder else [name for name in names if name.lower().endswith(".eml")]

    def _look(self, folder: str, name: str) -> Found | None:
        path = self._path(folder, name)
        status = _lstat(path)  # not DirEntry.stat(): it has no inode on Windows
        if status is None or not stat.S_ISREG(status.st_mode):
            return None
        key, flags = split_name(name)
        uid = None if self.is_drop_box else _UID.search(key)
        inode = (status.st_dev, status.st_ino)
        return Found(
            Place(self.name, key), path, folder, flags, int(uid[1]) if uid else None, status.st_mtime_ns, status.st_size, inode
        )

    def _probe(self, folder: str, key: str) -> Found | None:
        names = [key, *(join_name(key, flags, self.separator) for flags in COMMON_FLAGS)]
        return next(filter(None, (self._look(folder, name) for name in names)), None)

    def _search(self, folder: str, key: str) -> Found | None:
        near = (name for name in _listdir(self._path(folder)) if name.startswith(key) and not _is_scratch(name))
        return next(filter(None, (self._look(folder, name) for name in near if split_name(name)[0] == key)), None)

    def in_cur(self, key: str) -> Found | None:
        """Look up the file of a key in cur/ alone."""
        return self._probe("cur", key) or self._search("cur", key)


def _letters(flags: Iterable[str]) -> str:
    return "".join(sorted({flag for flag in flags if flag.isascii() and flag.isalpha()}))


def _is_scratch(name: str) -> bool:
    return name.startswith(".") or name.endswith(("~", ".swp"))  # an editor's files


def _in_order(looks: Iterable[Found | None]) -> list[Found]:
    return sorted(filter(None, looks), key=lambda found: found.arrival)


def _one_name_each(listing: list[Found]) -> list[Found]:
    """Leave out further names of a file; a file system without links may number its files at random, so the count is asked."""
    first: dict[tuple[int, int], Found] = {}
    return [found for found in listing if first.setdefault(found.inode, found) is found or not _has_names(found.path)]


def _has_names(path: str) -> bool:
    status = _lstat(path)
    return status is not None and status.st_nlink > 1


def _listdir(folder: str) -> list[str]:
    """List a folder; one that is not there yet (offlineimap makes INBOX at its first sync) is empty."""
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _lstat(path: str) -> os.stat_result | None:
    """Look at a path without following it; None if nothing can stand there."""
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in GONE:
            return None
        raise


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _open_regular(path: str) -> int:
    """Open a regular file for reading, without following a symlink and without waiting at a FIFO (open(2))."""
    if not stat.S_ISREG(os.lstat(path).st_mode):  # only opening a device may already do something
        raise NotAMail(path)
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno in NOT_REGULAR:
            raise NotAMail(path) from None
        if getattr(error, "winerror", None) == 32:  # Windows: its writer shares it with nobody
            raise NotWhole(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAMail(path)
    return descriptor


def _check_whole(found: Found, descriptor: int, status: os.stat_result) -> None:
    """Raise NotWhole unless it is plain that nobody is writing the file any more."""
    # An mtime that lies far in the future says nothing about the last write; the ctime cannot be set.
    quiet = time.time() - (status.st_mtime if status.st_mtime < time.time() + 60 else status.st_ctime)
    if status.st_size == 0 and quiet < EMPTY_AGE:
        raise NotWhole(f"{found.path} is empty still")
    if found.whole_by_name:
        return
    if _version(status) != (found.size, found.mtime_ns):
        raise NotWhole(f"{found.path} was written to since it was listed")
    needed = QUIET[_writer(descriptor)]
    if needed and quiet < needed:
        raise NotWhole(f"{found.path} may still be written to")


def _writer(descriptor: int) -> str:
    """Ask by a read lease, given back at once, whether anybody has the file open for writing (fcntl(2), F_SETLEASE)."""
    if fcntl is None or SETLEASE is None:
        return "unknown"
    try:
        # Who opens it for writing just now breaks the lease, and SIGIO would end us; SIGURG does nothing unless it is caught.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, LEASE_SIGNAL)
        fcntl.fcntl(descriptor, SETLEASE, fcntl.F_RDLCK)
    except OSError as error:  # EACCES is another owner's file without CAP_LEASE, EINVAL a file system without leases
        return "taken" if error.errno == errno.EAGAIN else "unknown"
    fcntl.fcntl(descriptor, SETLEASE, fcntl.F_UNLCK)
    return "free"


def _sync_folder(path: str) -> None:
    """Write a folder's names to the disk; Windows cannot, and some file systems know no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
    finally:
        os.close(descriptor)


def _move(source: str, target: str) -> None:
    """Rename a file, never over an existing name: by renameat2(2), else link and unlink, else a look and a rename."""
    if RENAMEAT2 is not None and _tried(_rename_noreplace, source, target):
        return
    if LINKS and _tried(os.link, source, target):
        with contextlib.suppress(FileNotFoundError):  # another worker saw both names, and took this one away
            os.unlink(source)
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    os.rename(source, target)


def _tried(call: Any, source: str, target: str) -> bool:
    """Call it; return False where kernel or file system do not know it (FAT, NFS), or not for a file of another owner."""
    try:
        call(source, target)
    except OSError as error:
        if error.errno in CANNOT:
            return False
        raise
    return True


def _rename_noreplace(source: str, target: str) -> None:
    at_cwd, noreplace = -100, 1
    if RENAMEAT2(at_cwd, os.fsencode(source), at_cwd, os.fsencode(target), noreplace):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


def _drop_twin(source: str, target: str) -> None:
    """Remove the name `source` if `target` is the same file (a crash between link and unlink), else raise FileExistsError."""
    one, other = os.lstat(source), os.lstat(target)
    if one.st_nlink < 2 or not os.path.samestat(one, other):
        raise FileExistsError(errno.EEXIST, "another file has this key", target)
    os.unlink(source)
