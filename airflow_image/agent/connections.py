"""Connections to the broker's Redis that do not hang, and do not stay with a server that has become a replica."""

from __future__ import annotations

import socket
from typing import Any

import redis
from redis.exceptions import MasterDownError, ReadOnlyError

# Redis answers within milliseconds. A frozen one, or one whose host is gone, answers never.
SOCKET_TIMEOUT_S = 5.0
# A connection without traffic ends some 20 s after its other end has vanished. Not every system has these options.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
KEEPALIVE = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}


class _LeavesReplicas:
    """Connects again before the next command after a server said that it is a replica.

    After a failover the broker's name leads to the new primary; an open connection stays with the old one.
    """

    def __init__(self, *args: Any, health_check_interval: int = 0, **options: Any) -> None:
        # kombu looks for this argument by name.
        super().__init__(*args, health_check_interval=health_check_interval, **options)  # type: ignore[call-arg]
        self._is_of_replica = False

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except (ReadOnlyError, MasterDownError):
            self._is_of_replica = True  # not closed yet: replies to other commands may follow
            raise

    def send_packed_command(self, *args: Any, **options: Any) -> None:
        if self._is_of_replica:
            self._is_of_replica = False
            self.disconnect()  # type: ignore[attr-defined]
        super().send_packed_command(*args, **options)  # type: ignore[misc]


class Connection(_LeavesReplicas, redis.Connection):
    """A connection without TLS."""


class SSLConnection(_LeavesReplicas, redis.SSLConnection):
    """A connection with TLS."""


def class_for(url: str) -> type[redis.Connection]:
    """Return the class of connections to this address."""
    return SSLConnection if url.startswith("rediss:") else Connection


def install() -> None:
    """Let kombu use these connections wherever it talks to Redis. Transport options override the times."""
    from kombu.transport import redis as transport

    channel = transport.Channel
    channel.connection_class, channel.connection_class_ssl = Connection, SSLConnection
    channel.socket_timeout = channel.socket_connect_timeout = SOCKET_TIMEOUT_S
    channel.socket_keepalive, channel.socket_keepalive_options = True, KEEPALIVE
