"""The judge of a round: what offlineimap 8.0.3 really printed, and what it is called."""

from __future__ import annotations

import pytest

from pipeline.sync.judge import judge

STARTED = "2026-11-25T10:26:20+00:00"
HEAD = """\
OfflineIMAP 8.0.3
  Licensed under the GNU GPL v2 or any later version (with an OpenSSL exception)
imaplib2 v3.06, Python v3.11.7, OpenSSL 3.0.19 27 Jan 2026
*** Processing account desk
Establishing connection to localhost:34037 (desk-remote)
"""
TAIL = "*** Finished account 'desk' in 0:00\n"
GETTING = "Error while getting folders for repository 'desk-remote' of account 'desk': "
ACQUIRING = GETTING + "Error acquiring connection for repository desk-remote: "

GOOD = """\
Creating new Local Status db for desk-local:INBOX
Syncing INBOX: IMAP -> Maildir
Copy message UID 1 (1/2) desk-remote:INBOX -> desk-local:INBOX
Copy message UID 2 (2/2) desk-remote:INBOX -> desk-local:INBOX
Adding flag S to 1 messages on INBOX
"""
TWO_FOLDERS = """\
Syncing INBOX: IMAP -> Maildir
 Syncing Gr&APYA3w-e x: IMAP -> Maildir
 Copy message UID 1 (1/1) desk-remote:Gr&APYA3w-e x -> desk-local:Gr&APYA3w-e x
"""
WRONG_PASSWORD = (
    r"""PLAIN authentication failed: b'[AUTHENTICATIONFAILED] Authentication failed.'
Connection lost during authentication. Retrying from scratch (1/3)...
Establishing connection to localhost:34037 (desk-remote)
PLAIN authentication failed: b'[AUTHENTICATIONFAILED] Authentication failed.'
Authentication failed after 3 attempts due to dead sockets.
"""
    + ACQUIRING
    + r"""All authentication types failed:
\tPLAIN: b'[AUTHENTICATIONFAILED] Authentication failed.' - skipping account.
"""
)
UNKNOWN_HOST = (
    ACQUIRING
    + "Could not resolve name 'nowhere.invalid' for repository 'desk-remote'. Make sure you have configured the server name "
    "correctly and that you are online. - skipping account.\n"
)
NO_TLS = (
    ACQUIRING
    + "Could not connect via SSL to host 'localhost' and non-standard ssl port 42955 configured. Make sure you connect to the "
    "correct port. Got: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006) - skipping account.\n"
)
NOT_TRUSTED = (
    ACQUIRING
    + "Could not connect via SSL to host 'localhost' and non-standard ssl port 57651 configured. Make sure you connect to the "
    "correct port. Got: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006) - "
    "skipping account.\n"
)
OTHER_NAME = """\
ERROR: While attempting to sync account 'desk'
  ssl.SSLError: ('CA Cert verifying failed:  no matching domain name found in certificate',)

Traceback:
  File "/srv/desk/.venv/lib/python3.11/site-packages/offlineimap/accounts.py", line 298, in syncrunner
    self.__sync()
  File "/srv/desk/.venv/lib/python3.11/site-packages/imaplib2/imaplib2.py", line 536, in ssl_wrap_socket
    raise ssl_exc(cert_err)

"""
CLOSED = """\
ERROR: While attempting to sync account 'desk'
  [Errno 111] Connection refused

Traceback:
  File "/srv/desk/.venv/lib/python3.11/site-packages/offlineimap/imaplibutil.py", line 84, in open_socket
    return rfc6555.create_connection((self.host, self.port))
  File "/srv/desk/.venv/lib/python3.11/site-packages/rfc6555.py", line 138, in create_connection
    raise self._error

"""
RENUMBERED = """\
Syncing INBOX: IMAP -> Maildir
ERROR: Aborting sync, folder 'INBOX' [acc: 'desk']
  LETTERDESK UIDVALIDITY INBOX 1795602972 1795602975
"""
RENUMBERED_TAIL = """\
ERROR: Exceptions occurred during the run!
ERROR: Aborting sync, folder 'INBOX' [acc: 'desk']
  LETTERDESK UIDVALIDITY INBOX 1795602972 1795602975

Traceback:
  File "/srv/desk/config/offlineimap_patches.py", line 59, in _check_or_end
    raise OfflineImapError(f"LETTERDESK UIDVALIDITY {self} {saved} {now}", OfflineImapError.ERROR.FOLDER)

"""
BLANK_RENUMBERED = RENUMBERED.replace("INBOX", "Team Post")
BUSY = """\
ERROR: Could not lock account desk. Is another instance using this account?
*** Finished account 'desk' in 0:00
ERROR: Exceptions occurred during the run!
ERROR: offlineimap.error.OfflineImapError: Could not lock account desk. Is another instance using this account?

Traceback:
  File "/srv/desk/.venv/lib/python3.11/site-packages/offlineimap/accounts.py", line 246, in __lock
    raise OfflineImapError(

"""
FULL = """\
Syncing INBOX: IMAP -> Maildir
Copy message UID 1 (1/802) desk-remote:INBOX -> desk-local:INBOX
OSError: [Errno 28] No space left on device

  OSError: [Errno 28] No space left on device
"""
LOST = """\
Syncing INBOX: IMAP -> Maildir
Copy message UID 1 (1/802) desk-remote:INBOX -> desk-local:INBOX
Establishing connection to localhost:57651 (desk-remote)
  getaddrinfo returns an empty list
ERROR: while syncing INBOX [account desk]
  getaddrinfo returns an empty list
ERROR: ERROR in syncfolder for desk folder INBOX: Traceback (most recent call last):
  File "/srv/desk/.venv/lib/python3.11/site-packages/offlineimap/imaplibutil.py", line 84, in open_socket
    return rfc6555.create_connection((self.host, self.port))
OSError: getaddrinfo returns an empty list

"""
NO_FILE = """\
ERROR: CA certfile for repository 'desk-remote' couldn't be found.  No such file: '/srv/ca'
ERROR: Exceptions occurred during the run!
ERROR: offlineimap.error.OfflineImapError: CA certfile for repository 'desk-remote' couldn't be found.  No such file: '/srv/ca'

Traceback:
  File "/srv/desk/.venv/lib/python3.11/site-packages/offlineimap/repository/IMAP.py", line 367, in getsslcacertfile
    raise OfflineImapError(reason, OfflineImapError.ERROR.REPO)

"""

# name: (output, offlineimap's exit code, kind, exit code of `sync --once`)
BAD = {
    "wrong password": (HEAD + WRONG_PASSWORD + TAIL, 0, "login", 77),
    "unknown host": (HEAD + UNKNOWN_HOST + TAIL, 0, "name", 69),
    "no TLS": (HEAD + NO_TLS + TAIL, 0, "certificate", 69),
    "not trusted": (HEAD + NOT_TRUSTED + TAIL, 0, "certificate", 69),
    "other name": (HEAD + OTHER_NAME + TAIL, 1, "certificate", 69),
    "closed": (HEAD + CLOSED + TAIL, 1, "silent", 69),
    "lost in a copy": (HEAD + LOST + TAIL, 1, "silent", 69),
    "renumbered": (HEAD + RENUMBERED + TAIL + RENUMBERED_TAIL, 1, "uidvalidity", 75),
    "busy": (HEAD + BUSY, 1, "busy", 75),
    "full": (HEAD + FULL, 100, "full", 75),
    "no such folder": (HEAD + TAIL, 0, "folder", 78),
    "another trouble": (HEAD + NO_FILE, 1, "other", 69),
    "nothing printed": ("", -9, "other", 69),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_round_has_its_kind(name: str) -> None:
    """Each output is of the kind and exit code of its cause, whatever offlineimap exited with, and says what to do."""
    output, exit_code, kind, code = BAD[name]
    done = judge(output, exit_code, ("INBOX",), STARTED)
    assert (done.kind, done.code, done.good) == (kind, code, False)
    assert done.reason
    assert done.hint


def test_a_good_round_counts_what_came() -> None:
    """A round that walked through its folder is good; it counts the mails that came."""
    done = judge(HEAD + GOOD + TAIL, 0, ("INBOX",), STARTED)
    assert done.good
    assert (done.came, done.folders, done.code, done.started) == (2, ["INBOX"], 0, STARTED)


def test_every_wanted_folder_must_be_walked_through() -> None:
    """A second folder's lines begin with a blank; a folder that was not walked through is named."""
    both = judge(HEAD + TWO_FOLDERS + TAIL, 0, ("INBOX", "Gr&APYA3w-e x"), STARTED)
    assert both.good
    assert (both.came, both.folders) == (1, ["INBOX", "Gr&APYA3w-e x"])
    missing = judge(HEAD + TWO_FOLDERS + TAIL, 0, ("INBOX", "Sales"), STARTED)
    assert (missing.kind, missing.reason) == ("folder", "the server has no folder Sales")


def test_a_mail_that_is_not_sent_up_has_not_come() -> None:
    """A line about a copy to the server, which our patch keeps from happening, counts for nothing."""
    upward = "Copy message UID 1 (1/1) desk-local:INBOX -> desk-remote:INBOX\n"
    assert judge(HEAD + GOOD + upward + TAIL, 0, ("INBOX",), STARTED).came == 2


@pytest.mark.parametrize(("output", "name"), [(RENUMBERED, "INBOX"), (BLANK_RENUMBERED, "Team Post")])
def test_the_renumbered_folder_is_named_once(output: str, name: str) -> None:
    """The folder that the server numbered anew is named once, though offlineimap says it twice, and with its blanks."""
    assert judge(HEAD + output + TAIL + output, 1, (name,), STARTED).renumbered == [name]


def test_another_trouble_is_told_by_its_error() -> None:
    """The reason of a trouble of no known kind is offlineimap's error, not a line of its source."""
    reason = judge(HEAD + NO_FILE, 1, ("INBOX",), STARTED).reason
    assert reason
    assert "No such file: '/srv/ca'" in reason


def test_words_of_a_folder_s_name_are_no_trouble() -> None:
    """A good round is good whatever its folders are called."""
    output = TWO_FOLDERS.replace("Gr&APYA3w-e x", "Login failed")
    assert judge(HEAD + output + TAIL, 0, ("INBOX", "Login failed"), STARTED).good
