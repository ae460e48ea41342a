"""One simulated worker: a Fargate task with slots."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Any


class Stage(IntEnum):  # numbers are hashed quickly
    PENDING = auto()  # asked for; its image is pulled
    RUNNING = auto()  # its container runs, and is not known to the broker yet
    WAITING = auto()  # ready, and without the protection that it needs to consume
    CONSUMING = auto()
    DRAINING = auto()
    DRAINED = auto()
    STOPPING = auto()  # told to stop; ends the tasks it can
    GONE = auto()


class SimWorker:
    """`tasks` are the indexes of the tasks it runs; `place` is its index among the workers with a free slot, or -1.

    `change` counts what happened to it, so that an action planned earlier can tell whether it still applies.
    """

    __slots__ = (
        "change",
        "launched_at",
        "number",
        "order",
        "place",
        "protected",
        "stage",
        "started_at",
        "tasks",
        "views",
    )

    def __init__(self, number: int, *, launched_at: float) -> None:
        self.number = number
        self.launched_at = launched_at
        self.started_at = launched_at  # of its container, as soon as it reports
        self.stage = Stage.PENDING
        self.tasks: set[int] = set()
        self.place = -1
        self.protected = False
        self.order: str | None = None
        self.change = 0
        self.views: dict[Any, Any] = {}  # all that the registry has shown of it, by what they say
