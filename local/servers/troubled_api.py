"""An HTTP proxy in front of the local AWS API that spoils its answers."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from local.servers.threads import HttpServer

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "server", "date"}
TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """What the client gets: after `delay_s`, so many bytes fewer than announced, or nothing at all (`is_dropped`)."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    missing_bytes: int = 0
    is_dropped: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the body is an object of JSON."""
        return self.body.startswith(b"{")


Trouble = Callable[[HttpAnswer], HttpAnswer]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """AWS's answer to a call that it does not carry out: the call does not reach the API."""

    status: int
    code: str
    message: str = "no"

    def answer(self, *, is_json: bool) -> HttpAnswer:
        """Return the answer in JSON or in XML, as the client's protocol has it."""
        if is_json:
            body = json.dumps({"__type": self.code, "message": self.message})
            return HttpAnswer(
                status=self.status, body=body.encode(), headers={"content-type": "application/x-amz-json-1.1"}
            )
        error = f"<Error><Type>Sender</Type><Code>{self.code}</Code><Message>{self.message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"
        return HttpAnswer(status=self.status, body=body.encode(), headers={"content-type": "text/xml"})


class TroubledApi:
    """Serves at `url` until closed. `calls`: the operations called, in order."""

    def __init__(self, port: int) -> None:
        """Serve at once, in front of the API on that port of this machine."""
        self.calls: list[str] = []
        self._troubles: dict[str, Trouble | Refusal] = {}
        self._every: Trouble | Refusal | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.serve(self, port, body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HttpServer(Handler, name="troubled API")
        self.url = f"http://localhost:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    @contextlib.contextmanager
    def spoiling(self, operation: str, trouble: Trouble | Refusal) -> Iterator[None]:
        """Spoil every answer to the operation."""
        self._troubles[operation] = trouble
        try:
            yield
        finally:
            del self._troubles[operation]

    def spoil_all(self, trouble: Trouble | Refusal | None) -> None:
        """Spoil every answer from now on; with None, none."""
        self._every = trouble

    def serve(self, handler: BaseHTTPRequestHandler, port: int, body: bytes) -> None:
        """Answer one request."""
        operation = _operation(handler, body)
        self.calls.append(operation)
        trouble = self._troubles.get(operation, self._every)
        if isinstance(trouble, Refusal):
            answer = trouble.answer(is_json="X-Amz-Target" in handler.headers)
        else:
            answer = _forward(handler, port, body)
            answer = answer if trouble is None else trouble(answer)
        time.sleep(answer.delay_s)
        handler.close_connection = True
        if answer.is_dropped:
            return
        handler.send_response(answer.status)
        announced = str(len(answer.body) + answer.missing_bytes)
        for name, value in {**answer.headers, "Content-Length": announced, "Connection": "close"}.items():
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(OSError):  # the client may have waited long enough
            handler.wfile.write(answer.body)


def _operation(handler: BaseHTTPRequestHandler, body: bytes) -> str:
    target = handler.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    return parse_qs(body.decode(errors="replace")).get("Action", [handler.command])[0]


def _forward(handler: BaseHTTPRequestHandler, port: int, body: bytes) -> HttpAnswer:
    connection = http.client.HTTPConnection("localhost", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        given = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
        connection.request(handler.command, handler.path, body=body, headers=given)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
        return HttpAnswer(status=answer.status, body=answer.read(), headers=headers)


def _with_body(make: Callable[[bytes], bytes]) -> Trouble:
    return lambda answer: replace(answer, body=make(answer.body))


def _retyped(value: Any) -> Any:
    """Return JSON with text for every number, and a number for every text."""
    if isinstance(value, dict):
        return {name: _retyped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_retyped(inner) for inner in value]
    return 7 if isinstance(value, str) else str(value)


def _other_types(answer: HttpAnswer) -> HttpAnswer:
    """Give JSON other types, and XML other names."""
    if answer.is_json:
        return replace(answer, body=json.dumps(_retyped(json.loads(answer.body or b"{}"))).encode())
    return replace(answer, body=answer.body.replace(b"Result", b"Outcome"))


# Answers that are not whole. What was asked for has been done.
TROUBLES: dict[str, Trouble] = {
    "cut off": _with_body(lambda body: body[: len(body) // 2]),
    "cut off in transfer": lambda answer: replace(answer, body=answer.body[:1], missing_bytes=len(answer.body) - 1),
    "empty": _with_body(lambda _body: b""),
    "corrupted": _with_body(lambda body: bytes(byte ^ 0xA5 for byte in body) or b"\xa5"),
    "another encoding": _with_body(lambda body: body[:20] + b"\xff" + body[20:]),
    "a page": _with_body(lambda _body: b"<html><body>Sign in to the network</body></html>"),
    "null": _with_body(lambda _body: b"null"),
    "a list": _with_body(lambda _body: b"[]"),
    "an empty object": _with_body(lambda _body: b"{}"),
    "a nested list": _with_body(lambda _body: b"[" * 100_000),
    "other types": _other_types,
    "dropped": lambda answer: replace(answer, is_dropped=True),
    "slow": lambda answer: replace(answer, delay_s=1.5),
    "a redirection": lambda answer: replace(answer, status=302, headers={"location": "http://127.0.0.1:1/"}),
    "a page with status 500": lambda answer: replace(answer, status=500, body=b"<html>Internal error</html>"),
    "nothing with status 503": lambda answer: replace(answer, status=503, body=b""),
    "nonsense with status 400": lambda answer: replace(answer, status=400, body=b"\xff\xfe"),
    "an error without a code": lambda answer: replace(answer, status=400, body=b'{"__type": {"a": 1}}'),
}
# AWS did not do what was asked.
REFUSALS: dict[str, Refusal] = {
    "throttled": Refusal(status=400, code="ThrottlingException", message="Rate exceeded"),
    "expired credentials": Refusal(status=400, code="ExpiredTokenException", message="The security token has expired"),
    "another clock": Refusal(status=403, code="InvalidSignatureException", message="Signature not yet current"),
    "denied": Refusal(status=400, code="AccessDeniedException", message="is not authorized to perform"),
}
WRONG: dict[str, Trouble | Refusal] = {**TROUBLES, **REFUSALS}
