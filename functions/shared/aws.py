"""AWS clients that give up early: a function that looks every few seconds tries again by itself.

botocore rather than boto3: the same clients for half the import time (boto3 brings in S3 transfers).
"""

from __future__ import annotations

import functools
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
ATTEMPTS = 2

# Everything that a call can raise: refused or throttled by AWS, or never answered.
AWS_ERRORS: tuple[type[Exception], ...] = (ClientError, BotoCoreError)


def client(service: str) -> Any:
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return _session().create_client(service, config=config)


@functools.cache
def _session() -> botocore.session.Session:
    """One for all clients: what it reads, of partitions and endpoints, takes as long as the rest of a client."""
    return botocore.session.get_session()


def leave_times_as_numbers() -> None:
    """Clients made from now on leave times as AWS's JSON has them: seconds since the epoch.

    DescribeServices tells the times of a hundred events; to make dates of them takes milliseconds each time.
    """
    _session().get_component("response_parser_factory").set_parser_defaults(timestamp_parser=float)


def secret_string(secrets: Any, arn: str) -> str:
    """The secret's present value; raises one of AWS_ERRORS."""
    value: str = secrets.get_secret_value(SecretId=arn)["SecretString"]
    return value


def in_words(error: Exception) -> str:
    """An error on one line: its kind, its first line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
