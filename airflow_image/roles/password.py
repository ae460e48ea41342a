"""Reads the database's password again when the database refuses the known one, as it does after a rotation."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

REFUSED = "password authentication failed"  # Postgres's message, which is part of each driver's error
HOST = "DATABASE_HOST"
SECRET_ARN = "DATABASE_SECRET_ARN"  # noqa: S105 - the variable's name

log = logging.getLogger(__name__)


class SecretUnreadable(Exception):
    """The secret could not be read; the message says why and holds nothing of it."""


def read_password(secret_arn: str) -> str:
    """Return the present password from a secret in RDS's format. Raises SecretUnreadable."""
    import boto3  # takes half a second, which only a refused process has to spend
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        secret = boto3.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"]
        password = json.loads(secret)["password"]
    except (BotoCoreError, ClientError) as error:
        raise SecretUnreadable(f"{type(error).__name__}: {error}") from None
    except (ResponseParserError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SecretUnreadable(f"the answer is not whole ({type(error).__name__})") from None
    if not isinstance(password, str) or not password:
        raise SecretUnreadable("it has no password")
    return password


class Rotation:
    """Connects to the database at `host`; `read` gives the present password. Other databases are not affected."""

    def __init__(self, *, host: str, read: Callable[[], str]) -> None:
        self._host = host
        self._read = read
        self._latest: str | None = None

    def connect(self, open_connection: Callable[..., Any], *, refusals: tuple[type[Exception], ...], **how: Any) -> Any:
        """Return `open_connection(**how)` with the present password; raise other errors of it.

        If the secret cannot be read, the refusal stands: callers try again as after any error of the database.
        """
        if how.get("host") != self._host:
            return open_connection(**how)
        if self._latest is not None:
            how["password"] = self._latest
        try:
            return open_connection(**how)
        except refusals as error:
            if REFUSED not in str(error):
                raise
            try:
                self._latest = self._read()
            except SecretUnreadable as unreadable:
                log.warning("The database refuses the known password, and its secret cannot be read: %s", unreadable)
                raise error from None
        return open_connection(**{**how, "password": self._latest})


def rotation_of(given: Mapping[str, str]) -> Rotation | None:
    """Return the rotation of the container's database; None where its password has no secret."""
    arn, host = given.get(SECRET_ARN), given.get(HOST)
    return Rotation(host=host, read=lambda: read_password(arn)) if arn and host else None


def follow_rotation() -> None:
    """Make every SQLAlchemy engine of this process survive a rotation, in whichever library it is made."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    rotation = rotation_of(os.environ)
    if rotation is None:
        return

    def connect(dialect: Any, _record: Any, arguments: list[Any], parameters: dict[str, Any]) -> Any:
        driver = dialect.loaded_dbapi
        # SQLAlchemy's adapter lets asyncpg's own errors through while it connects.
        own = getattr(driver, "asyncpg", None)
        refusals = (driver.Error,) if own is None else (driver.Error, own.PostgresError)
        return rotation.connect(lambda **how: dialect.connect(*arguments, **how), refusals=refusals, **parameters)

    event.listen(Engine, "do_connect", connect)
