"""The service `airflow`: webserver, scheduler, DAG processor, triggerer, forecaster and events in one ECS task.

The webserver serves the UI and the Execution API. In a deployment the container `gate` waits until it is the ECS task's
turn, then `migrate` runs, then the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from troposphere import Equals, Not, Ref, Split, Sub, Template
from troposphere.ecs import Service, ServiceRegistry
from troposphere.iam import Role
from troposphere.logs import LogGroup
from troposphere.servicediscovery import DnsConfig, DnsRecord, HealthCheckCustomConfig
from troposphere.servicediscovery import Service as DiscoveryService

from stack.lib.listeners import (
    MAX_PATHS,
    Balancer,
    MorePaths,
    WebTarget,
    add_url_output,
    add_web_target,
    hide_paths,
    site_url,
)
from stack.lib.parameters import FormGroup, Matching, add_condition
from stack.lib.security_groups import Group, add_open_group, allow_traffic
from stack.lib.services import Workload, add_service
from stack.lib.task_definition import DefinedTask, Task, add_size, add_task
from stack.sections.airflow_containers import LEAST_MEMORY_MIB, add_containers
from stack.sections.airflow_scaling import add_copies, add_latency, add_latency_alarm, scale_copies
from stack.sections.cluster import Cluster
from stack.sections.connections import (
    EXECUTION_PATH,
    EXECUTION_PORT,
    GROUP,
    PUBLIC_PORT,
    WEBSERVER,
    Connections,
    add_connections,
    let_read_connections,
    webserver_url,
)
from stack.sections.events import Events, measure_waiting
from stack.sections.foundation import Foundation
from stack.sections.machines import Machines
from stack.sections.notifications import Notifications
from stack.sections.people import add_people
from stack.sections.pools import SizedPool
from stack.sections.telemetry import Telemetry, count_undelivered, let_send
from stack.sections.webserver_alarms import add_webserver_alarms

VERSION_PATH = "/fleet/version"  # the image serves it, on the Execution API's port; a test compares
# Always answers 200. The state is in the body, which only the container's own check reads: a load balancer cannot.
WEBSERVER_HEALTH_PATH = "/api/v2/monitor/health"
# What the load balancer passes on: the start page, Airflow's APIs and files, the pages of its UI. The image compares
# the decoded path with its own list (agent/web/paths.py); a test compares both lists.
PATHS = (
    *("/", "/api/*", "/auth/*", "/ui/*", "/static/*", "/fleet", "/fleet/*", "/docs*", "/redoc*", "/openapi.json"),
    *("/assets*", "/configs*", "/connections*", "/dag_runs*", "/dags*", "/deadlines*", "/events*", "/jobs*"),
    *("/plugin/*", "/plugins*", "/pools*", "/providers*", "/required_actions*", "/security/*", "/task_instances*"),
    *("/variables*", "/xcoms*"),
)
# Of them, and besides, what machines call: they cannot sign in at the load balancer. Airflow asks each for its token.
MACHINE_PATHS = ("/api/*", "/auth/*", "/machines/*")
PATH = r"/[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*(/?\*)?"
DNS_TTL_S = 10
TRIGGERER_LOG_PORT = 8794  # Airflow's own default


@dataclass(frozen=True, kw_only=True)
class Airflow:
    """What later sections use of the service.

    `role`: that of its code.

    `connections` is what a worker needs to run this Airflow's tasks. `version_url` is the URL, within the network, at
    which the webserver says which code it runs. `latency`: the name of the metric of the Execution API's latency.
    """

    service: Service
    role: Role
    log_group: LogGroup
    group: Group
    target: WebTarget
    execution_port: int
    connections: Connections
    version_url: Sub
    latency: Sub


def add_airflow(
    t: Template,
    *,
    base: Foundation,
    balancer: Balancer,
    pools: Sequence[SizedPool],
    machines: Machines,
    notifications: Notifications,
    telemetry: Telemetry,
    events: Events,
) -> Airflow:
    form = FormGroup(t, GROUP)
    size = add_size(
        form,
        "Airflow",
        described_as="an ECS task of the service airflow",
        cpu="1024",
        memory_mib="4096",
        least_memory_mib=LEAST_MEMORY_MIB,
    )
    copies = add_copies(form)
    group = _add_group(t, base=base, balancer=balancer)
    connections = add_connections(t, base=base, pools=pools, base_url=site_url(balancer), notifications=notifications)
    people = add_people(t, admin=base.secrets.admin, balancer=balancer)
    containers = add_containers(
        t,
        base=base,
        pools=pools,
        connections=connections,
        people=people,
        machines=machines,
        telemetry=telemetry,
        events=events,
        size=size,
    )
    task = Task(containers=containers, size=size, statements=connections.statements)
    defined = add_task(t, "Airflow", settings=base.settings, task=task)
    let_read_connections(t, "AirflowConnectionsPolicy", role=defined.role, connections=connections)
    let_send(t, telemetry, role=defined.role)
    measure_waiting(t, log_group=defined.log_group)
    count_undelivered(t, "TelemetryUndelivered", log_group=defined.log_group)
    target = _add_web_target(t, balancer=balancer)
    service = _add_service(t, base=base, balancer=balancer, defined=defined, group=group, target=target)
    latency = add_latency(t, log_group=defined.log_group)
    scale_copies(t, service=service, cluster=base.cluster, copies=copies, latency=latency)
    add_latency_alarm(t, topic=base.topic, latency=latency)
    return Airflow(
        service=service,
        role=defined.role,
        log_group=defined.log_group,
        group=group,
        target=target,
        execution_port=EXECUTION_PORT,
        connections=connections,
        version_url=webserver_url(base.cluster, VERSION_PATH),
        latency=latency,
    )


def _add_group(t: Template, *, base: Foundation, balancer: Balancer) -> Group:
    group = add_open_group(t, "AirflowGroup", vpc=base.network.vpc, description="Services of Airflow")
    allow_traffic(t, source=group, target=base.database.group, port=base.database.port)
    allow_traffic(t, source=group, target=base.broker.group, port=base.broker.port)
    allow_traffic(t, source=balancer.group, target=group, port=PUBLIC_PORT)
    # During a deployment a scheduler may reach the other task's webserver.
    allow_traffic(t, source=group, target=group, port=EXECUTION_PORT)
    # The webserver fetches the log of a trigger that still runs from its triggerer, which may be in another copy.
    allow_traffic(t, source=group, target=group, port=TRIGGERER_LOG_PORT, purpose="Logs")
    return group


def _add_web_target(t: Template, *, balancer: Balancer) -> WebTarget:
    target = add_web_target(
        t,
        "Webserver",
        balancer=balancer,
        container=WEBSERVER,
        port=PUBLIC_PORT,
        # A port of its own for each target overrides it, and its change would replace the group with an empty one.
        group_port=EXECUTION_PORT,
        listener_port=balancer.web_port,
        health_path=WEBSERVER_HEALTH_PATH,
        paths=PATHS,
        paths_without_sign_in=MACHINE_PATHS,
        more_paths=_add_plugin_paths(t),
        signs_in=True,
    )
    # Also in front of the webservers of an older release, which serve these paths on their only port.
    hidden = [path + end for path in (EXECUTION_PATH, VERSION_PATH) for end in ("", "/*")]
    hide_paths(t, "WebserverHidesExecution", target=target, paths=hidden)
    add_url_output(t, "WebserverUrl", balancer=balancer, description="URL of Airflow's UI.")
    return target


def _add_plugin_paths(t: Template) -> MorePaths:
    parameter = FormGroup(t, GROUP).add(
        "PluginPaths",
        label="Paths of plugins",
        description=f"Paths of your plugins' own web applications, up to {MAX_PATHS} separated by commas, such as "
        "/reports*; empty for none.",
        constraint=Matching(
            regex=rf"^({PATH}(,{PATH}){{0,{MAX_PATHS - 1}}})?$",
            must_be=f"up to {MAX_PATHS} paths separated by commas, such as /reports*, or empty",
        ),
        default="",
    )
    condition = add_condition(t, "HasPluginPaths", Not(Equals(Ref(parameter), "")))
    return MorePaths(values=Split(",", Ref(parameter)), condition=condition)


def _add_service(
    t: Template, *, base: Foundation, balancer: Balancer, defined: DefinedTask, group: Group, target: WebTarget
) -> Service:
    return add_service(
        t,
        "AirflowService",
        cluster=base.cluster.ecs,
        subnets=base.network.private_subnets,
        settings=base.settings,
        workload=Workload(
            definition=defined.definition,
            group=group,
            target=target,
            registry=_add_private_name(t, cluster=base.cluster),
            alarms=add_webserver_alarms(t, topic=base.topic, balancer=balancer, target=target),
        ),
    )


def _add_private_name(t: Template, *, cluster: Cluster) -> ServiceRegistry:
    """Add `webserver.<namespace>`, by which workers reach the Execution API: it resolves to the tasks' addresses."""
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
