"""The programs that can build an image from a Dockerfile, and their commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from project.errors import CommandError

PROBE_TIMEOUT_S = 30
# Variables that become secrets of the build, which no layer and no argument holds: id in the Dockerfile -> variable.
SECRETS = {"uv_index": "UV_INDEX"}
Command = list[str]


@dataclass(frozen=True, kw_only=True)
class Builder:
    """`probe` succeeds only where the program works; `save` returns the command that writes a docker-archive."""

    name: str
    probe: Command
    build: Command
    save: Callable[[str, Path], Command]

    @property
    def is_usable(self) -> bool:
        """Return whether the builder is installed and works: docker, for example, needs its daemon."""
        try:
            asked = subprocess.run(self.probe, capture_output=True, check=False, timeout=PROBE_TIMEOUT_S)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return False
        return asked.returncode == 0


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """Build `dockerfile` in the `context` folder as `reference`, with the operator's own `options`."""

    context: Path
    dockerfile: Path
    reference: str
    arguments: Mapping[str, str]
    options: tuple[str, ...] = ()


BUILDERS = (
    Builder(
        name="docker",
        probe=["docker", "version"],
        build=["docker", "build"],
        save=lambda reference, path: ["docker", "save", "--output", str(path), reference],
    ),
    Builder(
        name="podman",
        probe=["podman", "info"],
        build=["podman", "build", "--layers"],
        save=lambda reference, path: ["podman", "save", "--quiet", "--output", str(path), reference],
    ),
    Builder(
        name="buildah",
        probe=["buildah", "info"],
        build=["buildah", "build", "--layers"],
        save=lambda reference, path: ["buildah", "push", "--quiet", reference, f"docker-archive:{path}:{reference}"],
    ),
)


def find_builder(name: str | None = None) -> Builder:
    """Return the first builder that works here, or the one of that name. Raises CommandError without one."""
    for builder in BUILDERS:
        if name in (None, builder.name) and builder.is_usable:
            return builder
    tried = name or " and ".join(builder.name for builder in BUILDERS)
    raise CommandError(f"{tried} cannot build here: install podman or buildah, or start docker's daemon")


def build(builder: Builder, request: BuildRequest) -> None:
    """Build the image, with the SECRETS that are set; its output goes to the terminal. CommandError when it fails."""
    secrets = [f"--secret=id={name},env={variable}" for name, variable in SECRETS.items() if os.environ.get(variable)]
    arguments = [part for name, value in request.arguments.items() for part in ("--build-arg", f"{name}={value}")]
    _run(
        [
            *builder.build,
            "--file",
            str(request.dockerfile),
            *arguments,
            *secrets,
            *request.options,
            "--tag",
            request.reference,
            str(request.context),
        ]
    )


def save(builder: Builder, reference: str, path: Path) -> None:
    """Write the image as a docker-archive to `path`, which must not exist. CommandError when it fails."""
    _run(builder.save(reference, path))


def _run(command: Command) -> None:
    ended = subprocess.run(command, check=False)
    if ended.returncode:
        raise CommandError(f"{' '.join(command[:2])} failed with exit code {ended.returncode}: see its output above")
