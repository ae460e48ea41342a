"""A small OpenID Connect provider: metadata, keys, and tokens for clients with a secret, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.servers.ports import HOST
from local.servers.threads import HttpServer

METADATA_PATH, KEYS_PATH, TOKEN_PATH = "/.well-known/openid-configuration", "/keys", "/token"
CLIENT, SECRET = "ci", "a-secret-of-nobody"
LIFE_S = 300


class TokenProvider:
    """The provider, until `close()`. A test may change what it says.

    `asked`: the paths of all requests. `answers`: (status, headers, body) by the path, in place of its own.
    """

    def __init__(self) -> None:
        self.key, self.key_id = new_key(), "first"
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.metadata: dict[str, Any] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                made = {METADATA_PATH: provider.describe, KEYS_PATH: provider.keys}.get(self.path)
                body = json.dumps(made() if made else {}).encode()
                self._answer(*provider.answers.get(self.path, (200 if made else 404, {}, body)))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                asked = {name: values[0] for name, values in form.items()}
                is_known = asked.get("client_id") == CLIENT and asked.get("client_secret") == SECRET
                given = {"access_token": provider.token(aud=asked.get("audience", ""), sub=CLIENT)}
                self._answer(200 if is_known else 401, {}, json.dumps(given if is_known else {}).encode())

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = HttpServer(Handler, name="token provider")
        self.issuer = f"http://{HOST}:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.close()

    def describe(self) -> dict[str, Any]:
        """Return the metadata."""
        return {"issuer": self.issuer, "jwks_uri": self.issuer + KEYS_PATH, **self.metadata}

    def keys(self) -> dict[str, Any]:
        """Return the public key as a set of JSON Web Keys."""
        return {"keys": [public_key(self.key, self.key_id)]}

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on."""
        self.key, self.key_id = new_key(), key_id

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Return claims of a valid token, with these in place of its own; None leaves one out."""
        now = int(time.time())
        made = {"iss": self.issuer, "iat": now, "exp": now + LIFE_S, **claims}
        return {name: value for name, value in made.items() if value is not None}

    def token(self, *, key: Any = None, algorithm: str = "RS256", header: Any = None, **claims: Any) -> str:
        """Return a token, signed with the provider's key or another one."""
        headers = {name: text for name, text in {"kid": self.key_id, **(header or {})}.items() if text is not None}
        signing = None if algorithm == "none" else key or self.key
        return str(jwt.encode(self.claims(**claims), signing, algorithm=algorithm, headers=headers))

    def confused_token(self, **claims: Any) -> str:
        """Return a token whose signature takes the public key for a shared secret."""
        secret = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        header = {"alg": "HS256", "typ": "JWT", "kid": self.key_id}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, self.claims(**claims)))
        return (signed + b"." + _base64(hmac.digest(secret, signed, hashlib.sha256))).decode()


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a new key pair."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_key(key: rsa.RSAPrivateKey, key_id: str, **more: Any) -> dict[str, Any]:
    """Return the public half as a JSON Web Key."""
    described: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**described, "kid": key_id, "use": "sig", "alg": "RS256", **more}


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
