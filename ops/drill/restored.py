"""A database that is restored from a snapshot beside the original one, for as long as it is examined."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

NAME_LENGTH = 63  # RDS's limit
AVAILABLE = "available"
# In these RDS does not go on by itself.
HOPELESS = ("failed", "incompatible-restore", "incompatible-parameters", "incompatible-network", "storage-full")
ASK_EVERY_S = 15.0
REMOVED_WITHIN_S = 1800.0
MARK = "-drill-"
GONE = "DBInstanceNotFound"


class NotRestored(Exception):
    """There is nothing to restore, or RDS did not do it in time; the message is one line."""


class NotRemoved(Exception):
    """The restored database is still there, and costs money; the message says how to remove it."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`taken`: when, as RDS says it."""

    name: str
    taken: Any


@dataclass(frozen=True, kw_only=True)
class Address:
    host: str
    port: int


class Rds:
    """The instance `identifier` and its snapshots. All calls raise what boto3 raises."""

    def __init__(
        self,
        *,
        client: Callable[[str], Any],
        identifier: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Use clients of RDS and Secrets Manager, which `client` returns by name."""
        self._rds, self._secrets, self._identifier = client("rds"), client("secretsmanager"), identifier
        self._say, self._clock, self._sleep = say, clock, sleep

    def newest_snapshot(self) -> Snapshot:
        """Return the newest complete snapshot, by hand or of RDS's own backups. Raises NotRestored."""
        pages = self._rds.get_paginator("describe_db_snapshots").paginate(DBInstanceIdentifier=self._identifier)
        found = [each for page in pages for each in page["DBSnapshots"] if self._is_complete(each)]
        if not found:
            raise NotRestored(f"{self._identifier} has no snapshot: nothing could be restored")
        newest = max(found, key=lambda each: each["SnapshotCreateTime"])
        return Snapshot(name=newest["DBSnapshotIdentifier"], taken=newest["SnapshotCreateTime"])

    def _is_complete(self, snapshot: Mapping[str, Any]) -> bool:
        return bool(snapshot["DBInstanceIdentifier"] == self._identifier and snapshot["Status"] == AVAILABLE)

    def take_snapshot(self) -> None:
        """Take one now, and wait until it is complete."""
        name = f"{self._identifier}-by-hand-{int(time.time())}"[:NAME_LENGTH]
        self._rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=self._identifier)
        self._rds.get_waiter("db_snapshot_available").wait(DBSnapshotIdentifier=name)

    @contextmanager
    def beside(self, snapshot: Snapshot, *, seconds: float) -> Iterator[Address]:
        """Restore it, with the original's password, and remove the copy after the block, whatever happens in it.

        Raises NotRestored when it is not there within `seconds`, NotRemoved when it could not be removed.
        """
        original = self._described(self._identifier)
        self._refuse_leftovers()
        name = f"{self._identifier[: NAME_LENGTH - len(MARK) - 10]}{MARK}{int(time.time())}"
        self._say(f"restoring {snapshot.name}, taken at {snapshot.taken:%Y-%m-%d %H:%M %Z}, as {name}")
        try:
            self._restore(name, snapshot, original)
            deadline = self._clock() + seconds
            self._until_available(name, deadline)
            self._take_over_password(name, original, deadline)
            endpoint = self._described(name)["Endpoint"]
            yield Address(host=endpoint["Address"], port=endpoint["Port"])
        finally:
            self._remove(name)

    def _restore(self, name: str, snapshot: Snapshot, original: Mapping[str, Any]) -> None:
        self._rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=name,
            DBSnapshotIdentifier=snapshot.name,
            DBInstanceClass=original["DBInstanceClass"],
            DBSubnetGroupName=original["DBSubnetGroup"]["DBSubnetGroupName"],
            DBParameterGroupName=original["DBParameterGroups"][0]["DBParameterGroupName"],
            # The original's group lets in the stack's own containers and nothing else.
            VpcSecurityGroupIds=[each["VpcSecurityGroupId"] for each in original["VpcSecurityGroups"]],
            Port=original["Endpoint"]["Port"],
            PubliclyAccessible=False,
            MultiAZ=False,
            AutoMinorVersionUpgrade=False,
            DeletionProtection=False,
            Tags=[{"Key": "airflow-on-ecs:drill", "Value": self._identifier}],
        )

    def _take_over_password(self, name: str, original: Mapping[str, Any], deadline: float) -> None:
        """Give the copy the original's present password, which the ECS task gets from its secret.

        The copy has that of the day of the snapshot. RDS changes the original's each week.
        """
        secret = self._secrets.get_secret_value(SecretId=original["MasterUserSecret"]["SecretArn"])["SecretString"]
        self._rds.modify_db_instance(
            DBInstanceIdentifier=name,
            MasterUserPassword=json.loads(secret)["password"],
            ManageMasterUserPassword=False,
            ApplyImmediately=True,
        )
        self._sleep(ASK_EVERY_S)  # until RDS says that it has begun
        self._until_available(name, deadline)

    def _until_available(self, name: str, deadline: float) -> None:
        said = ""
        while True:
            instance = self._described(name)
            status = instance["DBInstanceStatus"]
            if status == AVAILABLE and "MasterUserPassword" not in instance.get("PendingModifiedValues", {}):
                return
            if status != said:
                self._say(f"{name} is {status}")
                said = status
            if status in HOPELESS:
                raise NotRestored(f"{name} is {status}: the snapshot could not be restored")
            if self._clock() > deadline:
                raise NotRestored(f"{name} is still {status}")
            self._sleep(ASK_EVERY_S)

    def _described(self, name: str) -> dict[str, Any]:
        (found,) = self._rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
        return dict(found)

    def _refuse_leftovers(self) -> None:
        """Raise NotRestored if the copy of another drill is there: that drill runs, or was killed."""
        pages = self._rds.get_paginator("describe_db_instances").paginate()
        beginning = self._identifier[: NAME_LENGTH - len(MARK) - 10] + MARK
        for instance in (each for page in pages for each in page["DBInstances"]):
            if instance["DBInstanceIdentifier"].startswith(beginning):
                raise NotRestored(f"there is a copy of another drill: wait for its end, or {_removal(instance)}")

    def _remove(self, name: str) -> None:
        """Delete the copy and wait until it is gone. Raises NotRemoved."""
        self._say(f"removing {name}")
        how = f"it costs money until you {_removal({'DBInstanceIdentifier': name})}"
        try:
            deadline, is_asked = self._clock() + REMOVED_WITHIN_S, False
            while self._clock() < deadline:
                if not is_asked:
                    is_asked = self._delete(name)
                self._described(name)
                self._sleep(ASK_EVERY_S)
        except ClientError as error:
            if GONE in error.response["Error"]["Code"]:
                return
            raise NotRemoved(f"{name} is left: {error}; {how}") from error
        except (BotoCoreError, KeyboardInterrupt) as error:
            raise NotRemoved(f"{name} may be left: {error or 'interrupted'}; {how}") from error
        raise NotRemoved(f"{name} is still being removed after {REMOVED_WITHIN_S:g} s; see that it goes, {how}")

    def _delete(self, name: str) -> bool:
        """Ask RDS to delete it; return False while RDS still makes or changes it, which it does not interrupt."""
        try:
            self._rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True, DeleteAutomatedBackups=True)
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidDBInstanceState":
                raise
            return False
        return True


def _removal(instance: Mapping[str, Any]) -> str:
    name = instance["DBInstanceIdentifier"]
    return f"run: aws rds delete-db-instance --db-instance-identifier {name} --skip-final-snapshot"
