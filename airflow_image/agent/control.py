"""Leaves of a worker's remote control only what this stack uses.

Asking a worker and commanding it go through one channel of the broker, so the broker's users cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from celery.worker.control import nok

REVOKE = "revoke"
# Flower and `celery inspect` ask these; Flower also turns events on.
ALLOWED = frozenset(
    {
        *("ping", "stats", "active", "reserved", "scheduled", "revoked", "registered", "active_queues", "query_task"),
        *("conf", "report", "clock", "hello", "heartbeat", "enable_events", "fleet_version", REVOKE),
        *("dump_active", "dump_reserved", "dump_schedule", "dump_revoked", "dump_tasks", "dump_conf"),
    }
)
Command = Callable[..., Any]


def limit(panel: MutableMapping[str, Command]) -> None:
    """Remove all other commands: to stop, to resize, to leave queues, to end tasks. A worker answers with an error."""
    for name in set(panel) - ALLOWED:
        del panel[name]
    panel[REVOKE] = _only_before_the_start(panel[REVOKE])


def _only_before_the_start(revoke: Command) -> Command:
    """Refuse to end a running task: Airflow revokes only what has not begun."""

    def command(state: Any, task_id: Any, terminate: bool = False, **options: Any) -> Any:
        return nok("a running task is not ended") if terminate else revoke(state, task_id, **options)

    return command
