"""The image, built for real by the command that operators use."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path

import pytest

from local.servers.tls import Authority
from local.stack.rest_api import Airflow
from tests.image import machine
from tests.image.cluster import PASSWORD, START_TIMEOUT_S, Cluster, WorkerTask, start_cluster
from tests.image.containers import Image
from tests.support.fake_ecs import MEMBER_ID
from tests.support.waiting import eventually

VERSION = "image-test"
REPOSITORY = "localhost/airflow-on-ecs"
BUILD_TIMEOUT_S = 1500


FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measurements. No test judges them, because a busy machine distorts them."""
    for line in terminalreporter.config.stash[FIGURES]:
        terminalreporter.write_line(f"measured: {line}")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who signs the database's certificate, as far as the image knows; kept, so that the image's layers can be."""
    return Authority(machine.FOLDER / "tls")


@dataclass(frozen=True, kw_only=True)
class Built:
    """The image, with what `make image` said and left."""

    image: Image
    said: str
    sbom: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, figures: list[str], authority: Authority) -> Built:
    folder = tmp_path_factory.mktemp("image")
    try:
        host = machine.prepare()
        base = machine.find_base(host)
    except machine.CannotBuild as reason:
        pytest.skip(f"no image can be built here: {reason}")
    place = ["--repository", REPOSITORY, "--version", VERSION, "--output", str(folder)]
    place += ["--authorities", str(authority.ca_path)]
    command = [sys.executable, "-m", "ops.image", "--builder", "buildah", *place, "--base", base, "--any-base"]
    began = time.monotonic()
    done = host.run(*command, "--", *machine.build_options(), timeout_s=BUILD_TIMEOUT_S)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    size = done.stdout.splitlines()[-1]
    figures.append(
        f"built in {time.monotonic() - began:.0f} s, less what was cached; {size}; load {getloadavg()[0]:.1f}"
    )
    return Built(
        image=Image(machine=host, reference=f"{REPOSITORY}:{VERSION}"),
        said=done.stdout,
        sbom=folder / f"airflow-on-ecs-{VERSION}.cdx.json",
    )


@pytest.fixture(scope="session")
def image(built: Built) -> Image:
    return built.image


@pytest.fixture(scope="module")
def cluster(image: Image, authority: Authority) -> Iterator[Cluster]:
    with start_cluster(image, authority) as made:
        webserver = made.containers["webserver"]

        def answers() -> bool:
            assert webserver.is_running, webserver.log()[-3000:]
            return made.answers("webserver", "/api/v2/monitor/health")

        assert eventually(answers, within_s=START_TIMEOUT_S)
        yield made


@contextlib.contextmanager
def consuming_worker_task(cluster: Cluster, figures: list[str]) -> Iterator[WorkerTask]:
    """Run the containers of a worker's ECS task, from the moment when it consumes."""
    cluster.registry.forget(MEMBER_ID)  # an earlier one, which was ended at once, took no leave
    with cluster.worker_task() as task:
        consuming = eventually(cluster.has_worker, within_s=START_TIMEOUT_S)
        seconds = time.time() - task.runner.started_at
        assert consuming, task.worker.log()[-3000:] + task.runner.log()[-3000:]
        figures.append(
            f"a worker consumed {seconds:.1f} s after its runner's start; {task.worker.processor_s:.1f} s of a "
            f"processor for the worker, {task.runner.processor_s:.1f} s for the runner; load {getloadavg()[0]:.1f}"
        )
        yield task


@pytest.fixture
def worker_task(cluster: Cluster, figures: list[str]) -> Iterator[WorkerTask]:
    with consuming_worker_task(cluster, figures) as task:
        yield task


@pytest.fixture
def airflow(cluster: Cluster) -> Iterator[Airflow]:
    api = Airflow(cluster.url("webserver", ""), user="admin", password=PASSWORD)
    yield api
    api.close()
