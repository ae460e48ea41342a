"""The runner as a real process, in a control group if one can be made, with Airflow's own supervisors and tasks."""

import os
import subprocess
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

from agent.runner.client import Runner, RunnerUnavailable
from agent.runner.protocol import Outcome
from local.servers.process import spawn, stop
from project import paths
from tests.support.airflow_worker import workload
from tests.support.airflows_python import AIRFLOWS_PYTHON
from tests.support.control_groups import memory_group, removed
from tests.support.execution_api import ExecutionApi
from tests.support.processes import end_all_below

DAG = "memory"
START_TIMEOUT_S = 180.0


class Run:
    """One task that the runner runs. `outcome` is None until its end, and if the supervisor died."""

    def __init__(self, runner: Runner, task_id: str, folder: Path, *, dag_id: str) -> None:
        self.task_id = task_id
        self._log = folder / "logs" / f"{task_id}-{uuid.uuid4()}.log"
        self.outcome: Outcome | None = None
        sent = workload(dag_file="memory.py", dag_id=dag_id, task_id=task_id, run_id="run", log_path=self._log.name)
        self._thread = threading.Thread(target=self._run, args=(runner, sent), daemon=True)
        self._thread.start()

    def _run(self, runner: Runner, sent: str) -> None:
        self.outcome = runner.run(sent)

    @property
    def log(self) -> str:
        """The task's log, as it is uploaded."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def join(self, timeout_s: float = 120.0) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout_s)
        return self.is_over


class AirflowRunner:
    """A runner whose tasks are those of a DAG file. With `in_group`, the kernel holds it to the limit as well.

    `packages`: a folder of installed packages beside Airflow's. `settings`: more variables of its environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dag: str,
        limit_mib: int,
        in_group: bool,
        packages: Path | None = None,
        dag_id: str = DAG,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._dag_id = folder, dag_id
        for name in ("dags", "logs", "shared"):
            (folder / name).mkdir()
        (folder / "dags" / "memory.py").write_text(dag)
        self.group = memory_group(limit_mib) if in_group else None
        self._api = ExecutionApi().__enter__()
        environment = {
            "PATH": f"{AIRFLOWS_PYTHON.parent}:{os.environ['PATH']}",
            "PYTHONPATH": paths.IMAGE_PYTHONPATH + (f":{packages}" if packages else ""),
            "AIRFLOW_HOME": str(folder),
            "SHARED_FOLDER": str(folder / "shared"),
            "MEMORY_MIB": str(limit_mib),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": self._api.url,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "FOLDER": str(folder),
            **(settings or {}),
        }
        self.process: subprocess.Popen[bytes] = spawn(
            [str(AIRFLOWS_PYTHON), "-m", "agent.runner"],
            env=environment,
            cwd=folder,
            log_path=folder / "runner.log",
            group=None if self.group is None else self.group.procs,
        )
        try:
            self.runner = Runner.connect(folder / "shared", timeout_s=START_TIMEOUT_S)
        except RunnerUnavailable:
            self._end()
            raise

    @property
    def log(self) -> str:
        return (self.folder / "runner.log").read_text()

    def start(self, task_id: str) -> Run:
        return Run(self.runner, task_id, self.folder, dag_id=self._dag_id)

    def began(self, task_id: str) -> int:
        """Return how many tasks of this name have begun: each touches a file."""
        return len(list(self.folder.glob(f"{task_id}.*.began")))

    def close(self) -> None:
        self.runner.close()
        self._end()

    def _end(self) -> None:
        end_all_below(self.process.pid)
        stop(self.process)
        self._api.__exit__()
        if self.group is not None:
            removed(self.group)
