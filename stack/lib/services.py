"""Fargate services that roll back a deployment that does not become healthy, or sets off an alarm."""

from collections.abc import Sequence
from dataclasses import dataclass

from troposphere import If, Output, Ref, Template
from troposphere.cloudwatch import Alarm
from troposphere.ecs import (
    AwsvpcConfiguration,
    DeploymentAlarms,
    DeploymentCircuitBreaker,
    DeploymentConfiguration,
    LoadBalancer,
    NetworkConfiguration,
    Service,
    ServiceRegistry,
    TaskDefinition,
)

from stack.lib.capacity import SpotShare
from stack.lib.listeners import Site
from stack.lib.security_groups import Group
from stack.sections.cluster import Cluster
from stack.sections.network import Network
from stack.sections.settings import Settings

# Until the webserver has started, the load balancer's checks must not end the task.
GRACE_PERIOD_S = 300


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a service runs. `spot`: the share of its tasks on Spot; without it they run on demand.

    `alarms` end its deployments: the old tasks come back. How many tasks it has is nobody's to say here: an update
    would undo what scaling chose.
    """

    definition: TaskDefinition
    group: Group
    site: Site | None = None
    registry: ServiceRegistry | None = None
    spot: SpotShare | None = None
    moves_between_zones: bool = True
    alarms: Sequence[Alarm] = ()


def add_service(
    t: Template, title: str, *, network: Network, cluster: Cluster, settings: Settings, workload: Workload
) -> Service:
    site = workload.site
    service = t.add_resource(
        Service(
            title,
            AvailabilityZoneRebalancing="ENABLED" if workload.moves_between_zones else "DISABLED",
            Cluster=Ref(cluster.ecs),
            DeploymentConfiguration=DeploymentConfiguration(
                DeploymentCircuitBreaker=DeploymentCircuitBreaker(Enable=True, Rollback=True),
                MaximumPercent=200,
                MinimumHealthyPercent=100,
            ),
            EnableECSManagedTags=True,
            EnableExecuteCommand=If(settings.has_exec, True, False),
            NetworkConfiguration=NetworkConfiguration(
                AwsvpcConfiguration=AwsvpcConfiguration(
                    AssignPublicIp="DISABLED",
                    SecurityGroups=[workload.group.id],
                    Subnets=network.private_subnets,
                )
            ),
            PropagateTags="SERVICE",
            TaskDefinition=Ref(workload.definition),
        )
    )
    if workload.alarms:
        service.DeploymentConfiguration.Alarms = DeploymentAlarms(
            AlarmNames=[Ref(alarm) for alarm in workload.alarms], Enable=True, Rollback=True
        )
    # ECS takes one or the other.
    if workload.spot is None:
        service.LaunchType = "FARGATE"
    else:
        service.CapacityProviderStrategy = workload.spot.strategy()
    if workload.registry is not None:
        service.ServiceRegistries = [workload.registry]
    if site is not None:
        service.HealthCheckGracePeriodSeconds = GRACE_PERIOD_S
        service.LoadBalancers = [_target(site)]
        service.DependsOn = site.listener.title
    t.add_output(Output(f"{title}Name", Description=f"ECS service {title}.", Value=service.get_att("Name")))
    return service


def _target(site: Site) -> LoadBalancer:
    return LoadBalancer(ContainerName=site.container, ContainerPort=site.port, TargetGroupArn=Ref(site.target_group))
