"""Carries a plan out: ledger, snapshot, change set, gate, ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ops.ask import FunctionFailed, Record
from ops.delivery.change_set import Proposal, Stack
from ops.delivery.errors import DeliveryError, Failed
from ops.delivery.gate import WAITS_S, pass_gate
from ops.delivery.ledger import DONE, FAILED, Deployment
from ops.delivery.plan import Plan
from ops.delivery.snapshot import snapshot_name, take_snapshot
from ops.delivery.store import Store
from ops.versions.view import line

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a deployment to one environment needs. `look`: one look of the deployed version check."""

    store: Store
    stack: Stack
    rds: Any
    look: Callable[[], Record]
    clock: Callable[[], float]
    say: Say
    gate_s: float = WAITS_S

    def carry_out(self, plan: Plan, proposal: Proposal) -> None:
        """Deploys; Failed when it did not end well, which the ledger then knows, too."""
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
            self.say(f"the database may be migrated: taking the snapshot {snapshot}")
            take_snapshot(stack=self.stack, rds=self.rds, name=snapshot)
        self.say(f"executing {len(proposal.changes)} changes of {self.stack.name}")
        self.stack.execute(proposal)
        self.say("waiting until every process runs the release")
        pass_gate(self.look, plan.release, seconds=self.gate_s, progress=self._progress)

    def _progress(self, record: Record, seconds: float) -> None:
        self.say(f"{seconds:5.0f} s  {line(record)}")
