"""Serves the logs of running tasks to the webserver: `python -m agent.log_files`, with a listener as standard input.

It takes the place of Airflow's own log server, whose requests it answers. That one imports Airflow, and opens files by
a path that it has checked before: a task can write to the folder, and could exchange the file for a link in between.
"""

from __future__ import annotations

import io
import os
import socket
import socketserver
import stat
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import jwt

from agent import variables
from agent.opening import open_below

PREFIX = "/log/"
AUDIENCE = "task-instance-logs"
ALGORITHM = "HS512"
CLAIMS = ("aud", "exp", "iat", "nbf")
LEEWAY_S = 30  # by which the clocks of webserver and worker may differ, as Airflow has it
# Requests that are answered at once. Tasks can connect as well: more wait, and none takes memory.
MAX_REQUESTS = 16
MAX_REQUEST_BYTES = 16 * 1024
TIMEOUT_S = 5  # of each wait for a client; the webserver waits as long


class LogServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves the files below `folder` to clients that know `key`, through a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, *, folder: Path, key: str) -> None:
        super().__init__(listener.getsockname(), LogRequest, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.folder, self.key = folder, key
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, as soon as fewer than MAX_REQUESTS are being answered."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then let another request in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: it is the client that went away or was too slow, and a task could be such a client often."""


class LogRequest(BaseHTTPRequestHandler):
    """Answers one request for a file, and closes the connection."""

    timeout = TIMEOUT_S
    server: LogServer
    server_version = "log-server"
    sys_version = ""

    def setup(self) -> None:
        """Read the head of the request, at most MAX_REQUEST_BYTES of it: lines and headers that are longer are cut."""
        super().setup()
        head = bytearray()
        while len(head) < MAX_REQUEST_BYTES and not head.endswith((b"\r\n\r\n", b"\n\n")):
            line = self.rfile.readline(MAX_REQUEST_BYTES - len(head))
            if not line:
                break
            head += line
        self.rfile = io.BytesIO(head)

    def do_GET(self) -> None:
        """Answer with the file, as long as it is now; 403 without a token for it, 404 if there is none."""
        path = unquote(self.path.partition("?")[0]).removeprefix(PREFIX)
        if not self._may_read(path):
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        try:
            descriptor = open_below(str(self.server.folder), path)
        except (OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with os.fdopen(descriptor, "rb") as file:
            self._send(file, size=status.st_size)

    def log_message(self, *_: Any) -> None:
        """Log no request: browsers ask every few seconds."""

    def _may_read(self, path: str) -> bool:
        """Whether the webserver has signed a token for this file, which is valid for seconds."""
        token = self.headers.get("Authorization", "")
        try:
            claims = jwt.decode(
                token,
                self.server.key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                leeway=LEEWAY_S,
                options={"require": list(CLAIMS)},
            )
        except jwt.InvalidTokenError:
            return False
        return bool(claims.get("filename") == path)

    def _send(self, file: BinaryIO, *, size: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if size:
            self.connection.sendfile(file, count=size)


def main() -> None:
    """Serve until the container ends."""
    listener = socket.socket(fileno=os.dup(0))
    folder = Path(os.environ[variables.LOG_FOLDER])
    with LogServer(listener, folder=folder, key=os.environ[variables.LOG_SERVER_KEY]) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
