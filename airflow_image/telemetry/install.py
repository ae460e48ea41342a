"""Lets Airflow's processes send metrics and traces, if the environment says so.

Airflow asks one function for its logger of statistics. It is replaced, in the core and in the part for tasks, so that
no process makes Airflow's own, which is neither signed nor bounded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from telemetry import names, settings


def install(environment: Mapping[str, str] = os.environ) -> None:
    """Do so in this process, before Airflow makes any statistics. Raises AttributeError for another Airflow."""
    share = float(environment.get(settings.SHARE) or 0)
    # The DAG processor has no spans, and forks a process for each file.
    if share > 0 and environment.get(settings.ROLE) != settings.DAG_PROCESSOR:
        from telemetry import traces
        from telemetry.delivery import TRACES

        traces.install(share, delivery=_delivery(TRACES, environment), environment=environment)
    if (choice := environment.get(settings.SENT, names.NONE)) != names.NONE:
        _replace(choice, environment)


def _replace(choice: str, environment: Mapping[str, str]) -> None:
    from airflow.observability.metrics import stats_utils
    from airflow.sdk.observability.metrics import stats_utils as stats_of_tasks

    own: Callable[[], Any] = stats_utils.get_stats_factory
    factory = _factory(choice, environment)

    @functools.wraps(own)
    def get_stats_factory() -> Any:
        return own() if _has_statsd() else factory

    stats_utils.get_stats_factory = get_stats_factory
    stats_of_tasks.get_stats_factory = _none


def _factory(choice: str, environment: Mapping[str, str]) -> Any:
    from telemetry.delivery import METRICS
    from telemetry.stats import OneProcess, make_stats

    # Several parts of Airflow ask for a logger: all of a process share one, and its thread.
    @functools.cache
    def make() -> Any:
        from airflow.configuration import conf

        return make_stats(
            choice,
            delivery=_delivery(METRICS, environment),
            allow_list=conf.get("metrics", "metrics_allow_list", fallback=None),
            block_list=conf.get("metrics", "metrics_block_list", fallback=None),
            environment=environment,
        )

    return OneProcess(make)


def _none() -> Any:
    from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

    return NoStatsLogger


def _has_statsd() -> bool:
    """Return whether the environment's settings send metrics to StatsD or Datadog's agent instead."""
    from airflow.configuration import conf

    return any(conf.getboolean("metrics", name, fallback=False) for name in ("statsd_on", "statsd_datadog_enabled"))


def _delivery(signal: str, environment: Mapping[str, str]) -> Any:
    from telemetry.delivery import Delivery, Signer

    is_signed = environment.get(settings.IS_SIGNED) == "True"
    return Delivery(signal, signer=Signer(signal, environment) if is_signed else None)
