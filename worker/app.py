"""The worker's assembly: what a Celery process of Vyaz is made of, on one screen.

    celery -A worker.app worker --queues cpu --concurrency 1        a node with one slot
    celery -A worker.app beat --scheduler worker.beat:TickScheduler  schedules, lost rings, dead slots

The parent forks and watches; it never imports torch. Each prefork child is one slot.
"""

import sys

from celery import signals

from core import failpoints, log
from core.broker import connect
from core.errors import Invalid
from core.preflight import require_sound_servers
from core.settings import Settings
from worker import node, tasks


def _check(settings: Settings) -> None:
    """End the process that starts here if the servers cannot be built on."""
    try:
        require_sound_servers(settings)
    except Invalid as error:
        sys.exit(str(error))


settings = Settings()
failpoints.arm(settings.failpoints)
app = connect(settings)
tasks.register(app)


# Whoever connects to this signal has the logs to himself: Celery leaves them alone.
signals.setup_logging.connect(lambda **_: log.configure(settings), weak=False)
signals.celeryd_init.connect(lambda **_: _check(settings), weak=False)
signals.beat_init.connect(lambda **_: _check(settings), weak=False)
node.watch(settings)
