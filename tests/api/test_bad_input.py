"""What makes no sense is refused with a sentence and a pointer, and nothing is written down."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.gates import MAX_BODY
from tests.api.conftest import House

PROBLEM = "application/problem+json"
GENERATE: dict[str, Any] = {"kind": "generate", "spec": {"letters": ["AB"]}, "count": 10}
NULL: dict[str, Any] = {"kind": "null", "count": 10}
TRAIN: dict[str, Any] = {"kind": "train", "spec": {"dataset": "fonts", "minutes": 1}}


def spec(**changes: Any) -> dict[str, Any]:
    return GENERATE | {"spec": GENERATE["spec"] | changes}


def train(**changes: Any) -> dict[str, Any]:
    return TRAIN | {"spec": TRAIN["spec"] | changes}


def post(api: TestClient, house: House, raw: str | bytes, path: str = "/v1/jobs", **headers: str) -> Any:
    own = house.keys["write"] | {"Content-Type": "application/json"} | headers
    return api.post(path, headers=own, content=raw)


def refusal(answer: Any, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(
    "count", ["0", "-1", "1.5", "1.0", "9223372036854775808", "1e400", "true", '"1"', "[]", "NaN", "1e3", "10000000001"]
)
def test_a_count_that_is_no_count_is_refused(api: TestClient, house: House, count: str) -> None:
    before = house.rows()
    problem = refusal(post(api, house, '{"kind": "null", "count": ' + count + "}"))

    assert problem["errors"][0]["pointer"] == "/count"
    assert house.rows() == before


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        (spec(letters=["ß"]), "/spec/letters/0", "ß"),
        (spec(letters=["Ы"]), "/spec/letters/0", "Ы"),
        (spec(letters=["A B"]), "/spec/letters/0", "allowed"),
        (spec(letters=[""]), "/spec/letters/0", "no letters"),
        (spec(letters=[]), "/spec/letters", "at least 1"),
        (spec(letters=["ABCDE"]), "/spec/letters", "ABCDE"),
        (spec(layout="heap"), "/spec/layout", "single, straight"),
        (spec(layout="single"), "/spec/letters", "single"),
        (spec(layout="interlaced", letters=["ABCD"]), "/spec/letters", "2 to 3"),
        (spec(layout="vyaz", letters=["A"]), "/spec/letters", "2 to 12"),
        (spec(frame="heart"), "/spec/frame", "circle, double"),
        (spec(order="eastern"), "/spec/order", "ukrainian"),
        (spec(min_legibility=1.5), "/spec/min_legibility", "less than or equal"),
        (spec(best=0), "/spec/best", "greater than or equal"),
        (spec(best=100_000), "/spec/best", "less than or equal"),
        (spec(best=9_999), "/spec/best", "cannot be kept"),
        (spec(size=0), "/spec/size", "16"),
        (spec(size=10**6), "/spec/size", "1024"),
        (spec(size=8), "/spec/size", "16"),
        (spec(size=256.5), "/spec/size", "integer"),
        (spec(model="nobody"), "/spec/model", "letters"),
        (spec(model="letters:9"), "/spec/model", "letters:2"),
        (spec(model="letters@nobody"), "/spec/model", "letters@best"),
        (spec(model="letters:0"), "/spec/model", "letters:0"),
        (spec(model="a b"), "/spec/model", "a b"),
        (spec(owner="rival"), "/spec/owner", "not permitted"),
        (GENERATE | {"count": None}, "/count", "needs a count"),
        (GENERATE | {"seed": 2**53}, "/seed", "less than or equal"),
        (GENERATE | {"seed": -1}, "/seed", "greater than or equal"),
        (GENERATE | {"shard_size": 100}, "/shard_size", "multiple of 64"),
        (GENERATE | {"shard_size": 0}, "/shard_size", "greater than or equal"),
        (GENERATE | {"priority": "urgent"}, "/priority", "interactive"),
        (GENERATE | {"device": "tpu"}, "/device", "cpu"),
        (GENERATE | {"kind": "parcel"}, "/kind", "generate"),
        (GENERATE | {"state": "done"}, "/state", "not permitted"),
        ({"spec": {}, "count": 1}, "/kind", "required"),
        (train(dataset="nobody"), "/spec/dataset", "fonts"),
        (train(dataset="fonts:1"), "/spec/dataset", "version"),
        (train(family="gan"), "/spec/family", "mlp"),
        (train(epochs=1), "/spec", "epochs or minutes"),
        (train(batch="32"), "/spec/batch", "integer"),
        (train(name="Ä"), "/spec/name", "pattern"),
        (TRAIN | {"count": 5}, "/count", "means nothing"),
        ({"kind": "dataset", "spec": {"dataset": "nobody"}}, "/spec/dataset", "fonts"),
        ({"kind": "dataset", "spec": {"path": "/etc"}}, "/spec/path", "not permitted"),
        (NULL | {"spec": {"seconds_per_item": -1}}, "/spec/seconds_per_item", "greater"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_with_a_pointer_and_what_is_known(
    api: TestClient, house: House, body: dict[str, Any], pointer: str, said: str
) -> None:
    house.model(versions=2, aliases={"best": 1})
    api.get("/v1/datasets", headers=house.keys["read"])  # the built-in one is there from now on
    before = house.rows()
    problem = refusal(post(api, house, json.dumps(body)))

    assert problem["errors"][0]["pointer"] == pointer
    assert said in problem["detail"] + problem["errors"][0]["detail"]
    assert house.rows() == before


@pytest.mark.parametrize("sign", ["\\u0000", "\\ud800", "\\udfff\\ud800"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", '{"kind": "generate", "count": 1, "spec": {"letters": ["A%s"]}}'),
        ("/v1/jobs", '{"kind": "generate", "count": 1, "spec": {"letters": ["A"], "model": "%s"}}'),
        ("/v1/jobs", '{"kind": "generate", "count": 1, "spec": {"letters": ["A"], "layout": "%s"}}'),
        ("/v1/jobs", '{"kind": "generate", "count": 1, "spec": {"letters": ["A"], "%s": 1}}'),
        ("/v1/jobs", '{"kind": "train", "spec": {"dataset": "%s"}}'),
        ("/v1/jobs", '{"kind": "train", "spec": {"name": "%s"}}'),
        ("/v1/jobs", '{"kind": "null", "count": 1, "spec": {"faults": {"%s": "item"}}}'),
        ("/v1/jobs", '{"kind": "%s", "count": 1}'),
        ("/v1/jobs", '{"kind": "null", "count": 1, "priority": "%s"}'),
        ("/v1/jobs", '{"kind": "null", "count": 1, "%s": 1}'),
        ("/v1/datasets", '{"name": "%s"}'),
        ("/v1/datasets", '{"name": "a", "path": "/%s"}'),
        ("/v1/keys", '{"owner": "%s"}'),
        ("/v1/keys", '{"name": "%s"}'),
        ("/v1/schedules", '{"name": "%s", "cron": "0 3 * * *", "request": {"kind": "dataset"}}'),
        ("/v1/schedules", '{"name": "a", "cron": "%s", "request": {"kind": "dataset"}}'),
        ("/v1/schedules", '{"name": "a", "cron": "0 3 * * *", "timezone": "%s", "request": {"kind": "dataset"}}'),
        ("/v1/schedules", '{"name": "a", "cron": "0 3 * * *", "request": {"kind": "dataset", "spec": {"%s": 1}}}'),
    ],
)
def test_nul_and_lone_surrogates_are_refused_everywhere(
    api: TestClient, house: House, path: str, body: str, sign: str
) -> None:
    problem = refusal(post(api, house, body % sign, path, **house.keys["admin"]))

    assert problem["type"] == "urn:vyaz:problem:invalid"


@pytest.mark.parametrize(
    "query",
    [
        "/v1/variants?letters=%00",
        "/v1/variants?letters=%ff",
        "/v1/variants?model=%00",
        "/v1/variants?layout=heap",
        "/v1/variants?job=7",
        "/v1/variants?limit=0",
        "/v1/variants?limit=-1",
        "/v1/variants?limit=1001",
        "/v1/variants?limit=1e9",
        "/v1/variants?cursor=%00",
        "/v1/variants?cursor=eyJhIjoxfQ",
        "/v1/variants?cursor=" + "A" * 401,
        "/v1/jobs?state=asleep",
        "/v1/jobs?kind=parcel",
        "/v1/jobs?cursor=WyJ2YXJpYW50cyIsWzEsMl1d",
        "/v1/jobs?cursor=WyJqb2JzIiw5OTk5OTk5OTk5OTk5OTk5OTk5OV0",
        "/v1/jobs/not-a-uuid",
        "/v1/models/%00",
        "/v1/datasets/%00",
        "/v1/schedules/a%0Ab",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: TestClient, house: House, query: str) -> None:
    assert refusal(api.get(query, headers=house.keys["read"]))["errors"]


@pytest.mark.parametrize("variant", ["%00", "x.1", "00000000-0000-0000-0000-000000000000.-1", "1" * 50])
def test_what_is_no_variants_id_names_no_variant(api: TestClient, house: House, variant: str) -> None:
    refusal(api.get(f"/v1/variants/{variant}", headers=house.keys["read"]), 404)


@pytest.mark.parametrize("raw", ["{", "", "{}}", "nope", b"\xff\xfe", '{"count": ' + "9" * 5000 + "}", "[" * 100_000])
def test_what_is_no_json_cannot_be_read(api: TestClient, house: House, raw: str | bytes) -> None:
    answer = post(api, house, raw)

    assert answer.status_code in ({422} if raw == "" else {400})
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_does_not_say_it_is_json_is_not_read(api: TestClient, house: House, kind: str) -> None:
    refusal(post(api, house, json.dumps(NULL), **{"Content-Type": kind}), 415)


def test_a_body_over_a_mebibyte_is_refused_by_its_length_and_as_it_comes(api: TestClient, house: House) -> None:
    pad = json.dumps(NULL | {"spec": {"pad": "x" * MAX_BODY}})
    own = house.keys["write"] | {"Content-Type": "application/json"}
    halves = (pad[: MAX_BODY // 2].encode(), pad[MAX_BODY // 2 :].encode())

    refusal(post(api, house, pad), 413)
    refusal(api.post("/v1/jobs", headers=own, content=iter(halves)), 413)


def test_a_long_list_of_faults_is_cut_and_the_answer_stays_small(api: TestClient, house: House) -> None:
    body = NULL | {f"field{number}": "x" for number in range(5_000)}
    answer = post(api, house, json.dumps(body))

    assert len(refusal(answer)["errors"]) == 20
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("key", ["x" * 256, "", "ключ"])
def test_an_idempotency_key_that_cannot_be_is_a_bad_request(api: TestClient, house: House, key: str) -> None:
    own = {name.encode(): value.encode() for name, value in house.keys["write"].items()}
    answer = api.post("/v1/jobs", headers={**own, b"Idempotency-Key": key.encode()}, json=NULL)  # type: ignore[dict-item]

    assert "Idempotency-Key" in refusal(answer, 400)["detail"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v1/jobs/", "/docs", "/openapi.json", "/%00"])
def test_there_is_a_problem_at_every_address_that_is_none(api: TestClient, path: str) -> None:
    refusal(api.get(path), 404)


def test_a_method_that_is_not_known_says_which_are(api: TestClient, house: House) -> None:
    answer = api.put("/v1/jobs", headers=house.keys["admin"], json={})

    refusal(answer, 405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("weight", ["0", "-1", "1e400", "NaN", '"2"', "true", "null", "1e7"])
def test_a_weight_that_is_none_is_refused(api: TestClient, house: House, weight: str) -> None:
    own = house.keys["admin"] | {"Content-Type": "application/json"}
    problem = refusal(api.put("/v1/owners/studio", headers=own, content='{"weight": ' + weight + "}"))

    assert problem["errors"][0]["pointer"] == "/weight"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"cron": "0 3 * *"}, "/cron"),
        ({"cron": "61 3 * * *"}, "/cron"),
        ({"cron": "@daily"}, "/cron"),
        ({"cron": "0 0 30 2 *"}, "/cron"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"timezone": "../../etc/passwd"}, "/timezone"),
        ({"request": {"kind": "train", "spec": {"dataset": "nobody"}}}, "/request/spec/dataset"),
        ({"request": {"kind": "generate", "spec": {"letters": ["AB"]}, "count": 0}}, "/request/count"),
    ],
)
def test_a_schedule_that_could_never_fire_is_refused(
    api: TestClient, house: House, change: dict[str, Any], pointer: str
) -> None:
    rule = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Kyiv", "request": TRAIN, **change}
    problem = refusal(api.post("/v1/schedules", headers=house.keys["write"], json=rule))

    assert problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("path", ["fonts", "./fonts", "", "/a\nb", "/" + "x" * 5000])
def test_a_dataset_without_a_whole_path_is_refused(api: TestClient, house: House, path: str) -> None:
    problem = refusal(api.post("/v1/datasets", headers=house.keys["write"], json={"name": "own", "path": path}))

    assert problem["errors"][0]["pointer"] == "/path"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"kind": "emnist", "split": "byclass"}, "letters"),
        ({"kind": "fonts", "path": "/fonts", "split": "letters"}, "has no split"),
    ],
)
def test_a_split_is_one_of_emnists(api: TestClient, house: House, body: dict[str, str], reason: str) -> None:
    problem = refusal(api.post("/v1/datasets", headers=house.keys["write"], json={"name": "own", **body}))

    assert problem["errors"][0]["pointer"] == "/split"
    assert reason in str(problem)
