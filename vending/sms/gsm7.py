"""The alphabet a single SMS part is counted in: 3GPP TS 23.038, clause 6.2.1.

A part holds 160 septets. One letter outside the alphabet would turn the whole message into UCS-2
and a part into 70 letters, so text from outside is folded into the alphabet first.
"""

import re
import unicodedata
from functools import lru_cache

PART_SEPTETS = 160
"""What one part holds."""

REMEMBERED = 256
"""Texts whose folding is remembered: names and symbols come in every message."""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these is an escape and a letter: two septets.
_EXTENDED = frozenset("\f^{}\\[~]|€")

_ALPHABET = _BASIC | _EXTENDED

# Letters that are both ASCII and one septet: nearly every message is nothing else.
_plain = re.compile(r"[ -Z_a-z\n\r]*").fullmatch

_FOLDED = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
    "\u2026": "...", "\u00a0": " ", "\t": " ", "\r": " ", "\n": " ", "\f": " ",
}  # fmt: skip


def septets(text: str) -> int | None:
    """Return how many septets a text takes, or None when a letter is not in the alphabet."""
    if _plain(text) or _BASIC.issuperset(text):
        return len(text)
    if not _ALPHABET.issuperset(text):
        return None
    return len(text) + sum(map(_EXTENDED.__contains__, text))


@lru_cache(maxsize=REMEMBERED)
def fold(text: str) -> str:
    """Return a text in the alphabet: accents dropped where they must be, the unknown as "?".

    Line ends and tabs become spaces, so that a text from outside stays within its line.
    """
    return "".join(map(_fold_letter, text))


def _fold_letter(letter: str) -> str:
    if letter in _FOLDED:
        return _FOLDED[letter]
    if letter in _BASIC or letter in _EXTENDED:
        return letter
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part)
    )
    if plain and all(part in _BASIC and part not in "\n\r" for part in plain):
        return plain
    return "?"


@lru_cache(maxsize=REMEMBERED)
def cut(text: str, septets_max: int) -> str:
    """Return the longest head of a folded text that fits, without a space at its end."""
    taken = 0
    for position, letter in enumerate(text):
        taken += 2 if letter in _EXTENDED else 1
        if taken > septets_max:
            return text[:position].rstrip()
    return text
