"""The network that everything runs in: an existing one, named by its ids, or one created in two or three zones."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, Or, Parameter, Ref, Split, Template

from stack.lib.parameters import FormGroup, Matching, OneOf, add_condition, add_rule
from stack.sections.created_network import NetworkShape, add_created_network
from stack.sections.network_endpoints import Endpoints

GROUP = "Network"
TWO_SUBNETS_OR_NONE = Matching(
    regex=r"^(subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17})+)?$",
    must_be="two or more subnet ids separated by commas, or empty",
)


@dataclass(frozen=True, kw_only=True)
class Subnets:
    private: Any
    public: Any


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network: created where the condition `is_created` holds, else an existing one, called brought.

    A brought network may have no public subnets. `vpc_id` and `public_ids` are parameters that name it.
    `created_vpc` may be referenced only where `is_created` holds. `endpoints` are those of a network without NAT.
    """

    vpc: If
    created_vpc: Ref
    is_created: str
    created: Subnets
    brought: Subnets
    vpc_id: Parameter
    public_ids: Parameter
    endpoints: Endpoints

    @property
    def private_subnets(self) -> If:
        return If(self.is_created, self.created.private, self.brought.private)


def add_network(t: Template) -> Network:
    form = FormGroup(t, GROUP)
    vpc_id = form.add(
        "VpcId",
        label="VPC",
        description="Existing VPC to run in; leave empty to create one with public and private subnets.",
        constraint=Matching(regex=r"^(vpc-[0-9a-f]{8,17})?$", must_be="a VPC id, or empty"),
        default="",
    )
    private_ids = form.add(
        "PrivateSubnetIds",
        label="Private subnets",
        description="Subnets of the existing VPC, in different zones, that reach AWS through NAT or VPC endpoints.",
        constraint=TWO_SUBNETS_OR_NONE,
        default="",
    )
    public_ids = form.add(
        "PublicSubnetIds",
        label="Public subnets",
        description="Subnets of the existing VPC for a load balancer that faces the internet.",
        constraint=TWO_SUBNETS_OR_NONE,
        default="",
    )
    add_rule(
        t,
        "BroughtVpcHasSubnets",
        when=Not(Equals(Ref(vpc_id), "")),
        assertions=[
            (Not(Equals(Ref(private_ids), "")), "VpcId needs PrivateSubnetIds: two or more, in different zones.")
        ],
    )
    add_rule(
        t,
        "CreatedVpcHasItsOwnSubnets",
        when=Equals(Ref(vpc_id), ""),
        assertions=[
            (Equals(Ref(private_ids), ""), "PrivateSubnetIds needs VpcId."),
            (Equals(Ref(public_ids), ""), "PublicSubnetIds needs VpcId."),
        ],
    )
    # The rules above make both equal. The linter needs both to see that neither is empty in a brought network.
    is_created = add_condition(t, "IsNetworkCreated", Or(Equals(Ref(vpc_id), ""), Equals(Ref(private_ids), "")))
    own = add_created_network(t, shape=_add_shape(form), is_created=is_created)
    return Network(
        vpc=If(is_created, Ref(own.vpc), Ref(vpc_id)),
        created_vpc=Ref(own.vpc),
        is_created=is_created,
        created=Subnets(private=own.private_subnets, public=own.public_subnets),
        brought=Subnets(private=Split(",", Ref(private_ids)), public=Split(",", Ref(public_ids))),
        vpc_id=vpc_id,
        public_ids=public_ids,
        endpoints=own.endpoints,
    )


def _add_shape(form: FormGroup) -> NetworkShape:
    cidr = form.add(
        "VpcCidr",
        label="Address range",
        description="Addresses of the VPC that is created when VpcId is empty.",
        constraint=Matching(
            regex=r"^(10|172|192)(\.[0-9]{1,3}){3}/1[67]$",
            must_be="a private IPv4 range of /16 or /17, such as 10.0.0.0/16",
        ),
        default="10.0.0.0/16",
    )
    zones: Parameter = form.add(
        "Zones",
        label="Zones",
        description="Number of availability zones of the created VPC.",
        constraint=OneOf(values=("2", "3")),
        default="2",
    )
    way_out: Parameter = form.add(
        "WayOut",
        label="Internet access of private subnets",
        description="nat: one NAT gateway; nat-per-zone: one a zone; endpoints: VPC endpoints to AWS, no internet.",
        constraint=OneOf(values=("nat", "nat-per-zone", "endpoints")),
        default="nat",
    )
    return NetworkShape(cidr=cidr, zones=zones, way_out=way_out)
