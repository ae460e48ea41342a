"""Airflow's own clients, as their users install them, with a machine's token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from project import paths

REQUIREMENTS = paths.ROOT / "requirements" / "clients.txt"
# argv: address, token, DAG, and the run if it is already there. Prints the run and its state.
PYTHON_CLIENT = """
import sys
import airflow_client.client as airflow
url, token, dag, *run = sys.argv[1:]
runs = airflow.DagRunApi(airflow.ApiClient(airflow.Configuration(host=url, access_token=token)))
found = runs.get_dag_run(dag, run[0]) if run else runs.trigger_dag_run(
    dag, airflow.TriggerDAGRunPostBody(logical_date=None)
)
print(found.dag_run_id, found.state.value)
"""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The installed clients: `python` of their environment, and a folder in which airflowctl keeps what it knows."""

    python: Path
    home: Path

    def airflowctl(self, *arguments: str, token: str) -> str:
        """Return what airflowctl prints."""
        environment = {"AIRFLOW_CLI_TOKEN": token, "AIRFLOW_HOME": str(self.home), "HOME": str(self.home)}
        return _run(str(self.python.with_name("airflowctl")), *arguments, **environment)

    def by_airflowctl(self, url: str, token: str, dag: str) -> str:
        """Trigger a run with airflowctl as docs/machines.md has it; return its id."""
        self.airflowctl("auth", "login", "--api-url", url, "--skip-keyring", token=token)
        found = json.loads(self.airflowctl("dags", "trigger", dag, "--output", "json", token=token))
        return str((found[0] if isinstance(found, list) else found)["dag_run_id"])

    def state_by_airflowctl(self, token: str, dag: str, run: str) -> str:
        """Return the run's state as airflowctl tells it."""
        found = json.loads(self.airflowctl("dagrun", "get", dag, run, "--output", "json", token=token))
        return str((found[0] if isinstance(found, list) else found)["state"])

    def by_python(self, url: str, token: str, dag: str, *run: str) -> tuple[str, str]:
        """Trigger a run, or ask for one, with Airflow's Python client; return its id and state."""
        run_id, state = _run(str(self.python), "-c", PYTHON_CLIENT, url, token, dag, *run).split()
        return run_id, state


def install(folder: Path) -> Clients:
    """Install the clients into the folder."""
    uv, environment = str(Path(sys.executable).with_name("uv")), folder / "environment"
    python = environment / "bin" / "python"
    _run(uv, "venv", "-q", "--python", sys.executable, str(environment))
    _run(uv, "pip", "install", "-q", "--python", str(python), "--require-hashes", "-r", str(REQUIREMENTS), **os.environ)
    return Clients(python=python, home=folder)


def _run(*arguments: str, **environment: str) -> str:
    """Return what a program prints. Raises RuntimeError with the end of its complaint."""
    variables = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]} failed: {done.stderr[-2000:]}")
    return done.stdout
