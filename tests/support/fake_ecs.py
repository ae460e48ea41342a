"""What Fargate offers inside a task, for tests: task metadata, and task protection that can be told to misbehave."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.servers.threads import HttpServer

TASK_ARN = "arn:aws:ecs:eu-central-1:123456789012:task/cluster/0123456789abcdef"
MEMBER_ID = "0123456789abcdef/worker"


class FakeEcs:
    """Serves until closed. `mode`: ok, blocked, error, invalid, garbage. `asked`: every state asked for."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.asked: list[dict[str, Any]] = []
        self.protected = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, {"TaskARN": TASK_ARN} if self.path == "/v4/task" else {})

            def do_PUT(self) -> None:
                state = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.asked.append(state)
                self._answer(*fake.answer(self.path, state))

            def _answer(self, status: int, body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HttpServer(Handler, name="fake ECS")
        self.agent_uri = f"http://127.0.0.1:{self._server.server_port}/api"
        self.metadata_uri = f"http://127.0.0.1:{self._server.server_port}/v4"

    def answer(self, path: str, state: dict[str, Any]) -> tuple[int, Any]:
        """Return the status and body for a PUT."""
        if path != "/api/task-protection/v1/state":
            return 404, {}
        match self.mode:
            case "ok":
                self.protected = state["ProtectionEnabled"]
                return 200, {"protection": {"TaskArn": TASK_ARN, "ProtectionEnabled": self.protected}}
            case "blocked":
                return 200, {"failure": {"Arn": TASK_ARN, "Reason": "DEPLOYMENT_BLOCKED", "Detail": None}}
            case "invalid":
                return 400, {"error": {"Code": "InvalidParameterException"}}
            case "garbage":
                return 200, b"<html>"
            case _:
                return 500, {"error": {"Code": "ServerException"}}

    def close(self) -> None:
        """End the server and close its port."""
        self._server.close()
