"""Which paths the webserver's public port answers, and which application a port reaches."""

import asyncio
import contextlib
from typing import Any

import pytest

from agent.web.first_requests import NotReadyError, answer_each_kind
from agent.web.listeners import Listener, Listeners
from agent.web.paths import UI_PAGES, is_allowed
from tests.support.execution_spellings import SPELLINGS

ALLOWED = UI_PAGES | {"api", "auth", "ui", "static", "fleet"}
PUBLIC, INTERNAL = 8081, 8080


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "//",
        "/dags",
        "/dags/",
        "/dags/a/runs/manual__2026-01-01T00:00:00+00:00",
        "/dags/a/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00/tasks/b",
        "/api/v2/variables/team%2Fname",
        "/api/v2/variables/100%25",
        "/api/v2/variables/a%252Fb",
        "/api/v2/pools/execution",
        "/api/v2/assets/s3%3A%2F%2Fbucket%2Fexecution%2Fhealth",
        "/static/assets/index-1.js",
    ],
)
def test_what_a_browser_asks_for_is_allowed(path: str) -> None:
    assert is_allowed(path, allowed=ALLOWED)


@pytest.mark.parametrize(
    "path", [*SPELLINGS, "/metrics", "/pluginsv2/a", "/DAGS", "/dags%2F..%2Fother", "/%25252525252565"]
)
def test_no_other_path_is_allowed_in_any_spelling(path: str) -> None:
    assert not is_allowed(path.split("?")[0], allowed=ALLOWED)


def test_a_variable_may_not_climb_out_of_the_allowed_segment() -> None:
    assert not is_allowed("/api/v2/variables/..%2F..%2F..%2Fexecution", allowed=ALLOWED)
    assert is_allowed("/api/v2/variables/x%2F..%2Fy", allowed=ALLOWED)


@pytest.mark.parametrize(
    ("path", "is_served"),
    [("/air/flow", True), ("/air/flow/dags", True), ("/dags", True), ("/air/flow/execution", False), ("/air", False)],
)
def test_airflow_may_be_served_below_a_path(path: str, is_served: bool) -> None:
    assert is_allowed(path, allowed=ALLOWED, root="/air/flow") is is_served


def application(name: str) -> Any:
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": name.encode()})

    return answer


def listeners(events: list[str] | None = None) -> Listeners:
    seen = [] if events is None else events

    @contextlib.asynccontextmanager
    async def lifespan() -> Any:
        seen.append("begins")
        yield
        seen.append("ends")

    async def ready(_application: Any) -> None:
        seen.append("ready")

    return Listeners(
        Listener(port=PUBLIC, application=application("ui"), allowed=ALLOWED),
        Listener(port=INTERNAL, application=application("execution"), allowed={"execution"}),
        lifespans=(lifespan, lifespan),
        ready=ready,
    )


def ask(path: str, *, port: int | None, raw: bytes | None = None, kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    server = None if port is None else ("10.0.0.1", port)
    scope = {"type": kind, "path": path, "raw_path": path.encode() if raw is None else raw, "server": server}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    asyncio.run(listeners()(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("path", "port", "body"),
    [
        ("/dags", PUBLIC, b"ui"),
        ("/execution/health", INTERNAL, b"execution"),
        ("/dags", INTERNAL, None),
        ("/execution/health", PUBLIC, None),
        ("/dags", 9999, None),
        ("/dags", None, None),
    ],
)
def test_the_port_that_a_request_came_in_on_decides_what_it_reaches(
    path: str, port: int | None, body: bytes | None
) -> None:
    start, content = ask(path, port=port)
    assert start["status"] == (404 if body is None else 200)
    if body is not None:
        assert content["body"] == body


def test_the_path_is_also_checked_as_it_was_sent() -> None:
    assert ask("/dags", port=PUBLIC, raw=b"/%65xecution")[0]["status"] == 404


def test_a_web_socket_is_closed() -> None:
    assert ask("/dags", port=PUBLIC, kind="websocket") == [{"type": "websocket.close"}]


def test_a_webserver_that_does_not_answer_its_own_first_requests_does_not_start() -> None:
    asyncio.run(answer_each_kind(listeners(), {PUBLIC: ("/", "/dags"), INTERNAL: ("/execution/health",)}))
    with pytest.raises(NotReadyError, match=r"its own first request of /execution/health 404"):
        asyncio.run(answer_each_kind(listeners(), {PUBLIC: ("/", "/execution/health")}))


def test_the_server_listens_only_after_its_own_first_requests() -> None:
    events: list[str] = []

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        events.append(message["type"])

    asyncio.run(listeners(events)({"type": "lifespan"}, receive, send))
    assert events == [
        *("begins", "begins", "ready", "lifespan.startup.complete"),
        *("ends", "ends", "lifespan.shutdown.complete"),
    ]
