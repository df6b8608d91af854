"""Crowds of features: the same crowd, a shifted one, a shrunk one."""

import numpy as np
import pytest

from core.training.metrics.distribution import cover, measure_distance, train_on

LABELS = np.repeat([0, 1], 200)


def crowd(seed: int, *, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    middle = np.where(LABELS[:, None] == 1, 6.0, 0.0)
    return middle + shift + spread * np.random.default_rng(seed).normal(size=(len(LABELS), 8))


def test_the_kernel_distance_has_no_bias_of_its_own() -> None:
    rng = np.random.default_rng(0)
    found = [measure_distance(*rng.normal(size=(2, 300, 8))) for _ in range(40)]

    assert abs(np.mean(found)) < 3 * np.std(found) / 40**0.5
    assert min(found) < 0 < max(found)


def test_another_draw_of_the_same_crowd_covers_it_and_is_as_dense() -> None:
    coverage, density = cover(crowd(1), LABELS, crowd(2), LABELS)

    assert coverage > 0.9
    assert density == pytest.approx(1, abs=0.15)


def test_letters_that_are_all_alike_cover_little_and_are_dense() -> None:
    coverage, density = cover(crowd(1), LABELS, crowd(2, spread=0.1), LABELS)

    assert coverage < 0.6
    assert density > 1.5


def test_letters_of_the_wrong_sign_cover_nothing() -> None:
    assert cover(crowd(1), LABELS, crowd(2), 1 - LABELS) == (0.0, 0.0)
    assert np.isnan(cover(crowd(1), LABELS, crowd(2), LABELS + 5)).all()


def test_the_kernel_distance_of_one_crowd_is_nothing_and_grows_with_a_shift() -> None:
    near, some, far = (measure_distance(crowd(1), crowd(2, shift=shift)) for shift in (0.0, 1.0, 2.0))

    assert abs(near) < some / 5
    assert 2 * some < far


def test_the_kernel_distance_is_the_same_at_any_scale_of_features() -> None:
    plain = measure_distance(crowd(1), crowd(2, shift=1))

    assert measure_distance(100 * crowd(1), 100 * crowd(2, shift=1)) == pytest.approx(plain)


def test_training_on_right_letters_reads_real_ones_and_on_wrong_ones_does_not() -> None:
    assert train_on(crowd(2), LABELS, crowd(1), LABELS) == 1
    assert train_on(crowd(2), 1 - LABELS, crowd(1), LABELS) == 0
