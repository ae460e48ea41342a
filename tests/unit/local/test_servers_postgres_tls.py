"""The first bytes of a Postgres connection."""

import asyncio
import struct

import pytest

from local.servers.postgres_tls import CANCEL_REQUEST, GSS_ENCRYPTION_REQUEST, SSL_REQUEST, TlsNegotiation

PROTOCOL_3_0 = 196608
SSL = struct.pack("!ii", 8, SSL_REQUEST)
GSS = struct.pack("!ii", 8, GSS_ENCRYPTION_REQUEST)
CANCEL = struct.pack("!iiii", 16, CANCEL_REQUEST, 4711, 42)
STARTUP = struct.pack("!ii", 17, PROTOCOL_3_0) + b"user\0me\0\0"


class Transport(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.sent = b""

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.sent += data

    def pause_reading(self) -> None:
        self.done.append("pause")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


class Client:
    """A client's connection, and what the server did with it."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.forwarded = b""
        self.open: set[asyncio.Transport] = set()
        self.negotiation = TlsNegotiation(
            start_tls=lambda _: self.transport.done.append("start TLS"),
            forward=self._forward,
            open_transports=self.open,
        )
        self.negotiation.connection_made(self.transport)

    def _forward(self, _: asyncio.Transport, received: bytes) -> None:
        self.forwarded = received

    def says(self, *chunks: bytes) -> "Client":
        for chunk in chunks:
            self.negotiation.data_received(chunk)
        return self


@pytest.mark.parametrize("chunks", [(SSL,), (SSL[:3], SSL[3:])])
def test_a_request_for_tls_is_granted_once_reading_has_paused(chunks: tuple[bytes, ...]) -> None:
    client = Client().says(*chunks)
    assert (client.transport.sent, client.transport.done) == (b"S", ["pause", "start TLS"])
    assert not client.open


def test_a_request_for_kerberos_is_declined_and_then_tls_may_be_asked_for() -> None:
    client = Client().says(GSS)
    assert client.transport.sent == b"N"
    assert client.says(SSL).transport.sent == b"NS"


def test_clear_text_after_the_request_for_tls_ends_the_connection() -> None:
    client = Client().says(SSL + b"x")
    assert (client.transport.sent, client.transport.done) == (b"", ["abort"])


def test_a_client_that_does_not_ask_for_tls_is_told_so_as_postgres_would() -> None:
    client = Client().says(STARTUP)
    kind, length = struct.unpack_from("!ci", client.transport.sent)
    assert (kind, length) == (b"E", len(client.transport.sent) - 1)
    assert client.transport.sent[5:].split(b"\0")[:3] == [b"SFATAL", b"VFATAL", b"C28000"]
    assert client.transport.done == ["close"]


@pytest.mark.parametrize("chunks", [(CANCEL,), (CANCEL[:12], CANCEL[12:])])
def test_a_request_to_cancel_is_forwarded_in_the_clear(chunks: tuple[bytes, ...]) -> None:
    client = Client().says(*chunks)
    assert (client.forwarded, client.transport.sent, client.transport.done) == (CANCEL, b"", [])


def test_a_request_to_cancel_of_another_length_is_refused() -> None:
    client = Client().says(struct.pack("!ii", 200, CANCEL_REQUEST) + bytes(192))
    assert (client.forwarded, client.transport.done) == (b"", ["close"])


def test_a_client_that_leaves_before_it_asks_is_forgotten() -> None:
    client = Client()
    assert client.open == {client.transport}
    client.negotiation.connection_lost(None)
    assert not client.open
