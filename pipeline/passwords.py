"""Passwords of agents: hashed by scrypt (RFC 7914), the parameters kept beside the hash, so that they may grow."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import unicodedata

from .errors import UsageError

SHORTEST, LONGEST = 10, 1_024  # characters
N, R, P = 1 << 15, 8, 1  # 32 MiB and about a tenth of a second
SALT_BYTES, HASH_BYTES = 16, 32
MOST_MEMORY = 256 << 20  # of a hash that is checked


def hashed(password: str) -> str:
    """Return `scrypt$n$r$p$salt$hash`, salt and hash as base64.

    Raises:
        UsageError: the password is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"A password has {SHORTEST} to {LONGEST} characters.", "Four words between blanks make a good one.")
    salt = os.urandom(SALT_BYTES)
    made = _scrypt(password, salt, N, R, P)
    return "$".join(("scrypt", str(N), str(R), str(P), base64.b64encode(salt).decode(), base64.b64encode(made).decode()))


def is_password(password: str, stored: str | None) -> bool:
    """Is it the password that was hashed? As slow where there is none, so that nobody learns who has one."""
    if len(password) > LONGEST:
        return False
    try:
        kind, n, r, p, salt, wanted = (stored or "").split("$")
        given = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
        return kind == "scrypt" and hmac.compare_digest(given, base64.b64decode(wanted))
    except ValueError:
        _scrypt(password, b"nobody", N, R, P)
        return False


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    """NFC, so that the same password typed on another system is the same bytes (RFC 8265, 4.2)."""
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=MOST_MEMORY, dklen=HASH_BYTES)
