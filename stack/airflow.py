"""The service `airflow`: UI, Execution API, scheduler, DAG processor and triggerer in one task.

In a deployment its container `gate` waits until it is the task's turn, then `migrate` runs, then the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Parameter, Ref, Sub, Template
from troposphere.ecs import Service, ServiceRegistry
from troposphere.servicediscovery import DnsConfig, DnsRecord, HealthCheckCustomConfig
from troposphere.servicediscovery import Service as DiscoveryService

from stack.balancer import Balancer
from stack.broker import Broker
from stack.cluster import Cluster
from stack.database import Database
from stack.declare import Between, add_parameter
from stack.iam import use_log_bucket
from stack.logs import Logs
from stack.network import Network
from stack.paths import Group, add_open_group, add_path
from stack.pools import SizedPool, pools_json
from stack.secrets import Secrets, SecretValue
from stack.services import Workload, add_service
from stack.settings import Settings
from stack.sites import Site, add_hidden_path, add_site, add_url
from stack.sizes import add_size
from stack.tasks import Container, Health, Task, add_task

GROUP = "Airflow"
WEBSERVER = "webserver"
WEBSERVER_PORT = 8080
SCHEDULER_HEALTH_PORT = 8974  # Airflow's own default
EXECUTION_PATH = "/execution"
GATE = "gate"
MIGRATE = "migrate"
WEBSERVER_HEALTH = Health(path="/api/v2/monitor/health", start_period_s=120)
SCHEDULER_HEALTH = Health(path="/health", start_period_s=120)
DNS_TTL_S = 10
MOST_GATE_MINUTES = 120  # CloudFormation waits three hours for a deployment


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What every container that runs Airflow's code is given."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """`connections` is what a worker needs in order to work for this Airflow."""

    service: Service
    group: Group
    site: Site
    port: int
    connections: Connections


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """The sections that every service stands on."""

    settings: Settings
    network: Network
    database: Database
    broker: Broker
    logs: Logs
    secrets: Secrets
    cluster: Cluster


def add_airflow(t: Template, *, base: Foundation, balancer: Balancer, pools: Sequence[SizedPool]) -> Airflow:
    size = add_size(t, "Airflow", group=GROUP, whose="the service airflow", cpu="1024", memory_mib="4096")
    group = add_open_group(t, "AirflowGroup", network=base.network, description="Services of Airflow")
    add_path(t, source=group, target=base.database.group, port=base.database.port)
    add_path(t, source=group, target=base.broker.group, port=base.broker.port)
    add_path(t, source=balancer.group, target=group, port=WEBSERVER_PORT)
    # During a deployment a scheduler may reach the other task's webserver.
    add_path(t, source=group, target=group, port=WEBSERVER_PORT)

    gate_minutes = add_parameter(
        t,
        "GateMinutes",
        group=GROUP,
        label="Minutes to wait for workers",
        description="Minutes for which a new scheduler waits, in a deployment, for workers of other code to leave.",
        constraint=Between(low=0, high=MOST_GATE_MINUTES),
        default=15,
    )
    connections = _connections(base, pools=pools, gate_minutes=gate_minutes)
    definition = add_task(
        t,
        "Airflow",
        settings=base.settings,
        task=Task(
            containers=_containers(connections, base=base),
            size=size,
            statements=use_log_bucket(bucket_arn=base.logs.bucket.get_att("Arn"), prefix=base.logs.prefix),
        ),
    )
    site = add_site(
        t,
        "Webserver",
        balancer=balancer,
        container=WEBSERVER,
        port=WEBSERVER_PORT,
        listener_port=balancer.web_port,
        health_path=WEBSERVER_HEALTH.path,
    )
    add_hidden_path(t, "WebserverHidesExecution", site=site, paths=[EXECUTION_PATH, f"{EXECUTION_PATH}/*"])
    add_url(t, "WebserverUrl", balancer=balancer, description="Address of Airflow's UI.")
    service = add_service(
        t,
        "AirflowService",
        network=base.network,
        cluster=base.cluster,
        workload=Workload(
            definition=definition, group=group, count=1, site=site, registry=_add_private_name(t, cluster=base.cluster)
        ),
    )
    return Airflow(service=service, group=group, site=site, port=WEBSERVER_PORT, connections=connections)


def _connections(base: Foundation, *, pools: Sequence[SizedPool], gate_minutes: Parameter) -> Connections:
    execution_api = f"http://{WEBSERVER}.{base.cluster.namespace_name}:{WEBSERVER_PORT}{EXECUTION_PATH}/"
    return Connections(
        environment={
            **base.database.environment,
            **base.broker.environment,
            "EXECUTION_API_URL": Sub(execution_api),
            "LOG_BUCKET": Ref(base.logs.bucket),
            "POOLS": pools_json(pools),
            "GATE_MINUTES": Ref(gate_minutes),
        },
        secrets={**base.database.secrets, **base.broker.secrets, "FERNET_SECRET": base.secrets.fernet},
    )


def _containers(connections: Connections, *, base: Foundation) -> tuple[Container, ...]:
    secrets = base.secrets
    api = {"API_SECRET": secrets.api}
    jwt = {"JWT_SECRET": secrets.jwt}
    admin = {"ADMIN_PASSWORD": secrets.admin}
    environment, common = connections.environment, connections.secrets
    return (
        Container(role=GATE, environment=environment, secrets=base.broker.secrets, runs_once=True),
        Container(role=MIGRATE, environment=environment, secrets=common, runs_once=True, runs_after=(GATE,)),
        Container(
            role=WEBSERVER,
            environment=environment,
            secrets={**common, **api, **jwt, **admin},
            listens_on=WEBSERVER_PORT,
            is_reachable=True,
            health=WEBSERVER_HEALTH,
            runs_after=(MIGRATE,),
            lives_on=True,
        ),
        Container(
            role="scheduler",
            environment=environment,
            secrets={**common, **api, **jwt},
            listens_on=SCHEDULER_HEALTH_PORT,
            health=SCHEDULER_HEALTH,
            runs_after=(MIGRATE,),
            lives_on=True,
        ),
        *(
            Container(
                role=role, environment=environment, secrets={**common, **api}, runs_after=(MIGRATE,), lives_on=True
            )
            for role in ("dag-processor", "triggerer")
        ),
    )


def _add_private_name(t: Template, *, cluster: Cluster) -> ServiceRegistry:
    """`webserver.<namespace>` resolves to the tasks' addresses: the way from workers to the Execution API."""
    name = t.add_resource(
        DiscoveryService(
            "WebserverName",
            Name=WEBSERVER,
            NamespaceId=Ref(cluster.namespace),
            DnsConfig=DnsConfig(DnsRecords=[DnsRecord(Type="A", TTL=str(DNS_TTL_S))], RoutingPolicy="MULTIVALUE"),
            HealthCheckCustomConfig=HealthCheckCustomConfig(FailureThreshold=1),
        )
    )
    return ServiceRegistry(RegistryArn=name.get_att("Arn"))
