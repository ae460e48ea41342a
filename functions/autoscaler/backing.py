"""Holds the registry's records against what ECS says. Pure.

Anyone who may write to the registry can write any record. So a record counts only if an ECS task stands behind it that
has not stopped, belongs to the service that the record claims, and has the container that the record names. An id names
its task, so there are never more members than tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autoscaler.observation import Service, Unreadable
from fleet.member import ROLES, SCHEDULER, STOPPED, WORKER, Member, member_id, task_of
from fleet.pools import Pool
from fleet.registry import Roster
from shared.known_tasks import Answers, KnownTask

TASKS = "tasks"
# The roles whose records the autoscaler uses.
USED = frozenset({WORKER, SCHEDULER})


@dataclass(frozen=True, kw_only=True)
class BackedRoster:
    """What is left of a roster.

    `workers`: by pool. `deployments`: by member's id. `malformed`: ids by pool; a record about whose task ECS did not
    answer may be of any pool. `ignored`: ids by the pool that they claim; those that claim none are in each. `problem`:
    why ECS did not tell about some tasks, None when it did.
    """

    workers: Mapping[str, tuple[Member, ...]]
    schedulers: tuple[Member, ...] = ()
    deployments: Mapping[str, str | None] = field(default_factory=dict)
    malformed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problem: Unreadable | None = None


def claimed_tasks(roster: Roster) -> list[str]:
    """Return the ids of the tasks that the used and the malformed records claim, well-formed ones first."""
    used = (member.id for member in roster.members if member.role in USED)
    return list(dict.fromkeys(map(task_of, (*used, *roster.malformed))))


def crowded_tasks(backed: BackedRoster, services: Mapping[str, Service | Unreadable]) -> set[str]:
    """Return the tasks of those pools that have more workers than running tasks: some may have stopped since."""
    found: set[str] = set()
    for pool, workers in backed.workers.items():
        service = services[pool]
        if isinstance(service, Service) and sum(worker.state != STOPPED for worker in workers) > service.running:
            found |= {task_of(worker.id) for worker in workers}
    return found


def hold_against_ecs(
    roster: Roster, answers: Answers, *, pools: Sequence[Pool], services: Mapping[str, Service | Unreadable]
) -> BackedRoster:
    """Sort the roster's records by what ECS answered about their tasks.

    A worker about whose task ECS did not answer counts as long as there are no more workers than tasks.
    """
    by_service = {_name(pool.service): pool.name for pool in pools}
    names = [pool.name for pool in pools]
    workers: dict[str, list[Member]] = {name: [] for name in names}
    unanswered: dict[str, list[Member]] = {name: [] for name in names}
    malformed: dict[str, list[str]] = {name: [] for name in names}
    ignored: dict[str, list[str]] = {name: [] for name in names}
    schedulers: list[Member] = []
    deployments: dict[str, str | None] = {}
    for member in roster.members:
        is_worker = member.role == WORKER
        if member.role in ROLES and member.role not in USED:
            continue
        if member.role not in ROLES or (is_worker and member.pool not in workers):
            _add(ignored, names, member.id)
            continue
        concerned = [str(member.pool)] if is_worker else names
        if task_of(member.id) not in answers.tasks:
            (unanswered[concerned[0]] if is_worker else schedulers).append(member)
            continue
        task = answers.tasks[task_of(member.id)]
        if task is None or not _is_backed(member, task, by_service):
            _add(ignored, concerned, member.id)
        elif is_worker:
            workers[concerned[0]].append(member)
            deployments[member.id] = task.deployment
        else:
            schedulers.append(member)
    for name in roster.malformed:
        _sort_malformed(name, answers, by_service, malformed=malformed, ignored=ignored)
    for pool, others in unanswered.items():
        others.sort(key=lambda member: (member.started_at, member.id))
        places = max(0, _tasks(services[pool], default=len(others)) - len(workers[pool]))
        workers[pool] += others[:places]
        ignored[pool] += [member.id for member in others[places:]]
    return BackedRoster(
        workers={pool: tuple(sorted(found, key=lambda member: member.id)) for pool, found in workers.items()},
        schedulers=tuple(schedulers),
        deployments=deployments,
        malformed={pool: tuple(found) for pool, found in malformed.items()},
        ignored={pool: tuple(found) for pool, found in ignored.items()},
        problem=Unreadable(source=TASKS, why=answers.problem) if answers.problem else None,
    )


def _is_backed(member: Member, task: KnownTask, by_service: Mapping[str, str]) -> bool:
    """Return whether the task is what the record claims."""
    is_named = member.id == member_id(task_of(member.id), member.role) and member.task_arn == task.arn
    pool = by_service.get(task.service)
    return is_named and member.role in task.containers and pool == (member.pool if member.role == WORKER else None)


def _sort_malformed(
    name: str,
    answers: Answers,
    by_service: Mapping[str, str],
    *,
    malformed: Mapping[str, list[str]],
    ignored: Mapping[str, list[str]],
) -> None:
    """Put the id of a malformed record where it belongs; one of a task of no pool can be no worker and is left out."""
    names = list(malformed)
    if task_of(name) not in answers.tasks:
        _add(malformed, names, name)
        return
    task = answers.tasks[task_of(name)]
    if task is None or name.partition("/")[2] not in task.containers:
        _add(ignored, names, name)
    elif (pool := by_service.get(task.service)) is not None:
        _add(malformed, [pool], name)


def _add(found: Mapping[str, list[str]], pools: Iterable[str], name: str) -> None:
    for pool in pools:
        found[pool].append(name)


def _tasks(service: Service | Unreadable, *, default: int) -> int:
    """Return how many tasks the service may have now."""
    return default if isinstance(service, Unreadable) else max(service.desired, service.running + service.pending)


def _name(service: str) -> str:
    """Return the name of a service that is given by its name or ARN."""
    return service.rpartition("/")[2]
