"""A worker's two containers as real processes in the image's environment, with Airflow's own supervisors and tasks."""

import contextlib
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from agent import variables
from agent.runner.protocol import SOCKET
from fleet.member import Member
from fleet.registry import Registry
from local.servers.ports import free_port
from project import paths
from roles.compose import ROLES, compose
from roles.parts import RESULTS_URL_PREFIX
from tests.support.airflows_python import AIRFLOWS_PYTHON, asked
from tests.support.control_groups import memory_group, removed
from tests.support.fake_ecs import MEMBER_ID, TASK_ARN, FakeEcs
from tests.support.processes import end_all_below
from tests.support.servers import RedisServer
from tests.support.waiting import eventually
from tests.unit.agent.test_entrypoint import GIVEN

QUEUE = "default"
START_WITHIN_S = 300.0
SEND = """
import json, os
from agent.celery_app import TASK, app
for task_id, workload in json.loads(os.environ["WORKLOADS"]).items():
    app.send_task(TASK, args=[workload], task_id=task_id, queue=os.environ["QUEUE"])
answer("sent")
"""


@dataclass(frozen=True, kw_only=True)
class AirflowWorker:
    """`worker` and `runner` are its containers' processes, `folder` is the one that they share."""

    worker: subprocess.Popen[bytes]
    runner: subprocess.Popen[bytes]
    client: redis.Redis
    environment: dict[str, str]
    folder: Path

    @property
    def member(self) -> Member | None:
        """What the worker reports."""
        found = [member for member in Registry(self.client).members().members if member.id == MEMBER_ID]
        return found[0] if found else None

    def send(self, *workloads: str) -> list[str]:
        """Queue Airflow's workloads, each in JSON; return the ids of their messages."""
        messages = {str(uuid.uuid4()): workload for workload in workloads}
        given = {name: value for name, value in self.environment.items() if name not in ("PATH", "PYTHONPATH")}
        given = {name: value for name, value in given.items() if name != variables.AIRFLOW_HOME}
        asked(SEND, home=self.folder, **given, WORKLOADS=json.dumps(messages), QUEUE=QUEUE)
        return list(messages)

    def state_of(self, message: str) -> str | None:
        """Return Celery's state of a message; None while it has none."""
        raw: Any = self.client.get(f"celery-task-meta-{message}")
        return None if raw is None else str(json.loads(raw)["status"])

    def log(self, container: str) -> str:
        return (self.folder / f"{container}.log").read_text(errors="replace")


def workload(
    *, dag_file: str, dag_id: str, task_id: str, run_id: str, try_number: int = 1, log_path: str | None = None
) -> str:
    """Return the workload of one try, as the scheduler's executor sends it."""
    ids = {"id": str(uuid.uuid4()), "dag_version_id": str(uuid.uuid4())}
    ti = {"dag_id": dag_id, "task_id": task_id, "run_id": run_id, "try_number": try_number, "queue": QUEUE}
    return json.dumps(
        {
            "token": "a-token",
            "ti": {**ids, **ti, "map_index": -1, "pool_slots": 1, "priority_weight": 1},
            "dag_rel_path": dag_file,
            "bundle_info": {"name": "dags-folder", "version": None},
            "log_path": log_path or f"{run_id}/{try_number}.log",
            "type": "ExecuteTask",
        }
    )


@contextlib.contextmanager
def running_airflow_worker(
    *,
    redis_server: RedisServer,
    ecs: FakeEcs,
    api_url: str,
    folder: Path,
    dags: Path,
    slots: int,
    memory_mib: int | None = None,
) -> Iterator[AirflowWorker]:
    """Yield a worker that takes the tasks of the DAGs in `dags`; kill all of it in the end.

    `memory_mib`: the limit of the container `runner`, which the kernel enforces where this process may make a group.
    """
    pools = [{**pool, "concurrency": slots} for pool in json.loads(GIVEN["POOLS"]) if pool["name"] == GIVEN["POOL"]]
    environments = {role: _environment(role, redis_server, ecs, api_url, folder, dags, pools) for role in ROLES_RUN}
    if memory_mib is not None:
        environments["runner"][variables.MEMORY_MIB] = str(memory_mib)
    with contextlib.ExitStack() as ending:
        group = None if memory_mib is None else memory_group(memory_mib)
        if group is not None:
            ending.callback(removed, group)
        processes = {}
        for role, environment in environments.items():
            command = compose(ROLES[role], environment | GIVEN).argv
            Path(environment[variables.AIRFLOW_HOME]).mkdir()
            output = ending.enter_context((folder / f"{role}.log").open("wb"))
            processes[role] = subprocess.Popen(
                [AIRFLOWS_PYTHON, *command[1:]], env=environment, cwd=folder, stdout=output, stderr=output
            )
            ending.callback(_end, processes[role])
            if role == "runner" and group is not None:
                group.procs.write_text(str(processes[role].pid))
            if role == "runner":  # a worker waits for it, but not for as long as a busy machine may take
                assert eventually((folder / SOCKET).exists, within_s=START_WITHIN_S)
        yield AirflowWorker(
            worker=processes["worker"],
            runner=processes["runner"],
            client=redis_server.client,
            environment=environments["worker"],
            folder=folder,
        )


ROLES_RUN = ("runner", "worker")


def _environment(
    role: str, redis_server: RedisServer, ecs: FakeEcs, api_url: str, folder: Path, dags: Path, pools: Any
) -> dict[str, str]:
    own = {
        "BROKER_SCHEME": "redis",
        "EXECUTION_API_URL": api_url,
        "POOLS": json.dumps(pools),
        "SHARED_FOLDER": str(folder),
        "ECS_AGENT_URI": ecs.agent_uri,
        "BIND_HOST": "127.0.0.1",
    }
    composed = compose(ROLES[role], GIVEN | own).environment
    urls = (
        {
            variables.BROKER_URL: redis_server.url,
            variables.READER_URL: redis_server.url,
            variables.RESULTS_URL: RESULTS_URL_PREFIX + redis_server.url,
            variables.GATE_MINUTES: "0",
        }
        if role == "worker"
        else {}
    )
    return (
        composed
        | urls
        | {
            "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            variables.AIRFLOW_HOME: str(folder / role),
            variables.TASK_ARN: TASK_ARN,
            variables.LOG_SERVER_PORT: str(free_port()),
            variables.DAGS_FOLDER: str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "False",
        }
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:
        end_all_below(process.pid)
        process.send_signal(signal.SIGKILL)
