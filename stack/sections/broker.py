"""Celery's broker: Redis on ElastiCache, encrypted, with a user for each role; it never evicts a message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Equals, FindInMap, If, Not, Output, Ref, Sub, Template
from troposphere.elasticache import ParameterGroup, ReplicationGroup, SubnetGroup, User, UserGroup
from troposphere.secretsmanager import Secret

from fleet import access
from stack.lib.optional import if_added, optional
from stack.lib.parameters import YES_OR_NO, FormGroup, Matching, OneOf, add_condition, add_mapping, placeholder
from stack.lib.secrets import KEY_LENGTH, SecretValue, add_generated_secret, whole_secret
from stack.lib.security_groups import Group, add_closed_group
from stack.lib.settings import Settings
from stack.sections.backups import Backups
from stack.sections.network import Network
from stack.sections.pools import DeclaredPool

GROUP = "Broker"
PORT = 6379
ENGINE = "redis"
REDIS_FAMILY = "redis7"
REDIS_VERSION = "7.1"
MAX_REPLICAS = 2
USER, READER = "BROKER", "BROKER_READER"  # how the variables of a container's users begin


@dataclass(frozen=True, kw_only=True)
class Login:
    """What a container needs to sign in as a user."""

    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]


@dataclass(frozen=True, kw_only=True)
class Broker:
    """`environment` says where it is; `passwords` holds the secret of each user."""

    replication_group: ReplicationGroup
    group: Group
    port: int
    environment: Mapping[str, Any]
    passwords: Mapping[str, Secret]

    def login(self, user: str, *, reader: str | None = None) -> Login:
        """Return what signs in as `user`, and as `reader` to read what others write."""
        names = {USER: user} if reader is None else {USER: user, READER: reader}
        return Login(
            environment={
                **self.environment,
                **{f"{prefix}_USER": name for prefix, name in names.items()},
            },
            secrets={f"{prefix}_PASSWORD": whole_secret(self.passwords[name]) for prefix, name in names.items()},
        )


@dataclass(frozen=True, kw_only=True)
class _Nodes:
    kind: Ref
    count: FindInMap
    has_standby: If


def add_broker(
    t: Template,
    *,
    network: Network,
    settings: Settings,
    backups: Backups,
    pools: Sequence[DeclaredPool],
    optional_users: Mapping[str, str],
) -> Broker:
    """Add the broker. `optional_users`: the conditions under which it has a user, by the user's name."""
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
    default = _add_default_user(t, settings=settings)
    made = []
    for user in access.users({p.name: p.queues for p in pools}):
        with optional(t, optional_users.get(user.name)):
            made.append(_add_user(t, user, settings=settings))
    users = t.add_resource(
        UserGroup(
            "BrokerUsers",
            Engine=ENGINE,
            UserGroupId=Sub("${AWS::StackName}-brokers"),
            UserIds=[Ref(default), *(if_added(user, Ref(user)) for user, _ in made)],
        )
    )
    passwords = {user.UserName: secret for user, secret in made}
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
            Engine=ENGINE,
            EngineVersion=REDIS_VERSION,
            KmsKeyId=settings.key_arn,
            MultiAZEnabled=nodes.has_standby,
            NumCacheClusters=nodes.count,
            Port=PORT,
            PreferredMaintenanceWindow=backups.maintenance_window,
            SecurityGroupIds=[group.id],
            # Restored messages would run tasks again that Airflow finished long ago.
            SnapshotRetentionLimit=0,
            TransitEncryptionEnabled=True,
            UserGroupIds=[Ref(users)],
        )
    )
    t.add_output(
        Output(
            "BrokerPageSecretArn",
            Description=f"Secret with the password of the broker's user {access.PAGE}, who may only read.",
            Value=Ref(passwords[access.PAGE]),
        )
    )
    return Broker(
        replication_group=redis,
        group=group,
        port=PORT,
        environment={
            "BROKER_HOST": redis.get_att("PrimaryEndPoint.Address"),
            "BROKER_PORT": redis.get_att("PrimaryEndPoint.Port"),
            "BROKER_SCHEME": "rediss",
        },
        passwords=passwords,
    )


def sign_in(broker: Broker, user: str) -> dict[str, Any]:
    """Return the variables by which a function signs in as `user`; it reads the password itself."""
    return {"BROKER_USER": user, "BROKER_SECRET_ARN": Ref(broker.passwords[user])}


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


def _add_default_user(t: Template, *, settings: Settings) -> User:
    """Add the user `default`, which ElastiCache requires: it may do nothing.

    It was the only user of earlier releases. While containers of such a release run, the parameter keeps it on.
    """
    is_on = FormGroup(t, GROUP).add(
        "BrokerDefaultUser",
        label="Keep the user default",
        description="Whether the user default of earlier releases may still do everything: only while a deployment "
        "replaces a release without users for each role.",
        constraint=YES_OR_NO,
        default="false",
    )
    condition = add_condition(t, "IsBrokerDefaultUserOn", Equals(Ref(is_on), "true"))
    secret = add_generated_secret(
        t, "BrokerSecret", settings=settings, length=KEY_LENGTH, description="Password of the broker's user default"
    )
    t.add_output(
        Output(
            "BrokerSecretArn", Description="Secret with the password of the broker's user default.", Value=Ref(secret)
        )
    )
    return t.add_resource(
        User(
            "BrokerUser",
            AccessString=If(condition, access.EVERYTHING, access.NOTHING),
            Engine=ENGINE,
            Passwords=[_password(secret)],
            UserId=Sub("${AWS::StackName}-broker"),
            UserName=access.DEFAULT,
        )
    )


def _add_user(t: Template, user: access.User, *, settings: Settings) -> tuple[User, Secret]:
    """Add a user and its password. A second password can be added before the first is removed."""
    title = "".join(part.capitalize() for part in user.name.split("-"))
    secret = add_generated_secret(
        t,
        f"Broker{title}Secret",
        settings=settings,
        length=KEY_LENGTH,
        description=f"Password of the broker's user {user.name}",
    )
    made = t.add_resource(
        User(
            f"Broker{title}User",
            AccessString=user.access_string(),
            Engine=ENGINE,
            Passwords=[_password(secret)],
            UserId=Sub(f"${{AWS::StackName}}-{user.name}"),
            UserName=user.name,
        )
    )
    return made, secret


def _password(secret: Secret) -> Sub:
    return Sub(f"{{{{resolve:secretsmanager:{placeholder(secret)}}}}}")
