"""Runs the real SAM CLI against the embedded AWS API, as an operator runs it against AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from local.servers.process import spawn
from project import paths
from project.errors import CommandError

SETTLE_LIMIT_S = 600.0  # of the local CloudFormation, for a service to settle; AWS's own is three hours
BUILD = paths.STATE / "sam" / "build"
TEMPLATE = paths.ROOT / "template.yaml"
CONFIG = paths.ROOT / "samconfig.toml"
# The longest build fetches the functions' packages from a slow mirror.
BUILD_TIMEOUT_S = 600.0
# In an update CloudFormation waits for the services, and once more for each if it has to roll back.
DEPLOY_TIMEOUT_S = 2 * SETTLE_LIMIT_S + 300
LOOK_EVERY_S = 1.0
POLL_DELAY_S = (
    "0.5"  # between two polls of a change set; SAM's 5 s spare the API of AWS, which the embedded API does not need
)


class Sam:
    """One run of the SAM CLI."""

    def __init__(self, verb: str, arguments: list[str], environment: Mapping[str, str], *, timeout_s: float) -> None:
        self._verb, self._timeout_s = verb, timeout_s
        self._log_path = paths.LOGS / f"sam-{verb}.log"
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SAM_", "PYTHON"))}
        env = {
            **kept,
            "AWS_DEFAULT_REGION": "us-east-1",
            **environment,
            # The build calls uv, and SAM may search for a Python.
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": POLL_DELAY_S,
            "TMPDIR": str(paths.TEMPORARY),
            "__SAM_CLI_APP_DIR": str(paths.STATE / "sam" / "app"),
        }
        sam = str(Path(sys.executable).with_name("sam"))
        argv = [sam, verb, "--config-file", str(CONFIG), *arguments]
        self._process = spawn(argv, env=env, cwd=paths.ROOT, log_path=self._log_path)

    def wait(self, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait for its end, and call `meanwhile` every LOOK_EVERY_S. Raises CommandError with SAM's own reason."""
        deadline = time.monotonic() + self._timeout_s
        while (code := self._ended(within_s=LOOK_EVERY_S)) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise CommandError(f"sam {self._verb} did not end within {self._timeout_s:.0f} s; see {self._log_path}")
            meanwhile()
        if code:
            raise CommandError(f"sam {self._verb} failed: {_reason(self._log_path)} (full log: {self._log_path})")

    def _ended(self, *, within_s: float) -> int | None:
        """Return the exit code, or None if it runs on."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill it; the reaper kills what it has started."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def build(
    function: str | None = None,
    *,
    template: Path = TEMPLATE,
    folder: Path = BUILD,
    environment: Mapping[str, str] | None = None,
) -> Sam:
    """Begin `sam build` of all functions, or of one by its logical id, into a folder below .local/.

    `template` may be anywhere: what it names is in the checkout.
    """
    only = [function] if function else []
    arguments = ["--template-file", str(template), "--base-dir", str(paths.ROOT), "--build-dir", str(folder)]
    return Sam("build", [*only, *arguments], environment or {}, timeout_s=BUILD_TIMEOUT_S)


def deploy(
    config_env: str,
    environment: dict[str, str],
    *,
    overrides: Mapping[str, str] | None = None,
    folder: Path = BUILD,
) -> Sam:
    """Begin `sam deploy --config-env ...` of what was built in the folder: create and execute a change set.

    `overrides` win over parameters/.
    """
    arguments = ["--template-file", str(folder / "template.yaml"), "--config-env", config_env]
    if overrides:
        files = (paths.ROOT / "parameters" / f"{config_env}.yaml", _written(overrides))
        arguments += ["--parameter-overrides", *(f"file://{path}" for path in files)]
    return Sam("deploy", arguments, environment, timeout_s=DEPLOY_TIMEOUT_S)


def _written(overrides: Mapping[str, str]) -> Path:
    """Write the overrides as YAML, of which JSON is a part: on the command line SAM reads no value of several lines."""
    path = paths.TEMPORARY / "overrides.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(overrides)), encoding="utf-8")
    return path


def _reason(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(("Error:", "make:", "setup:")):
            return line
    return lines[-1] if lines else "no message"
