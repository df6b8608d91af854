"""Dataset kind `emnist`: what is read, how it stands on the canvas, what is refused."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import EMNIST

from core.alphabet import BASELINE, CAP_HEIGHT, LETTERS
from core.errors import Invalid, JobError
from core.registry import DatasetKind, EmnistSplit, Family, Loss
from core.training import checkpoints
from core.training.config import DatasetConfig, TrainConfig
from core.training.datasets import emnist
from core.training.datasets.archive import CLAMP, Dataset
from core.training.loop import Run
from core.training.views import view
from tests.core.training.slips import STROKES, draw_slip, write_raw, write_slips

SIGNS = "LATPLATPL"
IMAGES, LABELS = (f"emnist-letters-train-{part}-ubyte" for part in ("images-idx3", "labels-idx1"))


def config(folder: Path | None, split: EmnistSplit | None = None) -> DatasetConfig:
    return DatasetConfig(name="emnist", kind=DatasetKind.EMNIST, path=folder, split=split)


def make(folder: Path, split: EmnistSplit | None = None) -> emnist.Merged:
    found = emnist.sources(config(folder, split), folder / "downloads")
    return emnist.merge(emnist.parse_all(found))


def load(folder: Path, split: EmnistSplit | None = None) -> Dataset:
    return Dataset.load(make(folder, split).data)


def test_letters_stand_upright_between_cap_line_and_baseline(tmp_path: Path) -> None:
    write_slips(tmp_path, SIGNS)
    dataset = load(tmp_path)
    ink = dataset.fields > 0
    rows = np.flatnonzero(ink[0].any(axis=1)) / 28

    assert dataset.fields.shape == (9, 28, 28)
    assert "".join(LETTERS[label] for label in dataset.labels) == SIGNS
    # L: ink below on the right, none above; transposed it would be the other way round.
    assert ink[0, 14:, 15:].any()
    assert not ink[0, :14, 15:].any()
    # T: the bar above is wide, the stem below narrow.
    assert ink[2, 8].sum() > 8 > 4 > ink[2, 18].sum() > 0
    assert rows[0] == pytest.approx(BASELINE - CAP_HEIGHT, abs=1.5 / 28)
    assert rows[-1] + 1 / 28 == pytest.approx(BASELINE, abs=1.5 / 28)


def test_the_layout_is_the_one_that_torchvision_reads(tmp_path: Path) -> None:
    write_slips(tmp_path, SIGNS)
    known = EMNIST(str(tmp_path), "letters", download=False)

    assert [known.classes[label].upper() for label in known.targets.tolist()] == list(SIGNS)
    assert np.array_equal(known.data[0].numpy().T, draw_slip("L", 0))


def test_a_stroke_has_its_thickness_in_canvas_units(tmp_path: Path) -> None:
    image = np.zeros((1, 28, 28), dtype=np.uint8)
    image[0, :, 12:17] = 255  # five pixels wide and 28 long, stored as columns: a lying bar
    write_raw(tmp_path, image, b"\x09", EmnistSplit.LETTERS)
    (field,) = load(tmp_path).fields
    top = field[:, 14].max() * CLAMP / 127

    # The ridge may lie half a cell beside a row of cells.
    assert 2.5 * CAP_HEIGHT / 24 - 0.5 / 28 < top <= 2.5 * CAP_HEIGHT / 24 + 0.001
    assert (field[:, 14] > 0).sum() in (3, 4)  # 5 of 24 pixels of 14.6 cells
    assert (field[13] > 0).sum() == 16  # 28 of them, and the two cells whose centres lie on its ends


def test_balanced_gives_digits_and_capitals_and_counts_the_small_letters(tmp_path: Path) -> None:
    write_slips(tmp_path, "7LhhAh", EmnistSplit.BALANCED)
    dataset = load(tmp_path, EmnistSplit.BALANCED)

    assert "".join(LETTERS[label] for label in dataset.labels) == "7LA"
    assert dataset.report.masked == {"empty": 0, "lower case": 3}


def test_a_blank_image_is_left_out_and_counted(tmp_path: Path) -> None:
    images = np.stack([draw_slip("A").T, np.full((28, 28), 90, dtype=np.uint8)])
    write_raw(tmp_path, images, b"\x01\x01", EmnistSplit.LETTERS)
    dataset = load(tmp_path)

    assert len(dataset.labels) == 1
    assert dataset.report.masked == {"empty": 1, "lower case": 0}


def test_a_version_says_that_it_knows_no_styles_and_whose_it_is(tmp_path: Path) -> None:
    write_slips(tmp_path, SIGNS)
    dataset = load(tmp_path)

    assert (dataset.report.styles, dataset.report.clusters, dataset.report.glyphs) == (1, 1, 9)
    assert dataset.licences == ("public domain (NIST)",)
    assert set(dataset.styles.tolist()) == {0}
    assert not view(dataset, 28, 1.25 / 28).paired
    assert view(dataset, 28, 1.25 / 28).left_out == 0
    assert 0.03 < dataset.strokes[0] < 0.09
    assert (dataset.advances > 0.3).all()


def test_gzipped_or_not_and_cut_into_portions_or_not_the_version_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, zipped = tmp_path / "plain", tmp_path / "zipped"
    write_slips(plain, SIGNS)
    write_slips(zipped, SIGNS, zipped=True)
    lists = [emnist.sources(config(folder), tmp_path) for folder in (plain, zipped)]
    whole = Dataset.load(make(plain).data)
    monkeypatch.setattr(emnist, "PORTION", 4)
    cut = Dataset.load(make(zipped).data)

    assert emnist.fingerprint(lists[0]) == emnist.fingerprint(lists[1])
    assert make(plain).sha256 == make(plain).sha256
    assert len(emnist.sources(config(plain), tmp_path)) == 3
    assert np.array_equal(whole.fields, cut.fields)
    assert np.array_equal(whole.labels, cut.labels)
    assert np.array_equal(whole.advances, cut.advances)


@pytest.mark.parametrize("place", ["", "EMNIST/raw", "raw", "gzip"])
def test_the_folder_may_be_named_at_any_of_its_levels(tmp_path: Path, place: str) -> None:
    images, _ = write_slips(tmp_path / "here", SIGNS)
    wanted = tmp_path / "there" / place
    wanted.parent.mkdir(parents=True, exist_ok=True)
    images.parent.rename(wanted)

    assert len(emnist.sources(config(tmp_path / "there"), tmp_path)) == 1


def spoil(change: Callable[[bytes], bytes], name: str) -> Callable[[Path], None]:
    def at(folder: Path) -> None:
        path = folder / "EMNIST" / "raw" / name
        path.write_bytes(change(path.read_bytes()))

    return at


def zip_bomb(folder: Path) -> None:
    """A gzip file of a hundred kilobytes that announces nine images and unpacks to a hundred megabytes."""
    path = folder / "EMNIST" / "raw" / IMAGES
    path.unlink()
    header = struct.pack(">4I", 0x0803, 9, 28, 28)
    path.with_name(f"{IMAGES}.gz").write_bytes(gzip.compress(header + bytes(100 << 20), 1))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda folder: (folder / "EMNIST" / "raw" / IMAGES).unlink(), f"{IMAGES} .* is missing"),
        (lambda folder: (folder / "EMNIST" / "raw" / LABELS).unlink(), f"{LABELS} .* is missing"),
        (spoil(lambda data: data[:-1], IMAGES), f"{IMAGES} should hold 7056 bytes after its header, and holds 7055"),
        (spoil(lambda data: data + b"x", IMAGES), f"{IMAGES} should hold 7056 bytes .* holds more"),
        (spoil(lambda data: data[:9], IMAGES), f"{IMAGES} ends inside its header"),
        (spoil(lambda data: b"", LABELS), f"{LABELS} ends inside its header"),
        (
            spoil(lambda data: b"\0\0\x0d\x03" + data[4:], IMAGES),
            f"{IMAGES} begins with 0x00000d03, not with 0x00000803",
        ),
        (spoil(lambda data: b"\x7fELF" + data[4:], LABELS), f"{LABELS} begins with 0x7f454c46"),
        (spoil(lambda data: data[:8] + struct.pack(">2I", 14, 56) + data[16:], IMAGES), f"{IMAGES} .* 14 x 56 pixels"),
        (spoil(lambda data: data[:4] + b"\xff" * 4 + data[8:], IMAGES), f"{IMAGES} announces 4294967295 items"),
        (spoil(lambda data: data[:4] + bytes(4) + data[8:], IMAGES), f"{IMAGES} announces 0 items"),
        (spoil(lambda data: data[:7] + b"\x08" + data[8:-1], LABELS), f"{LABELS} has 8 labels for 9 images"),
        (spoil(lambda data: data[:-1] + b"\x1b", LABELS), f"{LABELS} has the label 27 at 8"),
        (spoil(lambda data: data[:8] + b"\x00" + data[9:], LABELS), f"{LABELS} has the label 0 at 0"),
        (zip_bomb, f"{IMAGES}.gz should hold 7056 bytes .* holds more"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path: Path, break_it: Callable[[Path], None], reason: str) -> None:
    write_slips(tmp_path, SIGNS)
    break_it(tmp_path)

    with pytest.raises(Invalid, match=reason) as refusal:
        emnist.sources(config(tmp_path), tmp_path)
    assert refusal.value.pointer == "/path"


def test_broken_gzip_is_refused_by_name(tmp_path: Path) -> None:
    for change in (lambda data: data[:-9], lambda data: data[:40] + bytes(20) + data[60:], lambda data: b"no" + data):
        write_slips(tmp_path, SIGNS, zipped=True)
        spoil(change, f"{IMAGES}.gz")(tmp_path)

        with pytest.raises(Invalid, match=rf"{IMAGES}\.gz is broken"):
            emnist.sources(config(tmp_path), tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is not a folder on this machine"):
        emnist.sources(config(tmp_path / "nowhere"), tmp_path)


def test_files_that_change_on_the_way_fail_the_job(tmp_path: Path) -> None:
    write_slips(tmp_path, SIGNS)
    found = emnist.sources(config(tmp_path), tmp_path)
    write_slips(tmp_path, SIGNS[::-1])

    with pytest.raises(JobError, match="changed while the dataset was made"):
        list(emnist.parse_all(found))
    (tmp_path / "EMNIST" / "raw" / LABELS).unlink()
    with pytest.raises(JobError, match="is missing"):
        list(emnist.parse_all(found))


def test_a_split_means_nothing_for_fonts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no split"):
        DatasetConfig(path=tmp_path, split=EmnistSplit.LETTERS)


@pytest.mark.parametrize("loss", list(Loss))
def test_an_mlp_runs_on_it_as_a_bare_game_and_resumes_bit_for_bit(tmp_path: Path, loss: Loss) -> None:
    write_slips(tmp_path, "".join(STROKES)[:4] * 6)
    data = make(tmp_path).data
    plan = TrainConfig(family=Family.MLP, epochs=4, batch=8, loss=loss)
    straight = Run.start(plan, data, "cpu")
    straight.advance(lambda step: True)
    first = Run.start(plan, data, "cpu")
    first.advance(lambda step: step < 5)
    second = Run.resume(plan, data, "cpu", first.checkpoint())
    second.advance(lambda step: True)
    one, two = (checkpoints.unpack(run.checkpoint())[0] for run in (straight, second))

    assert straight.step_count == 12
    assert [name for name in one if not torch.equal(one[name], two[name])] == []
    assert straight.weights()[0]["codes"].shape == (0, 12)  # no styles, so no anchor
    assert float(one["sums"][2]) == 0
