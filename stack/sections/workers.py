"""The workers: one service for each pool; the autoscaler sets its desired count, CloudFormation never does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import FindInMap, Output, Ref, Sub, Template
from troposphere.ecs import Service
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation

from fleet import access
from fleet.pools import POOLS
from stack.lib.alarms import METRICS_NAMESPACE
from stack.lib.iam import protect_tasks
from stack.lib.own_resources import deny_own_resources
from stack.lib.parameters import add_mapping
from stack.lib.security_groups import add_open_group, allow_traffic
from stack.lib.services import Workload, add_service
from stack.lib.started_jobs import start_jobs
from stack.lib.task_definition import Container, DefinedTask, Health, Task, add_task, memory_choices
from stack.lib.topics import publish_to
from stack.sections.airflow import Airflow
from stack.sections.connections import let_read_connections
from stack.sections.foundation import Foundation
from stack.sections.pools import LEAST_MEMORY_MIB, SizedPool, pools_json
from stack.sections.telemetry import Lineage, count_undelivered

# agent.fleet_agent logs it for the first refusal in a row. It cannot be imported here; a test compares.
REFUSED = "fleet: scale-in protection is not granted"
RUNNER = "runner"
MEMORY_MAPPING = "WorkerMemoryMib"
# Celery takes some 220 MiB; the share is for its threads, because a larger worker has more slots.
WORKER_MIB = 320
WORKER_SHARE = 48
LOG_SERVER_PORT = 8793  # Airflow's own default
# ECS stops an unhealthy worker whatever protection it holds. These are ECS's own maxima: where tasks take the whole
# processor, the check itself may be slow.
HEALTH = Health(retries=10, timeout_s=60)
STOP_TIMEOUT_S = 120  # Fargate's maximum: a worker without protection finishes its tasks in an orderly way within it


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The services, their task definitions, and the metrics that count refused protection, all by pool name."""

    services: Mapping[str, Service]
    defined: Mapping[str, DefinedTask]
    refused: Mapping[str, Any]


def add_workers(
    t: Template, *, base: Foundation, airflow: Airflow, lineage: Lineage, pools: tuple[SizedPool, ...]
) -> Workers:
    _add_memory_split(t)
    made = {sized.pool.name: _add_pool(t, base=base, airflow=airflow, lineage=lineage, sized=sized) for sized in pools}
    return Workers(
        services={name: service for name, (service, _, _) in made.items()},
        defined={name: defined for name, (_, defined, _) in made.items()},
        refused={name: metric for name, (_, _, metric) in made.items()},
    )


def _add_memory_split(t: Template) -> None:
    """Add the MiB of both containers for every size of a worker, because CloudFormation cannot calculate."""
    own = {mib: WORKER_MIB + int(mib) // WORKER_SHARE for mib in memory_choices(LEAST_MEMORY_MIB)}
    add_mapping(
        t, MEMORY_MAPPING, {mib: {"Worker": worker, "Runner": int(mib) - worker} for mib, worker in own.items()}
    )


def _add_pool(
    t: Template, *, base: Foundation, airflow: Airflow, lineage: Lineage, sized: SizedPool
) -> tuple[Service, DefinedTask, Sub]:
    pool = sized.pool
    # A title has no dash, so that no other stack's name and pool make the same family.
    family = Sub(f"${{AWS::StackName}}-{pool.title}")
    group = add_open_group(t, f"{pool.title}Group", vpc=base.network.vpc, description=f"Workers of pool {pool.name}")
    allow_traffic(t, source=group, target=base.broker.group, port=base.broker.port)
    allow_traffic(t, source=group, target=airflow.group, port=airflow.execution_port)
    # The webserver fetches the log of a task that still runs from its worker.
    allow_traffic(t, source=airflow.group, target=group, port=LOG_SERVER_PORT)
    login = base.broker.login(access.worker(pool.name), reader=access.READER)
    # Two containers: `worker` has the credentials and runs no code of a DAG, `runner` runs the tasks and has none. ECS
    # stops the runner after the worker. The runner's limit keeps the kernel from ending Celery for a task's memory.
    # ECS must not restart the containers within its ECS task, whose id is the worker's: the new process would obey an
    # order to the old one, and would assume that the old one's protection is gone.
    worker = Container(
        role="worker",
        memory_mib=FindInMap(MEMORY_MAPPING, sized.size.memory_mib, "Worker"),
        environment={
            **login.environment,
            **airflow.connections.patience,
            # Its own pool without the limits: no change of them, or of another pool, replaces a worker.
            POOLS: pools_json([sized], with_limits=False),
            "POOL": pool.name,
            **lineage.environment,
        },
        secrets={**login.secrets, "API_SECRET": base.secrets.api, **lineage.secrets},
        health=HEALTH,
        stop_timeout_s=STOP_TIMEOUT_S,
        starts_after=(RUNNER,),
        has_shared_folder=True,
    )
    runner = Container(
        role=RUNNER,
        memory_mib=FindInMap(MEMORY_MAPPING, sized.size.memory_mib, "Runner"),
        environment={
            **airflow.connections.for_tasks,
            **base.xcoms.writers_environment(pool.name),
            "TASK_LOG_COPY": base.logs.copied,
            **lineage.environment,
            # It ends the task that takes the most before the kernel ends any process.
            "MEMORY_MIB": FindInMap(MEMORY_MAPPING, sized.size.memory_mib, "Runner"),
        },
        secrets={},
        # The worker checks it, too: only together they know whether tasks run.
        health=None,
        stop_timeout_s=STOP_TIMEOUT_S,
        has_shared_folder=True,
    )
    defined = add_task(
        t,
        pool.title,
        settings=base.settings,
        task=Task(
            containers=(worker, runner),
            size=sized.size,
            storage_gib=Ref(sized.storage_gib),
            family=family,
            statements=[
                *airflow.connections.task_statements,
                base.xcoms.read(),
                base.xcoms.write(pool.name),
                base.xcoms.deny_others(),
                protect_tasks(base.cluster.ecs, pool=pool.name),
                *start_jobs(pool.starts),
                *publish_to(pool.publishes),
                *deny_own_resources(
                    cluster=base.cluster.ecs,
                    database_arn=base.database.instance.get_att("DBInstanceArn"),
                    bucket_arn=base.logs.bucket.get_att("Arn"),
                    dags_arn=base.dags.bucket.get_att("Arn"),
                    access_logs_arn=base.logs.access.get_att("Arn"),
                    key_arn=base.settings.key_arn,
                    pool=pool.name,
                ),
            ],
            policy_arns=sized.policy_arns,
        ),
    )
    t.add_output(
        Output(
            f"{pool.title}TaskRoleArn",
            Description=f"Role of the pool {pool.name}'s tasks, for the policies of buckets, keys and other roles.",
            Value=defined.role.get_att("Arn"),
        )
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
            family=family,
            group=group,
            pool=pool.name,
            spot=sized.spot,
            # Rebalancing zones would end workers for no gain.
            is_rebalanced=False,
        ),
    )
    count_undelivered(t, f"{pool.title}LineageUndelivered", log_group=defined.log_group, condition=lineage.is_told)
    return service, defined, _count_refusals(t, pool_title=pool.title, log_group=defined.log_group)


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
