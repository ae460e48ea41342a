"""Runs the image's own check of DAG files with the image's packages, and nothing else of this checkout on its path."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import template_gen
from fleet.pools import POOLS, pool_entry
from project import paths
from project.errors import CommandError

PYTHON = paths.AIRFLOW_ENVIRONMENT / "bin" / "python"
FOUND = 1  # exit code of the check when files have faults
# DAG files are executed. They get no credentials of the caller's environment.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the check says, as dag_check prints it. `faults`: a text a file, with file, line and what to do."""

    record: Mapping[str, Any]

    @property
    def faults(self) -> list[str]:
        return [str(fault["text"]) for fault in self.record["faults"]]

    def summary(self) -> str:
        """Return how many files were read, in one line."""
        said = self.record
        slowest = said["slowest"][0] if said["slowest"] else None
        return f"{said['files']} DAG files with {len(said['dags'])} DAGs in {said['seconds']:.1f} s" + (
            f"; the slowest is {slowest['file']} with {slowest['seconds']:.1f} s" if slowest else ""
        )


def check(folder: Path, *, budget_s: float | None = None, image: Path = paths.IMAGE_SOURCE) -> Report:
    """Check the DAG files of the folder. `budget_s`: the seconds that a file may take. Raises CommandError.

    `image`: the folder of the image's own files. Queues must be served by the pools of template_gen.py.
    """
    options = [] if budget_s is None else [f"--budget={budget_s:g}"]
    with environment(image) as variables:
        done = subprocess.run(
            [str(PYTHON), "-P", "-m", "dag_check", str(folder.resolve()), "--json", *options],
            env=variables,
            cwd=variables["HOME"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode in (0, FOUND):
        with contextlib.suppress(ValueError):
            return Report(record=json.loads(done.stdout))
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise CommandError(f"the DAG files of {folder} cannot be checked: {said}")


@contextlib.contextmanager
def environment(image: Path = paths.IMAGE_SOURCE) -> Iterator[dict[str, str]]:
    """Give the variables of a process with the image's code and packages; its home exists as long as the block runs."""
    if not PYTHON.exists():
        raise CommandError(f"{paths.AIRFLOW_ENVIRONMENT} has no packages; run `make setup-local` first")
    with tempfile.TemporaryDirectory(prefix="dag-tests-") as name:
        home = Path(name)
        own = home / "image"  # of the checkout's folders the image has this one besides its own
        own.mkdir()
        (own / paths.FLEET.name).symlink_to(paths.FLEET)
        yield {
            **{name: value for name in PASSED_ON if (value := os.environ.get(name))},
            "HOME": str(home),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONFIG": str(image / "airflow.cfg"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(image / "plugins"),
            "PYTHONPATH": f"{image}:{own}",
            POOLS: declared_pools(),
        }


def declared_pools() -> str:
    """Return the pools of template_gen.py as containers get them; the numbers are the defaults of their parameters."""
    return json.dumps(
        [
            pool_entry(
                name=pool.name,
                queues=list(pool.queues),
                minimum=pool.min,
                maximum=pool.max,
                concurrency=pool.concurrency,
            )
            for pool in template_gen.POOLS
        ]
    )
