"""TCP ports of 127.0.0.1 that no other process takes, even while the server that uses one is down."""

import errno
import os
import secrets
import socket
import weakref
from pathlib import Path

from project.errors import CommandError

HOST = "127.0.0.1"
# Below are the ports that people know by heart; the last one is TCP's.
FIRST_PORT, LAST_PORT = 20_000, 65_535
OUTGOING_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_OUTGOING_RANGE = (32_768, 65_535)  # Linux's default and IANA's dynamic ports
ATTEMPTS = 100


class PortTakenError(CommandError):
    """Another process has the port."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} on {HOST} is taken by another process")
        self.port = port


class Port:
    """A port that belongs to this process until `release()`, or until this object or the process ends.

    A socket that is bound and does not listen holds it. The kernel refuses connections to such a port, uses it for no
    outgoing connection and lets no other `Port` have it. A server that sets SO_REUSEADDR before it binds, as Redis,
    Postgres, asyncio, http.server, uvicorn and Tornado do, may listen on it beside the holder, as often as it starts.
    """

    def __init__(self, number: int) -> None:
        """Raises PortTakenError when any socket is bound to the port."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
            try:
                holder.bind((HOST, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise PortTakenError(number) from None
            # Not before bind(), which would then share the port of another holder.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.number = number
            self._close = weakref.finalize(self, os.close, holder.detach())

    def release(self) -> None:
        """Let other processes have the port. A server that listens on it goes on."""
        self._close()


def reserve() -> Port:
    """Reserve a port outside the range of outgoing connections. Raises CommandError when it finds none."""
    choices = numbers()
    for _ in range(ATTEMPTS):
        try:
            return Port(secrets.choice(choices))
        except PortTakenError:
            continue
    raise CommandError(f"no free port on {HOST}: {ATTEMPTS} of the {len(choices)} that may be used are taken")


def free_port() -> int:
    """Reserve a port until this process ends; return its number. Nothing listens on it."""
    _kept.append(reserve())
    return _kept[-1].number


def numbers() -> list[int]:
    """Return the ports to choose from: all when the range of outgoing connections leaves none."""
    try:
        first, last = map(int, OUTGOING_RANGE.read_text().split())
    except (OSError, ValueError):
        first, last = USUAL_OUTGOING_RANGE
    every = range(FIRST_PORT, LAST_PORT + 1)
    return [number for number in every if not first <= number <= last] or list(every)


_kept: list[Port] = []
