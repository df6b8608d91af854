"""Cursors: what was encoded comes back, and nothing else does."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import MAX_NUMBER, Keyset
from core.errors import Invalid

NUMBERS = Keyset("variants", tuple[int, int])
NAMES = Keyset("models", str)
IDS = Keyset("keys", uuid.UUID)


@given(st.tuples(st.integers(0, MAX_NUMBER), st.integers(0, MAX_NUMBER)))
def test_numbers_come_back(place: tuple[int, int]) -> None:
    assert NUMBERS.decode(NUMBERS.encode(place)) == place


@given(st.text("aж_.- 'Ї", max_size=60))
def test_names_come_back_and_are_no_cursor_of_another_list(name: str) -> None:
    cursor = NAMES.encode(name)

    assert NAMES.decode(cursor) == name
    with pytest.raises(Invalid):
        Keyset("owners", str).decode(cursor)


@given(st.uuids())
def test_ids_come_back(place: uuid.UUID) -> None:
    assert IDS.decode(IDS.encode(place)) == place


@given(st.text(max_size=80))
def test_anything_else_is_no_cursor(text: str) -> None:
    for keyset in (NUMBERS, NAMES, IDS):
        with pytest.raises(Invalid, match="no cursor"):
            keyset.decode(text)


@pytest.mark.parametrize("place", [(-1, 0), (0, MAX_NUMBER + 1), (True, 0), (1.0, 0), ("1", 0), (1,), (1, 2, 3), None])
def test_a_place_that_no_list_has_is_no_cursor(place: object) -> None:
    cursor = Keyset("variants", object).encode(place)

    with pytest.raises(Invalid):
        NUMBERS.decode(cursor)
