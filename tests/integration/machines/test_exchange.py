"""Airflow's real webserver gives machines tokens of its REST API, with a provider, the local STS and a broker."""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from werkzeug.security import check_password_hash, generate_password_hash

from bench.micro.page.webserver import PASSWORD, Webserver, running_webserver
from local.servers.redis import Redis
from machines.limits import MOST_A_MINUTE
from project import paths
from tests.integration.agent.test_web import EXECUTION_API_SAYS, send
from tests.integration.machines.test_aws import ACCOUNT, endpoint, session_of
from tests.support.aws_api import AwsApi
from tests.support.execution_spellings import SPELLINGS
from tests.support.openid_provider import OpenIdProvider
from tests.support.signed_requests import signed_request

AUDIENCE = "airflow:123456789012:eu-central-1:airflow-local"
CLIENT = paths.ROOT / "docs" / "examples" / "airflow_token.py"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    with contextlib.closing(OpenIdProvider()) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    broker: Redis, provider: OpenIdProvider, api: AwsApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webserver]:
    lines = (
        *(f"{role}: issuer={provider.issuer} sub={role.lower()}" for role in ("Admin", "Op", "User", "Viewer")),
        f"Op: issuer={provider.issuer} repository=acme/dags",
        f"Typist: issuer={provider.issuer} sub=typist",
        f"Op: aws=arn:aws:iam::{ACCOUNT}:role/deployer",
    )
    settings = {
        "MACHINE_ROLES": "\n".join(lines),
        "MACHINE_AUDIENCE": AUDIENCE,
        "AWS_REGION": api.region,
        "AWS_ENDPOINT_URL": endpoint(api).rstrip("/"),
    }
    url = f"redis://{broker.host}:{broker.port}/0"
    home = tmp_path_factory.mktemp("machines")
    with running_webserver(home=home, broker_url=url, settings=settings) as running:
        yield running


class Asking:
    """A machine somewhere: each has an address of its own, so that one test does not use up another's requests."""

    number = 0

    def __init__(self, server: Webserver, provider: OpenIdProvider) -> None:
        Asking.number += 1
        self.url, self._provider = server.url, provider
        self.headers = {"X-Forwarded-For": f"10.1.1.1, 10.0.0.{Asking.number}"}

    def post(self, way: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/machines/{way}", json=body, headers=self.headers, timeout=TIMEOUT_S)

    def by_token(self, **claims: Any) -> httpx.Response:
        return self.post("token", {"token": self._provider.token(**{"aud": AUDIENCE, **claims})})


@pytest.fixture
def asking(server: Webserver, provider: OpenIdProvider) -> Asking:
    return Asking(server, provider)


def call(server: Webserver, method: str, path: str, answer: httpx.Response, **more: Any) -> httpx.Response:
    """Call the REST API with the token that was answered."""
    assert answer.status_code == 201, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.request(method, f"{server.url}{path}", headers=headers, timeout=TIMEOUT_S, **more)


def as_admin(server: Webserver, method: str, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {server.token('admin')}"}
    return httpx.request(method, f"{server.url}{path}", headers=headers, timeout=TIMEOUT_S, **more)


def users(server: Webserver) -> dict[str, dict[str, Any]]:
    found = as_admin(server, "GET", "/auth/fab/v1/users", params={"limit": 100}).raise_for_status().json()
    return {user["username"]: user for user in found["users"]}


def test_a_token_is_answered_for_fifteen_minutes_and_kept_by_no_cache(asking: Asking) -> None:
    answer = asking.by_token(sub="viewer")
    assert answer.status_code == 201
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert answer.headers["cache-control"] == "no-store"


def test_a_machine_may_do_what_its_role_may(server: Webserver, asking: Asking) -> None:
    viewer, operator = asking.by_token(sub="viewer"), asking.by_token(sub="op")
    for answer in (viewer, operator):
        assert call(server, "GET", "/api/v2/dags", answer).status_code == 200
    variable = {"key": "of-a-machine", "value": "1"}
    assert call(server, "POST", "/api/v2/variables", viewer, json=variable).status_code == 403
    assert call(server, "POST", "/api/v2/variables", operator, json=variable).status_code == 201


def test_the_audit_log_shows_the_machine_s_name(server: Webserver, provider: OpenIdProvider, asking: Asking) -> None:
    job = asking.by_token(sub="repo:acme/dags:ref:refs/heads/main", repository="acme/dags")
    assert call(server, "POST", "/api/v2/variables", job, json={"key": "audited", "value": "1"}).status_code == 201
    events = as_admin(server, "GET", "/api/v2/eventLogs", params={"event": "post_variable"}).raise_for_status().json()
    name = f"machine:{provider.issuer}#repo:acme/dags:ref:refs/heads/main"
    assert name in {entry["owner"] for entry in events["event_logs"]}


def test_an_iam_role_gets_a_token_once_for_each_signature(server: Webserver, api: AwsApi, asking: Asking) -> None:
    credentials = session_of(api, "deployer")
    signed = signed_request(credentials, endpoint=endpoint(api), region=api.region, audience=AUDIENCE)
    answer = asking.post("aws", signed)
    assert call(server, "GET", "/api/v2/dags", answer).status_code == 200
    again = asking.post("aws", signed)
    assert (again.status_code, again.json()) == (401, {"detail": "it was used before"})
    assert f"machine:arn:aws:iam::{ACCOUNT}:role/deployer" in users(server)


def test_the_documented_client_gets_a_token_for_the_role_that_it_runs_with(server: Webserver, api: AwsApi) -> None:
    def run(role: str) -> subprocess.CompletedProcess[str]:
        credentials = session_of(api, role)
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": endpoint(api).rstrip("/"),
            "AWS_ACCESS_KEY_ID": str(credentials.access_key),
            "AWS_SECRET_ACCESS_KEY": str(credentials.secret_key),
            "AWS_SESSION_TOKEN": str(credentials.token),
        }
        command = [sys.executable, str(CLIENT), server.url, AUDIENCE, api.region]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    token = run("deployer").stdout.strip()
    assert server.get("/api/v2/dags", token=token).status_code == 200
    refused = run("stranger")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "HTTP Error 403" in refused.stderr


def test_who_is_not_mapped_is_named_in_the_answer_and_the_log_and_becomes_no_user(
    server: Webserver, provider: OpenIdProvider, asking: Asking
) -> None:
    answer = asking.by_token(sub="stranger")
    said = f"no role is mapped to {provider.issuer}#stranger"
    assert (answer.status_code, answer.json()) == (403, {"detail": said})
    assert said in server.log.read_text()
    assert not [name for name in users(server) if "stranger" in name]


def test_a_role_that_does_not_exist_is_named(asking: Asking) -> None:
    answer = asking.by_token(sub="typist")
    assert answer.status_code == 403
    assert "no role is called Typist" in answer.json()["detail"]


def test_a_refusal_is_logged_with_its_reason_and_address_and_without_the_proof(
    server: Webserver, provider: OpenIdProvider, api: AwsApi, asking: Asking
) -> None:
    token = provider.token(aud="other", sub="viewer")
    assert asking.post("token", {"token": token}).status_code == 401
    signed = signed_request(session_of(api, "deployer"), endpoint=endpoint(api), region=api.region, audience="other")
    assert asking.post("aws", signed).status_code == 401
    log, address = server.log.read_text(), asking.headers["X-Forwarded-For"].rpartition(" ")[2]
    assert f"no token for a machine at {address} (token): it was made for another audience" in log
    assert f"no token for a machine at {address} (aws): STS does not accept it: SignatureDoesNotMatch" in log
    for secret in (*token.split("."), signed["X-Amz-Security-Token"], signed["Authorization"].rpartition("=")[2]):
        assert secret not in log


def test_no_token_that_was_given_is_in_the_log(server: Webserver, asking: Asking) -> None:
    answer = asking.by_token(sub="viewer")
    assert answer.json()["access_token"].rpartition(".")[2] not in server.log.read_text()


@pytest.mark.parametrize("password", ["", "!", PASSWORD])
def test_no_password_signs_in_as_a_machine(
    server: Webserver, provider: OpenIdProvider, asking: Asking, password: str
) -> None:
    asking.by_token(sub="viewer")
    name = f"machine:{provider.issuer}#viewer"
    assert name in users(server)
    answer = httpx.post(f"{server.url}/auth/token", json={"username": name, "password": password}, timeout=TIMEOUT_S)
    assert answer.status_code in (400, 401, 422), answer.text
    with httpx.Client(base_url=server.url, timeout=TIMEOUT_S, headers=asking.headers) as browser:
        form = browser.get("/auth/login/").text
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
        assert token is not None
        browser.post("/auth/login/", data={"username": name, "password": password, "csrf_token": token[1]})
        assert browser.get("/api/v2/dags").status_code == 401


def change(server: Webserver, statement: str, *values: Any) -> None:
    """Change the users' tables, as an administrator's page does."""
    with contextlib.closing(sqlite3.connect(server.log.parent / "airflow.db", timeout=TIMEOUT_S)) as database, database:
        database.execute(statement, values)


def test_what_was_changed_by_hand_is_as_it_was_at_the_next_exchange(
    server: Webserver, provider: OpenIdProvider, asking: Asking
) -> None:
    asking.by_token(sub="user")
    name = f"machine:{provider.issuer}#user"
    role = "INSERT INTO ab_user_role (user_id, role_id) SELECT u.id, r.id FROM ab_user u, ab_role r"
    change(server, f"{role} WHERE u.username = ? AND r.name = 'Admin'", name)
    change(server, "UPDATE ab_user SET password = ? WHERE username = ?", generate_password_hash("known"), name)
    assert {each["name"] for each in users(server)[name]["roles"]} == {"Admin", "User"}
    assert asking.by_token(sub="user").status_code == 201
    assert [each["name"] for each in users(server)[name]["roles"]] == ["User"]
    with contextlib.closing(sqlite3.connect(server.log.parent / "airflow.db", timeout=TIMEOUT_S)) as database:
        (found,) = database.execute("SELECT password FROM ab_user WHERE username = ?", (name,)).fetchall()
    assert not any(check_password_hash(*found, password) for password in ("known", "", *found))


def test_a_deactivated_machine_gets_no_token(server: Webserver, provider: OpenIdProvider, asking: Asking) -> None:
    job = {"sub": "repo:acme/dags:ended", "repository": "acme/dags"}
    asking.by_token(**job)
    name = f"machine:{provider.issuer}#{job['sub']}"
    change(server, "UPDATE ab_user SET active = 0 WHERE username = ?", name)
    answer = asking.by_token(**job)
    said = f"the user of {name.removeprefix('machine:')} is deactivated in Airflow"
    assert (answer.status_code, answer.json()) == (403, {"detail": said})


def test_a_user_who_was_given_a_machine_s_name_does_not_become_it(
    server: Webserver, provider: OpenIdProvider, asking: Asking
) -> None:
    job = {"sub": "repo:acme/dags:taken", "repository": "acme/dags"}
    row = (
        "INSERT INTO ab_user (id, first_name, last_name, username, password, active, email) "
        "VALUES (9999, '', '', ?, ?, 1, 'by@hand.example')"
    )
    taken = (f"machine:{provider.issuer}#{job['sub']}", generate_password_hash("known"))
    change(server, row, *taken)
    answer = asking.by_token(**job)
    assert answer.status_code == 503
    assert answer.json()["detail"] == f"user {taken[0]} could not be stored"
    assert users(server)[taken[0]]["roles"] == []


def test_exchanges_at_once_make_one_user(server: Webserver, provider: OpenIdProvider, asking: Asking) -> None:
    job = {"sub": "repo:acme/dags:many", "repository": "acme/dags"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: asking.by_token(**job), range(6)))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert f"machine:{provider.issuer}#repo:acme/dags:many" in users(server)


def test_an_address_is_limited_whatever_it_claims_to_be(server: Webserver, provider: OpenIdProvider) -> None:
    asking = Asking(server, provider)
    real = asking.headers["X-Forwarded-For"].rpartition(" ")[2]
    statuses = []
    with httpx.Client(base_url=server.url, timeout=TIMEOUT_S) as client:
        for number in range(MOST_A_MINUTE + 1):
            headers = {"X-Forwarded-For": f"10.9.9.{number}, {real}"}
            answer = client.post("/machines/token", json={"token": "x"}, headers=headers)
            statuses.append(answer.status_code)
    assert statuses == [401] * MOST_A_MINUTE + [429]
    assert answer.headers["retry-after"] == "60"
    assert Asking(server, provider).by_token(sub="viewer").status_code == 201


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b"[" * 20_000, "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b'{"token": 7}', "the body has no text in the field token"),
        (json.dumps({"token": "x" * 40_000}).encode(), "the body is too long"),
    ],
)
def test_a_body_that_is_anything_else_is_refused(server: Webserver, asking: Asking, content: bytes, why: str) -> None:
    answer = httpx.post(f"{server.url}/machines/token", content=content, headers=asking.headers, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()) == (400, {"detail": why})


def test_nothing_else_is_served_there(server: Webserver) -> None:
    for path, status in (("token", 405), ("aws", 405), ("", 404), ("other", 404), ("docs", 404), ("openapi.json", 404)):
        assert httpx.get(f"{server.url}/machines/{path}", timeout=TIMEOUT_S).status_code == status
        internal = httpx.get(f"{server.internal_url}/machines/{path}", timeout=TIMEOUT_S)
        assert internal.status_code == 404


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_execution_api_is_answered_beside_it(server: Webserver, spelling: str) -> None:
    status, received = send(int(server.url.rpartition(":")[2]), spelling)
    assert status in (400, 404)
    assert EXECUTION_API_SAYS not in received
