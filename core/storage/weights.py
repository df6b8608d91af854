"""Weights as safetensors named by their SHA-256; nothing is believed that was not checked.

The header is judged here, before the library sees a byte of it: size, number, names, types, shapes and that the
tensors fill the file exactly (https://github.com/huggingface/safetensors, "Format").
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from core.errors import Invalid, JobError, NotFound
from core.storage.blobs import Blobs

Tensors = dict[str, NDArray[Any]]

_LARGEST_HEADER: Final = 1 << 20  # bytes
_MOST_TENSORS: Final = 10_000
_MOST_AXES: Final = 8
_WIDTHS: Final = (  # bytes of one number
    dict.fromkeys(("BOOL", "U8", "I8"), 1)
    | dict.fromkeys(("U16", "I16", "F16"), 2)
    | dict.fromkeys(("U32", "I32", "F32"), 4)
    | dict.fromkeys(("U64", "I64", "F64"), 8)
)
_META: Final = "__metadata__"
_VYAZ: Final = "vyaz"  # all of our metadata under one name: the library writes several in no fixed order


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Where weights stand: `sha256` is hexadecimal, `size` in bytes."""

    key: str
    sha256: str
    size: int


def save(blobs: Blobs, tensors: Tensors, meta: Mapping[str, str]) -> StoredWeights:
    """Store tensors with their metadata; the same content always gets the same key. NaN or Inf raises `JobError`."""
    _refuse_infinite(tensors)
    packed = {_VYAZ: json.dumps(dict(meta), ensure_ascii=False, sort_keys=True)}
    data = safetensors.save({name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}, packed)
    sha256 = hashlib.sha256(data).hexdigest()
    key = weights_key(sha256)
    blobs.put(key, data)
    return StoredWeights(key, sha256, len(data))


def load(blobs: Blobs, key: str, sha256: str) -> tuple[Tensors, dict[str, str]]:
    """Return tensors and metadata, with `sha256` among it so that what is made with them can name them.

    Raise `JobError` if they are gone, not those of `sha256`, or not to be trusted.
    """
    try:
        data = blobs.get(key)
    except NotFound as error:
        raise JobError(f"the weights {key} are gone from the store") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise JobError(f"the weights {key} have SHA-256 {found}, not {sha256}")
    try:
        meta = check(data)
        tensors = safetensors.load(data)
    except (Invalid, SafetensorError) as error:
        raise JobError(f"the weights {key} cannot be read: {error}") from error
    _refuse_infinite(tensors)
    return tensors, meta | {"sha256": sha256}


def weights_key(sha256: str) -> str:
    """Return the key that weights of this digest are stored under."""
    return f"weights/{sha256}.safetensors"


def check(data: bytes) -> dict[str, str]:
    """Judge a safetensors file without the library; return our metadata; raise `Invalid` saying what is wrong."""
    header, start = _read_header(data)
    meta = _read_meta(header.pop(_META, {}))
    if len(header) > _MOST_TENSORS:
        raise Invalid(f"{len(header)} tensors are more than {_MOST_TENSORS}")
    spans = sorted(_read_span(name, entry) for name, entry in header.items())
    end = 0
    for first, last, name in spans:
        if first != end:
            raise Invalid(f"tensor {name!r} begins at {first}, where {end} was due: tensors overlap or leave a gap")
        end = last
    if start + end != len(data):
        raise Invalid(f"the tensors end at byte {start + end} of {len(data)}")
    return meta


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(_LARGEST_HEADER, len(data) - 8):
        raise Invalid(f"a header of {size} bytes in a file of {len(data)} (at most {_LARGEST_HEADER})")
    try:
        header = json.loads(data[8 : 8 + size], object_pairs_hook=_refuse_twins)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise Invalid("the header is no JSON object")
    return header, 8 + size


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice")
    return value


def _read_meta(raw: object) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise Invalid("the metadata is no JSON object")
    try:
        meta = json.loads(raw.get(_VYAZ, "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the metadata is no JSON: {error}") from error
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise Invalid("the metadata maps names to something else than text")
    return meta


def _read_span(name: str, entry: object) -> tuple[int, int, str]:
    """Return (first byte, one past the last, name) after holding type, shape and span against each other."""
    match entry:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(first), int(last)], **rest} if not rest:
            pass
        case _:
            raise Invalid(f"tensor {name[:80]!r} is not described by dtype, shape and data_offsets alone")
    if kind not in _WIDTHS:
        raise Invalid(f"tensor {name[:80]!r} has type {kind[:20]!r}; known are {', '.join(_WIDTHS)}")
    if len(shape) > _MOST_AXES or not all(type(axis) is int and 0 <= axis < 1 << 40 for axis in shape):
        raise Invalid(f"tensor {name[:80]!r} has an impossible shape")
    if last - first != math.prod(shape) * _WIDTHS[kind]:
        raise Invalid(f"tensor {name[:80]!r} of shape {shape} cannot fill {last - first} bytes")
    return first, last, name[:80]


def _refuse_infinite(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
            raise JobError(f"tensor {name!r} holds NaN or Inf")
