"""A task starts, restarts and stops real processes."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.fargate.container import Container
from local.fargate.definition import ContainerDefinition, RestartPolicy, TaskDefinition
from local.fargate.task import Phase, Task

WAIT_S = 20.0
MakeTask = Callable[..., Task]


@pytest.fixture
def make_task(tmp_path: Path) -> Iterator[MakeTask]:
    made: list[Task] = []

    def make(*containers: ContainerDefinition) -> Task:
        def start(definition: ContainerDefinition) -> Container:
            argv = [sys.executable, "-c", *definition.command]
            log_path = tmp_path / f"{definition.name}.log"
            return Container(name=definition.name, argv=argv, env={}, home=tmp_path, log_path=log_path)

        definition = TaskDefinition(arn="td", image="image", containers=containers)
        task = Task(arn="arn:task/1", service="s", deployment="d", definition=definition, start=start)
        made.append(task)
        return task

    yield make
    for task in made:
        task.kill()


def container(
    name: str,
    code: str,
    *,
    essential: bool = True,
    after: str = "",
    stop_timeout_s: int = 30,
    restart_policy: RestartPolicy | None = None,
) -> ContainerDefinition:
    return ContainerDefinition(
        name=name,
        command=(code,),
        environment={},
        secrets={},
        ports=(),
        essential=essential,
        depends_on={after: "SUCCESS"} if after else {},
        stop_timeout_s=stop_timeout_s,
        restart_policy=restart_policy,
    )


SLEEP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])
print(child.pid, flush=True)
child.wait()
"""
# Its first run ends with code 3 and leaves a process behind; its second lasts.
TWO_RUNS = f"""
import pathlib, subprocess, sys, time
mark = pathlib.Path('lived')
if not mark.exists():
    mark.touch()
    print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True)
    raise SystemExit(3)
print('again', flush=True)
time.sleep(600)
"""
AT_ONCE = RestartPolicy(attempt_period_s=0)  # ECS requires at least 60 s, for which no test waits


def advance_until(task: Task, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"task is {task.phase}: {task.reason}"
        task.advance()
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def log_of(task: Task, name: str) -> str:
    return task.containers[name].log_path.read_text()


def test_a_dependent_container_starts_after_success(make_task: MakeTask) -> None:
    task = make_task(
        container("migrate", "import time; time.sleep(0.3)", essential=False), container("web", SLEEP, after="migrate")
    )
    task.advance()
    assert set(task.containers) == {"migrate"}
    advance_until(task, lambda: task.phase is Phase.RUNNING)
    assert task.containers["migrate"].exit_code == 0


def test_a_failed_dependency_stops_the_task_and_says_why(make_task: MakeTask) -> None:
    migrate = container("migrate", "print('no database'); raise SystemExit(3)", essential=False)
    task = make_task(migrate, container("web", SLEEP, after="migrate"))
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert task.failed
    assert task.reason == "container migrate exited with code 3: no database"
    assert "web" not in task.containers


def test_the_end_of_an_essential_container_stops_the_others(make_task: MakeTask) -> None:
    task = make_task(container("a", SLEEP), container("b", "import time; time.sleep(0.3)"))
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert task.containers["a"].exit_code == 128 + signal.SIGTERM


def test_stop_waits_for_the_stop_timeout_and_then_kills(make_task: MakeTask) -> None:
    task = make_task(container("a", DEAF, stop_timeout_s=1))
    advance_until(task, lambda: task.phase is Phase.RUNNING and "deaf" in log_of(task, "a"))
    task.stop("scale in")
    task.advance()
    assert task.phase is Phase.STOPPING
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert task.was_killed
    assert task.containers["a"].exit_code == 128 + signal.SIGKILL


def test_a_clean_stop_is_not_a_kill(make_task: MakeTask) -> None:
    task = make_task(container("a", SLEEP))
    advance_until(task, lambda: task.phase is Phase.RUNNING and "up" in log_of(task, "a"))
    task.stop("scale in")
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert not task.was_killed
    assert not task.failed


def test_processes_that_a_container_left_behind_end_with_it(make_task: MakeTask) -> None:
    task = make_task(container("a", PARENT))
    advance_until(task, lambda: task.phase is Phase.RUNNING and log_of(task, "a").strip().splitlines()[:1] != [])
    child = int(log_of(task, "a").split()[0])
    task.stop("scale in")
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    advance_until(task, lambda: has_ended(child))


def test_a_container_with_a_restart_policy_is_restarted_in_its_task(make_task: MakeTask) -> None:
    task = make_task(container("a", TWO_RUNS, restart_policy=AT_ONCE), container("b", SLEEP))
    advance_until(task, lambda: task.restarted == ["a"] and "again" in log_of(task, "a"))
    assert task.phase is Phase.RUNNING
    assert task.containers["b"].exit_code is None
    left_behind = int(log_of(task, "a").split()[0])
    advance_until(task, lambda: has_ended(left_behind))


@pytest.mark.parametrize(
    "policy",
    [RestartPolicy(attempt_period_s=60), RestartPolicy(attempt_period_s=0, ignored_exit_codes=frozenset({3}))],
    ids=["it ran too briefly", "its exit code is ignored"],
)
def test_an_essential_container_that_is_not_restarted_stops_its_task(
    make_task: MakeTask, policy: RestartPolicy
) -> None:
    task = make_task(container("a", TWO_RUNS, restart_policy=policy))
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert task.restarted == []
    assert task.reason.startswith("container a exited with code 3")


def test_a_container_that_was_asked_to_stop_is_not_restarted(make_task: MakeTask) -> None:
    task = make_task(container("a", SLEEP, restart_policy=AT_ONCE))
    advance_until(task, lambda: task.phase is Phase.RUNNING and "up" in log_of(task, "a"))
    task.stop("scale in")
    advance_until(task, lambda: task.phase is Phase.STOPPED)
    assert task.restarted == []


@pytest.mark.parametrize(("exit_code", "ran_s", "allowed"), [(1, 60, True), (1, 59.9, False), (0, 600, False)])
def test_a_restart_policy_is_read_as_ecs_describes_it(exit_code: int, ran_s: float, allowed: bool) -> None:
    policy = RestartPolicy.of({"enabled": True, "restartAttemptPeriod": 60, "ignoredExitCodes": [0]})
    assert policy is not None
    assert policy.allows(exit_code=exit_code, ran_s=ran_s) is allowed


def test_a_restart_policy_that_is_not_enabled_is_none() -> None:
    assert RestartPolicy.of({"enabled": False, "restartAttemptPeriod": 60}) is None
