"""The settings that an environment chooses for its database."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, NoValue, Ref, Template

from stack.lib.parameters import YES_OR_NO, Between, FormGroup, Matching, OneOf, add_condition

GROUP = "Database"


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    instance_class: Ref
    storage_gib: Ref
    max_storage_gib: If
    multi_az: Ref
    backup_days: Ref
    keep_days: Ref
    insights: Ref
    has_insights: str
    monitoring_s: Ref
    is_monitored: str
    authorities: Ref

    def if_insights(self, value: Any) -> If:
        """Return the value where Performance Insights is on; AWS refuses it where it is off."""
        return If(self.has_insights, value, NoValue)

    def if_monitored(self, value: Any) -> If:
        """Return the value where enhanced monitoring is on; AWS refuses it where it is off."""
        return If(self.is_monitored, value, NoValue)


def add_database_settings(t: Template) -> DatabaseSettings:
    form = FormGroup(t, GROUP)
    instance_class = form.add(
        "DatabaseInstanceClass",
        label="Instance class",
        description="Size of the database server.",
        constraint=Matching(
            regex=r"^db\.[a-z0-9-]+\.[a-z0-9]+$", must_be="an RDS instance class, such as db.t4g.small"
        ),
        default="db.t4g.small",
    )
    multi_az = form.add(
        "DatabaseMultiAz",
        label="Standby in a second zone",
        description="Whether a standby in another zone takes over when the database fails.",
        constraint=YES_OR_NO,
        default="false",
    )
    backup_days = form.add(
        "DatabaseBackupDays",
        label="Days to keep backups",
        description="Days over which the database can be restored to any point in time.",
        constraint=Between(low=1, high=35),
        default=7,
    )
    keep_days = form.add(
        "DatabaseKeepDays",
        label="Days to keep runs",
        description="Days after which ended DAG runs and other old records are deleted from Airflow's database. The "
        "last runs of each DAG stay. 0 keeps everything.",
        constraint=Between(low=0, high=3650),
        default=365,
    )
    storage, max_storage = _add_storage(form)
    has_max = add_condition(t, "HasDatabaseStorageAutoscaling", Not(Equals(Ref(max_storage), "0")))
    insights, monitoring = _add_monitoring(form)
    authorities = form.add(
        "DatabaseAuthorities",
        label="Certificate authorities",
        description="File in the image with the certificate authorities that may sign the database's certificate.",
        constraint=Matching(
            regex=r"^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\.(pem|crt)$",
            must_be="the path of a .pem or .crt file, absolute or below the image's own folder",
        ),
        default="authorities/rds.pem",
    )
    return DatabaseSettings(
        instance_class=Ref(instance_class),
        storage_gib=Ref(storage),
        max_storage_gib=If(has_max, Ref(max_storage), NoValue),
        multi_az=Ref(multi_az),
        backup_days=Ref(backup_days),
        keep_days=Ref(keep_days),
        insights=Ref(insights),
        has_insights=add_condition(t, "HasDatabaseInsights", Equals(Ref(insights), "true")),
        monitoring_s=Ref(monitoring),
        is_monitored=add_condition(t, "IsDatabaseMonitored", Not(Equals(Ref(monitoring), "0"))),
        authorities=Ref(authorities),
    )


def _add_storage(form: FormGroup) -> tuple[Any, Any]:
    storage = form.add(
        "DatabaseStorageGib",
        label="Storage in GiB",
        description="Initial storage of the database in GiB; it can be enlarged later, but never reduced.",
        constraint=Between(low=20, high=65536),
        default=20,
    )
    maximum = form.add(
        "DatabaseMaxStorageGib",
        label="Maximum storage in GiB",
        description="GiB up to which RDS enlarges the database: 0 for never, or at least 1.1 x DatabaseStorageGib.",
        constraint=Between(low=0, high=65536),
        default=0,
    )
    return storage, maximum


def _add_monitoring(form: FormGroup) -> tuple[Any, Any]:
    insights = form.add(
        "DatabaseInsights",
        label="Performance Insights",
        description="Whether RDS records which queries load the database; the records are kept for seven days.",
        constraint=YES_OR_NO,
        default="true",
    )
    monitoring = form.add(
        "DatabaseMonitoringSeconds",
        label="Enhanced monitoring interval in seconds",
        description="Seconds between two records of the server's operating system metrics; 0 for none.",
        constraint=OneOf(values=("0", "1", "5", "10", "15", "30", "60")),
        default="60",
    )
    return insights, monitoring
