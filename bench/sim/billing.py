"""What workers cost, in the time that is billed."""

from __future__ import annotations

MINIMUM_S = 60.0  # Fargate bills a task by the second, from its launch, and for a minute at least


class Bill:
    """Adds up billed seconds of workers."""

    __slots__ = ("boots", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.boots = 0

    def add(self, *, launched_at: float, ended_at: float) -> None:
        """A worker that ended before it was launched was only asked for, and costs nothing."""
        if ended_at >= launched_at:
            self.boots += 1
            self.seconds += max(MINIMUM_S, ended_at - launched_at)

    @property
    def hours(self) -> float:
        return self.seconds / 3600
