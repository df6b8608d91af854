"""The Python client against a real API."""

import threading
import time
from io import BytesIO

import pytest
from PIL import Image

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable
from core.ledger.states import JobState
from core.monogram.picture import decode, digest
from tests.vyaz.conftest import House
from vyaz import Client
from vyaz.resources.jobs import JobFailed


def test_letters_go_in_and_pictures_come_out(house: House, client: Client) -> None:
    house.model()
    job = client.jobs.generate(["AB", "їж"], count=100, seed=7)
    working = house.work_aside()
    done = job.wait()
    working.join()

    assert (job.state, job.total, job.model, job.seed) == ("queued", 100, "letters:1", 7)
    assert (done.id, done.state, done.done, done.failed) == (job.id, "done", 100, 0)
    variants = list(client.variants.list(job=job.id))
    assert [variant.index for variant in variants] == list(range(100))
    assert {variant.letters for variant in variants} == {"AB", "ЇЖ"}
    first = variants[0]
    assert (first.id, first.job, first.model) == (f"{job.id}.0", job.id, "letters:1")
    assert client.variants.get(first.id) == first
    png = client.variants.image(first.id)
    assert Image.open(BytesIO(png)).size == (128, 128)
    assert digest(decode(png)).hex() == first.digest


def test_variants_are_filtered_and_limited(house: House, client: Client) -> None:
    house.model()
    job = client.jobs.generate(["AB", "CD"], count=200)
    client.jobs.generate("EF", count=64)
    house.work()

    assert {variant.letters for variant in client.variants.list(letters="cd")} == {"CD"}
    assert len(list(client.variants.list(letters="CD", job=job.id, limit=30))) == 30
    assert len(list(client.variants.list())) == 264
    assert list(client.variants.list(layout="single")) == []
    assert [variant.letters for variant in client.variants.list(model="letters:1", limit=1)] == ["EF"]


def test_many_pictures_come_in_the_order_asked_for(house: House, client: Client) -> None:
    house.model()
    job = client.jobs.generate("AB", count=64)
    house.work(failing=(5,))
    images = list(client.variants.images(f"{job.id}.{index}" for index in range(20)))
    digests = [variant.digest for variant in client.variants.list(job=job.id, limit=19)]

    assert images[5] is None
    assert [digest(decode(png)).hex() for png in images if png is not None] == digests


def test_a_job_is_watched_from_state_to_state(house: House, client: Client) -> None:
    job = client.jobs.null(192, shard_size=64)
    working = house.work_aside(pause=0.8)
    states = [(state.state, state.done) for state in job.watch()]
    working.join()

    assert states[0] in [("queued", 0), ("running", 0)]
    assert states[-1] == ("done", 192)
    assert any(state == "running" and 0 < done < 192 for state, done in states)


def test_a_cancelled_job_is_told_by_an_error_that_carries_it(client: Client) -> None:
    job = client.jobs.null(64)
    threading.Timer(0.5, job.cancel).start()

    with pytest.raises(JobFailed, match="was cancelled") as caught:
        job.wait()

    assert (caught.value.job.id, caught.value.job.state) == (job.id, JobState.CANCELLED)


def test_a_watcher_outlives_the_api(house: House, client: Client) -> None:
    job = client.jobs.null(64)
    seen = []
    watching = threading.Thread(target=lambda: seen.append(job.wait()))
    watching.start()
    time.sleep(0.5)
    house.door.stop()
    time.sleep(4)
    house.door.start()
    house.work()
    watching.join(30)

    assert [job.state for job in seen] == ["done"]


def test_orders_follow_the_state_of_the_job(house: House, client: Client) -> None:
    job = client.jobs.null(64)

    assert job.pause().state == "paused"
    assert job.resume().state == "queued"
    assert client.jobs.reprioritise(job.id, "bulk").priority == "bulk"
    assert job.cancel().state == "cancelled"
    with pytest.raises(Conflict, match="cannot pause a job that is cancelled"):
        job.pause()
    assert job.retry().state == "running"
    house.work()
    assert job.refresh().finished
    client.jobs.remove(job.id)
    with pytest.raises(NotFound):
        job.refresh()


def test_jobs_are_listed_newest_first(client: Client) -> None:
    ids = [client.jobs.null(1).id for _ in range(3)]
    client.jobs.cancel(ids[1])

    assert [job.id for job in client.jobs.list()] == ids[::-1]
    assert [job.id for job in client.jobs.list(state="cancelled")] == [ids[1]]
    assert [job.id for job in client.jobs.list(limit=1)] == [ids[2]]
    assert list(client.jobs.list(kind="train")) == []


def test_a_training_waits_for_a_look_at_its_dataset(client: Client) -> None:
    job = client.jobs.train("fonts", family="mlp", name="letters", minutes=1, batch=64)
    assert job.after is not None
    earlier = client.jobs.get(job.after)

    assert (job.kind, job.spec["minutes"], job.spec["batch"]) == ("train", 1.0, 64)
    assert (earlier.kind, earlier.spec["dataset"]) == ("dataset", "fonts")
    assert client.jobs.dataset("fonts").kind == "dataset"


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (0, {}, "count"),
        (2**63, {}, "count"),
        (1.5, {}, "count"),
        (1, {"letters": ["AÄ"]}, "Ä"),
        (1, {"layout": "spiral"}, "spiral"),
        (1, {"model": "nobody"}, "nobody"),
        (1, {"size": 15}, "size"),
        (1, {"nonsense": 1}, "nonsense"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    house: House, client: Client, count: int, options: dict[str, object], words: str
) -> None:
    house.model()

    with pytest.raises(Invalid, match=words):
        client.jobs.generate(options.pop("letters", ["AB"]), count, **options)
    assert list(client.jobs.list()) == []


def test_keys_open_what_their_scope_and_owner_allow(house: House, client: Client) -> None:
    made = client.keys.create("guest", "read", "for looking")
    mine = client.jobs.null(1)

    assert made.key.startswith(made.prefix)
    assert made.key not in repr(made)
    with Client(house.url, made.key) as guest:
        assert list(guest.jobs.list()) == []
        with pytest.raises(Forbidden):
            guest.jobs.null(1)
        with pytest.raises(NotFound):
            guest.jobs.get(mine.id)
        client.keys.revoke(made.id)
        with pytest.raises(Unauthorized):
            list(guest.jobs.list())
    known = {key.prefix: (key.owner, key.revoked_at is None) for key in client.keys.list()}
    assert known[made.prefix] == ("guest", False)
    assert known[house.key[:16]] == (house.owner, True)


def test_the_rest_of_what_there_is(house: House, client: Client) -> None:
    house.model()
    house.work()

    assert [(model.name, [version.number for version in model.versions]) for model in client.models.list()] == [
        ("letters", [1])
    ]
    assert client.models.get("letters").newest is not None
    assert client.datasets.add("mine", str(house.folder)).path == str(house.folder)
    assert {dataset.name: dataset.builtin for dataset in client.datasets.list()} == {
        "emnist": True,
        "fonts": True,
        "mine": False,
    }
    assert [(worker.node, worker.queue, worker.state) for worker in client.workers.list()] == [("node", "cpu", "idle")]
    assert client.owners.set("guest", 2.5).weight == 2.5
    assert {owner.name: owner.weight for owner in client.owners.list()}.items() >= {
        house.owner: 1.0,
        "guest": 2.5,
    }.items()
    assert client.readiness().status == "ready"


def test_a_schedule_keeps_a_request_and_submits_it(client: Client) -> None:
    request = {"kind": "null", "spec": {}, "count": 3}
    made = client.schedules.add("nightly", "0 3 * * *", request, "Europe/Kyiv")
    fire = client.schedules.run("nightly")

    assert (made.name, made.cron, made.timezone, made.paused) == ("nightly", "0 3 * * *", "Europe/Kyiv", False)
    assert made.next_due_at is not None
    assert fire.job is not None
    assert client.jobs.get(fire.job).total == 3
    assert client.schedules.pause("nightly").paused
    assert not client.schedules.resume("nightly").paused
    assert [(each.name, each.last is not None) for each in client.schedules.list()] == [("nightly", True)]
    client.schedules.remove("nightly")
    assert list(client.schedules.list()) == []


def test_nobody_there_is_told_with_the_remedy(house: House) -> None:
    with pytest.raises(Unavailable, match="vyaz up --data"):
        Client(data=house.folder / "nothing")
    with pytest.raises(Invalid, match="not both"):
        Client("http://127.0.0.1:1", data=house.folder)
