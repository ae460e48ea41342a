"""Read an environment from ECS, RDS, CloudWatch, Application Auto Scaling and the broker's Redis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.member import STOPPED, WORKER, task_of
from fleet.pools import Pool, lists_of_pools
from fleet.registry import Registry, read_each
from shared.aws import in_words
from shared.broker import BROKER_ERRORS, Broker
from shared.ecs import Described, describe_services, is_rolling_out
from shared.known_tasks import Answers, KnownTasks
from shared.tags import desired_state_in, is_paused, size_asleep
from sleeper.settings import Settings
from sleeper.world import Alarms, Service, Work, World

RINGING = "ALARM"
ECS_NAMESPACE, DESIRED_COUNT = "ecs", "ecs:service:DesiredCount"
SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


class Unreadable(Exception):
    """A part of the environment is not as it must be; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Clients of the APIs that the sleeper reads and calls; kept between invocations."""

    ecs: Any
    rds: Any
    alarms: Any
    scaling: Any
    broker: Broker


def read(clients: Clients, settings: Settings, *, now: float) -> World:
    """Return the whole environment; where Redis fails, the reason in words. Raises Unreadable or one of AWS_ERRORS."""
    services = _services(clients.ecs, settings)
    return World(
        now=now,
        desired_state=desired_state_in(cluster(clients.ecs, settings.cluster).get("tags", ())),
        airflow=services[settings.airflow],
        flower=None if settings.flower is None else services[settings.flower],
        pools=tuple(services[pool.service] for pool in settings.pools),
        work=_work(clients, settings),
        database=_database(clients.rds, settings.database),
        is_scaling=_is_scaling(clients.scaling, cluster=settings.cluster, service=settings.airflow),
        alarms=_alarms(clients.alarms, settings.alarm_prefix),
    )


def cluster(ecs: Any, name: str) -> Mapping[str, Any]:
    """Return the cluster as ECS describes it, with its tags. Raises Unreadable, or one of AWS_ERRORS."""
    for found in ecs.describe_clusters(clusters=[name], include=["TAGS"])["clusters"]:
        return dict(found)
    raise Unreadable(f"there is no cluster {name}")


def scalable_target(cluster: str, service: str) -> dict[str, str]:
    """Return the arguments that name a service's scaling to Application Auto Scaling."""
    resource = f"service/{cluster}/{service}"
    return {"ServiceNamespace": ECS_NAMESPACE, "ResourceId": resource, "ScalableDimension": DESIRED_COUNT}


def _services(ecs: Any, settings: Settings) -> dict[str, Service]:
    described = describe_services(ecs, cluster=settings.cluster, services=list(settings.services), tags=True)
    return {name: _service(entry) for name, entry in described.items()}


def _service(described: Described | str) -> Service:
    if isinstance(described, str):
        raise Unreadable(described)
    tags = described.get("tags", ())
    return Service(
        name=described["serviceName"],
        arn=described["serviceArn"],
        desired=described["desiredCount"],
        running=described["runningCount"],
        pending=described["pendingCount"],
        size_asleep=size_asleep(tags),
        is_rolling_out=is_rolling_out(described),
        paused=is_paused(tags),
    )


def _work(clients: Clients, settings: Settings) -> Work | str:
    """Return what waits and runs. Records without a running ECS task of a pool do not count: anyone may forge them."""
    pools = settings.pools
    try:
        client = clients.broker.connect()
        lengths = read_each(client, {name: ("LLEN", name) for name in lists_of_pools(pools)}, raise_on_error=True)
        roster = Registry(client).members()
    except BROKER_ERRORS as error:
        return in_words(error)
    workers = [m for m in roster.members if m.role == WORKER and m.state != STOPPED and m.active]
    claimed = [*(worker.id for worker in workers), *roster.malformed]
    answers = KnownTasks(clients.ecs, cluster=settings.cluster).read(map(task_of, claimed))
    real = {name for name in claimed if _may_be_worker(name, answers, pools)}
    silence = [f"ECS did not say which tasks run: {answers.problem}"] if answers.problem else []
    malformed = sum(name in real for name in roster.malformed)
    if malformed:
        return "; ".join([f"malformed members in the fleet registry: {malformed}", *silence])
    busy = (f"{worker.active} active on {worker.id} of pool {worker.pool}" for worker in workers if worker.id in real)
    return Work(queued=sum(lengths.values()), busy=(*sorted(busy), *silence))


def _may_be_worker(member: str, answers: Answers, pools: Sequence[Pool]) -> bool:
    """Return whether a task of a pool stands behind the member; one about which ECS did not answer may be one."""
    if task_of(member) not in answers.tasks:
        return True
    task = answers.tasks[task_of(member)]
    return task is not None and task.service in {pool.service.rpartition("/")[2] for pool in pools}


def _database(rds: Any, identifier: str) -> str:
    for instance in rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]:
        return str(instance["DBInstanceStatus"])
    raise Unreadable(f"there is no database {identifier}")


def _is_scaling(scaling: Any, *, cluster: str, service: str) -> bool:
    target = scalable_target(cluster, service)
    asked = {"ServiceNamespace": target["ServiceNamespace"], "ResourceIds": [target["ResourceId"]]}
    for found in scaling.describe_scalable_targets(**asked)["ScalableTargets"]:
        suspended = found.get("SuspendedState") or {}
        return not all(suspended.get(name, False) for name in SUSPENDED)
    raise Unreadable(f"{service} is not a scalable target")


def _alarms(alarms: Any, prefix: str) -> Alarms:
    found = list(_pages(alarms, prefix))
    loud = tuple(alarm["AlarmName"] for alarm in found if alarm["ActionsEnabled"])
    silent = tuple(alarm["AlarmName"] for alarm in found if not alarm["ActionsEnabled"])
    ringing = {alarm["AlarmName"] for alarm in found if alarm["StateValue"] == RINGING}
    return Alarms(loud=loud, silent=silent, ringing=tuple(name for name in silent if name in ringing))


def _pages(alarms: Any, prefix: str) -> Iterator[Mapping[str, Any]]:
    for page in alarms.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"]):
        yield from page["MetricAlarms"]
