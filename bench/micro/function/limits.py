"""Holds what was measured against the function's limits; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.micro.function.figures import Cold, Looks, best_median
from bench.micro.function.scenes import MOST_MEMBERS, MOST_QUEUED
from bench.report.verdict import Verdict

MB = 1_000_000
MEMBERS_A_CALL = 100  # DescribeTasks takes no more tasks

COLD_IMPORT_MS = 400
LOOK_MS = 50
PACKAGE_MB = 20
PEAK_MEMORY_MB = 128
CALLS_WHEN_NOTHING_CHANGES = ("DescribeServices",)


def most_calls(members: int) -> int:
    """AWS calls that a look may make: 2 + 2 x ceil(members / 100)."""
    return 2 + 2 * -(-members // MEMBERS_A_CALL)


def verdicts(*, cold: Sequence[Sequence[Cold]], looks: Sequence[Looks], package_bytes: int) -> list[Verdict]:
    """One for each limit; those of time and memory are for the largest fleet with the longest queues."""
    largest = [each for each in looks if (each.scene.queued, each.scene.members) == (MOST_QUEUED, MOST_MEMBERS)]
    imports = best_median([start.import_ms for start in batch] for batch in cold)
    peak = max(each.peak_bytes for each in largest)
    return [
        Verdict(what="cold import", measured=imports, limit=COLD_IMPORT_MS, unit="ms"),
        *(
            Verdict(what=f"look: {each.scene.name}", measured=each.own_ms, limit=LOOK_MS, unit="ms")
            for each in largest
            if not each.scene.of_strangers  # once a deployment; shown, but not what a look usually takes
        ),
        *_calls(looks),
        Verdict(what="Redis commands that longer queues add", measured=_commands_by_length(looks), limit=0),
        Verdict(what="package, unzipped", measured=package_bytes / MB, limit=PACKAGE_MB, unit="MB"),
        Verdict(what="peak memory", measured=peak / MB, limit=PEAK_MEMORY_MB, unit="MB"),
    ]


def _calls(looks: Sequence[Looks]) -> Iterator[Verdict]:
    steady = [each.calls for each in looks if not each.scene.changes_something]
    needless = max(len([name for name in calls if name not in CALLS_WHEN_NOTHING_CHANGES]) for calls in steady)
    yield Verdict(what="AWS calls: nothing changes", measured=max(map(len, steady)), limit=1)
    yield Verdict(what="of these, not to describe services", measured=needless, limit=0)
    for each in looks:
        if each.scene.changes_something:
            limit = most_calls(each.scene.members)
            yield Verdict(what=f"AWS calls: {each.scene.name}", measured=len(each.calls), limit=limit)


def _commands_by_length(looks: Sequence[Looks]) -> int:
    """The difference that the queues' length makes, to the same fleet in which nothing changes."""
    same = [e for e in looks if e.scene.members == MOST_MEMBERS and not e.scene.changes_something]
    counts = [sum(each.commands.values()) for each in same]
    return max(counts) - min(counts)
