"""Security groups that let in only the traffic that is declared between them."""

from dataclasses import dataclass

from troposphere import GetAtt, If, Template
from troposphere.ec2 import SecurityGroup, SecurityGroupEgress, SecurityGroupIngress, SecurityGroupRule

HTTPS_PORT = 443
ANYWHERE = "0.0.0.0/0"
NOWHERE = "127.0.0.1/32"  # AWS gives a group without any outbound rule one that allows everything


@dataclass(frozen=True, kw_only=True)
class Group:
    """A security group; `is_egress_open` says that its members may call anything, so no target needs a rule."""

    resource: SecurityGroup
    is_egress_open: bool

    @property
    def id(self) -> GetAtt:
        return self.resource.get_att("GroupId")


def add_closed_group(t: Template, title: str, *, vpc: If, description: str) -> Group:
    """Add a group whose members open no connections."""
    rule = SecurityGroupRule(IpProtocol="-1", CidrIp=NOWHERE, Description="Nothing")
    return _add_group(t, title, vpc=vpc, description=description, egress=rule)


def add_aws_client_group(t: Template, title: str, *, vpc: If, description: str) -> Group:
    """Add a group whose members call AWS APIs, and the targets that `allow_traffic` adds."""
    rule = SecurityGroupRule(
        IpProtocol="tcp", FromPort=HTTPS_PORT, ToPort=HTTPS_PORT, CidrIp=ANYWHERE, Description="AWS APIs"
    )
    return _add_group(t, title, vpc=vpc, description=description, egress=rule)


def add_open_group(t: Template, title: str, *, vpc: If, description: str) -> Group:
    """Add a group whose members run DAG code, which may call anything."""
    rule = SecurityGroupRule(IpProtocol="-1", CidrIp=ANYWHERE, Description="Whatever the DAGs call")
    return _add_group(t, title, vpc=vpc, description=description, egress=rule, is_egress_open=True)


def _add_group(
    t: Template, title: str, *, vpc: If, description: str, egress: SecurityGroupRule, is_egress_open: bool = False
) -> Group:
    resource = t.add_resource(
        SecurityGroup(title, GroupDescription=description, VpcId=vpc, SecurityGroupEgress=[egress])
    )
    return Group(resource=resource, is_egress_open=is_egress_open)


def allow_traffic(t: Template, *, source: Group, target: Group, port: int, purpose: str = "") -> None:
    """Let members of `source` open TCP connections to `port` of members of `target`.

    `purpose` tells a second port between the same groups from the first: it ends the names of its rules.
    """
    pair = f"{source.resource.title} to {target.resource.title}"
    t.add_resource(
        SecurityGroupIngress(
            f"{target.resource.title}From{source.resource.title}{purpose}",
            GroupId=target.id,
            SourceSecurityGroupId=source.id,
            IpProtocol="tcp",
            FromPort=port,
            ToPort=port,
            Description=pair,
        )
    )
    if source.is_egress_open:
        return
    t.add_resource(
        SecurityGroupEgress(
            f"{source.resource.title}To{target.resource.title}{purpose}",
            GroupId=source.id,
            DestinationSecurityGroupId=target.id,
            IpProtocol="tcp",
            FromPort=port,
            ToPort=port,
            Description=pair,
        )
    )
