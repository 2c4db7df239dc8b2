# SPDX-License-Identifier: GPL-2.0-or-later
# Read by offlineimap (pythonfile) into its own process; it is no part of Letterdesk's program.
"""What offlineimap.conf asks for, and patches of offlineimap 8.0.3, each kept because a test shows the loss without it."""

import os
import sys

from offlineimap import __version__
from offlineimap.error import OfflineImapError
from offlineimap.folder.IMAP import IMAPFolder
from offlineimap.folder.Maildir import MaildirFolder

if __version__ != "8.0.3":
    sys.stderr.write(f"WARNING: Letterdesk knows offlineimap 8.0.3, this is {__version__}\n")


def setting(name):
    """Return a setting from the environment. An ordinary exception: SystemExit would hang offlineimap."""
    value = os.environ.get("LETTERDESK_" + name)
    if not value:
        raise RuntimeError(f"{name} is not set; start this by `helpdesk sync`")
    return value


def wanted():
    """Return the folders to fetch."""
    return setting("IMAP_FOLDER").split(",")


# Nothing is ever copied up: without this, a file that somebody put here is uploaded and renamed, and mail that was expunged
# on the server and kept here comes back to it once the metadata is lost.
def _never_upload(self, uid, dstfolder, statusfolder, register=1):
    return None


MaildirFolder.copymessageto = _never_upload


# A changed UIDVALIDITY ends the folder's round; offlineimap only warns, goes on with wrong UIDs, and misses mail.
_check_uidvalidity = IMAPFolder.check_uidvalidity


def _check_or_end(self):
    if _check_uidvalidity(self):
        return True
    saved, now = self.get_saveduidvalidity(), self.get_uidvalidity()
    raise OfflineImapError(f"LETTERDESK UIDVALIDITY {self} {saved} {now}", OfflineImapError.ERROR.FOLDER)


IMAPFolder.check_uidvalidity = _check_or_end


# A mail is passed on as the server gave it. offlineimap parses every mail and writes it anew: two in a hundred come out
# changed, and one nested a thousand deep never comes at all and keeps the flags of all others from going up.
class _RawMail:
    defects = ()

    def __init__(self, raw):
        self._raw = raw.replace(b"\r\n", b"\n")

    def as_bytes(self, policy=None):
        return self._raw


class _RawParser:
    @staticmethod
    def parsebytes(raw):
        return _RawMail(raw)


_fetch = IMAPFolder._fetch_from_imap


def _fetch_raw(self, uids, retry_num=1):
    self.parser["8bit-RFC"] = _RawParser
    return _fetch(self, uids, retry_num)


IMAPFolder._fetch_from_imap = _fetch_raw


# Only \Seen and \Flagged go up, whatever another program on this Maildir sets (T would delete the mail on the server).
def _only_ours(change):
    def changed(self, uidlist, flags):
        if ours := set(flags) & {"S", "F"}:
            change(self, uidlist, ours)

    return changed


IMAPFolder.addmessagesflags = _only_ours(IMAPFolder.addmessagesflags)
IMAPFolder.deletemessagesflags = _only_ours(IMAPFolder.deletemessagesflags)
