"""The address that Airflow stores with each task instance and job."""

import socket
from collections.abc import Iterator

import pytest

from agent.addresses import address_within, listening_address, own_address
from agent.variables import BIND_HOST


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    own_address.cache_clear()
    yield
    own_address.cache_clear()


def unresolvable(_: str) -> str:
    raise socket.gaierror


def test_a_container_of_a_local_stack_listens_and_is_reached_at_the_address_of_its_ecs_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BIND_HOST, "127.4.5.6")
    given = {BIND_HOST: "127.4.5.6"}
    assert {own_address(), listening_address(given), address_within(given)} == {"127.4.5.6"}


def test_on_aws_it_listens_on_every_interface_and_the_security_group_decides() -> None:
    assert (listening_address({}), address_within({})) == ("0.0.0.0", "localhost")


@pytest.mark.parametrize(
    ("resolve", "expected"),
    [
        (lambda _: "10.1.2.3", "10.1.2.3"),
        (lambda _: "127.0.1.1", "ip-10-1-2-3.internal"),
        (unresolvable, "ip-10-1-2-3.internal"),
    ],
    ids=["as on Fargate", "a name for loopback", "no name"],
)
def test_on_aws_it_is_reached_at_its_ip_address_because_names_may_not_resolve(
    resolve: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BIND_HOST, raising=False)
    monkeypatch.setattr(socket, "gethostname", lambda: "ip-10-1-2-3.internal")
    monkeypatch.setattr(socket, "gethostbyname", resolve)
    assert own_address() == expected
