"""Containers of the image, run as its task definitions run them: read-only, without rights, with an init."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psutil

from tests.image.machine import Machine

AS_ON_FARGATE = (
    "--init",
    *("--read-only", "--read-only-tmpfs=false"),
    *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--network", "host"),
)
STOP_TIMEOUT_S = 120
HEALTH_CHECK = ("/opt/airflow-on-ecs/entrypoint", "health")


@dataclass(frozen=True, kw_only=True)
class Image:
    """The built image on this machine."""

    machine: Machine
    reference: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the image in a container of its own."""
        program, *arguments = command
        return self.machine.run(
            "podman", "run", "--rm", *AS_ON_FARGATE, "--entrypoint", program, self.reference, *arguments
        )

    def run_role(self, role: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a role to its end."""
        return self.machine.run("podman", "run", "--rm", *AS_ON_FARGATE, *_env(variables), self.reference, role)

    def start_role(self, role: str, variables: Mapping[str, str]) -> Container:
        """Start a role, and leave it running."""
        command = ["podman", "run", "--detach", *AS_ON_FARGATE, *_env(variables), self.reference, role]
        started = self.machine.run(*command)
        assert started.returncode == 0, started.stderr
        return Container(machine=self.machine, id=started.stdout.strip(), role=role)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that was started."""

    machine: Machine
    id: str
    role: str

    @property
    def started_at(self) -> float:
        """When, in seconds since 1970."""
        stamp = str(self._state()["StartedAt"])  # nanoseconds, of which Python reads six digits
        whole, _, rest = stamp.partition(".")
        zone = rest.lstrip("0123456789") or "Z"
        return datetime.fromisoformat(f"{whole}.{rest[:6]}{zone}".replace("Z", "+00:00")).timestamp()

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return bool(self._state()["Running"])

    @property
    def processor_s(self) -> float:
        """Processor time that its program has used by itself: its waits for a busy machine are not in it."""
        (program,) = psutil.Process(self._state()["Pid"]).children()  # of the init
        times = program.cpu_times()
        return times.user + times.system

    def health(self) -> str:
        """Return the output of the health check in its task definition: empty when it is healthy."""
        asked = self.machine.run("podman", "exec", self.id, *HEALTH_CHECK, self.role)
        return "" if asked.returncode == 0 else asked.stderr.strip() or f"exit code {asked.returncode}"

    def stop(self) -> int:
        """Signal it as ECS does, and wait; its exit code."""
        command = ["podman", "stop", "--time", str(STOP_TIMEOUT_S), self.id]
        stopped = self.machine.run(*command, timeout_s=STOP_TIMEOUT_S + 60)
        assert stopped.returncode == 0, stopped.stderr
        return int(self._state()["ExitCode"])

    def log(self) -> str:
        """All it has written."""
        said = self.machine.run("podman", "logs", self.id)
        return said.stdout + said.stderr

    def remove(self) -> None:
        """End it at once, with its volumes."""
        self.machine.run("podman", "rm", "--force", "--volumes", "--time", "0", self.id)

    def _state(self) -> dict[str, Any]:
        inspected = self.machine.run("podman", "inspect", self.id)
        assert inspected.returncode == 0, inspected.stderr
        state: dict[str, Any] = json.loads(inspected.stdout)[0]["State"]
        return state


def _env(variables: Mapping[str, str]) -> list[str]:
    return [part for name, value in variables.items() for part in ("--env", f"{name}={value}")]
