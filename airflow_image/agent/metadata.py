"""Asks the task metadata endpoint (version 4) which task this container belongs to."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request

TIMEOUT_S = 2.0
ATTEMPTS = 5
PAUSE_S = 1.0


class MetadataUnavailableError(Exception):
    """The endpoint did not answer, or not with a task."""


def read_task_arn(metadata_uri: str, *, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S) -> str:
    """The ARN of the task whose container has this metadata URI; raises MetadataUnavailableError after all attempts."""
    url = f"{metadata_uri}/task"
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause_s)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - Fargate gives the address
                arn = json.load(answer)["TaskARN"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            continue
        if isinstance(arn, str) and "/" in arn:
            return arn
        reason = f"TaskARN is {arn!r}"
    raise MetadataUnavailableError(f"the task metadata endpoint {url} gives no task ({reason})")
