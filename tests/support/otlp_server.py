"""A receiver of telemetry that is away, slow, or refuses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from local.servers.ports import HOST
from local.servers.threads import HttpServer

LONGEST_HANG_S = 60.0


@dataclass
class Receiver:
    """What it answers to each request: a status, or nothing at all. `paths`: of the requests that came."""

    status: int | None
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def otlp_server(status: int | None = 200) -> Iterator[Receiver]:
    """Serve until the block ends. `status` None: connections are accepted, and no request is answered."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.paths.append(self.path)
            receiver.headers.append(dict(self.headers.items()))
            receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            if receiver.status is None:
                closing.wait(LONGEST_HANG_S)
                return
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = Receiver(status=status)
    server = HttpServer(Handler, name="receiver")
    receiver.url = f"http://{HOST}:{server.server_port}"
    try:
        yield receiver
    finally:
        closing.set()
        server.close()
