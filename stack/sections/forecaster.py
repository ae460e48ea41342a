"""The container that forecasts what Airflow's schedule will want, where that is asked for."""

from collections.abc import Mapping
from typing import Any

from troposphere import Equals, Not, Ref, Template

from stack.lib.parameters import Between, add_condition, add_parameter
from stack.lib.task_definition import Container
from stack.sections.secrets import SecretValue

FORECASTER = "forecaster"
NEVER = 0
MOST_MINUTES = 60


def add_forecaster(
    t: Template,
    *,
    group: str,
    environment: Mapping[str, Any],
    secrets: Mapping[str, SecretValue],
    runs_after: str,
    memory_mib: Any,
) -> Container:
    """Tasks are scheduled and run without it, so its failure is not its task's.

    Each copy of its task has one: they write the same, and the last one stands.
    """
    minutes = add_parameter(
        t,
        "PrewarmMinutes",
        group=group,
        label="Minutes to look ahead for scheduled runs",
        description="Minutes ahead in which the runs of Airflow's schedule are forecast, so that workers can be "
        "started before them. More than a worker takes to start; 0 forecasts nothing.",
        constraint=Between(low=NEVER, high=MOST_MINUTES),
        default=15,
    )
    return Container(
        role=FORECASTER,
        memory_mib=memory_mib,
        environment={**environment, "FORECAST_MINUTES": Ref(minutes)},
        secrets=secrets,
        runs_after=(runs_after,),
        lives_on=True,
        is_optional=True,
        condition=add_condition(t, "IsPrewarming", Not(Equals(Ref(minutes), str(NEVER)))),
    )
