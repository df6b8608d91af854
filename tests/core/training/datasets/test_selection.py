"""What is kept of many styles, and what is said of those left out, on styles drawn on the spot."""

from dataclasses import replace

import numpy as np
import pytest

from core.alphabet import LATIN, LETTERS, UKRAINIAN, position
from core.training.datasets import clusters, misfits, selection
from core.training.datasets.archive import Dataset, Report
from core.training.datasets.selection import select
from core.training.datasets.styles import MASK, SKETCH, Style, count_topology

SIGNS = LATIN + "АВЕКМНЖДЮ"
DRAWN = np.random.default_rng(1).random((len(LETTERS), 8, 8)) > 0.5  # a pattern for each letter: any alphabet will do


def cast(
    number: int, family: str = "", *, signs: str = SIGNS, swapped: str = "", noise: float = 0.0, dots: bool = False
) -> Style:
    """A style whose letters are patterns, moved by `number` and spoilt by noise; swapped letters are drawn as Z."""
    labels = np.array([position(sign) for sign in signs])
    drawn = np.array([position("Z") if sign in swapped else position(sign) for sign in signs])
    twins = np.array([position(misfits.HOMOGLYPHS[LETTERS[label]]) for label in drawn])
    ink = np.zeros((len(labels), MASK, MASK), dtype=bool)
    ink[:, 16:48, 16:48] = DRAWN[twins].repeat(4, axis=1).repeat(4, axis=2)
    spoilt = np.random.default_rng(number).random((len(LETTERS), MASK, MASK)) < 0.05 + noise
    ink ^= spoilt[twins] & (np.arange(MASK)[:, None] >= 16)
    side = MASK // SKETCH
    sketch = ink.reshape(-1, SKETCH, side, SKETCH, side).mean(axis=(2, 4)) * 254 - 127
    return Style(
        part=0,
        rows=np.arange(len(labels)),
        source=f"{family or number}/{number}.ttf",
        family=family or f"Design{chr(97 + number // 26)}{chr(97 + number % 26)}",
        name=f"Style {number}",
        licence="OFL-1.1",
        stroke=0.05,
        raised=False,
        masked={},
        labels=labels,
        masks=np.packbits(ink.reshape(len(labels), -1), axis=1),
        sketches=sketch.astype(np.int8).reshape(len(labels), -1),
        topologies=np.ones(len(labels), dtype=np.int64),
        slant=0.0 if dots else 1.0,
    )


@pytest.fixture(scope="module")
def crowd() -> list[Style]:
    """Enough designs to judge another one by."""
    return [cast(number) for number in range(44)]


def fate(crowd: list[Style], style: Style) -> tuple[Style | None, str]:
    """What becomes of one more style: itself as kept, or why it is not."""
    chosen = select([*crowd, style])
    kept = next((other for other in chosen.styles if other.name == style.name), None)
    return kept, dict(chosen.unfit).get(style.title, "")


def test_sound_styles_are_all_kept_whole(crowd: list[Style]) -> None:
    chosen = select(crowd)

    assert [style.name for style in chosen.styles] == [style.name for style in crowd]
    assert all(not style.masked for style in chosen.styles)
    assert (chosen.unfit, chosen.repeated, chosen.thinned) == ([], [], {})
    assert sorted(chosen.clusters.tolist()) == list(range(44))


def test_a_letter_drawn_as_another_is_masked_as_a_misfit(crowd: list[Style]) -> None:
    kept, _ = fate(crowd, cast(90, swapped="Q"))

    assert kept is not None
    assert kept.masked == {"misfit": "Q"}
    assert position("Q") not in kept.labels
    assert len(kept.labels) == len(kept.masks) == len(kept.rows) == len(SIGNS) - 1


def test_a_style_without_most_of_the_latin_alphabet_is_left_out(crowd: list[Style]) -> None:
    kept, reason = fate(crowd, cast(90, signs=UKRAINIAN + "ABC"))

    assert kept is None
    assert reason == "3 letters of A-Z can be used; 20 are needed"


def test_symbols_in_the_place_of_letters_are_left_out(crowd: list[Style]) -> None:
    kept, reason = fate(crowd, cast(90, swapped=SIGNS))

    assert kept is None
    assert reason.endswith("of its letters are more like other letters")


def test_outlined_letters_are_left_out_for_their_holes(crowd: list[Style]) -> None:
    style = cast(90)
    kept, reason = fate(crowd, replace(style, topologies=style.topologies - 1))

    assert kept is None
    assert reason == "100% of its letters have parts or holes that they should not have"


def test_letters_made_of_dots_are_left_out(crowd: list[Style]) -> None:
    assert "made of dots" in fate(crowd, cast(90, dots=True))[1]


def test_small_letters_in_the_place_of_capitals_are_left_out(crowd: list[Style]) -> None:
    style = cast(90)
    ink = style.draw_masks()
    ink[:, :26] = False  # below 0.8 of the cap height
    short = replace(style, masks=np.packbits(ink.reshape(len(ink), -1), axis=1))

    assert fate(crowd, short)[1] == "100% of its capitals are small letters"


def test_cyrillic_of_another_design_is_masked_and_the_latin_stays(crowd: list[Style]) -> None:
    latin, other = cast(90, signs=LATIN), cast(91, signs=UKRAINIAN, noise=0.2)
    names = ("rows", "labels", "masks", "sketches", "topologies")
    mixed = replace(latin, **{name: np.concatenate([getattr(latin, name), getattr(other, name)]) for name in names})
    kept, _ = fate(crowd, mixed)

    assert kept is not None
    assert kept.labels.tolist() == latin.labels.tolist()
    assert set(kept.masked["foreign"]) <= set(UKRAINIAN)


def test_letters_that_no_other_design_has_are_not_taken_for_misfits(crowd: list[Style]) -> None:
    kept, _ = fate(crowd, cast(90, signs=LETTERS))

    assert kept is not None
    assert not kept.masked


def test_a_family_of_many_cuts_keeps_its_twelve_most_different_and_counts_the_rest() -> None:
    cuts = [cast(number, "Grand Condensed" if number % 2 else "Grand Bold") for number in range(20)]
    chosen = select(cuts)

    assert len(chosen.styles) == selection.MAX_KIN
    assert chosen.thinned == {"grand": 8}
    assert set(chosen.clusters.tolist()) == {0}


def test_the_most_different_styles_are_spread_over_all_there_are() -> None:
    places = np.array([0.0, 0.01, 0.02, 0.5, 0.51, 1.0])
    near = (1 - np.abs(places[:, None] - places[None])).astype(np.float32)

    assert clusters.spread(near, 3) == [2, 4, 5]
    assert clusters.spread(near, 9) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("family", "source", "kin"),
    [
        ("IBM Plex Sans Condensed Light", "plex/a.otf", "ibm plex sans"),
        ("drmbx10", "public/drm/drmbx10.otf", "drm"),
        ("LatinModernRoman12", "lm/a.otf", "latin modern"),
        ("FiraCode", "firacode/a.ttf", "fira code"),
        ("Black", "x/a.ttf", "black"),
    ],
)
def test_cuts_are_kin_whatever_their_weight_width_and_size(family: str, source: str, kin: str) -> None:
    assert replace(cast(0), family=family, source=source).kin == kin


def test_topology_is_parts_less_holes_and_corners_join() -> None:
    ink = np.zeros((3, 9, 9), dtype=bool)
    ink[0, 2:7, 2:7] = True
    ink[0, 4, 4] = False  # a ring
    ink[1, 1, 1] = ink[1, 2, 2] = True  # one part by the corner
    ink[2, 1, 1] = ink[2, 5, 5] = ink[2, 8, 0] = True

    assert count_topology(ink).tolist() == [0, 1, 3]


def test_display_faces_get_a_fifth_of_the_draws_and_big_clusters_less_than_their_size() -> None:
    dataset = Dataset(
        fields=np.zeros((0, 1, 1), dtype=np.int8),
        labels=np.zeros(0, dtype=np.int64),
        styles=np.zeros(0, dtype=np.int64),
        clusters=np.array([0] * 9 + [1] + [2] * 4),
        strokes=np.zeros(14, dtype=np.float32),
        advances=np.zeros(0, dtype=np.float32),
        bearings=np.zeros((0, 2), dtype=np.float32),
        style_names=tuple(f"{style}" for style in range(14)),
        licences=("OFL-1.1",) * 14,
        report=Report(),
    )
    weights = dataset.weigh()
    shown = replace(dataset, display=np.arange(14) == 9).weigh()

    assert [weights[dataset.clusters == cluster].sum() for cluster in range(3)] == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert shown[9] == pytest.approx(0.2)
    assert shown.sum() == pytest.approx(1)
    assert shown[:9].sum() / shown[10:].sum() == pytest.approx(3 / 2)
