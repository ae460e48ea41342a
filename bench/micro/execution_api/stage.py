"""The webserver on a real Postgres, and queued task instances for it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.micro.execution_api.tasks import Api, Ticket
from bench.micro.page.webserver import Webserver, environment, running_webserver
from local.servers import process
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from project.errors import CommandError
from project.paths import AIRFLOW_ENVIRONMENT
from roles.forecaster_settings import NUMBERS

PROGRAM = Path(__file__).with_name("airflow_program.py")
USER, PASSWORD, DATABASE = "airflow", "airflow", "airflow"
TASKS_A_RUN = 250
FORECASTER = {
    "FLEET_POOL_OF_QUEUE": '{"default":"worker"}',
    **{name: default for name, (default, _, _) in NUMBERS.items()},
}


class Stage:
    """A database with Airflow's schema, and what a webserver needs besides."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.postgres, self._redis = Postgres(folder / "postgres").start(), Redis(folder / "redis").start()
        self.postgres.provision(USER, PASSWORD, DATABASE)
        self._program: subprocess.Popen[str] | None = None
        self._version = ""
        self._tickets: list[Ticket] = []

    @property
    def database_url(self) -> str:
        return f"postgresql://{USER}:{PASSWORD}@{self.postgres.host}:{self.postgres.port}/{DATABASE}"

    @contextlib.contextmanager
    def webserver(self, processes: int) -> Iterator[tuple[Webserver, Api]]:
        """Run the image's webserver with so many processes. Raises CommandError if it does not start."""
        home = self._folder / f"webserver-{processes}"
        home.mkdir()
        settings = self._settings | {"AIRFLOW__API__WORKERS": str(processes)}
        with running_webserver(home=home, broker_url=self._broker_url, settings=settings) as server:
            if self._program is None:
                self._version = self._ask(dag=TASKS_A_RUN)
            yield server, Api(url=f"{server.internal_url}/execution/", version=self._version)

    def tickets(self, count: int) -> list[Ticket]:
        """Return task instances that wait to be started."""
        while len(self._tickets) < count:
            self._tickets += [Ticket(*each) for each in self._ask(run=True)]
        taken, self._tickets = self._tickets[:count], self._tickets[count:]
        return taken

    @contextlib.contextmanager
    def other_roles(self) -> Iterator[dict[str, int]]:
        """Run Airflow's other processes with a database; yield the id of each role's first process."""
        python = str(AIRFLOW_ENVIRONMENT / "bin" / "python")
        airflow = [python, "-m", "airflow"]
        commands = {
            "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
            "dag-processor": [*airflow, "dag-processor"],
            "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
            "forecaster": [python, "-m", "agent.forecaster"],
        }
        with contextlib.ExitStack() as stack:
            ids = {}
            for role, argv in commands.items():
                home = self._folder / role
                home.mkdir()
                variables = environment(home=home, broker_url=self._broker_url, role=role) | self._settings | FORECASTER
                child = process.spawn(argv, env=variables, cwd=home, log_path=home / "log")
                stack.callback(process.stop, child)
                ids[role] = child.pid
            yield ids

    def close(self) -> None:
        if self._program is not None:
            self._program.kill()
            self._program.wait()
        self._redis.stop()
        self.postgres.remove()

    @property
    def _broker_url(self) -> str:
        return f"redis://{self._redis.host}:{self._redis.port}/0"

    @property
    def _settings(self) -> dict[str, str]:
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database_url.replace("://", "+psycopg2://", 1),
        }

    def _ask(self, **command: Any) -> Any:
        if self._program is None:
            home = self._folder / "program"
            home.mkdir()
            self._program = subprocess.Popen(
                [AIRFLOW_ENVIRONMENT / "bin" / "python", PROGRAM],
                env=environment(home=home, broker_url=self._broker_url) | self._settings,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(home / "log").open("w"),
                text=True,
            )
        if self._program.stdin is None or self._program.stdout is None:
            raise ValueError("the program needs pipes for its commands and answers")
        self._program.stdin.write(json.dumps(command) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline()
        if not answer:
            raise CommandError(f"no task instances: {(self._folder / 'program' / 'log').read_text()[-2000:]}")
        return json.loads(answer)


@contextlib.contextmanager
def prepared_stage() -> Iterator[Stage]:
    """Prepare the servers until the block ends. Raises StartError when one does not start."""
    with tempfile.TemporaryDirectory(prefix="execution-api-") as folder:
        stage = Stage(Path(folder))
        try:
            yield stage
        finally:
            stage.close()
