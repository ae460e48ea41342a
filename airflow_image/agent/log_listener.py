"""Opens the port of a container's log server and starts the server, which inherits it: agent.log_files."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping

from agent import variables
from agent.addresses import listening_address

BACKLOG = 32


def listen(given: Mapping[str, str]) -> socket.socket | None:
    """Listen on the port of the container's log server; return None if the port is empty. Raises OSError.

    It is called before a task can run, because tasks share the worker's ports: one that listened there first would be
    asked for the logs of the others. Until the server runs, its requests wait.
    """
    port = given[variables.LOG_SERVER_PORT]
    return socket.create_server((listening_address(given), int(port)), backlog=BACKLOG) if port else None


def start_server(listener: socket.socket | None, given: Mapping[str, str]) -> None:
    """Start the server as a process that has `listener` as its standard input. Tasks have priority."""
    if listener is None:
        return
    argv = ["nice", "-n", "10", sys.executable, "-m", "agent.log_files"]
    with listener:
        subprocess.Popen(argv, env=dict(given), stdin=listener.fileno())
