"""The first bytes of a Postgres connection."""

import asyncio
import struct

import pytest

from local.servers.postgres_door import CANCEL_REQUEST, GSS_ENCRYPTION_REQUEST, SSL_REQUEST, Door

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


class Visit:
    """A door, and what became of the client that came to it."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.passed_on = b""
        self.inside: set[asyncio.Transport] = set()
        self.door = Door(
            upgrade=lambda _: self.transport.done.append("upgrade"), pass_on=self._pass_on, everyone=self.inside
        )
        self.door.connection_made(self.transport)

    def _pass_on(self, _: asyncio.Transport, received: bytes) -> None:
        self.passed_on = received

    def says(self, *chunks: bytes) -> "Visit":
        for chunk in chunks:
            self.door.data_received(chunk)
        return self


@pytest.mark.parametrize("chunks", [(SSL,), (SSL[:3], SSL[3:])])
def test_a_request_for_tls_is_granted_once_reading_has_paused(chunks: tuple[bytes, ...]) -> None:
    visit = Visit().says(*chunks)
    assert (visit.transport.sent, visit.transport.done) == (b"S", ["pause", "upgrade"])
    assert not visit.inside


def test_a_request_for_kerberos_is_declined_and_then_tls_may_be_asked_for() -> None:
    visit = Visit().says(GSS)
    assert visit.transport.sent == b"N"
    assert visit.says(SSL).transport.sent == b"NS"


def test_clear_text_after_the_request_for_tls_ends_the_connection() -> None:
    visit = Visit().says(SSL + b"x")
    assert (visit.transport.sent, visit.transport.done) == (b"", ["abort"])


def test_a_client_that_does_not_ask_for_tls_is_told_so_as_postgres_would() -> None:
    visit = Visit().says(STARTUP)
    kind, length = struct.unpack_from("!ci", visit.transport.sent)
    assert (kind, length) == (b"E", len(visit.transport.sent) - 1)
    assert visit.transport.sent[5:].split(b"\0")[:3] == [b"SFATAL", b"VFATAL", b"C28000"]
    assert visit.transport.done == ["close"]


@pytest.mark.parametrize("chunks", [(CANCEL,), (CANCEL[:12], CANCEL[12:])])
def test_a_request_to_cancel_is_passed_on_in_the_clear(chunks: tuple[bytes, ...]) -> None:
    visit = Visit().says(*chunks)
    assert (visit.passed_on, visit.transport.sent, visit.transport.done) == (CANCEL, b"", [])


def test_a_request_to_cancel_of_another_length_is_refused() -> None:
    visit = Visit().says(struct.pack("!ii", 200, CANCEL_REQUEST) + bytes(192))
    assert (visit.passed_on, visit.transport.done) == (b"", ["close"])


def test_a_client_that_leaves_before_it_asks_is_forgotten() -> None:
    visit = Visit()
    assert visit.inside == {visit.transport}
    visit.door.connection_lost(None)
    assert not visit.inside
