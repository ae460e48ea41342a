"""The forecaster on a database with Airflow's real schema: starts airflow_forecaster.py, and asks it line by line."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project import paths
from tests.support.airflows_python import AIRFLOWS_PYTHON
from tests.support.past_runs import WINDOW_S
from tests.support.servers import PostgresServer

PROGRAM = Path(__file__).with_name("airflow_forecaster.py")
AHEAD_S = 15 * 60
# One vCPU and no memory, so that a worker-hour costs 0.04048 dollars.
SIZE = {"cpu": 1024, "memory": 0, "disk": 20, "base": 0, "spot": 0}

needs_environment = pytest.mark.skipif(
    not AIRFLOWS_PYTHON.exists(), reason="needs the image's environment (make setup)"
)


def environment(*, database: str, broker: str, home: str) -> dict[str, str]:
    """Return the variables of the forecaster's container."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": home,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "FLEET_READER_URL": broker,
        "WORKER_SIZES": json.dumps({"worker": SIZE, "long": SIZE}),
        "WORKER_PROCESSOR": "X86_64",
        "FLEET_POOL_OF_QUEUE": json.dumps({"default": "worker", "long": "long"}),
        "FORECAST_MINUTES": str(AHEAD_S // 60),
        "FORECAST_RUNS": "10",
        "FORECAST_WINDOW_S": str(WINDOW_S),
    }


class Program:
    """The process; it answers each command with a line of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **command: Any) -> Any:
        """Return the program's answer to one command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def running(
    given: PostgresServer, *, database: str, broker: str, home: str
) -> Iterator[tuple[Program, psycopg.Connection[Any]]]:
    """Run the program on a database of its own with Airflow's tables; yield it with a connection to the database."""
    given.server.provision(given.user, given.password, database)
    place = f"{given.user}:{given.password}@{given.host}:{given.port}/{database}"
    variables = environment(database=f"postgresql+psycopg2://{place}", broker=broker, home=home)
    with (
        Path(home, "log").open("w") as log,
        subprocess.Popen(
            [AIRFLOWS_PYTHON, PROGRAM],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
        psycopg.connect(f"postgresql://{place}", autocommit=True) as connection,
    ):
        program = Program(process)
        program.ask(migrate=True)
        yield program, connection
        process.kill()
