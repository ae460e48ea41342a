"""Reserve TCP ports of loopback addresses, which no other process takes even while the server that uses one is down."""

import errno
import os
import secrets
import socket
import weakref
from collections.abc import Sequence
from pathlib import Path

from project.errors import CommandError

HOST = "127.0.0.1"
# Well-known servers use the ports below; TCP has none above.
FIRST_PORT, LAST_PORT = 20_000, 65_535
OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_OUTGOING_RANGE = (32_768, 65_535)  # covers Linux's default, up to 60,999, and IANA's dynamic ports
ATTEMPTS = 100


class PortTakenError(CommandError):
    """Another process has the port."""

    def __init__(self, port: int, host: str = HOST) -> None:
        super().__init__(f"port {port} on {host} is taken by another process")
        self.port = port


class Port:
    """A port that this process reserves until `release()`, or until this object or the process ends.

    A socket that is bound and does not listen holds it. The kernel refuses connections to such a port, does not use it
    for outgoing connections and does not give it to another `Port`. A server that sets SO_REUSEADDR before it binds
    can listen on it beside the holder whenever it starts: Redis, Postgres, asyncio, http.server, uvicorn, Tornado.
    """

    def __init__(self, number: int, host: str = HOST) -> None:
        """Reserve the port of the address `host`. Raise PortTakenError when any socket is bound to it."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
            try:
                holder.bind((host, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise PortTakenError(number, host) from None
            # After bind(), which would otherwise share the port of another holder.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.number = number
            self._close = weakref.finalize(self, os.close, holder.detach())

    def release(self) -> None:
        """Give the port back. A server that listens on it keeps it until it ends."""
        self._close()


def reserve() -> Port:
    """Reserve a port outside the range of outgoing connections. Raise CommandError when none is found."""
    choices = numbers()
    for _ in range(ATTEMPTS):
        try:
            return Port(secrets.choice(choices))
        except PortTakenError:
            continue
    raise CommandError(f"no free port on {HOST}: all {ATTEMPTS} ports that were tried are taken")


class Address:
    """A loopback address that no other `Address` of any process has, until `release()`.

    Each of `ports`, which servers are going to use, is reserved: they stand for the address.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        """Choose the address. Raise CommandError when none is found."""
        for _ in range(ATTEMPTS):
            # All of 127.0.0.0/8 is loopback; of its first part, other programs use some.
            self.host = f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
            self._ports: list[Port] = []
            try:
                for number in ports:
                    self._ports.append(Port(number, self.host))
            except PortTakenError:
                self.release()
                continue
            return
        raise CommandError(f"no free loopback address: all {ATTEMPTS} that were tried are taken")

    def release(self) -> None:
        """Give the address back."""
        for port in self._ports:
            port.release()


def free_port() -> int:
    """Reserve a port until this process ends; return its number. Nothing listens on it."""
    _kept.append(reserve())
    return _kept[-1].number


def numbers() -> list[int]:
    """Return the ports to choose from: all of them when the range of outgoing connections leaves none."""
    try:
        first, last = map(int, OUTGOING_RANGE.read_text().split())
    except (OSError, ValueError):
        first, last = USUAL_OUTGOING_RANGE
    every = range(FIRST_PORT, LAST_PORT + 1)
    return [number for number in every if not first <= number <= last] or list(every)


_kept: list[Port] = []
