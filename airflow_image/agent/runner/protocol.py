"""What worker and runner send each other.

The control connection is a SOCK_SEQPACKET socket, which the worker opens before any task runs, and keeps. The worker
sends END_TASKS, and a Start with the descriptor of a stream socket; the runner sends how much memory there is. The
worker writes the workload to the stream, the process that supervises it answers with an Outcome, and closes it. Because
only that process reads the workload, its token is in no other memory, not even in its task's. If that process dies, the
runner ends what is left of the task, then answers in its place. A stream that ends without an outcome: the runner died
as well. What no one has read has not begun.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

END_TASKS = b"end tasks"
IDLE = b"idle"  # of a supervisor to the runner, before its outcome: it can take another task
SOCKET = "runner.sock"
READY = "runner.ready"  # a file beside it: the runner has imported what all tasks need, and the worker may consume
MAX_START_MESSAGE = 1024  # bytes
MAX_OUTCOME_BYTES = 65_536
MAX_MEMORY_MESSAGE = 65_536  # bytes; 256 tasks take 6 KB
MOST_MEMORY = 2**50  # bytes; more is not believed
MAX_REASON = 500  # characters
MAX_NAME = 500  # characters of both ids in the log
SUPERVISOR_DIED = "SupervisorDied"  # the error of the runner's own outcome


@dataclass(frozen=True, kw_only=True)
class Start:
    """Lets the runner run a workload. `number`: under which the runner tells of its memory, the worker's choice.

    `is_task`: whether it is one, as nearly all are. `dags_hash`: of the code that the task runs.
    """

    number: int
    is_task: bool
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

    @property
    def is_whole(self) -> bool:
        """Whether the workload ran to its own end, well or not."""
        return self.is_started and not self.error and self.memory_limit is None


NOT_BEGUN = Outcome(is_started=False, error="RunnerDied", reason="the runner ended before anyone had read the workload")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The container's memory in bytes. `usable`: what can be held before the runner ends a task.

    `tasks`: what each task holds, by its number. `others`: what is held beside them, as by the runner itself.
    """

    usable: int
    others: int
    tasks: Mapping[int, int]


def start_message(start: Start) -> bytes:
    """Return the message for `start_in`."""
    return json.dumps(asdict(start)).encode()


def start_in(message: bytes) -> Start | None:
    """Return what the worker's message says; None for another message."""
    try:
        return Start(**json.loads(message))
    except (ValueError, TypeError):
        return None


def assign(channel: socket.socket, start: Start, stream: socket.socket) -> None:
    """Let a supervisor run the workload that comes on `stream`. Raises OSError."""
    socket.send_fds(channel, [start_message(start)], [stream.fileno()])


def receive_assignment(channel: socket.socket) -> tuple[Start, socket.socket] | None:
    """Wait for what the runner assigns; None if it has closed its end, or has ended. Raises OSError."""
    message, descriptors, _, _ = socket.recv_fds(channel, MAX_START_MESSAGE, 1)
    if not descriptors or (start := start_in(message)) is None:
        return None
    return start, socket.socket(fileno=descriptors[0])


def zygote_message(pid: int) -> bytes:
    """Return the message for `zygote_in`: a supervisor tells the runner the process id of its zygote."""
    return f"zygote {pid}".encode()


def zygote_in(message: bytes) -> int | None:
    """Return the process id in a supervisor's message; None for another message."""
    name, _, pid = message.partition(b" ")
    return int(pid) if name == b"zygote" and pid.isdigit() else None


def memory_message(memory: Memory) -> bytes:
    """Return the message for `memory_in`."""
    return json.dumps(asdict(memory), separators=(",", ":")).encode()


def memory_in(message: bytes) -> Memory | None:
    """Return what a message of the runner says; None if it is malformed: the runner also runs the code of DAGs."""
    try:
        said = json.loads(message)
        memory = Memory(
            usable=_bytes(said["usable"]),
            others=_bytes(said["others"]),
            tasks={int(number): _bytes(held) for number, held in said["tasks"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return memory


def _bytes(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_MEMORY:
        raise ValueError("no plausible number of bytes")
    return value


def send_workload(stream: socket.socket, workload: str) -> None:
    """Send Airflow's JSON; nothing can follow it. Raises OSError."""
    stream.sendall(workload.encode())
    stream.shutdown(socket.SHUT_WR)


def receive_workload(stream: socket.socket) -> str:
    """Return Airflow's JSON. Raises OSError, UnicodeDecodeError."""
    return _read(stream)[0].decode()


def send_outcome(stream: socket.socket, outcome: Outcome) -> None:
    """Send the outcome; nothing can follow it, not even from another process with the stream. Raises OSError."""
    stream.sendall(json.dumps(asdict(outcome)).encode())
    stream.shutdown(socket.SHUT_WR)


def receive_outcome(stream: socket.socket) -> Outcome | None:
    """Wait for the outcome; None if the other end closed without a whole one.

    NOT_BEGUN if it closed before it had read the workload.
    """
    try:
        said, is_unread = _read(stream, limit=MAX_OUTCOME_BYTES)
        if is_unread and not said:
            return NOT_BEGUN
        outcome = Outcome(**json.loads(said))
        for count in (outcome.peak, outcome.memory_limit):
            if count is not None:
                _bytes(count)
        return outcome
    except (OSError, ValueError, TypeError):
        return None


def is_unread(stream: socket.socket) -> bool:
    """Return whether some of the workload was not read yet, so that it has not begun; not if the worker has ended."""
    try:
        return bool(stream.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:  # the worker still sends it
        return True
    except OSError:
        return False


def task_of(workload: str) -> str | None:
    """Return the ids of a workload's DAG and task; None for a workload of another kind."""
    try:
        task = json.loads(workload)["ti"]
        return f"{task['dag_id']}.{task['task_id']}"[:MAX_NAME]
    except (ValueError, KeyError, TypeError):
        return None


def name_of(workload: str) -> str:
    """Return the ids of a workload's DAG and task, for a log; nothing else of the workload may get there."""
    task = task_of(workload)
    return "of unknown name" if task is None else repr(task)


def address_in(folder: Path) -> tuple[str, int]:
    """Return a short address of the socket in `folder`, and the descriptor that the caller closes after using it.

    The folder's own path may exceed the 107 bytes of a socket's address. Raises OSError.
    """
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{descriptor}/{SOCKET}", descriptor


def _read(stream: socket.socket, *, limit: int | None = None) -> tuple[bytes, bool]:
    """Return all that was sent, and whether the other end has closed without reading all."""
    parts = bytearray()
    try:
        while part := stream.recv(65_536):
            parts += part
            if limit is not None and len(parts) > limit:
                raise ValueError(f"more than {limit} bytes")
    except ConnectionResetError:  # the kernel tells it after all that was sent
        return bytes(parts), True
    return bytes(parts), False
