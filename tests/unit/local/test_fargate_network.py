"""Which task a listener passes a connection on to."""

import pytest

from local.fargate.network import Frontend, Target


def frontend(*states: tuple[bool, bool]) -> Frontend:
    made = Frontend(service="s", container_port=8080, health_path="/health")
    for port, (healthy, was_healthy) in enumerate(states, start=1):
        made.targets[str(port)] = Target(task_id=str(port), port=port, healthy=healthy, was_healthy=was_healthy)
    return made


@pytest.mark.parametrize(
    ("states", "ports"),
    [
        ([], set()),
        ([(False, False)], set()),
        ([(True, True), (False, False)], {1}),
        ([(True, True), (False, True)], {1}),
        ([(False, True), (False, False)], {1}),
        ([(True, True), (True, True)], {1, 2}),
    ],
    ids=["nobody", "not yet up", "one up", "one slow", "all slow: fails open", "both"],
)
def test_healthy_targets_are_chosen_and_slow_ones_before_nobody(states: list, ports: set[int]) -> None:
    chosen = {frontend(*states).choose() for _ in range(50)}
    assert {address[1] for address in chosen if address} == ports
    assert (None in chosen) is (not ports)
