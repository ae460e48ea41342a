"""People sign in to a real Airflow with a provider, a process of its own: what lets them in, and what is refused."""

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest

from bench.micro.page.webserver import PASSWORD, Webserver, running_webserver
from local.servers.ports import HOST, free_port
from local.servers.redis import Redis
from sign_in import names
from sign_in.flows import MOST
from sign_in.people import person_of
from tests.integration.sign_in.conftest import Database
from tests.support.browser_sign_in import Browser
from tests.support.openid_provider import CLIENT, LIES, SECRET, OpenIdProvider
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

# The address that people use, behind a load balancer: not the one that the webserver listens on.
BASE_URL = "https://airflow.example.com"
CALLBACK = f"{BASE_URL}/auth/oidc/callback"
MAPPING = '{"leads": "Admin", "operators": ["Op"], "readers": "Viewer", "guests": "Public"}'
USERS: dict[str, dict[str, Any]] = {
    "sub-ann": {"preferred_username": "ann", "given_name": "Ann", "family_name": "Lead", "groups": ["leads", "other"]},
    "sub-bob": {"email": "bob@example.com", "name": "Bob Op", "groups": ["operators"]},
    "sub-cay": {"preferred_username": "cay", "groups": "readers"},
    "sub-dan": {"preferred_username": "dan", "groups": ["other"]},
    "sub-fay": {"preferred_username": "fay", "groups": ["guests"]},
    "sub-eve": {"preferred_username": "admin", "email": "admin@declared.invalid", "groups": ["readers"]},
    "sub-gus": {"preferred_username": "gus", "groups": {"leads": 1}},
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """A webserver with a provider."""

    server: Webserver
    provider: OpenIdProvider


@pytest.fixture(scope="module")
def with_provider(broker: Redis, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("airflow")
    with contextlib.closing(OpenIdProvider()) as provider:
        settings = {
            **database.settings,
            "FORWARDED_ALLOW_IPS": "*",
            "AIRFLOW__FAB__COOKIE_SECURE": "True",
            "AIRFLOW__API__BASE_URL": BASE_URL,
            names.OIDC_ISSUER: provider.issuer,
            names.OIDC_CLIENT_ID: CLIENT,
            names.OIDC_CLIENT_SECRET: SECRET,
            names.ROLE_MAPPING: MAPPING,
        }
        url = f"redis://{broker.host}:{broker.port}/0"
        with running_webserver(home=folder, broker_url=url, settings=settings) as server:
            yield Site(server=server, provider=provider)


@pytest.fixture
def site(with_provider: Site) -> Site:
    provider = with_provider.provider
    provider.users, provider.lie, provider.redirects = USERS, "", [CALLBACK]
    return with_provider


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    made = Browser(site.server.url)
    yield made
    made.close()


def to_provider(browser: Browser, page: str = "/auth/login/") -> str:
    """Open the sign-in page; return the provider's address that it leads to."""
    answer = browser.get(page)
    while answer.status_code == 302 and "/oidc/start" in answer.headers["location"]:
        target = urlsplit(answer.headers["location"])
        answer = browser.get(f"{target.path}?{target.query}")
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def back(browser: Browser, url: str) -> httpx.Response:
    """Let the provider answer; return what Airflow says to it."""
    given = httpx.get(url, timeout=20)
    assert given.status_code == 302, given.text
    target = urlsplit(given.headers["location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == CALLBACK
    return browser.get(f"{target.path}?{target.query}")


def sign_in(site: Site, browser: Browser, subject: str) -> httpx.Response:
    site.provider.user = subject
    return back(browser, to_provider(browser))


def is_in(browser: Browser) -> bool:
    return browser.get("/ui/auth/me").status_code == 200


def me(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = browser.get("/ui/auth/me").json()
    return found


def stored(database: Database) -> dict[str, list[str]]:
    query = """
        SELECT u.username, array_remove(array_agg(r.name), NULL) FROM ab_user u
        LEFT JOIN ab_user_role ur ON ur.user_id = u.id LEFT JOIN ab_role r ON r.id = ur.role_id GROUP BY u.id
    """
    with psycopg.connect(database.url) as connection:
        return dict(connection.execute(query).fetchall())


@pytest.mark.parametrize(
    ("subject", "shown", "expected"),
    [
        ("sub-ann", "oidc:ann:", {"/api/v2/connections": 200, "/api/v2/eventLogs": 200, "/auth/fab/v1/users": 200}),
        ("sub-bob", "oidc:bob@example.com:", {"/api/v2/connections": 200, "/api/v2/eventLogs": 403}),
        ("sub-cay", "oidc:cay:", {"/api/v2/dags": 200, "/api/v2/connections": 403, "/api/v2/plugins": 200}),
        ("sub-fay", "oidc:fay:", {"/api/v2/dags": 403, "/fleet/api/fleet": 403}),
    ],
)
def test_a_group_gives_its_role(
    site: Site, browser: Browser, subject: str, shown: str, expected: dict[str, int]
) -> None:
    assert sign_in(site, browser, subject).status_code == 302
    assert me(browser)["username"].startswith(shown)
    assert {path: browser.get(path).status_code for path in expected} == expected
    if "/fleet/api/fleet" not in expected:
        assert browser.get("/fleet/api/fleet").status_code in (200, 503)


@pytest.mark.parametrize("subject", ["sub-dan", "sub-gus"])
def test_who_has_no_role_gets_in_as_nothing_and_is_told_so(
    site: Site, browser: Browser, database: Database, subject: str
) -> None:
    answer = sign_in(site, browser, subject)
    assert answer.status_code == 403
    assert "You have no role in this Airflow" in answer.text
    assert not is_in(browser)
    assert not any(subject.removeprefix("sub-") in name for name in stored(database))


def test_a_group_that_is_taken_away_works_at_the_next_sign_in(site: Site, browser: Browser, database: Database) -> None:
    sign_in(site, browser, "sub-ann")
    with_role = {name for name, roles in stored(database).items() if roles == ["Admin"] and name.startswith("oidc:ann")}
    assert len(with_role) == 1
    other = Browser(site.server.url)
    site.provider.users = {**USERS, "sub-ann": {**USERS["sub-ann"], "groups": ["readers"]}}
    sign_in(site, other, "sub-ann")
    assert stored(database)[with_role.copy().pop()] == ["Viewer"]
    third = Browser(site.server.url)
    site.provider.users = {**USERS, "sub-ann": {**USERS["sub-ann"], "groups": []}}
    answer = sign_in(site, third, "sub-ann")
    assert answer.status_code == 403
    assert stored(database)[with_role.pop()] == []
    # Sessions from before ended, too.
    assert "_token=ey" not in str(browser.get("/auth/").headers.get_list("set-cookie"))
    other.close()
    third.close()


def test_a_provider_s_admin_is_not_the_local_admin(site: Site, browser: Browser, database: Database) -> None:
    before = stored(database)["admin"]
    assert sign_in(site, browser, "sub-eve").status_code == 302
    assert me(browser)["username"].startswith("oidc:admin:")
    assert browser.get("/api/v2/connections").status_code == 403
    assert stored(database)["admin"] == before == ["Admin"]


def test_a_name_that_changes_leaves_the_person_the_same(site: Site, browser: Browser, database: Database) -> None:
    sign_in(site, browser, "sub-cay")
    number = len(stored(database))
    site.provider.users = {**USERS, "sub-cay": {**USERS["sub-cay"], "preferred_username": "cay.new"}}
    other = Browser(site.server.url)
    sign_in(site, other, "sub-cay")
    # The webserver's process may go on with what it has read of the user for five seconds.
    assert eventually(lambda: me(other)["username"].startswith("oidc:cay.new:"), within_s=60)
    other.close()
    assert len(stored(database)) == number
    assert any(name.startswith("oidc:cay.new:") for name in stored(database))


@pytest.mark.parametrize("lie", LIES)
def test_what_does_not_prove_who_signs_in_is_refused(site: Site, browser: Browser, lie: str) -> None:
    site.provider.lie = lie
    answer = sign_in(site, browser, "sub-ann")
    assert answer.status_code == 401
    assert "The sign-in was not accepted" in answer.text
    assert not is_in(browser)
    assert "eyJ" not in site.server.log.read_text().rpartition("sign-in: refused")[2]


def test_a_code_is_good_for_one_sign_in_of_the_browser_that_asked_for_it(site: Site, browser: Browser) -> None:
    site.provider.user = "sub-ann"
    url = to_provider(browser)
    given = urlsplit(httpx.get(url, timeout=20).headers["location"])
    path = f"{given.path}?{given.query}"
    other = Browser(site.server.url)
    to_provider(other)
    assert other.get(path).status_code == 401
    assert not is_in(other)
    assert browser.get(path).status_code == 302
    browser.get("/auth/logout/")
    assert browser.get(path).status_code == 401
    assert not is_in(browser)
    other.close()


@pytest.mark.parametrize("last", [0, 1])
def test_of_sign_ins_that_a_page_begins_at_once_each_may_finish(site: Site, browser: Browser, last: int) -> None:
    site.provider.user = "sub-ann"
    # A browser has no cookie yet when it sends both requests, and takes the answers in any order.
    with ThreadPoolExecutor(2) as pool:
        begun = list(pool.map(lambda _: httpx.get(f"{site.server.url}/auth/oidc/start", timeout=60), range(2)))
    for answer in (begun[1 - last], begun[last]):
        browser.take(answer)
    assert [back(browser, answer.headers["location"]).status_code for answer in begun] == [302, 302]
    assert is_in(browser)


def test_the_cookie_of_a_sign_in_is_for_its_pages_and_gone_at_its_end(site: Site, browser: Browser) -> None:
    site.provider.user = "sub-ann"
    answer = browser.get("/auth/oidc/start?next=/" + "x" * 5000)
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.startswith("sign_in_")
    for part in ("Path=/auth/oidc;", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=600"):
        assert part in cookie
    assert back(browser, answer.headers["location"]).status_code == 302
    assert not [name for name in browser.cookies() if name.startswith("sign_in_")]


def test_a_browser_keeps_some_sign_ins_and_no_more(site: Site, browser: Browser) -> None:
    site.provider.user = "sub-ann"
    begun = [to_provider(browser, "/auth/oidc/start") for _ in range(MOST + 1)]
    assert len([name for name in browser.cookies() if name.startswith("sign_in_")]) == MOST
    assert [back(browser, url).status_code for url in begun] == [401, *[302] * MOST]


def test_a_sign_in_that_begins_too_late_leaves_the_session_alone(site: Site, browser: Browser) -> None:
    sign_in(site, browser, "sub-ann")
    session = browser.cookies()["session"]
    browser.take(httpx.get(f"{site.server.url}/auth/oidc/start", timeout=60))
    assert browser.cookies()["session"] == session
    assert is_in(browser)


def test_a_verifier_of_another_sign_in_is_refused(site: Site, browser: Browser) -> None:
    site.provider.user = "sub-ann"
    url = re.sub(r"code_challenge=[^&]+", "code_challenge=" + "A" * 43, to_provider(browser))
    assert back(browser, url).status_code == 401
    assert not is_in(browser)


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}])
def test_the_provider_is_never_asked_to_send_people_elsewhere(site: Site, header: dict[str, str]) -> None:
    answer = httpx.get(f"{site.server.url}/auth/oidc/start", headers=header, timeout=60)
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["redirect_uri"] == [CALLBACK]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 40
    assert len(asked["nonce"][0]) >= 40


@pytest.mark.parametrize(
    "target", ["https://evil.example/x", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\t//evil.example"]
)
def test_no_one_is_sent_to_another_host_after_the_sign_in(site: Site, browser: Browser, target: str) -> None:
    site.provider.user = "sub-cay"
    page = str(httpx.URL("/auth/login/", params={"next": target}))
    answer = back(browser, to_provider(browser, page))
    assert answer.status_code == 302
    assert urlsplit(answer.headers["location"]).netloc in ("", urlsplit(site.server.url).netloc)


def test_signing_out_ends_the_provider_s_session_too(site: Site, browser: Browser) -> None:
    sign_in(site, browser, "sub-ann")
    kept = browser.cookies()
    answer = browser.get("/auth/logout/")
    target = urlsplit(answer.headers["location"])
    assert f"{target.scheme}://{target.netloc}" == site.provider.issuer
    asked = parse_qs(target.query)
    assert asked["post_logout_redirect_uri"] == [f"{BASE_URL}/auth/oidc/signed-out"]
    assert asked["id_token_hint"][0].count(".") == 2
    assert "You are signed out" in browser.get("/auth/oidc/signed-out").text
    again = httpx.get(
        f"{site.server.url}/api/v2/dags", headers={"Cookie": f"_token={kept['_token']}; session={kept['session']}"}
    )
    assert again.status_code in (401, 403)


def test_the_provider_s_access_token_is_kept_nowhere(site: Site, browser: Browser, database: Database) -> None:
    sign_in(site, browser, "sub-ann")
    with psycopg.connect(database.url) as connection:
        for (data,) in connection.execute("SELECT data FROM session").fetchall():
            assert b"access_token" not in data


def test_one_person_who_signs_in_twice_at_once_is_one_user(site: Site, browser: Browser, database: Database) -> None:
    subject = "sub-twin"
    site.provider.user = subject
    site.provider.users = {**USERS, subject: {"preferred_username": "twin", "groups": ["readers"]}}
    claims = {"iss": site.provider.issuer, "sub": subject, "preferred_username": "twin"}
    twin = person_of(claims, mapping={}, groups_claim="groups")
    insert = """
        INSERT INTO ab_user (id, first_name, last_name, username, email, active, password)
        VALUES (nextval('ab_user_id_seq'), '', '', %s, %s, true, '!')
    """
    url = to_provider(browser)
    with ThreadPoolExecutor(1) as pool, psycopg.connect(database.url) as connection:
        # Another process has stored the user and not yet committed: ours must wait for it, and then take it.
        connection.execute(insert, (twin.name, twin.key))
        answer = pool.submit(back, browser, url)
        assert eventually(lambda: is_waiting(database), within_s=60)
        connection.commit()
        assert answer.result().status_code == 302
    assert me(browser)["username"] == twin.name
    assert stored(database)[twin.name] == ["Viewer"]


def is_waiting(database: Database) -> bool:
    """Return whether a statement of the webserver waits for another's transaction."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with psycopg.connect(database.url) as connection:
        return connection.execute(query, (database.name,)).fetchone() != (0,)


def test_the_local_admin_still_signs_in(site: Site, browser: Browser) -> None:
    wrong = browser.sign_in("admin", "wrong", page="/auth/login/?local")
    assert urlsplit(wrong.headers["location"]).query.startswith("local")
    browser.enter("admin", PASSWORD, page="/auth/login/?local")
    assert me(browser)["username"] == "admin"


def test_no_password_signs_a_provider_s_person_in(site: Site, browser: Browser, database: Database) -> None:
    sign_in(site, browser, "sub-cay")
    name = me(browser)["username"]
    for password in ("", "!", "x"):
        answer = httpx.post(f"{site.server.url}/auth/token", json={"username": name, "password": password}, timeout=60)
        assert answer.status_code in (400, 401)


def test_without_the_provider_people_are_told_so_and_admin_gets_in(
    broker: Redis, database: Database, tmp_path: Path
) -> None:
    settings = {
        **database.settings,
        "FORWARDED_ALLOW_IPS": "*",
        "AIRFLOW__API__BASE_URL": BASE_URL,
        names.OIDC_ISSUER: f"http://{HOST}:{free_port()}",
        names.OIDC_CLIENT_ID: CLIENT,
        names.OIDC_CLIENT_SECRET: SECRET,
    }
    url = f"redis://{broker.host}:{broker.port}/0"
    with running_webserver(home=tmp_path, broker_url=url, settings=settings) as server:
        browser = Browser(server.url)
        answer = browser.get("/auth/oidc/start")
        assert answer.status_code == 503
        assert "The sign-in provider does not answer" in answer.text
        browser.enter("admin", PASSWORD, page="/auth/login/?local")
        assert me(browser)["username"] == "admin"
        # Signing out does not need the provider either.
        assert browser.get("/auth/logout/").headers["location"] == f"{BASE_URL}/auth/oidc/signed-out"
        browser.close()
