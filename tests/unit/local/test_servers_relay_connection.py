"""One end of a relayed connection."""

import asyncio

from local.servers.relay_connection import LINGER_S, Connection


class Transport(asyncio.Transport):
    """Notes what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.done.append(data.decode())

    def write_eof(self) -> None:
        self.done.append("EOF")

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")


class Harness:
    """A connection with a transport, after one turn of the loop."""

    def __init__(self) -> None:
        self.open: set[Connection] = set()
        self.transport = Transport()
        self.connection = Connection(self.open)

    async def made(self) -> "Harness":
        self.connection.connection_made(self.transport)
        assert self.transport.done == []
        await asyncio.sleep(0)
        self.transport.done.clear()
        return self


def test_a_connection_stops_reading_until_it_is_joined_but_only_after_its_transport_began_to_read() -> None:
    async def check() -> None:
        harness = Harness()
        harness.connection.connection_made(harness.transport)
        assert harness.transport.done == []
        await asyncio.sleep(0)
        assert harness.transport.done == ["pause"]

    asyncio.run(check())


def test_bytes_sent_before_the_join_are_relayed_both_ways() -> None:
    async def check() -> None:
        client, server = await Harness().made(), await Harness().made()
        client.connection.data_received(b"question")
        assert client.connection.eof_received() is True
        server.connection.data_received(b"greeting")
        client.connection.join(server.connection)
        assert server.transport.done == ["resume", "question", "EOF"]
        assert client.transport.done == ["resume", "greeting"]

    asyncio.run(check())


def test_a_clean_end_of_one_connection_closes_the_other_and_an_abrupt_one_aborts_it() -> None:
    async def check() -> None:
        for error, what in ((None, "close"), (ConnectionResetError(), "abort")):
            client, server = await Harness().made(), await Harness().made()
            client.connection.join(server.connection)
            client.connection.connection_lost(error)
            assert server.transport.done == ["resume", what]
            assert (client.connection.is_lost, client.open) == (True, set())

    asyncio.run(check())


def test_a_rejected_client_has_time_to_read_why() -> None:
    async def check() -> None:
        client = await Harness().made()
        client.connection.reject(b"why")
        client.connection.data_received(b"still talking")
        await asyncio.sleep(0)
        assert client.transport.done == ["why", "resume", "EOF"]
        await asyncio.sleep(LINGER_S + 0.1)
        assert client.transport.done[-1] == "abort"

    asyncio.run(check())


def test_an_end_before_the_connection_is_made_closes_it() -> None:
    """TLS reports the end of a client that leaves during the handshake."""
    assert Connection(set()).eof_received() is False
