"""The command `vyaz` as a process: what it writes where, and how it ends."""

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import typer
from PIL import Image

from core.monogram.picture import decode
from tests.vyaz.conftest import House, Vyaz
from vyaz import Client
from vyaz.cli.output import shorten
from vyaz.cli.variants import read_mm

Start = Callable[..., "subprocess.Popen[bytes]"]

JOB_FIELDS = {"id", "kind", "state", "total", "done", "failed"}


def test_generate_prints_the_job_and_nothing_else_on_stdout(house: House, client: Client, vyaz: Vyaz) -> None:
    house.model()
    said = vyaz("generate", "AB", "їж", "--count", "10", "--seed", "3", "--size", "64", "--model", "letters:1")
    job = client.jobs.get(said.out.strip())

    assert said.code == 0
    assert (job.total, job.seed, job.model, job.state) == (10, 3, "letters:1", "queued")
    assert (job.spec["letters"], job.spec["size"]) == (["AB", "ЇЖ"], 64)
    assert (
        said.err
        == f"Submitted {shorten(job.id)}: 10 variants with letters:1. Watch it: vyaz jobs watch {shorten(job.id)}\n"
    )


def test_generate_waits_and_prints_the_finished_job_as_json(house: House, vyaz: Vyaz) -> None:
    house.model()
    working = house.work_aside(pause=0.3)
    said = vyaz("generate", "AB", "--count", "70", "--wait", "--json", "--shard-size", "64")
    working.join()
    job = json.loads(said.out)

    assert said.code == 0
    assert job.keys() >= JOB_FIELDS
    assert (job["kind"], job["state"], job["total"], job["done"], job["failed"]) == ("generate", "done", 70, 70, 0)
    assert [line.split(" in ")[0] for line in said.err.splitlines()] == [
        f"Submitted {shorten(job['id'])}: 70 variants with letters:1.",
        "Done: 70 variants",
    ]


def test_no_bar_is_drawn_into_a_pipe_even_when_colours_are_forced(house: House, vyaz: Vyaz) -> None:
    house.model()
    working = house.work_aside(pause=0.5)
    said = vyaz("generate", "AB", "--count", "70", "--wait", env={"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"})
    working.join()

    assert said.code == 0
    assert "━" not in said.err + said.out
    assert "\x1b[?25l" not in said.err + said.out  # hides the cursor: what a live display starts with
    assert len(said.err.splitlines()) == 2


def test_a_bar_with_rate_and_workers_is_drawn_on_a_terminal(house: House, vyaz_process: Start) -> None:
    house.model()
    screen, terminal = pty.openpty()
    process = vyaz_process("generate", "AB", "--count", "256", "--shard-size", "64", "--wait", stderr=terminal)
    os.close(terminal)
    working = house.work_aside(pause=1.2)
    drawn = read_all(screen)
    working.join()
    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "━" in drawn
    assert "256/256" in drawn
    assert "/s" in drawn
    assert "1 worker" in drawn
    assert " left" in drawn
    assert out.decode().count("\n") == 1


def test_ctrl_c_while_waiting_leaves_the_job_and_says_how_to_watch_it(
    house: House, client: Client, vyaz_process: Start
) -> None:
    process = vyaz_process("train", "--dataset", "fonts", "--family", "mlp", "--name", "letters", "--wait")
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"Submitted")
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    (job, _) = client.jobs.list()

    assert process.returncode == 130
    assert (job.kind, job.state, out) == ("train", "queued", b"")
    assert f"The job keeps running. Watch it: vyaz jobs watch {shorten(job.id)}" in err.decode()
    assert "Traceback" not in err.decode()


def test_a_failed_or_cancelled_job_is_exit_code_three(house: House, client: Client, vyaz: Vyaz) -> None:
    job = client.jobs.null(64)
    job.cancel()
    said = vyaz("jobs", "watch", job.id, "--json")

    assert said.code == 3
    assert json.loads(said.out)["state"] == "cancelled"
    assert said.err.startswith(f"error: job {job.id} was cancelled (0 of 64 done); try again: vyaz jobs retry")


def test_items_that_failed_are_pointed_out(house: House, client: Client, vyaz: Vyaz) -> None:
    job = client.jobs.null(64)
    house.work(failing=(3,))
    said = vyaz("jobs", "watch", job.id)

    assert said.code == 0
    assert f"see vyaz jobs show {shorten(job.id)}" in said.err


def test_train_submits_what_its_options_say(client: Client, vyaz: Vyaz) -> None:
    options = ("--dataset", "fonts", "--family", "mlp", "--name", "letters", "--epochs", "2", "--batch", "64")
    said = vyaz("train", *options, "--json")
    job = json.loads(said.out)

    assert said.code == 0
    assert job.keys() >= JOB_FIELDS
    assert (job["kind"], job["spec"]["epochs"], job["spec"]["batch"]) == ("train", 2.0, 64)
    assert client.jobs.get(job["after"]).kind == "dataset"


def test_jobs_are_listed_shown_and_ordered_about_by_short_ids(client: Client, vyaz: Vyaz) -> None:
    job = client.jobs.null(64)
    short = shorten(job.id)
    lines = vyaz("jobs", "list").out.splitlines()

    assert [lines[0].split("\t")[0], lines[1].split("\t")[:3]] == ["job", [short, "null", "queued"]]
    assert [each["id"] for each in json.loads(vyaz("jobs", "list", "--json").out)] == [job.id]
    assert json.loads(vyaz("jobs", "show", short, "--json").out).keys() >= JOB_FIELDS
    assert vyaz("jobs", "show").out.startswith(f"id\t{job.id}\nkind\tnull\n")
    for order, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "running")):
        said = vyaz("jobs", order, short, "--json")
        assert (said.code, json.loads(said.out)["state"]) == (0, state)
    assert vyaz("jobs", "priority", short, "bulk").code == 0
    assert client.jobs.get(job.id).priority == "bulk"
    assert vyaz("jobs", "rm", short).code == 1  # it runs
    vyaz("jobs", "cancel", short)
    said = vyaz("jobs", "rm", short)
    assert (said.code, said.out) == (0, "")
    assert list(client.jobs.list()) == []


def test_variants_are_listed_and_fetched(house: House, client: Client, vyaz: Vyaz, tmp_path: Path) -> None:
    house.model()
    job = client.jobs.generate(["AB", "ЇЖ"], count=20)
    house.work()
    short = shorten(job.id)
    listed = json.loads(vyaz("variants", "list", "--job", short, "--letters", "їж", "--limit", "4", "--json").out)
    file = tmp_path / "new folder" / "one.png"

    assert [each["index"] for each in listed] == [1, 3, 5, 7]
    assert listed[0].keys() >= {"id", "job", "index", "letters", "layout", "model"}
    assert vyaz("variants", "list", "--job", short).out.splitlines()[1].split("\t")[:2] == [f"{short}.0", "AB"]
    assert json.loads(vyaz("variants", "show", f"{short}.1", "--json").out)["letters"] == "ЇЖ"
    said = vyaz("variants", "image", f"{short}.1", "-o", str(file))
    assert (said.code, said.out, said.err) == (0, "", f"Wrote {file}.\n")
    assert vyaz("variants", "image", listed[0]["id"], "-o", "-").raw == file.read_bytes()
    assert decode(file.read_bytes()).shape == (128, 128)
    said = vyaz("variants", "image", f"{short}.20", "-o", str(tmp_path / "two.png"))
    assert (said.code, (tmp_path / "two.png").exists()) == (1, False)


def test_a_sheet_is_drawn_of_a_jobs_pictures(house: House, client: Client, vyaz: Vyaz, tmp_path: Path) -> None:
    house.model()
    job = client.jobs.generate(["AB", "ЇЖ"], count=200)
    empty = vyaz("sheet", job.id, "-o", str(tmp_path / "early.png"))
    house.work(failing=(0, 7))
    said = vyaz("sheet", shorten(job.id), "-o", str(tmp_path / "sheet.png"), "--limit", "24")
    piped = vyaz("sheet", job.id, "-o", "-")

    assert (empty.code, "no pictures (yet)" in empty.err) == (1, True)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"Wrote {tmp_path / 'sheet.png'}: 23 variants.\n"  # item 0 was chosen, and failed
    for sheet in ((tmp_path / "sheet.png").read_bytes(), piped.raw):
        assert Image.open(BytesIO(sheet)).format == "PNG"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet.png"]


def test_the_lists_of_everything_else(house: House, vyaz: Vyaz, tmp_path: Path) -> None:
    house.model()
    house.work()

    assert vyaz("models", "list").out.splitlines()[1].split("\t")[:2] == ["letters:1", "mlp"]
    assert json.loads(vyaz("models", "list", "--json").out)[0]["versions"][0]["number"] == 1
    assert vyaz("datasets", "add", "mine", ".").code == 0
    datasets = {each["name"]: each for each in json.loads(vyaz("datasets", "list", "--json").out)}
    assert datasets["mine"]["path"] == str(tmp_path)  # absolute: the worker has another working folder
    assert vyaz("datasets", "list").out.splitlines()[1:3] == [
        "emnist\temnist\tdownload\t0",
        "fonts\tfonts\tinstalled font packages\t0",
    ]
    assert vyaz("datasets", "add", "hands", "--kind", "emnist", "--split", "balanced").code == 0
    hands = json.loads(vyaz("datasets", "list", "--json").out)[2]
    assert (hands["name"], hands["kind"], hands["split"], hands["path"]) == ("hands", "emnist", "balanced", None)
    assert vyaz("datasets", "add", "nowhere").code != 0  # fonts need a folder
    assert json.loads(vyaz("workers", "list", "--json").out)[0]["queue"] == "cpu"
    assert vyaz("owners", "set", "guest", "--weight", "3").code == 0
    assert {"name": "guest", "weight": 3.0}.items() <= json.loads(vyaz("owners", "list", "--json").out)[0].items()


def test_a_key_is_printed_once_and_can_be_revoked(vyaz: Vyaz) -> None:
    made = vyaz("keys", "create", "--owner", "guest", "--scope", "read")
    key = made.out.strip()
    listed = {each["prefix"]: each for each in json.loads(vyaz("keys", "list", "--json").out)}
    prefix = key[:16]

    assert (made.code, listed[prefix]["scope"], listed[prefix]["owner"]) == (0, "read", "guest")
    assert key not in vyaz("keys", "list").out
    said = vyaz("generate", "AB", "--count", "1", env={"VYAZ_API_KEY": key})
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert vyaz("keys", "revoke", listed[prefix]["id"]).code == 0
    said = vyaz("jobs", "list", env={"VYAZ_API_KEY": key})
    assert said.code == 1
    assert "set VYAZ_API_KEY" in said.err


def test_a_schedule_keeps_what_the_command_after_the_dashes_would_submit(client: Client, vyaz: Vyaz) -> None:
    command = ("train", "--dataset", "fonts", "--family", "mlp", "--name", "letters", "--minutes", "5")
    said = vyaz("schedules", "add", "nightly", "--cron", "0 3 * * *", "--tz", "Europe/Kyiv", "--", *command)
    (kept,) = client.schedules.list()
    direct = client.jobs.get(vyaz(*command).out.strip())
    fired = client.jobs.get(vyaz("schedules", "run", "nightly").out.strip())

    assert (said.code, said.out, kept.cron, kept.timezone) == (0, "nightly\n", "0 3 * * *", "Europe/Kyiv")
    assert kept.next_due_at is not None
    assert (kept.next_due_at.minute, kept.next_due_at.hour) in {(0, 0), (0, 1)}  # UTC, in summer and in winter
    assert (fired.kind, fired.spec, fired.total) == (direct.kind, direct.spec, direct.total)
    assert vyaz("schedules", "pause", "nightly").code == 0
    assert json.loads(vyaz("schedules", "list", "--json").out)[0]["paused"]
    assert vyaz("schedules", "rm", "nightly").code == 0
    assert list(client.schedules.list()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "AB"),
        ("generate", "--count", "3"),
        ("generate", "AB", "--count", "1.5"),
        ("generate", "AB", "--count", "3", "--nonsense"),
        ("jobs", "nonsense"),
        ("jobs", "cancel"),
        ("train", "--epochs", "many"),
        ("variants", "image", "x.1"),
        ("schedules", "add", "n", "--cron", "* * * * *", "--", "dance"),
        ("schedules", "add", "n", "--cron", "* * * * *", "--", "train", "--nonsense"),
        ("schedules", "add", "n", "--cron", "* * * * *", "--", "train", "--wait"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_exit_code_two(vyaz: Vyaz, arguments: tuple[str, ...]) -> None:
    said = vyaz(*arguments)

    assert (said.code, said.out) == (2, "")
    assert "Usage: vyaz" in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generate", "AÄ", "--count", "3"), "Ä"),
        (("generate", "AB", "--count", "0"), "count"),
        (("generate", "AB", "--count", str(2**63)), "count"),
        (("generate", "AB", "--count", "3", "--model", "nobody"), "nobody"),
        (("generate", "AB", "--count", "3", "--layout", "spiral"), "spiral"),
        (("train", "--dataset", "nothing"), "nothing"),
        (("train", "--epochs", "1", "--minutes", "1"), "epochs or minutes"),
        (("jobs", "show", "nonsense"), "is no job id; see vyaz jobs list"),
        (("jobs", "show", "01234567"), "none of the newest 1,000 jobs"),
        (("jobs", "cancel", "00000000-0000-7000-8000-000000000000"), "there is no job"),
        (("variants", "image", "nonsense", "-o", "x"), "is no variant id"),
        (("sheet", "00000000-0000-7000-8000-000000000000", "-o", "x"), "there is no job"),
        (("schedules", "add", "n", "--cron", "x", "--", "train"), "cron"),
        (("schedules", "rm", "nothing"), "there is no schedule"),
        (("keys", "create", "--scope", "all"), "scope"),
        (("jobs", "list", "--data", "nowhere"), "start it (vyaz up --data nowhere)"),
    ],
)
def test_a_refusal_is_one_line_with_the_reason(
    house: House, vyaz: Vyaz, arguments: tuple[str, ...], words: str
) -> None:
    house.model()
    said = vyaz(*arguments)

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err


def test_nobody_at_the_address_is_told_in_one_line(vyaz: Vyaz) -> None:
    said = vyaz("jobs", "list", env={"VYAZ_URL": "http://127.0.0.1:9"})

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert said.err.startswith("error: no answer from http://127.0.0.1:9")


def test_a_setting_that_makes_no_sense_is_named(vyaz: Vyaz) -> None:
    said = vyaz("jobs", "list", env={"VYAZ_LEASE_SECONDS": "soon"})

    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "VYAZ_LEASE_SECONDS" in said.err


def test_a_reader_that_has_enough_is_no_error(client: Client, vyaz_process: Start) -> None:
    for _ in range(3):
        client.jobs.null(1)
    process = vyaz_process("jobs", "list")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)

    assert b"Traceback" not in err
    assert b"error" not in err


def test_doctor_finds_what_is_here_and_what_answers(house: House, vyaz: Vyaz) -> None:
    house.work()  # somebody works
    said = vyaz("doctor", "--json")
    found = {each["name"]: each for each in json.loads(said.out)}

    assert said.code == 0
    expected = {"python", "libraries", "torch", "device", "instance", "database", "broker", "workers", "disk"}
    assert found.keys() >= expected | {"bundled postgresql", "bundled valkey"}
    assert {each["state"] for each in found.values()} == {"ok"}
    assert found["instance"]["detail"] == house.url
    assert "PostgreSQL) 18" in found["bundled postgresql"]["detail"]


def test_doctor_says_what_is_wrong(house: House, vyaz: Vyaz) -> None:
    away = {"VYAZ_URL": "http://127.0.0.1:9", "VYAZ_DATABASE_URL": "postgresql://u:p@127.0.0.1:9/x"}
    said = vyaz("doctor", "--json", env={**away, "VYAZ_BROKER_URL": "redis://127.0.0.1:9/0"})
    wrong = {each["name"] for each in json.loads(said.out) if each["state"] == "wrong"}

    assert said.code == 1
    assert wrong == {"instance", "VYAZ_DATABASE_URL", "VYAZ_BROKER_URL"}


def read_all(screen: int) -> str:
    """All that is written on a terminal until its last writer closes it."""
    drawn = b""
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:  # how Linux says it
            part = b""
        if not part:
            os.close(screen)
            return drawn.decode()
        drawn += part


@pytest.mark.parametrize(
    ("text", "millimetres"), [("50mm", 50), (" 5 cm ", 50), ("2in", 50.8), ("7.5", 7.5), ("1e1mm", 10)]
)
def test_lengths_are_read_in_what_workshops_write(text: str, millimetres: float) -> None:
    assert read_mm(text) == pytest.approx(millimetres)


@pytest.mark.parametrize("text", ["", "mm", "5 ells", "five", "1.2.3mm", "5mm x 5mm"])
def test_what_is_no_length_is_refused_by_name(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no length"):
        read_mm(text)
