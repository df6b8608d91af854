"""Schedules: fired once each, on the wall clock of their place, however many beats look."""

import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.tables import Fire, Job, Schedule
from core.errors import Invalid
from core.ledger.schedules import Fired, fire_due
from core.ledger.tick import next_due
from core.requests import submit_stored
from tests.core.ledger.conftest import Ledger

REQUEST = {"kind": "null", "count": 64}


def add(ledger: Ledger, due_at: datetime, cron: str = "* * * * *", request: dict[str, object] = REQUEST) -> uuid.UUID:
    owner = ledger.owner()
    with ledger.database.transaction() as session:
        schedule = Schedule(
            owner_id=owner, name="nightly", cron=cron, timezone="Europe/Kyiv", request=request, next_due_at=due_at
        )
        session.add(schedule)
        session.flush()
        return schedule.id


def fire_all(ledger: Ledger) -> list[Fired]:
    fired = []
    while True:
        with ledger.database.transaction() as session:
            one = fire_due(session, submit_stored)
        if one is None:
            return fired
        fired.append(one)


def count(session: Session, table: type[Job] | type[Fire]) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_a_due_schedule_submits_its_job_once_however_many_beats_look(ledger: Ledger) -> None:
    add(ledger, datetime.now(UTC) - timedelta(seconds=1))
    threads = [threading.Thread(target=fire_all, args=(ledger,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with ledger.database.transaction() as session:
        assert (count(session, Job), count(session, Fire)) == (1, 1)


def test_a_due_time_that_was_fired_before_is_not_fired_again(ledger: Ledger) -> None:
    due_at = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    schedule = add(ledger, due_at, cron="0 0 1 1 *")
    fire_all(ledger)
    with ledger.database.transaction() as session:
        session.execute(sa.update(Schedule).where(Schedule.id == schedule).values(next_due_at=due_at))

    assert fire_all(ledger) == []
    with ledger.database.transaction() as session:
        assert count(session, Job) == 1


def test_a_schedule_missed_many_times_fires_once_for_the_latest(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    add(ledger, now - timedelta(hours=3))
    (fired,) = fire_all(ledger)

    assert timedelta(0) <= now - fired.due_at < timedelta(minutes=2)


def test_a_schedule_that_is_not_due_or_paused_does_not_fire(ledger: Ledger) -> None:
    schedule = add(ledger, datetime.now(UTC) + timedelta(hours=1))
    later = fire_all(ledger)
    with ledger.database.transaction() as session:
        past = datetime.now(UTC) - timedelta(hours=1)
        session.execute(sa.update(Schedule).where(Schedule.id == schedule).values(next_due_at=past, paused=True))

    assert later == []
    assert fire_all(ledger) == []


def test_a_request_that_makes_no_sense_any_more_is_a_fire_with_a_reason(ledger: Ledger) -> None:
    request = {"kind": "generate", "count": 4, "spec": {"letters": ["AB"], "model": "gone"}}
    add(ledger, datetime.now(UTC) - timedelta(seconds=1), request=request)
    (fired,) = fire_all(ledger)

    assert fired.job_id is None
    assert "gone" in (fired.reason or "")
    with ledger.database.transaction() as session:
        assert session.scalars(sa.select(Schedule.next_due_at)).one() > datetime.now(UTC) - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        # In Kyiv the clocks go from 03:00 to 04:00 on 29 March 2026 and from 04:00 back to 03:00 on 25 October.
        ("2026-03-27T12:00+00:00", "2026-03-28T03:30+00:00"),
        ("2026-03-29T12:00+00:00", "2026-03-30T02:30+00:00"),
        ("2026-10-24T12:00+00:00", "2026-10-25T03:30+00:00"),
    ],
)
def test_a_rule_is_read_on_the_wall_clock_of_its_place(after: str, expected: str) -> None:
    due = next_due("30 5 * * *", "Europe/Kyiv", datetime.fromisoformat(after))

    assert due == datetime.fromisoformat(expected)


@pytest.mark.parametrize("after", ["2026-03-28T12:00+00:00", "2026-10-24T12:00+00:00"])
def test_a_daily_rule_fires_once_on_the_days_when_the_clocks_change(after: str) -> None:
    first = next_due("30 3 * * *", "Europe/Kyiv", datetime.fromisoformat(after))
    second = next_due("30 3 * * *", "Europe/Kyiv", first)

    assert timedelta(hours=22) < second - first < timedelta(hours=26)


@pytest.mark.parametrize("cron", ["", "* * * *", "61 * * * *", "every day", "* * * * * *", "@reboot"])
def test_a_rule_that_is_none_is_refused(cron: str) -> None:
    with pytest.raises(Invalid, match="cron"):
        next_due(cron, "Europe/Kyiv", datetime.now(UTC))


@pytest.mark.parametrize("timezone", ["Europe/Atlantis", "", "../../etc/passwd"])
def test_an_unknown_time_zone_is_refused(timezone: str) -> None:
    with pytest.raises(Invalid, match="time zone"):
        next_due("0 3 * * *", timezone, datetime.now(UTC))
