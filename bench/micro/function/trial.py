"""Measures every scene in batches of ticks, and cold starts, in several rounds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.micro.function import broker
from bench.micro.function.figures import Batch, Cold, Measurements, SceneFigures
from bench.micro.function.package import FOLDER, Package
from bench.micro.function.scenes import POOL_NAME, Scene
from bench.micro.function.servers import Servers, running_servers
from local.servers import process
from project.errors import CommandError

PROGRAM = Path(__file__).with_name("measured_process.py")
# A figure is the best of its rounds, which are minutes apart, because other work on the machine varies.
ROUNDS = 4
COLD_STARTS_A_ROUND = 5
TICKS_A_BATCH = 15
CALIBRATIONS_A_BATCH = 3
WARM_UP_TICKS = 3


class MeasuredProcess:
    """A new process that has imported the package and answers commands until it is closed."""

    def __init__(self, package: Package, *, environment: Mapping[str, str], log_path: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            self._child = process.spawn(
                [
                    package.python,
                    *("-I", "-S", "-B", PROGRAM, package.folder, package.libraries, str(theirs_in), str(theirs_out)),
                ],
                env=environment,
                cwd=package.folder,
                log_path=log_path,
                pass_fds=(theirs_in, theirs_out),
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._commands = os.fdopen(ours_out, "w", buffering=1)
        self._answers = os.fdopen(ours_in)
        self._log_path = log_path

    def ask(self, command: str) -> dict[str, Any]:
        """Return the answer to the command begin, tick, calibrate or peak_memory.

        Raises StartError when the process has ended.
        """
        try:
            self._commands.write(command + "\n")
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._child.wait(process.STOP_TIMEOUT_S)
            raise process.StartError(f"the measured process ended with {code}; its log: {self._log_path}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        process.stop(self._child)
        self._commands.close()
        self._answers.close()


class SceneMismatchError(CommandError):
    """A tick did something else than its scene expects."""


class Trial:
    """Measures one scene, with a warm process from the first batch until the `with` block ends."""

    def __init__(self, scene: Scene, *, package: Package, servers: Servers) -> None:
        self.scene = scene
        self._package, self._servers = package, servers
        self._workers = broker.workers_of(scene)
        self._seen = scene.members
        self._process: MeasuredProcess | None = None

    def __enter__(self) -> Self:
        self._redis = self._servers.brokers[self.scene.queued].client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.close()
        self._redis.close()

    def batch(self) -> Batch:
        """Measure a batch of ticks.

        Raises SceneMismatchError when a tick's decision is not the scene's, StartError when the process has ended.
        """
        broker.fill_registry(self._redis, self._workers)
        if self._process is None:
            self._process = self._new_process()
            for _ in range(WARM_UP_TICKS):
                self._tick(self._process)
        warm = self._process
        ticks = [self._tick(warm) for _ in range(TICKS_A_BATCH)]
        return Batch(
            own_ms=[tick["own_ms"] for tick in ticks],
            cpu_ms=[tick["cpu_ms"] for tick in ticks],
            aws_ms=[tick["aws_ms"] for tick in ticks],
            calls=[tick["calls"] for tick in ticks],
            commands=[tick["commands"] for tick in ticks],
            calibration_ms=[warm.ask("calibrate")["calibration_ms"] for _ in range(CALIBRATIONS_A_BATCH)],
            peak_bytes=warm.ask("peak_memory")["peak_bytes"],
        )

    def cold_start(self) -> Cold:
        """Measure a cold start in a process of its own. Raises the errors of `batch`."""
        broker.fill_registry(self._redis, self._workers)
        fresh = self._new_process()
        try:
            return Cold(**fresh.ask("begin"), first_tick_ms=self._tick(fresh)["own_ms"])
        finally:
            fresh.close()

    def _tick(self, measured: MeasuredProcess) -> dict[str, Any]:
        """Run one tick; return its measurements with the counts of its Redis commands."""
        scene = self.scene
        if scene.unknown_tasks:
            self._workers = broker.workers_of(scene, first=self._seen + 1)
            self._seen += scene.members
            broker.fill_registry(self._redis, self._workers)
        self._servers.api.reset(
            desired=scene.desired,
            tasks=[worker.member.task_arn for worker in self._workers],
            former=[worker.member.task_arn for worker in self._workers if worker.old],
        )
        broker.reset(self._redis, self._workers, forget=scene.changes_something)
        broker.reset_command_counts(self._redis)
        tick = measured.ask("tick")
        mismatches = scene.mismatches(tick["pools"][POOL_NAME])
        if mismatches:
            raise SceneMismatchError("; ".join(mismatches))
        return {**tick, "commands": broker.command_counts(self._redis)}

    def _new_process(self) -> MeasuredProcess:
        environment = self._servers.environment(self.scene)
        return MeasuredProcess(self._package, environment=environment, log_path=FOLDER / "function.log")


def measure(package: Package, scenes: Sequence[Scene], *, cold: Scene, say: Callable[[str], None]) -> Measurements:
    """Measure all scenes, and cold starts in the scene `cold`.

    Raises CommandError when a server or the process did not start, or a tick did not fit its scene.
    """
    say("filling the queues")
    with running_servers(lengths={scene.queued for scene in (*scenes, cold)}) as servers, ExitStack() as stack:
        trials = [stack.enter_context(Trial(scene, package=package, servers=servers)) for scene in scenes]
        starting = stack.enter_context(Trial(cold, package=package, servers=servers))
        batches: list[list[Batch]] = [[] for _ in trials]
        starts = []
        for number in range(1, ROUNDS + 1):
            for trial, taken in zip(trials, batches, strict=True):
                say(f"round {number} of {ROUNDS}: {trial.scene}")
                taken.append(trial.batch())
            say(f"round {number} of {ROUNDS}: cold starts")
            starts.append([starting.cold_start() for _ in range(COLD_STARTS_A_ROUND)])
    figures = [SceneFigures(scene=trial.scene, batches=taken) for trial, taken in zip(trials, batches, strict=True)]
    return Measurements(scenes=figures, cold=starts)
