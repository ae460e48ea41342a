"""The functions' connection to the broker: TLS, a rotated password, an unreachable server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from local.servers.redis import Redis
from local.servers.relay import Relay
from local.servers.tls import Authority
from shared.broker import Broker
from shared.settings import BrokerSettings


class Secret:
    """A password that counts in `reads` how often it is read."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.reads = 0

    def __call__(self) -> str:
        self.reads += 1
        return self.value


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis", password="first").start()
    yield server
    server.stop()


def settings(host: str, port: int, *, tls: bool = False) -> BrokerSettings:
    return BrokerSettings(host=host, port=port, tls=tls, user="default", secret_arn="-")


def drop_connections(server: Redis) -> None:
    """Close the connections, as a failover or a long freeze of the function does."""
    with server.client() as admin:
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def test_the_password_is_read_once_for_many_ticks(server: Redis) -> None:
    secret = Secret("first")
    broker = Broker(settings(server.host, server.port), read_password=secret)
    assert broker.connect() is broker.connect()
    assert secret.reads == 1
    broker.close()


def test_a_connection_that_was_dropped_is_replaced(server: Redis) -> None:
    broker = Broker(settings(server.host, server.port), read_password=Secret("first"))
    broker.connect()
    drop_connections(server)
    assert broker.connect().ping()
    broker.close()


def test_a_connection_that_fell_silent_is_replaced(server: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.broker.ANSWER_TIMEOUT_S", 0.5)
    broker = Broker(settings(server.host, server.port), read_password=Secret("first"))
    broker.connect()
    with server.client() as admin:
        admin.client_pause(700)  # longer than the timeout of one attempt, shorter than two
    assert broker.connect().ping()
    broker.close()


def test_the_secret_is_read_again_after_a_rotation(server: Redis) -> None:
    secret = Secret("first")
    broker = Broker(settings(server.host, server.port), read_password=secret)
    broker.connect()
    secret.value = "second"
    server.set_password("second")
    assert broker.connect().ping()  # an authenticated connection stays open
    assert secret.reads == 1
    drop_connections(server)
    assert broker.connect().ping()
    assert secret.reads == 2
    broker.close()


def test_a_secret_that_is_wrong_is_read_once_more_and_then_reported(server: Redis) -> None:
    secret = Secret("wrong")
    broker = Broker(settings(server.host, server.port), read_password=secret)
    with pytest.raises(redis.AuthenticationError) as refused:
        broker.connect()
    assert secret.reads == 2
    assert "wrong" not in str(refused.value).replace("WRONGPASS", "")
    secret.value = "first"
    assert broker.connect().ping()  # the next tick recovers
    broker.close()


def test_tls_trusts_the_systems_authorities_and_checks_the_name(
    server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path / "tls")
    relay = Relay()
    try:
        _, port = relay.add("redis", backend=lambda: (server.host, server.port), tls=authority.server_context())
        broker = Broker(settings("localhost", port, tls=True), read_password=Secret("first"))
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            broker.connect()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_bundle))
        assert broker.connect().ping()
        broker.close()

        other = Authority(tmp_path / "other", names=("redis.internal",))
        monkeypatch.setenv("SSL_CERT_FILE", str(other.ca_bundle))
        _, port = relay.add("other", backend=lambda: (server.host, server.port), tls=other.server_context())
        broker = Broker(settings("localhost", port, tls=True), read_password=Secret("first"))
        with pytest.raises(redis.ConnectionError, match=r"[Hh]ostname mismatch"):
            broker.connect()
        broker.close()
    finally:
        relay.close()
