"""A dataset on 28 x 28 cells: raised strokes, and no letter that breaks there."""

from dataclasses import replace

import numpy as np
import torch

from core.networks.mlp import REACH, SIZE
from core.training.views import STROKE_FLOOR, euler, view
from tests.core.training.foundry import make_dataset


def test_parts_less_holes_are_counted() -> None:
    canvas = torch.zeros(4, 12, 12, dtype=torch.bool)
    canvas[0, 2:10, 2:10] = True
    canvas[1, 2:10, 2:10] = True
    canvas[1, 4:6, 4:6] = canvas[1, 7:9, 7:9] = False
    canvas[2, 2:4, 2:4] = canvas[2, 6:8, 6:8] = canvas[2, 10:, 10:] = True

    assert euler(canvas).tolist() == [1, -1, 3, 0]


def test_images_are_the_fields_in_units_of_their_reach() -> None:
    dataset = make_dataset()
    seen = view(dataset, SIZE, REACH)
    middle = seen.images[:, 0, SIZE // 2]  # a row through the middle of each frame
    inside = (middle > 0).sum(dim=1) / SIZE

    assert seen.images.shape == (len(dataset.labels), 1, SIZE, SIZE)
    assert seen.images.amin() == -1
    assert seen.images.amax() <= 1
    assert torch.equal(seen.labels, torch.from_numpy(dataset.labels))
    assert (inside[seen.styles == 3] > inside[seen.styles == 0]).all()


def test_strokes_under_the_floor_of_the_grid_are_raised_to_it() -> None:
    thin = view(make_dataset(strokes=(0.03, 0.12)), SIZE, REACH)
    ridge = thin.images[thin.styles == 0].amax(dim=(1, 2, 3)) * REACH

    # A ridge lies at most half a cell from the centre of one.
    assert (ridge > (STROKE_FLOOR / 2 - 0.5) / SIZE).all()


def test_a_letter_whose_counter_fills_up_is_left_out_and_a_style_of_only_such_has_no_place() -> None:
    dataset = make_dataset(letters="AB", strokes=(0.06, 0.08, 0.1))
    crowded = dataset.fields.copy()
    bars = np.full((128, 128), -127, dtype=np.int8)
    bars[40:90, 30:100:4] = bars[40:90, 31:100:4] = 60  # slits of two cells: half a cell of 28 x 28
    crowded[dataset.styles == 1] = bars
    seen = view(replace(dataset, fields=crowded), SIZE, REACH)

    assert seen.left_out == 2
    assert seen.count == 2
    assert seen.styles.tolist() == [0, 0, 1, 1]
