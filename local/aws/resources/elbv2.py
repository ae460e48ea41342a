"""AWS::ElasticLoadBalancingV2 resources: load balancer, listeners, rules, target groups."""

from __future__ import annotations

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, deleted_by, shortened, without

NAME_LENGTH = 32  # limit of load balancers and target groups


def _create_balancer(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "LoadBalancerAttributes")
    balancer = cloud.call("elbv2", "create_load_balancer", {"Name": shortened(name, NAME_LENGTH), **plain})[
        "LoadBalancers"
    ][0]
    arn = balancer["LoadBalancerArn"]
    if "LoadBalancerAttributes" in properties:
        attributes = {"Attributes": properties["LoadBalancerAttributes"]}
        cloud.call("elbv2", "modify_load_balancer_attributes", attributes, LoadBalancerArn=arn)
    return PhysicalResource(
        id=arn,
        attributes={
            "LoadBalancerArn": arn,
            "DNSName": balancer["DNSName"],
            "CanonicalHostedZoneID": balancer["CanonicalHostedZoneId"],
            "LoadBalancerName": balancer["LoadBalancerName"],
            "LoadBalancerFullName": arn.split(":loadbalancer/")[1],
        },
    )


def _update_balancer(cloud: Cloud, change: Change) -> PhysicalResource:
    arn = {"LoadBalancerArn": change.physical.id}
    if change.differs("SecurityGroups"):
        cloud.call("elbv2", "set_security_groups", {"SecurityGroups": change.new["SecurityGroups"]}, **arn)
    if change.differs("Subnets"):
        cloud.call("elbv2", "set_subnets", {"Subnets": change.new["Subnets"]}, **arn)
    if change.differs("LoadBalancerAttributes"):
        attributes = {"Attributes": change.new.get("LoadBalancerAttributes", [])}
        cloud.call("elbv2", "modify_load_balancer_attributes", attributes, **arn)
    return change.physical


def _create_target_group(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "TargetGroupAttributes")
    group = cloud.call("elbv2", "create_target_group", {"Name": shortened(name, NAME_LENGTH), **plain})["TargetGroups"][
        0
    ]
    arn = group["TargetGroupArn"]
    _set_group_attributes(cloud, arn, properties)
    full_name = arn.split(":")[-1]
    attributes = {
        "TargetGroupArn": arn,
        "TargetGroupFullName": full_name,
        "TargetGroupName": group["TargetGroupName"],
    }
    return PhysicalResource(id=arn, attributes=attributes)


def _set_group_attributes(cloud: Cloud, arn: str, properties: Properties) -> None:
    if "TargetGroupAttributes" in properties:
        attributes = {"Attributes": properties["TargetGroupAttributes"]}
        cloud.call("elbv2", "modify_target_group_attributes", attributes, TargetGroupArn=arn)


def _update_target_group(cloud: Cloud, change: Change) -> PhysicalResource:
    health = {name: value for name, value in change.new.items() if name.startswith("HealthCheck") or name == "Matcher"}
    thresholds = {name: value for name, value in change.new.items() if name.endswith("ThresholdCount")}
    cloud.call("elbv2", "modify_target_group", {**health, **thresholds}, TargetGroupArn=change.physical.id)
    _set_group_attributes(cloud, change.physical.id, change.new)
    return change.physical


def _create_listener(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    arn = cloud.call("elbv2", "create_listener", properties)["Listeners"][0]["ListenerArn"]
    return PhysicalResource(id=arn, attributes={"ListenerArn": arn})


def _update_listener(cloud: Cloud, change: Change) -> PhysicalResource:
    request = without(change.new, "LoadBalancerArn")
    cloud.call("elbv2", "modify_listener", request, ListenerArn=change.physical.id)
    return change.physical


def _create_rule(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    arn = cloud.call("elbv2", "create_rule", properties)["Rules"][0]["RuleArn"]
    return PhysicalResource(id=arn, attributes={"RuleArn": arn})


def _update_rule(cloud: Cloud, change: Change) -> PhysicalResource:
    request = {name: change.new[name] for name in ("Conditions", "Actions")}
    cloud.call("elbv2", "modify_rule", request, RuleArn=change.physical.id)
    return change.physical


KINDS = (
    Kind(
        type="AWS::ElasticLoadBalancingV2::LoadBalancer",
        create=_create_balancer,
        update=_update_balancer,
        replaced_by=frozenset(("Name", "Scheme", "Type", "IpAddressType", "SubnetMappings", "Tags")),
        delete=deleted_by("elbv2", "delete_load_balancer", "LoadBalancerArn"),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::TargetGroup",
        create=_create_target_group,
        update=_update_target_group,
        replaced_by=frozenset(
            ("Name", "Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId", "Tags", "Targets")
        ),
        delete=deleted_by("elbv2", "delete_target_group", "TargetGroupArn"),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::Listener",
        create=_create_listener,
        update=_update_listener,
        replaced_by=frozenset(("LoadBalancerArn",)),
        delete=deleted_by("elbv2", "delete_listener", "ListenerArn"),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::ListenerRule",
        create=_create_rule,
        update=_update_rule,
        replaced_by=frozenset(("ListenerArn", "Priority")),
        delete=deleted_by("elbv2", "delete_rule", "RuleArn"),
    ),
)
