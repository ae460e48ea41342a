"""Which messages the broker has refused, for how long, and when to send the next: none of it is the task's fault.

A broker can be full, silent, or a replica for a moment, or lose its connections.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from airflow.providers.celery.executors.celery_executor_utils import ExceptionWithTraceback
from airflow.sdk.exceptions import AirflowTaskTimeout
from kombu.exceptions import OperationalError
from redis import RedisError
from redis.exceptions import NoPermissionError

from agent.broker import Outage

# A silent broker may read all that it was sent while it was silent: each attempt can be a further message.
SEND_AGAIN_AFTER_S = 2.0


class BrokerRefuses(Exception):
    """The broker took no message for longer than the patience."""


class Refusals:
    """The refused messages of one executor. Results are Airflow's: an ExceptionWithTraceback for a message not sent."""

    def __init__(self, patience_s: float, log: Any) -> None:
        self._patience_s = patience_s
        self._refused_since: dict[Any, float] = {}  # by the key of a task instance or callback
        self._send_again_at = 0.0
        self._last: Any = None
        self._broker = Outage("the broker takes no messages; tasks wait", log)

    @property
    def pending(self) -> Any:
        """Return the result of every message for now, without sending it; None if it is time to send."""
        return self._last if time.monotonic() < self._send_again_at else None

    def note_first(self, results: Sequence[Any]) -> Any:
        """Note the outcome of the message that goes first; return its result if the others need not be sent."""
        self._last = next((result for *_, result in results if is_refused(result)), None)
        if self._last is not None:
            self._send_again_at = time.monotonic() + SEND_AGAIN_AFTER_S
        return self._last

    def settled(self, results: Sequence[Any]) -> Sequence[Any]:
        """Leave out the messages that go on waiting. Airflow fails a task whose result is another error."""
        now = time.monotonic()
        settled, why = [], None
        for key, workload, result in results:
            if not is_refused(result):
                self._refused_since.pop(key, None)
                settled.append((key, workload, result))
                continue
            why = _why(result.exception)
            if now - self._refused_since.setdefault(key, now) >= self._patience_s:
                del self._refused_since[key]
                refusal = BrokerRefuses(f"the broker has taken no message for {self._patience_s:.0f} s: {why}")
                settled.append((key, workload, ExceptionWithTraceback(refusal, result.traceback)))
        if why is not None:
            self._broker.begin(why)
        else:
            self._broker.end()
        return settled

    def forget(self, key: Any) -> None:
        """Forget a task or callback."""
        self._refused_since.pop(key, None)


def is_refused(result: Any) -> bool:
    """Return whether a later attempt can succeed: the broker refused the message, or did not answer in time.

    Airflow's time limit can end a call anywhere, and the next one on that connection raises an AttributeError. Not if
    the broker's user may not write to the task's queue.
    """
    if not isinstance(result, ExceptionWithTraceback):
        return False
    refusals = (OperationalError, RedisError, AirflowTaskTimeout, OSError, AttributeError)
    is_denied = any(isinstance(each, NoPermissionError) for each in _chain(result.exception))
    return isinstance(result.exception, refusals) and not is_denied


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what led to it: Redis's own, where Celery tried again until the operation_timeout."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _why(error: BaseException) -> str:
    return repr(next((each for each in _chain(error) if isinstance(each, RedisError)), error))
