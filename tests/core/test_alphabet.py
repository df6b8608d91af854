"""The alphabet: which signs there are, what text may name them, and which look alike."""

import unicodedata

import pytest

from core.alphabet import DIGITS, HOMOGLYPHS, LATIN, LETTERS, UKRAINIAN, parse, position, script
from core.errors import Invalid


def test_there_are_sixty_nine_signs_and_no_two_are_one() -> None:
    assert (len(LATIN), len(UKRAINIAN), len(DIGITS)) == (26, 33, 10)
    assert len(set(LETTERS)) == len(LETTERS) == 69
    assert all(unicodedata.is_normalized("NFC", letter) for letter in LETTERS)


def test_ukrainian_has_its_own_letters_and_no_russian_ones() -> None:
    assert set("ҐЄІЇ") <= set(UKRAINIAN)
    assert not set("ЁЪЫЭ") & set(UKRAINIAN)


def test_a_position_leads_back_to_its_sign() -> None:
    assert [LETTERS[position(letter)] for letter in LETTERS] == list(LETTERS)


def test_small_letters_become_capitals_and_loose_accents_are_joined() -> None:
    assert parse("aїґ9") == "AЇҐ9"
    assert parse("й") == "Й"
    assert parse("ї") == "Ї"


@pytest.mark.parametrize("sign", ["ß", "ſ", "ﬁ", "ı", "Ы", "Ä", " ", "-", "\u200b", "²", "Α"])
def test_a_sign_that_cannot_be_drawn_is_named_with_what_can(sign: str) -> None:
    with pytest.raises(Invalid, match=f"U\\+{ord(sign):04X}.*allowed: A-Z, the 33 Ukrainian letters"):
        parse(f"A{sign}")


def test_no_letters_at_all_are_refused() -> None:
    with pytest.raises(Invalid, match="no letters"):
        parse("")


def test_a_position_of_anything_else_is_refused() -> None:
    for text in ("ab", "", "a", "Ы"):
        with pytest.raises(Invalid):
            position(text)


def test_look_alikes_differ_in_script_and_share_their_representative() -> None:
    assert (script("A"), script("А"), script("0")) == ("latin", "cyrillic", "digit")
    assert HOMOGLYPHS["А"] == HOMOGLYPHS["A"] == "A"
    assert HOMOGLYPHS["О"] == HOMOGLYPHS["0"] == "O"
    assert HOMOGLYPHS["Ж"] == "Ж"


def test_every_sign_has_a_representative_that_represents_itself() -> None:
    assert set(HOMOGLYPHS) == set(LETTERS)
    assert all(HOMOGLYPHS[HOMOGLYPHS[letter]] == HOMOGLYPHS[letter] for letter in LETTERS)
