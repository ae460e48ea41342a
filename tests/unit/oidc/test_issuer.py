"""Unit tests of when an issuer is asked for its metadata and keys, and what is told while it is away."""

from typing import Any

import pytest

from oidc.fetch import ProviderAway
from oidc.issuer import FRESH_S, LONGEST_S, METADATA, PAUSE_S, Issuer, UnknownKey
from tests.support.openid_provider import new_key, public_key

NAME = "https://login.example.com/realms/a/"
AUTHORIZE = "https://login.example.com/authorize"
KEYS = "https://keys.example.com/a"
KEY = new_key()


class World:
    """An issuer that is asked without a network, and a clock. `asked`: the addresses."""

    def __init__(self) -> None:
        self.now, self.is_away = 1000.0, False
        self.asked: list[str] = []
        self.keys: list[Any] = [public_key(KEY, "first")]
        self.metadata: dict[str, Any] = {"issuer": NAME, "jwks_uri": KEYS, "authorization_endpoint": AUTHORIZE}
        self.issuer = Issuer(NAME, fetch=self.fetch, clock=lambda: self.now)

    def fetch(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.is_away:
            raise ProviderAway("it is away")
        return {NAME.rstrip("/") + METADATA: self.metadata, KEYS: {"keys": self.keys}}[url]


@pytest.fixture
def world() -> World:
    return World()


def test_metadata_and_keys_are_read_together_and_kept(world: World) -> None:
    assert world.asked == []
    for _ in range(3):
        assert world.issuer.endpoint("authorization_endpoint") == AUTHORIZE
        assert world.issuer.key("first").key_id == "first"
    assert len(world.asked) == 2
    world.now += FRESH_S
    world.issuer.endpoint("authorization_endpoint")
    assert len(world.asked) == 4


def test_no_person_is_sent_to_a_provider_that_is_away_and_a_machine_s_key_is_still_known(world: World) -> None:
    world.issuer.metadata()
    world.is_away = True
    world.now += FRESH_S
    with pytest.raises(ProviderAway, match="it is away"):
        world.issuer.endpoint("authorization_endpoint")
    assert world.issuer.key("first").key_id == "first"
    world.now += LONGEST_S - FRESH_S
    with pytest.raises(ProviderAway, match=r"the keys of .* are not known: it is away"):
        world.issuer.key("first")


def test_a_provider_that_is_away_is_asked_once_in_a_while_and_then_known_again(world: World) -> None:
    world.is_away = True
    for _ in range(5):
        with pytest.raises(ProviderAway, match="it is away"):
            world.issuer.metadata()
    assert len(world.asked) == 1
    world.is_away = False
    world.now += PAUSE_S
    assert world.issuer.metadata() == world.metadata


def test_a_failure_that_an_unknown_key_found_is_over_once_the_provider_answers(world: World) -> None:
    world.issuer.key("first")
    world.is_away = True
    world.now += PAUSE_S
    with pytest.raises(ProviderAway, match=r"the present keys of .* are not known: it is away"):
        world.issuer.key("second")
    world.is_away = False
    world.now += PAUSE_S
    assert world.issuer.endpoint("authorization_endpoint") == AUTHORIZE
    with pytest.raises(UnknownKey):
        world.issuer.key("second")


def test_the_pause_begins_when_an_attempt_ends(world: World) -> None:
    def slow(_: str) -> dict[str, Any]:
        world.asked.append("slow")
        world.now += PAUSE_S
        raise ProviderAway("it is slow")

    issuer = Issuer(NAME, fetch=slow, clock=lambda: world.now)
    for _ in range(2):
        with pytest.raises(ProviderAway):
            issuer.metadata()
    assert world.asked == ["slow"]


@pytest.mark.parametrize("url", [None, 7, "", "http://login.example.com/authorize", "http://127.0.0.1/authorize"])
def test_an_address_without_tls_is_not_taken(world: World, url: Any) -> None:
    world.metadata["authorization_endpoint"] = url
    with pytest.raises(ProviderAway, match="its metadata have no usable authorization_endpoint"):
        world.issuer.endpoint("authorization_endpoint")


def test_a_key_of_no_algorithm_leaves_the_others_known(world: World) -> None:
    world.keys.insert(0, {**public_key(KEY, "none"), "alg": "none"})
    assert world.issuer.key("first").key_id == "first"
    with pytest.raises(UnknownKey):
        world.issuer.key("none")
