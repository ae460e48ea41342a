"""Which task a listener passes a connection on to."""

from ipaddress import ip_address

import pytest

from local.fargate.network import LOG_PORTS, Frontend, Network, Target
from local.servers.ports import Port, PortTakenError


def frontend(*states: tuple[bool, bool]) -> Frontend:
    made = Frontend(service="s", container_port=8080, health_path="/health")
    for port, (healthy, was_healthy) in enumerate(states, start=1):
        made.targets[str(port)] = Target(
            task_id=str(port), host="127.0.0.1", port=port, healthy=healthy, was_healthy=was_healthy
        )
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
    ids=["none", "not yet up", "one up", "one slow", "all slow: fails open", "both"],
)
def test_healthy_targets_are_chosen_first_and_slow_ones_rather_than_none(
    states: list[tuple[bool, bool]], ports: set[int]
) -> None:
    chosen = {frontend(*states).choose() for _ in range(50)}
    assert {address[1] for address in chosen if address} == ports
    assert (None in chosen) is (not ports)


def test_a_container_s_port_is_reserved_before_it_listens_and_until_its_task_ends() -> None:
    network = Network(relay=None, clients=None)  # type: ignore[arg-type]
    try:
        port = int(network.environment("s", "task", "webserver", {"PORT": "8080"})["PORT"])
        assert network.environment("s", "task", "webserver", {"PORT": "8080"})["PORT"] == str(port)
        with pytest.raises(PortTakenError):
            Port(port)
        network.forget("task")
        Port(port)
    finally:
        network.close()


def test_a_container_with_two_ports_gets_two_of_this_host() -> None:
    network = Network(relay=None, clients=None)  # type: ignore[arg-type]
    try:
        given = network.environment("s", "task", "webserver", {"PORT": "8080", "PUBLIC_PORT": "8081"})
        assert len({given["PORT"], given["PUBLIC_PORT"], "8080", "8081"}) == 4
    finally:
        network.close()


def test_each_ecs_task_has_an_address_of_its_own_for_all_of_its_containers() -> None:
    network = Network(relay=None, clients=None)  # type: ignore[arg-type]
    try:
        found = {
            task: {network.environment("s", task, container, {})["BIND_HOST"] for container in ("worker", "runner")}
            for task in ("one", "two")
        }
        (one,), (two,) = found.values()
        assert one != two
        assert ip_address(one).is_loopback
        for port in LOG_PORTS:
            with pytest.raises(PortTakenError):
                Port(port, one)
        network.forget("one")
        Port(LOG_PORTS[0], one)
    finally:
        network.close()


def test_a_connection_goes_to_the_address_of_the_task() -> None:
    target = Target(task_id="1", host="127.1.2.3", port=4, healthy=True)
    made = Frontend(service="airflow", container_port=8080, health_path="/", targets={"1": target})
    assert made.choose() == ("127.1.2.3", 4)


def test_a_port_that_is_cut_off_has_no_target_until_it_is_restored() -> None:
    target = Target(task_id="1", host="127.0.0.1", port=1, healthy=True)
    frontend = Frontend(service="airflow", container_port=8080, health_path="/", targets={"1": target})
    frontend.is_cut_off = True
    assert frontend.choose() is None
    frontend.is_cut_off = False
    assert frontend.choose() == ("127.0.0.1", 1)
