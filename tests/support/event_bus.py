"""EventBridge's PutEvents on 127.0.0.1: keeps what is put, and refuses on command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from local.servers.threads import HttpServer

Entry = dict[str, Any]


class EventBus:
    """`entries`: what was taken, in order. `refuses(entry)`: an entry's error code, or None. `is_away`: HTTP 500."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.calls = 0
        self.is_away = False
        self.refuses: Callable[[Entry], str | None] = lambda _: None
        self.url = ""

    @property
    def details(self) -> list[dict[str, Any]]:
        return [json.loads(entry["Detail"]) for entry in self.entries]

    @property
    def told(self) -> list[str]:
        """What was taken, in order, as `state of a run` and `task.try state`."""
        return [
            f"{each['task_id']}.{each['try_number']} {each['state']}" if "task_id" in each else each["state"]
            for each in self.details
        ]

    def clear(self) -> None:
        self.entries.clear()

    def answer(self, entries: list[Entry]) -> list[dict[str, str]]:
        """Take or refuse each entry of a call; return the answers."""
        self.calls += 1
        answers = []
        for entry in entries:
            if code := self.refuses(entry):
                answers.append({"ErrorCode": code, "ErrorMessage": "refused"})
            else:
                self.entries.append(entry)
                answers.append({"EventId": f"event-{len(self.entries)}"})
        return answers


@contextmanager
def event_bus() -> Iterator[EventBus]:
    """Run one until the block ends."""
    bus = EventBus()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Amz-Target"] == "AWSEvents.PutEvents"
            answers = [] if bus.is_away else bus.answer(asked["Entries"])
            failed = sum("ErrorCode" in answer for answer in answers)
            body = json.dumps({"FailedEntryCount": failed, "Entries": answers}).encode()
            self.send_response(500 if bus.is_away else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HttpServer(Handler, name="event-bus")
    bus.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield bus
    finally:
        server.close()
