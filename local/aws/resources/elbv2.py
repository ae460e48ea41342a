"""AWS::ElasticLoadBalancingV2 resources: load balancer, listeners, rules, target groups."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import (
    Change,
    Kind,
    PhysicalResource,
    Properties,
    Unstable,
    deleted_by,
    shortened,
    without,
)

NAME_LENGTH = 32  # limit of load balancers and target groups
_DELIVERY = "logdelivery.elasticloadbalancing.amazonaws.com"
_TEST_FILE = "ELBAccessLogTestFile"


def _create_balancer(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "LoadBalancerAttributes")
    balancer = cloud.call("elbv2", "create_load_balancer", {"Name": shortened(name, NAME_LENGTH), **plain})[
        "LoadBalancers"
    ][0]
    arn = balancer["LoadBalancerArn"]
    if "LoadBalancerAttributes" in properties:
        attributes = {"Attributes": properties["LoadBalancerAttributes"]}
        cloud.call("elbv2", "modify_load_balancer_attributes", attributes, LoadBalancerArn=arn)
    _test_delivery(cloud, properties)
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
        _test_delivery(cloud, change.new)
    return change.physical


def _test_delivery(cloud: Cloud, properties: Properties) -> None:
    """Write the file by which a load balancer tests the bucket for its access logs. Raises Unstable when it may not."""
    attributes = {each["Key"]: each["Value"] for each in properties.get("LoadBalancerAttributes", [])}
    if str(attributes.get("access_logs.s3.enabled")).lower() != "true":
        return
    bucket, prefix = attributes["access_logs.s3.bucket"], attributes.get("access_logs.s3.prefix", "")
    key = "/".join((*([prefix] if prefix else []), "AWSLogs", cloud.account, _TEST_FILE))
    policy = json.loads(cloud.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    if not _may_deliver(policy, f"arn:{cloud.partition}:s3:::{bucket}/{key}"):
        raise Unstable(f"Access Denied for bucket: {bucket}. Please check S3bucket permission")
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"Enable AccessLog for ELB")


def _may_deliver(policy: Mapping[str, Any], resource: str) -> bool:
    """Whether the policy lets the delivery service write, which in some regions names no account in its request."""
    return any(
        statement["Effect"] == "Allow"
        and statement["Principal"] == {"Service": _DELIVERY}
        and "s3:PutObject" in statement["Action"]
        and "Condition" not in statement
        and fnmatchcase(resource, statement["Resource"])
        for statement in policy["Statement"]
    )


def _delete_balancer(cloud: Cloud, physical: PhysicalResource) -> None:
    """Delete it unless it is protected, which moto does not look at."""
    elbv2, arn = cloud.client("elbv2"), {"LoadBalancerArn": physical.id}
    attributes = elbv2.describe_load_balancer_attributes(**arn)["Attributes"]
    if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes:
        said = f"Load balancer '{physical.id}' cannot be deleted because deletion protection is enabled"
        raise ClientError({"Error": {"Code": "OperationNotPermitted", "Message": said}}, "DeleteLoadBalancer")
    elbv2.delete_load_balancer(**arn)


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
    if change.differs("Priority"):
        priority = {"RuleArn": change.physical.id, "Priority": int(change.new["Priority"])}
        cloud.client("elbv2").set_rule_priorities(RulePriorities=[priority])
    return change.physical


KINDS = (
    Kind(
        type="AWS::ElasticLoadBalancingV2::LoadBalancer",
        create=_create_balancer,
        update=_update_balancer,
        unchangeable=frozenset(("IpAddressType", "SubnetMappings", "Tags")),
        delete=_delete_balancer,
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::TargetGroup",
        create=_create_target_group,
        update=_update_target_group,
        unchangeable=frozenset(("Tags", "Targets")),
        delete=deleted_by("elbv2", "delete_target_group", "TargetGroupArn"),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::Listener",
        create=_create_listener,
        update=_update_listener,
        delete=deleted_by("elbv2", "delete_listener", "ListenerArn"),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::ListenerRule",
        create=_create_rule,
        update=_update_rule,
        delete=deleted_by("elbv2", "delete_rule", "RuleArn"),
    ),
)
