"""A network of the stack's own: two zones, a public and a private subnet in each, one NAT gateway."""

from dataclasses import dataclass
from typing import Any

from troposphere import Cidr, GetAZs, Parameter, Ref, Select, Sub, Tags, Template
from troposphere.ec2 import (
    EIP,
    VPC,
    InternetGateway,
    NatGateway,
    Route,
    RouteTable,
    Subnet,
    SubnetRouteTableAssociation,
    VPCEndpoint,
    VPCGatewayAttachment,
)

ANYWHERE = "0.0.0.0/0"
ZONES = ("A", "B")
SUBNETS = 2 * len(ZONES)
SUBNET_HOST_BITS = "12"  # 4,096 addresses a subnet: room for WorkerMax tasks, each with an address of its own


@dataclass(frozen=True, kw_only=True)
class OwnNetwork:
    vpc: VPC
    private_subnets: list[Subnet]
    public_subnets: list[Subnet]


def add_own_network(t: Template, *, cidr: Parameter, is_created: str) -> OwnNetwork:
    """Everything under the condition `is_created`."""
    vpc = t.add_resource(
        VPC(
            "NetworkVpc",
            Condition=is_created,
            CidrBlock=Ref(cidr),
            EnableDnsHostnames=True,
            EnableDnsSupport=True,
            Tags=_name("vpc"),
        )
    )
    public = _add_public_subnets(t, vpc=vpc, cidr=cidr, is_created=is_created)
    private = _add_private_subnets(t, vpc=vpc, cidr=cidr, is_created=is_created, nat_subnet=public[0])
    return OwnNetwork(vpc=vpc, private_subnets=private, public_subnets=public)


def _add_public_subnets(t: Template, *, vpc: VPC, cidr: Any, is_created: str) -> list[Subnet]:
    gateway = t.add_resource(InternetGateway("NetworkGateway", Condition=is_created, Tags=_name("gateway")))
    attachment = t.add_resource(
        VPCGatewayAttachment(
            "NetworkGatewayAttachment", Condition=is_created, VpcId=Ref(vpc), InternetGatewayId=Ref(gateway)
        )
    )
    table = _add_route_table(t, "NetworkPublicRoutes", vpc=vpc, is_created=is_created)
    route = t.add_resource(
        Route(
            "NetworkPublicRoute",
            Condition=is_created,
            DependsOn=attachment.title,
            RouteTableId=Ref(table),
            DestinationCidrBlock=ANYWHERE,
            GatewayId=Ref(gateway),
        )
    )
    return [
        _add_subnet(t, f"NetworkPublicSubnet{zone}", index=i, vpc=vpc, cidr=cidr, route=route, is_created=is_created)
        for i, zone in enumerate(ZONES)
    ]


def _add_private_subnets(t: Template, *, vpc: VPC, cidr: Any, is_created: str, nat_subnet: Subnet) -> list[Subnet]:
    address = t.add_resource(EIP("NetworkNatAddress", Condition=is_created, Domain="vpc", Tags=_name("nat")))
    nat = t.add_resource(
        NatGateway(
            "NetworkNatGateway",
            Condition=is_created,
            AllocationId=address.get_att("AllocationId"),
            SubnetId=Ref(nat_subnet),
            Tags=_name("nat"),
        )
    )
    table = _add_route_table(t, "NetworkPrivateRoutes", vpc=vpc, is_created=is_created)
    route = t.add_resource(
        Route(
            "NetworkPrivateRoute",
            Condition=is_created,
            RouteTableId=Ref(table),
            DestinationCidrBlock=ANYWHERE,
            NatGatewayId=Ref(nat),
        )
    )
    # Image layers and task logs are S3 traffic: free through this endpoint, paid for through the NAT gateway.
    t.add_resource(
        VPCEndpoint(
            "NetworkS3Endpoint",
            Condition=is_created,
            VpcId=Ref(vpc),
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            VpcEndpointType="Gateway",
            RouteTableIds=[Ref(table)],
        )
    )
    return [
        _add_subnet(
            t,
            f"NetworkPrivateSubnet{zone}",
            index=len(ZONES) + i,
            vpc=vpc,
            cidr=cidr,
            route=route,
            is_created=is_created,
        )
        for i, zone in enumerate(ZONES)
    ]


def _add_route_table(t: Template, title: str, *, vpc: VPC, is_created: str) -> Any:
    return t.add_resource(RouteTable(title, Condition=is_created, VpcId=Ref(vpc), Tags=_name(title)))


def _add_subnet(t: Template, title: str, *, index: int, vpc: VPC, cidr: Any, route: Route, is_created: str) -> Any:
    """A subnet that exists only after its route does, so that nothing is placed into it while it leads nowhere."""
    zone_index = index % len(ZONES)
    subnet = t.add_resource(
        Subnet(
            title,
            Condition=is_created,
            DependsOn=route.title,
            VpcId=Ref(vpc),
            AvailabilityZone=Select(zone_index, GetAZs("")),
            CidrBlock=Select(index, Cidr(Ref(cidr), SUBNETS, SUBNET_HOST_BITS)),
            Tags=_name(title),
        )
    )
    t.add_resource(
        SubnetRouteTableAssociation(
            f"{title}Routes", Condition=is_created, SubnetId=Ref(subnet), RouteTableId=route.RouteTableId
        )
    )
    return subnet


def _name(thing: str) -> Tags:
    return Tags(Name=Sub(f"${{AWS::StackName}}-{thing}"))
