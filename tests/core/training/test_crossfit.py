"""Two-fold cross-fit and intervals: nobody reads what it was trained on, and clusters carry the doubt."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.networks.judge import Architecture, Judge
from core.training.crossfit import bootstrap, cross_fit, halve, judge_rows, rate_styles
from tests.core.training.foundry import make_dataset

STROKES = tuple(0.05 + 0.005 * step for step in range(10))
DATASET = replace(make_dataset("AB", STROKES), clusters=np.arange(10) // 2)
ALL = np.ones(len(STROKES), dtype=np.bool_)


def untrained() -> Judge:
    torch.manual_seed(1)
    return Judge(Architecture.SELECT).requires_grad_(False).eval()


def test_halves_part_clusters_and_leave_nothing_out() -> None:
    first, second = halve(DATASET, ALL)

    assert not (first & second).any()
    assert (first | second).all()
    assert set(DATASET.clusters[first]).isdisjoint(DATASET.clusters[second])
    assert {len(set(DATASET.clusters[half])) for half in (first, second)} == {2, 3}


def test_halves_do_not_depend_on_the_numbers_of_clusters() -> None:
    renumbered = replace(DATASET, clusters=4 - DATASET.clusters)

    assert np.array_equal(halve(DATASET, ALL)[0], halve(renumbered, ALL)[0])


def test_cyrillic_designs_are_in_both_halves() -> None:
    cyrillic = make_dataset("АБВГҐДЕЄЖЗИІЇЙКЛМН", STROKES)
    keep = (cyrillic.styles < 2) | (cyrillic.labels < 26 + 2)  # all but the first two styles have two letters left
    few = replace(
        cyrillic,
        fields=cyrillic.fields[keep],
        labels=cyrillic.labels[keep],
        styles=cyrillic.styles[keep],
        clusters=np.arange(10),
    )
    first, second = halve(few, ALL)

    assert first[:2].sum() == second[:2].sum() == 1


def test_each_half_is_read_by_the_judge_of_the_other() -> None:
    trained: list[np.ndarray] = []

    def train(styles: np.ndarray) -> Judge:
        trained.append(styles)
        return untrained()

    rows, read = cross_fit(DATASET, ALL, train)

    assert sorted(rows.tolist()) == list(range(len(DATASET.labels)))
    assert len(read) == len(rows)
    assert not trained[0][DATASET.styles[rows[: (~trained[0][DATASET.styles]).sum()]]].any()
    assert np.array_equal(trained[1], ~trained[0])


def test_styles_outside_are_neither_trained_on_nor_read() -> None:
    some = DATASET.clusters < 4
    trained: list[np.ndarray] = []
    rows, _ = cross_fit(DATASET, some, lambda styles: trained.append(styles) or untrained())

    assert not any((styles & ~some).any() for styles in trained)
    assert some[DATASET.styles[rows]].all()


def test_rows_are_read_one_by_one() -> None:
    judge = untrained()
    judge.out.weight.zero_()
    judge.out.bias.zero_()
    judge.out.bias[0] = 9

    assert judge_rows(judge, DATASET, np.array([0, 1, 2])).tolist() == [True, False, True]


def test_the_interval_holds_the_share_and_grows_when_clusters_disagree() -> None:
    clusters = np.repeat(np.arange(20), 50)
    even = np.tile(np.arange(50) < 45, 20)  # every cluster is right nine times in ten
    apart = clusters < 18  # eighteen clusters are always right, two never

    one, other = bootstrap(even, clusters), bootstrap(apart, clusters)

    assert one.share == other.share == pytest.approx(0.9)
    assert one.low == one.high == pytest.approx(0.9)
    assert other.low < 0.82
    assert other.high > 0.96
    assert (one.letters, one.clusters) == (1000, 20)
    assert "90.00%" in str(one)


def test_a_style_is_rated_by_its_own_letters_alone() -> None:
    rated = rate_styles(DATASET, np.array([0, 1, 2, 3, 5]), np.array([True, False, True, True, False]))

    assert rated[:3].tolist() == [0.5, 1.0, 0.0]
    assert np.isnan(rated[3:]).all()
