"""An HTTP server in the place of the Execution API, which a task's supervisor asks; it notes when."""

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.servers.ports import HOST
from local.servers.threads import HttpServer

SOME_TIME = "2026-01-01T00:00:00Z"
CONTEXT = {
    "dag_run": {
        "dag_id": "dag",
        "run_id": "run",
        "logical_date": None,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": SOME_TIME,
        "start_date": SOME_TIME,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "consumed_asset_events": [],
        "partition_key": None,
    },
    "max_tries": 0,
}


class ExecutionApi:
    """`beats`: the times of heartbeats, in seconds since the task began. `verdict`: the status of their answers."""

    def __init__(self, verdict: int = 204) -> None:
        self.beats: list[float] = []
        self._began = 0.0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PATCH(self) -> None:
                self._read()
                if self.path.endswith("/run"):
                    api._began = time.monotonic()
                    self._answer(200, CONTEXT)
                else:
                    self._answer(204)

            def do_GET(self) -> None:
                self._answer(200, {"inactive_assets": []})  # of a task with inlets or outlets

            def do_POST(self) -> None:
                self._read()
                self._answer(201, {"message": "set"})  # of an XCom

            def do_PUT(self) -> None:
                self._read()
                api.beats.append(time.monotonic() - api._began)
                self._answer(verdict, None if verdict == 204 else {"detail": {"reason": "not_running"}})

            def log_message(self, *_: Any) -> None:
                pass

            def _read(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))

            def _answer(self, status: int, content: Any = None) -> None:
                body = b"" if content is None else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = HttpServer(Handler, name="Execution API")

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/execution/"

    def __enter__(self) -> "ExecutionApi":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
