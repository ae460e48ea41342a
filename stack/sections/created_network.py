"""The network that the stack creates: a public and a private subnet in each zone, and the private ones' way out."""

from dataclasses import dataclass
from typing import Any

from troposphere import (
    And,
    Cidr,
    Condition,
    Equals,
    GetAZs,
    If,
    Not,
    NoValue,
    Parameter,
    Ref,
    Select,
    Sub,
    Tags,
    Template,
)
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

from stack.lib.parameters import add_condition
from stack.lib.security_groups import ANYWHERE
from stack.sections.network_endpoints import Endpoints, add_endpoints

ZONES = ("A", "B", "C")  # the last one exists under a condition only
SUBNETS = 2 * len(ZONES)
SUBNET_HOST_BITS = "12"  # 4,096 addresses per subnet: enough for WorkerMax ECS tasks with an address each


@dataclass(frozen=True, kw_only=True)
class NetworkShape:
    """The parameters that shape the network; `way_out` is nat, nat-per-zone or endpoints."""

    cidr: Parameter
    zones: Parameter
    way_out: Parameter


@dataclass(frozen=True, kw_only=True)
class CreatedNetwork:
    vpc: VPC
    private_subnets: list[Any]
    public_subnets: list[Any]
    endpoints: Endpoints


@dataclass(frozen=True, kw_only=True)
class _Zone:
    """A zone and its conditions: its resources exist, it has a NAT gateway, its private subnet has a route out."""

    name: str
    index: int
    exists: str
    has_nat: str
    has_route_out: str


def add_created_network(t: Template, *, shape: NetworkShape, is_created: str) -> CreatedNetwork:
    """Add the network, all of it under the condition `is_created` or one that implies it."""
    zones = _add_zones(t, shape=shape, is_created=is_created)
    vpc = t.add_resource(
        VPC(
            "NetworkVpc",
            Condition=is_created,
            CidrBlock=Ref(shape.cidr),
            EnableDnsHostnames=True,
            EnableDnsSupport=True,
            Tags=_name_tag("vpc"),
        )
    )

    def nth(index: int) -> Select:
        return Select(index, Cidr(Ref(shape.cidr), SUBNETS, SUBNET_HOST_BITS))

    way_in = _add_internet(t, vpc=vpc, is_created=is_created)
    public = [
        _add_subnet(t, f"NetworkPublicSubnet{zone.name}", vpc=vpc, zone=zone, addresses=nth(zone.index), route=way_in)
        for zone in zones
    ]
    nats = [_add_nat(t, zone=zone, subnet=subnet) for zone, subnet in zip(zones, public, strict=True)]
    routes = [_add_way_out(t, zone=zone, vpc=vpc, nats=nats) for zone in zones]
    private = [
        _add_subnet(
            t,
            f"NetworkPrivateSubnet{zone.name}",
            vpc=vpc,
            zone=zone,
            addresses=nth(len(ZONES) + zone.index),
            route=route,
            has_route_out=zone.has_route_out,
        )
        for zone, route in zip(zones, routes, strict=True)
    ]
    # Image layers and task logs are S3 traffic: free through this endpoint, billed through a NAT gateway.
    t.add_resource(
        VPCEndpoint(
            "NetworkS3Endpoint",
            Condition=is_created,
            VpcId=Ref(vpc),
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            VpcEndpointType="Gateway",
            RouteTableIds=_existing(zones, [route.RouteTableId for route in routes]),
        )
    )
    private_subnets = _existing(zones, [Ref(subnet) for subnet in private])
    is_without_nat = add_condition(
        t, "IsNetworkWithoutNat", And(Condition(is_created), Equals(Ref(shape.way_out), "endpoints"))
    )
    return CreatedNetwork(
        vpc=vpc,
        private_subnets=private_subnets,
        public_subnets=_existing(zones, [Ref(subnet) for subnet in public]),
        endpoints=add_endpoints(t, vpc=vpc, cidr=shape.cidr, subnets=private_subnets, condition=is_without_nat),
    )


def _add_zones(t: Template, *, shape: NetworkShape, is_created: str) -> list[_Zone]:
    is_third = add_condition(t, "IsThirdZoneCreated", And(Condition(is_created), Equals(Ref(shape.zones), "3")))
    has_nat = add_condition(t, "HasNat", And(Condition(is_created), Not(Equals(Ref(shape.way_out), "endpoints"))))
    is_nat_per_zone = add_condition(
        t, "IsNatPerZone", And(Condition(is_created), Equals(Ref(shape.way_out), "nat-per-zone"))
    )
    has_third_nat = add_condition(t, "HasThirdNat", And(Condition(is_third), Condition(is_nat_per_zone)))
    third_has_route_out = add_condition(t, "IsThirdZoneLeadingOut", And(Condition(is_third), Condition(has_nat)))
    first, second, third = ZONES
    return [
        _Zone(name=first, index=0, exists=is_created, has_nat=has_nat, has_route_out=has_nat),
        _Zone(name=second, index=1, exists=is_created, has_nat=is_nat_per_zone, has_route_out=has_nat),
        _Zone(name=third, index=2, exists=is_third, has_nat=has_third_nat, has_route_out=third_has_route_out),
    ]


def _existing(zones: list[_Zone], references: list[Any]) -> list[Any]:
    """Return the references of the zones that exist; the first two always do."""
    first = references[:-1]
    return [*first, If(zones[-1].exists, references[-1], NoValue)]


def _add_internet(t: Template, *, vpc: VPC, is_created: str) -> Route:
    gateway = t.add_resource(InternetGateway("NetworkGateway", Condition=is_created, Tags=_name_tag("gateway")))
    attachment = t.add_resource(
        VPCGatewayAttachment(
            "NetworkGatewayAttachment", Condition=is_created, VpcId=Ref(vpc), InternetGatewayId=Ref(gateway)
        )
    )
    table = _add_route_table(t, "NetworkPublicRoutes", vpc=vpc, condition=is_created)
    return t.add_resource(
        Route(
            "NetworkPublicRoute",
            Condition=is_created,
            DependsOn=attachment.title,
            RouteTableId=Ref(table),
            DestinationCidrBlock=ANYWHERE,
            GatewayId=Ref(gateway),
        )
    )


def _add_nat(t: Template, *, zone: _Zone, subnet: Subnet) -> NatGateway:
    name = f"NetworkNat{zone.name}"
    address = t.add_resource(EIP(f"{name}Address", Condition=zone.has_nat, Domain="vpc", Tags=_name_tag(name)))
    return t.add_resource(
        NatGateway(
            name,
            Condition=zone.has_nat,
            AllocationId=address.get_att("AllocationId"),
            SubnetId=Ref(subnet),
            Tags=_name_tag(name),
        )
    )


def _add_way_out(t: Template, *, zone: _Zone, vpc: VPC, nats: list[NatGateway]) -> Route:
    """Add the route to the zone's own NAT gateway, else to that of the first zone; without any there is no route."""
    table = _add_route_table(t, f"NetworkPrivateRoutes{zone.name}", vpc=vpc, condition=zone.exists)
    first, own = nats[0], nats[zone.index]
    return t.add_resource(
        Route(
            f"NetworkPrivateRoute{zone.name}",
            Condition=zone.has_route_out,
            RouteTableId=Ref(table),
            DestinationCidrBlock=ANYWHERE,
            NatGatewayId=Ref(first) if own is first else If(zone.has_nat, Ref(own), Ref(first)),
        )
    )


def _add_route_table(t: Template, title: str, *, vpc: VPC, condition: str) -> RouteTable:
    return t.add_resource(RouteTable(title, Condition=condition, VpcId=Ref(vpc), Tags=_name_tag(title)))


def _add_subnet(
    t: Template, title: str, *, vpc: VPC, zone: _Zone, addresses: Select, route: Route, has_route_out: str | None = None
) -> Subnet:
    """Add a subnet that is created after its route, so that nothing is placed in it while it has no way out.

    The tag enforces that order: CloudFormation has no DependsOn under a condition.
    """
    leads_out_by = Ref(route) if has_route_out is None else If(has_route_out, Ref(route), "endpoints")
    subnet = t.add_resource(
        Subnet(
            title,
            Condition=zone.exists,
            VpcId=Ref(vpc),
            AvailabilityZone=Select(zone.index, GetAZs("")),
            CidrBlock=addresses,
            Tags=_name_tag(title) + Tags({"leads-out-by": leads_out_by}),
        )
    )
    t.add_resource(
        SubnetRouteTableAssociation(
            f"{title}Routes", Condition=zone.exists, SubnetId=Ref(subnet), RouteTableId=route.RouteTableId
        )
    )
    return subnet


def _name_tag(thing: str) -> Tags:
    return Tags(Name=Sub(f"${{AWS::StackName}}-{thing}"))
