"""The lowest costs that a load allows, each with its assumptions."""

from __future__ import annotations

import heapq

from bench.loads.load import Load


def work_hours(load: Load, *, slots: int) -> float:
    """Return LB0 = work / slots, in worker-hours: every slot is busy from launch to stop.

    This is a true lower bound of what any policy is billed. No policy reaches it, because it contains no boot and no
    free slot.
    """
    return load.work_s / slots / 3600


def clairvoyant_hours(load: Load, *, slots: int, boot_s: float) -> float:
    """Return LB1, in worker-hours: every task starts on arrival, and running tasks move between workers at no cost.

    With W(t) = ceil(running(t) / slots), LB1 is the integral of W plus, for each level w, one boot for its first start
    and min(gap, boot) for every gap during which W < w, because a worker either idles through the gap or stops and is
    booted again. It bounds policies that know the future and make no task wait, as long as boots take `boot_s`. It does
    not bound a policy that lets tasks wait: with fewer workers, later, such a policy can be cheaper.
    """
    changes = [(arrival, 1) for arrival in load.arrivals]
    changes += [(arrival + duration, -1) for arrival, duration in zip(load.arrivals, load.durations, strict=True)]
    changes.sort()
    total, running, level, since = 0.0, 0, 0, 0.0
    left_at: list[float] = []  # when each level was last left
    for time, change in changes:
        running += change
        workers = -(-running // slots)
        if workers == level:
            continue
        total += level * (time - since)
        since = time
        for nth in range(level, workers):
            if nth == len(left_at):
                left_at.append(0.0)
                total += boot_s
            else:
                total += min(time - left_at[nth], boot_s)
        for nth in range(workers, level):
            left_at[nth] = time
        level = workers
    return total / 3600


def first_fit_hours(load: Load, *, slots: int, boot_s: float) -> float:
    """Return the worker-hours of the simplest placement without waits: a reference, not a bound.

    Every task starts on arrival, on the longest-running worker with a free slot. If there is none, a new worker is
    available at once and is billed for a boot of `boot_s` as well. A worker without tasks stops at once. Tasks never
    move. A policy that lets tasks wait, or knows how long they run, can be cheaper. A policy with real boots that
    cannot choose which worker takes a task, as with Celery, can hardly be cheaper with waits as short.
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
