"""The service `airflow`: UI, Execution API, scheduler and what works beside it in one task.

In a deployment its container `gate` waits until it is the task's turn, then `migrate` runs, then the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Parameter, Ref, Sub, Template
from troposphere.ecs import Service, ServiceRegistry
from troposphere.servicediscovery import DnsConfig, DnsRecord, HealthCheckCustomConfig
from troposphere.servicediscovery import Service as DiscoveryService
from troposphere.sns import Topic

from stack.lib.iam import Statement, use_log_bucket
from stack.lib.listeners import Site, add_hidden_path, add_site, add_url
from stack.lib.parameters import Between, add_parameter
from stack.lib.security_groups import Group, add_open_group, add_path
from stack.lib.services import Workload, add_service
from stack.lib.sizes import add_size
from stack.lib.task_definition import Container, Task, add_task
from stack.sections.airflow_count import add_copies, scale_copies
from stack.sections.balancer import Balancer
from stack.sections.broker import Broker
from stack.sections.cluster import Cluster
from stack.sections.database import Database
from stack.sections.forecaster import FORECASTER, add_forecaster
from stack.sections.logs import Logs
from stack.sections.memory_shares import add_memory_shares
from stack.sections.network import Network
from stack.sections.pools import SizedPool, pools_json
from stack.sections.secret_connections import SecretConnections, add_secret_connections, let_read_connections
from stack.sections.secrets import Secrets, SecretValue
from stack.sections.settings import Settings
from stack.sections.site_alarms import add_site_alarms

GROUP = "Airflow"
WEBSERVER = "webserver"
WEBSERVER_PORT = 8080
SCHEDULER_HEALTH_PORT = 8974  # Airflow's own default
EXECUTION_PATH = "/execution"
VERSION_PATH = "/fleet/version"  # as the image's plugin fleet_web serves it; a test compares
GATE = "gate"
MIGRATE = "migrate"
# 200 whatever is in the body, which a load balancer cannot read: the container's own check does.
WEBSERVER_HEALTH_PATH = "/api/v2/monitor/health"
DNS_TTL_S = 10
MOST_GATE_MINUTES = 120  # CloudFormation waits three hours for a deployment


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What every container that runs Airflow's code is given; `statements` are what that code may do in AWS."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    statements: Sequence[Statement]
    kept_as_secrets: SecretConnections


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """`connections` is what a worker needs in order to work for this Airflow; at `version_url` the webserver says which
    code it runs, within the network.
    """

    service: Service
    group: Group
    site: Site
    port: int
    connections: Connections
    version_url: Sub


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """The sections that every service stands on."""

    settings: Settings
    network: Network
    topic: Topic
    database: Database
    broker: Broker
    logs: Logs
    secrets: Secrets
    cluster: Cluster


def add_airflow(t: Template, *, base: Foundation, balancer: Balancer, pools: Sequence[SizedPool]) -> Airflow:
    size = add_size(t, "Airflow", group=GROUP, whose="the service airflow", cpu="1024", memory_mib="4096")
    copies = add_copies(t, group=GROUP)
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
    connections = _connections(base, pools=pools, gate_minutes=gate_minutes, kept_as_secrets=add_secret_connections(t))
    memory_mib = add_memory_shares(t, memory_mib=size.memory_mib)
    forecaster = add_forecaster(
        t,
        group=GROUP,
        environment={**base.database.environment, **base.broker.environment, "POOLS": pools_json(pools)},
        secrets={**base.database.secrets, **base.broker.secrets},
        runs_after=MIGRATE,
        memory_mib=memory_mib[FORECASTER],
    )
    containers = (*_containers(connections, base=base, memory_mib=memory_mib), forecaster)
    defined = add_task(
        t,
        "Airflow",
        settings=base.settings,
        task=Task(containers=containers, size=size, statements=connections.statements),
    )
    let_read_connections(t, "AirflowConnectionsPolicy", role=defined.role, connections=connections.kept_as_secrets)
    site = add_site(
        t,
        "Webserver",
        balancer=balancer,
        container=WEBSERVER,
        port=WEBSERVER_PORT,
        listener_port=balancer.web_port,
        health_path=WEBSERVER_HEALTH_PATH,
    )
    add_hidden_path(t, "WebserverHidesExecution", site=site, paths=[EXECUTION_PATH, f"{EXECUTION_PATH}/*"])
    add_url(t, "WebserverUrl", balancer=balancer, description="Address of Airflow's UI.")
    service = add_service(
        t,
        "AirflowService",
        network=base.network,
        cluster=base.cluster,
        settings=base.settings,
        workload=Workload(
            definition=defined.definition,
            group=group,
            site=site,
            registry=_add_private_name(t, cluster=base.cluster),
            alarms=add_site_alarms(t, topic=base.topic, balancer=balancer, site=site),
        ),
    )
    scale_copies(t, service=service, cluster=base.cluster, copies=copies)
    return Airflow(
        service=service,
        group=group,
        site=site,
        port=WEBSERVER_PORT,
        connections=connections,
        version_url=_private_url(base.cluster, VERSION_PATH),
    )


def _connections(
    base: Foundation, *, pools: Sequence[SizedPool], gate_minutes: Parameter, kept_as_secrets: SecretConnections
) -> Connections:
    return Connections(
        environment={
            **base.database.environment,
            **base.broker.environment,
            "CONNECTIONS_PREFIX": kept_as_secrets.prefix,
            "EXECUTION_API_URL": _private_url(base.cluster, f"{EXECUTION_PATH}/"),
            "LOG_BUCKET": Ref(base.logs.bucket),
            "POOLS": pools_json(pools),
            "GATE_MINUTES": Ref(gate_minutes),
        },
        secrets={**base.database.secrets, **base.broker.secrets, "FERNET_SECRET": base.secrets.fernet},
        statements=[
            *use_log_bucket(
                bucket_arn=base.logs.bucket.get_att("Arn"), prefix=base.logs.prefix, key_arn=base.settings.key_arn
            ),
            *base.database.statements,
        ],
        kept_as_secrets=kept_as_secrets,
    )


def _private_url(cluster: Cluster, path: str) -> Sub:
    """A page of the webserver, by the name that Cloud Map gives it."""
    return Sub(f"http://{WEBSERVER}.{cluster.namespace_name}:{WEBSERVER_PORT}{path}")


def _containers(connections: Connections, *, base: Foundation, memory_mib: Mapping[str, Any]) -> tuple[Container, ...]:
    secrets = base.secrets
    api = {"API_SECRET": secrets.api}
    jwt = {"JWT_SECRET": secrets.jwt}
    admin = {"ADMIN_PASSWORD": secrets.admin}
    environment, common = connections.environment, connections.secrets
    return (
        Container(
            role=GATE,
            memory_mib=memory_mib[GATE],
            environment=environment,
            secrets=base.broker.secrets,
            runs_once=True,
        ),
        Container(
            role=MIGRATE,
            memory_mib=memory_mib[MIGRATE],
            environment=environment,
            secrets=common,
            runs_once=True,
            runs_after=(GATE,),
        ),
        Container(
            role=WEBSERVER,
            memory_mib=memory_mib[WEBSERVER],
            environment=environment,
            secrets={**common, **api, **jwt, **admin},
            listens_on=WEBSERVER_PORT,
            is_reachable=True,
            runs_after=(MIGRATE,),
            lives_on=True,
        ),
        Container(
            role="scheduler",
            memory_mib=memory_mib["scheduler"],
            environment=environment,
            secrets={**common, **api, **jwt},
            listens_on=SCHEDULER_HEALTH_PORT,
            runs_after=(MIGRATE,),
            lives_on=True,
        ),
        *(
            Container(
                role=role,
                memory_mib=memory_mib[role],
                environment=environment,
                secrets={**common, **api},
                runs_after=(MIGRATE,),
                lives_on=True,
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
