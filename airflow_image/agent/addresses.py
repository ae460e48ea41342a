"""The addresses of a container: where its servers listen, and how the other containers of the network reach them."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache

from agent import variables

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - the security group of the ECS task decides who may connect


def listening_address(given: Mapping[str, str]) -> str:
    """Return the address to listen on: every interface, unless BIND_HOST is set."""
    return given.get(variables.BIND_HOST) or EVERY_INTERFACE


def address_within(given: Mapping[str, str]) -> str:
    """Return the address at which a container reaches its own servers."""
    return given.get(variables.BIND_HOST) or "localhost"


@cache
def own_address() -> str:
    """Return the address at which others reach this container. Airflow stores it with each task instance and job.

    The webserver reads the log of a running task there. It is the IP address, because names of containers resolve only
    in a VPC with DNS hostnames; the container's name if it has no other address than loopback.
    """
    if given := os.environ.get(variables.BIND_HOST):
        return given
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return name
    return name if address.startswith("127.") else address
