"""The journal of a run is a folder that TensorBoard reads."""

from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.training.journal import Journal
from core.training.samples import draw_grid


def test_two_segments_make_one_curve_and_a_picture(tmp_path: Path) -> None:
    picture = draw_grid(torch.linspace(-0.1, 0.1, 2 * 28 * 28).view(2, 1, 28, 28), columns=2, cell=32)
    for segment in (0, 1):
        with Journal(tmp_path / "run") as journal:
            for step in (1, 2):
                journal.add(segment * 2 + step, "loss/generator", 10.0 * segment + step)
            journal.show(segment * 2 + 2, "samples", picture)
    events = EventAccumulator(str(tmp_path / "run")).Reload()

    assert [(e.step, e.value) for e in events.Scalars("loss/generator")] == [(1, 1), (2, 2), (3, 11), (4, 12)]
    assert (events.Images("samples")[-1].width, events.Images("samples")[-1].height) == (64, 32)


def test_a_picture_can_be_kept_as_a_file(tmp_path: Path) -> None:
    with Journal(tmp_path / "run") as journal:
        journal.keep("samples-epoch-5", b"png")

    assert (tmp_path / "run" / "samples-epoch-5.png").read_bytes() == b"png"
