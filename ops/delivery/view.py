"""Says to people what would be deployed, and what was. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ops.delivery.change_set import NOTHING, Proposal
from ops.delivery.ledger import Deployment, Ledger
from ops.delivery.plan import Plan


def plan_lines(plan: Plan, proposal: Proposal) -> Iterator[str]:
    """What a plan and its change set would do."""
    yield f"{plan.kind} of {plan.environment} to {plan.release.version}, Airflow {plan.release.airflow_version}"
    yield f"  image {plan.release.image}"
    if plan.migrates:
        yield f"  the database may be migrated to revision {plan.release.revision}, after a snapshot"
    else:
        yield f"  the database stays at revision {plan.release.revision}"
    if proposal.arn == NOTHING:
        yield "  nothing changes in the stack"
        return
    yield f"  change set {proposal.arn}"
    for change in proposal.changes:
        replaced = f" (replaced: {change.replacement.lower()})" if change.replacement not in ("", "False") else ""
        yield f"    {change.action.lower():8} {change.title}, {change.kind}{replaced}"


def ledger_lines(ledger: Ledger) -> Iterator[str]:
    """What an environment runs, and what was deployed to it, the latest first."""
    revisions = ", ".join(sorted(ledger.possible_revisions())) or "not known"
    yield f"{ledger.environment}: database revision {revisions}"
    for entry in ledger.entries:
        if isinstance(entry, Deployment):
            why = f": {entry.why}" if entry.why else ""
            kept = f", snapshot {entry.snapshot}" if entry.snapshot else ""
            yield f"  {_clock(entry.began_at)}  {entry.kind} to {entry.release.version}, {entry.outcome}{why}{kept}"
        else:
            yield f"  {_clock(entry.at)}  said to be at revision {entry.revision}"


def _clock(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(t))
