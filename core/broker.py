"""Celery over Redis or Valkey, as Vyaz uses it: a doorbell. Every setting has its why.

The message says "this queue has work" and nothing else; losing any or all of them costs time, never work. So there is
no result backend, no late acknowledgement, no ETA, chord or priority: those are the parts that fail on Redis.
"""

from celery import Celery
from kombu.entity import Queue
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.settings import Settings

ASK_SECONDS = 1.0
"""How long the server may take to answer one question."""
RING = "worker.tasks.ring"
QUEUES = ("cpu", "gpu")
MESSAGE_VERSION = 1


def connect(settings: Settings) -> Celery:
    """A Celery application for sending rings, and for the worker to hang its tasks on."""
    app = Celery("vyaz", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        result_backend=None,
        # Early: PostgreSQL's lease says who works, so a message that waits unacknowledged is only a way to run twice.
        # And without acknowledgement at all: taking a ring writes nothing, so that a full server does not end a node.
        task_acks_late=False,
        task_queues=[Queue(name, no_ack=True) for name in QUEUES],  # type: ignore[no-untyped-call]
        task_default_queue="cpu",
        task_create_missing_queues=False,
        # With a multiplier of one alone, a busy worker still hoards one ring while idle ones sleep.
        worker_disable_prefetch=True,
        worker_prefetch_multiplier=1,
        # Importing torch takes longer than the default four seconds, and a child killed for that is replaced in a loop.
        worker_proc_alive_timeout=120,
        # How long a dead child may still send a result; ours have none, and until then no ring is taken.
        worker_lost_wait=0.5,
        worker_hijack_root_logger=False,
        # Nobody shuts down, revokes or re-tunes over the broker; Flower lists nodes and rings without it.
        worker_enable_remote_control=False,
        # What nodes and rings do, for Flower. Published, never queued: where nobody listens, nothing is kept.
        worker_send_task_events=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Without these a send to a stopped server hangs.
        broker_transport_options={
            "socket_timeout": 1.0,
            "socket_connect_timeout": 1.0,
            "socket_keepalive": True,
            "max_retries": 1,
        },
        broker_pool_limit=2,
        timezone="UTC",
        enable_utc=True,
    )
    return app


def open_client(settings: Settings) -> Redis:
    """A client of the server itself, for a question or two: it gives up in a second, where kombu would try again."""
    url = settings.broker_url.get_secret_value()
    if url.startswith("redis+socket:"):  # as kombu spells a Unix socket
        url = url.replace("redis+socket:", "unix:", 1).replace("virtual_host=", "db=")
    return Redis.from_url(
        url, socket_timeout=ASK_SECONDS, socket_connect_timeout=ASK_SECONDS, retry=Retry(NoBackoff(), 0)
    )
