"""Recognises a message whose task needs no start: it runs, it has ended, or a newer message stands for it.

The broker can deliver a message twice: when a publisher got no answer and sent it again, when a connection broke, or
after the visibility timeout. The webserver then refuses the start. To Airflow such a refusal is a failure of the task,
which may be running elsewhere at this moment. Where no task runs for such a message, Airflow finds out by itself: a
running task without heartbeats, or one that stays queued.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

# The token in a message is valid for a day. NOT_FOUND: the task's run was deleted.
REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT})


class ObsoleteMessageError(Exception):
    """The webserver refuses to let the message's task start."""


def install() -> None:
    """Let Airflow's client raise ObsoleteMessageError when a start is refused."""
    from airflow.sdk.api.client import ServerResponseError, TaskInstanceOperations

    start = TaskInstanceOperations.start

    def start_once(operations: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return start(operations, *args, **kwargs)
        except ServerResponseError as error:
            if error.response.status_code not in REFUSALS:
                raise
            raise ObsoleteMessageError(f"HTTP {error.response.status_code}") from error

    TaskInstanceOperations.start = start_once
