"""How often Airflow's real supervisor of a task sends heartbeats, and how soon it notices the task's end."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.airflows_python import asked, needs_airflow
from tests.support.execution_api import ExecutionApi

pytestmark = needs_airflow

# Supervises a task that is the code in TASK; answers how long the supervisor went on after the task's process ended.
SUPERVISE = """
import os, time, uuid
from airflow.sdk.api.client import Client
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import ActivitySubprocess
from agent.runner import pace

pace.FIRST_S, pace.LONGEST_S = float(os.environ["FIRST_S"]), float(os.environ["LONGEST_S"])
if os.environ["PACED"] == "yes":
    pace.install()
ids = {"id": uuid.uuid4(), "dag_version_id": uuid.uuid4()}
task = TaskInstance(**ids, task_id="task", dag_id="dag", run_id="run", try_number=1)
supervised = ActivitySubprocess.start(
    what=task,
    dag_rel_path="dag.py",
    bundle_info=None,
    client=Client(base_url=os.environ["API"], token="a-token"),
    target=lambda: exec(os.environ["TASK"]),
)
code = supervised.wait()
answer({"code": code, "held_s": time.monotonic() - supervised.start_time, "state": supervised.final_state})
"""
# The supervisor sees every socket closed before the process can be waited for, as on a busy machine.
CLOSES_FIRST = "import os, time; os.closerange(0, 1024); time.sleep(0.3); os._exit(0)"
PRINTS = "import time; print('a line', flush=True); time.sleep(1)"
LEAVES_A_PROCESS = "import os, time; os.fork() or (time.sleep(70), os._exit(0))"


def supervise(
    api: ExecutionApi,
    home: Path,
    task: str,
    *,
    is_paced: bool = True,
    first_s: float = 60.0,
    longest_s: float = 60.0,
    airflows_s: int = 1,
) -> Any:
    """Supervise to the end. `airflows_s`: the interval that Airflow's own setting gives."""
    settings = {
        "API": api.url,
        "TASK": task,
        "PACED": "yes" if is_paced else "no",
        "FIRST_S": str(first_s),
        "LONGEST_S": str(longest_s),
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": str(airflows_s),
        "AIRFLOW__WORKERS__SOCKET_CLEANUP_TIMEOUT": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "1000",
    }
    return asked(SUPERVISE, home=home, **settings)


def test_the_end_of_a_task_is_noticed_at_once(tmp_path: Path) -> None:
    with ExecutionApi() as api:
        ended = supervise(api, tmp_path, CLOSES_FIRST, airflows_s=30)
    assert ended["code"] == 0
    assert ended["held_s"] < 25


@pytest.mark.slow
def test_airflows_own_supervisor_waits_for_the_next_heartbeat(tmp_path: Path) -> None:
    """When this fails, Airflow notices by itself, and the process need not be in its selector."""
    with ExecutionApi() as api:
        assert supervise(api, tmp_path, CLOSES_FIRST, airflows_s=4, is_paced=False)["held_s"] >= 4


def test_a_short_task_sends_no_heartbeat(tmp_path: Path) -> None:
    with ExecutionApi() as api:
        supervise(api, tmp_path, PRINTS)
    assert api.beats == []


@pytest.mark.slow
def test_the_heartbeats_become_rarer_up_to_a_limit(tmp_path: Path) -> None:
    with ExecutionApi() as api:
        supervise(api, tmp_path, "import time; time.sleep(9)", first_s=1, longest_s=2)
    gaps = [later - earlier for earlier, later in zip([0.0, *api.beats], api.beats, strict=False)]
    assert min(gaps) > 0.9
    assert 1.9 < gaps[-1] < 3.5
    assert len(api.beats) <= 6  # after 1, 2, 3, 4.5, 6.5 and 8.5 s


def test_a_task_that_should_not_run_is_ended_at_the_next_heartbeat(tmp_path: Path) -> None:
    with ExecutionApi(verdict=409) as api:
        ended = supervise(api, tmp_path, "import time; time.sleep(60)", first_s=1)
    assert ended["state"] == "SERVER_TERMINATED"
    assert ended["held_s"] < 50
    assert len(api.beats) == 1


@pytest.mark.slow
def test_a_process_that_is_left_behind_does_not_make_the_supervisor_wait_for_a_heartbeat(tmp_path: Path) -> None:
    with ExecutionApi() as api:
        ended = supervise(api, tmp_path, LEAVES_A_PROCESS)
    assert 1.0 <= ended["held_s"] < 50
    assert api.beats == []
