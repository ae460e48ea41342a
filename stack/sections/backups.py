"""When AWS maintains and backs up, and where copies of the backups go."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, If, Not, NoValue, Ref, Select, Split, Template
from troposphere.secretsmanager import ReplicaRegion

from stack.lib.parameters import FormGroup, Matching, add_condition, add_rule

GROUP = "Safety"
DAY = "(mon|tue|wed|thu|fri|sat|sun)"
TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
REGION_PART = 3  # of a key's ARN


@dataclass(frozen=True, kw_only=True)
class Backups:
    """The windows are NoValue where AWS chooses. `has_copies`: the condition that another region gets copies."""

    maintenance_window: If
    backup_window: If
    has_copies: str
    key_arn: Ref
    region: Select

    def if_copied(self, value: Any) -> If:
        """Return the value where another region gets copies."""
        return If(self.has_copies, value, NoValue)

    @property
    def replica_regions(self) -> If:
        """Return the regions to which a secret is copied that backups cannot be read without."""
        return self.if_copied([ReplicaRegion(KmsKeyId=self.key_arn, Region=self.region)])


def add_backups(t: Template) -> Backups:
    form = FormGroup(t, GROUP)
    maintenance = form.add(
        "MaintenanceWindow",
        label="Maintenance window",
        description="Weekly window in UTC in which AWS may update database and broker, such as sun:04:00-sun:05:00, of "
        "an hour or more; empty lets AWS choose.",
        constraint=Matching(regex=rf"^({DAY}:{TIME}-{DAY}:{TIME})?$", must_be="such as sun:04:00-sun:05:00, or empty"),
        default="",
    )
    backup = form.add(
        "DatabaseBackupWindow",
        label="Backup window",
        description="Daily window in UTC in which the database is backed up, such as 02:00-03:00, outside the "
        "maintenance window; empty lets AWS choose.",
        constraint=Matching(regex=rf"^({TIME}-{TIME})?$", must_be="such as 02:00-03:00, or empty"),
        default="",
    )
    key = form.add(
        "BackupKeyArn",
        label="Key for backups in another region",
        description="ARN of a KMS key in another region, to which the database's backups and the key of its contents "
        "are copied; empty for no copies.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/[a-z0-9-]+)?$", must_be="the ARN of a KMS key, or empty"
        ),
        default="",
    )
    has_maintenance = add_condition(t, "HasMaintenanceWindow", Not(Equals(Ref(maintenance), "")))
    has_backup = add_condition(t, "HasDatabaseBackupWindow", Not(Equals(Ref(backup), "")))
    # RDS refuses windows that overlap. If it chose one of them, a deployment could fail by chance.
    both = "MaintenanceWindow and DatabaseBackupWindow are set together, or neither."
    is_set = [Not(Equals(Ref(parameter), "")) for parameter in (maintenance, backup)]
    add_rule(t, "MaintenanceNeedsBackupWindow", when=is_set[0], assertions=[(is_set[1], both)])
    add_rule(t, "BackupNeedsMaintenanceWindow", when=is_set[1], assertions=[(is_set[0], both)])
    return Backups(
        maintenance_window=If(has_maintenance, Ref(maintenance), NoValue),
        backup_window=If(has_backup, Ref(backup), NoValue),
        has_copies=add_condition(t, "HasBackupCopies", Not(Equals(Ref(key), ""))),
        key_arn=Ref(key),
        region=Select(REGION_PART, Split(":", Ref(key))),
    )
