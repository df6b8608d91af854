"""The best that differ: a ranking walked down past what looks like something chosen before."""

import numpy as np

from core.monogram.choice import ALIKE, TRIED, Pixels, choose


def bar(left: int, width: int = 32) -> Pixels:
    pixels = np.full((128, 128), 255, dtype=np.uint8)
    pixels[:, left : left + width] = 0
    return pixels


def test_what_looks_like_a_better_one_is_passed_over() -> None:
    ranked = [bar(0), bar(1), bar(64), bar(63), bar(32)]
    found = choose(len(ranked), lambda place: ranked[place], 3)

    assert found.places == (0, 2, 4)
    assert found.alike == 2


def test_no_more_than_wanted_are_chosen_and_no_more_looked_at() -> None:
    looked: list[int] = []

    def look(place: int) -> Pixels:
        looked.append(place)
        return bar(32 * place)

    assert choose(4, look, 2).places == (0, 1)
    assert looked == [0, 1]


def test_fewer_come_back_where_all_look_alike() -> None:
    looked: list[int] = []

    def look(place: int) -> Pixels:
        looked.append(place)
        return bar(0)

    found = choose(1000, look, 2)

    assert found.places == (0,)
    assert len(looked) == TRIED * 2


def test_likeness_is_ink_shared_of_the_ink_of_both() -> None:
    shared = round(32 * 2 * ALIKE / (1 + ALIKE))  # of two bars of 32
    apart = 32 - shared
    near = choose(2, lambda place: (bar(0), bar(apart - 4))[place], 2)
    far = choose(2, lambda place: (bar(0), bar(apart + 4))[place], 2)

    assert (near.places, far.places) == ((0,), (0, 1))


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose(0, lambda _: bar(0), 3).places == ()
