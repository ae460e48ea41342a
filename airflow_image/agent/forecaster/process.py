"""The process beside the scheduler that forecasts, each minute, the slots that scheduled runs will need.

It also reports on Airflow's work, some times a minute (agent.work_report), and after each forecast it adds up what
tasks have cost (agent.costs). It only reads Airflow's database. Its forecasts expire: without them workers are scaled
by the backlog alone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType

import redis
from airflow.configuration import conf
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from agent import heartbeat, variables
from agent.broker import Outage, connect, registry_of
from agent.costs import accounts
from agent.costs.accounts import Accounts
from agent.forecaster.forecast import LATE_S, TICK_EVERY_S, forecast
from agent.forecaster.overdue import OLDEST_AGE_S, Overdue
from agent.forecaster.past_use import past_use
from agent.forecaster.schedule import Schedule, runs_under_way
from agent.read_only import read_only
from agent.work_report.files import Setup
from agent.work_report.process import WorkReporter
from fleet.registry import Registry
from fleet.work import DEFAULT_LIMITS, LIMITS, WorkLimits, parse_limits

log = logging.getLogger(__name__)

# A statement takes a fraction of a second over a million task instances; a slower one would hinder the scheduler.
STATEMENT_TIMEOUT_MS = 5_000
# Reports of the work are read each minute, and one may fail.
WORK_EVERY_S = 20.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`pool_of`: the pool of each queue. Slots are the mean of `runs` past runs, over the first `window_s` of each.

    `ahead_s`: 0 for no forecast. `keep_days`: for how long the database keeps records; 0 for all time.
    """

    pool_of: Mapping[str, str]
    ahead_s: float
    runs: int
    window_s: float
    keep_days: int = 0
    limits: WorkLimits

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings that the entrypoint put into the environment; raise KeyError or ValueError for others."""
        return cls(
            pool_of=json.loads(environment[variables.POOL_OF_QUEUE]),
            ahead_s=60.0 * int(environment[variables.FORECAST_MINUTES]),
            runs=int(environment[variables.FORECAST_RUNS]),
            window_s=float(environment[variables.FORECAST_WINDOW_S]),
            keep_days=int(environment.get(variables.CLEAN_KEEP_DAYS) or 0),
            limits=parse_limits(environment.get(LIMITS) or DEFAULT_LIMITS),
        )


class Forecaster:
    """Forecasts for all pools. Without broker or database `tick` does not raise; the last forecast expires."""

    def __init__(self, settings: Settings, *, engine: Engine, registry: Registry) -> None:
        self._settings, self._engine, self._registry = settings, engine, registry
        self._schedule = Schedule()
        self._overdue = Overdue(keep_days=settings.keep_days, write=log.info)
        self._outage = Outage("nothing can be forecast", log)

    def tick(self) -> None:
        """Forecast once, for all pools."""
        try:
            self._tick()
        except (SQLAlchemyError, redis.RedisError) as error:
            self._outage.begin(error)
        else:
            self._outage.end()

    def _tick(self) -> None:
        settings, now = self._settings, self._registry.now()
        with Session(self._engine) as session:
            self._overdue.tick(lambda: session.scalar(text(OLDEST_AGE_S)), now=now)
            if not settings.ahead_s:
                return
            under_way = runs_under_way(session, since=now - settings.window_s, until=now)
            due = self._schedule.due_runs(session, since=now - LATE_S, until=now + settings.ahead_s)
            # The scheduler may create a run between the two statements; both then return it, and it counts once.
            runs = dict.fromkeys((*under_way, *due))
            dag_ids = {run.dag_id for run in runs}
            past = past_use(session, dag_ids, runs=settings.runs, window_s=settings.window_s)
        forecasts = forecast(runs, past, pool_of=settings.pool_of, since=now - LATE_S)
        for pool, expected in forecasts.items():
            self._registry.write_forecast(pool, expected)


def airflow_setup() -> Setup:
    """Return what the report on the work needs of Airflow's settings."""
    return Setup(
        triggers_each=conf.getint("triggerer", "capacity"),
        parse_interval_s=conf.getfloat("dag_processor", "min_file_process_interval"),
    )


def main() -> None:
    """Forecast and add up costs each minute, and report on the work in between, until a signal asks to stop."""
    for number in STOP_SIGNALS:
        signal.signal(number, _end)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    settings = Settings.from_environment(os.environ)
    engine = read_only(os.environ[variables.DATABASE_URL], statement_timeout_ms=STATEMENT_TIMEOUT_MS, is_kept=True)
    registry = registry_of(os.environ)
    forecaster = Forecaster(settings, engine=engine, registry=registry)
    work = WorkReporter(settings.limits, airflow_setup(), engine=engine, registry=registry)
    costs = Accounts(
        accounts.Settings.from_environment(os.environ),
        engine=engine,
        writer=connect(os.environ[variables.BROKER_URL]),
        reader=connect(os.environ[variables.READER_URL]),
    )
    forecast_due = time.monotonic()
    while True:
        work.tick()
        if time.monotonic() >= forecast_due:
            forecaster.tick()
            heartbeat.beat(os.environ, heartbeat.FORECASTER)
            costs.tick()
            forecast_due = time.monotonic() + TICK_EVERY_S
        heartbeat.beat(os.environ, heartbeat.FORECASTER)
        time.sleep(WORK_EVERY_S)


def _end(_number: int, _frame: FrameType | None) -> None:
    """End at once, also in the middle of a tick, which leaves nothing half done.

    At the forecaster's low priority, the rest of a tick and the regular end of the interpreter took longer than the
    container's stop timeout on a busy machine.
    """
    os._exit(0)
