"""The containers of the service `airflow`, each limited to a share of the ECS task's memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from troposphere import FindInMap, If, Ref, Sub, Template

from fleet import access
from fleet.pools import POOLS
from fleet.work import LIMITS
from stack.lib.parameters import Between, FormGroup, add_mapping
from stack.lib.task_definition import Container, Size, memory_choices
from stack.sections.connections import EXECUTION_PORT, GROUP, PUBLIC_PORT, WEBSERVER, Connections
from stack.sections.events import ROLE as EVENTS
from stack.sections.events import Events
from stack.sections.foundation import Foundation
from stack.sections.machines import Machines
from stack.sections.people import People
from stack.sections.pools import SizedPool, pools_json, sizes_json
from stack.sections.telemetry import Telemetry

GATE = "gate"
MIGRATE = "migrate"
SCHEDULER = "scheduler"
FORECASTER = "forecaster"
NO_LIMIT = 0
MAX_TASK_WAIT_MINUTES = 14 * 24 * 60
NO_FORECAST = 0
MAX_PREWARM_MINUTES = 60
MEMORY_MAPPING = "AirflowMemoryMib"
# With less, no container but the gate would reach its main loop.
LEAST_MEMORY_MIB = 2048
# Percentages. Each container needs some 250 MiB when idle. The DAG processor has two more processes for parsing, and
# the webserver serves requests. The triggerer was measured at 285 MiB after its first trigger, whose log it uploads.
# The forecaster was measured at 180 MiB with the timetables of 255 DAGs.
MEMORY_SHARES = {
    GATE: 4,
    MIGRATE: 12,
    WEBSERVER: 21,
    SCHEDULER: 19,
    "dag-processor": 18,
    "triggerer": 16,
    FORECASTER: 10,
}
# Where events are sent, of as much more: the others give up a little each. Measured at 82 MiB with 10,000 tasks.
EVENTS_SHARE = 6
BESIDE_EVENTS = "BesideEvents"  # how the mapping's keys of that case end


def add_containers(
    t: Template,
    *,
    base: Foundation,
    pools: Sequence[SizedPool],
    connections: Connections,
    people: People,
    machines: Machines,
    telemetry: Telemetry,
    events: Events,
    size: Size,
) -> tuple[Container, ...]:
    shares = _add_memory_shares(t, memory_mib=size.memory_mib, has_events=events.has_bus)
    return (
        *_containers(
            t,
            connections,
            base=base,
            people=people,
            machines=machines,
            telemetry=telemetry,
            events=events,
            memory_mib=shares,
            cpu=size.cpu,
        ),
        _add_forecaster(
            t,
            base=base,
            pools=pools,
            memory_mib=shares[FORECASTER],
            settings={name: connections.environment[name] for name in ("AIRFLOW_SETTINGS", "TASK_SETTINGS")},
        ),
        _events(base=base, events=events, base_url=connections.environment["BASE_URL"], memory_mib=shares[EVENTS]),
    )


def _add_memory_shares(t: Template, *, memory_mib: Ref, has_events: str) -> dict[str, Any]:
    """Add the MiB of each container for every size of the ECS task, because CloudFormation cannot multiply."""
    beside = {role: f"{_key(role)}{BESIDE_EVENTS}" for role in (*MEMORY_SHARES, EVENTS)}
    add_mapping(
        t,
        MEMORY_MAPPING,
        {
            mib: {
                **{_key(role): memory_share_mib(role, int(mib)) for role in MEMORY_SHARES},
                **{key: memory_share_mib(role, int(mib), has_events=True) for role, key in beside.items()},
            }
            for mib in memory_choices(LEAST_MEMORY_MIB)
        },
    )
    with_events = {role: FindInMap(MEMORY_MAPPING, memory_mib, key) for role, key in beside.items()}
    without = {role: FindInMap(MEMORY_MAPPING, memory_mib, _key(role)) for role in MEMORY_SHARES}
    return {EVENTS: with_events[EVENTS], **{role: If(has_events, with_events[role], without[role]) for role in without}}


def memory_share_mib(role: str, mib: int, *, has_events: bool = False) -> int:
    """Return the memory of a role's container in an ECS task of `mib`, which sends events or not."""
    shares = {**MEMORY_SHARES, EVENTS: EVENTS_SHARE} if has_events else MEMORY_SHARES
    return mib * shares[role] // sum(shares.values())


def _key(role: str) -> str:
    """Turn a role into a mapping's key, which may hold only letters and digits."""
    return "".join(part.capitalize() for part in role.split("-"))


def _containers(
    t: Template,
    connections: Connections,
    *,
    base: Foundation,
    people: People,
    machines: Machines,
    telemetry: Telemetry,
    events: Events,
    memory_mib: Mapping[str, Any],
    cpu: Ref,
) -> tuple[Container, ...]:
    environment, common = connections.environment, connections.secrets
    api = {"API_SECRET": base.secrets.api}
    jwt = {"JWT_SECRET": base.secrets.jwt}
    reading = base.broker.login(access.READER)
    page = base.broker.login(access.WEBSERVER, reader=access.PAGE)
    scheduling = base.broker.login(access.SCHEDULER, reader=access.READER)
    parsing = base.broker.login(access.DAG_PROCESSOR, reader=access.READER)
    triggering = base.broker.login(access.TRIGGERER)
    max_wait = FormGroup(t, GROUP).add(
        "MaxTaskWaitMinutes",
        label="Maximum wait of a task in minutes",
        description="Minutes that a task may be queued before it fails, for a slot of its pool; 0 for no limit.",
        constraint=Between(low=NO_LIMIT, high=MAX_TASK_WAIT_MINUTES),
        default=NO_LIMIT,
    )
    resident = partial(Container, runs_after=(MIGRATE,), is_restarted=True)
    return (
        Container(
            role=GATE,
            memory_mib=memory_mib[GATE],
            environment={
                **environment,
                **reading.environment,
                # It fails if the autoscaler gives the workers with this image up, so it must not open before.
                **connections.rollout_patience,
                "IMAGE_URI": base.settings.image_uri,
            },
            secrets=reading.secrets,
            runs_once=True,
        ),
        Container(
            role=MIGRATE,
            memory_mib=memory_mib[MIGRATE],
            environment={**environment, **people.makers_environment, **events.environment},
            secrets={**common, **people.makers_secrets},
            runs_once=True,
            runs_after=(GATE,),
        ),
        resident(
            role=WEBSERVER,
            memory_mib=memory_mib[WEBSERVER],
            # The image starts as many processes as this size suffices for.
            environment={
                **environment,
                **page.environment,
                **people.environment,
                **machines.environment,
                **telemetry.environment,
                "CPU_UNITS": cpu,
                "MEMORY_MIB": memory_mib[WEBSERVER],
            },
            secrets={**common, **page.secrets, **people.secrets, **telemetry.secrets, **api, **jwt},
            listens_on=EXECUTION_PORT,
            public_port=PUBLIC_PORT,
        ),
        resident(
            role=SCHEDULER,
            memory_mib=memory_mib[SCHEDULER],
            environment={
                **environment,
                **scheduling.environment,
                **telemetry.environment,
                "MAX_TASK_WAIT_MINUTES": Ref(max_wait),
            },
            secrets={**common, **scheduling.secrets, **telemetry.secrets, **api, **jwt},
        ),
        *(
            resident(
                role=role,
                memory_mib=memory_mib[role],
                environment={**environment, **login.environment, **telemetry.environment},
                secrets={**common, **login.secrets, **telemetry.secrets, **api},
            )
            for role, login in (("dag-processor", parsing), ("triggerer", triggering))
        ),
    )


def _add_forecaster(
    t: Template, *, base: Foundation, pools: Sequence[SizedPool], memory_mib: Any, settings: Mapping[str, Any]
) -> Container:
    """Add the forecaster. Tasks are scheduled and run without it, so its failure does not end its ECS task.

    It also reports on Airflow's work, for the alarms, so it runs where nothing is forecast, too.
    Each copy of the ECS task has one: they write the same forecast, and the last one written counts.
    """
    minutes = FormGroup(t, GROUP).add(
        "PrewarmMinutes",
        label="Minutes to forecast",
        description="Minutes ahead for which the scheduled runs of Airflow are forecast, so that workers can be "
        "launched before them. It must be longer than a worker's boot; 0 forecasts nothing.",
        constraint=Between(low=NO_FORECAST, high=MAX_PREWARM_MINUTES),
        default=15,
    )
    login = base.broker.login(access.FORECASTER, reader=access.READER)
    return Container(
        role=FORECASTER,
        memory_mib=memory_mib,
        environment={
            **base.database.environment,
            **login.environment,
            **settings,
            POOLS: pools_json(pools),
            "WORKER_SIZES": sizes_json(pools),
            "WORKER_PROCESSOR": base.settings.cpu_architecture,
            "FORECAST_MINUTES": Ref(minutes),
            "CLEAN_KEEP_DAYS": base.database.keep_days,
            LIMITS: base.work_limits.text,
        },
        secrets={**base.database.secrets, **login.secrets},
        runs_after=(MIGRATE,),
        is_restarted=True,
        is_optional=True,
    )


def _events(*, base: Foundation, events: Events, base_url: Sub, memory_mib: Any) -> Container:
    """Return the container that sends events. Tasks run without it, so its failure does not end its ECS task."""
    login = base.broker.login(access.EVENTS)
    return Container(
        role=EVENTS,
        memory_mib=memory_mib,
        environment={
            **base.database.environment,
            **login.environment,
            **events.environment,
            "BASE_URL": base_url,
            "STACK_NAME": Sub("${AWS::StackName}"),
        },
        secrets={
            **base.database.secrets,
            **{name: replace(secret, condition=events.has_bus) for name, secret in login.secrets.items()},
        },
        runs_after=(MIGRATE,),
        is_restarted=True,
        is_optional=True,
        condition=events.has_bus,
    )
