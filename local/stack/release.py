"""Rolls another version of the image out on the running stack, as an operator does: build, deploy, wait."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.fargate import image
from local.fargate.control_plane import ControlPlane
from local.stack import sam
from project import paths
from project.clients import Clients, environment
from project.environments import Environment
from project.errors import CommandError
from project.physical_names import shorten_names

IMAGE_PARAMETER = "ImageUri"
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")  # as ECR accepts it
ROLL_TIMEOUT_S = 600
CHECK_EVERY_S = 1.0

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A service's rollout: running tasks of the new deployment, and living tasks of older ones."""

    service: str
    new: int
    old: int
    completed: bool


def image_uri(uri: str, version: str) -> str:
    """Return `uri` with the tag `version`. Raises CommandError if that is no valid tag."""
    if not TAG.fullmatch(version):
        raise CommandError(
            f"VERSION={version!r} is no valid image tag; use at most 128 letters, digits, dots and dashes"
        )
    return f"{uri.rsplit(':', 1)[0]}:{version}"


def refuse_broken_dags(source: Path = paths.IMAGE_SOURCE) -> None:
    """Check the DAG files of `source` with the image's packages. Raises CommandError, with a line for each fault."""
    command = [sys.executable, "-m", "ops.dag_tests", "--imports-only", str(source / "dags")]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stdout.strip() or (done.stderr.strip().splitlines() or ["the check of the DAG files ended"])[-1]
        raise CommandError(f"nothing was deployed: the DAG processor would refuse these files\n{said}")


def make_version(source: Path = paths.IMAGE_SOURCE) -> str:
    """Return a version for the present content of `source`: the same one for the same content."""
    return f"local-{image.content_of(source)[:12]}"


def build(version: str, *, config: Environment, source: Path = paths.IMAGE_SOURCE) -> bool:
    """Build `source` as the image `version`; return False if it exists, because a tag never changes its content.

    Raises CommandError if it exists and the present content is in no image at all: that would not be deployed, though
    its author may believe so.
    """
    uri = image_uri(config.parameters[IMAGE_PARAMETER], version)
    if image.folder(uri).exists():
        if not image.built_of(image.content_of(source)):
            raise CommandError(
                f"VERSION={version} was built before your last change, and would not have it: "
                "choose another one, or leave VERSION out"
            )
        return False
    image.build(uri, version, source=source)
    return True


@contextlib.contextmanager
def deploying(version: str, *, config: Environment, clients: Clients, folder: Path = sam.BUILD) -> Iterator[sam.Sam]:
    """Begin to deploy the image `version`, with the functions that were built in the folder; end SAM at the exit."""
    uri = image_uri(config.parameters[IMAGE_PARAMETER], version)
    aws = environment(clients.endpoint, config.region)
    deployment = sam.deploy(config.name, aws, overrides={IMAGE_PARAMETER: uri}, folder=folder)
    try:
        yield deployment
    finally:
        deployment.kill()


def deploy(
    version: str, *, config: Environment, clients: Clients, meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Deploy the image `version`; return when CloudFormation has updated the stack, and call `meanwhile` until then.

    Raises CommandError with SAM's reason when CloudFormation rolled back, as it does when a service does not settle.
    """
    with deploying(version, config=config, clients=clients) as deployment:
        deployment.wait(meanwhile=meanwhile)


class Progress:
    """Says how far the rollouts of a cluster's services are, whenever that has changed."""

    def __init__(self, clients: Clients, *, cluster: str, report: Report) -> None:
        self._ecs, self._cluster, self._report = clients.ecs, cluster, report
        self._text = ""

    def tell(self) -> bool:
        """Report a change; return whether every service runs only its newest deployment."""
        now = rollouts(self._ecs, cluster=self._cluster)
        text = "   ".join(f"{r.service} {r.new} new" + (f" + {r.old} old" if r.old else "") for r in now)
        if text != self._text:
            self._report(text)
            self._text = text
        return all(r.completed for r in now)

    def wait(self) -> None:
        """Wait until every service runs only its newest deployment. Raises CommandError."""
        deadline = time.monotonic() + ROLL_TIMEOUT_S
        while not self.tell():
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the rollout did not end within {ROLL_TIMEOUT_S} s ({self._text}); see {paths.LOGS}"
                )
            time.sleep(CHECK_EVERY_S)


def wait(clients: Clients, *, cluster: str, report: Report) -> None:
    """Wait until every service runs only its newest deployment; call `report` with each change. Raises CommandError."""
    Progress(clients, cluster=cluster, report=report).wait()


def rollouts(ecs: Any, *, cluster: str) -> tuple[Rollout, ...]:
    """Return the rollout of each service of the cluster."""
    return tuple(_rollout(service) for service in ControlPlane(ecs, cluster).services())


def _rollout(service: dict[str, Any]) -> Rollout:
    primary, *older = sorted(service["deployments"], key=lambda d: d["status"] != "PRIMARY")
    return Rollout(
        service=shorten_names(service["serviceName"]),
        new=primary["runningCount"],
        old=sum(d["runningCount"] + d["pendingCount"] for d in older),
        completed=not older and primary["rolloutState"] == "COMPLETED",
    )
