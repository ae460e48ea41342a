"""Three people of three groups in a headless Chromium: a real Airflow, a real Postgres, a provider's process."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.micro.page.webserver import PYTHON, Webserver, environment, running_webserver
from local.servers.ports import HOST, free_port
from local.servers.redis import Redis
from local.ui.chromium import INSTALLS_WITHIN_S
from sign_in import names
from tests.integration.sign_in.conftest import Database
from tests.support.headless_chromium import headless_chromium
from tests.support.openid_provider import CLIENT, END_PATH, SECRET, OpenIdProvider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * INSTALLS_WITHIN_S + 300)]

SHOWN_WITHIN_MS = 120_000  # the machine may be busy
USERS = {
    "ann": {"preferred_username": "ann", "groups": ["leads"]},
    "bob": {"preferred_username": "bob", "groups": ["operators"]},
    "cay": {"preferred_username": "cay", "groups": ["readers"]},
    "dan": {"preferred_username": "dan", "groups": ["nobodies"]},
}
MAPPING = '{"leads": "Admin", "operators": "Op", "readers": "Viewer"}'
DAG = """
from airflow.sdk import dag

@dag(schedule=None)
def mine():
    pass

mine()
"""
RUN = {"logical_date": None}
CONNECTION = {"connection_id": "", "conn_type": "http", "host": "example.com"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with headless_chromium(shown_within_ms=SHOWN_WITHIN_MS, untested="three people signing in") as started:
        yield started


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    with contextlib.closing(OpenIdProvider()) as running:
        yield running


@pytest.fixture(scope="module")
def site(
    broker: Redis, database: Database, provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webserver]:
    port = free_port()
    settings = {
        **database.settings,
        "PUBLIC_PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://{HOST}:{port}",
        names.OIDC_ISSUER: provider.issuer,
        names.OIDC_CLIENT_ID: CLIENT,
        names.OIDC_CLIENT_SECRET: SECRET,
        names.ROLE_MAPPING: MAPPING,
    }
    provider.users, provider.redirects = USERS, [f"http://{HOST}:{port}/auth/oidc/callback"]
    home: Path = tmp_path_factory.mktemp("airflow")
    url = f"redis://{broker.host}:{broker.port}/0"
    with running_webserver(home=home, broker_url=url, settings=settings) as server:
        read_dag({**environment(home=home, broker_url=url, role="dag-processor"), **settings}, folder=home / "dags")
        yield server


def read_dag(variables: dict[str, str], *, folder: Path) -> None:
    """Bring a DAG into the database, as the DAG processor does."""
    folder.mkdir()
    (folder / "mine.py").write_text(DAG)
    command = [str(PYTHON.with_name("airflow")), "dags", "reserialize"]
    variables = {**variables, "AIRFLOW__CORE__DAGS_FOLDER": str(folder)}
    subprocess.run(command, env=variables, cwd=folder, check=True, capture_output=True)


def enter(chromium: Browser, site: Webserver, provider: OpenIdProvider, person: str) -> Page:
    """Open Airflow as this person, whom the provider signs in without asking."""
    provider.user = person
    page = chromium.new_context().new_page()
    page.set_default_timeout(SHOWN_WITHIN_MS)
    page.goto(site.url)
    return page


def work(chromium: Browser, site: Webserver, provider: OpenIdProvider, person: str) -> Page:
    """Open Airflow as this person; return when the UI, which notices by itself that one must sign in, has its token."""
    page = enter(chromium, site, provider, person)
    page.wait_for_function("() => fetch('/ui/auth/me').then(answer => answer.ok)", polling=500)
    page.wait_for_load_state("networkidle")  # what was refused before may still lead the page to the sign-in
    return page


def status(page: Page, method: str, path: str, **content: Any) -> int:
    return page.request.fetch(path, method=method, **content).status


@pytest.mark.parametrize(
    ("person", "expected"),
    [("ann", (200, 201, 200)), ("bob", (200, 201, 403)), ("cay", (403, 403, 403))],
)
def test_each_person_does_what_the_group_s_role_may(
    chromium: Browser, site: Webserver, provider: OpenIdProvider, person: str, expected: tuple[int, ...]
) -> None:
    page = work(chromium, site, provider, person)
    said = page.request.get(f"{site.url}/ui/auth/me").json()
    assert said["username"].startswith(f"oidc:{person}:")
    triggers, changes, reads_audit = expected
    connection = {**CONNECTION, "connection_id": f"of-{person}"}
    assert status(page, "POST", f"{site.url}/api/v2/connections", data=connection) == changes
    assert status(page, "POST", f"{site.url}/api/v2/dags/mine/dagRuns", data=RUN) == triggers
    assert status(page, "GET", f"{site.url}/api/v2/eventLogs") == reads_audit
    page.goto(f"{site.url}/plugin/fleet")
    expect(page.get_by_test_id("fleet-verdict")).to_be_visible()
    page.context.close()


def test_the_audit_log_has_the_person_s_name(chromium: Browser, site: Webserver, provider: OpenIdProvider) -> None:
    page = work(chromium, site, provider, "bob")
    connection = {**CONNECTION, "connection_id": "audited"}
    assert status(page, "POST", f"{site.url}/api/v2/connections", data=connection) == 201
    assert status(page, "POST", f"{site.url}/api/v2/dags/mine/dagRuns", data=RUN) == 200
    lead = work(chromium, site, provider, "ann")
    for event in ("post_connection", "trigger_dag_run"):
        entries = lead.request.get(f"{site.url}/api/v2/eventLogs?event={event}&limit=100").json()["event_logs"]
        assert any(entry["owner"].startswith("oidc:bob:") for entry in entries), event
    for each in (page, lead):
        each.context.close()


def test_without_a_role_one_page_says_so(chromium: Browser, site: Webserver, provider: OpenIdProvider) -> None:
    page = enter(chromium, site, provider, "dan")
    expect(page.get_by_role("heading")).to_have_text("You have no role in this Airflow")
    assert status(page, "GET", f"{site.url}/fleet/api/fleet") == 401
    page.context.close()


def test_signing_out_stays_signed_out(chromium: Browser, site: Webserver, provider: OpenIdProvider) -> None:
    page = work(chromium, site, provider, "ann")
    page.goto(f"{site.url}/api/v2/auth/logout")
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    assert status(page, "GET", f"{site.url}/api/v2/dags") == 401
    assert END_PATH in provider.asked
    page.context.close()
