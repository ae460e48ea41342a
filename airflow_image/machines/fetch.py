"""Fetches small JSON documents of a sign-in provider."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from machines.refusals import Unavailable

LIMIT_S = 5.0
LARGEST = 256 * 1024  # bytes; a provider's keys take a few thousand


def fetch_json(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`. Raises Unavailable: for no answer in time, a redirect, or anything else."""
    ends = time.monotonic() + LIMIT_S
    content = bytearray()
    try:
        with httpx.stream("GET", url, timeout=LIMIT_S, follow_redirects=False) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"{url} answers HTTP {answer.status_code}")
            for part in answer.iter_bytes():
                content += part
                if len(content) > LARGEST or time.monotonic() > ends:
                    raise Unavailable(f"{url} answers too much or too slowly")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"{url} does not answer ({type(error).__name__})") from None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Unavailable(f"{url} answers no JSON object")
    return document
