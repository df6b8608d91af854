"""HTTP to the API: the key, time-outs, trying again, pages, events, and problem+json read back into `core.errors`."""

import functools
import random
import time
import uuid
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO, Final, TypeVar, cast

import httpx2
from pydantic import TypeAdapter, ValidationError

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized, Unavailable, VyazError

T = TypeVar("T")

ATTEMPTS: Final = 5
FIRST_PAUSE: Final = 0.2  # seconds; the bound of the random pause doubles with each attempt
LONGEST_PAUSE: Final = 5.0  # seconds
LONGEST_RETRY_AFTER: Final = 30.0  # seconds of a server's Retry-After that are waited out
TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)  # between two bytes, of a stream of events too
PAGE: Final = 1000  # the most items the API gives on one page

_AWAY: Final = frozenset({429, 502, 503, 504})
_REPEATABLE: Final = frozenset({"GET", "PUT"})
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

Json = dict[str, Any]


@dataclass(frozen=True)
class ServerEvent:
    """One server-sent event: its name, and its JSON object (empty if it carries none)."""

    name: str
    data: Json


class Transport:
    """Requests to one API under one key. May be shared by threads.

    Every request raises a class of `core.errors` when it fails. GET, PUT and creating POSTs (they carry an
    `Idempotency-Key`) are tried again while the server is away; other requests only if they were never sent.
    """

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._http = httpx2.Client(
                base_url=self.url,
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                timeout=TIMEOUT,
            )
        except (httpx2.InvalidURL, UnicodeEncodeError, ValueError) as error:
            raise Invalid(f"{url!r} with this key makes no address: {error}") from error

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def get(self, path: str, **query: object) -> Json:
        """GET a JSON object; a query value of None is left out."""
        return _json(self._request("GET", path, query=query))

    def get_bytes(self, path: str) -> bytes:
        """GET whatever lies there."""
        return self._request("GET", path).content

    def save(self, path: str, target: BinaryIO) -> int:
        """GET whatever lies there into an open file, as it comes; how many bytes. Raises `Unavailable` if it breaks."""
        try:
            with self._http.stream("GET", path) as response:
                if response.is_error:
                    response.read()
                    raise _error(response)
                return sum(target.write(chunk) for chunk in response.iter_bytes())
        except httpx2.TransportError as error:
            raise Unavailable(f"{self.url}{path} broke off: {error or type(error).__name__}") from error

    def pages(self, path: str, limit: int | None = None, **query: object) -> Iterator[Json]:
        """Yield the items of a list, page after page, at most `limit` of them."""
        left = limit
        cursor = None
        while left is None or left > 0:
            page = self.get(path, limit=min(PAGE, left or PAGE), cursor=cursor, **query)
            items = page["items"][:left]
            yield from items
            left = None if left is None else left - len(items)
            cursor = page.get("next")
            if cursor is None:
                return

    def create(self, path: str, body: Json) -> Json:
        """POST something new, once, however often it has to be sent."""
        return _json(self._request("POST", path, body=body, headers={"Idempotency-Key": str(uuid.uuid4())}))

    def upload(self, path: str, data: bytes, **query: object) -> Json:
        """POST a file to make something new, once, however often it has to be sent."""
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/octet-stream"}
        return _json(self._request("POST", path, query=query, content=data, headers=headers))

    def post(self, path: str, body: Json | None = None) -> Json:
        """POST an order, which is not given again when nobody knows whether it was heard."""
        return _json(self._request("POST", path, body=body))

    def put(self, path: str, body: Json) -> Json:
        """PUT a JSON object."""
        return _json(self._request("PUT", path, body=body))

    def patch(self, path: str, body: Json) -> Json:
        """PATCH with a JSON object."""
        return _json(self._request("PATCH", path, body=body))

    def delete(self, path: str) -> None:
        """DELETE what lies there."""
        self._request("DELETE", path)

    def events(self, path: str) -> Iterator[ServerEvent]:
        """Yield server-sent events until the server ends them; raise `Unavailable` when the stream breaks."""
        try:
            with self._http.sse(path) as source:
                if source.response.is_error:
                    source.response.read()
                    raise _error(source.response)
                for event in source:
                    data = event.json() if event.data else {}
                    yield ServerEvent(event.event, data if isinstance(data, dict) else {})
        except (httpx2.TransportError, ValueError) as error:
            raise Unavailable(f"the events of {self.url}{path} broke off: {error}") from error

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Json | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        repeatable = method in _REPEATABLE or "Idempotency-Key" in (headers or {})
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, params=given, json=body, content=content, headers=headers)
            except httpx2.TransportError as error:
                if attempt == ATTEMPTS or not (repeatable or isinstance(error, _NEVER_SENT)):
                    raise Unavailable(f"no answer from {self.url}: {error or type(error).__name__}") from error
                time.sleep(_pause(attempt))
                continue
            if not response.is_error:
                return response
            if response.status_code not in _AWAY or not repeatable or attempt == ATTEMPTS:
                raise _error(response)
            time.sleep(max(_pause(attempt), _retry_after(response)))
        raise AssertionError("the last attempt returns or raises")


def read(kind: type[T], answer: object) -> T:
    """Make a frozen answer of JSON. Fields that this client does not know are dropped: the API may be newer."""
    try:
        made: T = _adapter(cast(Hashable, kind)).validate_python(answer)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise VyazError(f"the API's answer is no {kind.__name__.lower()} ({place}: {first['msg']})") from error
    return made


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _json(response: httpx2.Response) -> Json:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise VyazError(f"{response.url} answered {response.status_code} without a JSON object; is this a Vyaz API?")
    return answer


def _pause(attempt: int) -> float:
    """Seconds before the next attempt: random up to a bound that doubles, so that clients do not come back in step."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (attempt - 1))


def _retry_after(response: httpx2.Response) -> float:
    """Seconds the server asks for; 0 when it names none (or a date, which ours never does)."""
    value = response.headers.get("retry-after", "")
    return min(float(value), LONGEST_RETRY_AFTER) if value.isdecimal() else 0.0


def _error(response: httpx2.Response) -> VyazError:
    """The error that a problem+json answer tells of."""
    problem = _problem(response)
    status = response.status_code
    message, pointer = _sentence(problem, status), _pointer(problem)
    simple: dict[int, type[VyazError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}
    if status in simple:
        return simple[status](message)
    if status in _AWAY:
        return Unavailable(message, retry_after=int(_retry_after(response)) or 2)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Invalid(message, pointer)
    request = problem.get("request_id")
    return VyazError(f"the API failed: {message}" + (f" (request {request})" if request else ""))


def _problem(response: httpx2.Response) -> Json:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _sentence(problem: Json, status: int) -> str:
    """One line for people: what the API says, and about which fields, as far as it does not say so already."""
    known = {int(each): each.phrase.lower() for each in HTTPStatus}
    message = str(problem.get("detail") or problem.get("title") or known.get(status, "no reason given"))
    for each in _faults(problem):
        detail = str(each.get("detail", ""))
        if detail and detail not in message:
            message += f"; {str(each.get('pointer', '')).strip('/').replace('/', '.')}: {detail}"
    return message


def _pointer(problem: Json) -> str | None:
    return next((each["pointer"] for each in _faults(problem) if isinstance(each.get("pointer"), str)), None)


def _faults(problem: Json) -> list[Json]:
    faults = problem.get("errors")
    return [each for each in faults if isinstance(each, dict)] if isinstance(faults, list) else []
