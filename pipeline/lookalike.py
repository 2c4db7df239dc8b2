"""Addresses that look alike: the same skeleton means that a person may take one for the other (after UTS 39, section 4)."""

from __future__ import annotations

import unicodedata

from pipeline.letter import canonical

# Letters of other scripts, and digits, that pass for a Latin letter in most fonts; and pairs that pass for one.
_LATIN = {
    "а": "a", "ɑ": "a", "α": "a", "в": "b", "ь": "b", "с": "c", "ϲ": "c", "ԁ": "d", "е": "e", "є": "e", "ε": "e", "ғ": "f",
    "ɡ": "g", "һ": "h", "н": "h", "і": "i", "ı": "i", "ɩ": "i", "ι": "i", "ј": "j", "κ": "k", "к": "k", "ӏ": "l", "|": "l",
    "1": "l", "м": "m", "п": "n", "ո": "n", "η": "n", "о": "o", "ο": "o", "σ": "o", "օ": "o", "0": "o", "р": "p", "ρ": "p",
    "ԛ": "q", "г": "r", "ѕ": "s", "т": "t", "τ": "t", "υ": "u", "ս": "u", "ѵ": "v", "ν": "v", "ԝ": "w", "ω": "w", "ѡ": "w",
    "х": "x", "χ": "x", "у": "y", "γ": "y", "ү": "y", "ᴢ": "z", "ß": "b", "ø": "o", "đ": "d", "ł": "l", "þ": "p",
}  # fmt: skip
_TABLE = str.maketrans(_LATIN)
_PAIRS = (("rn", "m"), ("vv", "w"))


def skeleton(address: str) -> str:
    """Return what an address looks like; equal for look-alikes, and never used to find whose it is."""
    local, _, domain = canonical(address).rpartition("@")
    text = f"{local}@{'.'.join(_u_label(label) for label in domain.split('.'))}"
    bare = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    looks = bare.translate(_TABLE)
    for pair, letter in _PAIRS:
        looks = looks.replace(pair, letter)
    return looks


def _u_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return label
