"""The signs Vyaz can draw, their order, scripts and look-alikes.

The order is part of every dataset and model: append only.
"""

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from core.errors import Invalid

Script = Literal["latin", "cyrillic", "digit"]

LATIN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
UKRAINIAN: Final = "АБВГҐДЕЄЖЗИІЇЙКЛМНОПРСТУФХЦЧШЩЬЮЯ"
DIGITS: Final = "0123456789"
LETTERS: Final = LATIN + UKRAINIAN + DIGITS

_POSITIONS: Final = {letter: position for position, letter in enumerate(LETTERS)}
# Not str.upper(): it turns signs we do not have into signs we have ("ß" into "SS", "ſ" into "S").
_CAPITALS: Final = {letter: letter for letter in LETTERS} | {letter.lower(): letter for letter in LETTERS}

_LOOK_ALIKE: Final = ("AА", "BВ", "CС", "EЕ", "HН", "IІ", "KК", "MМ", "OО0", "PР", "TТ", "XХ", "З3")

# Every sign -> the one that stands for it where signs that cannot be told apart are merged: for judging only.
HOMOGLYPHS: Final[Mapping[str, str]] = MappingProxyType(
    {letter: letter for letter in LETTERS} | {letter: group[0] for group in _LOOK_ALIKE for letter in group}
)

# Where a letter stands on its square canvas of side 1, y downwards: the cap line is at BASELINE - CAP_HEIGHT.
# Й rises to 1.36 cap heights and Щ falls to 0.3, so both keep a margin of 4 %.
CAP_HEIGHT: Final = 0.52
BASELINE: Final = 0.76
CLAMP: Final = 1 / 16  # of the canvas: how deep the fields of letters go, inside and outside

ALLOWED: Final = "A-Z, the 33 Ukrainian letters (with Ґ Є І Ї) and 0-9"


def position(letter: str) -> int:
    """Return the place of one sign in `LETTERS`; raise `Invalid` if it is not there."""
    try:
        return _POSITIONS[letter]
    except KeyError:
        raise Invalid(f"{_name(letter)} is not a sign of the alphabet; allowed: {ALLOWED}") from None


def script(letter: str) -> Script:
    """Say which script one sign belongs to; look-alikes differ here (Latin A, Cyrillic А)."""
    place = position(letter)
    if place < len(LATIN):
        return "latin"
    return "cyrillic" if place < len(LATIN) + len(UKRAINIAN) else "digit"


def parse(text: str) -> str:
    """Return the text composed (NFC), in capitals; raise `Invalid` naming a sign that cannot be drawn."""
    composed = unicodedata.normalize("NFC", text)
    if not composed:
        raise Invalid(f"no letters given; allowed: {ALLOWED}")
    for sign in composed:
        if sign not in _CAPITALS:
            raise Invalid(f"{_name(sign)} in {composed!r} cannot be drawn; allowed: {ALLOWED}")
    return "".join(_CAPITALS[sign] for sign in composed)


def _name(sign: str) -> str:
    """Spell a sign so that look-alikes and invisible ones can be told apart in a message."""
    if len(sign) != 1:
        return repr(sign)
    return f"{sign!r} (U+{ord(sign):04X} {unicodedata.name(sign, 'unnamed')})"
