"""One of the two connections that a relay joins: it writes what it receives to the other one."""

import asyncio
from collections.abc import Callable
from typing import cast

from local.servers.http_requests import Requests

CLOSE_TIMEOUT_S = 30.0  # for a peer that no longer reads what is left for it
LINGER_S = 1.0  # for a rejected client to read the reason


class Connection(asyncio.Protocol):
    """An accepted or opened connection, which reads next to nothing until it is joined with its peer.

    `on_open` is called with it when it is ready to be joined. `open_connections` holds it while it is open.
    `requests` decides which of a client's HTTP requests reach the peer; without it, everything does.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        open_connections: set["Connection"],
        on_open: Callable[["Connection"], None] | None = None,
        requests: Requests | None = None,
    ) -> None:
        self._open = open_connections
        self._on_open = on_open
        self._requests = requests
        self._peer: Connection | None = None
        self._early: list[bytes] = []  # read before it was joined
        self._got_eof = False
        self._is_made = False
        self._is_rejected = False
        self.is_lost = False

    def join(self, other: "Connection") -> None:
        """Let data pass between the two from now on."""
        self._peer, other._peer = other, self
        # Before anything is written, because writing may decide that reading must pause.
        self.transport.resume_reading()
        other.transport.resume_reading()
        self._catch_up()
        other._catch_up()

    def reject(self, message: bytes) -> None:
        """Send the message and close. Read what the client still sends first, or it may lose the message."""
        self._is_rejected = True
        self._early.clear()
        if not message:
            self.transport.close()
            return
        self.transport.write(message)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.abort)
        else:
            asyncio.get_running_loop().call_later(LINGER_S, self.transport.close)

    def swallow(self) -> None:
        """Stay connected to nothing: read and drop what comes, and answer nothing."""
        peer, self._peer = self._peer, None
        self._is_rejected = True
        if peer is not None:
            peer._peer = None
            peer.transport.abort()
        self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._is_made = True
        self._open.add(self)
        # Not at once: before Python 3.12 a transport that is paused here starts to read all the same, and never pauses.
        asyncio.get_running_loop().call_soon(self._wait_for_peer)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._pass_on(self._peer, data)
        elif not self._is_rejected:
            self._early.append(data)

    def eof_received(self) -> bool:
        """Return True to keep the other direction open: a client may send all it has and then read."""
        self._got_eof = True
        peer = self._peer
        if not self._is_made:  # TLS may tell of the end before the handshake is done
            return False
        if peer is None:
            return not self._is_rejected and self.transport.can_write_eof()
        if peer._got_eof:
            return False
        if not peer.transport.can_write_eof():  # TLS has no half-closed connections
            _close(peer.transport)
            return False
        if not peer.transport.is_closing():
            peer.transport.write_eof()
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._open.discard(self)
        if self._peer is not None:
            if exc is None:
                _close(self._peer.transport)
            else:
                self._peer.transport.abort()

    def pause_writing(self) -> None:
        """Let the peer's sender wait while this end accepts no more, instead of filling our memory."""
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.resume_reading()

    def _pass_on(self, peer: "Connection", data: bytes) -> None:
        answer = None
        if self._requests is not None:
            data, answer = self._requests.feed(data)
        if data:
            peer.transport.write(data)
        if answer is not None:
            self._peer = peer._peer = None
            _close(peer.transport)
            self.reject(answer)

    def _wait_for_peer(self) -> None:
        if self._peer is None and not self._is_rejected:
            self.transport.pause_reading()

    def _catch_up(self) -> None:
        early, self._early = self._early, []
        for chunk in early:
            self.data_received(chunk)
        if self._got_eof:
            self.eof_received()


def _close(transport: asyncio.Transport) -> None:
    """Close when everything is written, or after CLOSE_TIMEOUT_S."""
    if not transport.is_closing() and transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)
    transport.close()
