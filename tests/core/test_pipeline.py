"""The pipeline on a small untrained network: what it draws is noise, but it must always be the same noise."""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from core.catalogue.rows import VariantRow
from core.errors import EnvironmentFault, ItemError, JobError
from core.monogram.compose import RULES
from core.monogram.picture import decode, digest
from core.networks.mlp import Architecture, Generator
from core.packing import Generated, generate
from core.pipeline import Composer, Made
from core.recipe import BLOCK, ENGINE, GenerateSpec, Recipes
from core.registry import Layout
from core.shipped import FOLDER, read
from core.storage.blobs import Blobs
from core.storage.shards import members, read_manifest, shard_key
from core.storage.weights import check, load, save

SPEC = GenerateSpec(letters=("AB", "ЇЖ", "Q", "ВЯЗЬ"), size=48)
KEY = shard_key("7", 0, 192, 1)


def weights(seed: int = 125, layers: tuple[int, ...] = (256, 512)) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """A generator of the usual shape that learned nothing; turned up, so that there is ink and ground."""
    torch.manual_seed(seed)
    network = Generator(Architecture(generator=layers))
    with torch.no_grad():
        network.out.weight.mul_(6)
        network.out.bias.sub_(0.1)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}, network.meta()


def compose(spec: GenerateSpec = SPEC, seed: int = 125) -> Composer:
    return Composer(spec, seed, *weights(), "cpu")


def go_on(_: int) -> bool:
    return True


@pytest.fixture
def blobs() -> Blobs:
    return Blobs.open("memory:///")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole() -> list[Made]:
    """Items of two blocks and a part of a third."""
    return compose().block(0, 150)


def test_every_variant_is_another_picture(whole: list[Made]) -> None:
    assert [made.index for made in whole] == list(range(150))
    assert len({made.digest for made in whole}) == 150
    assert all(0.005 < made.ink < 0.9 for made in whole)


@pytest.mark.parametrize("cut", [[0, 64, 128, 150], [0, 1, 63, 65, 150], [0, 100, 150]])
def test_pixels_do_not_depend_on_where_a_range_is_cut(whole: list[Made], cut: list[int]) -> None:
    composer = compose()
    parts = [composer.block(start, stop) for start, stop in pairwise(cut)]

    assert [made for part in parts for made in part] == whole


@pytest.mark.parametrize("index", [0, 7, 63, 64, 127, 149])
def test_an_item_made_alone_is_the_same(whole: list[Made], index: int) -> None:
    assert compose().block(index, index + 1) == [whole[index]]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_pixels_do_not_depend_on_the_number_of_threads(whole: list[Made], threads: None, count: int) -> None:
    torch.set_num_threads(count)

    assert compose().block(0, 150) == whole
    assert torch.get_num_threads() == count


def test_pixels_of_an_odd_size_and_a_wide_network_do_not_depend_on_threads_either(threads: None) -> None:
    """Products of these widths do differ in their last bit between one, two and three threads."""
    spec = GenerateSpec(letters=("AB", "Q"), size=101)
    composer = Composer(spec, 125, *weights(layers=(256, 512, 1024)), "cpu")
    torch.set_num_threads(1)
    one = composer.block(0, 64)
    for count in (2, 3):
        torch.set_num_threads(count)

        assert composer.block(0, 64) == one
        assert composer.block(13, 14) == one[13:14]


def test_a_variant_is_the_same_whatever_other_letters_its_job_has(whole: list[Made]) -> None:
    for index in range(4):
        alone = GenerateSpec(letters=(SPEC.letters[index],), size=48)

        assert compose(alone).block(index, index + 1)[0].digest == whole[index].digest


def test_other_seeds_and_weights_give_other_pictures(whole: list[Made]) -> None:
    other_weights = Composer(SPEC, 125, *weights(seed=1), "cpu")

    assert compose(seed=126).block(0, 1)[0].digest != whole[0].digest
    assert other_weights.block(0, 1)[0].digest != whole[0].digest


def test_an_item_says_what_it_is(whole: list[Made]) -> None:
    pixels = decode(whole[3].png)

    assert pixels.shape == (48, 48)
    assert digest(pixels) == whole[3].digest
    assert whole[3].letters == "ВЯЗЬ"
    assert [made.layout for made in whole[1:3]] == [Layout.STRAIGHT, Layout.SINGLE]
    assert whole[3].ink == pytest.approx(1 - pixels.mean() / 255, abs=1e-6)
    assert len(whole[3].meta["rotation"]) == 4


def test_a_shard_holds_every_item_and_its_rows(blobs: Blobs, whole: list[Made]) -> None:
    reported: list[int] = []
    made = generate(compose(), 0, 150, blobs, KEY, lambda upto: reported.append(upto) is None)
    tar = blobs.get(KEY)

    assert reported == [64, 128, 150]
    assert (made.upto, made.key, made.size) == (150, KEY, len(tar))
    assert made.sha256 == hashlib.sha256(tar).hexdigest()
    assert [row.digest for row in made.rows] == [item.digest for item in whole]
    assert blobs.get_range(KEY, made.rows[99].offset, made.rows[99].length) == whole[99].png
    assert made.failures == []


def test_a_shard_alone_rebuilds_its_rows_and_names_what_made_it(blobs: Blobs) -> None:
    stored = save(blobs, *weights())
    tensors, meta = load(blobs, stored.key, stored.sha256)
    made = generate(Composer(SPEC, 125, tensors, meta, "cpu"), 64, 100, blobs, KEY, go_on)
    tar = BytesIO(blobs.get(KEY))
    manifest = read_manifest(tar)
    tar.seek(0)

    assert [VariantRow.rebuild(each.meta, each.span.offset, each.span.length) for each in members(tar)] == made.rows
    assert manifest["weights"] == stored.sha256
    assert manifest["engine"] == ENGINE
    assert GenerateSpec.model_validate(manifest["spec"]) == SPEC
    assert (manifest["seed"], manifest["start"]) == (125, 64)


def test_two_attempts_at_a_shard_are_the_same_bytes(blobs: Blobs) -> None:
    first = generate(compose(), 0, 100, blobs, shard_key("7", 0, 100, 1), go_on)
    second = generate(compose(), 0, 100, blobs, shard_key("7", 0, 100, 2), go_on)

    assert first.sha256 == second.sha256
    assert first.rows == second.rows


def test_a_shard_told_to_stop_ends_after_that_block(blobs: Blobs, whole: list[Made], threads: None) -> None:
    torch.set_num_threads(2)
    made = generate(compose(), 0, 1000, blobs, KEY, lambda upto: upto < 128)

    assert made.upto == 128
    assert [row.digest for row in made.rows] == [item.digest for item in whole[:128]]
    assert len(list(members(blobs.get(KEY)))) == 128


def test_an_item_that_cannot_be_made_is_reported_and_the_others_go_on(blobs: Blobs, whole: list[Made]) -> None:
    tensors, meta = weights()
    letter = tensors["letter.weight"].copy()
    letter[16] = np.nan  # Q
    made = generate(Composer(SPEC, 125, tensors | {"letter.weight": letter}, meta, "cpu"), 0, 64, blobs, KEY, go_on)

    assert [failure.index for failure in made.failures] == list(range(2, 64, 4))
    assert "'Q' is not a number" in str(made.failures[0])
    assert [row.digest for row in made.rows] == [item.digest for item in whole[:64] if item.letters != "Q"]


def test_a_letter_without_ink_cannot_be_made() -> None:
    tensors, meta = weights()
    blank = Composer(SPEC, 125, tensors | {"out.bias": np.full(784, -100, np.float32)}, meta, "cpu")

    with pytest.raises(ItemError, match="'A' came out without ink; 'B'") as caught:
        blank.block(0, 4)
    assert caught.value.index == 0


def test_weights_of_another_shape_fail_the_job() -> None:
    tensors, meta = weights()

    with pytest.raises(JobError):
        Composer(SPEC, 125, {name: tensor[:1] for name, tensor in tensors.items()}, meta, "cpu")


def test_a_store_that_fails_leaves_no_shard(tmp_path: Path) -> None:
    blobs = Blobs.open((tmp_path / "store").as_uri())
    (tmp_path / "store" / "jobs").write_bytes(b"a file where a folder must be")

    with pytest.raises(EnvironmentFault):
        generate(compose(), 0, 10, blobs, KEY, go_on)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.name != "jobs"]


def test_an_error_in_the_report_ends_the_work(blobs: Blobs, threads: None) -> None:
    torch.set_num_threads(2)

    def fail(_: int) -> bool:
        raise RuntimeError("fenced")

    with pytest.raises(RuntimeError, match="fenced"):
        generate(compose(), 0, 10_000, blobs, KEY, fail)
    assert not blobs.exists(KEY)
    assert torch.get_num_threads() == 2


def test_an_empty_range_is_an_empty_shard(blobs: Blobs) -> None:
    made = generate(compose(), 5, 5, blobs, KEY, go_on)

    assert isinstance(made, Generated)
    assert (made.upto, made.rows) == (5, [])


def test_every_layout_has_exactly_one_implementation() -> None:
    assert set(RULES) == set(Layout)


def test_a_block_is_what_the_ledger_cuts_by() -> None:
    """Progress and rows of padding both stand on it."""
    placed: list[Any] = compose().compose(BLOCK - 1, BLOCK)

    assert len(placed) == 1
    assert placed[0].index == BLOCK - 1


@pytest.mark.parametrize(
    ("layout", "letters"),
    [
        (Layout.VYAZ, ("КИЇВ", "ТОРГ", "LOCAL")),
        (Layout.CIRCLE, ("ABK", "ТЮС")),
        (Layout.INTERLACED, ("HR", "ЄН")),
        (Layout.STACKED, ("HR", "ЄНТ")),
    ],
)
def test_letters_that_were_learnt_are_the_same_whatever_is_made_beside_them(
    layout: Layout, letters: tuple[str, ...]
) -> None:
    shipped = next(each.data for each in read(FOLDER) if each.name == "letters-nano")
    spec = GenerateSpec(letters=letters, layout=layout, size=128)
    composer = Composer(spec, 9, safetensors.numpy.load(shipped), check(shipped), "cpu")
    together = composer.block(0, 12)

    assert [composer.block(index, index + 1) for index in range(0, 12, 2)] == [[each] for each in together[::2]]


def test_a_letter_without_ink_is_the_fault_of_its_item_alone() -> None:
    class Blank(Composer):
        def _draw(self, recipes: Recipes, rows: slice) -> torch.Tensor:
            fields = super()._draw(recipes, rows)
            fields[rows.start + 1, 1] = -1.0
            return fields

    for layout in (Layout.VYAZ, Layout.STRAIGHT):
        spec = GenerateSpec(letters=("AB",), layout=layout, size=48)
        first, blank, last = Blank(spec, 125, *weights(), "cpu").compose(0, 3)

        assert isinstance(first, Made)
        assert isinstance(last, Made)
        assert isinstance(blank, ItemError)
        assert "'B' came out without ink" in str(blank)
