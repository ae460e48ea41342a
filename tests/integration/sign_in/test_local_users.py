"""Local users sign in to a real Airflow: by the form and for a token, until their session ends."""

import json
import struct
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from bench.micro.page.webserver import PASSWORD, Webserver
from sign_in.attempts import MOST_WITH_A_NAME
from tests.integration.sign_in.conftest import Database
from tests.support.browser_sign_in import TIMEOUT_S, Browser


@pytest.fixture
def browser(site: Webserver) -> Iterator[Browser]:
    made = Browser(site.url)
    yield made
    made.close()


def api(site: Webserver, path: str, token: str) -> int:
    return httpx.get(site.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S).status_code


def claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return decoded


def is_let_in(site: Webserver, cookies: dict[str, str]) -> bool:
    """Return whether a browser with these cookies gets data, or a token with which it would."""
    with httpx.Client(base_url=site.url, timeout=TIMEOUT_S) as client:
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        data = client.get("/api/v2/dags", headers=header).status_code == 200
        entered = client.get("/auth/", headers=header)
        return data or any("_token=ey" in each for each in entered.headers.get_list("set-cookie"))


def test_admin_signs_in_with_the_form_and_works_in_the_ui(browser: Browser) -> None:
    browser.enter("admin", PASSWORD)
    assert browser.get("/ui/auth/me").json()["username"] == "admin"
    assert browser.get("/api/v2/connections").status_code == 200
    assert browser.get("/fleet/api/fleet").status_code in (200, 503)


def test_cookies_go_over_tls_only_and_no_script_reads_them(browser: Browser) -> None:
    browser.enter("admin", PASSWORD)
    for name in ("session", "_token"):
        cookie = browser.cookie(name)
        assert cookie is not None
        assert cookie.secure
        assert cookie.has_nonstandard_attr("HttpOnly")


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_lets_no_one_in(browser: Browser, site: Webserver, password: str) -> None:
    browser.sign_in("admin", password)
    assert not is_let_in(site, browser.cookies())


@pytest.mark.parametrize("way", ["/api/v2/auth/logout", "/auth/logout/", "/auth/logout"])
def test_signing_out_ends_the_session_and_its_token_for_whoever_kept_them(
    browser: Browser, site: Webserver, way: str
) -> None:
    browser.enter("admin", PASSWORD)
    kept = browser.cookies()
    assert is_let_in(site, kept)
    answer = browser.get(way)
    for _ in range(5):
        if "location" not in answer.headers or "/login" in answer.headers["location"]:
            break
        answer = browser.get(urlsplit(answer.headers["location"]).path)
    assert not is_let_in(site, kept)
    assert not is_let_in(site, {"session": kept["session"]})
    assert not is_let_in(site, {"_token": kept["_token"]})
    assert "_token" not in browser.cookies()


def test_a_session_ends_at_its_age_however_much_it_is_used(
    browser: Browser, site: Webserver, database: Database
) -> None:
    browser.enter("admin", PASSWORD)
    with psycopg.connect(database.url) as connection:
        # Flask's session is msgpack: a float is 0xcb and eight bytes.
        ((data, identity),) = connection.execute(
            "SELECT data, id FROM session WHERE data LIKE %s ORDER BY id DESC LIMIT 1", (b"%_login_at%",)
        ).fetchall()
        at = data.index(b"_login_at") + len(b"_login_at") + 1
        (began,) = struct.unpack(">d", data[at : at + 8])
        assert time.time() - 300 < began <= time.time()
        older = data[:at] + struct.pack(">d", began - 479 * 60) + data[at + 8 :]
        connection.execute("UPDATE session SET data = %s WHERE id = %s", (older, identity))
    browser.get("/auth/")
    token = browser.cookies()["_token"]
    assert 0 < claims(token)["exp"] - time.time() <= 60  # the new token ends with the session
    with psycopg.connect(database.url) as connection:
        over = data[:at] + struct.pack(">d", began - 481 * 60) + data[at + 8 :]
        connection.execute("UPDATE session SET data = %s WHERE id = %s", (over, identity))
    assert not is_let_in(site, {"session": browser.cookies()["session"]})


def test_a_token_of_the_rest_api_ends_with_a_session(site: Webserver) -> None:
    lasts_s = claims(site.token("viewer"))["exp"] - time.time()
    assert 479 * 60 < lasts_s <= 480 * 60


@pytest.mark.parametrize("chosen", ["", "1.2.3.4, "])
def test_after_too_many_wrong_passwords_even_the_right_one_waits(site: Webserver, chosen: str) -> None:
    address = "10.0.1.1" if chosen else "10.0.1.2"
    statuses, header = [], {"X-Forwarded-For": f"{chosen}{address}"}
    for number in range(MOST_WITH_A_NAME + 1):
        if chosen:  # what the caller makes up does not count
            header = {"X-Forwarded-For": f"1.2.3.{number}, {address}"}
        wrong = {"username": "op", "password": "wrong"}
        answer = httpx.post(f"{site.url}/auth/token", json=wrong, headers=header, timeout=TIMEOUT_S)
        statuses.append(answer.status_code)
    assert statuses == [401] * MOST_WITH_A_NAME + [429]
    assert 0 < int(answer.headers["retry-after"]) <= 60
    right = {"username": "op", "password": PASSWORD}
    assert httpx.post(f"{site.url}/auth/token", json=right, headers=header, timeout=TIMEOUT_S).status_code == 429
    # The form counts, too; another address does not wait.
    form = Browser(site.url, address=address)
    assert form.sign_in("op", PASSWORD).status_code == 429
    form.close()
    assert site.token("op")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("viewer", {"/fleet/api/fleet": {200, 503}, "/api/v2/plugins": {200}, "/api/v2/connections": {403}}),
        ("nobody", {"/fleet/api/fleet": {403}, "/api/v2/plugins": {403}, "/api/v2/dags": {403}}),
        ("op", {"/fleet/api/fleet": {200, 503}, "/api/v2/connections": {200}, "/api/v2/eventLogs": {403}}),
    ],
)
def test_each_role_sees_what_it_may(site: Webserver, user: str, expected: dict[str, set[int]]) -> None:
    token = site.token(user)
    for path, statuses in expected.items():
        assert api(site, path, token) in statuses, path
