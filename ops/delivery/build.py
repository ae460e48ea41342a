"""Build and push the image of a version once, and store it as a release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fleet.pools import POOLS
from ops.dag_tests.check import declared_pools
from ops.delivery.release import PINNED, Failed, Refused, Release
from ops.delivery.store import Store
from project import paths

Run = Callable[[Sequence[str]], str]


def run(argv: Sequence[str]) -> str:
    """Return what a program prints; the terminal shows it too. Raises Failed."""
    try:
        said = subprocess.run(argv, cwd=paths.ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(getattr(error, "stdout", None) or "")
        raise Failed(f"{' '.join(argv[:3])}: {error}") from None
    sys.stderr.write(said)
    return said


def build_once(version: str, *, repository: str, store: Store, run: Run = run) -> Release:
    """Return the version's release: the stored one, or one built and pushed now. Raises Refused and Failed."""
    kept = store.find(version)
    if kept is not None:
        return kept
    tag = f"{repository}:{version}"
    named = [f"--repository={repository}", f"--tag={version}", f"--version={version}"]
    run([sys.executable, "-m", "ops.image", *named, "--builder=docker"])
    _refuse_broken_dags(tag, run)
    run(["docker", "push", "--quiet", tag])
    image = _digest_of(run(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", tag]), repository)
    # Only the image itself is trusted on which revisions it knows.
    facts = _facts(run(["docker", "run", "--rm", "--network", "none", tag, "schema"]))
    release = Release.from_record({**facts, "version": version, "image": image})
    store.add(release)
    return release


def _refuse_broken_dags(tag: str, run: Run) -> None:
    """Let the image check its own DAG files, without credentials and network. Raises Refused."""
    try:
        run(["docker", "run", "--rm", "--network", "none", "--env", f"{POOLS}={declared_pools()}", tag, "dags"])
    except Failed:
        raise Refused("the image's DAG files would not all load, as said above: `make test-dags` tries them") from None


def _digest_of(names: str, repository: str) -> str:
    found = [name for name in json.loads(names) if name.startswith(f"{repository}@") and PINNED.fullmatch(name)]
    if len(found) != 1:
        raise Failed(f"the pushed image has no digest in {repository}, only {names.strip()}: check REPOSITORY")
    return str(found[0])


def _facts(said: str) -> dict[str, Any]:
    try:
        facts = json.loads(said)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise Refused("the image does not say which database revisions it knows: check `docker run IMAGE schema`")
    return facts
