"""`make up` beside another one, and when a part of it dies."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from local.servers.ports import HOST
from project.clients import Clients
from tests.acceptance.conftest import Command

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(900)]

RUNS = "the stack runs"
UP_TIMEOUT_S = 300
DATABASE_TIMEOUT_S = 60
END_TIMEOUT_S = 60


def clients_of(stack: Command) -> Clients:
    running = json.loads((stack.state / "running.json").read_text())
    return Clients(running["endpoint"], running["region"])


def database_port(stack: Command) -> int:
    lock = (stack.state / "postgres").resolve() / "data" / "postmaster.pid"
    return int(lock.read_text().splitlines()[3])


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) != 0


def test_two_stacks_run_side_by_side_and_one_that_loses_a_port_says_so_and_ends_alone(
    command: Callable[..., Command],
) -> None:
    first, second = command("up", state="first"), command("up", state="second")
    for stack in (first, second):
        stack.reaches(RUNS, timeout_s=UP_TIMEOUT_S)
    assert database_port(first) != database_port(second)

    port, rds = database_port(first), clients_of(first).rds
    (instance,) = rds.describe_db_instances()["DBInstances"]
    rds.stop_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"])
    deadline = time.monotonic() + DATABASE_TIMEOUT_S
    while not refuses(port):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((HOST, port))

    # It asks for this very port and to share it, which no process does by chance.
    with socket.create_server((HOST, port)):
        rds.start_db_instance(DBInstanceIdentifier=instance["DBInstanceIdentifier"])
        assert first.wait(END_TIMEOUT_S) != 0
    assert (
        f"local: thread 'database' of the stack died: port {port} on {HOST} is taken by another process" in first.said
    )
    assert "Traceback" not in first.said

    assert second.process.poll() is None
    assert command("down", state="second").wait(END_TIMEOUT_S) == 0
    assert second.wait(END_TIMEOUT_S) == 0
    assert "Traceback" not in second.said
