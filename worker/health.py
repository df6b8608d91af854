"""Does this container's process do its work? For those that answer no HTTP: `python -m worker.health slot` or `beat`.

They are judged by what they leave in the tables, a slot by its heartbeat and beat by its tick: a process that hangs
still runs, but leaves nothing. Exits 0 when it is well, else 1 with the reason.
"""

import sys

import sqlalchemy as sa
from sqlalchemy.orm import Session

from core.catalogue.database import Database
from core.catalogue.tables import Queue, Worker
from core.errors import Unavailable
from core.ledger.slots import LIVE
from core.ledger.states import SlotState
from core.settings import Settings
from worker.device import machine


def check(what: str) -> str:
    """What is wrong with the slots of this machine, or with beat; empty when nothing is."""
    database = Database(Settings().database_url.get_secret_value(), pooled=False)
    try:
        with database.transaction() as session:
            well = _slot_beats(session) if what == "slot" else _beat_ticks(session)
    except Unavailable as error:
        return str(error)
    finally:
        database.close()
    return "" if well else f"no sign of {what} for {LIVE.total_seconds():g} s"


def _slot_beats(session: Session) -> bool:
    mine = sa.select(Worker.id).where(
        Worker.node.startswith(f"{machine()}:", autoescape=True), Worker.state != SlotState.GONE
    )
    return (
        session.scalars(mine.where(Worker.heartbeat_at > sa.func.clock_timestamp() - LIVE).limit(1)).first() is not None
    )


def _beat_ticks(session: Session) -> bool:
    return bool(session.scalar(sa.select(sa.func.min(Queue.ticked_at) > sa.func.clock_timestamp() - LIVE)))


if __name__ == "__main__":
    if sys.argv[1:] not in (["slot"], ["beat"]):
        sys.exit("usage: python -m worker.health slot|beat")
    sys.exit(check(sys.argv[1]) or 0)
