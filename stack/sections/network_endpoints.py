"""VPC endpoints, through which a network without internet access reaches AWS's services."""

from dataclasses import dataclass
from typing import Any

from troposphere import Parameter, Ref, Sub, Template
from troposphere.ec2 import VPC, SecurityGroup, SecurityGroupRule, VPCEndpoint

from stack.lib.security_groups import HTTPS_PORT, NOWHERE

# The services that ECS tasks and functions call, or that Fargate calls for them. S3 has a gateway endpoint instead.
SERVICES = {
    "ApplicationAutoscaling": "application-autoscaling",
    "CloudWatch": "monitoring",
    "EcrApi": "ecr.api",
    "EcrDkr": "ecr.dkr",
    "Ecs": "ecs",
    "Logs": "logs",
    "Rds": "rds",
    "SecretsManager": "secretsmanager",
    "Sns": "sns",
    "SsmMessages": "ssmmessages",
}


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where the endpoints are; they exist under the condition."""

    vpc: VPC
    group: SecurityGroup
    subnets: list[Any]
    condition: str

    def add(self, t: Template, title: str, *, service: str, condition: str | None = None) -> None:
        """Add the endpoint of a service, under a condition of its own or that of all."""
        t.add_resource(
            VPCEndpoint(
                f"NetworkEndpoint{title}",
                Condition=condition or self.condition,
                PrivateDnsEnabled=True,
                SecurityGroupIds=[self.group.get_att("GroupId")],
                ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
                SubnetIds=self.subnets,
                VpcEndpointType="Interface",
                VpcId=Ref(self.vpc),
            )
        )


def add_endpoints(t: Template, *, vpc: VPC, cidr: Parameter, subnets: list[Any], condition: str) -> Endpoints:
    """Add an endpoint for each service in every private subnet, open to the network's own addresses."""
    group = t.add_resource(
        SecurityGroup(
            "NetworkEndpointsGroup",
            Condition=condition,
            GroupDescription="Endpoints of AWS services",
            VpcId=Ref(vpc),
            SecurityGroupIngress=[
                SecurityGroupRule(
                    IpProtocol="tcp",
                    FromPort=HTTPS_PORT,
                    ToPort=HTTPS_PORT,
                    CidrIp=Ref(cidr),
                    Description="Calls of AWS from this network",
                )
            ],
            SecurityGroupEgress=[SecurityGroupRule(IpProtocol="-1", CidrIp=NOWHERE, Description="Nothing")],
        )
    )
    endpoints = Endpoints(vpc=vpc, group=group, subnets=subnets, condition=condition)
    for title, service in SERVICES.items():
        endpoints.add(t, title, service=service)
    return endpoints
