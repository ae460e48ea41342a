"""One end of a relayed connection."""

import asyncio

from local.servers.relay_side import LINGER_S, Side


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


class Connection:
    """A side with a transport, after the loop has turned once."""

    def __init__(self) -> None:
        self.open: set[Side] = set()
        self.transport = Transport()
        self.side = Side(self.open)

    async def made(self) -> "Connection":
        self.side.connection_made(self.transport)
        assert self.transport.done == []
        await asyncio.sleep(0)
        self.transport.done.clear()
        return self


def test_it_stops_reading_until_it_is_joined_but_only_after_its_transport_began_to_read() -> None:
    async def check() -> None:
        connection = Connection()
        connection.side.connection_made(connection.transport)
        assert connection.transport.done == []
        await asyncio.sleep(0)
        assert connection.transport.done == ["pause"]

    asyncio.run(check())


def test_what_both_sides_said_before_they_were_joined_is_passed_on() -> None:
    async def check() -> None:
        client, server = await Connection().made(), await Connection().made()
        client.side.data_received(b"question")
        assert client.side.eof_received() is True
        server.side.data_received(b"greeting")
        client.side.join(server.side)
        assert server.transport.done == ["resume", "question", "EOF"]
        assert client.transport.done == ["resume", "greeting"]

    asyncio.run(check())


def test_a_clean_end_of_one_closes_the_other_and_an_abrupt_one_aborts_it() -> None:
    async def check() -> None:
        for error, what in ((None, "close"), (ConnectionResetError(), "abort")):
            client, server = await Connection().made(), await Connection().made()
            client.side.join(server.side)
            client.side.connection_lost(error)
            assert server.transport.done == ["resume", what]
            assert (client.side.is_lost, client.open) == (True, set())

    asyncio.run(check())


def test_a_client_that_is_turned_away_has_time_to_read_why() -> None:
    async def check() -> None:
        client = await Connection().made()
        client.side.turn_away(b"why")
        client.side.data_received(b"still talking")
        await asyncio.sleep(0)
        assert client.transport.done == ["why", "resume", "EOF"]
        await asyncio.sleep(LINGER_S + 0.1)
        assert client.transport.done[-1] == "abort"

    asyncio.run(check())
