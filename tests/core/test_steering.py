"""What a spec asks of styles, and what a judge says of letters, on small untrained networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.catalogue.rows import VariantRow
from core.errors import JobError
from core.networks import families, mlp
from core.networks.judge import Architecture, Judge
from core.packing import generate
from core.pipeline import Composer, Made
from core.recipe import GenerateSpec
from core.registry import Attribute, Family
from core.storage.blobs import Blobs
from core.storage.shards import members, read_manifest
from core.storage.weights import load, save

Stored = tuple[dict[str, np.ndarray], dict[str, str]]
LETTERS = ("AB", "ЇЖ", "Q")


class Steered(mlp.Generator):
    """An mlp whose heaviness can be steered: the last entry of a style is added to every pixel before tanh."""

    def styles(self, z: Tensor, psi: float | None = None) -> Tensor:
        w = super().styles(z, psi)
        return torch.cat([w, torch.zeros(len(w), 1)], dim=1)

    def novelty(self, w: Tensor) -> Tensor:
        return torch.full((len(w),), 0.5)

    def steer(self, w: Tensor, attributes: Tensor) -> Tensor:
        weight = list(Attribute).index(Attribute.WEIGHT)
        return torch.cat([w[:, :-1], w[:, -1:] + attributes[:, weight, None]], dim=1)

    def draw(self, w: Tensor, letters: Tensor) -> Tensor:
        return super().draw(w[:, :-1].contiguous(), letters) + 0.02 * w[:, -1:, None, None]


def weights() -> Stored:
    torch.manual_seed(125)
    network = mlp.Generator(mlp.Architecture(generator=(32, 64)))
    with torch.no_grad():
        network.out.weight.mul_(8)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}, network.meta()


def judge() -> Stored:
    torch.manual_seed(1)
    reader = Judge(Architecture.SELECT)
    with torch.no_grad():
        reader.out.weight.mul_(50)  # sure of itself, though it learned nothing
    return reader.store(), reader.meta()


def make(stop: int = 12, read_by: Stored | None = None, **spec: Any) -> list[Made]:
    composer = Composer(GenerateSpec(letters=LETTERS, size=32, **spec), 7, *weights(), "cpu", read_by)
    return composer.block(0, stop)


@pytest.fixture
def steered(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_steered(stored: families.Weights, meta: Mapping[str, str]) -> Steered:
        return Steered.load(stored, meta)

    monkeypatch.setattr(families, "LOADERS", {Family.MLP: load_steered})


def digests(made: list[Made]) -> list[bytes]:
    return [each.digest for each in made]


def test_psi_changes_what_is_drawn_and_none_is_the_models_own() -> None:
    assert digests(make()) == digests(make(psi=1.0))
    assert digests(make()) != digests(make(psi=0.5))


def test_at_psi_0_only_the_transforms_differ() -> None:
    still: dict[str, Any] = {"rotation": (0, 0), "stretch": (0, 0), "shear": (0, 0)}

    assert len(set(digests(make(psi=0.0, **still)))) == len(LETTERS)
    assert len(set(digests(make(**still)))) == 12


@pytest.mark.parametrize("asked", [{"style": (0.0,) * 100}, {"attributes": {"weight": 1.0}}, {"mix": 0.1}])
def test_what_an_mlp_cannot_honour_is_refused_by_name(asked: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=f"'mlp' cannot honour {next(iter(asked))}"):
        make(**asked)


def test_a_given_style_is_every_variants_and_spread_lets_them_wander(steered: None) -> None:
    still: dict[str, Any] = {"rotation": (0, 0), "stretch": (0, 0), "shear": (0, 0)}
    style = (*[0.3] * 100, 0.0)
    fixed, near, free = (make(style=style, spread=spread, **still) for spread in (0.0, 0.3, 1.0))

    assert len(set(digests(fixed))) == len(LETTERS)
    assert len(set(digests(near))) == 12
    assert digests(free) == digests(make(**still))


def test_a_style_of_another_length_is_refused(steered: None) -> None:
    with pytest.raises(JobError, match="style has 100 numbers, this model's styles have 101"):
        make(style=(0.0,) * 100)


def test_weight_makes_letters_heavier(steered: None) -> None:
    light, plain, heavy = (make(attributes={"weight": by}) for by in (-0.5, 0.0, 0.5))

    assert sum(each.ink for each in light) < sum(each.ink for each in plain) < sum(each.ink for each in heavy)
    assert digests(plain) == digests(make())


def test_mixing_changes_some_letters_and_at_1_all_of_them(steered: None) -> None:
    plain, some, every = make(64), make(64, mix=0.3), make(64, mix=1.0)
    changed = [a != b for a, b in zip(digests(plain), digests(some), strict=True)]

    assert 0 < sum(changed) < 64
    assert not set(digests(plain)) & set(digests(every))


def test_a_judge_gives_each_variant_the_probability_of_its_least_legible_letter() -> None:
    together = make(read_by=judge())
    spec = GenerateSpec(letters=("A", "Q"), size=32)
    a, q = Composer(spec, 7, *weights(), "cpu", judge()).block(0, 2)

    assert all(each.legibility is not None and 0 <= each.legibility <= 1 for each in together)
    assert together[0].legibility is not None
    assert a.legibility is not None
    assert together[0].legibility <= a.legibility
    assert len({each.legibility for each in together}) > 6
    assert q.meta["legibility"] == q.legibility


def test_legibility_does_not_depend_on_where_a_range_is_cut_or_on_other_letters() -> None:
    whole = make(12, judge())
    alone = Composer(GenerateSpec(letters=("AB",), size=32), 7, *weights(), "cpu", judge()).block(0, 1)
    part = Composer(GenerateSpec(letters=LETTERS, size=32), 7, *weights(), "cpu", judge()).block(5, 9)

    assert [each.legibility for each in part] == [each.legibility for each in whole[5:9]]
    assert alone[0].legibility == whole[0].legibility


def test_a_judge_changes_no_pixel() -> None:
    assert digests(make(read_by=judge())) == digests(make())
    assert [each.legibility for each in make()] == [None] * 12


def test_a_shard_names_its_judge_and_rebuilds_its_rows_with_legibility(tmp_path: Path) -> None:
    blobs = Blobs.open(tmp_path.as_uri())
    stored = save(blobs, *judge())
    spec = GenerateSpec(letters=LETTERS, size=32, judge="judge-select:1")
    composer = Composer(spec, 7, *weights(), "cpu", load(blobs, stored.key, stored.sha256))
    made = generate(composer, 0, 12, blobs, "shard.tar", lambda _: True)
    tar = blobs.get("shard.tar")

    assert read_manifest(tar)["judge"] == stored.sha256
    assert [VariantRow.rebuild(each.meta, each.span.offset, each.span.length) for each in members(tar)] == made.rows
    assert all(row.legibility is not None for row in made.rows)


def test_weights_that_are_no_judges_are_refused_before_the_first_variant() -> None:
    with pytest.raises(JobError, match="not of a judge"):
        make(read_by=weights())


def test_a_row_of_engine_1_has_no_legibility() -> None:
    said = {"index": 1, "letters": "A", "layout": "single", "digest": "00", "ink": 0.5}

    assert VariantRow.rebuild(said, 0, 1).legibility is None
