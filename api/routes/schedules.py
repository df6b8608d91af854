"""Schedules: rules by which jobs are submitted by themselves. The beat fires them."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Response
from sqlalchemy.orm import Session

from api import examples, schemas
from api.auth import Reader, Writer
from api.cursors import Keyset
from api.errors import documented
from api.parameters import Cursor, Limit
from api.routes.jobs import require_scope
from api.services import RequestRings, RequestSession
from core.broker import QUEUES
from core.catalogue import schedules
from core.catalogue.datasets import NAME
from core.catalogue.keys import Caller
from core.catalogue.schedules import Rule, ScheduleView
from core.catalogue.tables import Schedule
from core.errors import Conflict, Invalid
from core.ledger.jobs import clock
from core.ledger.schedules import fire
from core.ledger.tick import next_due
from core.requests import JobRequest, resolve, submit_stored

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])
KEYSET = Keyset("schedules", str)

ScheduleName = Annotated[str, Path(pattern=NAME)]
SHOWN = documented(401, 403, 404, 422, 503)


@router.get("", summary="Schedules by name", responses=documented(401, 403, 422, 503))
def list_schedules(
    session: RequestSession, caller: Reader, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Page[schemas.Schedule]:
    """The caller's owner's schedules."""
    after = KEYSET.decode(cursor)
    found = schedules.page(session, caller.owner_id, after, limit + 1)
    return KEYSET.page(found, limit, schemas.Schedule.of, _place)


@router.post(
    "",
    status_code=201,
    summary="Add a schedule",
    responses={
        200: {"model": schemas.Schedule, "description": "It was added before"},
        **documented(400, 401, 403, 409, 413, 415, 422, 503),
    },
)
def create(
    body: Annotated[schemas.NewSchedule, Body(examples=[examples.SCHEDULE])],
    session: RequestSession,
    caller: Writer,
    response: Response,
) -> schemas.Schedule:
    """The request is checked now, and resolved anew each time it is submitted."""
    require_scope(caller, body.request)
    _check(session, caller, body.request)
    rule = Rule(body.name, body.cron, body.timezone, body.request.model_dump(mode="json", exclude_unset=True))
    due = next_due(rule.cron, rule.timezone, clock(session))
    schedule, made = schedules.create(session, caller.owner_id, rule, due)
    if not made:
        response.status_code = 200
    response.headers["Location"] = f"/v1/schedules/{schedule.name}"
    return _shown(session, schedule)


@router.get("/{name}", summary="One schedule", responses=SHOWN)
def show(name: ScheduleName, session: RequestSession, caller: Reader) -> schemas.Schedule:
    """The schedule, and the last time that it fired."""
    return _shown(session, schedules.find(session, caller.owner_id, name))


@router.delete("/{name}", status_code=204, summary="Delete a schedule", responses=SHOWN)
def delete(name: ScheduleName, session: RequestSession, caller: Writer) -> None:
    """The jobs that it submitted stay."""
    schedules.remove(session, caller.owner_id, name)


@router.post("/{name}/pause", summary="Fire no more until resumed", responses=SHOWN)
def pause(name: ScheduleName, session: RequestSession, caller: Writer) -> schemas.Schedule:
    """A paused schedule can still be run by hand."""
    return _shown(session, schedules.pause(session, caller.owner_id, name))


@router.post("/{name}/resume", summary="Fire again", responses=SHOWN)
def resume(name: ScheduleName, session: RequestSession, caller: Writer) -> schemas.Schedule:
    """From now on; what was missed in the pause stays missed."""
    schedule = schedules.find(session, caller.owner_id, name, lock=True)
    schedules.resume(session, schedule, next_due(schedule.cron, schedule.timezone, clock(session)))
    return _shown(session, schedule)


@router.post(
    "/{name}/run", status_code=202, summary="Fire once, now", responses=documented(401, 403, 404, 409, 422, 503)
)
def run(
    name: ScheduleName, session: RequestSession, caller: Writer, rings: RequestRings, response: Response
) -> schemas.Fire:
    """Its times stay as they are."""
    schedule = schedules.find(session, caller.owner_id, name, lock=True)
    now = clock(session)
    fired = fire(session, schedule, now, submit_stored)
    if fired is None:
        raise Conflict(f"schedule {name!r} fired at this very moment")
    rings.add(QUEUES)
    if fired.job_id is not None:
        response.headers["Location"] = f"/v1/jobs/{fired.job_id}"
    return schemas.Fire(due_at=now, job=fired.job_id, reason=fired.reason, fired_at=now)


def _check(session: Session, caller: Caller, request: JobRequest) -> None:
    try:
        resolve(session, caller.owner_id, request)
    except Invalid as error:
        raise Invalid(str(error), f"/request{error.pointer or ''}") from error


def _shown(session: Session, schedule: Schedule) -> schemas.Schedule:
    return schemas.Schedule.of(schedules.view(session, [schedule])[0])


def _place(view: ScheduleView) -> str:
    return view.row.name
