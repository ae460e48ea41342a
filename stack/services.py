"""Fargate services that roll back a deployment that does not become healthy."""

from dataclasses import dataclass

from troposphere import Output, Ref, Template
from troposphere.ecs import (
    AwsvpcConfiguration,
    DeploymentCircuitBreaker,
    DeploymentConfiguration,
    LoadBalancer,
    NetworkConfiguration,
    Service,
    ServiceRegistry,
    TaskDefinition,
)

from stack.capacity import SpotShare
from stack.cluster import Cluster
from stack.network import Network
from stack.paths import Group
from stack.sites import Site

# Until the webserver has started, the load balancer's checks must not end the task.
GRACE_PERIOD_S = 300


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a service runs, and how many; None leaves the count to the autoscaler, also when the stack is updated.

    `spot`: the share of its tasks on Spot; without it they run on demand.
    """

    definition: TaskDefinition
    group: Group
    count: int | None
    site: Site | None = None
    registry: ServiceRegistry | None = None
    spot: SpotShare | None = None
    moves_between_zones: bool = True


def add_service(t: Template, title: str, *, network: Network, cluster: Cluster, workload: Workload) -> Service:
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
    # ECS takes one or the other.
    if workload.spot is None:
        service.LaunchType = "FARGATE"
    else:
        service.CapacityProviderStrategy = workload.spot.strategy()
    if workload.count is not None:
        service.DesiredCount = workload.count
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
