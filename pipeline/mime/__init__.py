"""The mail reader: bytes in, a Mail out. Own, linear, forgiving code; no mail makes it raise."""

from pipeline.mime.identity import IDENTITY_VERSION
from pipeline.mime.reader import html_of, part_bytes, read_mail

__all__ = ["IDENTITY_VERSION", "html_of", "part_bytes", "read_mail"]
