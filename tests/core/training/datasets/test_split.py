"""Roles go to clusters, by what is in them, and no twin is on both sides."""

import numpy as np
import pytest

from core.alphabet import LATIN, LETTERS, UKRAINIAN
from core.errors import JobError
from core.training.datasets.archive import Dataset, Report
from core.training.datasets.split import SHARES, Role, check, has_cyrillic, split


def make(clusters: list[int], cyrillic: list[bool], display: list[bool] | None = None, order: int = 0) -> Dataset:
    """A dataset of empty glyphs; style names tell the clusters apart."""
    places = np.roll(np.arange(len(clusters)), order)
    letters = [[LETTERS.index(sign) for sign in LATIN + UKRAINIAN * cyrillic[place]] for place in places]
    labels = np.concatenate([np.array(own) for own in letters])
    return Dataset(
        fields=np.zeros((len(labels), 1, 1), dtype=np.int8),
        labels=labels,
        styles=np.repeat(np.arange(len(places)), [len(own) for own in letters]),
        clusters=np.array(clusters)[places],
        strokes=np.full(len(places), 0.05, dtype=np.float32),
        advances=np.zeros(len(labels), dtype=np.float32),
        bearings=np.zeros((len(labels), 2), dtype=np.float32),
        style_names=tuple(f"Design {clusters[place]} cut {place}" for place in places),
        licences=("OFL-1.1",) * len(places),
        report=Report(),
        display=np.array(display or [False] * len(places))[places],
    )


def test_all_styles_of_a_cluster_have_one_role() -> None:
    dataset = make([style // 3 for style in range(90)], [False] * 90)
    roles = split(dataset)

    assert all(len(set(roles[dataset.clusters == cluster])) == 1 for cluster in range(30))


def test_clusters_are_shared_out_as_said_and_so_are_cyrillic_and_display_ones() -> None:
    cyrillic = [style % 4 == 0 for style in range(400)]
    display = [style % 10 == 0 for style in range(400)]
    roles = split(make(list(range(400)), cyrillic, display))

    for chosen in (np.ones(400, dtype=bool), np.array(cyrillic), np.array(display)):
        for role, share in SHARES.items():
            assert (roles[chosen] == role).mean() == pytest.approx(share, abs=0.04)


def test_a_role_depends_on_names_and_seed_but_not_on_the_order_of_files() -> None:
    clusters = [style // 2 for style in range(80)]
    first, turned = make(clusters, [False] * 80), make(clusters, [False] * 80, order=17)
    again = dict(zip(turned.style_names, split(turned).tolist(), strict=True))

    assert split(first).tolist() == [again[name] for name in first.style_names]
    assert split(first, seed=1).tolist() != split(first, seed=2).tolist()


def test_two_clusters_already_give_a_training_and_a_reporting_side() -> None:
    assert set(split(make([0, 0, 1], [True] * 3)).tolist()) == {Role.TRAIN, Role.REPORT}


def test_one_cluster_is_refused_because_no_split_of_it_is_honest() -> None:
    check(make([0, 1], [False] * 2))
    with pytest.raises(JobError, match="no honest split: all 3 styles are one cluster"):
        check(make([4, 4, 4], [False] * 3))


def test_a_style_counts_as_cyrillic_from_half_of_the_ukrainian_letters() -> None:
    assert has_cyrillic(make([0, 1], [True, False])).tolist() == [True, False]
