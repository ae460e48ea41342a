"""The network that everything runs in: brought by its ids, or created in two zones."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, Or, Ref, Split, Template

from stack.declare import Matching, add_condition, add_parameter, add_rule
from stack.own_network import add_own_network

GROUP = "Network"
TWO_SUBNETS_OR_NONE = Matching(
    regex=r"^(subnet-[0-9a-f]{8,17}(,subnet-[0-9a-f]{8,17})+)?$",
    says="two or more subnet ids with commas between them, or empty",
)


@dataclass(frozen=True, kw_only=True)
class Subnets:
    private: Any
    public: Any


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network, created where the condition `is_created` holds; a brought one may have no public subnets."""

    vpc: If
    is_created: str
    created: Subnets
    brought: Subnets
    is_brought_without_public: Equals

    @property
    def private_subnets(self) -> If:
        return If(self.is_created, self.created.private, self.brought.private)


def add_network(t: Template) -> Network:
    vpc_id = add_parameter(
        t,
        "VpcId",
        group=GROUP,
        label="VPC",
        description="VPC to run in; leave empty to create one with public and private subnets in two zones.",
        constraint=Matching(regex=r"^(vpc-[0-9a-f]{8,17})?$", says="a VPC id, or empty"),
        default="",
    )
    private_ids = add_parameter(
        t,
        "PrivateSubnetIds",
        group=GROUP,
        label="Private subnets",
        description="Subnets of the given VPC, in different zones, that reach the internet through a NAT gateway.",
        constraint=TWO_SUBNETS_OR_NONE,
        default="",
    )
    public_ids = add_parameter(
        t,
        "PublicSubnetIds",
        group=GROUP,
        label="Public subnets",
        description="Subnets of the given VPC for a public load balancer; without them it is internal.",
        constraint=TWO_SUBNETS_OR_NONE,
        default="",
    )
    cidr = add_parameter(
        t,
        "VpcCidr",
        group=GROUP,
        label="Address range",
        description="Addresses of the VPC that is created when none is given.",
        constraint=Matching(
            regex=r"^(10|172|192)(\.[0-9]{1,3}){3}/1[6-8]$",
            says="a private IPv4 range from /16 to /18, such as 10.0.0.0/16",
        ),
        default="10.0.0.0/16",
    )
    add_rule(
        t,
        "BroughtVpcHasSubnets",
        when=Not(Equals(Ref(vpc_id), "")),
        assertions=[(Not(Equals(Ref(private_ids), "")), "VpcId needs PrivateSubnetIds, two or more.")],
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
    # The rules above make both equal; together they tell a linter that neither is empty in a brought network.
    is_created = add_condition(t, "IsNetworkCreated", Or(Equals(Ref(vpc_id), ""), Equals(Ref(private_ids), "")))

    own = add_own_network(t, cidr=cidr, is_created=is_created)
    return Network(
        vpc=If(is_created, Ref(own.vpc), Ref(vpc_id)),
        is_created=is_created,
        created=Subnets(
            private=[Ref(subnet) for subnet in own.private_subnets],
            public=[Ref(subnet) for subnet in own.public_subnets],
        ),
        brought=Subnets(private=Split(",", Ref(private_ids)), public=Split(",", Ref(public_ids))),
        is_brought_without_public=Equals(Ref(public_ids), ""),
    )
