"""Finds the stack's ECS services by how their names begin.

The functions exist before the services, which they lead, so their settings cannot hold the services' names:
CloudFormation ends each with random characters. The settings hold what comes before those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from aws_lambda_powertools import Logger

from shared.aws import AWS_ERRORS, in_words

SERVICES_A_PAGE = 100  # ListServices gives no more
# A service keeps its name; CloudFormation may replace a service by another.
ASK_AGAIN_AFTER_S = 600.0

logger = Logger()


class ServiceNames:
    """The names of a cluster's services."""

    def __init__(self, ecs: Any, *, cluster: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._ecs, self._cluster, self._clock = ecs, cluster, clock
        self._names: frozenset[str] = frozenset()
        self._listed_at: float | None = None

    def find(self, beginnings: Iterable[str]) -> dict[str, str]:
        """Return the names of the services by how they begin, without the dash before the random part.

        A beginning without a service, or with several, stands for itself, and so does a whole name. ECS lists its
        services while one is missing, and after ASK_AGAIN_AFTER_S. Never raises for AWS: names known before stay, and a
        warning says why ECS did not list them.
        """
        wanted = list(beginnings)
        if self._is_due() or not all(map(self._matches, wanted)):
            self._list()
        return {beginning: next(iter(self._matches(beginning)), beginning) for beginning in wanted}

    def _is_due(self) -> bool:
        return self._listed_at is None or self._clock() - self._listed_at >= ASK_AGAIN_AFTER_S

    def _list(self) -> None:
        pages = self._ecs.get_paginator("list_services").paginate(cluster=self._cluster, maxResults=SERVICES_A_PAGE)
        try:
            self._names = frozenset(arn.rpartition("/")[2] for page in pages for arn in page["serviceArns"])
        except AWS_ERRORS as error:
            logger.warning("the services are not listed", extra={"problem": in_words(error)})
        else:
            self._listed_at = self._clock()

    def _matches(self, beginning: str) -> tuple[str, ...]:
        if beginning in self._names:
            return (beginning,)
        found = tuple(name for name in self._names if name.startswith(f"{beginning}-"))
        return found if len(found) == 1 else ()
