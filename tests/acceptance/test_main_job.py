"""The main job on a whole Vyaz: exact under fire, the same pixels however it is cut, fair to whoever waits."""

import functools
import time
from collections import Counter
from pathlib import Path

import pytest

from core.monogram.picture import decode, digest
from core.storage.blobs import Blobs
from tests.acceptance.conftest import PAIRS, Instance, running, wait_until
from vyaz import Client
from vyaz.resources.jobs import Job

COUNT = 1000
SEED = 7


pytestmark = pytest.mark.acceptance


def generate(client: Client, **options: object) -> Job:
    return client.jobs.generate(PAIRS, count=COUNT, seed=SEED, model="quick", **options)


def stored_digests(instance: Instance, job: Job) -> dict[int, str]:
    """The digest of every picture, taken from the pixels that the API serves."""
    images = instance.client.variants.images(f"{job.id}.{index}" for index in range(COUNT))
    return {index: digest(decode(image)).hex() for index, image in enumerate(images) if image is not None}


def test_killed_workers_and_an_emptied_valkey_cost_not_one_variant(pair: Instance) -> None:
    calm = generate(pair.client).wait(timeout=240)
    job = generate(pair.client)
    for part in (0.15, 0.5):
        wait_until(lambda part=part: job.refresh().done >= COUNT * part, f"{part:.0%} done", 120)
        pair.flush()
        pair.kill_a_worker()
    ended = job.wait(timeout=240)
    expected, found = pair.digests(calm.id), pair.digests(job.id)

    assert (ended.state, ended.done, ended.failed) == ("done", COUNT, 0)
    assert sorted(found) == list(range(COUNT))
    assert found == expected
    assert stored_digests(pair, job) == expected


def test_pixels_do_not_depend_on_how_a_job_is_cut_or_how_many_work_on_it(trained: Path) -> None:
    with running(trained, workers=2) as several:
        jobs = [generate(several.client, shard_size=size) for size in (64, 128, 512)]
        found = [several.digests(job.wait(timeout=240).id) for job in jobs]
    with running(trained, workers=1) as alone:
        found += [alone.digests(generate(alone.client, shard_size=size).wait(timeout=240).id) for size in (64, 512)]

    assert len(found[0]) == COUNT
    assert all(digests == found[0] for digests in found)


def test_a_batch_submitted_during_a_training_gets_its_first_pictures_within_half_a_minute(alone: Instance) -> None:
    training = alone.client.jobs.train("few", family="mlp", name="long", minutes=1.5)
    wait_until(lambda: training.refresh().state == "running", "the training runs", 120)
    time.sleep(5)
    submitted = time.monotonic()
    batch = alone.client.jobs.generate(PAIRS, count=64)
    wait_until(lambda: batch.refresh().done > 0, "the first pictures", 60)
    waited = time.monotonic() - submitted
    still = training.refresh().state
    training.cancel()

    assert still == "running"
    assert waited <= 30


def test_a_training_killed_between_checkpoints_ends_in_the_same_weights(trained: Path) -> None:
    with running(trained, workers=1, segment_seconds=1.5) as instance:
        train = functools.partial(instance.client.jobs.train, "few", family="mlp", epochs=300)
        train(name="calm").wait(timeout=120)
        run = train(name="killed")
        for _ in range(2):
            before = run.refresh().done
            wait_until(lambda before=before: run.refresh().done > before, "another checkpoint", 60)
            instance.kill_a_worker()
        run.wait(timeout=120)
        weights = {model.name: model.versions for model in instance.client.models.list()}
    checkpoints = Counter(key.split("/")[1] for key in Blobs.open((trained / "store").as_uri()).keys("checkpoints"))

    assert weights["killed"][0].digest == weights["calm"][0].digest
    assert set(checkpoints.values()) == {1}


def test_with_valkey_dead_a_job_is_accepted_and_done_when_it_is_back(pair: Instance) -> None:
    pair.server("valkey-server").kill()
    job = pair.client.jobs.generate(PAIRS, count=128)

    assert job.wait(timeout=120).done == 128


def test_with_postgres_killed_nothing_is_lost_and_nobody_hangs(pair: Instance) -> None:
    job = generate(pair.client)
    wait_until(lambda: job.refresh().done > 200, "some way into the job", 120)
    pair.server("postgres").kill()
    ended = job.wait(timeout=240)

    assert (ended.state, ended.done, ended.failed) == ("done", COUNT, 0)
    assert sorted(pair.digests(job.id)) == list(range(COUNT))


def test_no_object_stands_in_the_store_that_a_removed_job_left(pair: Instance) -> None:
    job = pair.client.jobs.generate(PAIRS, count=256).wait(timeout=120)
    blobs = Blobs.open((pair.data / "store").as_uri())
    before = list(blobs.keys(f"jobs/{job.id}"))
    pair.client.jobs.remove(job.id)

    assert before
    wait_until(lambda: not list(blobs.keys(f"jobs/{job.id}")), "the objects are gone", 10)
