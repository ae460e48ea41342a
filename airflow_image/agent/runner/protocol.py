"""What worker and runner send each other.

The control connection is a SOCK_SEQPACKET socket, which the worker opens before any task runs, and keeps. Its messages,
all from the worker: RUN with the descriptor of a stream socket, and END_TASKS. The worker writes a Request to the
stream, the process that supervises the workload answers with an Outcome, and closes it. Because only that process
reads the request, a workload's token is in no other memory. If that process dies, the runner ends what is left of the
task, then answers in its place. A stream that ends without an outcome: the runner died as well.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

RUN = b"run"
END_TASKS = b"end tasks"
SOCKET = "runner.sock"
MAX_OUTCOME_BYTES = 65_536
MAX_REASON = 500  # characters
MAX_NAME = 500  # characters of both ids in the log
SUPERVISOR_DIED = "SupervisorDied"  # the error of the runner's own outcome


@dataclass(frozen=True, kw_only=True)
class Request:
    """`workload`: Airflow's JSON. `dags_hash`: of the code that the task runs."""

    workload: str
    dags_hash: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`error`: the type of the exception that ended the supervision, empty if none did; `reason`: its text.

    `is_started`: whether the workload may have begun. `peak`: the most bytes that its task was seen to hold; None if it
    never was. `memory_limit`: in bytes, if the task was ended because the worker ran out of memory. `left_behind`: how
    many processes of its task had to be ended after the task or its supervisor had ended.
    """

    is_started: bool = True
    error: str = ""
    reason: str = ""
    peak: int | None = None
    memory_limit: int | None = None
    left_behind: int = 0


def send_request(stream: socket.socket, request: Request) -> None:
    """Send the request; nothing can follow it. Raises OSError."""
    stream.sendall(json.dumps(asdict(request)).encode())
    stream.shutdown(socket.SHUT_WR)


def receive_request(stream: socket.socket) -> Request:
    """Return the request. Raises OSError, ValueError or TypeError if it is not whole."""
    return Request(**json.loads(_read(stream)))


def send_outcome(stream: socket.socket, outcome: Outcome) -> None:
    """Send the outcome; nothing can follow it, not even from another process with the stream. Raises OSError."""
    stream.sendall(json.dumps(asdict(outcome)).encode())
    stream.shutdown(socket.SHUT_WR)


def receive_outcome(stream: socket.socket) -> Outcome | None:
    """Wait for the outcome; None if the other end closed without a whole one."""
    try:
        return Outcome(**json.loads(_read(stream, limit=MAX_OUTCOME_BYTES)))
    except (OSError, ValueError, TypeError):
        return None


def name_of(workload: str) -> str:
    """Return the ids of a workload's DAG and task, for a log; nothing else of the workload may get there."""
    try:
        task = json.loads(workload)["ti"]
        return repr(f"{task['dag_id']}.{task['task_id']}"[:MAX_NAME])
    except (ValueError, KeyError, TypeError):
        return "of unknown name"


def address_in(folder: Path) -> tuple[str, int]:
    """Return a short address of the socket in `folder`, and the descriptor that the caller closes after using it.

    The folder's own path may exceed the 107 bytes of a socket's address. Raises OSError.
    """
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{descriptor}/{SOCKET}", descriptor


def _read(stream: socket.socket, *, limit: int | None = None) -> bytes:
    parts = bytearray()
    while part := stream.recv(65_536):
        parts += part
        if limit is not None and len(parts) > limit:
            raise ValueError(f"more than {limit} bytes")
    return bytes(parts)
