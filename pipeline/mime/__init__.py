"""The mail reader: bytes in, a Mail out. Own, linear, forgiving code; no mail makes it raise."""

from typing import TYPE_CHECKING, Any

from pipeline.mime.identity import IDENTITY_VERSION

if TYPE_CHECKING:
    from pipeline.mime.reader import html_of, part_bytes, read_mail

__all__ = ["IDENTITY_VERSION", "html_of", "part_bytes", "read_mail"]


def __getattr__(name: str) -> Any:
    """Fetch the reader when it is first asked for: its tables take a quarter of a second, and most commands read no mail."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.mime import reader

    return getattr(reader, name)
