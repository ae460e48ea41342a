"""Asks a provider over HTTP, within limits of time and size."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

LIMIT_S = 5.0
LARGEST = 256 * 1024  # bytes; a provider's keys take a few thousand


class ProviderAway(Exception):
    """The provider does not answer, or answers what is no answer; the message says what, and holds no secret."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer, whatever its HTTP status."""

    url: str
    status: int
    content: bytes

    def document(self) -> dict[str, Any]:
        """Return the JSON object in it. Raises ProviderAway."""
        try:
            document = json.loads(self.content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise ProviderAway(f"{self.url} answers no JSON object")
        return document


def ask(method: str, url: str, **how: Any) -> Answer:
    """Return the answer; `how`: further arguments of `httpx.stream`. Raises ProviderAway; follows no redirect."""
    ends = time.monotonic() + LIMIT_S
    content = bytearray()
    try:
        with httpx.stream(method, url, timeout=LIMIT_S, follow_redirects=False, **how) as answer:
            for part in answer.iter_bytes():
                content += part
                if len(content) > LARGEST or time.monotonic() > ends:
                    raise ProviderAway(f"{url} answers too much or too slowly")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ProviderAway(f"{url} does not answer ({type(error).__name__})") from None
    return Answer(url=url, status=answer.status_code, content=bytes(content))


def fetch_json(url: str) -> dict[str, Any]:
    """Return the JSON object at `url`. Raises ProviderAway."""
    answer = ask("GET", url)
    if answer.status != httpx.codes.OK:
        raise ProviderAway(f"{url} answers HTTP {answer.status}")
    return answer.document()
