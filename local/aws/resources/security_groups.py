"""AWS::EC2::SecurityGroup and its rules."""

from __future__ import annotations

from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.backend.shapes import UnsupportedProperty
from local.aws.resources.attachments import refuse_if_attached
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties, refuse_others

_SOURCES = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
}
_OTHERS = frozenset(("IpProtocol", "FromPort", "ToPort", "Description"))
_OPEN_EGRESS = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


def permission(rule: Properties) -> dict[str, Any]:
    """Return a CloudFormation rule as EC2's IpPermission. Raises UnsupportedProperty."""
    if unknown := sorted(set(rule) - set(_SOURCES) - _OTHERS):
        raise UnsupportedProperty(f"property {unknown[0]} of a security group's rule is not supported")
    permitted: dict[str, Any] = {"IpProtocol": str(rule["IpProtocol"])}
    permitted.update({port: int(rule[port]) for port in ("FromPort", "ToPort") if port in rule})
    note = {"Description": rule["Description"]} if "Description" in rule else {}
    for name, (member, key) in _SOURCES.items():
        if name in rule:
            permitted[member] = [{key: rule[name], **note}]
    return permitted


def _authorize(cloud: Cloud, group: str, properties: Properties) -> None:
    ec2 = cloud.client("ec2")
    for rule in properties.get("SecurityGroupIngress", []):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission(rule)])
    if egress := properties.get("SecurityGroupEgress", []):
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[_OPEN_EGRESS])
        for rule in egress:
            ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission(rule)])


def _create(cloud: Cloud, name: str, properties: Properties) -> PhysicalResource:
    rules = ("SecurityGroupIngress", "SecurityGroupEgress")
    refuse_others(properties, ("GroupName", "GroupDescription", "VpcId", "Tags", *rules))
    request = {
        "GroupName": properties.get("GroupName", name),
        "Description": properties["GroupDescription"],
        "VpcId": properties["VpcId"],
    }
    group = cloud.call("ec2", "create_security_group", request)["GroupId"]
    if properties.get("Tags"):
        cloud.call("ec2", "create_tags", {"Resources": [group], "Tags": properties["Tags"]})
    _authorize(cloud, group, properties)
    return PhysicalResource(id=group, attributes={"GroupId": group, "VpcId": properties["VpcId"]})


def _update(cloud: Cloud, change: Change) -> PhysicalResource:
    ec2 = cloud.client("ec2")
    for rule in change.old.get("SecurityGroupIngress", []):
        ec2.revoke_security_group_ingress(GroupId=change.physical.id, IpPermissions=[permission(rule)])
    for rule in change.old.get("SecurityGroupEgress", []):
        ec2.revoke_security_group_egress(GroupId=change.physical.id, IpPermissions=[permission(rule)])
    if change.old.get("SecurityGroupEgress"):
        ec2.authorize_security_group_egress(GroupId=change.physical.id, IpPermissions=[_OPEN_EGRESS])
    _authorize(cloud, change.physical.id, change.new)
    return change.physical


def _delete(cloud: Cloud, physical: PhysicalResource) -> None:
    refuse_if_attached(cloud, physical.id, "group-id")
    cloud.client("ec2").delete_security_group(GroupId=physical.id)


def _rule_kind(direction: str) -> Kind:
    """Return AWS::EC2::SecurityGroupIngress or -Egress."""

    def create(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
        rule = permission({key: value for key, value in properties.items() if key != "GroupId"})
        authorize = getattr(cloud.client("ec2"), f"authorize_security_group_{direction}")
        answer = authorize(GroupId=properties["GroupId"], IpPermissions=[rule])
        rule_id = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        return PhysicalResource(id=rule_id, attributes={"Id": rule_id, "_group": properties["GroupId"]})

    def delete(cloud: Cloud, physical: PhysicalResource) -> None:
        revoke = getattr(cloud.client("ec2"), f"revoke_security_group_{direction}")
        revoke(GroupId=physical.attributes["_group"], SecurityGroupRuleIds=[physical.id])

    return Kind(type=f"AWS::EC2::SecurityGroup{direction.capitalize()}", create=create, delete=delete)


KINDS = (
    Kind(
        type="AWS::EC2::SecurityGroup",
        create=_create,
        update=_update,
        unchangeable=frozenset(("Tags",)),
        delete=_delete,
    ),
    _rule_kind("ingress"),
    _rule_kind("egress"),
)
