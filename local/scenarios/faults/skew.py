"""Samples a deployment's mixed versions, and compares the version check's report with the registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fleet.member import RUNNING, WEBSERVER, WORKER, Member
from fleet.registry import VERSIONS_KEY
from local.lambdas.function import InvocationFailed
from local.scenarios.sampling import Sampler
from local.stack.up import Stack
from version_check.verdict import IN_SYNC, OUT_OF_SYNC

CHECK_OUTPUT = "VersionCheckFunctionName"
FIELDS = ("image_version", "dags_hash", "airflow_version")


@dataclass(frozen=True, kw_only=True)
class SkewSample:
    """Whether a worker's code differs from the webserver's, and the check's last status; `at` by Redis's clock."""

    at: float
    is_mixed: bool
    status: str


class SkewSampler(Sampler[SkewSample]):
    """Samples versions and the check's status."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        super().__init__(self._sample, name="skew")

    def reported_after_s(self) -> float | None:
        """Return the seconds from the first mixed sample until the check reported it; None when either is missing."""
        mixed_at = next((sample.at for sample in self.samples if sample.is_mixed), None)
        if mixed_at is None:
            return None
        reported_at = next((s.at for s in self.samples if s.at >= mixed_at and s.status == OUT_OF_SYNC), None)
        return None if reported_at is None else round(reported_at - mixed_at, 1)

    def is_mixed(self) -> bool:
        """Whether the last sample has different code."""
        return bool(self.samples) and self.samples[-1].is_mixed

    def is_in_sync(self) -> bool:
        """Whether the check's last status is `in_sync`."""
        return bool(self.samples) and self.samples[-1].status == IN_SYNC

    def _sample(self) -> SkewSample:
        roster = self._stack.registry.members()
        served = {m.code for m in roster.members if m.role == WEBSERVER and m.state == RUNNING}
        worked = {m.code for m in roster.members if m.role == WORKER}
        raw: Any = self._stack.broker.get(VERSIONS_KEY)
        status = json.loads(raw).get("status", "") if raw else ""
        return SkewSample(at=roster.read_at, is_mixed=len(served | worked) > 1, status=status)


def wrongly_reported(stack: Stack) -> list[str]:
    """Invoke the check now; return each difference that it reports and the registry does not have, one line each.

    Return nothing when the check fails: whether it reports at all is judged elsewhere.
    """
    function = stack.rules.function(stack.outputs[CHECK_OUTPUT]).in_second_process()
    try:
        record = function.invoke({"ticks": 1})
    except InvocationFailed:
        return []
    finally:
        function.close()
    members = {member.id: member for member in stack.registry.members().members}
    return [
        f"{entry['member']}: {entry['field']} {entry['value']}, webserver {entry['expected']}"
        for entry in record["out_of_sync"]
        if entry["field"] in FIELDS and not _is_right(entry, members.get(entry["member"]))
    ]


def _is_right(entry: dict[str, Any], member: Member | None) -> bool:
    """Whether the registry confirms the entry; a member that has left since cannot refute it."""
    return member is None or (getattr(member, entry["field"]) == entry["value"] != entry["expected"])
