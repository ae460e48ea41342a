"""Reports to the fleet registry which versions of DAG bundles are current and in use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import redis

from agent.broker import Outage, in_words
from fleet.bundles import Bundle, Bundles
from fleet.registry import Registry


class CannotRead(Exception):
    """Airflow's database does not say which versions runs use."""


class BundleReport:
    """`read` returns the bundles as Airflow's database has them, or raises CannotRead."""

    def __init__(self, registry: Registry, read: Callable[[], Bundles], log: logging.Logger) -> None:
        self._registry, self._read = registry, read
        self._outage = Outage("versions of DAG bundles are not reported", log)

    def tick(self) -> None:
        """Report once. Never raises: a report that is not renewed expires, and its readers know nothing then."""
        try:
            found = self._read()
            known = {each.name: each for each in self._last()}
            now = self._registry.now()
            self._registry.write_bundles(tuple(_since(each, known.get(each.name), now=now) for each in found))
        except redis.RedisError as error:
            self._outage.begin(in_words(error))
        except CannotRead as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    def _last(self) -> Bundles:
        """Return the last report, also of another scheduler; nothing if it cannot be read: it is replaced then."""
        try:
            return self._registry.bundles() or ()
        except ValueError:
            return ()


def _since(found: Bundle, known: Bundle | None, *, now: float) -> Bundle:
    """Return the bundle with the time since which it has its version."""
    is_same = known is not None and known.version == found.version
    return replace(found, since=known.since if is_same and known is not None else now)
