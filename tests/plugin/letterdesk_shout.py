"""A stage for Letterdesk: tag the tickets whose subject shouts."""

from pipeline.desk import Desk
from pipeline.letter import Letter


def shout(letter: Letter, desk: Desk) -> Letter:
    """Tag the ticket if the subject is in capitals."""
    if letter.ticket is None or not letter.mail.subject.isupper():
        return letter
    desk.tag(letter.ticket, "shouting")
    return letter.because(f"shout: {desk.label(letter.ticket)} is tagged, its subject is in capitals")
