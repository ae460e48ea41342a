"""Carry out a plan: ledger, snapshot, change set, gate, ledger."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.delivery.gate import GATE_TIMEOUT_S, wait_for_release
from ops.delivery.ledger import DONE, FAILED, Deployment
from ops.delivery.plan import Plan
from ops.delivery.release import DeliveryError, Failed
from ops.delivery.stack import Proposal, Stack, pauses
from ops.delivery.store import Store
from ops.deployed import FunctionFailed, Record
from ops.versions.check import summary

DATABASE = "Database"  # its logical id in the template; a test compares
SNAPSHOT_TIMEOUT_S = 3600.0


def snapshot_name(stack: str, version: str, *, now: float) -> str:
    """Return a unique name that RDS accepts: letters, digits and single hyphens."""
    wanted = f"{stack}-before-{version}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    return re.sub(r"-+", "-", re.sub(r"[^A-Za-z0-9]", "-", wanted)).strip("-").lower()


def take_snapshot(*, stack: Stack, rds: Any, name: str) -> None:
    """Take a snapshot of the database and wait until it is available. Raises Failed, and what boto3 raises."""
    found = stack.cloudformation.describe_stack_resource(StackName=stack.name, LogicalResourceId=DATABASE)
    database = found["StackResourceDetail"]["PhysicalResourceId"]
    rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=database)
    deadline = time.monotonic() + SNAPSHOT_TIMEOUT_S
    for pause_s in pauses():
        (snapshot,) = rds.describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"]
        if snapshot["Status"] == "available":
            return
        if snapshot["Status"] not in ("creating", "pending") or time.monotonic() > deadline:
            raise Failed(f"the snapshot {name} is {snapshot['Status']}: nothing was deployed")
        time.sleep(pause_s)


Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a deployment to one environment needs. `ask`: asks the deployed version check once."""

    store: Store
    stack: Stack
    rds: Any
    ask: Callable[[], Record]
    clock: Callable[[], float]
    say: Say
    gate_s: float = GATE_TIMEOUT_S

    def carry_out(self, plan: Plan, proposal: Proposal) -> None:
        """Deploy and record the outcome in the ledger. Raises Failed when the deployment does not end well."""
        now = self.clock()
        name = snapshot_name(self.stack.name, plan.release.version, now=now) if plan.migrates else ""
        begun = Deployment(release=plan.release, kind=plan.kind, began_at=now, snapshot=name)
        ledger = self.store.ledger(plan.environment).begin(begun)
        self.store.keep(ledger)
        try:
            self._deploy(plan, proposal, snapshot=name)
        except (DeliveryError, FunctionFailed, KeyError, BotoCoreError, ClientError) as error:
            self.store.keep(ledger.end(outcome=FAILED, why=str(error)))
            raise Failed(str(error)) from error
        self.store.keep(ledger.end(outcome=DONE))
        self.say(f"{plan.environment} runs {plan.release.version}")

    def _deploy(self, plan: Plan, proposal: Proposal, *, snapshot: str) -> None:
        if snapshot:
            self.say(f"taking the snapshot {snapshot}: the database may be migrated")
            take_snapshot(stack=self.stack, rds=self.rds, name=snapshot)
        self.say(f"executing {len(proposal.changes)} changes of {self.stack.name}")
        self.stack.execute(proposal)
        self.say("waiting until every process runs the release")
        wait_for_release(self.ask, plan.release, seconds=self.gate_s, progress=self._progress)

    def _progress(self, record: Record, seconds: float) -> None:
        self.say(f"{seconds:5.0f} s  {summary(record)}")
