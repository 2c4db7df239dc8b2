"""Text in no charset that was told: the alphabet it is surely written in, or nothing. Western text is never guessed."""

from __future__ import annotations

import re
from functools import cache

LETTERS = 40  # bytes above ASCII that there must be,
KINDS = 12  # and how many different ones: lines are drawn with one or two
SHARE = 0.4  # of all letters; in Western languages it is below a fifth
SAMPLE = 8192  # bytes that are looked at
DAMAGE = 0.02  # of the characters may be broken

_CYRILLIC, _HIRAGANA = "[оеаинтсрвл]", "[ぁ-ん]"
# The letters that are most frequent in what a codec was made for, and their least share in all that is not ASCII.
# For Chinese the lead bytes of the standard's first plane: nine of ten characters that are written stand there.
_SIGNS: dict[str, tuple[str | range, float]] = {
    "koi8-u": (_CYRILLIC, 0.5),
    "cp1251": (_CYRILLIC, 0.5),
    "iso8859-5": (_CYRILLIC, 0.5),
    "cp866": (_CYRILLIC, 0.5),
    "cp1253": ("[αοιετσνηυρπκ]", 0.55),
    "cp1255": ("[יוהלאמרתבש]", 0.5),
    "cp1256": ("[اليمنوترب]", 0.5),
    "cp874": ("[านรอกเงมยลสวด่้ี]", 0.5),
    "cp932": (_HIRAGANA, 0.3),
    "euc_jp": (_HIRAGANA, 0.3),
    "cp949": ("[가-힣]", 0.85),
    "gb18030": (range(0xB0, 0xD8), 0.9),
    "big5hkscs": (range(0xA4, 0xC7), 0.9),
}
_ASCII = bytes(range(128))
_TAGS = re.compile(rb"<[^<>]{1,500}>")
_FOREIGN = re.compile("[^\\x00-\\x7f\xa0«»‘’“”–—\u3000-\u303f\uff00-\uff0f\uff1a-\uff20]")  # no blanks and punctuation


def guess(data: bytes) -> str | None:
    """Return the codec of text that is surely Cyrillic, Greek, Hebrew, Arabic, Thai, Japanese, Korean or Chinese, or None."""
    sample = _TAGS.sub(b" ", data[:SAMPLE])
    high = sample.translate(None, _ASCII)
    others = sum(map(str.isalpha, sample.decode("ascii", "ignore")))
    if len(high) < LETTERS or len(set(high)) < KINDS or len(high) < SHARE * (len(high) + others):
        return None
    best = max(_SIGNS, key=lambda codec: _certainty(sample, codec))
    return best if _certainty(sample, best) >= 1 else None


def _certainty(sample: bytes, codec: str) -> float:
    """Return how often a codec's own letters occur, as a multiple of what is asked; 0 if the bytes do not fit it."""
    letters = _FOREIGN.findall(sample.decode(codec, "replace"))
    if not letters or letters.count("\ufffd") > DAMAGE * len(letters):
        return 0
    return len(_frequent(codec).findall("".join(letters))) / len(letters) / _SIGNS[codec][1]


@cache
def _frequent(codec: str) -> re.Pattern[str]:
    letters = _SIGNS[codec][0]
    if isinstance(letters, str):
        return re.compile(letters)
    plane = (bytes((lead, trail)).decode(codec, "ignore") for lead in letters for trail in range(0x40, 0xFF))
    return re.compile(f"[{''.join(char for char in plane if '一' <= char <= '鿿')}]")
