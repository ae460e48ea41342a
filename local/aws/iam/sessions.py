"""Assumes roles for what runs on AWS's services, as the services do: a role must trust them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.config import Config

TASKS = "ecs-tasks.amazonaws.com"
FUNCTIONS = "lambda.amazonaws.com"
LASTS_S = 6 * 3600  # as ECS's credentials
# SDKs renew credentials that expire within 15 minutes.
RENEWED_BEFORE = timedelta(minutes=30)
CONFIG = Config(retries={"max_attempts": 3, "mode": "standard"}, read_timeout=30)


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The credentials of one session of a role."""

    role: str
    key_id: str
    secret: str
    token: str
    expires: datetime

    @property
    def variables(self) -> dict[str, str]:
        """The variables in which Lambda gives them to a function."""
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.token,
        }

    @property
    def document(self) -> dict[str, str]:
        """The answer of the endpoint from which SDKs read them in an ECS task."""
        return {
            "RoleArn": self.role,
            "AccessKeyId": self.key_id,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "Expiration": self.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Service:
    """A service of AWS that assumes roles, such as TASKS. Calls raise ClientError when a role does not trust it."""

    def __init__(self, name: str, *, endpoint: str, region: str) -> None:
        self._endpoint, self._region = endpoint, region
        # One session for all clients: it reads a service's description once. It is not thread-safe.
        self._session, self._lock = botocore.session.Session(), threading.Lock()
        self._sts = self._client("sts", key_id=name, secret="none", token=None)  # noqa: S106 - no signature is checked

    def assume(self, role: str, *, session: str) -> Credentials:
        """Return new credentials of the role."""
        given = self._sts.assume_role(RoleArn=role, RoleSessionName=session, DurationSeconds=LASTS_S)["Credentials"]
        return Credentials(
            role=role,
            key_id=given["AccessKeyId"],
            secret=given["SecretAccessKey"],
            token=given["SessionToken"],
            expires=given["Expiration"],
        )

    def client(self, service: str, credentials: Credentials) -> Any:
        """Return a client that calls with the credentials."""
        return self._client(service, key_id=credentials.key_id, secret=credentials.secret, token=credentials.token)

    def _client(self, service: str, *, key_id: str, secret: str, token: str | None) -> Any:
        with self._lock:
            return self._session.create_client(
                service,
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=CONFIG,
                aws_access_key_id=key_id,
                aws_secret_access_key=secret,
                aws_session_token=token,
            )


class RoleSession:
    """A session of a role, with credentials that are renewed before they expire. Threads may share it."""

    def __init__(self, service: Service, role: str, *, session: str) -> None:
        """Assume the role. Raises ClientError."""
        self._service, self._role, self._name = service, role, session
        self._lock = threading.Lock()
        self._credentials = service.assume(role, session=session)
        self._clients: dict[str, Any] = {}

    def credentials(self) -> Credentials:
        """Return credentials that are valid for some time. Raises ClientError or BotoCoreError."""
        with self._lock:
            if datetime.now(UTC) >= self._credentials.expires - RENEWED_BEFORE:
                self._credentials = self._service.assume(self._role, session=self._name)
                self._clients.clear()
            return self._credentials

    def client(self, service: str) -> Any:
        """Return a client of the service that calls with the present credentials."""
        credentials = self.credentials()
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._service.client(service, credentials)
            return self._clients[service]
