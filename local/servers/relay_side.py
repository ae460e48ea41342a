"""One end of a relayed connection: writes whatever it receives to the other end."""

import asyncio
from collections.abc import Callable
from typing import cast

CLOSE_TIMEOUT_S = 30.0  # for a reader that takes no more of what is left for it
LINGER_S = 1.0  # for a client that was turned away to read why


class Side(asyncio.Protocol):
    """An accepted or opened connection. Until it is joined with the other end it reads hardly anything.

    `connected` is called with it when it is ready to be joined; `everyone` holds it while it is open.
    """

    transport: asyncio.Transport

    def __init__(self, everyone: set["Side"], connected: Callable[["Side"], None] | None = None) -> None:
        self._everyone = everyone
        self._connected = connected
        self._peer: Side | None = None
        self._early: list[bytes] = []  # read before it was joined
        self._got_eof = False
        self._is_turned_away = False
        self.is_lost = False

    def join(self, other: "Side") -> None:
        """Let data pass between the two from now on."""
        self._peer, other._peer = other, self
        # Before anything is written, because writing may decide that reading must pause.
        self.transport.resume_reading()
        other.transport.resume_reading()
        self._catch_up()
        other._catch_up()

    def turn_away(self, message: bytes) -> None:
        """Close, having sent the message. What the client still sends is read first: else it may lose the message."""
        self._is_turned_away = True
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._everyone.add(self)
        # Not at once: until Python 3.12 a transport that is paused in here begins to read all the same, and for good.
        asyncio.get_running_loop().call_soon(self._wait_for_peer)
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.transport.write(data)
        elif not self._is_turned_away:
            self._early.append(data)

    def eof_received(self) -> bool:
        """True keeps the other direction open: a client may say all it has to say and then listen."""
        self._got_eof = True
        peer = self._peer
        if peer is None:
            return not self._is_turned_away and self.transport.can_write_eof()
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
        self._everyone.discard(self)
        if self._peer is not None:
            if exc is None:
                _close(self._peer.transport)
            else:
                self._peer.transport.abort()

    def pause_writing(self) -> None:
        """Our end takes no more for now: let the other end's sender wait too, instead of filling our memory."""
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.resume_reading()

    def _wait_for_peer(self) -> None:
        if self._peer is None and not self._is_turned_away:
            self.transport.pause_reading()

    def _catch_up(self) -> None:
        for chunk in self._early:
            self.data_received(chunk)
        self._early.clear()
        if self._got_eof:
            self.eof_received()


def _close(transport: asyncio.Transport) -> None:
    """Close once everything is written, but do not wait forever for that."""
    if not transport.is_closing() and transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)
    transport.close()
