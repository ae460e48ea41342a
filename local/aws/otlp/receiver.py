"""Answers the endpoints `/v1/metrics`, `/v1/traces` and `/v1/logs`, and tells the local stack what it was sent."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from local.aws.otlp.messages import Point, Span, points_of, spans_of
from local.aws.otlp.wire import BadMessage, Message

TELEMETRY_PATH = "/local/telemetry"  # a path of no AWS service, at which the local stack asks what was sent
PROTOBUF = "application/x-protobuf"
HANGS = "hangs"  # instead of a status: requests are accepted, and not answered
LONGEST_HANG_S = 30.0
# X-Ray's limit of a request, as AWS documents it; of metrics the same one is taken.
MOST_BYTES = 5 * 1024 * 1024
MOST_SERIES, MOST_POINTS, MOST_SPANS = 20_000, 720, 5_000

Application = Callable[[dict[str, Any], Any], Any]
Key = tuple[str, str, str]


class Received:
    """What was sent: the last points of each series, and the last spans. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Key, tuple[Point, deque[tuple[float, float, int | None]]]] = {}
        self._spans: deque[Span] = deque(maxlen=MOST_SPANS)
        self._requests: Counter[str] = Counter()

    def take(self, path: str, body: bytes) -> None:
        """Keep what a request to one of PATHS holds. Raises BadMessage."""
        PATHS[path](self, body)
        with self._lock:
            self._requests[path] += 1

    def _take_metrics(self, body: bytes) -> None:
        points = list(points_of(body))
        with self._lock:
            for point in points:
                key = (point.name, _text(point.source), _text(point.labels))
                if key not in self._series and len(self._series) >= MOST_SERIES:
                    continue
                past = self._series[key][1] if key in self._series else deque(maxlen=MOST_POINTS)
                past.append((point.t, point.value, point.count))
                self._series[key] = (point, past)

    def _take_traces(self, body: bytes) -> None:
        spans = list(spans_of(body))
        with self._lock:
            self._spans.extend(spans)

    def _take_logs(self, body: bytes) -> None:
        Message(body)

    def told(self) -> dict[str, Any]:
        """Return all of it, for JSON: `series` with their `points` [t, value, count], `spans`, and `requests`."""
        with self._lock:
            series = [(point, list(past)) for point, past in self._series.values()]
            spans, requests = list(self._spans), dict(self._requests)
        return {
            "series": [
                {
                    "name": point.name,
                    "kind": point.kind,
                    "unit": point.unit,
                    "source": dict(point.source),
                    "labels": dict(point.labels),
                    "points": past,
                }
                for point, past in series
            ],
            "spans": [asdict(span) for span in spans],
            "requests": requests,
        }


PATHS: Mapping[str, Callable[[Received, bytes], None]] = {
    "/v1/metrics": Received._take_metrics,
    "/v1/traces": Received._take_traces,
    "/v1/logs": Received._take_logs,
}


class Receiver:
    """A WSGI application that answers the endpoints, and passes all other requests on."""

    def __init__(self, application: Application) -> None:
        self._application, self.received = application, Received()
        self._trouble: int | str | None = None
        self._is_mended = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request that was let through."""
        path = environ.get("PATH_INFO", "")
        if path not in PATHS or environ["REQUEST_METHOD"] != "POST":
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        if self._trouble == HANGS:
            self._is_mended.wait(LONGEST_HANG_S)
        elif self._trouble is not None:
            return _answer(start_response, f"{self._trouble} {HTTPStatus(int(self._trouble)).phrase}", b"")
        if PROTOBUF not in environ.get("CONTENT_TYPE", ""):
            return _answer(start_response, "415 Unsupported Media Type", b"only application/x-protobuf is decoded here")
        try:
            self.received.take(path, _body_of(environ))
        except (BadMessage, OSError, EOFError) as error:
            return _answer(start_response, "400 Bad Request", str(error).encode())
        return _answer(start_response, "200 OK", b"")

    def tell(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer what was sent, as JSON. A POST says what is wrong from now on: HANGS, a status, or null."""
        if environ["REQUEST_METHOD"] == "POST":
            self._trouble = json.loads(_body_of(environ))
            if self._trouble is None:
                self._is_mended.set()
            else:
                self._is_mended.clear()
        return _answer(start_response, "200 OK", json.dumps(self.received.told()).encode(), kind="application/json")


def _body_of(environ: dict[str, Any]) -> bytes:
    """Return a request's body. Raises BadMessage for one that is too long, or OSError."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            body = packed.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise BadMessage(f"the request has more than {MOST_BYTES} bytes")
    return body


def _answer(start_response: Any, status: str, body: bytes, *, kind: str = PROTOBUF) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _text(labels: Mapping[str, Any]) -> str:
    return json.dumps(labels, sort_keys=True, default=str)
