"""Watches how long a worker holds each message: its slot is free when the message is acknowledged."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator

import redis

from bench.tasks.runs import TaskTimes
from project.errors import CommandError
from project.waiting import wait_until

CHECK_EVERY_S = 0.01
EMPTY_WITHIN_S = 60.0


class HeldSlots:
    """The messages that a worker held, by Celery's id, with the second at which they were acknowledged.

    A message is read from the broker once, for its id; its content, which has a token, is not kept.
    """

    def __init__(self, broker: redis.Redis, key: str) -> None:
        self._broker, self._key = broker, key
        self._ids: dict[bytes, str] = {}  # by delivery tag
        self._held: set[bytes] = set()
        self._released: dict[str, float] = {}
        self._error: redis.RedisError | None = None

    @property
    def count(self) -> int:
        """The messages that were held at the last check."""
        return len(self._held)

    def after_end_s(self, tasks: Iterable[TaskTimes]) -> list[float]:
        """Return the seconds for which each task's slot was held after its end.

        A message that came and went between two checks is left out. Raises CommandError if that happened to all, or if
        the broker did not answer.
        """
        if self._error is not None:
            raise CommandError(f"the broker does not say which messages are held: {self._error}") from self._error
        seen = [each for each in tasks if each.message_id in self._released]
        if not seen:
            raise CommandError("no message of these tasks was seen with the worker")
        return [max(0.0, self._released[each.message_id] - each.ended_at) for each in seen]

    def wait_until_empty(self) -> None:
        """Wait until the worker holds nothing, and that was seen. Raises CommandError."""
        wait_until(
            lambda: not self._broker.exists(self._key) and not self.count,
            what="the acknowledgement of all messages",
            timeout_s=EMPTY_WITHIN_S,
            every_s=CHECK_EVERY_S,
        )

    def follow(self, ended: threading.Event) -> None:
        """Check until told to end."""
        try:
            while not ended.wait(CHECK_EVERY_S):
                self._check()
        except redis.RedisError as error:
            self._error = error

    def _check(self) -> None:
        present = {tag for tag in self._broker.hkeys(self._key) if isinstance(tag, bytes)}  # others do not occur
        now = time.time()
        for tag in self._held - present:
            self._released[self._ids[tag]] = now
        self._held &= present
        for tag in present - self._held:
            message = self._broker.hget(self._key, tag.decode())
            if message is not None:  # else it was acknowledged meanwhile
                self._ids[tag] = str(json.loads(message)[0]["headers"]["id"])
                self._held.add(tag)


@contextlib.contextmanager
def held_slots(broker: redis.Redis, key: str) -> Iterator[HeldSlots]:
    """Watch the messages under a key until the block ends."""
    slots, ended = HeldSlots(broker, key), threading.Event()
    thread = threading.Thread(target=slots.follow, args=(ended,), name="held-slots")
    thread.start()
    try:
        yield slots
    finally:
        ended.set()
        thread.join()
