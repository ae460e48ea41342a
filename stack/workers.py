"""The workers: one service for each pool, sized by the autoscaler and never by CloudFormation."""

from collections.abc import Mapping
from dataclasses import dataclass

from troposphere import Template
from troposphere.ecs import Service

from stack.airflow import Airflow, Foundation
from stack.iam import protect_tasks, use_log_bucket
from stack.paths import add_open_group, add_path
from stack.pools import SizedPool
from stack.services import Workload, add_service
from stack.tasks import Container, Task, add_task

LOG_SERVER_PORT = 8793  # Airflow's own default
STOP_TIMEOUT_S = 120  # the most that Fargate grants: a worker without protection ends its tasks in good order within it


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Services by pool name."""

    services: Mapping[str, Service]


def add_workers(t: Template, *, base: Foundation, airflow: Airflow, pools: tuple[SizedPool, ...]) -> Workers:
    return Workers(services={sized.pool.name: _add_pool(t, base=base, airflow=airflow, sized=sized) for sized in pools})


def _add_pool(t: Template, *, base: Foundation, airflow: Airflow, sized: SizedPool) -> Service:
    pool = sized.pool
    group = add_open_group(t, f"{pool.title}Group", network=base.network, description=f"Workers of pool {pool.name}")
    add_path(t, source=group, target=base.database.group, port=base.database.port)
    add_path(t, source=group, target=base.broker.group, port=base.broker.port)
    add_path(t, source=group, target=airflow.group, port=airflow.port)
    # The webserver fetches the log of a task that still runs from its worker.
    add_path(t, source=airflow.group, target=group, port=LOG_SERVER_PORT)
    # ECS must not restart it in its task, whose id is the worker's: a new process would obey an order that was given to
    # the last one, and take for given up the protection that the last one held.
    worker = Container(
        role="worker",
        environment={**airflow.connections.environment, "POOL": pool.name},
        secrets={**airflow.connections.secrets, "API_SECRET": base.secrets.api},
        stop_timeout_s=STOP_TIMEOUT_S,
    )
    definition = add_task(
        t,
        pool.title,
        settings=base.settings,
        task=Task(
            containers=(worker,),
            size=sized.size,
            statements=[
                *use_log_bucket(bucket_arn=base.logs.bucket.get_att("Arn"), prefix=base.logs.prefix),
                protect_tasks(base.cluster.ecs),
            ],
        ),
    )
    return add_service(
        t,
        f"{pool.title}Service",
        network=base.network,
        cluster=base.cluster,
        workload=Workload(
            definition=definition,
            group=group,
            count=None,
            spot=sized.spot,
            # Moving a worker to balance zones would end it for no gain.
            moves_between_zones=False,
        ),
    )
