"""Fargate services that roll back a deployment if it does not become healthy or sets off an alarm."""

from collections.abc import Sequence
from dataclasses import dataclass

from troposphere import And, Equals, If, Output, Parameter, Ref, Select, Split, Sub, Tags, Template
from troposphere.cloudwatch import Alarm
from troposphere.ecs import (
    AwsvpcConfiguration,
    CapacityProviderStrategyItem,
    Cluster,
    DeploymentAlarms,
    DeploymentCircuitBreaker,
    DeploymentConfiguration,
    LoadBalancer,
    NetworkConfiguration,
    Service,
    ServiceRegistry,
    TaskDefinition,
)

from stack.lib.iam import NO_POOL, POOL_TAG
from stack.lib.listeners import WebTarget
from stack.lib.parameters import Between, FormGroup, add_condition
from stack.lib.security_groups import Group
from stack.lib.settings import Settings

# The load balancer's checks must not end the ECS task before the webserver has started.
GRACE_PERIOD_S = 300
ON_DEMAND, SPOT = "FARGATE", "FARGATE_SPOT"
PROVIDERS = (ON_DEMAND, SPOT)
WHOLE = 100
MAX_ON_DEMAND = 1000
MAX_WEIGHT = 1000  # ECS's limit
# CloudFormation cannot calculate: the percentage selects both weights from lists. A provider whose weight is 0 gets no
# ECS task, also not for its base: at 100 % on-demand keeps the smallest weight.
_PER_PERCENT = MAX_WEIGHT // WHOLE
SPOT_WEIGHTS = ",".join(str(_PER_PERCENT * percent) for percent in range(WHOLE + 1))
ON_DEMAND_WEIGHTS = ",".join(str(max(_PER_PERCENT * (WHOLE - percent), 1)) for percent in range(WHOLE + 1))


@dataclass(frozen=True, kw_only=True)
class SpotShare:
    """The first `base` ECS tasks run on demand; of the others, `percent` run on Spot. ECS rounds the share.

    `has_only_spot`: the condition that all run on Spot.
    """

    base: Parameter
    percent: Parameter
    has_only_spot: str

    def strategy(self) -> list[CapacityProviderStrategyItem]:
        """Return the strategy that replaces a service's launch type."""
        on_demand = If(self.has_only_spot, 0, _selected(ON_DEMAND_WEIGHTS, self.percent))
        spot = _selected(SPOT_WEIGHTS, self.percent)
        return [
            CapacityProviderStrategyItem(CapacityProvider=ON_DEMAND, Base=Ref(self.base), Weight=on_demand),
            CapacityProviderStrategyItem(CapacityProvider=SPOT, Weight=spot),
        ]


def _selected(numbers: str, index: Parameter) -> Select:
    return Select(Ref(index), Split(",", numbers))


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a service runs. `spot`: the share of its ECS tasks on Spot; without it all run on demand.

    `family`: the family of the definition, for a service whose revision the autoscaler sets: another revision changes
    nothing that CloudFormation would wait for. `alarms` roll a deployment back to the old ECS tasks. `pool`: the pool
    of a worker, for its tag. The desired count is deliberately unset: a stack update would undo what scaling chose.
    """

    definition: TaskDefinition
    group: Group
    target: WebTarget | None = None
    registry: ServiceRegistry | None = None
    spot: SpotShare | None = None
    is_rebalanced: bool = True
    alarms: Sequence[Alarm] = ()
    pool: str | None = None
    family: Sub | None = None


def add_spot_share(form: FormGroup, prefix: str, *, described_as: str, percent: int, base: int) -> SpotShare:
    """Add the parameters `<prefix>SpotPercent` and `<prefix>OnDemandBase` with their defaults."""
    share = form.add(
        f"{prefix}SpotPercent",
        label="Percentage on Spot",
        description=f"Percentage on Fargate Spot of {described_as} beyond the on-demand base. Spot is cheaper, but "
        "AWS may end an ECS task with two minutes' notice.",
        constraint=Between(low=0, high=WHOLE),
        default=percent,
    )
    first = form.add(
        f"{prefix}OnDemandBase",
        label="On-demand base",
        description=f"Number of {described_as} that run on demand before any run on Spot.",
        constraint=Between(low=0, high=MAX_ON_DEMAND),
        default=base,
    )
    only_spot = And(Equals(Ref(share), str(WHOLE)), Equals(Ref(first), "0"))
    has_only_spot = add_condition(form.template, f"Has{prefix}OnlySpot", only_spot)
    return SpotShare(percent=share, base=first, has_only_spot=has_only_spot)


def add_service(
    t: Template, title: str, *, cluster: Cluster, subnets: If, settings: Settings, workload: Workload
) -> Service:
    target = workload.target
    service = t.add_resource(
        Service(
            title,
            AvailabilityZoneRebalancing="ENABLED" if workload.is_rebalanced else "DISABLED",
            Cluster=Ref(cluster),
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
                    Subnets=subnets,
                )
            ),
            PropagateTags="SERVICE",
            Tags=Tags({POOL_TAG: workload.pool or NO_POOL}),
            TaskDefinition=workload.family or Ref(workload.definition),
        )
    )
    after = [workload.definition.title] if workload.family else []
    if workload.alarms:
        service.DeploymentConfiguration.Alarms = DeploymentAlarms(
            AlarmNames=[Ref(alarm) for alarm in workload.alarms], Enable=True, Rollback=True
        )
    # ECS accepts either a launch type or a strategy.
    if workload.spot is None:
        service.LaunchType = "FARGATE"
    else:
        service.CapacityProviderStrategy = workload.spot.strategy()
    if workload.registry is not None:
        service.ServiceRegistries = [workload.registry]
    if target is not None:
        service.HealthCheckGracePeriodSeconds = GRACE_PERIOD_S
        service.LoadBalancers = [_load_balancer(target)]
        # ECS refuses a target group that no listener forwards to.
        after += [rule.title for rule in target.rules]
    if after:
        service.DependsOn = after
    t.add_output(Output(f"{title}Name", Description=f"ECS service {title}.", Value=service.get_att("Name")))
    return service


def _load_balancer(target: WebTarget) -> LoadBalancer:
    return LoadBalancer(
        ContainerName=target.container, ContainerPort=target.port, TargetGroupArn=Ref(target.target_group)
    )
