"""A real node with torch and small weights: sheets, inversions, judged variants, and weights that nobody can trust."""

import json
import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import safetensors.numpy as safetensors
import sqlalchemy as sa
import torch
from PIL import Image, ImageDraw

from core import shipped
from core.catalogue import datasets, owners
from core.catalogue.tables import DatasetVersion, Job, Model, ModelVersion, Shard, Variant
from core.monogram import picture
from core.networks import mlp
from core.networks.judge import Architecture, Judge
from core.requests import JobRequest, submit_request
from core.settings import Settings
from core.storage import weights
from core.storage.blobs import Blobs
from core.storage.shards import members, read_manifest
from core.storage.uploads import keep
from tests.conftest import create_database, name_database
from tests.core.training.foundry import make_dataset, make_font
from tests.worker.conftest import Fleet
from vyaz.up.servers import ServerPair


@dataclass
class Studio:
    """An owner on a fleet of one node, and the store."""

    fleet: Fleet
    blobs: Blobs
    owner: uuid.UUID

    def ask(self, kind: str, count: int | None = None, **spec: Any) -> Job:
        """Submit a request and wait for its end."""
        with self.fleet.database.transaction() as session:
            job = submit_request(session, self.owner, JobRequest(kind=kind, spec=spec, count=count))
        self.fleet.ringer.ring(["cpu"])
        return self.fleet.finished(job.id, 240)

    def invert(self, data: bytes, name: str, letter: str | None = None) -> Job:
        upload = keep(self.blobs, self.owner, data)
        return self.ask("invert", upload=upload, name=name, letter=letter, steps=3)

    def picture(self, job: Job) -> Image.Image:
        with self.fleet.database.transaction() as session:
            shard = session.scalars(sa.select(Shard).where(Shard.job_number == job.number, Shard.state == "done")).one()
        assert shard.path == job.result["picture"]
        data = self.blobs.get(shard.path)
        assert sha256(data).digest() == shard.digest
        return Image.open(BytesIO(data))

    def version(self, name: str, data: bytes, digest: bytes | None = None) -> None:
        """Put weights into store and catalogue past every check."""
        key = weights.weights_key(sha256(data).hexdigest())
        self.blobs.put(key, data)
        with self.fleet.database.transaction() as session:
            model = Model(name=name)
            session.add(model)
            session.flush()
            said = {"path": key, "digest": digest or sha256(data).digest(), "size": len(data), "config": {}}
            session.add(ModelVersion(model_id=model.id, number=1, family="mlp", **said))


def generator() -> tuple[dict[str, np.ndarray], dict[str, str]]:
    torch.manual_seed(125)
    network = mlp.Generator(mlp.Architecture(generator=(32, 64)))
    with torch.no_grad():
        network.out.weight.mul_(8)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}, network.meta()


def pack(tensors: dict[str, np.ndarray], meta: dict[str, str]) -> bytes:
    return safetensors.save(tensors, {"vyaz": json.dumps(meta)})


def ship(folder: Path) -> Path:
    """A generator and a judge as they lie in a package."""
    torch.manual_seed(1)
    judge = Judge(Architecture.SELECT)
    folder.mkdir()
    for name, (tensors, meta) in {"letters": generator(), "judge-select": (judge.store(), judge.meta())}.items():
        data = pack(tensors, meta)
        (folder / f"{name}.safetensors").write_bytes(data)
        (folder / f"{name}.json").write_text(json.dumps({"sha256": sha256(data).hexdigest(), "config": {}}))
    return folder


@pytest.fixture(scope="module")
def studio(servers: ServerPair, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    name, folder = f"questions_{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("questions")
    create_database(servers, name, template)
    store = (folder / "store").as_uri()
    settings = Settings(
        database_url=name_database(servers, name),
        broker_url=servers.broker_url,
        store_url=store,
        data=folder / "data",
        threads=1,
    )
    fleet = Fleet(settings, folder)
    shipped.register(fleet.database, Blobs.open(store), ship(folder / "weights"))
    with fleet.database.transaction() as session:
        owner = owners.ensure(session, "studio").id
    fleet.node()
    yield Studio(fleet, Blobs.open(store), owner)
    fleet.close()


def draw_letter(background: str = "white", ink: str = "black") -> bytes:
    image = Image.new("RGB", (200, 160), background)
    pen = ImageDraw.Draw(image)
    pen.rectangle((60, 20, 80, 140), fill=ink)
    pen.rectangle((60, 20, 130, 40), fill=ink)
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_a_sheet_is_drawn_and_kept(studio: Studio) -> None:
    job = studio.ask("sheet")

    assert (job.state, job.reason) == ("done", None)
    assert studio.picture(job).width > 2000


def test_a_version_is_measured_and_keeps_its_figures(studio: Studio) -> None:
    strokes = tuple(0.05 + 0.01 * number for number in range(10))
    packed = replace(make_dataset("HIEABЖ38", strokes), clusters=np.arange(len(strokes))).pack()
    studio.blobs.put("datasets/frames.npz", packed)
    with studio.fleet.database.transaction() as session:
        frames, _ = datasets.create(session, studio.owner, "frames", "fonts", "/fonts")
        said = {"path": "datasets/frames.npz", "digest": sha256(packed).digest(), "size": len(packed), "report": {}}
        session.add(DatasetVersion(dataset_id=frames.id, number=1, **said))
    job = studio.ask("evaluate", dataset="frames:1", judge="judge-select", styles=5)
    with studio.fleet.database.transaction() as session:
        version = session.scalars(sa.select(ModelVersion).where(ModelVersion.id == job.model_version_id)).one()

    assert (job.state, job.reason) == ("done", None)
    assert version.figures == job.result["figures"]
    assert version.figures is not None
    assert (version.figures["styles"], version.figures["dataset"]) == (5, "frames:1")
    assert 0 <= version.figures["legibility"] <= 1
    assert version.figures["edge_residual_ratio"] > 0
    assert 0 <= version.figures["reconstruction_held"] <= 1


def test_a_font_of_no_licence_is_inverted(studio: Studio, tmp_path: Path) -> None:
    font = make_font(tmp_path / "own.ttf", "ABHOЖ", licence=None).read_bytes()
    job = studio.invert(font, "own.ttf")

    assert (job.state, job.reason) == ("done", None)
    assert len(job.result["w"]) == 100
    assert np.isfinite(job.result["w"]).all()
    assert sorted(job.result["letters"]) == sorted("ABHOЖ")
    assert 0 <= job.result["iou"] <= 1
    assert studio.picture(job).width > 600


@pytest.mark.parametrize("colours", [("white", "black"), ("navy", "gold")])
def test_the_picture_of_one_letter_is_inverted(studio: Studio, colours: tuple[str, str]) -> None:
    job = studio.invert(draw_letter(*colours), "g.png", "Г")

    assert (job.state, job.reason) == ("done", None)
    assert job.result["letters"] == "Г"


def flood() -> bytes:
    """A PNG header that promises 8,192 x 8,192 pixels, and no more."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 8192, 8192, 8, 6, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "make", "letter"),
    [
        ("cut.ttf", lambda font: font[:-300], None),
        ("noise.ttf", lambda font: font[:400] + bytes(np.random.default_rng(1).bytes(len(font) - 400)), None),
        ("flood.png", lambda _: flood(), "A"),
        ("blank.png", lambda _: draw_letter("white", "white"), "A"),
        ("unnamed.png", lambda _: draw_letter(), None),
    ],
)
def test_a_broken_or_hostile_file_fails_its_job_by_name_and_the_worker_lives(
    studio: Studio, tmp_path: Path, name: str, make: Callable[[bytes], bytes], letter: str | None
) -> None:
    font = make_font(tmp_path / "whole.ttf", "ABH").read_bytes()
    job = studio.invert(make(font), name, letter)

    assert job.state == "failed"
    assert job.reason is not None
    assert name in job.reason
    assert len(studio.fleet.slots()) == 1
    assert studio.fleet.processes[0].poll() is None


def test_variants_carry_the_reading_of_the_judge_that_was_pinned(studio: Studio) -> None:
    job = studio.ask("generate", count=8, letters=["AB"], size=32)
    with studio.fleet.database.transaction() as session:
        found = session.scalars(sa.select(Variant).where(Variant.job_number == job.number)).all()
        shard = session.scalars(sa.select(Shard).where(Shard.job_number == job.number, Shard.state == "done")).first()
        judge = session.scalars(sa.select(ModelVersion.digest).join(Model).where(Model.name == "judge-select")).one()
    assert shard is not None

    assert (job.state, job.spec["judge"], len(found)) == ("done", "judge-select:1", 8)
    assert all(variant.legibility is not None and 0 <= variant.legibility <= 1 for variant in found)
    assert read_manifest(studio.blobs.get(shard.path or ""))["judge"] == judge.hex()


def harm(kind: str) -> tuple[bytes, bytes | None]:
    """Weights that must not be believed, and the digest that the catalogue claims."""
    tensors, meta = generator()
    if kind == "other-sha256":
        return pack(tensors, meta), b"\1" * 32
    if kind == "other-architecture":
        return pack(tensors, meta | {"family": "judge"}), None
    if kind == "nan":
        return pack(tensors | {"out.bias": np.full(784, np.nan, np.float32)}, meta), None
    return pack(tensors | {"out.bias": np.zeros(783, np.float32)}, meta), None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("other-sha256", "SHA-256"),
        ("other-architecture", "draw no letters"),
        ("nan", "holds NaN"),
        ("other-shape", "not of an mlp"),
    ],
)
@pytest.mark.parametrize("asked", ["generate", "sheet"])
def test_weights_nobody_can_trust_are_refused_before_the_first_variant(
    studio: Studio, asked: str, kind: str, reason: str
) -> None:
    studio.version(f"{kind}-{asked}", *harm(kind))
    more: dict[str, Any] = {"count": 8, "letters": ["AB"]} if asked == "generate" else {}
    job = studio.ask(asked, model=f"{kind}-{asked}", **more)

    assert (job.state, job.done) == ("failed", 0)
    assert reason in (job.reason or "")


def test_what_an_mlp_cannot_honour_fails_the_job_by_name(studio: Studio) -> None:
    job = studio.ask("generate", count=8, letters=["AB"], attributes={"weight": 1})

    assert (job.state, job.done) == ("failed", 0)
    assert "cannot honour attributes" in (job.reason or "")


def test_variants_are_exported_and_made_again_with_the_same_pixels(studio: Studio) -> None:
    made = studio.ask("generate", 6, letters=["AB", "C"], size=64)
    job = studio.ask("export", job=str(made.id), formats=["svg", "png"], pixels=64, name="{index} {letters}")
    with studio.fleet.database.transaction() as session:
        shard = session.scalars(sa.select(Shard).where(Shard.job_number == job.number, Shard.state == "done")).one()
        digests = list(
            session.scalars(sa.select(Variant.digest).where(Variant.job_number == made.number).order_by("index"))
        )
    data = studio.blobs.get(shard.path or "")
    with ZipFile(BytesIO(data)) as archive:
        names = archive.namelist()
        pictures = [
            picture.digest(picture.decode(archive.read(f"{i} {'AB' if i % 2 == 0 else 'C'}.png"))) for i in range(6)
        ]
        report = archive.read("report.csv").decode().splitlines()

    assert (job.state, job.done, job.result["exported"]) == ("done", 6, 6)
    assert sha256(data).digest() == shard.digest
    assert len(names) == 13
    assert pictures == digests
    assert len(report) == 7


def test_what_is_not_legible_enough_is_counted_and_not_kept(studio: Studio) -> None:
    job = studio.ask("generate", 70, letters=["AB"], size=64, min_legibility=0.999)
    with studio.fleet.database.transaction() as session:
        kept = session.scalar(sa.select(sa.func.count()).where(Variant.job_number == job.number))

    assert (job.state, job.done, job.failed) == ("done", 70, 0)
    assert kept == 0
    assert job.result["rejected"] == {"illegible": 70}


def test_the_best_that_differ_are_kept_and_nothing_else_stays(studio: Studio) -> None:
    plain = studio.ask("generate", 130, letters=["AB", "C", "AB"], size=64)
    job = studio.ask("generate", 130, letters=["AB", "C", "AB"], size=64, best=5)
    with studio.fleet.database.transaction() as session:
        every = session.scalars(sa.select(Variant).where(Variant.job_number == plain.number)).all()
        kept = session.scalars(sa.select(Variant).where(Variant.job_number == job.number).order_by("index")).all()
        paths = session.execute(
            sa.select(Shard.path, Shard.closing).where(Shard.job_number == job.number, Shard.path.is_not(None))
        ).all()
    tops = {letters: max(each.score or 0 for each in every if each.letters == letters) for letters in ("AB", "C")}
    same = {each.index: (each.digest, each.score) for each in every}

    assert (job.state, job.done, job.failed, job.closing) == ("done", 130, 0, "done")
    assert 2 <= len(kept) <= 5
    assert len(kept) + sum(job.result["rejected"].values()) == 130
    assert job.result["kept"] == len(kept)
    assert {each.letters for each in kept} == {"AB", "C"}
    assert {each.letters: each.score for each in sorted(kept, key=lambda e: e.score or 0)} == tops
    assert {each.index: (each.digest, each.score) for each in kept} == {each.index: same[each.index] for each in kept}
    # One object is left, and the catalogue points into it.
    [(path, closing)] = paths
    assert closing
    assert list(studio.blobs.keys(f"jobs/{job.id}")) == [path]
    found = {each.index: each for each in members(studio.blobs.get(path))}
    assert {index: (each.span.offset, each.span.length) for index, each in found.items()} == {
        each.index: (each.offset, each.length) for each in kept
    }
    assert all(found[each.index].meta["digest"] == each.digest.hex() for each in kept)
    png = studio.blobs.get_range(path, kept[0].offset, kept[0].length)
    assert picture.digest(picture.decode(png)) == kept[0].digest


def test_the_best_of_nothing_is_nothing(studio: Studio) -> None:
    job = studio.ask("generate", 70, letters=["AB"], size=64, min_legibility=0.999, best=3)

    assert (job.state, job.done) == ("done", 70)
    assert job.result == {"kept": 0, "rejected": {"illegible": 70}}
