"""The bodies that make jobs, as `POST /v1/jobs` takes them and schedules keep them.

Nothing is checked here: the API knows what is allowed, and says so. An option of None is left to the API's default.
"""

from collections.abc import Iterable, Mapping, Sequence

from vyaz.transport import Json


def generate_request(
    letters: Sequence[str],
    count: int,
    *,
    model: str | None = None,
    layout: str | None = None,
    size: int | None = None,
    attributes: Mapping[str, float] | Iterable[tuple[str, float]] | None = None,
    seed: int = 0,
    device: str = "auto",
    min_memory: int | None = None,
    wait_for_worker: bool = False,
    priority: str = "normal",
    shard_size: int | None = None,
    **spec: object,
) -> Json:
    """Ask for `count` variants in all, item i of group i modulo the number of groups in `letters`.

    `model` is `letters`, `letters:3` or `letters@alias`; `size` is in pixels; `spec` takes the other fields of
    `core.recipe.GenerateSpec` (rotation, stretch, shear; psi, style and spread, mix; judge). `attributes` are standard
    deviations by name, `{"weight": 1.5}`.
    """
    moved = dict(attributes) if attributes else None
    fields = {"letters": list(letters), "model": model, "layout": layout, "size": size, "attributes": moved, **spec}
    request = {"kind": "generate", "spec": _given(fields), "count": count, "seed": seed, "shard_size": shard_size}
    return _given({**request, **_placed(device, min_memory, wait_for_worker), "priority": priority})


def train_request(
    dataset: str = "fonts",
    *,
    family: str | None = None,
    name: str | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    device: str = "auto",
    min_memory: int | None = None,
    wait_for_worker: bool = False,
    priority: str = "normal",
    **spec: object,
) -> Json:
    """Ask for a new version of model `name`; `spec` takes the other fields of `core.training.config.TrainConfig`."""
    fields = {"dataset": dataset, "family": family, "name": name, "epochs": epochs, "minutes": minutes, **spec}
    placed = _placed(device, min_memory, wait_for_worker)
    return _given({"kind": "train", "spec": _given(fields), **placed, "priority": priority})


def dataset_request(dataset: str = "fonts") -> Json:
    """Ask to look at a dataset's source again: a new version is made only if its content changed."""
    return {"kind": "dataset", "spec": {"dataset": dataset}}


def evaluate_request(
    model: str = "letters",
    *,
    dataset: str | None = None,
    judge: str | None = None,
    styles: int | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Json:
    """Ask for the figures of a model version, of so many styles (100), beside the letters of a dataset."""
    spec = _given({"model": model, "dataset": dataset, "judge": judge, "styles": styles})
    return {"kind": "evaluate", "spec": spec, "seed": seed, "device": device}


def sheet_request(model: str = "letters", *, dataset: str | None = None, seed: int = 0, device: str = "auto") -> Json:
    """Ask for a page of what a model version draws."""
    return {"kind": "sheet", "spec": _given({"model": model, "dataset": dataset}), "seed": seed, "device": device}


def export_request(
    job: str | None = None,
    variants: Sequence[str] = (),
    *,
    formats: Sequence[str] = ("svg",),
    priority: str | None = None,
    **spec: object,
) -> Json:
    """Ask for files of a whole job, or of variants by their ids; `spec` takes the other fields of
    `core.specs.ExportSpec` (side in mm, pixels, ink, ground, name, min_stroke and min_gap in mm, bare)."""
    fields = {"job": job, "variants": list(variants) or None, "formats": list(formats), **spec}
    # A ground of None means none; of anything else it means the API's default.
    given = {name: value for name, value in fields.items() if value is not None or name == "ground"}
    return _given({"kind": "export", "spec": given, "priority": priority})


def verify_request(job: str, sample: int | None = 16, *, seed: int = 0) -> Json:
    """Ask to look at what a job stored, and to make `sample` of its variants again, by lot; None: all of them."""
    return {"kind": "verify", "spec": {"job": job, "sample": sample}, "seed": seed}


def repair_request(job: str) -> Json:
    """Ask to make damaged and lost shards of a job again."""
    return {"kind": "repair", "spec": {"job": job}}


def rebuild_request(job: str | None = None) -> Json:
    """Ask for the rows of a job to be made again from its shards; None: of all jobs that only the store knows."""
    return {"kind": "rebuild", "spec": {"job": job}}


def gc_request(*, dry_run: bool = False, grace_seconds: float = 3600.0) -> Json:
    """Ask to delete what nothing refers to, and what was not put within the grace period."""
    return {"kind": "gc", "spec": {"dry_run": dry_run, "grace_seconds": grace_seconds}}


def null_request(
    count: int,
    *,
    seed: int = 0,
    device: str = "auto",
    min_memory: int | None = None,
    wait_for_worker: bool = False,
    priority: str = "normal",
    shard_size: int | None = None,
    **spec: object,
) -> Json:
    """Ask for `count` items of nothing, to try the queue."""
    request = {"kind": "null", "spec": _given(spec), "count": count, "seed": seed, "shard_size": shard_size}
    return _given({**request, **_placed(device, min_memory, wait_for_worker), "priority": priority})


def _placed(device: str, min_memory: int | None, wait_for_worker: bool) -> Json:
    """What a slot must be; `min_memory` in bytes."""
    return {"device": device, "min_memory": min_memory, "wait_for_worker": wait_for_worker or None}


def _given(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
