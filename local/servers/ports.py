"""Free TCP ports on 127.0.0.1, with another try when a port is lost between choosing and binding it."""

import socket
from collections.abc import Callable
from typing import TypeVar

from project.errors import CommandError

HOST = "127.0.0.1"
ATTEMPTS = 10

Started = TypeVar("Started")


class PortTakenError(CommandError):
    """Something else already listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on {HOST} is taken by another process")
        self.port = port


def free_port() -> int:
    """A port that nothing listened on a moment ago. Whoever binds it must expect to have lost it meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def start_on_a_port(fixed: int | None, start: Callable[[int], Started]) -> Started:
    """`start(port)` with the fixed port, or with free ones until one of them could be bound.

    Raises PortTakenError when the fixed port is taken, or when ATTEMPTS free ones in a row were lost.
    """
    if fixed is not None:
        return start(fixed)
    for _ in range(ATTEMPTS - 1):
        try:
            return start(free_port())
        except PortTakenError:
            continue
    return start(free_port())
