"""Servers that integration tests share: one of each for a test process, and so for a pytest-xdist worker.

AWS's API is one for each module: what a test leaves in it concerns only its neighbours.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bench.micro.page.webserver import Webserver, running_webserver
from local.servers.postgres import Postgres
from local.servers.redis import Redis
from tests.support.airflow_stories import write_stories
from tests.support.aws_api import AwsApi, aws_api
from tests.support.servers import PostgresServer, RedisServer


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, contextlib.ExitStack() as stack:
        server = Redis(directory).start()
        stack.callback(server.stop)
        client = stack.enter_context(server.client())
        yield RedisServer(
            host=server.host, port=server.port, url=f"redis://{server.host}:{server.port}/0", client=client
        )


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    user, password, database = "airflow", "test-password", "airflow"
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory, contextlib.ExitStack() as stack:
        server = Postgres(Path(directory, "postgres"))
        stack.callback(server.remove)
        server.start()
        server.provision(user, password, database)
        yield PostgresServer(
            host=server.host,
            port=server.port,
            user=user,
            password=password,
            database=database,
            url=f"postgresql://{user}:{password}@{server.host}:{server.port}/{database}",
            server=server,
        )


@pytest.fixture(scope="module")
def api() -> Iterator[AwsApi]:
    """Run AWS's API, as the local stack has it, for the tests of one module."""
    with aws_api() as running:
        yield running


@pytest.fixture(scope="session")
def broker() -> Iterator[Redis]:
    """Run the broker of `webserver`. A test that stops it must start it again."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = Redis(directory).start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def webserver(broker: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Airflow's webserver with the image's plugins. It is ready after some 15 s."""
    url = f"redis://{broker.host}:{broker.port}/0"
    with running_webserver(home=tmp_path_factory.mktemp("airflow"), broker_url=url) as server:
        yield server


@pytest.fixture(scope="session")
def stories(webserver: Webserver) -> dict[str, str]:
    """Write the task instances of tests.support.airflow_stories into the webserver's database; return their ids."""
    return write_stories(webserver)


@pytest.fixture
def store(broker: Redis) -> Iterator[redis.Redis]:
    """Connect to the emptied `broker`."""
    with broker.client() as client:
        client.flushdb()
        yield client
