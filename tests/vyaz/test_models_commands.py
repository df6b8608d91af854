"""`vyaz models` and the styles of `vyaz generate`: through a real API, with a slot that answers by hand."""

import json
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa

from core.catalogue import datasets, models, owners
from core.catalogue.tables import DatasetVersion, Model, ModelVersion
from core.errors import NotFound
from core.ledger import leases
from core.ledger.finish import Outcome, Stored, finish_surely
from core.storage.blobs import Blobs
from tests.core.storage.test_uploads import font
from tests.vyaz.conftest import House, Vyaz
from vyaz.client import Client

FIGURES = {
    "legibility": 0.973,
    "worst_letter": 0.9,
    "worst_letter_sign": "Ґ",
    "new_share": 0.7,
    "edge_residual_ratio": None,
}
STYLE = [0.25, -1.5, 3.0]


def answer(house: House, result: dict[str, Any]) -> threading.Thread:
    """Finish the next job as its worker would, in a thread."""

    def work() -> None:
        deadline = time.monotonic() + 60
        lease = None
        while lease is None and time.monotonic() < deadline:
            time.sleep(0.1)
            house.work(shards=0)  # registers the slot
            with house.door.database.transaction() as session:
                lease = leases.claim(session, house.slot, house.door.settings)
        assert lease is not None
        key = f"jobs/{lease.job_id}/{lease.kind}.{lease.epoch}.png"
        Blobs.open(house.door.settings.store_url).put(key, b"picture")
        stored = Stored(key, 7, sha256(b"picture").digest())

        def keep(session: Any) -> dict[str, Any]:
            if "figures" in result:
                models.keep_figures(session, lease.model_version_id, result["figures"])
            return result

        finish_surely(house.door.database, lease, Outcome(lease.stop, 0.1, stored), keep)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.fixture
def answering(house: House) -> Any:
    threads = []
    house.model()
    yield lambda result: threads.append(answer(house, result))
    for thread in threads:
        thread.join()


Answering = Callable[[dict[str, Any]], None]


def test_evaluate_prints_what_was_found_and_keeps_it(house: House, answering: Answering, vyaz: Vyaz) -> None:
    with house.door.database.transaction() as session:
        if session.scalar(sa.select(Model).where(Model.name == "judge-report")) is None:
            judge = Model(name="judge-report")
            session.add(judge)
            session.flush()
            said = {"family": "judge", "config": {}, "path": "j", "digest": b"\2", "size": 1}
            session.add(ModelVersion(model_id=judge.id, number=1, **said))
        few, _ = datasets.create(session, owners.ensure(session, house.owner).id, "few", "fonts", "/fonts")
        session.add(DatasetVersion(dataset_id=few.id, number=1, path="d", digest=b"\1", size=1, report={}))
    answering({"figures": FIGURES})
    said = vyaz("models", "evaluate", "letters:1", "--dataset", "few:1", "--json", timeout=120)
    shown = vyaz("models", "show", "letters:1")

    assert (said.code, json.loads(said.out)) == (0, FIGURES)
    assert "legibility\t0.973" in shown.out
    assert "worst letter sign\tҐ" in shown.out
    assert "edge residual ratio" not in shown.out


def test_a_sheet_is_written(answering: Answering, vyaz: Vyaz, house: House) -> None:
    answering({"picture": "somewhere"})
    said = vyaz("models", "sheet", "letters:1", "-o", "sheet.png", timeout=120)

    assert (said.code, said.out) == (0, "")
    assert (house.folder / "sheet.png").read_bytes() == b"picture"


def test_an_inversion_gives_a_style_that_generate_takes(answering: Answering, vyaz: Vyaz, house: House) -> None:
    (house.folder / "Own.ttf").write_bytes(font(b"glyf"))
    answering({"w": STYLE, "iou": 0.875, "letters": "AB", "picture": "somewhere"})
    said = vyaz("models", "invert", "Own.ttf", "-o", "own.json", "--picture", "own.png", timeout=120)
    found = json.loads((house.folder / "own.json").read_text())
    steered = ("--style", "own.json", "--spread", "0.2", "--attribute", "weight=1.5", "--attribute", "slant=-1")
    made = vyaz("generate", "AB", "-n", "4", *steered, "--psi", "0.8", "--mix", "0.25", "--json")
    spec = json.loads(made.out)["spec"]

    assert (said.code, said.out) == (0, "")
    assert found == {"model": "letters:1", "iou": 0.875, "letters": "AB", "w": STYLE}
    assert (house.folder / "own.png").read_bytes() == b"picture"
    assert (spec["style"], spec["spread"], spec["psi"], spec["mix"]) == (STYLE, 0.2, 0.8, 0.25)
    assert spec["attributes"] == {"weight": 1.5, "slant": -1.0}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("models", "invert", "gone.ttf"), "cannot read gone.ttf"),
        (("models", "invert", "noise.ttf"), "noise.ttf is neither a font"),
        (("models", "show", "nothing"), "there is no model"),
        (("models", "show", "letters:77"), "letters has no version 77; there are: letters:1"),
        (("generate", "A", "-n", "1", "--attribute", "heavy"), "as weight=1.5"),
        (("generate", "A", "-n", "1", "--attribute", "colour=1"), "there is no attribute 'colour'"),
        (("generate", "A", "-n", "1", "--style", "noise.ttf"), "no JSON"),
        (("generate", "A", "-n", "1", "--psi", "9"), "1.5"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(
    vyaz: Vyaz, house: House, arguments: tuple[str, ...], reason: str
) -> None:
    house.model()
    (house.folder / "noise.ttf").write_bytes(b"noise")
    said = vyaz(*arguments)

    assert said.code in (1, 2)
    assert reason in " ".join(said.err.replace("│", " ").split())


def test_a_job_without_a_picture_says_so(client: Client, house: House) -> None:
    house.model()
    job = client.jobs.sheet()

    with pytest.raises(NotFound, match="has no picture: it is queued"):
        client.jobs.image(job.id)


def test_a_schedule_keeps_attributes_as_generate_reads_them(house: House) -> None:
    from vyaz.cli.submit import parse_request

    file = house.folder / "style.json"
    file.write_text(json.dumps(STYLE))
    request = parse_request(["generate", "AB", "-n", "2", "--attribute", "width=-1", "--style", str(file)])

    assert (request["spec"]["attributes"], request["spec"]["style"]) == ({"width": -1.0}, STYLE)
