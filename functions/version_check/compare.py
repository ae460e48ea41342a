"""Compares what every member of the fleet runs with what the webserver runs.

Pure. No reply is never taken for equal: who should report and did not, or said nothing, makes the result unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fleet.registry import STOPPED, Member

REFERENCE_ROLE = "webserver"
FIELDS = ("image_version", "dags_hash", "airflow_version")

IN_SYNC = "in_sync"
OUT_OF_SYNC = "out_of_sync"
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A member whose `field` is not the webserver's, which is `expected`; it runs `active` tasks."""

    member: str
    role: str
    field: str
    value: str
    expected: str
    active: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Something that is not known, of whom, and why."""

    who: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`status` is one of IN_SYNC, OUT_OF_SYNC, UNKNOWN; a difference is certain, so it comes before any gap."""

    reference: str | None
    compared: int
    out_of_sync: tuple[Difference, ...]
    unknown: tuple[Gap, ...]

    @property
    def status(self) -> str:
        if self.out_of_sync:
            return OUT_OF_SYNC
        return UNKNOWN if self.unknown else IN_SYNC

    def to_record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"status": self.status, **asdict(self)}


def compare(
    members: Iterable[Member], *, malformed: Iterable[str], expected: Iterable[str], gaps: Sequence[Gap] = ()
) -> Verdict:
    """The verdict over all live members. `expected`: ids of the members that ECS's running tasks should be.

    The reference is the webserver that started last: in a rollout an older one differs from it like anybody else.
    """
    alive = sorted((member for member in members if member.state != STOPPED), key=lambda member: member.id)
    unknown = [*gaps, *(Gap(who=member, why="its record is malformed") for member in sorted(set(malformed)))]
    heard = {member.id for member in alive} | set(malformed)
    unknown += (Gap(who=who, why="runs, and has not reported") for who in sorted(set(expected) - heard))
    webservers = [member for member in alive if member.role == REFERENCE_ROLE]
    if not webservers:
        unknown.append(Gap(who=REFERENCE_ROLE, why="none has reported: there is nothing to compare with"))
        return Verdict(reference=None, compared=0, out_of_sync=(), unknown=tuple(unknown))

    reference = max(webservers, key=lambda member: (member.started_at, member.id))
    differences = []
    for field in FIELDS:
        wanted = getattr(reference, field)
        for member in alive:
            value = getattr(member, field)
            if not value:
                unknown.append(Gap(who=member.id, why=f"does not know its {field}"))
            elif wanted and value != wanted:
                differences.append(
                    Difference(
                        member=member.id,
                        role=member.role,
                        field=field,
                        value=value,
                        expected=wanted,
                        active=member.active,
                    )
                )
    return Verdict(reference=reference.id, compared=len(alive), out_of_sync=tuple(differences), unknown=tuple(unknown))
