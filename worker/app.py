"""The worker's assembly: what a Celery process of Vyaz is made of, on one screen.

    celery -A worker.app worker --queues cpu --concurrency 1        a node with one slot
    celery -A worker.app beat --scheduler worker.beat:TickScheduler  schedules, lost rings, dead slots

The parent forks and watches; it never imports torch. Each prefork child is one slot.
"""

from celery import signals

from core import log
from core.broker import connect
from core.settings import Settings
from worker import node, tasks

settings = Settings()
app = connect(settings)
tasks.register(app)


@signals.setup_logging.connect(weak=False)
def _set_up_logging(**_: object) -> None:
    log.configure(settings)


node.watch(settings)
