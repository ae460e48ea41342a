"""What it costs to let no task wait with the simplest good placement: a reference, not a bound."""

from __future__ import annotations

import heapq

from bench.loads.load import Load


def first_fit_hours(load: Load, *, slots: int, boot_s: float) -> float:
    """In worker-hours: every task starts as it arrives, on the longest-running worker with a free slot.

    Where no worker has one, another is there at once, and is billed for a boot of `boot_s` besides; one without tasks
    ends at once; tasks never move. Who lets tasks wait, or knows how long they last, can be cheaper. Who boots workers
    for real, and does not choose which of them takes a task, as with Celery, will hardly be, with as short waits.
    """
    total_s = 0.0
    started: list[float] = []
    busy: list[int] = []  # slots, by worker
    ends: list[tuple[float, int]] = []
    free: list[int] = []  # workers that may have a free slot, the longest-running first

    def end_until(now: float) -> None:
        nonlocal total_s
        while ends and ends[0][0] <= now:
            ended_at, worker = heapq.heappop(ends)
            busy[worker] -= 1
            if not busy[worker]:
                total_s += ended_at - started[worker] + boot_s
            elif busy[worker] == slots - 1:
                heapq.heappush(free, worker)

    for arrival, duration in zip(load.arrivals, load.durations, strict=True):
        end_until(arrival)
        while free and not 0 < busy[free[0]] < slots:
            heapq.heappop(free)
        if not free:
            started.append(arrival)
            busy.append(0)
            heapq.heappush(free, len(busy) - 1)
        worker = free[0]
        busy[worker] += 1
        heapq.heappush(ends, (arrival + duration, worker))
    end_until(float("inf"))
    return total_s / 3600
