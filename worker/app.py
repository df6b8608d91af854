"""The worker's assembly: what a Celery process of Vyaz is made of, on one screen.

    celery -A worker.app worker --queues cpu --concurrency 1        a node with one slot
    celery -A worker.app beat --scheduler worker.beat:TickScheduler  schedules, lost rings, dead slots

The parent forks and watches; it never imports torch. Each prefork child is one slot.
"""

from celery import signals

from core import failpoints, log
from core.broker import connect
from core.settings import Settings
from worker import node, tasks

settings = Settings()
failpoints.arm(settings.failpoints)
app = connect(settings)
tasks.register(app)


# Whoever connects to this signal has the logs to himself: Celery leaves them alone.
signals.setup_logging.connect(lambda **_: log.configure(settings), weak=False)
node.watch(settings)
