"""The choice of ports."""

import socket

import pytest

from local.servers.ports import ATTEMPTS, HOST, PortTakenError, free_port, start_on_a_port


class Lost:
    """A server that loses its port a number of times before it can bind one."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.tried: list[int] = []

    def start(self, port: int) -> str:
        self.tried.append(port)
        if len(self.tried) <= self.times:
            raise PortTakenError(port)
        return f"serving {port}"


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as server:
        server.bind((HOST, free_port()))


def test_a_lost_port_is_replaced_when_it_was_chosen_automatically() -> None:
    server = Lost(times=2)
    assert start_on_a_port(None, server.start) == f"serving {server.tried[2]}"
    assert len(server.tried) == 3


def test_a_fixed_port_that_is_taken_is_an_error_at_once() -> None:
    server = Lost(times=1)
    with pytest.raises(PortTakenError, match=r"^port 4711 on 127\.0\.0\.1 is taken by another process$"):
        start_on_a_port(4711, server.start)
    assert server.tried == [4711]


def test_losing_every_port_ends_in_an_error() -> None:
    server = Lost(times=ATTEMPTS)
    with pytest.raises(PortTakenError):
        start_on_a_port(None, server.start)
    assert len(server.tried) == ATTEMPTS
