"""Moves a pool's service to the stack's revision of its task definition, and back if no new worker works. Pure.

CloudFormation names only the *family* of the service's task definition, so it has nothing to wait for when an image
changes: tasks may run for days after. It tells the autoscaler the *revision*, before it updates anything else. From
there each revision goes this way:

    MOVING -> WATCHING -> DONE
                 |
                 +-> RETURNING -> GIVEN_UP

- MOVING: ECS is asked for the revision, until the service has it. If it has not within `patience_s`, it is GIVEN_UP.
- WATCHING: until a worker of it consumes. A new worker may wait for a newer webserver, or for capacity.
- RETURNING: no worker consumed while some were needed for `patience_s`, or ECS found the deployment failed. ECS is
  asked for the earlier revision, until the service has that. Not later than UPDATE_LASTS_AT_MOST_S after the begin: the
  schedulers have the revision's code by then, and the earlier one may be months old. The rollout is stuck instead.
- DONE: if ECS's circuit breaker sets the service back all the same, as it may while old workers drain, the service is
  MOVING again, at most MOST_REPEATS times, and never RETURNING: the schedulers have the revision's code.
- GIVEN_UP: the service has an earlier revision again, by the autoscaler, by ECS's circuit breaker or by an operator. It
  is left there. Only another revision of the stack begins anew, or an operator who sets this one. (A later revision
  comes from CloudFormation, which names the family while it rolls back: it is not left there.)

Old workers drain as `rollout` says; nothing here stops a task.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from autoscaler.observation import Fleet, Service
from fleet.validation import is_count, is_time

MOVING, WATCHING, DONE, RETURNING, GIVEN_UP = "moving", "watching", "done", "returning", "given up"
PHASES = frozenset({MOVING, WATCHING, DONE, RETURNING, GIVEN_UP})
FAILED = "FAILED"  # a deployment's rollout state, by ECS's circuit breaker
# Ticks come each few seconds. After a longer gap the autoscaler was away, and old workers could not drain either.
LONGEST_GAP_S = 60.0
# By then CloudFormation has ended the update, or given it up: the schedulers have the revision's code.
UPDATE_LASTS_AT_MOST_S = 3 * 3600.0
# Invocations from before the update have ended by then. Two of them can undo what a later one did: one writes the
# memory that it read before, and the other one finds a later revision than the remembered one.
OLD_INVOCATIONS_LAST_AT_MOST_S = 120.0
# Each repeat is a whole deployment, with the circuit breaker's three failures at least before the next.
MOST_REPEATS = 3
LONGEST_TEXT = 512  # characters; a family has 255 at most


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What is remembered of a revision's rollout; revisions are ARNs, times are Redis's.

    `previous`: the revision to go back to, empty if none is known. `began_at`: when the revision was first asked for.
    `at`: when it was last asked for or watched. `waited_s`: how long ECS did not move the service, or workers of it
    were needed and none consumed. `why`: the reason for going back, or for moving again. `repeats`: how often the
    service was moved again to a revision that had worked.
    """

    revision: str = ""
    phase: str = DONE
    previous: str = ""
    began_at: float = 0.0
    at: float = 0.0
    waited_s: float = 0.0
    why: str = ""
    repeats: int = 0

    @property
    def is_given_up(self) -> bool:
        """Whether the revision did not work: the service has an earlier one, or goes back to it."""
        return self.phase in (RETURNING, GIVEN_UP)

    def to_record(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "phase": self.phase,
            "previous": self.previous,
            "began_at": self.began_at,
            "at": self.at,
            "waited": round(self.waited_s, 1),
            "why": self.why,
            "repeats": self.repeats,
        }

    @classmethod
    def from_record(cls, record: Any) -> Rollout:
        """Return the rollout stored as `record`; an empty record is none. Raises ValueError."""
        if record == {}:
            return cls()
        texts, times = ("revision", "phase", "previous", "why"), ("began_at", "at", "waited")
        if not isinstance(record, dict) or not (
            all(_is_short_text(record.get(name)) for name in texts) and all(is_time(record.get(name)) for name in times)
        ):
            raise ValueError("rollout is not a record of short texts and times")
        repeats = record.get("repeats", 0)  # not in records of older releases
        if not is_count(repeats):
            raise ValueError(f"rollout has {repeats!r} repeats")
        if record["phase"] not in PHASES:
            raise ValueError(f"rollout has the phase {record['phase']!r}")
        return cls(
            revision=record["revision"],
            phase=record["phase"],
            previous=record["previous"],
            began_at=record["began_at"],
            at=record["at"],
            waited_s=record["waited"],
            why=record["why"],
            repeats=repeats,
        )


@dataclass(frozen=True, kw_only=True)
class Target:
    """What the stack asks for. `revision`: an ARN. `patience_s`: how long no new worker may consume.

    `invoked_at`: when this invocation of the function began, in seconds since the epoch.
    """

    revision: str
    patience_s: float
    invoked_at: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to remember, and the revision to ask ECS for; None for none.

    `is_confirmed`: the revision is given up, and was so at an earlier tick: one tick may have asked ECS before another
    one moved the service. `stuck`: in words, how it is known that the revision does not work, and why the service is
    not moved back; empty otherwise.
    """

    rollout: Rollout
    move_to: str | None = None
    is_confirmed: bool = False
    stuck: str = ""

    @property
    def in_words(self) -> str:
        """What happens, for the decision's reason; empty once the revision is known to work."""
        rollout = self.rollout
        words = {
            MOVING: f"the service moves to {short(rollout.revision)}{' again: ' if rollout.why else ''}{rollout.why}",
            WATCHING: f"{short(rollout.revision)} does not work: {self.stuck}"
            if self.stuck
            else f"no worker of {short(rollout.revision)} has consumed yet, for {rollout.waited_s:.0f} s",
            RETURNING: f"the service goes back to {short(rollout.previous)}: {rollout.why}",
            GIVEN_UP: f"{short(rollout.revision)} is given up: {rollout.why}",
        }
        return words.get(rollout.phase, "")


def advance(
    rollout: Rollout, target: Target, *, service: Service, fleet: Fleet, needed: int, now: float
) -> Step | None:
    """Take the rollout a step further. `needed`: workers that the demand asks for.

    Return None if nothing can be said: ECS does not tell the service's revision, or this invocation is from before the
    update and knows only the earlier one.
    """
    if not service.revision:
        return None
    present = rollout
    if rollout.revision != target.revision:
        if target.invoked_at < rollout.began_at <= now:
            return None  # it ends within its minute
        present = _begin(rollout, target.revision, service=service, now=now)
    step = _follow(present, target, service=service, fleet=fleet, needed=needed, now=now)
    return replace(step, is_confirmed=present.is_given_up and step.rollout.is_given_up)


def _follow(rollout: Rollout, target: Target, *, service: Service, fleet: Fleet, needed: int, now: float) -> Step:
    if service.revision != rollout.revision:
        return _elsewhere(rollout, service, target, now=now)
    if rollout.phase == DONE:
        return Step(rollout=rollout)
    if rollout.phase == RETURNING and _may_return(rollout, service):
        return Step(rollout=rollout, move_to=rollout.previous)
    if rollout.phase == GIVEN_UP:  # an operator wants it all the same
        rollout = replace(rollout, phase=MOVING, waited_s=0.0, why="", repeats=0)
    return _watch(rollout, target, service=service, fleet=fleet, is_needed=needed > 0 and service.desired > 0, now=now)


def _elsewhere(rollout: Rollout, service: Service, target: Target, *, now: float) -> Step:
    """Return the step while the service has another revision."""
    is_too_early = _may_return(rollout, service) and _is_later(rollout.previous, than=service.revision)
    if rollout.phase == RETURNING and is_too_early:
        return Step(rollout=rollout, move_to=rollout.previous)
    if rollout.is_given_up:
        return Step(rollout=replace(rollout, phase=GIVEN_UP))
    has_just_begun = 0 <= now - rollout.began_at < OLD_INVOCATIONS_LAST_AT_MOST_S
    if rollout.phase == MOVING or has_just_begun or _is_later(service.revision, than=rollout.revision):
        passed_s = _passed_s(rollout, now) if rollout.phase == MOVING else 0.0
        rollout = replace(rollout, phase=MOVING, at=now, waited_s=rollout.waited_s + passed_s)
        if passed_s and rollout.waited_s >= target.patience_s:
            return Step(rollout=replace(rollout, phase=GIVEN_UP, why="ECS did not move the service to it"))
        return Step(rollout=rollout, move_to=rollout.revision)
    has_failed = _has_failed(rollout.revision, service)
    by = "ECS's circuit breaker" if has_failed else "ECS or an operator"
    why = f"{by} set the service to {short(service.revision)}"
    has_worked = rollout.phase == DONE or rollout.repeats > 0
    if has_worked and has_failed and rollout.repeats < MOST_REPEATS:
        again = replace(rollout, phase=MOVING, at=now, waited_s=0.0, why=why, repeats=rollout.repeats + 1)
        return Step(rollout=again, move_to=rollout.revision)
    if is_too_early and rollout.phase == WATCHING:
        # The circuit breaker goes back to the last deployment that completed: none does while old workers drain.
        return Step(rollout=replace(rollout, phase=RETURNING, why=why), move_to=rollout.previous)
    return Step(rollout=replace(rollout, phase=GIVEN_UP, why=why))


def short(revision: str) -> str:
    """Return a revision's family and number without the rest of its ARN."""
    return revision.rpartition("/")[2]


def _begin(rollout: Rollout, revision: str, *, service: Service, now: float) -> Rollout:
    """Begin anew. The revision to go back to is the last one that worked, as far as that is known."""
    is_under_way = rollout.phase in (MOVING, WATCHING, RETURNING) and now - rollout.began_at < UPDATE_LASTS_AT_MOST_S
    others = _others(service, revision)
    known = [rollout.previous] if is_under_way and _is_credible(rollout.previous, revision, others) else []
    # CloudFormation rolled back to what worked: nothing else is to be gone back to.
    previous = "" if revision == rollout.previous else next(iter((*known, *others)), "")
    return Rollout(revision=revision, phase=MOVING, previous=previous, began_at=now, at=now)


def _others(service: Service, revision: str) -> list[str]:
    """Return the other revisions that the service has workers of, the newest deployment's first."""
    every = (service.revision, *(deployment.task_definition for deployment in service.deployments))
    return [each for each in every if each != revision]


def _may_return(rollout: Rollout, service: Service) -> bool:
    return _is_credible(rollout.previous, rollout.revision, _others(service, rollout.revision))


def _is_credible(previous: str, revision: str, others: list[str]) -> bool:
    """Return whether a remembered revision may be asked for: anyone who may write to Redis could have written it."""
    return bool(previous) and (previous in others or previous.rpartition(":")[0] == revision.rpartition(":")[0])


def _is_later(revision: str, *, than: str) -> bool:
    (family, _, number), (own, _, present) = revision.rpartition(":"), than.rpartition(":")
    return family == own and number.isdigit() and present.isdigit() and int(number) > int(present)


def _watch(rollout: Rollout, target: Target, *, service: Service, fleet: Fleet, is_needed: bool, now: float) -> Step:
    if any(_is_new(worker.deployment, service) and worker.is_consuming for worker in fleet.workers):
        return Step(rollout=replace(rollout, phase=DONE, at=now, why=""))
    passed_s = _passed_s(rollout, now) if rollout.phase == WATCHING and is_needed else 0.0
    rollout = replace(rollout, phase=WATCHING, at=now, waited_s=rollout.waited_s + passed_s)
    if service.rollout_state == FAILED:
        why = "ECS found its deployment failed"
    elif rollout.waited_s >= target.patience_s:
        why = f"no worker of it consumed within {target.patience_s / 60:g} min"
    else:
        return Step(rollout=rollout)
    if not _may_return(rollout, service):
        return Step(rollout=rollout, stuck=f"{why}, and no earlier revision is known to go back to")
    if rollout.repeats or now - rollout.began_at >= UPDATE_LASTS_AT_MOST_S:
        too_late = f"too late to go back to {short(rollout.previous)}: the schedulers have the new code by now"
        return Step(rollout=rollout, stuck=f"{why}, and it is {too_late}")
    return Step(rollout=replace(rollout, phase=RETURNING, why=why), move_to=rollout.previous)


def _has_failed(revision: str, service: Service) -> bool:
    """Return whether ECS shows a failed deployment of the revision: then no operator set the service to another."""
    return any(each.task_definition == revision and each.rollout_state == FAILED for each in service.deployments)


def _passed_s(rollout: Rollout, now: float) -> float:
    """Return how much of the time since the last tick counts as waiting."""
    return min(max(0.0, now - rollout.at), LONGEST_GAP_S)


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_new(deployment: str | None, service: Service) -> bool:
    return not service.is_rolling_out or (deployment is not None and deployment == service.primary)
