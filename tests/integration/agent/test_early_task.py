"""A task's process is forked before its supervisor reads the workload, with Airflow's own supervisors and tasks."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.airflow_runner import AirflowRunner
from tests.support.airflow_worker import workload
from tests.support.airflows_python import asked, needs_airflow
from tests.support.processes import below
from tests.support.waiting import eventually

pytestmark = needs_airflow

MARK = "eyJ-what-no-other-task-may-read-"
KINDS = ("token", "log line", "environment", "XCom", "secret")
# A task looks for the marks from the inside. It knows them only backwards, so that it does not find its own copy.
DAG = f"""
from airflow.sdk import dag, task
from airflow.sdk.log import mask_secret

BEGINNING, KINDS = b"eyJ-what-no-", {KINDS!r}

def mark(kind):
    return {MARK[::-1]!r}[::-1] + kind

def copies():
    found = dict.fromkeys(KINDS, 0)
    backwards = {{kind: ({MARK[::-1].encode()!r}, kind.encode()) for kind in KINDS}}
    with open("/proc/self/mem", "rb", buffering=0) as memory, open("/proc/self/maps") as maps:
        for line in maps.read().splitlines():
            where, access, *_ = line.split()
            if not access.startswith("rw") or "[v" in line:
                continue
            low, high = (int(part, 16) for part in where.split("-"))
            memory.seek(low)
            part = memory.read(high - low) or b""
            at = part.find(BEGINNING)
            while at >= 0:
                for kind, (start, end) in backwards.items():
                    whole = at + len(start)
                    if part[at:whole][::-1] == start and part[whole : whole + len(end)] == end:
                        found[kind] += 1
                at = part.find(BEGINNING, at + 1)
    return found

@dag(schedule=None)
def memory():
    @task
    def leaves_marks():
        import os
        print(mark("log line"))
        os.environ["LEFT"] = mark("environment")
        mask_secret(mark("secret"))
        print("supervisor", os.getppid())
        return mark("XCom")
    @task
    def reads_its_memory():
        import os
        print("supervisor", os.getppid())
        print("copies:", copies(), os.environ.get("LEFT"))
    @task
    def finds_its_marks():
        held = [mark(kind) for kind in KINDS]
        print("copies:", min(copies().values()), "or more of", len(held))
    @task
    def tells_its_code():
        import os
        print("the code is", os.environ["FLEET_DAGS_HASH"])
    @task
    def logs_in_all_ways():
        import logging, os, sys, warnings
        print("by print")
        print("by stderr", file=sys.stderr)
        os.system("echo by a program")
        logging.getLogger("library").warning("by a library")
        warnings.warn("by a warning")
    @task
    def asks_the_database():
        from airflow import settings
        for ask in (lambda: settings.Session(), lambda: settings.engine, lambda: settings.configure_orm()):
            try:
                print("reached", ask())
            except (RuntimeError, AttributeError) as error:
                print("refused:", error)
    logs_in_all_ways()
    asks_the_database()
    leaves_marks()
    reads_its_memory()
    finds_its_marks()
    tells_its_code()
memory()
"""
NONE_LEFT = dict.fromkeys(KINDS, 0)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowRunner]:
    running = AirflowRunner(tmp_path_factory.mktemp("early"), dag=DAG, limit_mib=2048, in_group=False)
    yield running
    running.close()


@pytest.fixture(scope="module", autouse=True)
def runner_processes(runner: AirflowRunner) -> int:
    """How many processes there are below the runner's first one while no task runs."""
    return len(below(runner.process.pid))


def succeeds(runner: AirflowRunner, task_id: str, *, dags_hash: str = "") -> None:
    outcome = runner.runner.run(sent(task_id), dags_hash=dags_hash)
    assert outcome is not None
    assert (outcome.is_whole, outcome.left_behind) == (True, 0)


def sent(task_id: str) -> str:
    made = json.loads(
        workload(dag_file="memory.py", dag_id="memory", task_id=task_id, run_id="run", log_path=f"{task_id}.log")
    )
    return json.dumps(made | {"token": MARK + "token"})


def log_of(runner: AirflowRunner, task_id: str) -> str:
    return (runner.folder / "logs" / f"{task_id}.log").read_text()


def supervisor_in(log: str) -> str:
    (line,) = [line for line in log.splitlines() if '"supervisor ' in line]
    return str(json.loads(line)["event"])


def test_a_task_that_has_the_marks_finds_them(runner: AirflowRunner) -> None:
    succeeds(runner, "finds_its_marks")
    assert "copies: 1 or more of 5" in log_of(runner, "finds_its_marks")


def test_no_token_is_in_a_tasks_memory(runner: AirflowRunner) -> None:
    """Not even its own. Airflow forks a task from a supervisor that has read it."""
    succeeds(runner, "reads_its_memory")
    assert f"copies: {NONE_LEFT} None" in log_of(runner, "reads_its_memory")


def test_nothing_of_a_task_is_in_the_memory_of_the_next_one_of_its_supervisor(runner: AirflowRunner) -> None:
    (runner.folder / "logs" / "reads_its_memory.log").unlink(missing_ok=True)
    succeeds(runner, "leaves_marks")
    succeeds(runner, "reads_its_memory")
    log = log_of(runner, "reads_its_memory")
    assert supervisor_in(log) == supervisor_in(log_of(runner, "leaves_marks"))
    assert f"copies: {NONE_LEFT} None" in log


def test_a_task_knows_the_hash_of_its_code(runner: AirflowRunner) -> None:
    succeeds(runner, "tells_its_code", dags_hash="0123abcd")
    assert "the code is 0123abcd" in log_of(runner, "tells_its_code")


def test_a_process_that_no_supervisor_takes_ends(runner: AirflowRunner, runner_processes: int) -> None:
    outcome = runner.runner.run(json.dumps(json.loads(sent("tells_its_code")) | {"bundle_info": 1}))
    assert outcome is not None
    assert (outcome.error, outcome.left_behind) == ("ValueError", 0)
    assert eventually(lambda: len(below(runner.process.pid)) == runner_processes)


def test_tasks_side_by_side_each_get_their_own_process(runner: AirflowRunner) -> None:
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(succeeds, runner, "tells_its_code") for _ in range(4)]:
            future.result()


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_tasks_log_has_all_that_it_says(time: str, runner: AirflowRunner) -> None:
    """Its zygote has set up the logs, with a connection of its own instead of the task's."""
    (runner.folder / "logs" / "logs_in_all_ways.log").unlink(missing_ok=True)
    succeeds(runner, "logs_in_all_ways")
    lines = [json.loads(line) for line in log_of(runner, "logs_in_all_ways").splitlines()]
    said = [
        ("task.stdout", "info", "by print"),
        ("task.stderr", "error", "by stderr"),
        ("task.stdout", "info", "by a program"),
        ("library", "warning", "by a library"),
        ("py.warnings", "warning", "by a warning"),
    ]
    found = [(line.get("logger"), line.get("level"), line["event"]) for line in lines]
    assert sorted(each for each in found if each[2].startswith("by ")) == sorted(said)  # on three connections


def test_a_task_reaches_no_database(runner: AirflowRunner) -> None:
    succeeds(runner, "asks_the_database")
    log = log_of(runner, "asks_the_database")
    assert "reached" not in log
    assert log.count("refused:") == 3


# Sets up a task's logs as Airflow does after the fork; counts the loggers of libraries that are written to.
LOGGERS = """
import logging, os, socket
from airflow.sdk.execution_time import supervisor
from airflow.sdk.log import configure_logging
from agent.runner import loggers

class Library(logging.Logger):
    written = 0
    def __setattr__(self, name, value):
        Library.written += name == "disabled" and hasattr(self, "disabled")
        super().__setattr__(name, value)

library = Library("library")
library.manager = logging.root.manager
library.parent = logging.root
logging.root.manager.loggerDict["library"] = library
configure_logging()
if os.environ["INSTALLED"] == "yes":
    loggers.install()
Library.written = 0
ours, theirs = socket.socketpair()
supervisor._configure_logs_over_json_channel(theirs.fileno())
for name in ("library", "airflow.task", "httpx", "new.one"):
    logging.getLogger(name).warning("from " + name)
levels = {name: logging.getLogger(name).level for name in (*loggers.CONFIGURED, "library", "")}
answer([Library.written, ours.recv(65536).decode().splitlines(), levels, logging.getLogger("library") is library])
"""


@pytest.fixture(scope="module")
def as_airflow_does(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[str], dict[str, int], bool]:
    return tuple(asked(LOGGERS, home=tmp_path_factory.mktemp("no"), INSTALLED="no"))


def test_a_task_sets_up_its_logs_without_writing_to_every_logger(
    as_airflow_does: tuple[int, list[str], dict[str, int], bool], tmp_path: Path
) -> None:
    """When `written` is 0 as Airflow does it, this has become needless."""
    written, lines, levels, is_same = as_airflow_does
    assert (written, is_same) == (1, True)
    found = asked(LOGGERS, home=tmp_path, INSTALLED="yes")
    assert found[0] == 0
    assert [said(line) for line in found[1]] == [said(line) for line in lines]
    assert len(lines) == 4
    assert found[2:] == [levels, True]


def said(line: str) -> dict[str, object]:
    return {name: value for name, value in json.loads(line).items() if name != "timestamp"}


# Airflow makes an engine when it is imported, and lets each fork build its pool of connections anew.
ENGINE = """
import airflow.settings
from agent.runner import preload
before = airflow.settings.engine is not None
preload.preload()
answer([before, airflow.settings.engine is not None])
"""


def test_the_runner_has_no_engine_of_a_database(tmp_path: Path) -> None:
    """When the first is False, Airflow makes none any more."""
    assert asked(ENGINE, home=tmp_path) == [True, False]
