"""Looks for secrets in what the stack has logged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# A task's token is a JWT, made at run time and known to nobody here.
JWT = re.compile(rb"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}")
SHORTEST = 12  # of a generated secret; shorter values, such as a user's name, are no secrets


def secrets(client: Any) -> set[str]:
    """Return every value in Secrets Manager that is long enough to be one."""
    values = set()
    for page in client.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            text = client.get_secret_value(SecretId=secret["ARN"])["SecretString"]
            fields = json.loads(text).values() if text.startswith("{") else [text]
            values |= {str(value) for value in fields if len(str(value)) >= SHORTEST}
    return values


def leaking(paths: Iterable[Path], values: set[str]) -> list[Path]:
    """Return the files that hold one of the values, or a token."""
    needles = [value.encode() for value in values]
    found = []
    for path in paths:
        data = path.read_bytes()
        if JWT.search(data) or any(needle in data for needle in needles):
            found.append(path)
    return found
