"""The faults: each starts a burst on a settled stack, does its harm while the tasks run, and waits for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from local.scenarios.faults.deployment import deployed
from local.scenarios.faults.ground import Ground, Trial
from local.scenarios.faults.kills import worker_killed
from local.scenarios.faults.onlookers import with_the_page_open
from local.scenarios.faults.outages import (
    AUTOSCALER_AWAY_S,
    BROKER_AWAY_S,
    DATABASE_AWAY_S,
    WEBSERVER_AWAY_S,
    autoscaler_away,
    postgres_restarts,
    redis_restarts,
    webserver_away,
)
from local.scenarios.faults.refusals import BLOCKED, SERVER_ERROR, protection_fails
from local.scenarios.faults.scaling import oscillate, scale_in, two_autoscalers
from local.scenarios.faults.sleep import put_to_sleep

# Airflow's 300 s would be much of the run. It must outlast the restart of what a restart of Postgres ends, and,
# on a busy machine, a new task of `airflow` (75 s): with 60 s tasks that ran were taken for dead.
HEARTBEAT_TIMEOUT_S = 120
SETTINGS = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S)}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`harm` does everything but settle before and judge after."""

    name: str
    what: str
    harm: Callable[[Ground, Trial], None]


def faults(*, autoscaler_away_s: float = AUTOSCALER_AWAY_S) -> tuple[Fault, ...]:
    """Every fault, in the order they are done."""
    away = f"no invocation of the autoscaler for {autoscaler_away_s:.0f} s in mid-burst"
    return (
        Fault(name="scale-in", what="the count is lowered to 1 by hand, and workers drain, under load", harm=scale_in),
        Fault(name="redis", what=f"Redis fails over with its data, {BROKER_AWAY_S:.0f} s away", harm=redis_restarts),
        Fault(name="postgres", what=f"Postgres reboots, {DATABASE_AWAY_S:.0f} s away", harm=postgres_restarts),
        Fault(name="webserver", what=f"webserver cut off for {WEBSERVER_AWAY_S:.0f} s", harm=webserver_away),
        Fault(name="autoscaler-away", what=away, harm=lambda g, t: autoscaler_away(g, t, away_s=autoscaler_away_s)),
        Fault(name="two-autoscalers", what="a second autoscaler at the same time", harm=two_autoscalers),
        Fault(
            name="protection-500",
            what="the protection endpoint answers 500 in scale-out and in scale-in",
            harm=lambda g, t: protection_fails(g, t, answer=SERVER_ERROR),
        ),
        Fault(
            name="protection-blocked",
            what="the protection endpoint answers DEPLOYMENT_BLOCKED in scale-out and in scale-in",
            harm=lambda g, t: protection_fails(g, t, answer=BLOCKED),
        ),
        Fault(name="oscillation", what="1,000 short tasks while orders flip every 4 s", harm=oscillate),
        Fault(
            name="deployment",
            what="another image, with a changed DAG, is rolled out in mid-burst, with the Fleet page open",
            harm=with_the_page_open(deployed),
        ),
        Fault(name="asleep", what="everything is put to sleep in mid-burst, and woken", harm=put_to_sleep),
        Fault(name="sigkill", what="SIGKILL of a worker with running tasks", harm=worker_killed),
    )
