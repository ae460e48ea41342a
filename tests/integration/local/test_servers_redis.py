"""The throw-away Redis."""

import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.servers.ports import HOST, PortTakenError
from local.servers.process import StartError
from local.servers.redis import Redis

PASSWORD = 'a "difficult"\n\\x41 password: ä'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis", password=PASSWORD).start()
    yield server
    server.stop()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def free_number() -> int:
    with socket.create_server((HOST, 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


def signs_in(server: Redis, password: str | None) -> bool:
    once = Retry(NoBackoff(), 0)  # a refused password is no reason to wait
    with redis.Redis(host=server.host, port=server.port, password=password, retry=once) as client:
        try:
            return client.ping() is True
        except redis.AuthenticationError:
            return False


def test_redis_demands_the_password(server: Redis) -> None:
    assert (signs_in(server, PASSWORD), signs_in(server, "wrong"), signs_in(server, None)) == (True, False, False)


def test_a_changed_password_replaces_the_old_one_and_leaves_connections_alone(server: Redis) -> None:
    with server.client() as earlier:
        earlier.ping()
        server.set_password("another")
        assert (signs_in(server, PASSWORD), signs_in(server, "another")) == (False, True)
        assert earlier.ping() is True


def test_the_password_is_in_no_command_line_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of a stand-in, because redis-server overwrites its command line once it has read it."""
    (tmp_path / "redis-server").write_text('#!/bin/sh\necho "$@"; tr "\\0" "\\n" < /proc/self/environ; exit 3\n')
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    server = Redis(tmp_path, password=PASSWORD)
    with pytest.raises(StartError):
        server.start()
    command_line, *environment = server.log_path.read_text().splitlines()
    assert command_line == "-"
    assert {line.split("=")[0] for line in environment} <= {"PATH", "PWD"}


def test_the_password_is_in_no_file(server: Redis) -> None:
    server.set_password("difficult to guess")
    assert list(server.log_path.parent.iterdir()) == [server.log_path]
    assert "difficult" not in server.log_path.read_text()


def test_nothing_is_kept_on_disk_or_evicted(server: Redis) -> None:
    with server.client() as client:
        settings = client.config_get("*")
    assert {name: settings[name] for name in ("save", "appendonly", "maxmemory-policy")} == {
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
    }


def test_redis_listens_on_this_machine_only(server: Redis) -> None:
    listening = [c for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert [(c.laddr.ip, c.laddr.port) for c in listening] == [(HOST, server.port)]


def test_redis_passes_over_a_taken_port(tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = iter([taken_port, free_number()])
    monkeypatch.setattr(secrets, "choice", lambda _: next(candidates))
    server = Redis(tmp_path).start()
    try:
        assert server.port != taken_port
        assert signs_in(server, None)
    finally:
        server.stop()


def test_no_process_takes_the_port_of_redis_while_it_is_down(server: Redis) -> None:
    server.stop()
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind((HOST, server.port))
    with pytest.raises(ConnectionRefusedError), socket.create_connection((HOST, server.port), timeout=5):
        pass
    port = server.port
    server.start()
    assert server.port == port
    assert signs_in(server, PASSWORD)


def test_another_server_on_the_port_is_an_error_and_not_taken_for_redis(tmp_path: Path, server: Redis) -> None:
    server.stop()
    # It asks for this very port and to share it, which no process does by chance.
    with socket.create_server((HOST, server.port)):
        with pytest.raises(PortTakenError, match=f"port {server.port} on {HOST} is taken"):
            server.start()
        assert server.pid is None
    server.start()
    assert signs_in(server, PASSWORD)


def test_a_server_that_cannot_start_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis-server").write_text("#!/bin/sh\necho no memory left; exit 3\n")
    (tmp_path / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(StartError, match=r"^redis-server ended with 3: no memory left$"):
        Redis(tmp_path).start()


def test_redis_can_be_stopped_twice_and_started_again(server: Redis) -> None:
    pid = server.pid
    server.stop()
    server.stop()
    assert not psutil.pid_exists(pid or 0)
    server.start()
    assert signs_in(server, PASSWORD)


def test_redis_is_not_started_twice(server: Redis) -> None:
    with pytest.raises(StartError, match="started already"):
        server.start()


def test_a_restart_keeps_data_port_and_password_but_no_connection(server: Redis) -> None:
    port, pid = server.port, server.pid
    with server.client() as client:
        client.rpush("queue", "message")
    server.restart()
    assert (server.port, server.pid == pid) == (port, False)
    assert signs_in(server, PASSWORD)
    with server.client() as client:
        assert client.lrange("queue", 0, -1) == [b"message"]
    assert list(server.log_path.parent.iterdir()) == [server.log_path]


def test_a_frozen_server_keeps_its_connections_and_answers_when_it_thaws(server: Redis) -> None:
    with server.client(timeout_s=0.5) as opened, server.client(timeout_s=0.5) as later:
        opened.ping()
        server.freeze()
        try:
            for client in (opened, later):
                with pytest.raises(redis.TimeoutError):
                    client.ping()
        finally:
            server.thaw()
        assert opened.ping()


def test_a_server_that_is_down_is_neither_frozen_nor_thawed(server: Redis) -> None:
    server.stop()
    server.freeze()
    server.thaw()
