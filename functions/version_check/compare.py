"""Compare what every container runs with what the webserver runs.

Pure. Silence never counts as equal: a container that should report and does not, or reports an empty version, makes the
result unknown. Only members whose ECS tasks exist are compared, so nothing else in the registry changes the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fleet.airflow_version import is_older
from fleet.member import (
    CODE_FIELDS,
    CONSUMING,
    DRAINED,
    DRAINING,
    RUNNING,
    SCHEDULER,
    STOPPED,
    WEBSERVER,
    WORKER,
    Member,
    task_of,
)
from fleet.registry import Roster
from version_check.rollout import Rollout, gap_of
from version_check.verdict import Difference, Gap, Reference, Verdict

IMAGE_DIGEST = "image_digest"
# A worker that has reported nothing for longer is no longer said to start. From the start of its ECS task, after the
# pull, it takes 5 to 30 s until its first report.
STARTS_WITHIN_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running container, as ECS describes it, that must report as `member`.

    `digest` is empty when ECS does not give it. `started_at`: start of its ECS task, seconds since the epoch.
    """

    member: str
    role: str
    image: str
    digest: str
    started_at: float


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """What ECS returned: the containers that must report, the ids of all live ECS tasks, and gaps for failed calls.

    `stopping`: ECS tasks that are stopping and may still report. `rollouts`: of the services whose deployment is not
    complete. `is_complete` is false when a call for tasks failed. `is_asleep`: the environment was put to sleep.
    """

    containers: tuple[Container, ...]
    known: frozenset[str]
    stopping: frozenset[str] = frozenset()
    gaps: tuple[Gap, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    is_complete: bool = True
    is_asleep: bool = False


@dataclass(frozen=True, kw_only=True)
class Observation:
    """All that one check reads. `roster` is a gap when Redis failed; `answer` is the webserver's answer over HTTP.

    `silent`: the containers that should report and do not, and since when, by member id, as far as remembered.
    """

    now: float
    tasks: Tasks
    roster: Roster | Gap
    answer: Reference | Gap
    silent: Mapping[str, float] = field(default_factory=dict)


def compare(observation: Observation) -> Verdict:
    """Return the verdict over all containers of the fleet."""
    roster = observation.roster if isinstance(observation.roster, Roster) else Roster(members=(), malformed=())
    alive = [member for member in roster.members if member.state != STOPPED]
    members = sorted((m for m in alive if task_of(m.id) in observation.tasks.known), key=lambda member: member.id)
    reference = _reference(observation.answer, members)
    differences: list[Difference] = []
    gaps = [
        *observation.tasks.gaps,
        *(gap_of(rollout, members) for rollout in observation.tasks.rollouts),
        *_silent_members(observation, members),
        *_gaps_of_answer(observation.answer, observation.tasks),
    ]
    if reference is None:
        gaps.append(Gap(who=WEBSERVER, why="no webserver has reported: there is nothing to compare with"))
    else:
        differences += _code_differences(members, reference, observation.tasks, gaps)
        differences += _digest_differences(members, reference, observation.tasks, gaps)
    return Verdict(
        at=observation.now,
        reference=reference,
        compared=len(members),
        out_of_sync=tuple(differences),
        unknown=tuple(gaps),
        notes=notes_on(members, reference=reference, images=_moved_tags(observation.tasks.containers)),
        strays=tuple(sorted(member.id for member in alive if task_of(member.id) not in observation.tasks.known)),
        malformed=len(set(roster.malformed) - {container.member for container in observation.tasks.containers}),
    )


def _reference(answer: Reference | Gap, members: Sequence[Member]) -> Reference | None:
    """Return the webserver's answer; else the record of the newest webserver, which can still show differences."""
    if isinstance(answer, Reference):
        return answer
    webservers = [member for member in members if member.role == WEBSERVER and member.state == RUNNING]
    if not webservers:
        return None
    last = max(webservers, key=lambda member: (member.started_at, member.id))
    return Reference(member=last.id, code=last.code)


def _silent_members(observation: Observation, members: Sequence[Member]) -> Iterator[Gap]:
    if isinstance(observation.roster, Gap):
        yield observation.roster
        return
    heard, malformed = {member.id for member in members}, set(observation.roster.malformed)
    for container in sorted(observation.tasks.containers, key=lambda container: container.member):
        if container.member in malformed:
            yield Gap(who=container.member, why="its record is malformed")
        elif container.member not in heard:
            since = observation.silent.get(container.member, container.started_at)
            is_starting = _is_starting(container, since=since, now=observation.now)
            yield Gap(who=container.member, why="runs but does not report", since=since, is_starting=is_starting)


def _is_starting(container: Container, *, since: float, now: float) -> bool:
    """Return whether it is a worker that has never reported and has begun to run only now."""
    return container.role == WORKER and since == container.started_at and now - since <= STARTS_WITHIN_S


def _gaps_of_answer(answer: Reference | Gap, tasks: Tasks) -> Iterator[Gap]:
    """Yield what is not known about the webserver's answer."""
    if isinstance(answer, Gap):
        yield answer
        return
    if tasks.is_complete and task_of(answer.member) not in tasks.known:
        yield Gap(who=answer.member, why="answers as the webserver, but ECS has no such task")
    for name in CODE_FIELDS:
        if not getattr(answer.code, name):
            yield Gap(who=answer.member, why=f"reports no {name}")


def _code_differences(
    members: Iterable[Member], reference: Reference, tasks: Tasks, gaps: list[Gap]
) -> Iterator[Difference]:
    """Yield differences in what the containers report; add missing values to `gaps`."""
    for member in members:
        for name in CODE_FIELDS:
            value, wanted = getattr(member, name), getattr(reference.code, name)
            if not value:
                gaps.append(Gap(who=member.id, why=f"reports no {name}"))
            elif wanted and value != wanted:
                yield _difference(
                    member.id, member.role, field=name, values=(value, wanted), member=member, tasks=tasks
                )


def _digest_differences(
    members: Iterable[Member], reference: Reference, tasks: Tasks, gaps: list[Gap]
) -> Iterator[Difference]:
    """Yield differences in the images that ECS started, whatever the containers report; add missing ones to `gaps`."""
    by_id = {member.id: member for member in members}
    wanted = _webservers_digest(tasks.containers, reference)
    for container in tasks.containers:
        if not container.digest:
            gaps.append(Gap(who=container.member, why="ECS does not give its image digest"))
        elif wanted and container.digest != wanted:
            yield _difference(
                container.member,
                container.role,
                field=IMAGE_DIGEST,
                values=(container.digest, wanted),
                member=by_id.get(container.member),
                tasks=tasks,
            )


def _webservers_digest(containers: Iterable[Container], reference: Reference) -> str:
    """Return the digest of the webserver that answered; of the newest one if ECS no longer lists it as running."""
    webservers = [container for container in containers if container.role == WEBSERVER and container.digest]
    last = max(webservers, key=lambda c: (c.member == reference.member, c.started_at, c.member), default=None)
    return "" if last is None else last.digest


def _difference(
    name: str, role: str, *, field: str, values: tuple[str, str], member: Member | None, tasks: Tasks
) -> Difference:
    state = "" if member is None else member.state
    return Difference(
        member=name,
        role=role,
        pool=None if member is None else member.pool,
        field=field,
        value=values[0],
        expected=values[1],
        active=0 if member is None else member.active,
        state=state,
        is_draining=state in (DRAINING, DRAINED) or task_of(name) in tasks.stopping,
    )


def _moved_tags(containers: Iterable[Container]) -> tuple[str, ...]:
    """Return the names of images that run with more than one digest."""
    digests: dict[str, set[str]] = {}
    for container in containers:
        if container.digest:
            digests.setdefault(container.image, set()).add(container.digest)
    return tuple(sorted(image for image, found in digests.items() if len(found) > 1))


def notes_on(members: Sequence[Member], *, reference: Reference | None, images: Iterable[str]) -> tuple[str, ...]:
    """Return what is wrong, in words. `images`: names of images that run with more than one digest."""
    too_new = () if reference is None else _newer_than_the_webserver(members, reference)
    moved = (f"the image {image} runs with more than one digest: its tag was moved" for image in images)
    return (*too_new, *_older_than_the_scheduler(members), *moved)


def _newer_than_the_webserver(members: Iterable[Member], reference: Reference) -> Iterator[str]:
    """Yield workers newer than the webserver, which serves older workers but not newer ones."""
    served = reference.code.airflow_version
    for worker in _workers(members):
        if (worker.state == CONSUMING or worker.active) and is_older(served, than=worker.airflow_version):
            yield (
                f"wrong order: {worker.id} runs Airflow {worker.airflow_version}, newer than the webserver's {served}: "
                "upgrade the webserver first"
            )


def _older_than_the_scheduler(members: Sequence[Member]) -> Iterator[str]:
    """Yield workers older than a scheduler, whose tasks may need code that an older worker does not have."""
    schedulers = [member for member in members if member.role == SCHEDULER and member.state == RUNNING]
    for worker in _workers(members):
        newer = next((s for s in schedulers if s.code != worker.code and s.started_at > worker.started_at), None)
        if worker.state == CONSUMING and newer is not None:
            yield (
                f"wrong order: {worker.id} takes tasks of {newer.id}, which started later with other code: "
                "a new scheduler must start after the last old worker drains"
            )


def _workers(members: Iterable[Member]) -> Iterator[Member]:
    return (member for member in members if member.role == WORKER)
