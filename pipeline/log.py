"""Log lines that one can grep: a phrase, then key=value; nothing from a mail can forge a line or move a cursor."""

from __future__ import annotations

import datetime
import json
import logging
import logging.handlers
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

from .errors import CannotCreate
from .settings import Settings

logger = logging.getLogger("pipeline")

PLAIN = re.compile(r"[\w.@:/+,<>\[\](){}#%~=-]+", re.ASCII)
LONGEST = 300
# Control and format characters (bidi among them), line and paragraph separators, lone surrogates, unassigned.
UNSAFE = frozenset(("Cc", "Cf", "Zl", "Zp", "Cs", "Cn", "Co"))


def safe(text: str, longest: int | None = LONGEST) -> str:
    """Return text that a terminal or a log can take: unsafe characters escaped, no longer than `longest`."""
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if unicodedata.category(char) in UNSAFE else char for char in text)


def _escape(char: str) -> str:
    return (
        char.encode("unicode_escape").decode("ascii") if char not in "\n\r\t" else {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    )


def _value(value: Any) -> str:
    text = safe(str(value))
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`2026-11-25T08:00:00+00:00 INFO phrase key=value ...`"""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        pairs = "".join(f" {key}={_value(value)}" for key, value in fields.items() if value is not None)
        return f"{_time(record)} {record.levelname} {safe(record.getMessage(), None)}{pairs}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the same fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        head = {"time": _time(record), "level": record.levelname, "message": safe(record.getMessage(), None)}
        body = {key: safe(value) if isinstance(value, str) else value for key, value in fields.items()}
        return json.dumps(head | body, ensure_ascii=False, default=str)


FORMATTERS = {"text": TextFormatter, "json": JsonFormatter}


def _time(record: logging.LogRecord) -> str:
    return datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="seconds")


def say(phrase: str, level: int = logging.INFO, **fields: Any) -> None:
    """Write a log line: the phrase, then the fields as key=value."""
    logger.log(level, phrase, extra={"fields": fields})


def set_up(settings: Settings, to_file: bool = True, stderr_level: int | None = None) -> None:
    """Send log lines to LOG_FILE (made anew after a rotation) and, if asked, to stderr.

    Raises:
        CannotCreate: LOG_FILE cannot be opened.
    """
    handlers: list[logging.Handler] = []
    if to_file:
        handlers.append(_file_handler(settings.log_file))
        handlers[-1].setLevel(logging.INFO)
    if stderr_level is not None:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].setLevel(stderr_level)
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(FORMATTERS[settings.log_format]())
        logger.addHandler(handler)
    logger.setLevel(min((handler.level for handler in handlers), default=logging.CRITICAL + 1))
    logger.propagate = False


class _LogFile(logging.handlers.WatchedFileHandler):
    """A log file that cannot be written (a full disk) stops no mail: one sentence on stderr, not a traceback for every line."""

    _told = _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        self._failed = False
        try:
            super().emit(record)
        except OSError:  # it was to be made anew after a rotation
            self.handleError(record)
        self._told = self._told and self._failed

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self._failed = True
        if not self._told and sys.stderr:
            self._told = True
            sys.stderr.write(f"helpdesk: LOG_FILE {self.baseFilename} cannot be written: {error.strerror}.\n")


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not RotatingFileHandler: it loses lines where several processes write (1,301 of 10,000).
        return _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise CannotCreate(f"LOG_FILE {path} cannot be opened: {error.strerror}.", "Set LOG_FILE, or mend the rights.") from error
