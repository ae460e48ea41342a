"""Measures how long a worker was taken for capacity that took no messages."""

from __future__ import annotations

from collections.abc import Sequence

from local.scenarios.faults.trial import Trial
from local.scenarios.sampling import WorkerSample

BELIEVED_S = 30.0
GAP_S = 5.0  # between samples: what happened meanwhile no one could read


def check_capacity(trial: Trial) -> None:
    """Require that since the fault began no worker was taken for capacity for longer than BELIEVED_S."""
    believed = believed_s(trial.observed.workers.since(trial.began_at))
    trial.figures["believed_s"] = believed
    trial.require(believed <= BELIEVED_S, f"a worker that took no messages was taken for capacity for {believed:.0f} s")


def believed_s(samples: Sequence[WorkerSample]) -> float:
    """Return for how long at most a worker was taken for capacity while messages waited and it took none.

    It was if it reported that it consumes, and had a free slot, in a pool with a backlog. It took a message when it has
    more tasks than before; a task that ends leaves one more slot that nothing fills.
    """
    longest = 0.0
    since: dict[str, tuple[float, int]] = {}
    before = float("-inf")
    for sample in samples:
        known = since if sample.at - before <= GAP_S else {}
        before = sample.at
        since = {}
        for worker in sample.workers:
            if not (sample.queued and worker.is_consuming and worker.active < worker.slots):
                continue
            at, active = known.get(worker.id, (sample.at, worker.active))
            since[worker.id] = (sample.at if worker.active > active else at, worker.active)
        longest = max([longest, *(sample.at - at for at, _ in since.values())])
    return round(longest, 1)
