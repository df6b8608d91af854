"""Weights: named by their content, refused for any doubt."""

import hashlib
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from core.errors import JobError
from core.storage.blobs import Blobs
from core.storage.weights import Tensors, load, save, weights_key

META = {"family": "mlp", "letters": "ABЇ", "config": "{}", "zeta": "1", "alpha": "2"}


def tensors() -> Tensors:
    return {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(4, np.int64), "s": np.array(2.0)}


def put_raw(blobs: Blobs, header: object, body: bytes = b"", size: int | None = None) -> str:
    """Store a hand-made file under its own digest, so that only its content can be refused."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = (len(text) if size is None else size).to_bytes(8, "little") + text + body
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(weights_key(sha256), data)
    return sha256


def entry(first: int, last: int, shape: list[Any] | None = None, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": [(last - first) // 4] if shape is None else shape, "data_offsets": [first, last]}


@pytest.fixture
def blobs() -> Blobs:
    return Blobs.open("memory:///")


def test_what_was_saved_is_loaded(blobs: Blobs) -> None:
    stored = save(blobs, tensors(), META)
    loaded, meta = load(blobs, stored.key, stored.sha256)

    assert meta == META | {"sha256": stored.sha256}
    assert loaded.keys() == tensors().keys()
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in tensors().items())
    assert loaded["b"].dtype == np.float32


def test_the_key_is_the_digest_of_what_is_stored(blobs: Blobs) -> None:
    stored = save(blobs, tensors(), META)
    data = blobs.get(stored.key)

    assert stored.key == f"weights/{hashlib.sha256(data).hexdigest()}.safetensors"
    assert stored.size == len(data)


def test_the_same_content_has_the_same_key_in_every_process(blobs: Blobs) -> None:
    program = (
        "import numpy as np; from core.storage.blobs import Blobs; from core.storage.weights import save;"
        f"print(save(Blobs.open('memory:///'), {{'a': np.ones(3)}}, {META!r}).sha256)"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "123"]

    assert len({run.stdout for run in runs}) == 1


def test_a_tensor_in_another_memory_order_keeps_its_values(blobs: Blobs) -> None:
    stored = save(blobs, {"t": tensors()["b"].T}, {})
    loaded, _ = load(blobs, stored.key, stored.sha256)

    assert np.array_equal(loaded["t"], tensors()["b"].T)


def test_weights_that_are_gone_or_changed_fail_the_job(blobs: Blobs) -> None:
    stored = save(blobs, tensors(), META)
    with pytest.raises(JobError, match="gone"):
        load(blobs, weights_key("0" * 64), "0" * 64)

    data = bytearray(blobs.get(stored.key))
    data[-1] ^= 1
    blobs.put(stored.key, bytes(data))
    with pytest.raises(JobError, match="SHA-256"):
        load(blobs, stored.key, stored.sha256)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_with_nan_or_infinity_are_neither_saved_nor_loaded(blobs: Blobs, value: float) -> None:
    with pytest.raises(JobError, match="NaN or Inf"):
        save(blobs, {"w": np.array([1.0, value], np.float32)}, {})

    sha256 = put_raw(blobs, {"w": entry(0, 4)}, np.array([value], np.float32).tobytes())
    with pytest.raises(JobError, match="NaN or Inf"):
        load(blobs, weights_key(sha256), sha256)


def test_a_hand_made_file_that_keeps_the_rules_is_loaded(blobs: Blobs) -> None:
    sha256 = put_raw(blobs, {"w": entry(0, 8), "empty": entry(8, 8, [0, 3]), "v": entry(8, 12)}, bytes(12))
    loaded, meta = load(blobs, weights_key(sha256), sha256)

    assert loaded["w"].shape == (2,)
    assert loaded["empty"].shape == (0, 3)
    assert meta == {"sha256": sha256}


@pytest.mark.parametrize(
    ("header", "body", "message"),
    [
        ({"w": entry(0, 8), "v": entry(4, 12)}, bytes(12), "overlap"),
        ({"w": entry(0, 8), "v": entry(12, 16)}, bytes(16), "gap"),
        ({"w": entry(0, 8)}, bytes(9), "end at"),
        ({"w": entry(0, 8)}, bytes(7), "end at"),
        ({"w": entry(0, 4, [-1])}, bytes(4), "impossible shape"),
        ({"w": entry(0, 4, [True])}, bytes(4), "impossible shape"),
        ({"w": entry(0, 4, [1] * 9)}, bytes(4), "impossible shape"),
        ({"w": entry(0, 4, [1 << 39, 1 << 39])}, bytes(4), "cannot fill"),
        ({"w": entry(0, 8, kind="BF99")}, bytes(8), "type"),
        ({"w": entry(8, 0, [2])}, bytes(8), "cannot fill"),
        ({"w": {"dtype": "F32", "shape": [1]}}, bytes(4), "not described"),
        ({"w": entry(0, 4) | {"more": 1}}, bytes(4), "not described"),
        ({"w": [1]}, bytes(4), "not described"),
        ({f"t{i}": entry(4 * i, 4 * i + 4) for i in range(10_001)}, bytes(40_004), "more than 10000"),
        (b"[" * 50_000, b"", "JSON"),
        (b"[]", b"", "no JSON object"),
        (b'{"w":1', b"", "JSON"),
        (b'{"w":1,"w":2}', b"", "stands twice"),
        (b" " * ((1 << 20) + 1), b"", "a header of"),
        ({"__metadata__": 3}, b"", "metadata"),
        ({"__metadata__": {"vyaz": "[1]"}}, b"", "metadata"),
        ({"__metadata__": {"vyaz": "{"}}, b"", "metadata"),
    ],
)
def test_a_header_that_breaks_a_rule_is_refused(blobs: Blobs, header: object, body: bytes, message: str) -> None:
    sha256 = put_raw(blobs, header, body)

    with pytest.raises(JobError, match=message):
        load(blobs, weights_key(sha256), sha256)


@pytest.mark.parametrize("size", [0, 1, 1 << 40, 2**64 - 1])
def test_a_header_size_that_lies_is_refused(blobs: Blobs, size: int) -> None:
    sha256 = put_raw(blobs, {"w": entry(0, 4)}, bytes(4), size=size)

    with pytest.raises(JobError, match="a header of"):
        load(blobs, weights_key(sha256), sha256)


@pytest.mark.parametrize("data", [b"", b"\2\0\0", b"\2" + bytes(7)])
def test_a_file_too_short_for_a_header_is_refused(blobs: Blobs, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(weights_key(sha256), data)

    with pytest.raises(JobError):
        load(blobs, weights_key(sha256), sha256)
