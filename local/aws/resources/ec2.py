"""AWS::EC2 resources: the network."""

from __future__ import annotations

from typing import Any

from local.aws.backend.cloud import Cloud
from local.aws.resources.kind import Change, Kind, Made, Properties, tag_map, without


def _tags(kind: str, properties: Properties) -> list[dict[str, Any]] | None:
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties).items()]
    return [{"ResourceType": kind, "Tags": tags}] if tags else None


def _retag(cloud: Cloud, change: Change) -> None:
    if gone := set(tag_map(change.old)) - set(tag_map(change.new)):
        cloud.client("ec2").delete_tags(Resources=[change.made.id], Tags=[{"Key": key} for key in gone])
    if tags := tag_map(change.new):
        cloud.client("ec2").create_tags(
            Resources=[change.made.id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )


def _only_tags(cloud: Cloud, change: Change) -> Made:
    _retag(cloud, change)
    return change.made


def _create_vpc(cloud: Cloud, _name: str, properties: Properties) -> Made:
    plain = without(properties, "EnableDnsSupport", "EnableDnsHostnames", "Tags")
    vpc = cloud.call("ec2", "create_vpc", plain, TagSpecifications=_tags("vpc", properties))["Vpc"]
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        if attribute in properties:
            value = {"Value": properties[attribute]}
            cloud.call("ec2", "modify_vpc_attribute", {"VpcId": vpc["VpcId"], attribute: value})
    groups = cloud.client("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    )["SecurityGroups"]
    attributes = {
        "VpcId": vpc["VpcId"],
        "CidrBlock": vpc["CidrBlock"],
        "DefaultSecurityGroup": groups[0]["GroupId"],
    }
    return Made(id=vpc["VpcId"], attributes=attributes)


def _create_subnet(cloud: Cloud, _name: str, properties: Properties) -> Made:
    plain = without(properties, "MapPublicIpOnLaunch", "Tags")
    subnet = cloud.call("ec2", "create_subnet", plain, TagSpecifications=_tags("subnet", properties))["Subnet"]
    if "MapPublicIpOnLaunch" in properties:
        public = {"SubnetId": subnet["SubnetId"], "MapPublicIpOnLaunch": {"Value": properties["MapPublicIpOnLaunch"]}}
        cloud.call("ec2", "modify_subnet_attribute", public)
    attributes = {name: subnet[name] for name in ("SubnetId", "AvailabilityZone", "VpcId", "CidrBlock")}
    return Made(id=subnet["SubnetId"], attributes=attributes)


def _create_gateway(cloud: Cloud, _name: str, properties: Properties) -> Made:
    tags = _tags("internet-gateway", properties)
    answer = cloud.call("ec2", "create_internet_gateway", without(properties, "Tags"), TagSpecifications=tags)
    gateway = answer["InternetGateway"]["InternetGatewayId"]
    return Made(id=gateway, attributes={"InternetGatewayId": gateway})


def _attach_gateway(cloud: Cloud, _name: str, properties: Properties) -> Made:
    cloud.call("ec2", "attach_internet_gateway", properties)
    return Made(id=f"IGW|{properties['VpcId']}", attributes={"_gateway": properties["InternetGatewayId"]})


def _detach_gateway(cloud: Cloud, made: Made) -> None:
    cloud.client("ec2").detach_internet_gateway(
        InternetGatewayId=made.attributes["_gateway"], VpcId=made.id.removeprefix("IGW|")
    )


def _create_address(cloud: Cloud, _name: str, properties: Properties) -> Made:
    tags = _tags("elastic-ip", properties)
    address = cloud.call("ec2", "allocate_address", without(properties, "Tags"), TagSpecifications=tags)
    attributes = {"AllocationId": address["AllocationId"], "PublicIp": address["PublicIp"]}
    return Made(id=address["PublicIp"], attributes=attributes)


def _create_nat(cloud: Cloud, _name: str, properties: Properties) -> Made:
    tags = _tags("natgateway", properties)
    nat = cloud.call("ec2", "create_nat_gateway", without(properties, "Tags"), TagSpecifications=tags)["NatGateway"]
    return Made(id=nat["NatGatewayId"], attributes={"NatGatewayId": nat["NatGatewayId"]})


def _create_table(cloud: Cloud, _name: str, properties: Properties) -> Made:
    tags = _tags("route-table", properties)
    answer = cloud.call("ec2", "create_route_table", without(properties, "Tags"), TagSpecifications=tags)
    table = answer["RouteTable"]["RouteTableId"]
    return Made(id=table, attributes={"RouteTableId": table})


def _create_route(cloud: Cloud, _name: str, properties: Properties) -> Made:
    cloud.call("ec2", "create_route", properties)
    destination = properties.get("DestinationCidrBlock", properties.get("DestinationIpv6CidrBlock"))
    return Made(id=f"{properties['RouteTableId']}|{destination}", attributes={"CidrBlock": destination})


def _delete_route(cloud: Cloud, made: Made) -> None:
    table, destination = made.id.split("|")
    key = "DestinationIpv6CidrBlock" if ":" in destination else "DestinationCidrBlock"
    cloud.call("ec2", "delete_route", {"RouteTableId": table, key: destination})


def _update_route(cloud: Cloud, change: Change) -> Made:
    cloud.call("ec2", "replace_route", change.new)
    return change.made


def _associate_table(cloud: Cloud, _name: str, properties: Properties) -> Made:
    association = cloud.call("ec2", "associate_route_table", properties)["AssociationId"]
    return Made(id=association, attributes={"Id": association})


def _create_endpoint(cloud: Cloud, _name: str, properties: Properties) -> Made:
    tags = _tags("vpc-endpoint", properties)
    answer = cloud.call("ec2", "create_vpc_endpoint", without(properties, "Tags"), TagSpecifications=tags)
    endpoint = answer["VpcEndpoint"]["VpcEndpointId"]
    return Made(id=endpoint, attributes={"Id": endpoint})


def _create_flow_log(cloud: Cloud, _name: str, properties: Properties) -> Made:
    # moto takes all of the destination for the bucket's name; a folder in it makes no difference here.
    bucket = properties["LogDestination"].partition("/")[0]
    plain = {**without(properties, "ResourceId", "Tags"), "LogDestination": bucket}
    tags = _tags("vpc-flow-log", properties)
    answer = cloud.call(
        "ec2", "create_flow_logs", plain, ResourceIds=[properties["ResourceId"]], TagSpecifications=tags
    )
    (log,) = answer["FlowLogIds"]
    return Made(id=log, attributes={"Id": log})


KINDS = (
    Kind(
        type="AWS::EC2::VPC",
        create=_create_vpc,
        update=_only_tags,
        replaced_by=frozenset(("CidrBlock", "InstanceTenancy", "EnableDnsSupport", "EnableDnsHostnames")),
        delete=lambda cloud, made: cloud.client("ec2").delete_vpc(VpcId=made.id),
    ),
    Kind(
        type="AWS::EC2::Subnet",
        create=_create_subnet,
        update=_only_tags,
        replaced_by=frozenset(("CidrBlock", "VpcId", "AvailabilityZone", "MapPublicIpOnLaunch")),
        delete=lambda cloud, made: cloud.client("ec2").delete_subnet(SubnetId=made.id),
    ),
    Kind(
        type="AWS::EC2::InternetGateway",
        create=_create_gateway,
        update=_only_tags,
        delete=lambda cloud, made: cloud.client("ec2").delete_internet_gateway(InternetGatewayId=made.id),
    ),
    Kind(type="AWS::EC2::VPCGatewayAttachment", create=_attach_gateway, delete=_detach_gateway),
    Kind(
        type="AWS::EC2::EIP",
        create=_create_address,
        delete=lambda cloud, made: cloud.client("ec2").release_address(AllocationId=made.attributes["AllocationId"]),
    ),
    Kind(
        type="AWS::EC2::NatGateway",
        create=_create_nat,
        update=_only_tags,
        replaced_by=frozenset(("AllocationId", "SubnetId", "ConnectivityType")),
        delete=lambda cloud, made: cloud.client("ec2").delete_nat_gateway(NatGatewayId=made.id),
    ),
    Kind(
        type="AWS::EC2::RouteTable",
        create=_create_table,
        update=_only_tags,
        replaced_by=frozenset(("VpcId",)),
        delete=lambda cloud, made: cloud.client("ec2").delete_route_table(RouteTableId=made.id),
    ),
    Kind(
        type="AWS::EC2::Route",
        create=_create_route,
        update=_update_route,
        replaced_by=frozenset(("RouteTableId", "DestinationCidrBlock", "DestinationIpv6CidrBlock")),
        delete=_delete_route,
    ),
    Kind(
        type="AWS::EC2::SubnetRouteTableAssociation",
        create=_associate_table,
        delete=lambda cloud, made: cloud.client("ec2").disassociate_route_table(AssociationId=made.id),
    ),
    Kind(
        type="AWS::EC2::VPCEndpoint",
        create=_create_endpoint,
        delete=lambda cloud, made: cloud.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made.id]),
    ),
    Kind(
        type="AWS::EC2::FlowLog",
        create=_create_flow_log,
        delete=lambda cloud, made: cloud.client("ec2").delete_flow_logs(FlowLogIds=[made.id]),
    ),
)
