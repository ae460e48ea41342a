"""Sends events to a bus of EventBridge, in their order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from agent.events.event import SOURCE, Event

log = logging.getLogger(__name__)

# EventBridge's limits of one call.
MOST_ENTRIES = 10
MOST_BYTES = 256 * 1024
TIME_BYTES = 14  # by which EventBridge counts an entry's time
# EventBridge will never take such an entry: it would keep all others waiting.
NEVER = frozenset({"InvalidArgument", "MalformedDetail"})
ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


class NotSent(Exception):
    """Events wait; the message says why, and holds nothing of them."""


class Sender:
    """Sends to the bus with this ARN. `sent` and `refused` count events since the start."""

    def __init__(self, client: Any, bus: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """`client`: boto3's for EventBridge."""
        self._client, self._bus, self._sleep = client, bus, sleep
        self.sent = self.refused = 0

    def send(self, events: Sequence[Event], accepted: Callable[[Event], None]) -> None:
        """Send all of them, and call `accepted` for each that needs not be sent again. Raises NotSent.

        Where one is not taken, those of its run that came after it in the same call are sent again behind it: the last
        that is sent of a run is the last that happened.
        """
        waiting, failures = list(events), 0
        while waiting:
            batch = waiting[: fitting(waiting, self._bus)]
            again, code = self._put(batch, accepted)
            waiting = again + waiting[len(batch) :]
            if code is None:
                failures = 0
                continue
            failures += 1
            if failures == ATTEMPTS:
                raise NotSent(f"EventBridge answers {code}")
            self._sleep(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))

    def _put(self, batch: Sequence[Event], accepted: Callable[[Event], None]) -> tuple[list[Event], str | None]:
        """Send one call; return what is to be sent again, and why."""
        try:
            answers = self._client.put_events(Entries=[_entry(event, self._bus) for event in batch])["Entries"]
        except ClientError as error:
            raise NotSent(f"EventBridge answers {error.response['Error']['Code']}") from None
        except BotoCoreError as error:
            raise NotSent(f"EventBridge cannot be reached ({type(error).__name__})") from None
        if len(answers) != len(batch):
            raise NotSent("EventBridge's answer is not whole")
        behind: set[tuple[str, str]] = set()
        again: list[Event] = []
        reason = None
        for event, answer in zip(batch, answers, strict=True):
            code = answer.get("ErrorCode")
            if code in NEVER:
                log.error("events: refused for good (%s): event %s", code, event.detail["id"])
                self.refused += 1
                accepted(event)
                continue
            if code is not None:
                behind.add(event.run)
                reason = code
            if event.run in behind:
                again.append(event)
                continue
            self.sent += 1
            accepted(event)
        return again, reason


def fitting(events: Sequence[Event], bus: str) -> int:
    """Return how many of the events fit into one call, from the first on; at least one."""
    size = 0
    for count, event in enumerate(events[:MOST_ENTRIES]):
        entry = _entry(event, bus)
        size += TIME_BYTES + sum(len(entry[name].encode()) for name in ("Source", "DetailType", "Detail"))
        if count and size > MOST_BYTES:
            return count
    return min(len(events), MOST_ENTRIES)


def _entry(event: Event, bus: str) -> dict[str, Any]:
    return {
        "EventBusName": bus,
        "Source": SOURCE,
        "DetailType": event.type,
        "Time": event.since,
        "Detail": event.text(),
    }
