"""Price each resource of a template as one environment deploys it.

Pure. A type without a price here is an error, not free: FREE names the types that cost nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ops.cost import prices
from ops.cost.fargate import containers_of, price_service
from ops.cost.load import LOG_KB_A_TASK, Load
from ops.cost.telemetry import price_telemetry

FREE = frozenset(
    (
        "AWS::EC2::FlowLog",  # billed by traffic, which is not estimated here
        *("AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"),
        *("AWS::CertificateManager::Certificate", "AWS::Route53::RecordSet"),
        *("AWS::EC2::InternetGateway", "AWS::EC2::Route", "AWS::EC2::RouteTable", "AWS::EC2::SecurityGroup"),
        *("AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::Subnet"),
        *("AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPC", "AWS::EC2::VPCGatewayAttachment"),
        *("AWS::ECS::TaskDefinition", "AWS::ElastiCache::ParameterGroup", "AWS::ElastiCache::SubnetGroup"),
        *("AWS::ElastiCache::User", "AWS::ElastiCache::UserGroup", "AWS::ElasticLoadBalancingV2::Listener"),
        *("AWS::ElasticLoadBalancingV2::ListenerRule", "AWS::ElasticLoadBalancingV2::TargetGroup"),
        *("AWS::Events::Rule", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::KMS::Alias"),
        *("AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission", "AWS::Logs::LogGroup"),
        *("AWS::Logs::MetricFilter", "AWS::Logs::QueryDefinition"),
        *("AWS::RDS::DBParameterGroup", "AWS::RDS::DBSubnetGroup", "AWS::S3::BucketPolicy"),
        *("AWS::SNS::Subscription", "AWS::SNS::Topic", "AWS::SNS::TopicPolicy"),
        *("AWS::ECS::ClusterCapacityProviderAssociations", "AWS::ServiceDiscovery::Service"),
        "AWS::Scheduler::Schedule",  # 14 million calls a month are free
    )
)
TELEMETRY = "Telemetry"  # no resource: what the service airflow sends
MINUTES_A_MONTH = prices.HOURS_A_MONTH * 60
# Seconds of each minute that a function runs: the autoscaler ticks all the time, the others once, or once an hour.
AUTOSCALER, VERSION_CHECK = "autoscaler", "version_check"
FUNCTION_BUSY_S = {AUTOSCALER: 60.0, VERSION_CHECK: 2.0, "sleeper": 2.0, "retirement": 2.0 / 60}
# Metrics that the autoscaler publishes, of the fleet and of each pool, and the version check, of Airflow's work.
FLEET_METRICS, POOL_METRICS, WORK_METRICS = 6, 12, 11
TASK_LOG_COPY, NO_COPY = "TASK_LOG_COPY", "none"
# Of each task, what is copied: its log, or the line that sums up, without the errors.
COPIED_KB = {"all": LOG_KB_A_TASK, "errors": 0.3}
EVENTS = "events"  # the container that sends state changes
# Metrics of Container Insights: of the cluster, and of each service.
CLUSTER_METRICS, SERVICE_METRICS = 4, 11

Template = Mapping[str, Any]
Resource = Mapping[str, Any]


class NoPrice(LookupError):
    """A part of the template has no price in the table; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One part of a resource's cost, in dollars a month."""

    resource: str
    what: str
    usd: float


def estimate(template: Template, *, load: Load) -> list[Line]:
    """Return the lines of each resource that costs something, the dearest first. Raises NoPrice."""
    lines: list[Line] = []
    for title, resource in template["Resources"].items():
        kind = resource["Type"]
        if kind in FREE:
            continue
        if kind not in PRICED:
            raise NoPrice(f"no price for {kind} ({title}): add it to ops/cost/estimate.py")
        for what, usd in PRICED[kind](resource.get("Properties", {}), template, load):
            lines.append(Line(resource=title, what=what, usd=usd))
    for what, usd in price_telemetry(template, load=load):
        lines.append(Line(resource=TELEMETRY, what=what, usd=usd))
    return sorted(lines, key=lambda line: (-line.usd, line.resource, line.what))


Priced = Iterator[tuple[str, float]]


def _look_up(table: Mapping[str, float], key: str, what: str) -> float:
    if key not in table:
        raise NoPrice(f"no price for the {what} {key}, only for {', '.join(table)}: add it to ops/cost")
    return table[key]


def _database(p: Resource, _template: Template, load: Load) -> Priced:
    servers = 2 if p["MultiAZ"] else 1
    hour = _look_up(prices.RDS_HOUR, p["DBInstanceClass"], "database class")
    standby = " with standby" if servers == 2 else ""
    yield f"{p['DBInstanceClass']}{standby}", servers * hour * prices.HOURS_A_MONTH * load.awake
    yield f"{p['AllocatedStorage']} GiB{standby}", servers * p["AllocatedStorage"] * prices.RDS_GP3_GB_MONTH
    yield "secret of the password", prices.SECRET_MONTH


def _broker(p: Resource, _template: Template, _load: Load) -> Priced:
    hour = _look_up(prices.ELASTICACHE_HOUR, p["CacheNodeType"], "node type")
    nodes = p["NumCacheClusters"]
    yield f"{nodes} x {p['CacheNodeType']}", nodes * hour * prices.HOURS_A_MONTH


def _endpoint(p: Resource, _template: Template, _load: Load) -> Priced:
    if p["VpcEndpointType"] == "Interface":
        zones = len(p["SubnetIds"])
        yield f"endpoint in {zones} zones, without traffic", zones * prices.ENDPOINT_ZONE_HOUR * prices.HOURS_A_MONTH


def _balancer(p: Resource, _template: Template, _load: Load) -> Priced:
    yield "load balancer", prices.BALANCER_HOUR * prices.HOURS_A_MONTH
    yield "one capacity unit", prices.BALANCER_CAPACITY_UNIT_HOUR * prices.HOURS_A_MONTH
    if p["Scheme"] == "internet-facing":
        zones = len(p["Subnets"])
        yield f"{zones} public addresses", zones * prices.PUBLIC_ADDRESS_HOUR * prices.HOURS_A_MONTH


def _function(p: Resource, _template: Template, _load: Load) -> Priced:
    package = p["Handler"].split(".")[0]
    busy_s = _look_up(FUNCTION_BUSY_S, package, "function of the package")
    (processor,) = p["Architectures"]
    seconds = MINUTES_A_MONTH * busy_s * p["MemorySize"] / 1024
    usd = seconds * prices.LAMBDA_GB_SECOND[processor] + MINUTES_A_MONTH / 1_000_000 * prices.LAMBDA_MILLION_CALLS
    yield f"{busy_s:g} s each minute, {p['MemorySize']} MB", usd
    if package == AUTOSCALER:
        yield "its metrics", (FLEET_METRICS + POOL_METRICS) * prices.METRIC_MONTH
    if package == VERSION_CHECK:
        yield "metrics of the work", WORK_METRICS * prices.METRIC_MONTH


def _cluster(p: Resource, template: Template, _load: Load) -> Priced:
    if {"Name": "containerInsights", "Value": "enabled"} in p.get("ClusterSettings", []):
        services = sum(r["Type"] == "AWS::ECS::Service" for r in template["Resources"].values())
        metrics = CLUSTER_METRICS + services * SERVICE_METRICS
        yield f"Container Insights, {metrics} metrics", metrics * prices.METRIC_MONTH


def _bucket(p: Resource, template: Template, load: Load) -> Priced:
    # How many requests are logged is not known, nor how much tasks return that is large.
    if p is template["Resources"]["LogBucket"]["Properties"]:
        days = p["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]
        kept_gb = load.log_gb_a_month * days / 30
        yield f"{kept_gb:.0f} GB of task logs", kept_gb * prices.S3_GB_MONTH


def _service(p: Resource, template: Template, load: Load) -> Priced:
    yield from price_service(p, template, load)
    for container in containers_of(p, template).values():
        if (choice := container.get(TASK_LOG_COPY, NO_COPY)) != NO_COPY:
            # All tasks go to the first pool, as in ops.cost.fargate.
            gb = load.tasks_a_month * COPIED_KB[choice] / 1_000_000
            yield f"{gb:.1f} GB of task logs copied to CloudWatch", gb * prices.LOGS_GB
    if EVENTS in containers_of(p, template):
        million = load.events_a_month / 1_000_000
        yield f"{million:.1f} million events on the bus", million * prices.EVENTS_MILLION


def _flat(what: str, usd: float) -> Callable[[Resource, Template, Load], Priced]:
    def price(_p: Resource, _template: Template, _load: Load) -> Priced:
        yield what, usd

    return price


PRICED: Mapping[str, Callable[[Resource, Template, Load], Priced]] = {
    "AWS::CloudWatch::Alarm": _flat("alarm", prices.ALARM_MONTH),
    "AWS::CloudWatch::CompositeAlarm": _flat("composite alarm", prices.COMPOSITE_ALARM_MONTH),
    "AWS::CloudWatch::Dashboard": _flat("dashboard", prices.DASHBOARD_MONTH),
    "AWS::EC2::EIP": _flat("public address", prices.PUBLIC_ADDRESS_HOUR * prices.HOURS_A_MONTH),
    "AWS::EC2::NatGateway": _flat("NAT gateway, without traffic", prices.NAT_GATEWAY_HOUR * prices.HOURS_A_MONTH),
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ECS::Cluster": _cluster,
    "AWS::ECS::Service": _service,
    "AWS::ElastiCache::ReplicationGroup": _broker,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _balancer,
    "AWS::KMS::Key": _flat("key", prices.KEY_MONTH),
    "AWS::Lambda::Function": _function,
    "AWS::RDS::DBInstance": _database,
    "AWS::S3::Bucket": _bucket,
    "AWS::SecretsManager::Secret": _flat("secret", prices.SECRET_MONTH),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _flat("private zone", prices.PRIVATE_ZONE_MONTH),
}
