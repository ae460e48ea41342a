"""Unit tests of the sign-ins that a browser has begun, and of their cookies."""

from dataclasses import replace

import pytest
from itsdangerous import URLSafeSerializer

from sign_in import flows

COOKIES = flows.Cookies("a-secret-of-nobody")
FLOW = flows.begin(target="/dags", now=1000.0)
SENT = {FLOW.cookie: COOKIES.value(FLOW), "session": "1"}


def test_a_flow_is_known_in_the_browser_that_began_it_to_every_webserver_with_the_secret() -> None:
    assert flows.Cookies("a-secret-of-nobody").find(SENT, state=FLOW.state, now=1001.0) == FLOW


@pytest.mark.parametrize("state", ["other", "", FLOW.state + "x"], ids=["other", "empty", "longer"])
def test_another_state_is_not_known(state: str) -> None:
    assert COOKIES.find(SENT, state=state, now=1001.0) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        SENT[FLOW.cookie] + "x",
        SENT[FLOW.cookie].partition(".")[0],
        flows.Cookies("another-secret").value(FLOW),
        COOKIES.value(flows.begin(target="/", now=1000.0)),  # of another sign-in
        URLSafeSerializer("a-secret-of-nobody").dumps({"state": FLOW.state}),  # made for something else
        URLSafeSerializer("a-secret-of-nobody", salt=flows.SALT).dumps({"state": FLOW.state}),  # of another release
    ],
    ids=["empty", "text", "longer", "part", "secret", "other", "made-for-something-else", "other-release"],
)
def test_a_cookie_that_was_not_made_for_this_sign_in_is_not_taken(value: str) -> None:
    assert COOKIES.find({FLOW.cookie: value}, state=FLOW.state, now=1001.0) is None


@pytest.mark.parametrize(("now", "is_known"), [(939.0, False), (999.5, True), (1599.0, True), (1600.0, False)])
def test_a_flow_lasts_ten_minutes_by_the_clock_of_any_webserver(now: float, is_known: bool) -> None:
    assert (COOKIES.find(SENT, state=FLOW.state, now=now) is not None) is is_known


def test_a_new_flow_takes_the_place_of_the_oldest_and_of_what_has_ended() -> None:
    begun = [replace(FLOW, state=f"{number}", began=1000.0 + number) for number in range(flows.MOST + 1)]
    sent = {flow.cookie: COOKIES.value(flow) for flow in reversed(begun)}
    assert COOKIES.surplus(sent, now=1010.0) == ["sign_in_0", "sign_in_1"]
    assert COOKIES.surplus({**sent, "sign_in_x": "forged", "session": "1"}, now=1604.0) == [
        *("sign_in_0", "sign_in_1", "sign_in_2", "sign_in_3", "sign_in_4", "sign_in_x")
    ]
    assert COOKIES.surplus(SENT, now=1010.0) == []


def test_secrets_are_long_and_of_one_flow_each_and_a_cookie_fits_a_browser() -> None:
    begun = [flows.begin(target="/" * flows.LONGEST_TARGET, now=1000.0) for _ in range(3)]
    secrets = {value for flow in begun for value in (flow.state, flow.nonce, flow.verifier)}
    assert len(secrets) == 9
    assert min(map(len, secrets)) >= 43
    assert max(len(flow.cookie) + len(COOKIES.value(flow)) for flow in begun) < 3000
