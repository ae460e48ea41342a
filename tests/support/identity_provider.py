"""An OpenID Connect provider in a process of its own: it checks what providers check, and lies where a test says so.

`python -m tests.support.identity_provider PORT`. Its users, groups and lies are set by PUT /control; it
signs in, without asking, the user that /control names.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

from local.servers import process
from local.servers.ports import HOST, free_port
from project.paths import ROOT
from project.waiting import wait_until

CLIENT_ID, CLIENT_SECRET = "airflow", "secret-of-the-client"
KEY_ID = "first"
LASTS_S = 300
# What the provider can be told to do wrong.
LIES = (
    *("signature", "issuer", "audience", "azp", "expired", "nonce", "no nonce", "none", "symmetric", "unknown key"),
    *("no token", "state"),
)


def application(issuer: str) -> Flask:
    """Return the provider. `state["user"]` is signed in; `state["users"]` has the claims of each subject."""
    app = Flask(__name__)
    key, other = RSAKey.generate_key(2048, {"kid": KEY_ID}), RSAKey.generate_key(2048, {"kid": KEY_ID})
    state: dict[str, Any] = {"user": "", "users": {}, "lie": "", "redirects": []}
    codes: dict[str, dict[str, str]] = {}
    seen: list[dict[str, Any]] = []

    def sign(claims: dict[str, Any]) -> str:
        lie, header = state["lie"], {"alg": "RS256", "kid": KEY_ID}
        match lie:
            case "none":
                return f"{_signed_part({'alg': 'none', 'kid': KEY_ID}, claims)}."
            case "symmetric":  # with the public key in the place of a password
                text = _signed_part({"alg": "HS256", "kid": KEY_ID}, claims)
                return f"{text}.{_encoded(hmac.digest(key.as_pem(private=False), text.encode(), 'sha256'))}"
            case "unknown key":
                header["kid"] = "never-published"
        return jwt.encode(header, claims, other if lie == "signature" else key)

    @app.get("/.well-known/openid-configuration")  # type: ignore[untyped-decorator]
    def metadata() -> Response:
        return jsonify(
            issuer=issuer,
            authorization_endpoint=f"{issuer}/authorize",
            token_endpoint=f"{issuer}/token",
            end_session_endpoint=f"{issuer}/end",
            jwks_uri=f"{issuer}/keys",
        )

    @app.get("/keys")  # type: ignore[untyped-decorator]
    def keys() -> Response:
        return jsonify(keys=[key.as_dict(private=False) | {"use": "sig", "alg": "RS256"}])

    @app.get("/authorize")  # type: ignore[untyped-decorator]
    def authorize() -> Any:
        asked = request.args.to_dict()
        seen.append({"authorize": asked})
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") not in state["redirects"]:
            return Response(f"unknown client or redirect: {asked}", 400)
        if asked.get("code_challenge_method") != "S256" or asked.get("response_type") != "code":
            return Response("PKCE and a code are required", 400)
        code = secrets.token_urlsafe(16)
        codes[code] = {**asked, "user": state["user"]}
        given = "of-another-sign-in" if state["lie"] == "state" else asked["state"]
        return redirect(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': given, 'iss': issuer})}")

    @app.post("/token")  # type: ignore[untyped-decorator]
    def token() -> Any:
        form, login = request.form, request.authorization
        seen.append({"token": form.to_dict()})
        if login is None or (login.username, login.password) != (CLIENT_ID, CLIENT_SECRET):
            return jsonify(error="invalid_client"), 401
        held = codes.pop(form.get("code", ""), None)
        challenge = _encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if held is None or held["redirect_uri"] != form.get("redirect_uri") or held["code_challenge"] != challenge:
            return jsonify(error="invalid_grant"), 400
        lie, now = state["lie"], int(time.time())
        claims = {
            "iss": "https://elsewhere.example" if lie == "issuer" else issuer,
            "aud": "someone-else" if lie == "audience" else CLIENT_ID,
            "iat": now - 7200 if lie == "expired" else now,
            "exp": now - 3600 if lie == "expired" else now + LASTS_S,
            "nonce": "of-another-sign-in" if lie == "nonce" else held["nonce"],
            "sub": held["user"],
            **state["users"][held["user"]],
        }
        if lie == "azp":
            claims |= {"aud": [CLIENT_ID, "someone-else"], "azp": "someone-else"}
        if lie == "no nonce":
            del claims["nonce"]
        answer = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": LASTS_S}
        return jsonify(answer if lie == "no token" else answer | {"id_token": sign(claims)})

    @app.get("/end")  # type: ignore[untyped-decorator]
    def end() -> Any:
        seen.append({"end": request.args.to_dict()})
        return redirect(request.args["post_logout_redirect_uri"])

    @app.put("/control")  # type: ignore[untyped-decorator]
    def control() -> Response:
        state.update(request.get_json())
        return jsonify(seen)

    return app


def _signed_part(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class IdentityProvider:
    """A running provider."""

    issuer: str

    def tell(self, **state: Any) -> list[dict[str, Any]]:
        """Set what it holds; return what it was asked so far."""
        answer = httpx.put(f"{self.issuer}/control", json=state, timeout=20).raise_for_status()
        asked: list[dict[str, Any]] = answer.json()
        return asked


@contextlib.contextmanager
def identity_provider(folder: Path, *, port: int | None = None) -> Iterator[IdentityProvider]:
    """Run a provider until the block ends."""
    port = port or free_port()
    provider = IdentityProvider(issuer=f"http://{HOST}:{port}")
    command = [sys.executable, "-m", "tests.support.identity_provider", str(port)]
    child = process.spawn(command, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT, log_path=folder / "provider.log")
    try:
        wait_until(lambda: _answers(provider), what="start of the provider", timeout_s=120)
        yield provider
    finally:
        process.stop(child)


def _answers(provider: IdentityProvider) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{provider.issuer}/keys", timeout=5).status_code == 200
    return False


if __name__ == "__main__":
    number = int(sys.argv[1])
    make_server(HOST, number, application(f"http://{HOST}:{number}"), threaded=True).serve_forever()
