"""AWS clients with short timeouts: a function that ticks every few seconds tries again by itself.

They come from botocore, not boto3: the same clients for half the import time (boto3 imports S3 transfers).
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.answers import CheckedParsers

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
ATTEMPTS = 2

LONGEST_REASON = 300  # characters: an error's message may be a whole page of a proxy

# Everything that a call can raise: AWS refused or throttled it, did not answer, or its answer was malformed.
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
    """Return one session for all clients: reading partitions and endpoints takes as long as the rest of a client."""
    session = botocore.session.get_session()
    session.register_component("response_parser_factory", CheckedParsers())
    return session


def leave_times_as_numbers() -> None:
    """Let clients made from now on return times as AWS's JSON has them: seconds since the epoch.

    DescribeServices returns the times of a hundred events; parsing them into dates takes milliseconds each time.
    """
    _session().get_component("response_parser_factory").set_parser_defaults(timestamp_parser=float)


def secret_string(secrets: Any, arn: str) -> str:
    """Return the secret's current value. Raises one of AWS_ERRORS."""
    value: str = secrets.get_secret_value(SecretId=arn)["SecretString"]
    return value


def in_words(error: Exception) -> str:
    """Return an error as one line: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:LONGEST_REASON]}" if lines else type(error).__name__


def is_refusal(error: Exception) -> bool:
    """Return whether AWS said that it did not do what was asked.

    After any other error it may have been done: AWS may have answered too late or unreadably, or failed half-way. So
    may the first of two attempts.
    """
    if not isinstance(error, ClientError):
        return False
    answer = error.response.get("ResponseMetadata", {})
    is_by_request = HTTPStatus.BAD_REQUEST <= answer.get("HTTPStatusCode", 0) < HTTPStatus.INTERNAL_SERVER_ERROR
    return is_by_request and not answer.get("RetryAttempts")
