"""The reservation of ports."""

import gc
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.servers import ports
from local.servers.ports import ATTEMPTS, FIRST_PORT, HOST, LAST_PORT, Port, PortTakenError, free_port, reserve
from project.errors import CommandError

ROOT = Path(__file__).parents[3]


def outgoing_range(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(text)
    monkeypatch.setattr(ports, "OUTGOING_RANGE", path)


def is_bindable(number: int) -> bool:
    with socket.socket() as other:
        try:
            other.bind((HOST, number))
        except OSError:
            return False
        return True


def test_a_server_listens_on_a_reserved_port() -> None:
    with socket.create_server((HOST, free_port())):
        pass


def test_a_port_is_outside_the_range_of_outgoing_connections() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert [number for number in (free_port() for _ in range(20)) if first <= number <= last] == []


def test_a_reserved_port_refuses_connections_and_other_sockets_before_between_and_after_its_servers() -> None:
    port = reserve()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, port.number), timeout=5):
            pass
        assert not is_bindable(port.number)
        with pytest.raises(PortTakenError, match=rf"^port {port.number} on 127\.0\.0\.1 is taken by another process$"):
            Port(port.number)
        with socket.create_server((HOST, port.number)), pytest.raises(PortTakenError):
            Port(port.number)


def test_another_process_cannot_reserve_a_reserved_port() -> None:
    port = reserve()
    script = f"from local.servers.ports import Port; Port({port.number})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"PortTakenError: port {port.number} on {HOST} is taken by another process" in done.stderr


def test_no_outgoing_connection_takes_a_reserved_port() -> None:
    """Not even a port of the range that the kernel takes them from."""
    with socket.create_server((HOST, 0), backlog=200) as listener:
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        held = [Port(number) for number in range(first, last + 1, 97) if is_bindable(number)]
        connections = [socket.create_connection(listener.getsockname()) for _ in range(150)]
        used = {connection.getsockname()[1] for connection in connections}
        for connection in connections:
            connection.close()
    assert used & {port.number for port in held} == set()


def test_a_port_ends_with_its_release_or_its_object() -> None:
    first, second = reserve(), reserve()
    numbers = first.number, second.number
    first.release()
    first.release()
    del second
    gc.collect()
    assert [is_bindable(number) for number in numbers] == [True, True]


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = reserve(), reserve()
    candidates = iter([taken.number, taken.number, free.number])
    free.release()
    monkeypatch.setattr(secrets, "choice", lambda _: next(candidates))
    assert reserve().number == free.number
    assert list(candidates) == []


def test_a_search_that_meets_only_taken_ports_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = reserve()
    tried: list[int] = []

    def take(_: range) -> int:
        tried.append(taken.number)
        return taken.number

    monkeypatch.setattr(secrets, "choice", take)
    with pytest.raises(CommandError, match=rf"^no free port on 127\.0\.0\.1: all {ATTEMPTS} ports that were tried"):
        reserve()
    assert len(tried) == ATTEMPTS


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("32768\t60999\n", FIRST_PORT, LAST_PORT, 12_768 + 4_536),
        ("15000 60999", 61_000, LAST_PORT, 4_536),
        ("1024 65535", FIRST_PORT, LAST_PORT, LAST_PORT - FIRST_PORT + 1),  # no other is left
        ("unreadable", FIRST_PORT, 32_767, 12_768),
    ],
)
def test_the_choice_leaves_out_the_range_of_outgoing_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, first: int, last: int, count: int
) -> None:
    outgoing_range(tmp_path / "range", text, monkeypatch)
    numbers = ports.numbers()
    assert (numbers[0], numbers[-1], len(numbers)) == (first, last, count)
