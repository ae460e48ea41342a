"""Tells of calls that the stack's AWS API refused because a role's policies do not allow them."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from local.aws.backend.settings import ACCESS_PATH

log = logging.getLogger(__name__)

POLL_S = 1.0
TIMEOUT_S = 10


class Refusals:
    """Asks the API for them, and calls `say` with one line for each new one."""

    def __init__(self, endpoint: str, say: Callable[[str], None]) -> None:
        self._url, self._say = endpoint + ACCESS_PATH, say
        self._said: set[str] = set()
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self._thread.join()

    def seen(self) -> tuple[str, ...]:
        """Return every refusal so far, and tell of the new ones. Raises OSError when the API does not answer."""
        refused = tuple(_access(self._url)["refused"])
        with self._lock:
            for message in refused:
                if message not in self._said:
                    self._said.add(message)
                    log.warning("refused: %s", message)
                    self._say(message)
        return refused

    def used(self) -> Mapping[str, list[str]]:
        """Return the actions that were allowed, by the names of roles. Raises OSError."""
        used: Mapping[str, list[str]] = _access(self._url)["used"]
        return used

    def _run(self) -> None:
        while not self._closing.wait(POLL_S):
            try:
                self.seen()
            except (OSError, HTTPException, ValueError) as error:  # the API is watched elsewhere
                log.info("the AWS API does not tell of refusals: %s", error)


def _access(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the embedded API's own address
        found: dict[str, Any] = json.load(answer)
    return found
