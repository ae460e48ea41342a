"""Says where the running stack is, for commands that another terminal runs; holds no password."""

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
    """Where Redis and the AWS API of the stack are; the secret with Redis's password is in the latter.

    `invocations` is the address of Lambda's Invoke, which the AWS API does not play.
    """

    redis_host: str
    redis_port: int
    endpoint: str
    region: str
    broker_secret_arn: str
    invocations: str

    def broker(self) -> redis.Redis:
        """A client that has just answered; CommandError when there is none to be had."""
        try:
            secrets = Clients(self.endpoint, self.region).secretsmanager
            password = secrets.get_secret_value(SecretId=self.broker_secret_arn)["SecretString"]
            client = redis.Redis(host=self.redis_host, port=self.redis_port, password=password, socket_timeout=5)
            client.ping()
        except (BotoCoreError, ClientError, redis.RedisError) as error:
            raise CommandError(f"the local stack does not answer ({type(error).__name__}): {NO_STACK}") from None
        return client


@contextlib.contextmanager
def announced(running: Running) -> Iterator[None]:
    """The file is there, for this user only, while the block runs."""
    paths.RUNNING.unlink(missing_ok=True)
    paths.RUNNING.touch(mode=0o600, exist_ok=False)
    paths.RUNNING.write_text(json.dumps(asdict(running)))
    try:
        yield
    finally:
        paths.RUNNING.unlink(missing_ok=True)


def find() -> Running:
    """The stack that runs; CommandError when none does."""
    try:
        return Running(**json.loads(paths.RUNNING.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        raise CommandError(NO_STACK) from None
