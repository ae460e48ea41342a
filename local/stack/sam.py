"""Runs the real SAM CLI against the embedded AWS API, as an operator runs it against AWS."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.servers.process import spawn
from project import paths
from project.errors import CommandError

BUILD = paths.STATE / "sam" / "build"
CONFIG = paths.ROOT / "samconfig.toml"
# The longest run is a build that fetches the functions' packages from a slow mirror.
TIMEOUT_S = 600
POLL_DELAY_S = (
    "0.5"  # between two polls of a change set; SAM's 5 s spare the API of AWS, which the embedded API does not need
)


class Sam:
    """One run of the SAM CLI."""

    def __init__(self, verb: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self._verb = verb
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

    def wait(self) -> None:
        """Wait for its end. Raises CommandError with SAM's own reason."""
        try:
            code = self._process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CommandError(f"sam {self._verb} did not end within {TIMEOUT_S} s; see {self._log_path}") from None
        if code:
            raise CommandError(f"sam {self._verb} failed: {_reason(self._log_path)} (full log: {self._log_path})")

    def kill(self) -> None:
        """Kill it; the reaper kills what it has started."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def build(function: str | None = None, *, folder: Path = BUILD, environment: Mapping[str, str] | None = None) -> Sam:
    """Begin `sam build` of all functions, or of one by its logical id, into a folder below .local/."""
    only = [function] if function else []
    arguments = ["--template-file", str(paths.ROOT / "template.yaml"), "--build-dir", str(folder)]
    return Sam("build", [*only, *arguments], environment or {})


def deploy(config_env: str, environment: dict[str, str], *, overrides: Mapping[str, str] | None = None) -> Sam:
    """Begin `sam deploy --config-env ...`: create and execute a change set. `overrides` win over parameters/."""
    arguments = ["--template-file", str(BUILD / "template.yaml"), "--config-env", config_env]
    if overrides:
        file = f"file://{paths.ROOT / 'parameters' / config_env}.yaml"
        arguments += ["--parameter-overrides", file, *(f"{name}={value}" for name, value in overrides.items())]
    return Sam("deploy", arguments, environment)


def _reason(log_path: Path) -> str:
    lines = [line.strip() for line in log_path.read_text(errors="replace").splitlines() if line.strip()]
    for line in reversed(lines):
        if line.startswith(("Error:", "make:", "setup:")):
            return line
    return lines[-1] if lines else "no message"
