"""Decide what may be deployed where, from the ledgers. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ops.delivery.ledger import PROMOTION, ROLLBACK, Deployment, Ledger
from ops.delivery.release import Refused, Release

# A release must have run well in each environment before the next.
ENVIRONMENTS = ("dev", "qa", "prd")
# CloudFormation stops waiting for a service's deployment after three hours; snapshot and gate take more.
LONGEST_DEPLOYMENT_S = 4 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A deployment that may begin. `migrates`: the database may change, so a snapshot comes first."""

    environment: str
    release: Release
    kind: str
    migrates: bool

    def lines(self) -> Iterator[str]:
        """Yield what the plan does, for people."""
        yield f"{self.kind} of {self.environment} to {self.release.version}, Airflow {self.release.airflow_version}"
        yield f"  image {self.release.image}"
        if self.migrates:
            yield f"  the database may be migrated to revision {self.release.revision}, after a snapshot"
        else:
            yield f"  no migration: database revision {self.release.revision}"


def predecessor(environment: str) -> str | None:
    """Return the environment that must run a release first. Raises Refused for one outside the pipeline."""
    if environment not in ENVIRONMENTS:
        raise Refused(f"{environment!r} is not an environment of the pipeline: use one of {', '.join(ENVIRONMENTS)}")
    place = ENVIRONMENTS.index(environment)
    return ENVIRONMENTS[place - 1] if place else None


def plan_promotion(release: Release, *, ledger: Ledger, before: Ledger | None, exists: bool, now: float) -> Plan:
    """Return the plan to promote a release. Raises Refused, with the reason, when it may not be promoted.

    `before`: the predecessor's ledger, None for the first environment. `exists`: whether the environment's stack does.
    """
    if before is not None and not any(each.release.image == release.image for each in before.done):
        raise Refused(
            f"{release.image} has not passed the version check in {before.environment}: promote it there before "
            f"{ledger.environment}"
        )
    return _plan(release, ledger=ledger, kind=PROMOTION, exists=exists, now=now)


def plan_rollback(version: str | None, *, ledger: Ledger, exists: bool, now: float) -> Plan:
    """Return the plan to go back to a version that ran well here, by default the last. Raises Refused if unsafe."""
    if not exists:
        raise Refused(f"the stack of {ledger.environment} does not exist: there is nothing to roll back")
    target = _earlier(version, ledger)
    return _plan(target.release, ledger=ledger, kind=ROLLBACK, exists=exists, now=now)


def _earlier(version: str | None, ledger: Ledger) -> Deployment:
    if version is not None:
        found = next((each for each in ledger.done if each.release.version == version), None)
        if found is None:
            raise Refused(f"version {version} never ran well in {ledger.environment}: promote it instead")
        return found
    latest = next(ledger.deployments, None)
    found = next((each for each in ledger.done if latest and each.release.image != latest.release.image), None)
    if found is None:
        raise Refused(f"no other version ran well in {ledger.environment}: there is nothing to roll back to")
    return found


def _plan(release: Release, *, ledger: Ledger, kind: str, exists: bool, now: float) -> Plan:
    other = ledger.under_way(now=now, longest_s=LONGEST_DEPLOYMENT_S)
    if other is not None:
        raise Refused(
            f"a deployment of version {other.release.version} to {ledger.environment} is under way: wait for its end"
        )
    revisions = ledger.possible_revisions() if exists else frozenset()  # a new stack has an empty database
    if exists and not revisions:
        raise Refused(
            f"{ledger.environment} was not deployed by this pipeline, so its database's revision is unknown: read it "
            f"(airflow db shell: table alembic_version), then run make settle ENV={ledger.environment} REVISION=..."
        )
    foreign = sorted(revisions - set(release.lineage))
    if foreign:
        raise Refused(_unknown_revision(release, ledger=ledger, foreign=foreign))
    return Plan(
        environment=ledger.environment,
        release=release,
        kind=kind,
        migrates=any(r != release.revision for r in revisions),
    )


def _unknown_revision(release: Release, *, ledger: Ledger, foreign: list[str]) -> str:
    """Return the reason and the two ways out: the newer image can downgrade; a snapshot holds the older database."""
    newer = next((each for each in ledger.deployments if each.release.revision in foreign), None)
    first = "find out how it got there, because no deployment brought it"
    if newer is not None:
        downgrade = f"airflow db downgrade --to-revision {release.revision}"
        first = f"run {downgrade} with the image of version {newer.release.version}"
        if newer.snapshot:
            first += f"; or restore the snapshot {newer.snapshot}, which loses everything since"
    return (
        f"the database of {ledger.environment} may be at revision {', '.join(foreign)}, which Airflow "
        f"{release.airflow_version} in version {release.version} does not know: it can neither run on it nor "
        f"downgrade it. First {first}. Then run make settle ENV={ledger.environment} REVISION={release.revision}"
    )
