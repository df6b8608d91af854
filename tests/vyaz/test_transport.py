"""Trying again, and errors read back, against a server that misbehaves on purpose."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable, VyazError
from tests.vyaz.odd_server import Answer, Asked, OddServer, Told
from vyaz.client import Client
from vyaz.resources.jobs import Jobs
from vyaz.transport import ATTEMPTS, Transport


def answering(*answers: Told) -> Answer:
    """One after another; the last one again and again."""
    return lambda asked, before: answers[min(before, len(answers) - 1)]


def problem(status: int, detail: str, **more: object) -> Told:
    body = json.dumps({"type": "about:blank", "title": "No", "status": status, "detail": detail, **more})
    return Told(status, body.encode(), {"Content-Type": "application/problem+json"})


def job(state: str, done: int = 0) -> bytes:
    return json.dumps({"id": "j", "kind": "null", "state": state, "total": 9, "done": done, "failed": 0}).encode()


Connect = Callable[..., Transport]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes transports, and closes them."""
    with contextlib.ExitStack() as opened:

        def open_one(url: str, key: str = "key") -> Transport:
            return opened.enter_context(contextlib.closing(Transport(url, key)))

        yield open_one


AWAY = problem(503, "the database is away")


def test_a_get_is_tried_again_while_the_server_is_away(connect: Connect) -> None:
    with OddServer(answering(AWAY, AWAY, Told(body=b'{"here": 1}'))) as server:
        assert connect(server.url).get("/x") == {"here": 1}

    assert len(server.asked) == 3


def test_trying_again_ends_with_what_the_server_says(connect: Connect) -> None:
    with OddServer(answering(AWAY)) as server, pytest.raises(Unavailable, match="the database is away"):
        connect(server.url).get("/x")

    assert len(server.asked) == ATTEMPTS


def test_retry_after_is_waited_out(connect: Connect) -> None:
    later = Told(503, b"{}", {"Retry-After": "1"})
    with OddServer(answering(later, Told())) as server:
        began = time.monotonic()
        connect(server.url).get("/x")

    assert time.monotonic() - began >= 1.0


def test_a_creating_post_is_repeated_under_one_key_and_the_next_one_has_another(connect: Connect) -> None:
    with OddServer(answering(Told(cut=True), AWAY, Told())) as server:
        transport = connect(server.url)
        transport.create("/x", {"a": 1})
        transport.create("/x", {"a": 1})
    keys = [asked.headers["idempotency-key"] for asked in server.asked]

    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert {asked.body for asked in server.asked} == {b'{"a":1}'}


@pytest.mark.parametrize("send", [lambda it: it.post("/x"), lambda it: it.patch("/x", {}), lambda it: it.delete("/x")])
def test_an_order_that_may_have_been_carried_out_is_not_sent_twice(
    send: Callable[[Transport], object], connect: Connect
) -> None:
    with OddServer(answering(Told(cut=True))) as server, pytest.raises(Unavailable):
        send(connect(server.url))

    assert len(server.asked) == 1


def test_an_order_that_was_never_sent_is_tried_again(connect: Connect) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer from"):
            connect(f"http://127.0.0.1:{held.getsockname()[1]}").post("/x")

    assert time.monotonic() - began > 1.0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (401, Unauthorized), (403, Forbidden), (404, NotFound), (409, Conflict), (413, Invalid)],
)
def test_a_problem_becomes_the_error_that_the_api_raised(status: int, kind: type[VyazError], connect: Connect) -> None:
    with OddServer(answering(problem(status, "because of this"))) as server, pytest.raises(kind) as caught:
        connect(server.url).get("/x")

    assert type(caught.value) is kind
    assert str(caught.value) == "because of this"
    assert len(server.asked) == 1


def test_the_fields_that_make_no_sense_are_named(connect: Connect) -> None:
    faults = [{"pointer": "/spec/size", "detail": "at least 16"}, {"pointer": "/count", "detail": "no number"}]
    told = problem(422, "the body makes no sense", errors=faults)
    with OddServer(answering(told)) as server, pytest.raises(Invalid) as caught:
        connect(server.url).create("/x", {})

    assert str(caught.value) == "the body makes no sense; spec.size: at least 16; count: no number"
    assert caught.value.pointer == "/spec/size"


def test_a_failure_of_the_api_names_the_request(connect: Connect) -> None:
    told = problem(500, "unexpected", request_id="abc")
    with OddServer(answering(told)) as server, pytest.raises(VyazError, match=r"unexpected \(request abc\)"):
        connect(server.url).get("/x")


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_something_else_on_that_port_is_told_plainly(body: bytes, connect: Connect) -> None:
    with OddServer(answering(Told(body=body))) as server, pytest.raises(VyazError, match="is this a Vyaz API"):
        connect(server.url).get("/x")


def test_an_answer_that_is_no_job_is_told_plainly() -> None:
    with (
        OddServer(answering(Told(body=b'{"id": "j"}'))) as server,
        Client(server.url, "key") as client,
        pytest.raises(VyazError, match=r"is no job \(kind"),
    ):
        client.jobs.get("j")


def test_pages_end_with_the_last_cursor_or_with_the_limit(connect: Connect) -> None:
    def page(asked: Asked, before: int) -> Told:
        first = "cursor" not in asked.path
        return Told(body=json.dumps({"items": [{"n": before}] * 3, "next": "c" if first else None}).encode())

    with OddServer(page) as server:
        transport = connect(server.url)
        assert len(list(transport.pages("/x", letters="ЇЖ"))) == 6
        assert len(list(transport.pages("/x", 4))) == 4
        assert len(list(transport.pages("/x", 3))) == 3
    paths = [asked.path for asked in server.asked]

    assert paths[0] == "/x?limit=1000&letters=%D0%87%D0%96"
    assert paths[2:] == ["/x?limit=4", "/x?limit=1&cursor=c", "/x?limit=3"]


def test_watching_goes_on_when_the_events_break_off(connect: Connect) -> None:
    def answer(asked: Asked, before: int) -> Told:
        if asked.path.endswith("/events"):
            event = b"event: progress\ndata: " + job("running", before) + b"\n\n"
            return Told(body=event, headers={"Content-Type": "text/event-stream"}, cut=True)
        return Told(body=job("done", 9) if before > 3 else job("running", before))

    with OddServer(answer) as server:
        states = list(Jobs(connect(server.url)).watch("j"))

    assert [(state.state, state.done) for state in states] == [
        ("running", 0),
        ("running", 1),
        ("running", 2),
        ("running", 3),
        ("done", 9),
    ]


def test_watching_does_without_events(connect: Connect) -> None:
    def answer(asked: Asked, before: int) -> Told:
        if asked.path.endswith("/events"):
            return problem(404, "no such thing") if before % 2 else Told(body=b"no events")
        return Told(body=job("done", 9) if before > 3 else job("running", before))

    with OddServer(answer) as server:
        assert Jobs(connect(server.url)).wait("j").done == 9


def test_a_wait_with_a_limit_ends_by_it(connect: Connect) -> None:
    with OddServer(answering(Told(body=job("paused")))) as server:
        jobs = Jobs(connect(server.url))
        with pytest.raises(TimeoutError, match=r"paused after 0\.3 s, with 0 of 9"):
            jobs.wait("j", timeout=0.3)

    assert not any(asked.path.endswith("/events") for asked in server.asked)


def test_the_key_goes_along_and_is_not_shown(connect: Connect) -> None:
    with OddServer(answering(Told())) as server:
        transport = connect(server.url + "/", "secret")
        transport.get("/x")

    assert server.asked[0].headers["authorization"] == "Bearer secret"
    assert "secret" not in repr(transport) + str(vars(transport))
