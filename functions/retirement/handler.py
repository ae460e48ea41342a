"""Entry point: runs when AWS Health says that AWS retires ECS tasks, and each hour until they are replaced.

A notice is kept as a tag on the services that it concerns, so that neither a lost invocation nor an empty Redis forgets
it. The autoscaler reads the tag of the pools' services and replaces their workers; `airflow` and `flower` are deployed
anew from here.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

from aws_lambda_powertools import Logger

from retirement.act import record, replace
from retirement.notice import SOURCE, read_notice
from retirement.settings import Settings
from shared import aws
from shared.service_names import ServiceNames

logger = Logger()


class NotCarriedOut(Exception):
    """A step failed; Lambda invokes the function again. The message says what failed."""


@functools.cache
def wiring() -> tuple[Settings, Any, ServiceNames]:
    settings, ecs = Settings.from_environment(os.environ), aws.client("ecs")
    return settings, ecs, ServiceNames(ecs, cluster=settings.cluster)


def handler(event: Any, _context: Any) -> dict[str, Any]:
    """Return {recorded, deployed}: the keys of the services. Raises NotCarriedOut."""
    settings, ecs, names = wiring()
    settings = settings.with_names(names.find(settings.services.values()))
    now = time.time()
    recorded: list[str] = []
    problems: list[str] = []
    if event.get("source") == SOURCE:
        notice = read_notice(event, cluster=settings.cluster, region=ecs.meta.region_name, now=now)
        if notice.unknown:
            logger.warning("the notice names what is unknown", extra={"unknown": list(notice.unknown)})
        recorded, problems = record(notice, settings=settings, ecs=ecs, now=now)
    deployed, more = replace(settings=settings, ecs=ecs, now=now)
    problems += more
    outcome = {"recorded": recorded, "deployed": deployed}
    (logger.warning if problems else logger.info)("retirement", extra={"retirement": outcome, "problems": problems})
    if problems:
        raise NotCarriedOut("; ".join(problems))
    return outcome
