"""Celery's results, reduced to the state of a task: in Redis, as JSON, without a value that a reader would rebuild.

Celery's database backend stores pickles, and its Redis backend rebuilds exceptions from what it reads. A forged result
would run code in the scheduler, or end it. Airflow needs the state only: a task's outcome reaches the database through
the Execution API.
"""

from __future__ import annotations

import json
from typing import Any

import redis
from celery import states
from celery.backends.redis import RedisBackend

from agent import connections

MAX_BYTES = 4096  # ours have some 150


class StateBackend(RedisBackend):  # type: ignore[misc]  # Celery is not typed
    """Stores and reads states. A record that is not one of ours reads as a task that has no result yet."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Do not subscribe to the result's channel: the executor asks for all results at once."""

    def encode_result(self, result: Any, state: str) -> None:
        """Return nothing to store, whatever a task returned or raised."""

    def decode_result(self, payload: Any) -> dict[str, Any]:
        """Return Celery's record of a result with its id and state only."""
        task_id, state = read_state(payload)
        return {"task_id": task_id, "status": state, "result": None, "traceback": None, "children": []}

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Return whether to try again: always, as Redis may also be full, or a replica for a moment."""
        return isinstance(exc, redis.RedisError)

    def _get_pool(self, **params: Any) -> Any:
        """Return a pool of connections that do not stay with a replica. Celery's settings have their time limits."""
        has_tls = issubclass(params.get("connection_class", redis.Connection), redis.SSLConnection)
        connection_class = connections.SSLConnection if has_tls else connections.Connection
        options = {"connection_class": connection_class, "socket_keepalive_options": connections.KEEPALIVE}
        return super()._get_pool(**params | options)

    def _set(self, key: str, value: str) -> None:
        """Store without publishing, because no process waits for one result."""
        self.client.set(key, value, ex=self.expires)

    def _get_result_meta(self, result: Any, state: str, *_: Any, **__: Any) -> dict[str, Any]:  # noqa: ARG002
        return {"status": state, "result": None, "traceback": None, "children": []}


def read_state(payload: Any) -> tuple[str, str]:
    """Return the Celery task's id and its state; an empty id and PENDING for what is no record of ours."""
    try:
        record = json.loads(payload) if len(payload) <= MAX_BYTES else None
    except (TypeError, ValueError, RecursionError):
        record = None
    if isinstance(record, dict):
        task_id, state = record.get("task_id"), record.get("status")
        if isinstance(task_id, str) and isinstance(state, str) and state in states.ALL_STATES:
            return task_id, state
    return "", states.PENDING
