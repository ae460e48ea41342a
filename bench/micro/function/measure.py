"""Takes all measurements: every scene, and cold starts, in several rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.micro.function.figures import Batch, Cold, Looks
from bench.micro.function.ground import ground
from bench.micro.function.package import Package
from bench.micro.function.scenes import Scene
from bench.micro.function.trial import Trial

# A figure is the best of its rounds', which are minutes apart: other work on the machine comes and goes meanwhile.
ROUNDS = 4
COLD_STARTS_A_ROUND = 5


@dataclass(frozen=True, kw_only=True)
class Measured:
    """`cold`: the cold starts by round."""

    looks: Sequence[Looks]
    cold: Sequence[Sequence[Cold]]


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
