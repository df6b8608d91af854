"""Who is asking: the key of a request, and how far its scope reaches. Looked up each time; nothing is cached."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.services import RequestServices, RequestSession
from core.catalogue import keys
from core.catalogue.keys import Caller, Scope
from core.errors import Unauthorized

_bearer = HTTPBearer(
    auto_error=False, scheme_name="key", bearerFormat="vyz_…", description="An API key, made with `vyaz keys create`"
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def identify(request: Request, session: RequestSession, bearer: Bearer) -> Caller:
    """Whose key this is, in the request's own transaction; raises `Unauthorized`."""
    caller = keys.identify(session, key_of(bearer))
    request.state.key = caller.prefix
    return caller


def identify_briefly(request: Request, services: RequestServices, bearer: Bearer) -> Caller:
    """The same in a transaction that is over before the handler starts: for answers that take long."""
    key = key_of(bearer)
    with services.database.transaction() as session:
        caller = keys.identify(session, key)
    request.state.key = caller.prefix
    return caller


def key_of(bearer: HTTPAuthorizationCredentials | None) -> str:
    """The key in the header; raises `Unauthorized` when there is none."""
    if bearer is None:
        raise Unauthorized("no key; send the header Authorization: Bearer vyz_…")
    return bearer.credentials


def _reader(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    caller.require(Scope.READ)
    return caller


def _writer(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    caller.require(Scope.WRITE)
    return caller


def _admin(caller: Annotated[Caller, Depends(identify)]) -> Caller:
    caller.require(Scope.ADMIN)
    return caller


Reader = Annotated[Caller, Depends(_reader)]
Writer = Annotated[Caller, Depends(_writer)]
Admin = Annotated[Caller, Depends(_admin)]
BriefReader = Annotated[Caller, Depends(identify_briefly)]
