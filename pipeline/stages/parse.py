"""Read the bytes."""

from __future__ import annotations

from .. import mime
from ..letter import Letter, Outcome


def parse(letter: Letter) -> Letter:
    """Read the mail; one without a single header line is no mail, and fails."""
    mail = mime.read_mail(letter.raw or b"")
    if mail.identity is None:
        why = mail.defects[0] if mail.defects else "nothing in it could be read"
        return letter.settle(Outcome.FAILED, f"parse: {why}", mail=mail)
    found = f"{len(mail.text)} characters of text, {len(mail.attachments)} attachments"
    return letter.because(f"parse: {found}", mail=mail)
