"""A Celery consumer that connects again after any error, for as long as it takes.

Celery's own ends the worker after errors that it does not expect, after a hundred attempts, and in a role change.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from typing import Any

import redis
from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from agent.broker import Outage, in_words

log = logging.getLogger(__name__)

# Celery's pauses grow to 30 s; a worker that is connected half a minute late is half a minute of missing capacity.
RETRY_FIRST_S, RETRY_MORE_S, RETRY_MOST_S = 0.5, 0.5, 5.0

_broker = Outage("the worker cannot connect to the broker and takes no messages", log)


class PatientConsumer(Consumer):  # type: ignore[misc]  # Celery is not typed
    """Celery's consumer, which runs on while tasks do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Celery connects again after these. Its own stop of a worker is no Exception.
        self.channel_errors: tuple[type[Exception], ...] = (*self.conninfo.channel_errors, Exception)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection. Tasks run on, and their messages stay held: see agent.unacked."""
        log.warning("fleet: consumption ended by %s; connecting to the broker again", in_words(exc))
        if not isinstance(exc, (redis.RedisError, OSError)):
            log.error("fleet: unexpected, at:\n%s", "".join(traceback.format_tb(exc.__traceback__)))
        with contextlib.suppress(Exception):
            self.connection.collect()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and try again until it succeeds or the worker is stopped."""

        def note(error: Exception, _pause_s: float) -> None:
            _broker.begin(in_words(error))

        conn = conn.ensure_connection(
            note,
            None,
            interval_start=RETRY_FIRST_S,
            interval_step=RETRY_MORE_S,
            interval_max=RETRY_MOST_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        _broker.end()
        return conn
