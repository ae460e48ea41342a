"""The webserver with several processes on its two ports."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bench.micro.page.webserver import Webserver, running_webserver
from local.servers.redis import Redis
from tests.support.processes import connections
from tests.support.waiting import eventually

PROCESSES = 2
CONNECTIONS = 40
TIMEOUT_S = 60.0
REPLACED_WITHIN_S = 240.0  # a start takes 8 s of a processor, and the machine may be busy


@pytest.fixture(scope="module")
def several(broker: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    url = f"redis://{broker.host}:{broker.port}/0"
    settings = {"AIRFLOW__API__WORKERS": str(PROCESSES)}
    with running_webserver(home=tmp_path_factory.mktemp("airflow"), broker_url=url, settings=settings) as server:
        assert eventually(lambda: len(serving(server)) == PROCESSES, within_s=TIMEOUT_S)
        yield server


def serving(server: Webserver) -> set[int]:
    """Return the ids of the processes that listen on both ports and have answered their own first requests."""
    ports = {urlsplit(url).port for url in (server.url, server.internal_url)}
    return {
        child.pid
        for child in psutil.Process(server.pid).children()
        if ports <= {each.laddr.port for each in connections(child) if each.status == "LISTEN"}
        and server.log.read_text().count("Application startup complete") >= PROCESSES
    }


def connected_to(server: Webserver) -> dict[int, int]:
    """Return the number of connections that each process has accepted."""
    port = urlsplit(server.internal_url).port
    return {
        pid: sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in connections(psutil.Process(pid)))
        for pid in serving(server)
    }


@pytest.mark.slow
def test_every_process_takes_a_share_of_the_connections(several: Webserver) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            connection = HTTPConnection(urlsplit(several.internal_url).netloc, timeout=TIMEOUT_S)
            stack.callback(connection.close)
            connection.request("GET", "/execution/health")
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())) == (200, {"status": "healthy"})
        shares = connected_to(several)
    assert len(shares) == PROCESSES
    assert min(shares.values()) >= CONNECTIONS // PROCESSES // 4


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_while_the_other_one_answers(several: Webserver) -> None:
    victim, *_ = before = sorted(serving(several))
    os.kill(victim, signal.SIGKILL)
    for _ in range(20):
        assert httpx.get(f"{several.internal_url}/execution/health", timeout=TIMEOUT_S).status_code == 200
    assert eventually(lambda: len(serving(several) - {victim}) == PROCESSES, within_s=REPLACED_WITHIN_S)
    assert serving(several) != set(before)
