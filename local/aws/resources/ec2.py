"""AWS::EC2 resources: the network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.resources.attachments import refuse_if_attached
from local.aws.resources.kind import Change, Create, Kind, PhysicalResource, Properties, deleted_by, tag_map, without


def _tags(kind: str, properties: Properties) -> list[dict[str, Any]] | None:
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties).items()]
    return [{"ResourceType": kind, "Tags": tags}] if tags else None


def _retag(cloud: Cloud, change: Change) -> None:
    if gone := set(tag_map(change.old)) - set(tag_map(change.new)):
        cloud.client("ec2").delete_tags(Resources=[change.physical.id], Tags=[{"Key": key} for key in gone])
    if tags := tag_map(change.new):
        cloud.client("ec2").create_tags(
            Resources=[change.physical.id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )


def _only_tags(cloud: Cloud, change: Change) -> PhysicalResource:
    _retag(cloud, change)
    return change.physical


def _created_by(operation: str, answer: str, *, tagged: str, attribute: str) -> Create:
    """Return a `create` that calls `operation` with all properties, its tags as of the resource type `tagged`.

    The id is in the member `answer` of the operation's answer; Fn::GetAtt gives it as `attribute`.
    """

    def create(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
        tags = _tags(tagged, properties)
        made = cloud.call("ec2", operation, without(properties, "Tags"), TagSpecifications=tags)[answer]
        identifier = made[f"{answer}Id"]
        return PhysicalResource(id=identifier, attributes={attribute: identifier})

    return create


def _create_vpc(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "EnableDnsSupport", "EnableDnsHostnames", "Tags")
    vpc = cloud.call("ec2", "create_vpc", plain, TagSpecifications=_tags("vpc", properties))["Vpc"]
    _set_dns(cloud, vpc["VpcId"], properties)
    groups = cloud.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    attributes = {
        "VpcId": vpc["VpcId"],
        "CidrBlock": vpc["CidrBlock"],
        "DefaultSecurityGroup": groups[0]["GroupId"],
    }
    return PhysicalResource(id=vpc["VpcId"], attributes=attributes)


def _set_dns(cloud: Cloud, vpc: str, properties: Properties) -> None:
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        if attribute in properties:
            cloud.call("ec2", "modify_vpc_attribute", {"VpcId": vpc, attribute: {"Value": properties[attribute]}})


def _update_vpc(cloud: Cloud, change: Change) -> PhysicalResource:
    _retag(cloud, change)
    _set_dns(cloud, change.physical.id, change.new)
    return change.physical


def _create_subnet(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    plain = without(properties, "MapPublicIpOnLaunch", "Tags")
    subnet = cloud.call("ec2", "create_subnet", plain, TagSpecifications=_tags("subnet", properties))["Subnet"]
    if "MapPublicIpOnLaunch" in properties:
        public = {"SubnetId": subnet["SubnetId"], "MapPublicIpOnLaunch": {"Value": properties["MapPublicIpOnLaunch"]}}
        cloud.call("ec2", "modify_subnet_attribute", public)
    attributes = {name: subnet[name] for name in ("SubnetId", "AvailabilityZone", "VpcId", "CidrBlock")}
    return PhysicalResource(id=subnet["SubnetId"], attributes=attributes)


def _delete_subnet(cloud: Cloud, physical: PhysicalResource) -> None:
    refuse_if_attached(cloud, physical.id, "subnet-id")
    cloud.client("ec2").delete_subnet(SubnetId=physical.id)


def _attach_gateway(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    cloud.call("ec2", "attach_internet_gateway", properties)
    return PhysicalResource(id=f"IGW|{properties['VpcId']}", attributes={"_gateway": properties["InternetGatewayId"]})


def _detach_gateway(cloud: Cloud, physical: PhysicalResource) -> None:
    cloud.client("ec2").detach_internet_gateway(
        InternetGatewayId=physical.attributes["_gateway"], VpcId=physical.id.removeprefix("IGW|")
    )


def _create_address(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    tags = _tags("elastic-ip", properties)
    address = cloud.call("ec2", "allocate_address", without(properties, "Tags"), TagSpecifications=tags)
    attributes = {"AllocationId": address["AllocationId"], "PublicIp": address["PublicIp"]}
    return PhysicalResource(id=address["PublicIp"], attributes=attributes)


def _retag_address(cloud: Cloud, change: Change) -> PhysicalResource:
    _retag(cloud, replace(change, physical=replace(change.physical, id=change.physical.attributes["AllocationId"])))
    return change.physical


def _create_route(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    cloud.call("ec2", "create_route", properties)
    destination = properties.get("DestinationCidrBlock", properties.get("DestinationIpv6CidrBlock"))
    return PhysicalResource(id=f"{properties['RouteTableId']}|{destination}", attributes={"CidrBlock": destination})


def _delete_route(cloud: Cloud, physical: PhysicalResource) -> None:
    table, destination = physical.id.split("|")
    key = "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"
    cloud.call("ec2", "delete_route", {"RouteTableId": table, key: destination})


def _update_route(cloud: Cloud, change: Change) -> PhysicalResource:
    cloud.call("ec2", "replace_route", change.new)
    return change.physical


def _associate_table(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    association = cloud.call("ec2", "associate_route_table", properties)["AssociationId"]
    return PhysicalResource(id=association, attributes={"Id": association})


def _create_flow_log(cloud: Cloud, _name: str, properties: Properties) -> PhysicalResource:
    # moto takes the whole destination for the bucket's name; the folder makes no difference here.
    bucket = properties["LogDestination"].partition("/")[0]
    plain = {**without(properties, "ResourceId", "Tags"), "LogDestination": bucket}
    tags = _tags("vpc-flow-log", properties)
    answer = cloud.call(
        "ec2", "create_flow_logs", plain, ResourceIds=[properties["ResourceId"]], TagSpecifications=tags
    )
    (log,) = answer["FlowLogIds"]
    return PhysicalResource(id=log, attributes={"Id": log})


KINDS = (
    Kind(
        type="AWS::EC2::VPC",
        create=_create_vpc,
        update=_update_vpc,
        replaced_by=frozenset(("InstanceTenancy",)),
        delete=deleted_by("ec2", "delete_vpc", "VpcId"),
    ),
    Kind(
        type="AWS::EC2::Subnet",
        create=_create_subnet,
        update=_only_tags,
        unchangeable=frozenset(("MapPublicIpOnLaunch",)),
        delete=_delete_subnet,
    ),
    Kind(
        type="AWS::EC2::InternetGateway",
        create=_created_by(
            "create_internet_gateway", "InternetGateway", tagged="internet-gateway", attribute="InternetGatewayId"
        ),
        update=_only_tags,
        delete=deleted_by("ec2", "delete_internet_gateway", "InternetGatewayId"),
    ),
    Kind(type="AWS::EC2::VPCGatewayAttachment", create=_attach_gateway, delete=_detach_gateway),
    Kind(
        type="AWS::EC2::EIP",
        create=_create_address,
        update=_retag_address,
        unchangeable=frozenset(("Domain", "InstanceId")),
        delete=lambda cloud, physical: cloud.client("ec2").release_address(
            AllocationId=physical.attributes["AllocationId"]
        ),
    ),
    Kind(
        type="AWS::EC2::NatGateway",
        create=_created_by("create_nat_gateway", "NatGateway", tagged="natgateway", attribute="NatGatewayId"),
        update=_only_tags,
        delete=deleted_by("ec2", "delete_nat_gateway", "NatGatewayId"),
    ),
    Kind(
        type="AWS::EC2::RouteTable",
        create=_created_by("create_route_table", "RouteTable", tagged="route-table", attribute="RouteTableId"),
        update=_only_tags,
        delete=deleted_by("ec2", "delete_route_table", "RouteTableId"),
    ),
    Kind(
        type="AWS::EC2::Route",
        create=_create_route,
        update=_update_route,
        delete=_delete_route,
    ),
    Kind(
        type="AWS::EC2::SubnetRouteTableAssociation",
        create=_associate_table,
        delete=deleted_by("ec2", "disassociate_route_table", "AssociationId"),
    ),
    Kind(
        type="AWS::EC2::VPCEndpoint",
        create=_created_by("create_vpc_endpoint", "VpcEndpoint", tagged="vpc-endpoint", attribute="Id"),
        delete=lambda cloud, physical: cloud.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[physical.id]),
    ),
    Kind(
        type="AWS::EC2::FlowLog",
        create=_create_flow_log,
        delete=lambda cloud, physical: cloud.client("ec2").delete_flow_logs(FlowLogIds=[physical.id]),
    ),
)
