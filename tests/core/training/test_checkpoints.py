"""Checkpoints as bytes: whole, reproducible, and refused when they are not checkpoints."""

import struct

import pytest
import torch

from core.errors import JobError
from core.training import checkpoints


def test_tensors_and_values_come_back_as_they_went() -> None:
    tensors = {"a.x": torch.randn(3, 2), "a.y": torch.tensor(7), "b": torch.arange(5, dtype=torch.uint8)}
    values = {"step_count": 12, "config": {"betas": [0.5, 0.99]}, "name": "Їжак"}
    read, said = checkpoints.unpack(checkpoints.pack(tensors, values))

    assert said == values
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert checkpoints.split(read, "a").keys() == {"x", "y"}


def test_equal_states_are_equal_bytes() -> None:
    one = {"a": torch.ones(4), "b": torch.zeros(2, 2)}
    two = {"b": torch.zeros(2, 2), "a": torch.ones(4)}

    assert checkpoints.pack(one, {"x": 1, "y": 2}) == checkpoints.pack(two, {"y": 2, "x": 1})


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04 something else", struct.pack("<Q", 1 << 40) + b"{}", struct.pack("<Q", 2) + b"{}"]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(JobError, match="checkpoint"):
        checkpoints.unpack(data)


def test_a_state_that_is_not_finite_is_refused_by_name() -> None:
    with pytest.raises(JobError, match=r"generator\.out\.bias"):
        checkpoints.check_finite({"fine": torch.ones(2), "generator.out.bias": torch.tensor([1.0, float("nan")])})
