"""Tokens of an OpenID Connect provider that serves its keys over HTTP: which are accepted, and as whom."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from machines.machine import Machine
from machines.refusals import BadProof, NotMapped, Unavailable
from machines.rules import parse_rules
from machines.tokens import LONGEST, Tokens
from oidc.fetch import ProviderAway
from oidc.issuer import FRESH_S, LONGEST_S, MOST_KEYS, PAUSE_S, Issuer, UnknownKey
from tests.support.openid_provider import (
    CLIENT,
    KEYS_PATH,
    METADATA_PATH,
    SECRET,
    TOKEN_PATH,
    OpenIdProvider,
    new_key,
    public_key,
)

AUDIENCE = "airflow:123456789012:eu-central-1:airflow-local"
JOB: dict[str, Any] = {
    "repository": "acme/dags",
    "ref": "refs/heads/main",
    "aud": AUDIENCE,
    "sub": "repo:acme/dags",
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    running = OpenIdProvider()
    yield running
    running.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(provider: OpenIdProvider, clock: Clock) -> Tokens:
    lines = (
        f"Op: issuer={provider.issuer} repository=acme/dags ref=refs/heads/main",
        f"Viewer: issuer={provider.issuer} repository=acme/dags",
        f"User: issuer={provider.issuer} sub={CLIENT} audience=api://airflow",
        f"Admin: issuer={provider.issuer} sub=robot is_trusted=true level=3",
    )
    rules = parse_rules("\n".join(lines), audience=AUDIENCE)
    return Tokens(rules.tokens, make_issuer=lambda name: Issuer(name, clock=clock))


def test_a_job_s_token_has_the_role_of_the_first_line_whose_claims_it_has(
    provider: OpenIdProvider, tokens: Tokens
) -> None:
    machine = tokens.identify(provider.token(**JOB, jti="j1", run_id="7"))
    assert machine == Machine(identity=f"{provider.issuer}#repo:acme/dags", role="Op", detail="jti j1, run_id 7")
    assert machine.username == f"machine:{provider.issuer}#repo:acme/dags"
    assert tokens.identify(provider.token(**{**JOB, "ref": "refs/heads/x"})).role == "Viewer"


def test_a_client_s_own_token_is_accepted_with_the_audience_that_its_line_names(
    provider: OpenIdProvider, tokens: Tokens
) -> None:
    def token(audience: str) -> str:
        form = {"client_id": CLIENT, "client_secret": SECRET, "audience": audience, "grant_type": "client_credentials"}
        return str(httpx.post(provider.issuer + TOKEN_PATH, data=form).raise_for_status().json()["access_token"])

    assert tokens.identify(token("api://airflow")).role == "User"
    with pytest.raises(NotMapped):  # the audience of other lines
        tokens.identify(token(AUDIENCE))
    with pytest.raises(BadProof, match="it was made for another audience"):
        tokens.identify(token("api://other"))


def test_a_claim_that_is_no_text_is_compared_as_text_and_a_list_never(provider: OpenIdProvider, tokens: Tokens) -> None:
    robot: dict[str, Any] = {"aud": [AUDIENCE, "x"], "sub": "robot", "is_trusted": True, "level": 3}
    assert tokens.identify(provider.token(**robot)).role == "Admin"
    for changed in ({"level": ["3"]}, {"is_trusted": "yes"}, {"level": None}, {"level": 3.0}):
        with pytest.raises(NotMapped):
            tokens.identify(provider.token(**{**robot, **changed}))


def test_who_is_not_mapped_is_told_as_whom_it_was_taken(provider: OpenIdProvider, tokens: Tokens) -> None:
    with pytest.raises(NotMapped) as caught:
        tokens.identify(provider.token(**{**JOB, "repository": "acme/other", "sub": "repo:acme/other:main"}))
    assert str(caught.value) == f"no role is mapped to {provider.issuer}#repo:acme/other:main"
    assert caught.value.status == 403


def now() -> int:
    """Return this second: minutes may pass between the collection of tests and one of them."""
    return int(time.time())


REFUSED: dict[str, tuple[Callable[[OpenIdProvider], str], str]] = {
    "wrong issuer": (
        lambda p: p.token(**JOB, iss="https://login.example.com"),
        "its issuer is not one that a line of MachineRoles names",
    ),
    "almost the issuer": (lambda p: p.token(**JOB, iss=p.issuer + "/"), "its issuer is not one that"),
    "no issuer": (lambda p: p.token(**JOB, iss=None), "its issuer is not one that"),
    "wrong audience": (lambda p: p.token(**{**JOB, "aud": "sts.amazonaws.com"}), "it was made for another audience"),
    "no audience": (lambda p: p.token(**{**JOB, "aud": None}), "it lacks one of the claims exp, iat, iss, aud, sub"),
    "another's signature": (lambda p: p.token(**JOB, key=new_key()), "its signature is not of the issuer's key"),
    "changed": (lambda p: _changed(p.token(**JOB), p), "its signature is not of the issuer's key"),
    "no signature": (lambda p: p.token(**JOB, algorithm="none"), "an algorithm that is not allowed"),
    "no signature, other case": (lambda p: p.token(**JOB, algorithm="nOnE"), "an algorithm that is not allowed"),
    "public key as secret": (lambda p: p.token(**JOB, algorithm="HS256"), "an algorithm that is not allowed"),
    "unknown key": (lambda p: p.token(**JOB, header={"kid": "other"}), "it is signed with none of the issuer's keys"),
    "no key": (lambda p: p.token(**JOB, header={"kid": None}), "its header names no key"),
    "what is not known here": (lambda p: p.token(**JOB, header={"crit": ["b64"]}), "it is not|needs what is not known"),
    "expired": (lambda p: p.token(**JOB, iat=now() - 400, exp=now() - 90), "it has expired"),
    "not valid yet": (lambda p: p.token(**JOB, nbf=now() + 600), "it is not valid yet"),
    "made in the future": (lambda p: p.token(**JOB, iat=now() + 600, exp=now() + 900), "it is not valid yet"),
    "never expires": (lambda p: p.token(**JOB, exp=None), "it lacks one of the claims"),
    "of unknown age": (lambda p: p.token(**JOB, iat=None), "it lacks one of the claims"),
    "valid too long": (lambda p: p.token(**JOB, exp=now() + 100_000), "it is valid for more than a day"),
    "no subject": (lambda p: p.token(**{**JOB, "sub": None}), "it lacks one of the claims"),
    "subject with a line break": (lambda p: p.token(**{**JOB, "sub": "a\nb"}), "its subject is not a name"),
    "endless subject": (lambda p: p.token(**{**JOB, "sub": "a" * 256}), "its subject is not a name"),
    "no token": (lambda _: "not-a-token", "it is not a JSON Web Token"),
    "empty": (lambda _: "", "it is not a JSON Web Token"),
    "deeply nested": (lambda _: "a." + "W1tb" * 3000 + ".c", "it is not a JSON Web Token"),
    "too long": (lambda p: p.token(**JOB, more="x" * LONGEST), "it is too long"),
}


def _changed(token: str, provider: OpenIdProvider) -> str:
    """Give the token another token's claims."""
    head, _, signature = token.split(".")
    claims = provider.token(**{**JOB, "ref": "refs/heads/x"}).split(".")[1]
    return f"{head}.{claims}.{signature}"


@pytest.mark.parametrize("case", REFUSED)
def test_a_token_that_does_not_hold_is_refused(provider: OpenIdProvider, tokens: Tokens, case: str) -> None:
    make, why = REFUSED[case]
    token = make(provider)
    with pytest.raises(BadProof, match=why) as caught:
        tokens.identify(token)
    assert caught.value.status == 401
    assert not [part for part in token.split(".") if len(part) > 5 and part in str(caught.value)]


def test_keys_are_fetched_once_and_again_for_a_key_that_is_not_known(
    provider: OpenIdProvider, tokens: Tokens, clock: Clock
) -> None:
    for _ in range(3):
        tokens.identify(provider.token(**JOB))
    assert provider.asked == [METADATA_PATH, KEYS_PATH]
    provider.rotate("second")
    clock.now += PAUSE_S
    assert tokens.identify(provider.token(**JOB)).role == "Op"
    assert len(provider.asked) == 4


def test_forged_keys_do_not_make_the_provider_be_asked_again_and_again(
    provider: OpenIdProvider, tokens: Tokens, clock: Clock
) -> None:
    for number in range(20):
        with pytest.raises(BadProof, match="none of the issuer's keys"):
            tokens.identify(provider.token(**JOB, header={"kid": str(number)}))
    assert len(provider.asked) == 2
    clock.now += PAUSE_S
    with pytest.raises(BadProof):
        tokens.identify(provider.token(**JOB, header={"kid": "more"}))
    assert len(provider.asked) == 4


def test_a_withdrawn_key_is_refused_some_minutes_later(provider: OpenIdProvider, tokens: Tokens, clock: Clock) -> None:
    token = provider.token(**JOB)
    tokens.identify(token)
    provider.rotate("second")
    clock.now += FRESH_S
    with pytest.raises(BadProof, match="none of the issuer's keys"):
        tokens.identify(token)


def test_known_keys_serve_for_an_hour_while_the_provider_is_away(
    provider: OpenIdProvider, tokens: Tokens, clock: Clock
) -> None:
    tokens.identify(provider.token(**JOB))
    provider.answers[METADATA_PATH] = (503, {}, b"")
    clock.now += LONGEST_S - 1
    assert tokens.identify(provider.token(**JOB)).role == "Op"
    # A new key may be the provider's: no one can tell.
    with pytest.raises(Unavailable, match="answers HTTP 503"):
        tokens.identify(provider.token(**JOB, header={"kid": "new"}))
    clock.now += 1
    with pytest.raises(Unavailable, match=r"are not known: .*answers HTTP 503"):
        tokens.identify(provider.token(**JOB))
    del provider.answers[METADATA_PATH]
    clock.now += PAUSE_S
    assert tokens.identify(provider.token(**JOB)).role == "Op"


BAD_ANSWERS = {
    "a redirect": (METADATA_PATH, (302, {"Location": "http://127.0.0.1/"}, b""), "answers HTTP 302"),
    "no JSON": (METADATA_PATH, (200, {}, b"<html>"), "answers no JSON object"),
    "a list": (METADATA_PATH, (200, {}, b"[]"), "answers no JSON object"),
    "too much": (KEYS_PATH, (200, {}, b" " * 300_000), "answers too much"),
    "no keys": (KEYS_PATH, (200, {}, b"{}"), "its keys are no list"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_a_provider_that_answers_otherwise_is_away(provider: OpenIdProvider, tokens: Tokens, case: str) -> None:
    path, provider.answers[path], why = BAD_ANSWERS[case]
    with pytest.raises(Unavailable, match=why) as caught:
        tokens.identify(provider.token(**JOB))
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"issuer": "https://login.example.com"}, "its metadata name another issuer"),
        ({"jwks_uri": "file:///etc/passwd"}, "its metadata have no usable jwks_uri"),
        ({"jwks_uri": "http://169.254.170.2/v2/credentials"}, "its metadata have no usable jwks_uri"),
        ({"jwks_uri": None}, "its metadata have no usable jwks_uri"),
    ],
)
def test_keys_are_fetched_only_from_where_the_issuer_may_have_them(
    provider: OpenIdProvider, tokens: Tokens, metadata: dict[str, str | None], why: str
) -> None:
    provider.metadata = metadata
    with pytest.raises(Unavailable, match=why):
        tokens.identify(provider.token(**JOB))


def test_an_issuer_elsewhere_names_no_address_on_this_machine() -> None:
    issuer = "https://login.example.com"
    documents = {issuer + METADATA_PATH: {"issuer": issuer, "jwks_uri": "http://127.0.0.1:8080/execution/keys"}}
    with pytest.raises(ProviderAway, match="its metadata have no usable jwks_uri"):
        Issuer(issuer, fetch=documents.__getitem__).key("k")


def test_only_strong_public_keys_for_signatures_are_used(provider: OpenIdProvider) -> None:
    strong = public_key(provider.key, "strong")
    listed = [
        strong,
        public_key(new_key(1024), "weak"),
        {**strong, "kid": "encryption", "use": "enc"},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
        {**strong, "kid": 7},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        "text",
        *({**strong, "kid": f"beyond-{number}"} for number in range(MOST_KEYS)),
    ]
    documents = {
        provider.issuer + METADATA_PATH: provider.describe(),
        provider.issuer + KEYS_PATH: {"keys": listed},
    }
    issuer = Issuer(provider.issuer, fetch=documents.__getitem__)
    assert issuer.key("strong").key_id == "strong"
    for key_id in ("weak", "encryption", "secret", "broken", f"beyond-{MOST_KEYS - 1}"):
        with pytest.raises(UnknownKey):
            issuer.key(key_id)
