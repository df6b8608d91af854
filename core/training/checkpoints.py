"""A run's whole state as safetensors bytes: tensors by name, and plain values in one JSON entry of the header."""

import json
import struct
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, optim

from core.errors import JobError

_ENTRY: Final = "vyaz"  # One entry: safetensors writes several in any order, and equal states should be equal bytes.
_MAX_HEADER: Final = 1 << 24


def pack(tensors: dict[str, Tensor], values: dict[str, Any]) -> bytes:
    """Write a checkpoint."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, {_ENTRY: json.dumps(values, sort_keys=True)})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint; raise `JobError` if it is none."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        if length > _MAX_HEADER:
            raise JobError(f"the checkpoint's header says that it is {length} bytes long")
        values = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_ENTRY])
        return load(data), values
    except (KeyError, SafetensorError, TypeError, ValueError, struct.error) as error:
        raise JobError(f"the checkpoint cannot be read: {error!r}") from error


def settings(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ between two segments of one run: its name and its length."""
    return {name: value for name, value in config.items() if name not in {"name", "epochs", "minutes"}}


def split(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with `prefix.`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}


def join(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under `prefix.`; the opposite of `split`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimiser_state(optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's tensors, named `place.name`; its settings are the run's configuration."""
    state = optimiser.state_dict()["state"]
    return {
        f"{place}.{name}": value
        for place, entries in state.items()
        for name, value in entries.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimiser_state` took from an optimiser of the same configuration."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, _, entry = name.partition(".")
        state.setdefault(int(place), {})[entry] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def check_finite(tensors: dict[str, Tensor]) -> None:
    """Raise `JobError` if a value is not a number or infinite: such a state must not become the last good one."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise JobError(f"training diverged: {name} holds NaN or infinity; try a smaller learning rate")
