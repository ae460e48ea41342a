"""Relays TCP on 127.0.0.1: TLS in front of plain servers, stable addresses in front of tasks that come and go."""

import asyncio
import errno
import ssl
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, TypeVar

from local.servers.http_requests import Answer, Requests
from local.servers.ports import HOST, PortTakenError
from local.servers.postgres_tls import TlsNegotiation
from local.servers.relay_connection import Connection
from local.servers.threads import report_exception

Address = tuple[str, int]
Backend = Callable[[], Address | None]

CONNECT_TIMEOUT_S = 5.0
TLS_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
BACKLOG = 512  # a starting stack opens some hundred connections at once
HTTP_503 = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Result = TypeVar("Result")


class Relay:
    """Any number of relays, in one thread, until `close()`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_report)
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[Connection] = set()
        self._negotiating: set[asyncio.Transport] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def add(
        self,
        name: str,
        *,
        listen_port: int | None = None,
        backend: Backend,
        tls: ssl.SSLContext | None = None,
        starttls: Literal["postgres"] | None = None,
        unavailable: bytes = b"",
        answer: Answer | None = None,
    ) -> Address:
        """Listen, and relay each connection to what `backend()` returns at that moment; return the listener's address.

        The relay's thread calls `backend`, which must return at once. When it returns None, or an address on which
        nothing listens, the client gets `unavailable` (such as HTTP_503) and the connection is closed. With `tls`
        clients speak TLS from the first byte; with `starttls` as well they must ask for it first, in that protocol.
        With `answer` clients speak HTTP/1.1, and only the requests for which it returns None are relayed.
        Raise PortTakenError for a taken port, ValueError for a taken name or for `starttls` without `tls`.
        """
        if name in self._servers:
            raise ValueError(f"there is a relay named {name} already")
        if starttls is not None and tls is None:
            raise ValueError(f"{name}: starttls needs a TLS context")
        connect = partial(self._connect, backend=backend, unavailable=unavailable)
        factory: Callable[[], asyncio.Protocol]
        if starttls is not None and tls is not None:
            factory = partial(
                TlsNegotiation,
                start_tls=partial(self._start_tls, tls=tls, connect=connect),
                forward=partial(self._forward, connect=connect),
                open_transports=self._negotiating,
            )
            tls = None
        else:
            factory = partial(self._accept, connect=connect, answer=answer)
        try:
            server = self._run(self._listen(factory, port=listen_port or 0, tls=tls))
        except OSError as error:
            if error.errno == errno.EADDRINUSE and listen_port is not None:
                raise PortTakenError(listen_port) from None
            raise
        self._servers[name] = server
        host, port = server.sockets[0].getsockname()
        return host, port

    def sever(self, name: str) -> None:
        """End every connection that was made to this listener, which keeps listening."""
        self._run(self._sever(self._servers[name].sockets[0].getsockname()))

    def swallow(self, name: str) -> int:
        """Let every connection that was made to this listener stay open and lead nowhere; return how many there are.

        As when a host vanishes: what clients send is read and dropped, and nothing answers. New connections are
        relayed as ever.
        """
        return self._run(self._swallow(self._servers[name].sockets[0].getsockname()))

    def close(self) -> None:
        """End all listeners, all connections and the thread."""
        if self._loop.is_closed():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen(
        self, factory: Callable[[], asyncio.Protocol], *, port: int, tls: ssl.SSLContext | None
    ) -> asyncio.Server:
        return await self._loop.create_server(
            factory,
            HOST,
            port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if tls is None else TLS_TIMEOUT_S,
            ssl_shutdown_timeout=None if tls is None else TLS_TIMEOUT_S,
        )

    async def _sever(self, address: Address) -> None:
        for connection in self._made_to(address):
            connection.transport.abort()

    async def _swallow(self, address: Address) -> int:
        found = self._made_to(address)
        for connection in found:
            connection.swallow()
        return len(found)

    def _made_to(self, address: Address) -> list[Connection]:
        return [each for each in self._connections if each.transport.get_extra_info("sockname") == address]

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for task in self._tasks:
            task.cancel()
        for transport in [*self._negotiating, *(connection.transport for connection in self._connections)]:
            transport.abort()
        deadline = self._loop.time() + CLOSE_TIMEOUT_S
        while (self._tasks or self._connections or self._negotiating) and self._loop.time() < deadline:
            await asyncio.sleep(0)
        await self._loop.shutdown_default_executor()  # its threads resolve the names of backends

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)  # the loop itself has only a weak reference
        task.add_done_callback(self._tasks.discard)

    def _accept(self, *, connect: Callable[[Connection], None], answer: Answer | None) -> Connection:
        return Connection(self._connections, connect, None if answer is None else Requests(answer))

    def _connect(self, client: Connection, *, backend: Backend, unavailable: bytes) -> None:
        self._start(self._join(client, backend=backend, unavailable=unavailable))

    async def _join(self, client: Connection, *, backend: Backend, unavailable: bytes) -> None:
        server = None
        try:
            server = await self._open(backend)
        finally:  # also when `backend` raised, which the loop reports afterwards
            if server is None:
                client.reject(unavailable)
        if server is not None:
            if client.is_lost:
                server.transport.abort()
            else:
                client.join(server)

    async def _open(self, backend: Backend) -> Connection | None:
        """Connect to the backend; return None when nothing listens there."""
        address = backend()
        if address is None:
            return None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, server = await self._loop.create_connection(partial(Connection, self._connections), *address)
        except OSError:  # TimeoutError is one too
            return None
        return server

    def _start_tls(
        self, transport: asyncio.Transport, *, tls: ssl.SSLContext, connect: Callable[[Connection], None]
    ) -> None:
        self._start(self._encrypt(transport, tls=tls, connect=connect))

    async def _encrypt(
        self, transport: asyncio.Transport, *, tls: ssl.SSLContext, connect: Callable[[Connection], None]
    ) -> None:
        connection = Connection(self._connections, connect)
        try:
            encrypted = await self._loop.start_tls(
                transport,
                connection,
                tls,
                server_side=True,
                ssl_handshake_timeout=TLS_TIMEOUT_S,
                ssl_shutdown_timeout=TLS_TIMEOUT_S,
            )
        except OSError:  # the client does not trust this server, or left; asyncio has closed the connection
            return
        if encrypted is not None and not connection.is_lost:
            connection.connection_made(encrypted)

    def _forward(self, transport: asyncio.Transport, received: bytes, *, connect: Callable[[Connection], None]) -> None:
        connection = Connection(self._connections, connect)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(received)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report what a connection's task or callback raised; only log a broken connection."""
    error = context.get("exception")
    if error is None or isinstance(error, OSError):
        loop.default_exception_handler(context)
    else:
        report_exception(error)
