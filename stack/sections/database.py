"""Airflow's metadata database: RDS for PostgreSQL, private, encrypted, with a password that RDS itself manages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import GetAtt, Output, Ref, Template
from troposphere.rds import DBInstance, DBParameterGroup, DBSubnetGroup, MasterUserSecret

from stack.lib.iam import Statement, add_role, read_secrets, write_os_metrics
from stack.lib.parameters import suppress
from stack.lib.secrets import SecretValue, secret_field
from stack.lib.security_groups import Group, add_closed_group
from stack.lib.settings import Settings
from stack.sections.backups import Backups
from stack.sections.database_logs import add_database_logs
from stack.sections.database_settings import DatabaseSettings, add_database_settings
from stack.sections.network import Network

NAME = "airflow"
USER = "airflow"
PORT = 5433  # not PostgreSQL's default, which attackers try first
POSTGRES_VERSION = "18"  # the major version only: RDS chooses and updates the minor one
SECRET_ARN = "MasterUserSecret.SecretArn"  # noqa: S105 - an attribute's name
MONITORING = "monitoring.rds.amazonaws.com"
INSIGHTS_DAYS = 7  # free of charge
SLOW_QUERY_MS = 5000
LOGS = ["postgresql", "upgrade"]


@dataclass(frozen=True, kw_only=True)
class Database:
    """`environment` and `secrets` are what a container needs to connect; `statements`, to stay connected.

    `keep_days`: for how long what has ended is kept in it; 0 for all time.

    RDS changes the password every week: a client that is refused then reads the secret again.
    """

    instance: DBInstance
    group: Group
    port: int
    keep_days: Ref
    environment: Mapping[str, Any]
    secrets: Mapping[str, SecretValue]
    statements: tuple[Statement, ...]


def add_database(t: Template, *, network: Network, settings: Settings, backups: Backups) -> Database:
    chosen = add_database_settings(t)
    group = add_closed_group(t, "DatabaseGroup", vpc=network.vpc, description="Database of Airflow")
    subnets = t.add_resource(
        DBSubnetGroup("DatabaseSubnets", DBSubnetGroupDescription="Private subnets", SubnetIds=network.private_subnets)
    )
    instance = t.add_resource(
        DBInstance(
            "Database",
            DeletionPolicy="Snapshot",
            UpdateReplacePolicy="Snapshot",
            AllocatedStorage=chosen.storage_gib,
            DBInstanceClass=chosen.instance_class,
            MaxAllocatedStorage=chosen.max_storage_gib,
            MultiAZ=chosen.multi_az,
            StorageType="gp3",
            **_monitoring(t, chosen=chosen, settings=settings),
            AutoMinorVersionUpgrade=True,
            AutomaticBackupReplicationKmsKeyId=backups.if_copied(backups.key_arn),
            AutomaticBackupReplicationRegion=backups.if_copied(backups.region),
            AutomaticBackupReplicationRetentionPeriod=backups.if_copied(chosen.backup_days),
            BackupRetentionPeriod=chosen.backup_days,
            CopyTagsToSnapshot=True,
            DBName=NAME,
            DBParameterGroupName=Ref(_add_parameters(t)),
            DBSubnetGroupName=Ref(subnets),
            DeletionProtection=settings.deletion_protection,
            Engine="postgres",
            EngineVersion=POSTGRES_VERSION,
            KmsKeyId=settings.key_arn,
            ManageMasterUserPassword=True,
            MasterUserSecret=MasterUserSecret(KmsKeyId=settings.key_arn),
            MasterUsername=USER,
            Port=str(PORT),
            PreferredBackupWindow=backups.backup_window,
            PreferredMaintenanceWindow=backups.maintenance_window,
            PubliclyAccessible=False,
            StorageEncrypted=True,
            VPCSecurityGroups=[group.id],
        )
    )
    unused = "No one signs in with IAM: a way in that is not used is closed."
    suppress(instance, checkov={"CKV_AWS_161": unused}, guard={"rds_instance_iam_authentication_enabled_check": unused})
    add_database_logs(t, instance=instance, logs=LOGS, settings=settings)
    secret_arn = instance.get_att(SECRET_ARN)
    _add_outputs(t, secret_arn=secret_arn)
    return Database(
        instance=instance,
        group=group,
        port=PORT,
        keep_days=chosen.keep_days,
        environment={
            "DATABASE_HOST": instance.get_att("Endpoint.Address"),
            "DATABASE_PORT": instance.get_att("Endpoint.Port"),
            "DATABASE_NAME": NAME,
            "DATABASE_SECRET_ARN": secret_arn,
            "DATABASE_SSLMODE": "verify-full",
            "DATABASE_AUTHORITIES": chosen.authorities,
        },
        secrets={
            "DATABASE_USER": secret_field(owner=instance, attribute=SECRET_ARN, key="username"),
            "DATABASE_PASSWORD": secret_field(owner=instance, attribute=SECRET_ARN, key="password"),
        },
        statements=tuple(read_secrets([secret_arn], key_arn=settings.key_arn)),
    )


def _monitoring(t: Template, *, chosen: DatabaseSettings, settings: Settings) -> dict[str, Any]:
    """Return the properties for logs, operating system metrics, and records of the queries that load the server."""
    role = add_role(
        t,
        "DatabaseMonitoringRole",
        service=MONITORING,
        statements=[write_os_metrics()],
        boundary=settings.permissions_boundary,
    )
    return {
        "EnableCloudwatchLogsExports": LOGS,
        "EnablePerformanceInsights": chosen.insights,
        "MonitoringInterval": chosen.monitoring_s,
        "MonitoringRoleArn": chosen.if_monitored(role.get_att("Arn")),
        "PerformanceInsightsKMSKeyId": chosen.if_insights(settings.key_arn),
        "PerformanceInsightsRetentionPeriod": chosen.if_insights(INSIGHTS_DAYS),
    }


def _add_parameters(t: Template) -> DBParameterGroup:
    return t.add_resource(
        DBParameterGroup(
            "DatabaseParameters",
            Description="No connection without TLS",
            Family=f"postgres{POSTGRES_VERSION}",
            Parameters={"log_min_duration_statement": str(SLOW_QUERY_MS), "rds.force_ssl": "1"},
        )
    )


def _add_outputs(t: Template, *, secret_arn: GetAtt) -> None:
    secret = "Secret with the database's user name and password."  # noqa: S105 - a description
    t.add_output(Output("DatabaseSecretArn", Description=secret, Value=secret_arn))
    t.add_output(Output("DatabaseName", Description="Name of the database on its server.", Value=NAME))
