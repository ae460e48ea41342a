"""The ASGI application behind the webserver's two ports: the port of a request decides which application it reaches."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Set
from dataclasses import dataclass
from typing import Any

from agent.web.paths import is_allowed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Lifespan = Callable[[], contextlib.AbstractAsyncContextManager[Any]]
Ready = Callable[[Application], Awaitable[None]]

NOT_FOUND = b'{"detail":"Not Found"}'


@dataclass(frozen=True, kw_only=True)
class Listener:
    """What one port serves: an application, and the first segments of the paths that it answers."""

    port: int
    application: Application
    allowed: Set[str]
    root: str = ""


class Listeners:
    """Passes each request to the application of its port; answers 404 to every path that is not allowed there.

    The port is the one of the socket that the request came in on: nothing in the request can change it. The server
    begins to listen when `ready`, which gets the application to try, has returned.
    """

    def __init__(self, *listeners: Listener, lifespans: tuple[Lifespan, ...], ready: Ready) -> None:
        self._listeners = {listener.port: listener for listener in listeners}
        self._lifespans, self._ready = lifespans, ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request or the server's start and end, as ASGI defines them."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and (listener := self._find(scope)) is not None:
            await listener.application(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send)
        else:  # Airflow has no web sockets
            await send({"type": "websocket.close"})

    def _find(self, scope: Scope) -> Listener | None:
        server = scope.get("server")
        listener = self._listeners.get(server[1]) if server else None
        if listener is None:
            return None
        # Both: a server may have decoded the one from the other in its own way.
        raw = scope.get("raw_path") or b""
        paths = (scope["path"], raw.decode("latin-1"))
        return listener if all(is_allowed(p, allowed=listener.allowed, root=listener.root) for p in paths) else None

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with contextlib.AsyncExitStack() as stack:
            for lifespan in self._lifespans:
                await stack.enter_async_context(lifespan())
            await self._ready(self)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(NOT_FOUND)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": NOT_FOUND})
