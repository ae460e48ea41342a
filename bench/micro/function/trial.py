"""Takes the measurements: every scene, a batch of looks at a time, and cold starts, in several rounds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.micro.function import broker
from bench.micro.function.figures import Batch, Cold, Looks, Measured
from bench.micro.function.package import FOLDER, Package
from bench.micro.function.scenes import POOL_NAME, Scene
from bench.micro.function.servers import Ground, ground
from local.servers import process
from project.errors import CommandError

SUBJECT = Path(__file__).with_name("subject.py")
# A figure is the best of its rounds', which are minutes apart: other work on the machine comes and goes meanwhile.
ROUNDS = 4
COLD_STARTS_A_ROUND = 5
LOOKS_A_BATCH = 15
CALIBRATIONS_A_BATCH = 3
WARM_UP_LOOKS = 3


class Subject:
    """One fresh process with the package imported, until it is closed."""

    def __init__(self, package: Package, *, environment: Mapping[str, str], log_path: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            self._child = process.spawn(
                [
                    package.python,
                    *("-I", "-S", "-B", SUBJECT, package.folder, package.libraries, str(theirs_in), str(theirs_out)),
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
        """The answer to begin, look, calibrate or peak_memory. Raises StartError when the process has ended."""
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


class Wrong(CommandError):
    """A look did something else than its scene is there to measure."""


class Trial:
    """A scene, and from the first batch until the `with` block ends a warm process that looks at it."""

    def __init__(self, scene: Scene, *, package: Package, ground: Ground) -> None:
        self.scene = scene
        self._package, self._ground = package, ground
        self._workers = broker.workers_of(scene)
        self._seen = scene.members
        self._subject: Subject | None = None

    def __enter__(self) -> Self:
        self._redis = self._ground.brokers[self.scene.queued].client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subject is not None:
            self._subject.close()
        self._redis.close()

    def batch(self) -> Batch:
        """Raises Wrong when a look's decision is not the scene's, StartError when the process ends."""
        broker.report(self._redis, self._workers)
        if self._subject is None:
            self._subject = self._new_process()
            for _ in range(WARM_UP_LOOKS):
                self._look(self._subject)
        subject = self._subject
        looks = [self._look(subject) for _ in range(LOOKS_A_BATCH)]
        return Batch(
            own_ms=[look["own_ms"] for look in looks],
            cpu_ms=[look["cpu_ms"] for look in looks],
            aws_ms=[look["aws_ms"] for look in looks],
            calls=[look["calls"] for look in looks],
            commands=[look["commands"] for look in looks],
            calibration_ms=[subject.ask("calibrate")["calibration_ms"] for _ in range(CALIBRATIONS_A_BATCH)],
            peak_bytes=subject.ask("peak_memory")["peak_bytes"],
        )

    def cold_start(self) -> Cold:
        """Of a process of its own. Raises as `batch`."""
        broker.report(self._redis, self._workers)
        subject = self._new_process()
        try:
            return Cold(**subject.ask("begin"), first_look_ms=self._look(subject)["own_ms"])
        finally:
            subject.close()

    def _look(self, subject: Subject) -> dict[str, Any]:
        """What the subject says of a look, with the Redis commands that it took."""
        scene = self.scene
        if scene.of_strangers:
            self._workers = broker.workers_of(scene, first=self._seen + 1)
            self._seen += scene.members
            broker.report(self._redis, self._workers)
        self._ground.api.begin_again(
            desired=scene.desired,
            tasks=[worker.member.task_arn for worker in self._workers],
            former=[worker.member.task_arn for worker in self._workers if worker.old],
        )
        broker.begin_again(self._redis, self._workers, forget=scene.changes_something)
        broker.forget_commands(self._redis)
        look = subject.ask("look")
        mistakes = scene.mistakes(look["pools"][POOL_NAME])
        if mistakes:
            raise Wrong("; ".join(mistakes))
        return {**look, "commands": broker.commands(self._redis)}

    def _new_process(self) -> Subject:
        environment = self._ground.environment(self.scene)
        return Subject(self._package, environment=environment, log_path=FOLDER / "function.log")


def measure(package: Package, scenes: Sequence[Scene], *, cold: Scene, say: Callable[[str], None]) -> Measured:
    """`cold`: the scene of a cold start's first look. Raises CommandError."""
    say("filling the queues")
    with ground(lengths={scene.queued for scene in (*scenes, cold)}) as servers, ExitStack() as stack:
        trials = [stack.enter_context(Trial(scene, package=package, ground=servers)) for scene in scenes]
        starting = stack.enter_context(Trial(cold, package=package, ground=servers))
        batches: list[list[Batch]] = [[] for _ in trials]
        starts = []
        for number in range(1, ROUNDS + 1):
            for trial, taken in zip(trials, batches, strict=True):
                say(f"round {number} of {ROUNDS}: {trial.scene}")
                taken.append(trial.batch())
            say(f"round {number} of {ROUNDS}: cold starts")
            starts.append([starting.cold_start() for _ in range(COLD_STARTS_A_ROUND)])
    looks = [Looks(scene=trial.scene, batches=taken) for trial, taken in zip(trials, batches, strict=True)]
    return Measured(looks=looks, cold=starts)
