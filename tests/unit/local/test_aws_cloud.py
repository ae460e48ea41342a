"""The calls of the CloudFormation engine to the server that it is part of."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ReadTimeoutError

from local.aws.backend import cloud


def test_a_creation_that_takes_too_long_is_not_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ended = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            ended.wait(5)

    monkeypatch.setattr(cloud, "READ_TIMEOUT_S", 0.2)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        made = cloud.Cloud(endpoint=f"http://127.0.0.1:{server.server_port}", region="us-east-1", account="1")
        with pytest.raises(ReadTimeoutError):
            made.call("iam", "create_role", {"RoleName": "one", "AssumeRolePolicyDocument": "{}"})
        ended.set()
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/"]
