"""Flower, as the image starts it: who may read what."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bench.micro.page.webserver import PYTHON
from local.servers import process
from local.servers.ports import HOST, free_port
from local.servers.redis import Redis
from project import paths
from roles.compose import ROLES
from tests.support.waiting import eventually

SIGN_IN = ("admin", "password")
START_TIMEOUT_S = 240.0


@pytest.fixture(scope="module")
def flower(broker: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Flower that runs with its role's command."""
    home, port = tmp_path_factory.mktemp("flower"), free_port()
    environment = {
        "PATH": f"{PYTHON.parent}:{os.environ['PATH']}",
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CELERY__BROKER_URL": f"redis://{broker.host}:{broker.port}/0",
        "FLOWER_BASIC_AUTH": ":".join(SIGN_IN),
    }
    argv = ROLES["flower"].command({"BIND_HOST": HOST, "PORT": str(port)})
    program = str(PYTHON.with_name(argv[0]))
    child = process.spawn([program, *argv[1:]], env=environment, cwd=home, log_path=Path(home, "log"))
    url = f"http://{HOST}:{port}"

    def is_up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthcheck").status_code == httpx.codes.OK
        return False

    try:
        assert eventually(is_up, within_s=START_TIMEOUT_S), Path(home, "log").read_text()
        yield url
    finally:
        process.stop(child)


@pytest.mark.parametrize("path", ["/metrics", "/", "/api/workers"])
def test_only_the_signed_in_get_an_answer(flower: str, path: str) -> None:
    assert httpx.get(flower + path, timeout=60).status_code == 401
    assert httpx.get(flower + path, timeout=60, auth=("admin", "wrong")).status_code == 401
    assert httpx.get(flower + path, timeout=60, auth=SIGN_IN).status_code == 200


def test_the_load_balancer_s_health_check_needs_no_sign_in(flower: str) -> None:
    assert httpx.get(f"{flower}/healthcheck", timeout=60).text == "OK"
