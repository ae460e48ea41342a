"""The result of a version check, as objects and as a record for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fleet.member import WORKER, Code

IN_SYNC = "in_sync"
OUT_OF_SYNC = "out_of_sync"
UNKNOWN = "unknown"
ASLEEP = "asleep"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A container whose `field` has another value than the webserver's, which is `expected`.

    `field`: one of Code's, or `image_digest`. `active`: its running tasks. `is_draining`: it takes no new tasks.
    """

    member: str
    role: str
    pool: str | None
    field: str
    value: str
    expected: str
    active: int
    state: str
    is_draining: bool


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something unknown: about whom, why, and since when (seconds since the epoch), None if that is unknown too.

    `is_draining_only`: a rollout of workers of which only the end is open, because old ones still drain.
    `is_starting`: a worker that has just been launched and has not reported yet, as in every scale-out.
    """

    who: str
    why: str
    since: float | None = None
    is_draining_only: bool = False
    is_starting: bool = False


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The webserver that all are compared with: its member id and its code."""

    member: str
    code: Code


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A difference is certain, so it decides the status before any gap. `at`: seconds since the epoch.

    `notes`: problems in words. `strays`: members of the registry without an ECS task. Like `malformed` records of no
    running container, they are counted and do not change the status. `is_asleep`: nothing was compared, because the
    environment sleeps.
    """

    at: float
    reference: Reference | None
    compared: int
    out_of_sync: tuple[Difference, ...]
    unknown: tuple[Gap, ...]
    notes: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    malformed: int = 0
    is_asleep: bool = False

    @property
    def status(self) -> str:
        if self.is_asleep:
            return ASLEEP
        if self.out_of_sync:
            return OUT_OF_SYNC
        return UNKNOWN if self.unknown else IN_SYNC

    @property
    def is_draining_only(self) -> bool:
        """Whether the fleet is not in sync only because old workers drain: all that take tasks run the same code."""
        are_draining = all(each.role == WORKER and each.is_draining for each in self.out_of_sync)
        is_any = bool(self.out_of_sync or self.unknown)
        return is_any and are_draining and all(gap.is_draining_only for gap in self.unknown)

    @property
    def is_starting_only(self) -> bool:
        """Whether nothing differs, and nothing is unknown but the code of workers that are starting."""
        return bool(self.unknown) and not self.out_of_sync and all(gap.is_starting for gap in self.unknown)

    def to_record(self, *, at_most: int | None = None) -> dict[str, Any]:
        """Return the verdict for JSON, with the first `at_most` entries of each list; the counts include all."""
        gaps = [
            {**asdict(gap), "seconds": None if gap.since is None else round(max(0.0, self.at - gap.since))}
            for gap in self.unknown[:at_most]
        ]
        return {
            "status": self.status,
            "at": self.at,
            "webserver": None
            if self.reference is None
            else {"member": self.reference.member, **asdict(self.reference.code)},
            "compared": self.compared,
            "differences": len(self.out_of_sync),
            "out_of_sync": [asdict(difference) for difference in self.out_of_sync[:at_most]],
            "gaps": len(self.unknown),
            "unknown": gaps,
            "notes": list(self.notes[:at_most]),
            "strays": list(self.strays[:at_most]),
            "malformed": self.malformed,
            "is_draining_only": self.is_draining_only,
        }
