"""What an hour of a pool's worker costs, from its size and AWS's list prices of Fargate.

The prices are those of us-east-1, in US dollars, as of 2026-11, without discounts and taxes, from
aws.amazon.com/fargate/pricing: Linux, by architecture. Checked: vantage.sh/blog/fargate-pricing. Other regions cost up
to some half more; what a payer costs in relation to others is the same in all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fleet.validation import NO_JSON, loads

PRICES_OF = "us-east-1"
AS_OF = "2026-11"
VCPU_HOUR: Mapping[str, float] = {"X86_64": 0.04048, "ARM64": 0.03238}
GB_HOUR: Mapping[str, float] = {"X86_64": 0.004445, "ARM64": 0.00356}
DISK_GB_HOUR = 0.000111
FREE_DISK_GB = 20
# Spot's price moves: AWS promises up to 70 % off for processors and memory.
# Checked: wring.co/blog/aws-fargate-pricing-guide.
SPOT_SHARE = 0.30
CPU_UNITS_A_VCPU = 1024
MIB_A_GB = 1024
PERCENT = 100


@dataclass(frozen=True, kw_only=True)
class WorkerSize:
    """A pool's worker: CPU units, MiB, GiB of disk. The first `base` run on demand; of the others, `spot` % on Spot."""

    cpu: int
    memory: int
    disk: int
    base: int
    spot: int

    def usd_an_hour(self, processor: str, *, workers: float) -> float:
        """Return the mean price of one worker-hour while so many run. Raises KeyError for an unknown processor."""
        vcpu, gb = self.cpu / CPU_UNITS_A_VCPU, self.memory / MIB_A_GB
        size_usd = vcpu * VCPU_HOUR[processor] + gb * GB_HOUR[processor]
        on_spot = max(0.0, workers - self.base) / workers * self.spot / PERCENT if workers > 0 else 0.0
        disk_usd = (self.disk - FREE_DISK_GB) * DISK_GB_HOUR
        return size_usd * (1 - on_spot + on_spot * SPOT_SHARE) + disk_usd


FIELDS = tuple(WorkerSize.__dataclass_fields__)


def sizes_to_json(sizes: Mapping[str, WorkerSize]) -> str:
    return json.dumps({pool: asdict(size) for pool, size in sizes.items()}, separators=(",", ":"))


def read_sizes(text: str) -> dict[str, WorkerSize]:
    """Return each pool's size as the template declares it. Raises ValueError."""
    declared = loads(text)
    if declared is NO_JSON:
        raise ValueError("it is not JSON")
    if not isinstance(declared, dict):
        raise ValueError("the sizes of workers are no object")
    return {str(pool): _size(pool, entry) for pool, entry in declared.items()}


def _size(pool: str, entry: Any) -> WorkerSize:
    values: dict[str, Any] = {field: entry.get(field) for field in FIELDS} if isinstance(entry, dict) else {}
    if not values or not all(type(value) is int and value >= 0 for value in values.values()):
        raise ValueError(f"the size of the workers of pool {pool} is {entry!r:.80}")
    return WorkerSize(**values)
