"""Airflow's own engines and the health check, with a real database behind TLS as RDS speaks it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.servers.relay import Relay
from local.servers.tls import Authority
from project import paths
from roles.compose import ROLES, compose
from tests.support.servers import PostgresServer

pytestmark = pytest.mark.skipif(not paths.AIRFLOW_ENVIRONMENT.is_dir(), reason="needs make setup-local")
IMAGE = Path(__file__).parents[3] / "airflow_image"
ASKING = Path(__file__).parents[2] / "support" / "asking_database.py"


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


def given(relay: Relay, server: PostgresServer, *, presents: Authority, knows: Authority) -> dict[str, str]:
    """Return the environment of a container that `knows` one authority; the database `presents` one's certificate."""
    tls = presents.server_context()
    _, port = relay.add("database", backend=lambda: (server.host, server.port), tls=tls, starttls="postgres")
    return {
        "DATABASE_HOST": "localhost",
        "DATABASE_PORT": str(port),
        "DATABASE_NAME": server.database,
        "DATABASE_USER": server.user,
        "DATABASE_PASSWORD": server.password,
        "DATABASE_SSLMODE": "verify-full",
        "DATABASE_AUTHORITIES": str(knows.ca_path),
        "ADMIN_PASSWORD": "of-nobody-here",
    }


def ask(container: dict[str, str], home: Path) -> dict[str, str]:
    """Return the answer of each engine."""
    environment = {
        **compose(ROLES["migrate"], container).environment,
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
    }
    command = [paths.AIRFLOW_ENVIRONMENT / "bin/python", ASKING]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    answers: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_both_engines_reach_a_database_of_a_known_authority(
    relay: Relay, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "tls")
    container = given(relay, postgres_server, presents=authority, knows=authority)
    assert ask(container, tmp_path) == {"sync": "answered", "async": "answered"}


@pytest.mark.parametrize("wrong", ["authority", pytest.param("host", marks=pytest.mark.slow)])
def test_no_engine_talks_to_a_database_without_a_valid_certificate(
    relay: Relay, postgres_server: PostgresServer, tmp_path: Path, wrong: str
) -> None:
    known = Authority(tmp_path / "known", names=("elsewhere",) if wrong == "host" else ("localhost",))
    presents = Authority(tmp_path / "another") if wrong == "authority" else known
    container = given(relay, postgres_server, presents=presents, knows=known)
    assert ask(container, tmp_path) == {"sync": "refused", "async": "refused"}


@pytest.mark.parametrize(
    ("knows", "said"),
    [
        ("known", "(UndefinedTable)"),  # it was asked, and has none of Airflow's tables
        ("another", "(OperationalError)"),
    ],
)
def test_the_health_check_asks_only_a_database_of_a_known_authority(
    relay: Relay, postgres_server: PostgresServer, tmp_path: Path, knows: str, said: str
) -> None:
    container = given(relay, postgres_server, presents=Authority(tmp_path / "known"), knows=Authority(tmp_path / knows))
    container["PYTHONPATH"] = paths.IMAGE_PYTHONPATH
    container["PATH"] = f"{paths.AIRFLOW_ENVIRONMENT}/bin:/usr/bin:/bin"
    command = [str(IMAGE / "entrypoint"), "health", "triggerer"]
    done = subprocess.run(command, env=container, capture_output=True, text=True, check=False)
    assert said in done.stderr
