"""The workers: one service for each pool; the autoscaler sets its desired count, CloudFormation never does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Sub, Template
from troposphere.ecs import Service
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation

from stack.lib.alarms import METRICS_NAMESPACE
from stack.lib.iam import protect_tasks
from stack.lib.security_groups import add_open_group, allow_traffic
from stack.lib.services import Workload, add_service
from stack.lib.task_definition import Container, Task, add_task
from stack.sections.airflow import Airflow
from stack.sections.connections import let_read_connections
from stack.sections.foundation import Foundation
from stack.sections.pools import SizedPool

# agent.fleet_agent logs it for the first refusal in a row. It cannot be imported here; a test compares.
REFUSED = "fleet: scale-in protection is not granted"
LOG_SERVER_PORT = 8793  # Airflow's own default
STOP_TIMEOUT_S = 120  # Fargate's maximum: a worker without protection finishes its tasks in an orderly way within it


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The services, and the metrics that count refused protection, both by pool name."""

    services: Mapping[str, Service]
    refused: Mapping[str, Any]


def add_workers(t: Template, *, base: Foundation, airflow: Airflow, pools: tuple[SizedPool, ...]) -> Workers:
    made = {sized.pool.name: _add_pool(t, base=base, airflow=airflow, sized=sized) for sized in pools}
    return Workers(
        services={name: service for name, (service, _) in made.items()},
        refused={name: metric for name, (_, metric) in made.items()},
    )


def _add_pool(t: Template, *, base: Foundation, airflow: Airflow, sized: SizedPool) -> tuple[Service, Sub]:
    pool = sized.pool
    group = add_open_group(t, f"{pool.title}Group", vpc=base.network.vpc, description=f"Workers of pool {pool.name}")
    allow_traffic(t, source=group, target=base.database.group, port=base.database.port)
    allow_traffic(t, source=group, target=base.broker.group, port=base.broker.port)
    allow_traffic(t, source=group, target=airflow.group, port=airflow.port)
    # The webserver fetches the log of a task that still runs from its worker.
    allow_traffic(t, source=airflow.group, target=group, port=LOG_SERVER_PORT)
    # ECS must not restart the container within its ECS task, whose id is the worker's: the new process would obey an
    # order to the old one, and would assume that the old one's protection is gone.
    worker = Container(
        role="worker",
        memory_mib=sized.size.memory_mib,
        environment={**airflow.connections.environment, "POOL": pool.name},
        secrets={**airflow.connections.secrets, "API_SECRET": base.secrets.api},
        stop_timeout_s=STOP_TIMEOUT_S,
    )
    defined = add_task(
        t,
        pool.title,
        settings=base.settings,
        task=Task(
            containers=(worker,),
            size=sized.size,
            storage_gib=Ref(sized.storage_gib),
            statements=[*airflow.connections.statements, protect_tasks(base.cluster.ecs)],
        ),
    )
    let_read_connections(t, f"{pool.title}ConnectionsPolicy", role=defined.role, connections=airflow.connections)
    service = add_service(
        t,
        f"{pool.title}Service",
        cluster=base.cluster.ecs,
        subnets=base.network.private_subnets,
        settings=base.settings,
        workload=Workload(
            definition=defined.definition,
            group=group,
            spot=sized.spot,
            # Rebalancing zones would end workers for no gain.
            is_rebalanced=False,
        ),
    )
    return service, _count_refusals(t, pool_title=pool.title, log_group=defined.log_group)


def _count_refusals(t: Template, *, pool_title: str, log_group: LogGroup) -> Sub:
    """Add the metric and return its name, which holds the stack's: metrics from logs have no dimension for it."""
    name = Sub(f"ProtectionRefused-${{AWS::StackName}}-{pool_title}")
    t.add_resource(
        MetricFilter(
            f"{pool_title}ProtectionRefused",
            FilterPattern=f'"{REFUSED}"',
            LogGroupName=Ref(log_group),
            MetricTransformations=[
                MetricTransformation(MetricName=name, MetricNamespace=METRICS_NAMESPACE, MetricValue="1")
            ],
        )
    )
    return name
