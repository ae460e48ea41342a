"""The protocol of agent, autoscaler and ECS holds over random interleavings; a broken one is found.

PROTOCOL_STEPS sets how many steps the first test takes; by default few in `make test`, more in `make test-all`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import (
    BrokerMachine,
    DrainingMachine,
    GatesMachine,
    LeaseMachine,
    MemoryMachine,
    ProtocolMachine,
    RetirementMachine,
    RolloutMachine,
    ScalingMachine,
    SleepMachine,
)
from tests.model.mutants import BROKER, DRAINING, GATES, LEASE, MEMORY, RETIREMENT, ROLLOUTS, SCALING, SLEEP, Mutant
from tests.model.scaler import Violation

log = logging.getLogger(__name__)

RecordProperty = Callable[[str, object], None]

STEPS = os.environ.get("PROTOCOL_STEPS")
STEPS_TO_FIND_A_MUTANT = 30_000
STEPS_AN_EXAMPLE = 100


def explore(machine: type[ProtocolMachine], *, steps: int, shrink: bool) -> None:
    """At least `steps` steps, the same ones each time, if nothing is found. Some examples end early: 1.25 as many."""
    machine.steps = machine.moves = 0
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


@pytest.mark.timeout(2 * 3600)  # 100,000 steps take about an hour
@pytest.mark.parametrize("steps", [int(STEPS)] if STEPS else [500, pytest.param(3_000, marks=pytest.mark.slow)])
def test_no_task_is_ever_on_a_worker_that_ecs_may_stop(steps: int, record_property: RecordProperty) -> None:
    explore(ProtocolMachine, steps=steps, shrink=True)
    record_property("steps", ProtocolMachine.steps)
    log.info("%s steps, %s moves", ProtocolMachine.steps, ProtocolMachine.moves)
    assert ProtocolMachine.steps >= steps


MUTANTS: dict[str, tuple[Mutant, type[ProtocolMachine]]] = {
    name: (mutant, machine)
    for mutants, machine in (
        (DRAINING, DrainingMachine),
        (LEASE, LeaseMachine),
        (SCALING, ScalingMachine),
        (GATES, GatesMachine),
        (SLEEP, SleepMachine),
        (RETIREMENT, RetirementMachine),
        (ROLLOUTS, RolloutMachine),
        (BROKER, BrokerMachine),
        (MEMORY, MemoryMachine),
    )
    for name, mutant in mutants.items()
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_protocol_is_found(name: str, record_property: RecordProperty) -> None:
    """By the machine that plays where the mutant is."""
    mutant, machine = MUTANTS[name]
    with mutant(), pytest.raises(Violation) as found:
        explore(machine, steps=STEPS_TO_FIND_A_MUTANT, shrink=False)
    record_property("steps", machine.steps)
    log.info("found after %s steps, %s moves: %s", machine.steps, machine.moves, found.value)
