"""An OpenID Connect provider over HTTP, which signs people in, gives clients tokens, and lies where a test says so.

It signs with another library than the product verifies with, and checks what providers check.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from local.servers.ports import HOST
from local.servers.threads import HttpServer

METADATA_PATH, KEYS_PATH, TOKEN_PATH = "/.well-known/openid-configuration", "/keys", "/token"
AUTHORIZE_PATH, END_PATH = "/authorize", "/end"
CLIENT, SECRET = "airflow", "a-secret-of-nobody"
LIFE_S = 300
# What the provider can be told to do wrong when it signs a person in.
LIES = (
    *("signature", "issuer", "audience", "azp", "expired", "nonce", "no nonce", "none", "symmetric", "unknown key"),
    *("no token", "state"),
)

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body


class OpenIdProvider:
    """The provider, until `close()`. A test may change what it says.

    `users`: the claims of each subject. `user`: the subject that it signs in, without asking. `redirects`: where it may
    send people. `lie`: one of LIES, or empty. `metadata`, and `answers` by the path, are told in place of its own.
    `asked`: the paths of all requests.
    """

    def __init__(self) -> None:
        self.key, self.key_id = new_key(), "first"
        self.users: dict[str, dict[str, Any]] = {}
        self.user, self.lie = "", ""
        self.redirects: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._server = HttpServer(_handler(self), name="OpenID provider")
        self.issuer = f"http://{HOST}:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def describe(self) -> dict[str, Any]:
        """Return the metadata."""
        own = {
            "issuer": self.issuer,
            "authorization_endpoint": self.issuer + AUTHORIZE_PATH,
            "token_endpoint": self.issuer + TOKEN_PATH,
            "end_session_endpoint": self.issuer + END_PATH,
            "jwks_uri": self.issuer + KEYS_PATH,
        }
        return {**own, **self.metadata}

    def keys(self) -> dict[str, Any]:
        """Return the public key as a set of JSON Web Keys."""
        return {"keys": [public_key(self.key, self.key_id)]}

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on."""
        self.key, self.key_id = new_key(), key_id

    def token(self, *, key: Any = None, algorithm: str = "RS256", header: Any = None, **claims: Any) -> str:
        """Return a valid token with these claims and parts of the header in place of its own; None leaves one out.

        It is signed with the provider's key or another one. `algorithm`: RS256, none, or HS256, which takes the public
        key for a shared secret.
        """
        headers = {"typ": "JWT", "kid": self.key_id, **(header or {}), "alg": algorithm}
        now = int(time.time())
        made = {"iss": self.issuer, "iat": now, "exp": now + LIFE_S, **claims}
        parts = ({name: value for name, value in part.items() if value is not None} for part in (headers, made))
        signed = ".".join(encoded(json.dumps(part).encode()) for part in parts).encode()
        return f"{signed.decode()}.{encoded(_signature(algorithm, key or self.key, signed))}"

    def answer(self, path: str, form: dict[str, str], authorization: str) -> Answer:
        """Return the answer to a request. `form`: the fields of its query or its body."""
        if path in self.answers:
            return self.answers[path]
        ways: dict[str, Callable[[], Answer]] = {
            METADATA_PATH: lambda: _json(self.describe()),
            KEYS_PATH: lambda: _json(self.keys()),
            AUTHORIZE_PATH: lambda: self._authorize(form),
            TOKEN_PATH: lambda: self._tokens(form, authorization),
            END_PATH: lambda: _redirect(form["post_logout_redirect_uri"]),
        }
        return ways[path]() if path in ways else _json({}, status=404)

    def _authorize(self, form: dict[str, str]) -> Answer:
        """Send the browser back with a code."""
        if form.get("client_id") != CLIENT or form.get("redirect_uri") not in self.redirects:
            return _json({"error": "unknown client or redirect"}, status=400)
        if form.get("code_challenge_method") != "S256" or form.get("response_type") != "code":
            return _json({"error": "PKCE and a code are required"}, status=400)
        code = secrets.token_urlsafe(16)
        self._codes[code] = {**form, "user": self.user}
        state = "of-another-sign-in" if self.lie == "state" else form["state"]
        return _redirect(f"{form['redirect_uri']}?{urlencode({'code': code, 'state': state, 'iss': self.issuer})}")

    def _tokens(self, form: dict[str, str], authorization: str) -> Answer:
        """Give a client, which tells its secret in either way, a token of its own, or a person's for a code."""
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if authorization != basic and (form.get("client_id"), form.get("client_secret")) != (CLIENT, SECRET):
            return _json({"error": "invalid_client"}, status=401)
        given = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": LIFE_S}
        if form.get("grant_type") == "client_credentials":
            return _json({**given, "access_token": self.token(aud=form.get("audience", ""), sub=CLIENT)})
        held = self._codes.pop(form.get("code", ""), None)
        challenge = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if held is None or held["redirect_uri"] != form.get("redirect_uri") or held["code_challenge"] != challenge:
            return _json({"error": "invalid_grant"}, status=400)
        return _json(given if self.lie == "no token" else {**given, "id_token": self._id_token(held)})

    def _id_token(self, held: dict[str, str]) -> str:
        claims = {"aud": CLIENT, "nonce": held["nonce"], "sub": held["user"], **self.users[held["user"]]}
        now = int(time.time())
        lies: dict[str, dict[str, Any]] = {
            "signature": {"key": new_key()},
            "issuer": {"iss": "https://elsewhere.example"},
            "audience": {"aud": "someone-else"},
            "azp": {"aud": [CLIENT, "someone-else"], "azp": "someone-else"},
            "expired": {"iat": now - 7200, "exp": now - 3600},
            "nonce": {"nonce": "of-another-sign-in"},
            "no nonce": {"nonce": None},
            "none": {"algorithm": "none"},
            "symmetric": {"algorithm": "HS256"},
            "unknown key": {"header": {"kid": "never-published"}},
        }
        return self.token(**{**claims, **lies.get(self.lie, {})})


def _handler(provider: OpenIdProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, fields: str) -> None:
            path = urlsplit(self.path).path
            provider.asked.append(path)
            authorization = self.headers.get("Authorization", "")
            status, headers, body = provider.answer(path, dict(parse_qsl(fields)), authorization)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a new key pair."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_key(key: rsa.RSAPrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    numbers = key.public_key().public_numbers()
    n, e = (encoded(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    return {"kty": "RSA", "n": n, "e": e, "kid": key_id, "use": "sig", "alg": "RS256", **more}


def _signature(algorithm: str, key: rsa.RSAPrivateKey, signed: bytes) -> bytes:
    if algorithm.lower() == "none":
        return b""
    if algorithm == "HS256":
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hmac.digest(public, signed, hashlib.sha256)
    return key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def encoded(content: bytes) -> str:
    """Return Base64 as JSON Web Tokens have it."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _json(content: dict[str, Any], *, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def _redirect(url: str) -> Answer:
    return 302, {"Location": url}, b""
