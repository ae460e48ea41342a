"""Keeps the database as it is before a deployment that may migrate it."""

from __future__ import annotations

import re
import time
from typing import Any

from ops.delivery.change_set import Stack
from ops.delivery.errors import Failed
from ops.delivery.patience import pauses

DATABASE = "Database"  # its logical id in the template; a test compares
WAITS_S = 3600.0


def snapshot_name(stack: str, version: str, *, now: float) -> str:
    """A name that RDS takes: letters, digits and single hyphens, and never the same one twice."""
    wanted = f"{stack}-before-{version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    return re.sub(r"-+", "-", re.sub(r"[^A-Za-z0-9]", "-", wanted)).strip("-").lower()


def take_snapshot(*, stack: Stack, rds: Any, name: str) -> None:
    """Takes it and waits until it can be restored from. Raises Failed, and what boto3 raises."""
    found = stack.cloudformation.describe_stack_resource(StackName=stack.name, LogicalResourceId=DATABASE)
    database = found["StackResourceDetail"]["PhysicalResourceId"]
    rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=database)
    deadline = time.monotonic() + WAITS_S
    for pause_s in pauses():
        (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        if snapshot["Status"] == "available":
            return
        if snapshot["Status"] not in ("creating", "pending") or time.monotonic() > deadline:
            raise Failed(f"the snapshot {name} is {snapshot['Status']}: nothing was deployed")
        time.sleep(pause_s)
