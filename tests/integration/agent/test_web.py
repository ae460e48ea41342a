"""Airflow's real webserver on its two ports, behind a load balancer with the template's own rules."""

import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from agent.variables import PLUGINS_FOLDER
from agent.versions import CodeHash, code_folders
from agent.web.paths import UI_PAGES
from bench.micro.page.webserver import IMAGE, Webserver
from local.fargate.listener_rules import answer
from local.servers.ports import HOST
from local.servers.relay import Relay
from project import paths
from tests.support.execution_spellings import SPELLINGS
from tests.unit.local.test_listener_rules import template_rules

UI_FILES = "lib/python*/site-packages/airflow/ui/dist/assets/index-*.js"
# Pages of the UI that are always below another one.
BELOW_OTHERS = {
    *("", "*", "asset-state-store", "asset_events", "backfills", "calendar", "code", "details", "rendered_templates"),
    *("runs", "task-state-store", "tasks", "xcom"),
}
EXECUTION_API_SAYS = b'"status":"healthy"'
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def balancer(webserver: Webserver) -> Iterator[int]:
    """Yield the port of a load balancer in front of the webserver's public port."""
    rules, relay = template_rules("WebserverListener"), Relay()
    backend = (HOST, urlsplit(webserver.url).port or 0)
    yield relay.add("balancer", backend=lambda: backend, answer=lambda target: answer(rules, target))[1]
    relay.close()


def send(port: int, target: str) -> tuple[int, bytes]:
    """Send a GET of exactly this target; return the status and the whole answer."""
    with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(received.split(b" ", 2)[1]), received


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_execution_api_is_answered_from_outside(
    webserver: Webserver, balancer: int, spelling: str
) -> None:
    public = urlsplit(webserver.url).port or 0
    for port in (balancer, public):  # with the load balancer's rules, and by the image alone
        status, received = send(port, spelling)
        assert status in (400, 404)
        assert EXECUTION_API_SAYS not in received


def test_the_execution_api_answers_the_stack_s_own_members_at_once(webserver: Webserver) -> None:
    began = time.monotonic()
    internal = urlsplit(webserver.internal_url).port or 0
    status, received = send(internal, "/execution/health")
    # The first request of the Execution API takes seconds; the webserver has made it itself before it listened.
    assert time.monotonic() - began < 2.0
    assert status == 200
    assert EXECUTION_API_SAYS in received
    said = webserver.log.read_text()
    assert said.index("first request of /execution/health answered") < said.index("Application startup complete")


def test_a_pipelined_request_is_not_answered_either(balancer: int) -> None:
    with socket.create_connection((HOST, balancer), timeout=TIMEOUT_S) as connection:
        connection.sendall(
            b"GET /api/v2/version HTTP/1.1\r\nHost: h\r\n\r\nGET /execution/health HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert EXECUTION_API_SAYS not in received


@pytest.mark.parametrize(
    "path", ["/", "/api/v2/version", "/dags", "/api/v2/dags", "/fleet/version", "/static/pin_32.png"]
)
def test_the_execution_api_s_port_serves_nothing_of_the_ui(webserver: Webserver, path: str) -> None:
    status = httpx.get(webserver.internal_url + path, timeout=TIMEOUT_S).status_code
    assert status == (200 if path == "/fleet/version" else 404)


def test_only_the_stack_s_own_members_are_told_which_code_runs(webserver: Webserver, balancer: int) -> None:
    for url in (webserver.url, f"http://{HOST}:{balancer}"):
        for path in ("/fleet/version", "/fleet/version/", "/fleet/%76ersion", "//fleet/version"):
            assert "image_version" not in httpx.get(url + path, timeout=TIMEOUT_S).text
        assert httpx.get(f"{url}/fleet/version", timeout=TIMEOUT_S).status_code == 404
    told = httpx.get(f"{webserver.internal_url}/fleet/version", timeout=TIMEOUT_S)
    assert told.json()["member"] == "0123456789abcdef/webserver"
    assert told.headers["cache-control"] == "no-store"
    folders = code_folders({"AIRFLOW_HOME": str(webserver.log.parent), PLUGINS_FOLDER: str(IMAGE / "plugins")})
    assert told.json()["dags_hash"] == CodeHash(folders).read()


@pytest.mark.parametrize("page", ["", *sorted(UI_PAGES - {"plugin", "security"}), "plugin/a", "security/users"])
def test_every_page_of_the_ui_passes_the_load_balancer_and_the_image(balancer: int, page: str) -> None:
    found = httpx.get(f"http://{HOST}:{balancer}/{page}", timeout=TIMEOUT_S)
    assert found.status_code == 200
    assert "<!doctype html>" in found.text


def test_the_list_of_pages_has_every_page_of_airflow_s_ui() -> None:
    (file,) = paths.AIRFLOW_ENVIRONMENT.glob(UI_FILES)
    routes = re.findall(r"path:[`\"']([^`\"'$]*)", file.read_text())
    assert {route.strip("/").split("/")[0] for route in routes} - BELOW_OTHERS == UI_PAGES


def test_signing_in_works_through_the_load_balancer(webserver: Webserver, balancer: int) -> None:
    token = webserver.token("admin")
    signed_in = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://{HOST}:{balancer}", timeout=TIMEOUT_S, headers=signed_in) as client:
        for path in ("/api/v2/dags", "/ui/config", "/api/v2/variables/none%2Fsuch", "/fleet/api/fleet"):
            assert client.get(path).status_code == (404 if "variables" in path else 200), path
        made = client.post("/api/v2/variables", json={"key": "team/name", "value": "x" * 100_000})
        assert made.status_code == 201
        assert client.get("/api/v2/variables/team%2Fname").json()["key"] == "team/name"


def test_without_roles_for_machines_there_is_no_exchange(webserver: Webserver) -> None:
    answer = httpx.post(f"{webserver.url}/machines/token", json={"token": "x"}, timeout=TIMEOUT_S)
    assert answer.status_code == 404
