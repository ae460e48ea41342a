"""The image, built for real by the command that operators use."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path

import pytest

from local.servers.tls import Authority
from tests.image import machine
from tests.image.containers import Image

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
