"""Says how far the rollout of a service is, and whether only draining workers are left of what was before. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.member import DRAINED, DRAINING, WORKER, Member, task_of
from version_check.verdict import Gap


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The newest deployment of the service `key`, which is not complete, and the older ones, as ECS describes them.

    `since`: seconds since the epoch, None if unknown. `wanted`, `running`: ECS tasks of the newest deployment. `left`:
    how many of older ones run. `new`, `old`: the ids of the ECS tasks that ECS listed and wants to run, of the newest
    deployment and of all others.
    """

    key: str
    since: float | None
    wanted: int
    running: int
    left: int
    new: frozenset[str]
    old: frozenset[str]


def gap_of(rollout: Rollout, members: Iterable[Member]) -> Gap:
    """Return what is unknown in a rollout; `members`: those whose ECS tasks exist."""
    is_draining_only = _is_draining_only(rollout, list(members))
    return Gap(
        who=rollout.key,
        why=f"a deployment is rolling out: {rollout.running} of {rollout.wanted} new ECS tasks run, "
        f"old ECS tasks left: {rollout.left}{', which only drain' if is_draining_only else ''}",
        since=rollout.since,
        is_draining_only=is_draining_only,
    )


def _is_draining_only(rollout: Rollout, members: list[Member]) -> bool:
    """Return whether every old ECS task is a worker that drains, and a new one takes tasks, if any is wanted.

    An old ECS task that has not reported, or that ECS counts and does not list, may still take tasks.
    """
    workers = [member for member in members if member.role == WORKER]
    draining = {task_of(worker.id) for worker in workers if worker.state in (DRAINING, DRAINED)}
    has_new = any(worker.is_consuming and task_of(worker.id) in rollout.new for worker in workers)
    are_all_listed = rollout.left <= len(rollout.old)
    return bool(rollout.old) and are_all_listed and rollout.old <= draining and (has_new or not rollout.wanted)
