"""Containers of the image, run as its task definitions run them: read-only, without rights, with an init."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
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

    def start_role(
        self, role: str, variables: Mapping[str, str], *, volumes: Sequence[str] = (), memory_mib: int | None = None
    ) -> Container:
        """Start a role, and leave it running. `volumes`: as podman's option has them.

        `memory_mib`: its limit, where podman can give it one.
        """
        options = [part for volume in volumes for part in ("--volume", volume)]
        if memory_mib is not None and not self.machine.can_limit_memory():
            memory_mib = None
        if memory_mib is not None:
            options += ["--memory", f"{memory_mib}m", "--memory-swap", f"{memory_mib}m"]  # Fargate has no swap
        command = ["podman", "run", "--detach", *AS_ON_FARGATE, *options, *_env(variables), self.reference, role]
        started = self.machine.run(*command)
        assert started.returncode == 0, started.stderr
        return Container(machine=self.machine, id=started.stdout.strip(), role=role, memory_mib=memory_mib)

    def remove_volumes(self, names: Sequence[str]) -> None:
        """Remove volumes that containers made."""
        self.machine.run("podman", "volume", "rm", "--force", *names)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container that was started."""

    machine: Machine
    id: str
    role: str
    memory_mib: int | None

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
    def exit_code(self) -> int:
        """Of its first process, once that has ended."""
        return int(self._state()["ExitCode"])

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
        return self.exit_code

    def kill(self) -> None:
        """End its processes at once."""
        killed = self.machine.run("podman", "kill", "--signal", "KILL", self.id)
        assert killed.returncode == 0, killed.stderr

    def execute(self, *command: str, **variables: str) -> str:
        """Run a command in it, with `variables` beside its own; return what it wrote."""
        done = self.machine.run("podman", "exec", *_env(variables), self.id, *command)
        assert done.returncode == 0, done.stderr
        return done.stdout

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
