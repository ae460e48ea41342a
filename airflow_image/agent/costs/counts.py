"""Reads how many workers each pool had, from the samples that the autoscaler leaves with its decisions.

Only the autoscaler may write them, and it counts no worker that ECS does not know: no task can make its pool seem
larger or smaller than it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fleet import history
from fleet.attribution import Count
from fleet.registry import history_key

# The autoscaler ticks at least once a minute. After two missed ticks the number of workers is not known.
HOLDS_S = 150.0


def read_counts(client: Any, pools: Iterable[str], *, now: float) -> dict[str, list[Count]]:
    """Return each pool's numbers of workers over the last history.HOURS. Raises redis.RedisError."""
    names = list(pools)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hvals(history_key(name))
        return {name: counts_of(raw, now=now) for name, raw in zip(names, pipe.execute(), strict=True)}


def counts_of(raw: Sequence[str | bytes], *, now: float) -> list[Count]:
    """Return the numbers of workers in a pool's samples; malformed samples, and such without numbers, say nothing."""
    samples, _ = history.read_samples(raw, now=now)
    known = ((sample, history.workers_of(sample)) for sample in samples)
    return [
        Count(at=float(sample[0] or 0.0), until=float(sample[0] or 0.0) + HOLDS_S, workers=workers)
        for sample, workers in known
        if workers is not None
    ]
