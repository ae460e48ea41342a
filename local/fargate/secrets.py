"""Resolves the `secrets` of a container definition as the ECS agent does when a task starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ARN_PARTS = 7  # arn:aws:secretsmanager:region:account:secret:name


def resolve(secrets: Mapping[str, str], client: Any) -> dict[str, str]:
    """Return variable -> value for `secrets` (variable -> ARN[:json key:version stage:version id])."""
    values = {}
    for variable, value_from in secrets.items():
        parts = value_from.split(":")
        arn, key = ":".join(parts[:ARN_PARTS]), (parts[ARN_PARTS] if len(parts) > ARN_PARTS else "")
        secret = client.get_secret_value(SecretId=arn)["SecretString"]
        values[variable] = str(json.loads(secret)[key]) if key else secret
    return values
