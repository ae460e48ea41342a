"""A provider that takes connections and never answers must not occupy the threads in which the local admin signs in."""

import socket
from pathlib import Path

from local.servers.ports import HOST
from tests.support.airflows_python import asked, needs_airflow

PEOPLE = 8
ASKING = """
import time
from concurrent.futures import ThreadPoolExecutor
from oidc.fetch import LIMIT_S, ProviderAway
from sign_in.provider import Client, Provider

names = {{"client_id": "a", "client_secret": "b", "scope": "openid", "redirect_uri": "c", "signed_out_uri": "d"}}
provider = Provider(Client(issuer={issuer!r}, **names))

def ask(_):
    began = time.monotonic()
    try:
        provider.authorization_url(state="s", nonce="n", verifier="v")
    except ProviderAway as error:
        return time.monotonic() - began, str(error)

with ThreadPoolExecutor({people}) as pool:
    at_once = list(pool.map(ask, range({people})))
answer({{"limit": LIMIT_S, "at_once": at_once, "after": ask(None)}})
"""


@needs_airflow
def test_people_who_sign_in_meanwhile_wait_once_together_and_not_in_turn(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as silent:
        issuer = f"http://{HOST}:{silent.getsockname()[1]}"
        said = asked(ASKING.format(issuer=issuer, people=PEOPLE), home=tmp_path)
    assert len(said["at_once"]) == PEOPLE
    for waited_s, why in said["at_once"]:
        assert waited_s < 2 * said["limit"]
        assert "does not answer (ReadTimeout)" in why
    assert said["after"][0] < 1
