"""Celery's broker: Redis on ElastiCache, encrypted, with a generated password; it never evicts a message."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, FindInMap, If, Not, Output, Ref, Sub, Template
from troposphere.elasticache import ParameterGroup, ReplicationGroup, SubnetGroup, User, UserGroup
from troposphere.secretsmanager import Secret

from stack.lib.parameters import FormGroup, Matching, OneOf, add_condition, add_mapping, placeholder
from stack.lib.secrets import KEY_LENGTH, SecretValue, add_generated_secret, whole_secret
from stack.lib.security_groups import Group, add_closed_group
from stack.lib.settings import Settings
from stack.sections.network import Network

GROUP = "Broker"
PORT = 6379
REDIS_FAMILY = "redis7"
REDIS_VERSION = "7.1"
MAX_REPLICAS = 2


@dataclass(frozen=True, kw_only=True)
class Broker:
    """`environment` and `secrets` are what a container needs to connect; functions read `secret` themselves."""

    replication_group: ReplicationGroup
    secret: Secret
    group: Group
    port: int
    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]


@dataclass(frozen=True, kw_only=True)
class _Nodes:
    kind: Ref
    count: FindInMap
    has_standby: If


def add_broker(t: Template, *, network: Network, settings: Settings) -> Broker:
    nodes = _add_nodes(t)
    group = add_closed_group(t, "BrokerGroup", vpc=network.vpc, description="Broker of Celery")
    subnets = t.add_resource(
        SubnetGroup("BrokerSubnets", Description="Private subnets", SubnetIds=network.private_subnets)
    )
    parameters = t.add_resource(
        ParameterGroup(
            "BrokerParameters",
            CacheParameterGroupFamily=REDIS_FAMILY,
            Description="A broker that is full refuses messages instead of losing some",
            Properties={"maxmemory-policy": "noeviction"},
        )
    )
    secret = add_generated_secret(
        t, "BrokerSecret", settings=settings, length=KEY_LENGTH, description="Password of Celery's broker"
    )
    users = _add_users(t, secret=secret)
    redis = t.add_resource(
        ReplicationGroup(
            "Broker",
            ReplicationGroupDescription="Celery's broker",
            AtRestEncryptionEnabled=True,
            AutoMinorVersionUpgrade=True,
            AutomaticFailoverEnabled=nodes.has_standby,
            CacheNodeType=nodes.kind,
            CacheParameterGroupName=Ref(parameters),
            CacheSubnetGroupName=Ref(subnets),
            Engine="redis",
            EngineVersion=REDIS_VERSION,
            KmsKeyId=settings.key_arn,
            MultiAZEnabled=nodes.has_standby,
            NumCacheClusters=nodes.count,
            Port=PORT,
            SecurityGroupIds=[group.id],
            # Restored messages would run tasks again that Airflow finished long ago.
            SnapshotRetentionLimit=0,
            TransitEncryptionEnabled=True,
            UserGroupIds=[Ref(users)],
        )
    )
    t.add_output(Output("BrokerSecretArn", Description="Secret with the broker's password.", Value=Ref(secret)))
    return Broker(
        replication_group=redis,
        secret=secret,
        group=group,
        port=PORT,
        environment={
            "BROKER_HOST": redis.get_att("PrimaryEndPoint.Address"),
            "BROKER_PORT": redis.get_att("PrimaryEndPoint.Port"),
            "BROKER_SCHEME": "rediss",
        },
        secrets={"BROKER_PASSWORD": whole_secret(secret)},
    )


def _add_nodes(t: Template) -> _Nodes:
    form = FormGroup(t, GROUP)
    node_type = form.add(
        "BrokerNodeType",
        label="Node type",
        description="Size of the Redis nodes.",
        constraint=Matching(regex=r"^cache\.[a-z0-9]+\.[a-z0-9]+$", must_be="a node type, such as cache.t4g.small"),
        default="cache.t4g.small",
    )
    replicas = form.add(
        "BrokerReplicas",
        label="Replicas",
        description="Replicas of the Redis primary; with at least one, failover to another zone is automatic.",
        constraint=OneOf(values=tuple(str(n) for n in range(MAX_REPLICAS + 1))),
        default="0",
    )
    has_replicas = add_condition(t, "HasBrokerReplicas", Not(Equals(Ref(replicas), "0")))
    # CloudFormation cannot add one to a number.
    nodes = add_mapping(t, "BrokerNodes", {str(n): {"Count": n + 1} for n in range(MAX_REPLICAS + 1)})
    return _Nodes(
        kind=Ref(node_type),
        count=FindInMap(nodes, Ref(replicas), "Count"),
        has_standby=If(has_replicas, True, False),
    )


def _add_users(t: Template, *, secret: Secret) -> UserGroup:
    """Add the user `default`, which clients without a user name use.

    A second password can be added before the first is removed.
    """
    user = t.add_resource(
        User(
            "BrokerUser",
            # ElastiCache itself refuses the commands that administer a server.
            AccessString="on ~* &* +@all",
            Engine="redis",
            Passwords=[Sub(f"{{{{resolve:secretsmanager:{placeholder(secret)}}}}}")],
            UserId=Sub("${AWS::StackName}-broker"),
            UserName="default",
        )
    )
    return t.add_resource(
        UserGroup("BrokerUsers", Engine="redis", UserGroupId=Sub("${AWS::StackName}-brokers"), UserIds=[Ref(user)])
    )
