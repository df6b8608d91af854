"""Every way a request can fail, as problem+json (RFC 9457). One table maps core's categories to statuses."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.schemas import Fault, Problem
from core.errors import (
    Conflict,
    EnvironmentFault,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
    Unavailable,
    VyazError,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 2
MAX_FAULTS = 20
MAX_DETAIL = 500

STATUSES: dict[type[VyazError], int] = {
    Invalid: 422,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
    EnvironmentFault: 503,
}
"""Core's categories; anything else that core raises is a fault of ours."""

PROBLEMS = {
    400: ("unreadable", "The request cannot be read"),
    401: ("no-key", "A key is needed"),
    403: ("scope-too-small", "The key's scope does not reach"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "This cannot be done here"),
    408: ("too-slow", "The body took too long"),
    409: ("conflict", "Its state does not allow this"),
    413: ("too-large", "The body is too large"),
    415: ("not-json", "The body is not JSON"),
    422: ("invalid", "The request makes no sense"),
    500: ("failure", "Something failed here"),
    503: ("unavailable", "Something behind the API is away"),
}
"""The name for programs, and the title, of each status."""

EXAMPLE = {
    "type": "urn:vyaz:problem:invalid",
    "title": PROBLEMS[422][1],
    "status": 422,
    "detail": "count: Input should be greater than or equal to 1",
    "errors": [{"pointer": "/count", "detail": "Input should be greater than or equal to 1"}],
    "request_id": "5f0c9c6a2d1e4b7c8a3f0e1d2c3b4a59",
}
Responses = dict[int | str, dict[str, Any]]
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": EXAMPLE}}


def documented(*statuses: int) -> Responses:
    """These problems, as OpenAPI tells of them."""
    return {status: {"description": PROBLEMS[status][1], "content": _CONTENT} for status in statuses}


def problem(
    request: Request,
    status: int,
    detail: str,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer that says what went wrong."""
    name, title = PROBLEMS.get(status, ("other", HTTPStatus(status).phrase))
    request_id = str(getattr(request.state, "request_id", ""))
    body = Problem(
        type=f"urn:vyaz:problem:{name}",
        title=title,
        status=status,
        detail=_short(detail),
        errors=list(faults[:MAX_FAULTS]),
        request_id=request_id,
    )
    # ASCII: a message may quote what cannot be encoded.
    content = json.dumps(body.model_dump())
    return Response(content, status, {**(headers or {}), "X-Request-ID": request_id}, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every failure of this app as a problem."""
    app.add_exception_handler(VyazError, _answer_ours)
    app.add_exception_handler(RequestValidationError, _answer_validation)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)


async def _answer_ours(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
    if status == 500:
        return await _answer_unexpected(request, error)
    faults = []
    headers = {}
    if isinstance(error, Invalid) and error.pointer:
        faults = [Fault(pointer=error.pointer, detail=_short(str(error)))]
    if status == 503:
        headers["Retry-After"] = str(getattr(error, "retry_after", RETRY_AFTER))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(request, status, str(error), faults, headers)


async def _answer_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes):  # FastAPI reads a body only if it says that it is JSON
        return problem(request, 415, "send the body as JSON, with Content-Type: application/json")
    errors = error.errors()
    if any(each["type"] == "json_invalid" for each in errors):
        return problem(request, 400, f"the body is no JSON: {errors[0]['ctx']['error']} at {errors[0]['loc'][-1]}")
    faults = [Fault(pointer=_pointer(each["loc"]), detail=_short(_message(each))) for each in errors]
    first = f"{faults[0].pointer.strip('/').replace('/', '.') or 'the body'}: {faults[0].detail}"
    return problem(request, 422, first, faults)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not known here"}
    return problem(request, error.status_code, said.get(error.status_code, error.detail), headers=error.headers)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return problem(request, 500, "an error of ours; the log has more under this request id")


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def _pointer(place: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901); what is not in the body starts with where it is."""
    parts = place[1:] if place and place[0] == "body" else place
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _short(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 1] + "…"
