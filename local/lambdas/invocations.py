"""Serves Lambda's Invoke for the deployed functions, so that another terminal can call them with any AWS SDK."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.lambdas.function import Function, InvocationFailed
from local.servers.threads import HttpServer

log = logging.getLogger(__name__)

INVOKE = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


class Invocations:
    """The server. Its invocations run in their own processes, beside those of the rules, as on Lambda."""

    def __init__(self, function: Callable[[str], Function]) -> None:
        """Serve at once. `function` returns a function by its name and raises StopIteration if there is none."""
        self._function = function
        self._started: dict[str, Function] = {}
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, answer = server.answer(self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                log.debug(format, *args)

        self._server = HttpServer(Handler, name="invocations")
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving, and end the processes started for it."""
        self._server.close()
        for function in self._started.values():
            function.close()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and JSON, as Lambda answers a synchronous invocation."""
        asked = INVOKE.fullmatch(path)
        try:
            function = self._start(asked.group(1) if asked else "")
        except StopIteration:
            return HTTPStatus.NOT_FOUND, {"X-Amzn-ErrorType": "ResourceNotFoundException"}, {"Message": "no function"}
        try:
            return HTTPStatus.OK, {}, function.invoke(json.loads(body or b"{}"))
        except InvocationFailed as error:
            said = {"errorType": "InvocationFailed", "errorMessage": str(error)}
            return HTTPStatus.OK, {"X-Amz-Function-Error": "Unhandled"}, said

    def _start(self, name: str) -> Function:
        with self._lock:
            if name not in self._started:
                self._started[name] = self._function(name).in_second_process()
            return self._started[name]
