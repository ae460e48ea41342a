"""Reads an environment's template, as the checkout or a git revision has it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cfn.template import parse
from ops.cost.resolved import resolved
from project import environments, paths
from project.errors import CommandError


def read(environment: str, revision: str | None) -> dict[str, Any]:
    """The template with the environment's parameters in their places. CommandError says what there is not."""
    if revision is None:
        config = environments.load(environment)
        return resolved(
            parse((paths.ROOT / "template.yaml").read_text()), given=config.parameters, region=config.region
        )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "parameters").mkdir()
        for name in ("samconfig.toml", f"parameters/{environment}.yaml"):
            (root / name).write_text(_show(revision, name))
        config = environments.load(environment, root=root)
    return resolved(parse(_show(revision, "template.yaml")), given=config.parameters, region=config.region)


def _show(revision: str, path: str) -> str:
    command = ["git", "show", f"{revision}:{path}"]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"git has no {path} in the revision {revision}")
    return done.stdout
