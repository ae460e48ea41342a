"""What a version check finds, as a program and as a record can hold it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fleet.registry import Code

IN_SYNC = "in_sync"
OUT_OF_SYNC = "out_of_sync"
UNKNOWN = "unknown"
ASLEEP = "asleep"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A container whose `field` is not the webserver's, which is `expected`.

    `field`: one of Code's, or `image_digest`. `active`: its running tasks. `is_draining`: it takes no further ones.
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
    """Something that is not known: of whom, why, and since when (seconds since the epoch) if that is known."""

    who: str
    why: str
    since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The webserver that all are compared with: its member id, what it runs."""

    member: str
    code: Code


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A difference is certain, so it comes before any gap. `at`: seconds since the epoch.

    `notes`: what is wrong in words, for people. `strays`: members of the registry that no task of ECS stands behind;
    like `malformed` records of nobody they are counted, and change nothing. `is_asleep`: nobody was compared, because
    the environment sleeps.
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

    def to_record(self, *, at_most: int | None = None) -> dict[str, Any]:
        """As JSON can hold it, with the first `at_most` entries of each list; the counts tell of all."""
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
        }
