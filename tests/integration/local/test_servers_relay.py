"""Relays: with real clients in front of real servers, and with sockets where the order of bytes matters."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import httpx
import psycopg
import pytest
import redis

from local.servers.ports import HOST, PortTakenError, free_port
from local.servers.redis import Redis
from local.servers.relay import HTTP_503, Backend, Relay
from local.servers.relay_connection import Connection
from local.servers.tls import Authority
from tests.support.servers import PostgresServer, RedisServer

PATIENCE_S = 10.0
AIRFLOWS_PYTHON = Path(__file__).parents[3] / ".venv-airflow" / "bin" / "python"
needs_airflow = pytest.mark.skipif(not AIRFLOWS_PYTHON.exists(), reason="needs the image's environment (make setup)")
MEGABYTE = 1_000_000


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusting(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients with default settings find our CA where the deployed ones find the public CAs."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_bundle))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def in_front_of(relay: Relay, listener: socket.socket, **options: object) -> socket.socket:
    """Connect a client to the listener through a relay."""
    address = relay.add("test", backend=lambda: listener.getsockname(), **options)  # type: ignore[arg-type]
    return socket.create_connection(address, timeout=PATIENCE_S)


def postgres_relay(relay: Relay, server: PostgresServer, authority: Authority) -> int:
    context = authority.server_context()
    return relay.add("db", backend=lambda: (server.host, server.port), tls=context, starttls="postgres")[1]


def through(server: PostgresServer, port: int, **options: str) -> "psycopg.Connection[tuple[object, ...]]":
    given = {"user": server.user, "password": server.password, "dbname": server.database, "sslmode": "require"}
    return psycopg.connect(**{**given, **options}, host="localhost", port=port)  # type: ignore[arg-type]


def eventually(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def open_connections(relay: Relay) -> int:
    return len(relay._connections) + len(relay._negotiating)


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(MEGABYTE), b""))


def test_redis_clients_with_default_checks_reach_redis_over_tls(
    relay: Relay, redis_server: RedisServer, authority: Authority, trusting: None
) -> None:
    context = authority.server_context()
    _, port = relay.add("broker", backend=lambda: (redis_server.host, redis_server.port), tls=context)
    with redis.Redis.from_url(f"rediss://localhost:{port}/0") as client:
        client.set("relayed", b"x" * MEGABYTE)
        assert client.getdel("relayed") == b"x" * MEGABYTE


def test_redis_clients_that_do_not_know_our_ca_refuse(
    relay: Relay, redis_server: RedisServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    context = authority.server_context()
    _, port = relay.add("broker", backend=lambda: (redis_server.host, redis_server.port), tls=context)
    with (
        redis.Redis.from_url(f"rediss://localhost:{port}/0") as client,
        pytest.raises(redis.ConnectionError, match="CERT"),
    ):
        client.ping()
    assert eventually(lambda: open_connections(relay) == 0)


@pytest.mark.parametrize("sslmode", ["require", "verify-full"])
def test_psycopg_reaches_postgres_over_tls(
    relay: Relay, postgres_server: PostgresServer, authority: Authority, sslmode: str
) -> None:
    port = postgres_relay(relay, postgres_server, authority)
    root = {"sslrootcert": str(authority.ca_bundle)} if sslmode == "verify-full" else {}
    with through(postgres_server, port, sslmode=sslmode, **root) as connection:
        assert connection.pgconn.ssl_in_use
        row = connection.execute("SELECT repeat('x', %s)", (MEGABYTE,)).fetchone()
        assert row == ("x" * MEGABYTE,)
    assert eventually(lambda: open_connections(relay) == 0)


def test_postgres_clients_that_do_not_want_tls_are_refused(
    relay: Relay, postgres_server: PostgresServer, authority: Authority
) -> None:
    port = postgres_relay(relay, postgres_server, authority)
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry .* the server requires SSL"):
        through(postgres_server, port, sslmode="disable")
    assert eventually(lambda: open_connections(relay) == 0)


@needs_airflow
def test_airflows_own_clients_reach_both_servers(
    relay: Relay, postgres_server: PostgresServer, authority: Authority, tmp_path: Path
) -> None:
    """psycopg2 and kombu as the image locks them; psycopg2 also cancels a query, which it asks for in the clear."""
    context = authority.server_context()
    broker = Redis(tmp_path / "redis", password="secret").start()
    _, broker_port = relay.add("broker", backend=lambda: (broker.host, broker.port), tls=context)
    url = f"{postgres_server.url.replace(f':{postgres_server.port}', ':{port}')}?sslmode=require"
    script = """
import sys, threading, kombu, psycopg2
database, broker = sys.argv[1:]
with psycopg2.connect(database) as connection, connection.cursor() as cursor:
    cursor.execute("SELECT 1")
    threading.Timer(0.3, connection.cancel).start()
    try:
        cursor.execute("SELECT pg_sleep(20)")
    except psycopg2.errors.QueryCanceled:
        print("canceled", connection.info.ssl_in_use)
with kombu.Connection(broker) as connection:
    queue = connection.SimpleQueue("q")
    queue.put("message")
    message = queue.get(timeout=5)
    message.ack()
    print(message.payload)
"""
    urls = (
        url.format(port=postgres_relay(relay, postgres_server, authority)),
        f"rediss://:secret@localhost:{broker_port}/0?ssl_cert_reqs=required",
    )
    try:
        result = subprocess.run(
            [AIRFLOWS_PYTHON, "-c", script, *urls],
            env={"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(authority.ca_bundle)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        broker.stop()
    assert (result.stdout, result.stderr, result.returncode) == ("canceled True\nmessage\n", "", 0)


def test_the_backend_is_asked_for_each_connection(relay: Relay) -> None:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
        backends = iter([one, two])
        address = relay.add("test", backend=lambda: next(backends).getsockname())
        for server, name in ((one, b"one"), (two, b"two")):
            with socket.create_connection(address, timeout=PATIENCE_S) as client, server.accept()[0] as accepted:
                accepted.sendall(name)
                assert client.recv(10) == name


@pytest.mark.parametrize("why", ["no address", "no listener"])
def test_without_a_backend_a_load_balancers_client_gets_503(
    relay: Relay, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    missing = None if why == "no address" else (HOST, free_port())
    host, port = relay.add("test", backend=lambda: missing, unavailable=HTTP_503)
    # More than fits into the buffers on the way: a client that is still sending must get the answer all the same.
    assert httpx.post(f"http://{host}:{port}/", content=b"x" * 8 * MEGABYTE, trust_env=False).status_code == 503
    assert eventually(lambda: open_connections(relay) == 0)
    gc.collect()
    assert caplog.messages == []


def test_without_a_backend_other_clients_are_disconnected(relay: Relay) -> None:
    address = relay.add("test", backend=lambda: None)
    with socket.create_connection(address, timeout=PATIENCE_S) as client:
        assert client.recv(1) == b""


def test_a_backend_that_cannot_be_named_costs_only_its_connection_and_is_reported(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)

    def fail() -> tuple[str, int]:
        raise LookupError("expected by a test")

    address = relay.add("test", backend=fail)
    for _ in range(2):
        with socket.create_connection(address, timeout=PATIENCE_S) as client:
            assert client.recv(1) == b""
    assert eventually(lambda: len(reported) == 2)
    assert {(args.exc_type, args.thread.name if args.thread else "") for args in reported} == {(LookupError, "relay")}


def test_a_client_may_send_everything_and_then_read(relay: Relay, listener: socket.socket) -> None:
    with in_front_of(relay, listener) as client, listener.accept()[0] as server:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"question"
        server.sendall(b"answer")
        server.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"answer"
        assert eventually(lambda: open_connections(relay) == 0)


def test_bytes_that_a_server_sent_before_it_closed_arrive(
    relay: Relay, listener: socket.socket, authority: Authority
) -> None:
    trust = ssl.create_default_context(cafile=str(authority.ca_bundle))
    plain = in_front_of(relay, listener, tls=authority.server_context())
    with trust.wrap_socket(plain, server_hostname="localhost") as client, listener.accept()[0] as server:

        def send_and_close() -> None:
            server.sendall(b"x" * 8 * MEGABYTE)
            server.close()

        threading.Thread(target=send_and_close).start()
        assert len(read_all(client)) == 8 * MEGABYTE


def test_bytes_that_arrive_before_the_backend_is_connected_reach_it(relay: Relay, listener: socket.socket) -> None:
    with contextlib.ExitStack() as stack:
        address = relay.add("test", backend=lambda: listener.getsockname())
        for number in range(50):
            client = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
            client.sendall(b"%d" % number)
            client.close()
        said = []
        for _ in range(50):
            server = stack.enter_context(listener.accept()[0])
            said.append(int(read_all(server)))
    assert sorted(said) == list(range(50))


def test_a_reader_that_is_slow_makes_the_sender_wait(relay: Relay, listener: socket.socket) -> None:
    with in_front_of(relay, listener) as client, listener.accept()[0] as server:
        server.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200 * MEGABYTE:
                sent += server.send(b"x" * MEGABYTE)
        # The kernel's buffers take some megabytes; the relay may hold one read and its high-water mark.
        assert sent < 50 * MEGABYTE
        assert sum(one.transport.get_write_buffer_size() for one in relay._connections) < MEGABYTE
        server.close()
        assert len(read_all(client)) == sent


def test_three_hundred_connections_are_served_at_once(
    relay: Relay, redis_server: RedisServer, authority: Authority
) -> None:
    trust = ssl.create_default_context(cafile=str(authority.ca_bundle))
    context = authority.server_context()
    address = relay.add("test", backend=lambda: (redis_server.host, redis_server.port), tls=context)
    with contextlib.ExitStack() as stack:
        plain = [stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S)) for _ in range(300)]
        clients = [stack.enter_context(trust.wrap_socket(one, server_hostname="localhost")) for one in plain]
        for client in clients:
            client.sendall(b"PING\r\n")
        assert [client.recv(100) for client in clients] == [b"+PONG\r\n"] * 300
        assert open_connections(relay) == 600
    assert eventually(lambda: open_connections(relay) == 0)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_reset_on_one_side_ends_the_other(relay: Relay, listener: socket.socket, who: str) -> None:
    with in_front_of(relay, listener) as client, listener.accept()[0] as server:
        leaving, staying = (client, server) if who == "client" else (server, client)
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        leaving.close()
        with contextlib.suppress(ConnectionResetError):
            assert staying.recv(1) == b""
        assert eventually(lambda: open_connections(relay) == 0)


def test_a_client_that_leaves_during_the_handshake_leaves_nothing(
    relay: Relay, postgres_server: PostgresServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    port = postgres_relay(relay, postgres_server, authority)
    for said in (b"", struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877103)[:5]):
        with socket.create_connection((HOST, port), timeout=PATIENCE_S) as client:
            client.sendall(said)
            assert eventually(lambda: open_connections(relay) + len(relay._tasks) > 0)
        assert eventually(lambda: open_connections(relay) + len(relay._tasks) == 0)
    gc.collect()
    assert caplog.messages == []


def test_a_client_that_resets_while_its_backend_is_connected_leaves_nothing(
    relay: Relay, listener: socket.socket, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust = ssl.create_default_context(cafile=str(authority.ca_bundle))
    connect, is_reset = relay._open, threading.Event()

    async def connect_once_the_client_has_left(backend: Backend) -> Connection | None:
        while not is_reset.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        return await connect(backend)

    monkeypatch.setattr(relay, "_open", connect_once_the_client_has_left)
    client = trust.wrap_socket(
        in_front_of(relay, listener, tls=authority.server_context()), server_hostname="localhost"
    )
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    is_reset.set()
    with listener.accept()[0] as server, contextlib.suppress(ConnectionResetError):
        assert server.recv(1) == b""
    assert eventually(lambda: open_connections(relay) == 0)


def test_severing_ends_the_connections_of_one_listener_which_keeps_listening(
    relay: Relay, listener: socket.socket
) -> None:
    backend = listener.getsockname()
    addresses = {name: relay.add(name, backend=lambda: backend) for name in ("one", "other")}
    clients = {}
    for name, address in addresses.items():
        clients[name] = socket.create_connection(address, timeout=PATIENCE_S)
        clients[name].sendall(b"?")
        server, _ = listener.accept()
        server.sendall(b"!")
        assert clients[name].recv(1) == b"!"
        clients[f"server of {name}"] = server
    relay.sever("one")
    assert clients["one"].recv(1) == b""
    clients["server of other"].sendall(b"still here")
    assert clients["other"].recv(10) == b"still here"
    with socket.create_connection(addresses["one"], timeout=PATIENCE_S):
        listener.accept()[0].close()
    for each in clients.values():
        each.close()


def test_swallowed_connections_stay_open_and_lead_nowhere(relay: Relay, listener: socket.socket) -> None:
    address = relay.add("one", backend=listener.getsockname)
    with socket.create_connection(address, timeout=PATIENCE_S) as old:
        old.sendall(b"?")
        server, _ = listener.accept()
        assert server.recv(1) == b"?"
        assert relay.swallow("one") == 1
        with server, contextlib.suppress(ConnectionResetError):
            assert server.recv(1) == b"", "the server has lost its client"
        old.sendall(b"x" * MEGABYTE)  # is read, so the sender notices nothing
        old.settimeout(0.5)
        with pytest.raises(TimeoutError):
            old.recv(1)
        with socket.create_connection(address, timeout=PATIENCE_S) as new:
            new.sendall(b"!")
            with listener.accept()[0] as server:
                assert server.recv(1) == b"!"
    assert eventually(lambda: open_connections(relay) == 0)


def test_closing_ends_connections_listeners_and_the_thread(relay: Relay, listener: socket.socket) -> None:
    with in_front_of(relay, listener) as client, listener.accept()[0]:
        address = client.getpeername()
        relay.close()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=PATIENCE_S)
    assert "relay" not in {thread.name for thread in threading.enumerate()}
    relay.close()


def test_a_relay_listens_on_the_given_port_and_on_this_machine_only(relay: Relay) -> None:
    port = free_port()
    assert relay.add("test", listen_port=port, backend=lambda: None) == (HOST, port)


def test_a_port_that_is_taken_is_an_error(relay: Relay, listener: socket.socket) -> None:
    with pytest.raises(PortTakenError):
        relay.add("test", listen_port=listener.getsockname()[1], backend=lambda: None)


def test_a_name_is_used_once(relay: Relay) -> None:
    relay.add("test", backend=lambda: None)
    with pytest.raises(ValueError, match="a relay named test already"):
        relay.add("test", backend=lambda: None)


def test_starttls_needs_a_certificate(relay: Relay) -> None:
    with pytest.raises(ValueError, match="needs a TLS context"):
        relay.add("test", backend=lambda: None, starttls="postgres")
