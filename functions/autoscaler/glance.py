"""Decides whether what the queues hold between two ticks calls for a tick at once. Pure.

A tick reads the whole registry and asks ECS; a glance only reads the lengths of the queues' lists. So a decision about
tasks that have just come need not wait for its turn.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.observation import Unreadable

# Seconds between two glances, and from a tick to the next glance.
GLANCE_EVERY_S = 1.0

Queued = Mapping[str, int] | Unreadable


def more_wait(before: Mapping[str, Queued], now: Mapping[str, Queued]) -> bool:
    """Return whether more messages of any pool wait than at the last tick; both are by pool, then by queue.

    A pool that could not be read, then or now, is left to the next regular tick.
    """
    return any(_has_grown(before.get(pool), queued) for pool, queued in now.items())


def _has_grown(before: Queued | None, now: Queued) -> bool:
    if before is None or isinstance(before, Unreadable) or isinstance(now, Unreadable):
        return False
    return sum(now.values()) > sum(before.values())
