"""Family `judge`: what it sees, how look-alikes are merged, and what may be loaded."""

import numpy as np
import pytest
import torch

from core.alphabet import HOMOGLYPHS, LETTERS, position
from core.errors import JobError
from core.networks.judge import (
    REACH,
    REPRESENTATIVES,
    SIZE,
    Architecture,
    Judge,
    accuracy,
    group_labels,
    group_logits,
    merge,
    read,
)

BOTH = pytest.mark.parametrize("architecture", list(Architecture))


def judge(architecture: Architecture = Architecture.SELECT) -> Judge:
    torch.manual_seed(1)
    return Judge(architecture).requires_grad_(False).eval()


def disc(size: int, radius: float = 0.2) -> torch.Tensor:
    """A field [1, 1, size, size] of a disc in the middle of the canvas."""
    centre = (torch.arange(size) + 0.5) / size - 0.5
    return (radius - (centre[:, None] ** 2 + centre**2).sqrt())[None, None]


@BOTH
def test_a_field_becomes_logits_of_all_letters_and_features(architecture: Architecture) -> None:
    fields = disc(SIZE).expand(3, -1, -1, -1)

    assert judge(architecture)(fields).shape == (3, len(LETTERS))
    assert judge(architecture).features(fields).shape[0] == 3
    assert judge(architecture).features(fields).ndim == 2


def test_both_fit_in_half_a_megabyte_as_they_are_stored() -> None:
    assert sum(array.nbytes for kind in Architecture for array in judge(kind).store().values()) < 500_000


@BOTH
def test_what_lies_far_from_an_edge_is_not_seen(architecture: Architecture) -> None:
    field = disc(SIZE)

    assert torch.equal(judge(architecture)(field), judge(architecture)(field.clamp(-REACH, REACH)))
    assert not torch.equal(judge(architecture)(field), judge(architecture)(field.clamp(-REACH / 4, REACH / 4)))


@pytest.mark.parametrize("size", [28, 64, 96, 128, 512])
def test_a_field_of_any_size_is_sampled_at_the_same_places(size: int) -> None:
    seen = Judge.look(disc(size))

    assert seen.shape == (1, 1, SIZE, SIZE)
    near = disc(SIZE).abs() < REACH
    assert (seen - disc(SIZE))[near].abs().max() < 0.1 / 28  # of a cell


def test_look_alikes_share_one_logit_and_the_rest_keep_theirs() -> None:
    logits = torch.randn(4, len(LETTERS))
    merged = merge(logits)
    trio = [position(letter) for letter in "OО0"]

    assert torch.allclose(merged[:, trio[0]], logits[:, trio].logsumexp(dim=1), atol=1e-6)
    assert (merged[:, trio[1:]] == -torch.inf).all()
    assert torch.allclose(merged[:, position("Ж")], logits[:, position("Ж")], atol=1e-6)
    assert torch.allclose(merged.logsumexp(dim=1), logits.logsumexp(dim=1), atol=1e-6)


def test_far_apart_logits_merge_without_overflow() -> None:
    logits = torch.full((1, len(LETTERS)), -300.0)
    logits[0, 3] = 300.0

    assert group_logits(logits).isfinite().all()
    assert merge(logits).argmax().item() == 3


def test_labels_merge_as_the_alphabet_says() -> None:
    labels = torch.arange(len(LETTERS))
    merged = [LETTERS[label] for label in merge(labels).tolist()]

    assert merged == [HOMOGLYPHS[letter] for letter in LETTERS]
    assert torch.equal(REPRESENTATIVES[group_labels(labels)], merge(labels))


@BOTH
def test_a_letter_counts_as_read_when_a_look_alike_is_named(architecture: Architecture) -> None:
    network = judge(architecture)
    network.out.weight.zero_()
    network.out.bias.copy_(torch.nn.functional.one_hot(torch.tensor(position("А")), len(LETTERS)) * 9.0)
    labels = torch.tensor([position(letter) for letter in ("A", "А", "Д")])

    assert accuracy(network, disc(128).expand(3, -1, -1, -1), labels).tolist() == [True, True, False]


def test_reading_nothing_gives_nothing() -> None:
    assert read(judge(), torch.zeros(0, 1, 64, 64)).shape == (0, len(LETTERS))


@BOTH
def test_stored_weights_read_the_same(architecture: Architecture) -> None:
    network = judge(architecture)
    loaded = Judge.load(network.store(), network.meta() | {"dataset": "abc"})
    fields = torch.cat([disc(SIZE, radius) for radius in (0.1, 0.2, 0.3)])

    assert all(array.dtype == np.float16 for array in network.store().values())
    assert torch.allclose(read(loaded, fields), read(network, fields), atol=0.02)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert not loaded.training


def test_weights_of_another_shape_family_or_alphabet_are_refused() -> None:
    network = judge()
    weights, meta = network.store(), network.meta()

    for broken, said in (
        (weights, meta | {"architecture": "report"}),
        (weights, meta | {"architecture": "huge"}),
        (weights, meta | {"family": "mlp"}),
        (weights, meta | {"letters": LETTERS[:-1]}),
        (weights, {}),
        ({name: weights[name] for name in list(weights)[1:]}, meta),
    ):
        with pytest.raises(JobError, match="not of a judge"):
            Judge.load(broken, said)
