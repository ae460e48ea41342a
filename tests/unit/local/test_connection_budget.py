"""The database accepts the connections that an environment's sizes need, or `make check` refuses them."""

import pytest

from local.stack.connection_budget import accepted_connections, connection_budget

SIZES = {
    "AirflowMax": "2",
    "AirflowCpu": "1024",
    "AirflowMemory": "4096",
    "DatabaseInstanceClass": "db.t4g.medium",
    "DatabaseConnectionsAlarm": "150",
}


@pytest.mark.parametrize(
    ("instance_class", "accepted"),
    [
        ("db.t4g.micro", 84),  # 1 GiB - 256 MiB
        ("db.t3.small", 197),
        ("db.t4g.medium", 422),
        ("db.t4g.large", 873),
        ("db.m7g.large", 873),
        ("db.m6gd.2xlarge", 3576),
        ("db.r7g.large", 1774),
        ("db.r7g.4xlarge", 5000),  # RDS's maximum
        ("db.serverless.any", None),
        ("db.m7g.odd", None),
    ],
)
def test_a_server_accepts_connections_by_its_memory(instance_class: str, accepted: int | None) -> None:
    assert accepted_connections(instance_class) == accepted


def test_a_deployment_needs_twice_the_copies() -> None:
    # Two sets of two copies with 40 connections each, and ten for RDS and operators.
    assert connection_budget(SIZES).needed == 170


def test_each_process_of_the_webserver_counts() -> None:
    # Four vCPUs, four processes with 20 connections each, and 20 of the other containers.
    larger = {**SIZES, "AirflowMax": "4", "AirflowCpu": "4096", "AirflowMemory": "16384"}
    assert connection_budget(larger).needed == 2 * 4 * (4 * 20 + 20) + 10


def test_a_copy_that_sends_events_opens_one_more() -> None:
    assert connection_budget({**SIZES, "EventBus": "default"}).needed == 174


def test_sizes_that_fit_have_no_fault() -> None:
    budget = connection_budget(SIZES)
    assert budget.faults == []
    assert str(budget) == "database connections: up to 170 of 422"


def test_sizes_that_do_not_fit_are_refused_with_what_to_do() -> None:
    small = {**SIZES, "DatabaseInstanceClass": "db.t4g.micro", "DatabaseConnectionsAlarm": "50"}
    (fault,) = connection_budget(small).faults
    assert "up to 170" in fault
    assert "db.t4g.micro accepts some 84" in fault


def test_an_alarm_that_can_never_begin_is_refused() -> None:
    (fault,) = connection_budget({**SIZES, "DatabaseConnectionsAlarm": "422"}).faults
    assert fault.startswith("DatabaseConnectionsAlarm is 422")


def test_a_class_that_is_not_known_is_not_compared() -> None:
    budget = connection_budget({**SIZES, "DatabaseInstanceClass": "db.q1.large"})
    assert budget.faults == []
    assert "not compared" in str(budget)
