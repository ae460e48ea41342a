"""Airflow's real webserver on a real Postgres, with its roles and users made by the role `migrate`."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.micro.page.webserver import Webserver, environment, running_webserver
from local.servers.redis import Redis
from tests.support.servers import PostgresServer

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class Database:
    """A new database, and the variables that lead Airflow to it."""

    name: str
    url: str
    settings: dict[str, str]


def a_database(server: PostgresServer) -> Database:
    name = f"sign_in_{next(_numbers)}"
    server.server.provision(server.user, server.password, name)
    place = f"{server.user}:{server.password}@{server.host}:{server.port}/{name}"
    settings = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{place}"}
    return Database(name=name, url=f"postgresql://{place}", settings=settings)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Database:
    return a_database(postgres_server)


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Database:
    return a_database(postgres_server)


@pytest.fixture(scope="module")
def site(broker: Redis, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Run a webserver on `database`, behind TLS as far as it knows."""
    url = f"redis://{broker.host}:{broker.port}/0"
    settings = {**database.settings, "FORWARDED_ALLOW_IPS": "*", "AIRFLOW__FAB__COOKIE_SECURE": "True"}
    with running_webserver(home=tmp_path_factory.mktemp("airflow"), broker_url=url, settings=settings) as server:
        yield server


@pytest.fixture
def variables(broker: Redis, empty_database: Database, tmp_path: Path) -> dict[str, str]:
    """Return the variables of a container after its entrypoint, with an empty database."""
    return environment(home=tmp_path, broker_url=f"redis://{broker.host}:{broker.port}/0") | empty_database.settings
