"""Build and push the image of a version once, and store it as a release."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fleet.pools import POOLS
from ops.dag_tests.check import declared_pools
from ops.delivery.release import PINNED, Failed, Refused, Release
from ops.delivery.store import Store
from ops.image.builders import find_builder
from project import paths
from project.errors import CommandError


class Run(Protocol):
    """Runs a program."""

    def __call__(self, argv: Sequence[str], *, is_shown: bool = True) -> str:
        """Return what it prints; with `is_shown`, the terminal shows it too. Raises Failed."""
        ...


Push = Callable[[str, str, Run], str]  # tag, repository, run: the pushed image's digest, or "" if that is not known
ZSTD_LEVEL = 10  # higher ones gained nothing


def run(argv: Sequence[str], *, is_shown: bool = True) -> str:
    """Run a program of this machine, see `Run`."""
    try:
        said = subprocess.run(argv, cwd=paths.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(getattr(error, "stdout", None) or "")
        raise Failed(f"{' '.join(argv[:3])}: {error}") from None
    if is_shown:
        sys.stderr.write(said)
    return said


def build_once(version: str, *, repository: str, store: Store, builder: str | None = None, run: Run = run) -> Release:
    """Return the version's release: the stored one, or one built and pushed now with `builder`.

    `builder` is podman or docker, by default the first that works here. Raises Refused, Failed, and CommandError when
    none works.
    """
    kept = store.find(version)
    if kept is not None:
        return kept
    program = builder or _find_program()
    tag = f"{repository}:{version}"
    named = [f"--repository={repository}", f"--tag={version}", f"--version={version}"]
    run([sys.executable, "-m", "ops.image", *named, f"--builder={program}"])
    _refuse_broken_dags(program, tag, run)
    image = f"{repository}@{PUSHES[program](tag, repository, run)}"
    if not PINNED.fullmatch(image):
        raise Failed(f"{program} did not say which digest it pushed to {repository}: check REPOSITORY")
    # Only the image itself is trusted on which revisions it knows.
    facts = _facts(run([program, "run", "--rm", "--network", "none", tag, "schema"]))
    release = Release.from_record({**facts, "version": version, "image": image})
    store.add(release)
    return release


def _refuse_broken_dags(program: str, tag: str, run: Run) -> None:
    """Let the image check its own DAG files, without credentials and network. Raises Refused."""
    try:
        run([program, "run", "--rm", "--network", "none", "--env", f"{POOLS}={declared_pools()}", tag, "dags"])
    except Failed:
        raise Refused("the image's DAG files would not all load, as said above: `make test-dags` tries them") from None


def _find_program() -> str:
    for name in PUSHES:
        with contextlib.suppress(CommandError):
            return find_builder(name).name
    raise CommandError(f"no program pushes an image here: install {' or '.join(PUSHES)}")


def _push_with_podman(tag: str, _: str, run: Run) -> str:
    """Push layers that zstd has compressed: an ECS task pulls fewer bytes of them, and unpacks them in less time."""
    options = ["--format=oci", "--compression-format=zstd"]
    if "--compression-level" in run(["podman", "push", "--help"], is_shown=False):  # since podman 4.5
        options.append(f"--compression-level={ZSTD_LEVEL}")
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder, "digest")
        run(["podman", "push", "--quiet", *options, f"--digestfile={digest}", tag])
        return digest.read_text().strip() if digest.exists() else ""


def _push_with_docker(tag: str, repository: str, run: Run) -> str:
    """Push the layers as docker keeps them, compressed by gzip."""
    run(["docker", "push", "--quiet", tag])
    names = json.loads(run(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", tag]))
    found = [name.removeprefix(f"{repository}@") for name in names if name.startswith(f"{repository}@")]
    return str(found[0]) if len(found) == 1 else ""


# The first that works is used. The one whose images start faster comes first.
PUSHES: Mapping[str, Push] = {"podman": _push_with_podman, "docker": _push_with_docker}


def _facts(said: str) -> dict[str, Any]:
    try:
        facts = json.loads(said)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise Refused("the image does not say which database revisions it knows: run its role `schema`")
    return facts
