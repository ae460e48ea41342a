"""VPC endpoints, through which a network without internet access reaches AWS's services."""

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


def add_endpoints(t: Template, *, vpc: VPC, cidr: Parameter, subnets: list[Any], condition: str) -> None:
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
    for title, service in SERVICES.items():
        t.add_resource(
            VPCEndpoint(
                f"NetworkEndpoint{title}",
                Condition=condition,
                PrivateDnsEnabled=True,
                SecurityGroupIds=[group.get_att("GroupId")],
                ServiceName=Sub(f"com.amazonaws.${{AWS::Region}}.{service}"),
                SubnetIds=subnets,
                VpcEndpointType="Interface",
                VpcId=Ref(vpc),
            )
        )
