"""The protocol of agent, autoscaler and ECS holds over random interleavings; a broken one is found.

PROTOCOL_STEPS sets how many steps the first test takes; by default few enough for every run of the tests.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import ProtocolMachine

STEPS = int(os.environ.get("PROTOCOL_STEPS") or 10_000)
STEPS_AN_EXAMPLE = 100


def explore(machine: type[ProtocolMachine], *, steps: int, shrink: bool) -> None:
    """About `steps` steps, the same ones each time."""
    machine.steps = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=-(-steps // STEPS_AN_EXAMPLE) * 5 // 4,
            stateful_step_count=STEPS_AN_EXAMPLE,
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
            suppress_health_check=list(HealthCheck),
            derandomize=True,
            report_multiple_bugs=False,
            database=None,
            deadline=None,
        ),
    )


def test_no_task_is_ever_on_a_worker_that_ecs_may_stop() -> None:
    explore(ProtocolMachine, steps=STEPS, shrink=True)
    print(f"{ProtocolMachine.steps} steps")
    assert ProtocolMachine.steps >= STEPS
