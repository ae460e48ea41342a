"""The bucket of large XComs, and which pools read and write what in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from troposphere import Ref, Template
from troposphere.iam import Role
from troposphere.s3 import Bucket, ServerSideEncryptionByDefault

from stack.lib.iam import Statement, allow
from stack.lib.logs import add_bucket, add_bucket_policy, objects
from stack.lib.parameters import Between, FormGroup
from stack.lib.settings import Settings
from stack.sections.logs import AccessLogs, Logs, log_requests

MAX_THRESHOLD_KIB = 65_536


@dataclass(frozen=True, kw_only=True)
class XComs:
    """`threshold_kib`: the size from which on a task's XCom goes to the bucket; 0 for none."""

    bucket: Bucket
    threshold_kib: Ref

    @property
    def environment(self) -> Mapping[str, Any]:
        """The variables of a container that reads XComs."""
        return {"XCOM_BUCKET": Ref(self.bucket)}

    def writers_environment(self, pool: str) -> Mapping[str, Any]:
        """Return the variables of one that runs tasks of the pool."""
        return {**self.environment, "XCOM_PREFIX": pool, "XCOM_THRESHOLD_KIB": self.threshold_kib}

    def read(self) -> Statement:
        """Allow reading objects whose names are known: a task of any pool may need what one of another returned.

        No one may list them, and a name cannot be guessed. Tasks get names with the XComs that Airflow lets them read.
        """
        return allow(actions=["s3:GetObject"], resources=[objects(self.bucket)])

    def write(self, pool: str) -> Statement:
        return allow(actions=["s3:PutObject"], resources=[objects(self.bucket, f"{pool}/")])

    def deny_others(self) -> Statement:
        """Deny tasks everything else in the bucket, whatever policies allow: listing, for one, and deleting."""
        arn = self.bucket.get_att("Arn")
        return {
            "Effect": "Deny",
            "NotAction": ["s3:GetObject", "s3:PutObject"],
            "Resource": [arn, objects(self.bucket)],
        }


def add_xcoms(t: Template, *, settings: Settings, logs: Logs, access_logs: AccessLogs) -> XComs:
    """Add the bucket, also where no XCom is large: switching them off must not hide those that are there."""
    threshold = FormGroup(t, "Airflow").add(
        "XComThresholdKib",
        label="KiB of large XComs",
        description="KiB from which on what a task returns (an XCom) is kept in a bucket, and not in the database; 0 "
        "keeps all in the database.",
        constraint=Between(low=0, high=MAX_THRESHOLD_KIB),
        default=0,
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=settings.key_arn)
    bucket = add_bucket(t, "XComBucket", days=logs.days, encryption=encryption)
    log_requests(bucket, access_logs)
    # Locks nothing by itself, see LogBucket.
    bucket.ObjectLockEnabled = True
    return XComs(bucket=bucket, threshold_kib=Ref(threshold))


def limit_xcoms(t: Template, xcoms: XComs, *, writers: Mapping[str, Role]) -> None:
    """Add the bucket's policy: a pool writes below its own name only, whatever its policies allow.

    `writers`: the roles of tasks by the names of their pools.
    """
    statements = [_only_below(pool, xcoms=xcoms, role=role) for pool, role in writers.items()]
    add_bucket_policy(t, "XComBucketPolicy", bucket=xcoms.bucket, statements=statements)


def _only_below(pool: str, *, xcoms: XComs, role: Role) -> Statement:
    return {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:PutObject",
        "NotResource": objects(xcoms.bucket, f"{pool}/"),
        "Condition": {"ArnEquals": {"aws:PrincipalArn": role.get_att("Arn")}},
    }
