"""Recipes: what a spec refuses, and that chance is keyed by (seed, index) alone."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.chance import normal, words
from core.errors import Invalid
from core.recipe import BLOCK, COMMON, MOST_LETTERS, MOST_SEED, STYLE, GenerateSpec, draw, parse_spec, recipe
from core.registry import Layout

SPEC = GenerateSpec(letters=("AB", "ЇЖ", "Q"))
COLUMNS = ("style", "second", "mixed", "rotation", "stretch", "shear")
MIXED = SPEC.model_copy(update={"mix": 0.4})


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10, written from the paper, as the independent reference."""
    mask = 2**64 - 1
    words = [counter >> 64 * place & mask for place in range(4)]
    first, second = key
    for _ in range(10):
        left, right = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [right >> 64 ^ words[1] ^ first, right & mask, left >> 64 ^ words[3] ^ second, left & mask]
        first, second = (first + 0x9E3779B97F4A7C15) & mask, (second + 0xBB67AE8584CAA73B) & mask
    return words


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, MOST_SEED),
    start=st.integers(0, 2**40),
    first=st.integers(0, 90),
    second=st.integers(0, 90),
)
def test_a_range_gives_the_same_recipes_wherever_it_is_cut(seed: int, start: int, first: int, second: int) -> None:
    middle, stop = start + first, start + first + second
    whole = draw(MIXED, seed, start, stop)
    parts = [draw(MIXED, seed, start, middle), draw(MIXED, seed, middle, stop)]

    for name in COLUMNS:
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert np.array_equal(getattr(whole, name), joined)


def test_one_item_alone_is_the_item_of_its_range() -> None:
    whole = draw(SPEC, 125, 0, 100)

    assert [recipe(SPEC, 125, index) for index in range(100)] == [whole.recipe(index) for index in range(100)]


def test_the_words_are_those_of_the_paper() -> None:
    raw = words(125, 1, 8, 7, 9)

    # NumPy steps the counter before it draws.
    assert raw.tolist() == [philox(7 * 2 + 1, (125, 1)) + philox(7 * 2 + 2, (125, 1)),
                            philox(8 * 2 + 1, (125, 1)) + philox(8 * 2 + 2, (125, 1))]  # fmt: skip


def test_normals_invert_the_distribution_out_to_its_tails() -> None:
    ramp = [int(2**power) for power in np.linspace(0, 63.9, 2000)]
    raw = np.array([0, 2**63, *ramp, *(2**64 - 1 - word for word in ramp)], dtype=np.uint64)
    normals = normal(raw)
    truth = [NormalDist().inv_cdf(((int(word) >> 12) + 0.5) * 2.0**-52) for word in raw]

    assert np.isfinite(normals).all()
    assert np.abs(normals - truth).max() < 2e-6


def test_styles_are_standard_normal_and_differ_by_item_and_seed() -> None:
    styles = draw(SPEC, 1, 0, 4 * BLOCK).style

    assert styles.shape == (4 * BLOCK, STYLE)
    assert abs(float(styles.mean())) < 0.03
    assert abs(float(styles.std()) - 1) < 0.03
    assert len({row.tobytes() for row in styles}) == 4 * BLOCK
    assert not np.array_equal(styles, draw(SPEC, 2, 0, 4 * BLOCK).style)


def test_transforms_keep_to_their_bounds_and_letters_of_a_variant_move_together() -> None:
    spec = GenerateSpec(letters=("ABCD",), rotation=(-3, 1), stretch=(-0.12, 0.12), shear=(0.1, 0.1))
    drawn = draw(spec, 9, 0, 2000)

    assert drawn.rotation.min() >= -3
    assert drawn.rotation.max() <= 1
    assert drawn.rotation.max() - drawn.rotation.min() > 3
    assert np.abs(drawn.stretch).max() <= 0.12
    assert np.allclose(drawn.shear, 0.1)
    assert (drawn.stretch.max(1) - drawn.stretch.min(1)).max() <= 0.24 * (1 - COMMON) + 1e-9
    assert (drawn.stretch.max(1) - drawn.stretch.min(1)).min() > 0


def test_style_mixing_takes_as_many_letters_as_its_chance_says_and_changes_nothing_else_that_is_drawn() -> None:
    plain, mixed = draw(SPEC, 3, 0, 2000), draw(MIXED, 3, 0, 2000)

    assert not plain.mixed.any()
    assert not plain.second.any()
    assert abs(mixed.mixed.mean() - 0.4) < 0.02
    assert abs(float(mixed.second.std()) - 1) < 0.02
    assert abs(np.corrcoef(mixed.second.ravel(), mixed.style.ravel())[0, 1]) < 0.01
    assert all(np.array_equal(getattr(plain, name), getattr(mixed, name)) for name in (COLUMNS[0], *COLUMNS[3:]))


def test_attributes_stand_in_one_order_however_they_were_written() -> None:
    one = parse_spec({"letters": ["A"], "attributes": {"slant": 1, "weight": -2.5}})
    other = parse_spec({"letters": ["A"], "attributes": {"weight": -2.5, "slant": 1.0}})

    assert list(one.attributes.items()) == list(other.attributes.items()) == [("weight", -2.5), ("slant", 1.0)]
    assert one.model_dump_json() == other.model_dump_json()


def test_a_spec_of_engine_1_still_means_what_it_meant() -> None:
    spec = parse_spec({"letters": ["AB"], "layout": "straight", "size": 256, "model": "letters:3", "shear": [0, 0.1]})

    assert (spec.judge, spec.psi, spec.style, spec.spread, spec.attributes, spec.mix) == (None, None, None, 0, {}, 0)


def test_items_take_the_groups_in_turn() -> None:
    drawn = draw(SPEC, 125, 4, 8)

    assert [drawn.letters(index) for index in range(4, 8)] == ["ЇЖ", "Q", "AB", "ЇЖ"]
    assert drawn.positions().shape == (4, MOST_LETTERS)
    assert drawn.positions()[1].tolist() == [16] + [-1] * (MOST_LETTERS - 1)
    assert drawn.recipe(5).layout is Layout.SINGLE
    assert drawn.recipe(6).layout is Layout.STRAIGHT
    assert len(drawn.recipe(6).rotation) == 2


def test_recipes_cannot_be_written_to() -> None:
    drawn = draw(SPEC, 125, 0, 3)

    for name in COLUMNS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(drawn, name)[0, 0] = 1


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1])
def test_an_impossible_seed_is_refused(seed: int) -> None:
    with pytest.raises(Invalid, match=str(MOST_SEED)):
        draw(SPEC, seed, 0, 1)


def test_a_spec_survives_json() -> None:
    spec = GenerateSpec(letters=("AB",), layout=Layout.STRAIGHT, size=64, shear=(0, 0.1))

    assert parse_spec(spec.model_dump(mode="json")) == spec
    assert GenerateSpec.model_validate_json(spec.model_dump_json()) == spec


def test_letters_are_brought_to_capitals() -> None:
    assert parse_spec({"letters": ["ab", "її"]}).letters == ("AB", "ЇЇ")


@pytest.mark.parametrize(
    ("data", "pointer", "message"),
    [
        ({}, "/letters", "required"),
        ({"letters": []}, "/letters", "at least 1"),
        ({"letters": "AB"}, "/letters", "must be a list"),
        ({"letters": ["AB", "AЫ"]}, "/letters/1", "U\\+042B"),
        ({"letters": ["A" * 1_000_000]}, "/letters/0", "at most 12 letters"),
        ({"letters": ["A"] * 10_001}, "/letters", "10000"),
        ({"letters": ["ABCDE"]}, "/letters", "takes 1 to 4 letters, 'ABCDE' has 5"),
        ({"letters": ["AB"], "layout": "single"}, "/letters", "takes 1 letter, 'AB' has 2"),
        ({"letters": ["AB"], "layout": "circles"}, "/layout", "the layouts are: single, straight"),
        ({"letters": ["AB"], "size": 15}, "/size", "16"),
        ({"letters": ["AB"], "size": 1025}, "/size", "1024"),
        ({"letters": ["AB"], "size": 64.5}, "/size", "integer"),
        ({"letters": ["AB"], "size": True}, "/size", "integer"),
        ({"letters": ["AB"], "model": "two words"}, "/model", "letters@production"),
        ({"letters": ["AB"], "stretch": [-0.13, 0.1]}, "/stretch", "0.12"),
        ({"letters": ["AB"], "shear": [0.2, 0.1]}, "/shear", "above"),
        ({"letters": ["AB"], "rotation": [0, float("nan")]}, "/rotation/1", "finite"),
        ({"letters": ["AB"], "count": 5}, "/count", "not permitted"),
        ({"letters": ["AB"], "psi": 1.6}, "/psi", "1.5"),
        ({"letters": ["AB"], "psi": -0.1}, "/psi", "0"),
        ({"letters": ["AB"], "psi": float("nan")}, "/psi", "finite|0|1.5"),
        ({"letters": ["AB"], "mix": 2}, "/mix", "1"),
        ({"letters": ["AB"], "style": []}, "/style", "at least 1"),
        ({"letters": ["AB"], "style": [0.0] * 513}, "/style", "512"),
        ({"letters": ["AB"], "style": [0.0, float("inf")]}, "/style/1", "finite"),
        ({"letters": ["AB"], "style": [1.0], "spread": 1.1}, "/spread", "1"),
        ({"letters": ["AB"], "spread": 0.5}, "/spread", "give one in style"),
        ({"letters": ["AB"], "attributes": {"colour": 1}}, "/attributes", "weight, width, slant, contrast, serif"),
        ({"letters": ["AB"], "attributes": {"weight": 3.1}}, "/attributes/weight", "3"),
        ({"letters": ["AB"], "attributes": ["weight"]}, "/attributes", "must map"),
        ({"letters": ["AB"], "judge": "two words"}, "/judge", "letters@production"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_by_field(data: dict[str, object], pointer: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        parse_spec(data)

    assert caught.value.pointer == pointer
    assert len(str(caught.value)) < 300


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.size = 64  # type: ignore[misc]


def test_the_best_are_shared_out_among_the_groups() -> None:
    assert GenerateSpec(letters=("AB", "C", "AB"), best=5).quota() == {"AB": 3, "C": 2}
    assert GenerateSpec(letters=("AB",)).quota() == {}
    with pytest.raises(Invalid, match="each of the 2 groups"):
        parse_spec({"letters": ["AB", "C"], "best": 1})
