"""The connection to the broker's Redis, which survives a rotation of its password."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared import aws
from shared.settings import BrokerSettings

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 2.0
# A connection that the other side closed while the function was frozen is replaced silently.
RETRIES = 1

# What reading can raise: Redis's own errors, errors of reading the secret, a name that is not text.
BROKER_ERRORS: tuple[type[Exception], ...] = (redis.RedisError, *aws.AWS_ERRORS, UnicodeDecodeError)


class Broker:
    """A connection whose client has just answered. `read_password` is called at first use and after a refusal."""

    def __init__(self, settings: BrokerSettings, *, read_password: Callable[[], str]) -> None:
        self._settings = settings
        self._read_password = read_password
        self._client: redis.Redis | None = None

    def connect(self) -> redis.Redis:
        """Return a client, bytes in and out. Raises redis.RedisError, or what `read_password` raises.

        A user may have two passwords while one replaces the other. Authenticated connections stay, so only a new one
        can be refused. The secret is then read once more. A second refusal means the secret is wrong.
        """
        try:
            return self._answering_client()
        except redis.AuthenticationError:
            self.close()
            return self._answering_client()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _answering_client(self) -> redis.Redis:
        if self._client is None:
            self._client = self._new_client()
        self._client.ping()
        return self._client

    def _new_client(self) -> redis.Redis:
        options: dict[str, Any] = {}
        if self._settings.tls:
            # redis-py then uses ssl.create_default_context(): the system's trust store, or SSL_CERT_FILE.
            options = {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        return redis.Redis(
            host=self._settings.host,
            port=self._settings.port,
            username=self._settings.user,
            password=self._read_password(),
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            retry=Retry(NoBackoff(), RETRIES),
            protocol=2,  # connects with one round trip less; nothing here needs version 3
            **options,
        )


def broker_of(settings: BrokerSettings) -> Broker:
    """Return the broker with the password of its secret, without connecting or reading yet."""
    secrets = functools.cache(lambda: aws.client("secretsmanager"))
    return Broker(settings, read_password=lambda: aws.secret_string(secrets(), settings.secret_arn))


def why_not_done(error: Exception, *, refused: str = "not carried out", unclear: str = "not confirmed") -> str:
    """Return in words what an error says of a change that was asked of AWS or Redis.

    It begins with `refused` when the change was not made, and with `unclear` when it may have been.
    """
    is_refused = aws.is_refusal(error) or isinstance(error, redis.ResponseError)
    return f"{refused if is_refused else unclear}: {aws.in_words(error)}"
