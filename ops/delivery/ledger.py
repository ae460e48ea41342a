"""What was deployed to one environment, and which revisions its database may have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ops.delivery.release import Refused, Release

PROMOTION, ROLLBACK, SETTLED = "promotion", "rollback", "settled"
UNDER_WAY, DONE, FAILED = "under way", "done", "failed"
KINDS, OUTCOMES = frozenset({PROMOTION, ROLLBACK}), frozenset({UNDER_WAY, DONE, FAILED})


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One attempt. Times are seconds since the epoch. `snapshot`: of the database before it, empty if there is none."""

    release: Release
    kind: str
    began_at: float
    outcome: str = UNDER_WAY
    why: str = ""
    snapshot: str = ""

    def to_record(self) -> dict[str, Any]:
        return {**vars(self), "release": self.release.to_record()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Deployment:
        made = cls(**{**record, "release": Release.from_record(record["release"])})
        if made.kind not in KINDS or made.outcome not in OUTCOMES:
            raise ValueError(made.kind)
        return made


@dataclass(frozen=True, kw_only=True)
class Settled:
    """An operator checked, restored or downgraded the database: since `at` it has `revision`."""

    revision: str
    at: float

    def to_record(self) -> dict[str, Any]:
        return {**vars(self), "kind": SETTLED}


Entry = Deployment | Settled


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The ledger of one environment, the latest entry first."""

    environment: str
    entries: tuple[Entry, ...] = ()

    @property
    def deployments(self) -> Iterator[Deployment]:
        return (entry for entry in self.entries if isinstance(entry, Deployment))

    @property
    def done(self) -> tuple[Deployment, ...]:
        """Return the deployments that passed their gate, the latest first."""
        return tuple(entry for entry in self.deployments if entry.outcome == DONE)

    def possible_revisions(self) -> frozenset[str]:
        """Return the revisions that the database may have; none if no deployment has touched it.

        A deployment that ended well left its own revision. One that failed may have failed before or after migrating.
        """
        found: set[str] = set()
        for entry in self.entries:
            if isinstance(entry, Settled):
                return frozenset(found | {entry.revision})
            found.add(entry.release.revision)
            if entry.outcome == DONE:
                break
        return frozenset(found)

    def under_way(self, *, now: float, longest_s: float) -> Deployment | None:
        """Return the deployment that has not ended, unless it is older than any deployment can take."""
        latest = next(self.deployments, None)
        is_open = latest is not None and latest.outcome == UNDER_WAY and now - latest.began_at < longest_s
        return latest if is_open else None

    def begin(self, deployment: Deployment) -> Ledger:
        return replace(self, entries=(deployment, *self.entries))

    def end(self, *, outcome: str, why: str = "") -> Ledger:
        """Return the ledger with its latest entry, a deployment, ended."""
        latest, *others = self.entries
        if not isinstance(latest, Deployment):
            raise ValueError("the latest entry is not a deployment")
        return replace(self, entries=(replace(latest, outcome=outcome, why=why), *others))

    def settle(self, *, revision: str, at: float) -> Ledger:
        return replace(self, entries=(Settled(revision=revision, at=at), *self.entries))

    def lines(self) -> Iterator[str]:
        """Yield the database's revision and the deployments, the latest first, for people."""
        revisions = ", ".join(sorted(self.possible_revisions())) or "unknown"
        yield f"{self.environment}: database revision {revisions}"
        for entry in self.entries:
            if isinstance(entry, Deployment):
                why = f": {entry.why}" if entry.why else ""
                kept = f", snapshot {entry.snapshot}" if entry.snapshot else ""
                yield f"  {_clock(entry.began_at)}  {entry.kind} to {entry.release.version}, {entry.outcome}{why}{kept}"
            else:
                yield f"  {_clock(entry.at)}  database settled at revision {entry.revision}"

    def to_record(self) -> dict[str, Any]:
        """Return the ledger for JSON."""
        return {"environment": self.environment, "entries": [entry.to_record() for entry in self.entries]}

    @classmethod
    def from_record(cls, record: Any, *, environment: str) -> Ledger:
        """Read what `to_record` returned. Raises Refused when malformed: a malformed ledger is not an empty one."""
        try:
            if record["environment"] != environment:
                raise ValueError(record["environment"])
            return cls(environment=environment, entries=tuple(map(_entry, record["entries"])))
        except (KeyError, TypeError, ValueError):
            raise Refused(
                f"the ledger of {environment} is malformed: restore an earlier version of it in the bucket"
            ) from None


def _entry(record: dict[str, Any]) -> Entry:
    if record["kind"] == SETTLED:
        return Settled(revision=str(record["revision"]), at=float(record["at"]))
    return Deployment.from_record(record)


def _clock(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(t))
