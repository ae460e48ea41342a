"""Read a function's environment into settings; errors name the variable that is missing or wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BROKER_HOST = "BROKER_HOST"
BROKER_PORT = "BROKER_PORT"
BROKER_SCHEME = "BROKER_SCHEME"
BROKER_USER = "BROKER_USER"
BROKER_SECRET_ARN = "BROKER_SECRET_ARN"  # noqa: S105 - the variable's name
CLUSTER = "CLUSTER"

SCHEME_PLAIN = "redis"
SCHEME_TLS = "rediss"

Environment = Mapping[str, str]


class SettingsError(ValueError):
    """The environment lacks a variable, or a variable has an invalid value."""


@dataclass(frozen=True, kw_only=True)
class BrokerSettings:
    """Where the broker's Redis is, who signs in, and which secret holds the password."""

    host: str
    port: int
    tls: bool
    user: str
    secret_arn: str

    @classmethod
    def from_environment(cls, environment: Environment) -> BrokerSettings:
        scheme = required(environment, BROKER_SCHEME)
        if scheme not in (SCHEME_PLAIN, SCHEME_TLS):
            raise SettingsError(f"{BROKER_SCHEME} is {scheme!r}: it must be {SCHEME_PLAIN} or {SCHEME_TLS}")
        return cls(
            host=required(environment, BROKER_HOST),
            port=whole_number(required(environment, BROKER_PORT), name=BROKER_PORT, lowest=1),
            tls=scheme == SCHEME_TLS,
            user=required(environment, BROKER_USER),
            secret_arn=required(environment, BROKER_SECRET_ARN),
        )


def required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"the environment variable {name} is missing")
    return value


def whole_number(value: Any, *, name: str, lowest: int = 0) -> int:
    """Return `value`, a number or its digits, as an int of at least `lowest`. Raises SettingsError."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or value < lowest:
        raise SettingsError(f"{name} is {value!r}: it must be a whole number of at least {lowest}")
    return value


def json_value(environment: Environment, name: str) -> Any:
    value = required(environment, name)
    try:
        return json.loads(value)
    except ValueError:
        raise SettingsError(f"the environment variable {name} is not JSON") from None
