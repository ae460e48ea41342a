"""What no policy can beat, each bound with what it assumes."""

from __future__ import annotations

from bench.loads.load import Load


def work_hours(load: Load, *, slots: int) -> float:
    """LB0 = work / slots, in worker-hours: every slot busy from launch to stop.

    A true lower bound of what any policy is billed. Nobody reaches it: it allows for no boot and no free slot.
    """
    return load.work_s / slots / 3600


def clairvoyant_hours(load: Load, *, slots: int, boot_s: float) -> float:
    """LB1, in worker-hours: every task starts as it arrives, and running tasks may move between workers at no cost.

    With W(t) = ceil(running(t) / slots), the integral of W, and for each level w: min(gap, boot) for every gap during
    which W < w, because a worker either idles through it or ends and is booted again; and a boot for its first start.
    It bounds policies that know the future and make no task wait, as long as boots take `boot_s`. It does not bound
    one that lets tasks wait: with fewer workers, later, it can be cheaper.
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
