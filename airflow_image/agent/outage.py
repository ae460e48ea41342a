"""Says once that something is wrong, and once that it is over."""

from __future__ import annotations

import logging


class Outage:
    """One thing that can be wrong, such as "the broker is away"."""

    def __init__(self, what: str, log: logging.Logger) -> None:
        self._what = what
        self._log = log
        self._lasts = False

    def begin(self, why: object) -> None:
        """Called at every failure; logs the first of a row."""
        if not self._lasts:
            self._log.warning("fleet: %s: %s", self._what, why)
        self._lasts = True

    def end(self) -> None:
        """Called at every success; logs the first after a failure."""
        if self._lasts:
            self._log.warning("fleet: no longer: %s", self._what)
        self._lasts = False
