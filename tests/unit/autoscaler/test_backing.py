"""Whatever the registry holds, no more workers count than there are ECS tasks, and an honest registry counts whole."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.backing import BackedRoster, claimed_tasks, crowded_tasks, hold_against_ecs
from autoscaler.observation import Service
from fleet.member import WORKER, Member
from fleet.pools import Pool
from fleet.registry import Roster
from shared.known_tasks import Answers, KnownTask
from tests.support.members import A_WORKER

POOLS = tuple(
    Pool(name=name, service=f"arn:aws:ecs:x:1:service/c/S{name}", queues=(name,), minimum=0, maximum=9, concurrency=4)
    for name in ("a", "b")
)
NAMES = tuple(pool.name for pool in POOLS)
ARN = "arn:aws:ecs:x:1:task/c/"
TASKS = tuple(f"{number:032x}" for number in range(6))

services = st.builds(
    Service,
    desired=st.integers(0, 4),
    running=st.integers(0, 4),
    pending=st.integers(0, 2),
    deployments=st.just(()),
)
known = st.builds(
    KnownTask,
    arn=st.just(""),
    group=st.sampled_from(["service:Sa", "service:Sb", "service:Airflow", "family:Sa", ""]),
    deployment=st.none(),
    containers=st.sampled_from([frozenset({"worker"}), frozenset({"scheduler", "worker2"})]),
)
answers = st.dictionaries(st.sampled_from(TASKS), st.none() | known).map(
    lambda found: Answers(tasks={name: task and replace(task, arn=ARN + name) for name, task in found.items()})
)
members = st.builds(
    lambda task, container, claimed, pool, role: replace(
        A_WORKER, id=f"{task}/{container}", task_arn=ARN + claimed, pool=pool, role=role
    ),
    task=st.sampled_from((*TASKS, "x")),
    container=st.sampled_from(["worker", "worker2", "scheduler"]),
    claimed=st.sampled_from(TASKS),
    pool=st.sampled_from((*NAMES, "c", None)),
    role=st.sampled_from([WORKER, "scheduler", "webserver", "dancer"]),
)
rosters = st.builds(
    lambda found, malformed: Roster(members=tuple(found), malformed=tuple(malformed)),
    found=st.lists(members, max_size=12, unique_by=lambda member: member.id),
    malformed=st.lists(st.sampled_from([f"{task}/worker" for task in (*TASKS, "x")]), max_size=4, unique=True),
)
worlds = st.fixed_dictionaries(dict.fromkeys(NAMES, services))


def hold(roster: Roster, found: Answers, world: dict[str, Service]) -> BackedRoster:
    return hold_against_ecs(roster, found, pools=POOLS, services=world)


@given(rosters, answers, worlds)
def test_a_pool_has_no_more_workers_than_ecs_tasks(roster: Roster, found: Answers, world: dict[str, Service]) -> None:
    backed = hold(roster, found, world)
    for pool in NAMES:
        own = [task for task in found.tasks.values() if task and task.service == f"S{pool}"]
        service = world[pool]
        most = max(len(own), service.desired, service.running + service.pending)
        assert len(backed.workers[pool]) <= most


@given(rosters, answers, worlds)
def test_every_worker_counts_or_is_ignored_and_no_malformed_record_of_an_unknown_task_blocks(
    roster: Roster, found: Answers, world: dict[str, Service]
) -> None:
    backed = hold(roster, found, world)
    ignored = {name for names in backed.ignored.values() for name in names}
    counted = {member.id for workers in backed.workers.values() for member in workers}
    workers = {member.id for member in roster.members if member.role == WORKER}
    assert workers <= counted | ignored
    assert not counted & {name for name in ignored if name not in roster.malformed}
    for names in backed.malformed.values():
        assert all(found.tasks.get(name.partition("/")[0], "not asked") is not None for name in names)


@given(st.lists(st.sampled_from(TASKS), unique=True), st.data(), worlds)
def test_an_honest_registry_counts_whole(tasks: list[str], data: st.DataObject, world: dict[str, Service]) -> None:
    pool_of = {task: data.draw(st.sampled_from(NAMES)) for task in tasks}
    found = {
        task: KnownTask(
            arn=ARN + task,
            group=f"service:S{pool_of[task]}",
            deployment="d",
            containers=frozenset({"worker", "runner"}),
        )
        for task in tasks
    }
    honest = tuple(_worker(task, pool_of[task]) for task in sorted(tasks))
    backed = hold(Roster(members=honest, malformed=()), Answers(tasks=found), world)
    assert {pool: backed.workers[pool] for pool in NAMES} == {
        pool: tuple(member for member in honest if member.pool == pool) for pool in NAMES
    }
    assert not any(backed.ignored.values())
    assert backed.deployments == {member.id: "d" for member in honest}
    assert crowded_tasks(backed, world) == {
        task for task in tasks if list(pool_of.values()).count(pool_of[task]) > world[pool_of[task]].running
    }


def test_well_formed_workers_are_asked_about_first_and_other_roles_not_at_all() -> None:
    web = replace(A_WORKER, id=f"{TASKS[5]}/webserver", role="webserver")
    roster = Roster(members=(_worker(TASKS[1], "a"), web), malformed=(f"{TASKS[0]}/worker", f"{TASKS[1]}/x"))
    assert claimed_tasks(roster) == [TASKS[1], TASKS[0]]


def _worker(task: str, pool: str) -> Member:
    return replace(A_WORKER, id=f"{task}/worker", task_arn=ARN + task, pool=pool)
