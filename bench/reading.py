"""Time one mail in our reader and in five others, over 6,046 real mails (see corpus.py): python bench/reading.py [--mails N]

All readers take turns on each mail, in changing order, and what counts is the time of the processor: what else the machine
does meets all alike. Each gives the
subject, the sender and every part decoded; ours also the trimmed reply, the digests and the identity. What is not installed
is left out and named.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import gc
import importlib.util
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from email.message import EmailMessage, Message
from typing import Any

import corpus

from pipeline.mime import read_mail, reader, structure

Read = Callable[[bytes], Any]


def ours(raw: bytes) -> Any:
    return read_mail(raw)


def ours_without_content(raw: bytes) -> Any:
    """Read the structure and the header fields alone."""
    data = structure.workable(raw)
    root, defects = structure.split(data)
    return reader._mail_fields(data, root, defects)


def compat32(raw: bytes) -> Any:
    message: Message = email.message_from_bytes(raw)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    return message["subject"], message["from"], [part.get_payload(decode=True) for part in leaves]


def policy_default(raw: bytes) -> Any:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    text = body.get_content() if body is not None else ""
    files = [part.get_content() for part in message.iter_attachments()]  # type: ignore[attr-defined]
    return message["subject"], message["from"], text, files


def mail_parser(raw: bytes) -> Any:
    import mailparser

    mail = mailparser.parse_from_bytes(raw)
    return mail.subject, mail.from_, mail.text_plain, mail.text_html, mail.attachments


def fast_mail_parser(raw: bytes) -> Any:
    import fast_mail_parser as fast

    mail = fast.parse_email(raw)
    return mail.subject, mail.headers, mail.text_plain, mail.text_html, mail.attachments


# Name, module (what is no dependency of ours), function.
READERS: tuple[tuple[str, str, Read], ...] = (
    ("read_mail", "pipeline", ours),
    ("  headers and structure only", "pipeline", ours_without_content),
    ("email, compat32", "email", compat32),
    ("email, policy.default", "email", policy_default),
    ("mail-parser", "mailparser", mail_parser),
    ("fast-mail-parser", "fast_mail_parser", fast_mail_parser),
)


def timed(read: Read, raw: bytes) -> tuple[float, str]:
    """Return the milliseconds that a mail took, and the name of what was raised."""
    raised = ""
    started = time.thread_time()
    try:
        read(raw)
    except Exception as error:
        raised = type(error).__name__
    return (time.thread_time() - started) * 1000, raised


def main() -> None:
    """Time the readers and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, help="only the first N")
    options = parser.parse_args()
    mails = [raw for _, raw in corpus.mails(options.mails)]
    there = [row for row in READERS if importlib.util.find_spec(row[1]) is not None]
    for name, _, _ in READERS:
        if name not in [row[0] for row in there]:
            print(f"{name} is not installed and left out: pip install {name}")
    took: dict[str, list[float]] = {name: [] for name, _, _ in there}
    raised: dict[str, Counter[str]] = {name: Counter() for name, _, _ in there}
    logging.disable()  # one of them tells of every part
    gc.disable()  # a collection would be charged to whoever comes next
    for turn, raw in enumerate(mails):
        for at in range(len(there)):
            name, _, read = there[(turn + at) % len(there)]
            milliseconds, error = timed(read, raw)
            took[name].append(milliseconds)
            raised[name].update([error] if error else [])
        if turn % 50 == 49:
            gc.collect()
    print(f"load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {len(mails)} mails; CPU milliseconds a mail")
    print(f"{'':30} {'median':>8} {'mean':>8} {'p99':>8}  raised")
    for name, times in took.items():
        p99 = sorted(times)[int(len(times) * 0.99)]
        said = ", ".join(f"{error} {count}" for error, count in raised[name].most_common()) or "-"
        print(f"{name:30} {statistics.median(times):8.3f} {statistics.fmean(times):8.3f} {p99:8.2f}  {said}")


if __name__ == "__main__":
    main()
