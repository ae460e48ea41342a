"""Airflow's metadata database: RDS for PostgreSQL, private, encrypted, with a password that RDS itself manages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Output, Ref, Template
from troposphere.rds import DBInstance, DBSubnetGroup

from stack.declare import YES_OR_NO, Between, Matching, add_parameter
from stack.network import Network
from stack.paths import Group, add_silent_group
from stack.secrets import SecretValue, key_of

GROUP = "Database"
NAME = "airflow"
USER = "airflow"
POSTGRES_VERSION = "18"  # the major version only: RDS chooses and updates the minor one
SECRET_ARN = "MasterUserSecret.SecretArn"  # noqa: S105 - an attribute's name


@dataclass(frozen=True, kw_only=True)
class Database:
    """`environment` and `secrets` are what a container needs to connect."""

    instance: DBInstance
    group: Group
    port: int
    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]


PORT = 5432


def add_database(t: Template, *, network: Network) -> Database:
    group = add_silent_group(t, "DatabaseGroup", network=network, description="Database of Airflow")
    subnets = t.add_resource(
        DBSubnetGroup("DatabaseSubnets", DBSubnetGroupDescription="Private subnets", SubnetIds=network.private_subnets)
    )
    instance = t.add_resource(
        DBInstance(
            "Database",
            DeletionPolicy="Snapshot",
            UpdateReplacePolicy="Snapshot",
            AllocatedStorage=Ref(_storage(t)),
            AutoMinorVersionUpgrade=True,
            BackupRetentionPeriod=Ref(_backup_days(t)),
            CopyTagsToSnapshot=True,
            DBInstanceClass=Ref(_instance_class(t)),
            DBName=NAME,
            DBSubnetGroupName=Ref(subnets),
            DeletionProtection=Ref(_deletion_protection(t)),
            Engine="postgres",
            EngineVersion=POSTGRES_VERSION,
            ManageMasterUserPassword=True,
            MasterUsername=USER,
            MultiAZ=Ref(_multi_az(t)),
            Port=str(PORT),
            PubliclyAccessible=False,
            StorageEncrypted=True,
            StorageType="gp3",
            VPCSecurityGroups=[group.id],
        )
    )
    t.add_output(
        Output(
            "DatabaseSecretArn",
            Description="Secret with the database's user name and password.",
            Value=instance.get_att(SECRET_ARN),
        )
    )
    t.add_output(Output("DatabaseName", Description="Name of the database on its server.", Value=NAME))
    return Database(
        instance=instance,
        group=group,
        port=PORT,
        environment={
            "DATABASE_HOST": instance.get_att("Endpoint.Address"),
            "DATABASE_PORT": instance.get_att("Endpoint.Port"),
            "DATABASE_NAME": NAME,
            "DATABASE_SSLMODE": "require",
        },
        secrets={
            "DATABASE_USER": key_of(owner=instance, attribute=SECRET_ARN, key="username"),
            "DATABASE_PASSWORD": key_of(owner=instance, attribute=SECRET_ARN, key="password"),
        },
    )


def _instance_class(t: Template) -> Any:
    return add_parameter(
        t,
        "DatabaseInstanceClass",
        group=GROUP,
        label="Instance class",
        description="Size of the database server.",
        constraint=Matching(regex=r"^db\.[a-z0-9-]+\.[a-z0-9]+$", says="an RDS instance class, such as db.t4g.small"),
        default="db.t4g.small",
    )


def _storage(t: Template) -> Any:
    return add_parameter(
        t,
        "DatabaseStorageGib",
        group=GROUP,
        label="Storage in GiB",
        description="Storage of the database in GiB; it can be enlarged later, never reduced.",
        constraint=Between(low=20, high=65536),
        default=20,
    )


def _multi_az(t: Template) -> Any:
    return add_parameter(
        t,
        "DatabaseMultiAz",
        group=GROUP,
        label="Standby in a second zone",
        description="Whether a standby in another zone takes over when the database fails.",
        constraint=YES_OR_NO,
        default="false",
    )


def _backup_days(t: Template) -> Any:
    return add_parameter(
        t,
        "DatabaseBackupDays",
        group=GROUP,
        label="Days to keep backups",
        description="Days over which the database can be restored to any point in time.",
        constraint=Between(low=1, high=35),
        default=7,
    )


def _deletion_protection(t: Template) -> Any:
    return add_parameter(
        t,
        "DatabaseDeletionProtection",
        group=GROUP,
        label="Protect from deletion",
        description="Whether deleting the stack fails until this is set to false; a last snapshot is kept either way.",
        constraint=YES_OR_NO,
        default="true",
    )
