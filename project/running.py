"""A file that tells commands in other terminals where the running local stack is; it holds no password."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import redis
from botocore.exceptions import BotoCoreError, ClientError

from project import paths
from project.clients import Clients
from project.errors import CommandError

NO_STACK = "no local stack is running in this checkout; start one with `make up`"


@dataclass(frozen=True, kw_only=True)
class Running:
    """The addresses of the stack's Redis and AWS API; the API holds the password of `broker_user`, who may only read.

    `invocations` is the address of Lambda's Invoke, which the AWS API does not provide; `pools` are the names of the
    worker pools.
    """

    redis_host: str
    redis_port: int
    endpoint: str
    region: str
    broker_user: str
    broker_secret_arn: str
    invocations: str
    pools: list[str]

    def broker(self) -> redis.Redis:
        """Return a client that has just answered. Raises CommandError when Redis or the AWS API does not answer."""
        try:
            secrets = Clients(self.endpoint, self.region).secretsmanager
            password = secrets.get_secret_value(SecretId=self.broker_secret_arn)["SecretString"]
            client = redis.Redis(
                host=self.redis_host,
                port=self.redis_port,
                username=self.broker_user,
                password=password,
                socket_timeout=5,
            )
            client.ping()
        except (BotoCoreError, ClientError, redis.RedisError) as error:
            raise CommandError(f"the local stack does not answer ({type(error).__name__}): {NO_STACK}") from None
        return client


@contextlib.contextmanager
def recorded(running: Running) -> Iterator[None]:
    """Keep the file, readable by this user only, while the block runs."""
    paths.RUNNING.unlink(missing_ok=True)
    paths.RUNNING.touch(mode=0o600, exist_ok=False)
    paths.RUNNING.write_text(json.dumps(asdict(running)))
    try:
        yield
    finally:
        paths.RUNNING.unlink(missing_ok=True)


def find_stack() -> Running:
    """Return the running stack. Raises CommandError when none runs."""
    try:
        return Running(**json.loads(paths.RUNNING.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        raise CommandError(NO_STACK) from None
