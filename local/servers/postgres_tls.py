"""Negotiates TLS on the first bytes of a Postgres connection, and insists on it, as RDS does with rds.force_ssl."""

import asyncio
import struct
from collections.abc import Callable
from typing import cast

# Protocol "versions" that are really requests (src/include/libpq/pqcomm.h).
CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSS_ENCRYPTION_REQUEST = 80877104
HEADER = struct.Struct("!ii")  # length of the packet, itself included; request
CANCEL_LENGTH = 16
SQLSTATE_INVALID_AUTHORIZATION = "28000"  # what Postgres answers when no line of pg_hba.conf allows a connection
REFUSAL = "no pg_hba.conf entry for this host, no encryption: the server requires SSL"


class TlsNegotiation(asyncio.Protocol):
    """Calls `start_tls(transport)` for a client that asked for TLS, with its reading paused.

    A request to cancel a query is forwarded in the clear, with `forward(transport, request)`: clients before
    Postgres 17 send it in the clear even when they use TLS, and Postgres itself accepts that. `open_transports` holds
    the transport until either happens, or until the client leaves.
    """

    def __init__(
        self,
        *,
        start_tls: Callable[[asyncio.Transport], None],
        forward: Callable[[asyncio.Transport, bytes], None],
        open_transports: set[asyncio.Transport],
    ) -> None:
        self._start_tls = start_tls
        self._forward = forward
        self._open = open_transports
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < HEADER.size:
            return
        length, request = HEADER.unpack_from(self._received)
        if request == GSS_ENCRYPTION_REQUEST:
            self._transport.write(b"N")
            self._received = self._received[HEADER.size :]
            self.data_received(b"")
        elif request == SSL_REQUEST and len(self._received) > HEADER.size:
            # Bytes sent in the clear must not be taken for the first ones of the encrypted stream (CVE-2021-23214).
            self._transport.abort()
        elif request == SSL_REQUEST:
            self._transport.pause_reading()  # what comes next is for TLS to read
            self._transport.write(b"S")
            self._hand_over()
            self._start_tls(self._transport)
        elif request != CANCEL_REQUEST or length != CANCEL_LENGTH:
            self._transport.write(error_response(SQLSTATE_INVALID_AUTHORIZATION, REFUSAL))
            self._transport.close()
        elif len(self._received) >= CANCEL_LENGTH:
            self._hand_over()
            self._forward(self._transport, self._received[:CANCEL_LENGTH])

    def _hand_over(self) -> None:
        self._open.discard(self._transport)


def error_response(sqlstate: str, message: str) -> bytes:
    """Return a Postgres ErrorResponse message of severity FATAL."""
    fields = b"".join(
        f"{kind}{text}\0".encode() for kind, text in zip("SVCM", ("FATAL", "FATAL", sqlstate, message), strict=True)
    )
    return b"E" + struct.pack("!i", 4 + len(fields) + 1) + fields + b"\0"
