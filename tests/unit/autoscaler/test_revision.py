"""A pool's service moves to the stack's revision, and back to the one before when no new worker works."""

from dataclasses import replace
from typing import Any

import pytest

from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Service, Worker
from autoscaler.revision import (
    DONE,
    FAILED,
    GIVEN_UP,
    LONGEST_GAP_S,
    MOST_REPEATS,
    MOVING,
    RETURNING,
    UPDATE_LASTS_AT_MOST_S,
    WATCHING,
    Rollout,
    Step,
    Target,
    advance,
)
from fleet.member import CONSUMING, STARTING

NOW = 1_000_000.0
ARN = "arn:aws:ecs:eu-west-1:123456789012:task-definition/airflow-prd-Worker"
R1, R2, R3 = f"{ARN}:1", f"{ARN}:2", f"{ARN}:3"
PATIENCE_S = 600.0
WORKED = Rollout(revision=R1, phase=DONE, began_at=NOW - 9000, at=NOW - 9000)


def service(*revisions: str, state: str = "IN_PROGRESS", desired: int = 2) -> Service:
    """Return a service whose newest deployment has the first revision; the ids of deployments are their revisions."""
    deployments = tuple(
        Deployment(id=r, status="PRIMARY" if not n else "ACTIVE", task_definition=r, running=1, rollout_state=state)
        for n, r in enumerate(revisions)
    )
    return Service(desired=desired, running=2, pending=0, deployments=deployments)


def worker(revision: str | None, state: str = CONSUMING, **other: Any) -> Worker:
    plain = Worker(
        id="w", state=state, active=0, slots=4, protected=True, order=None, started_at=NOW, deployment=revision
    )
    return replace(plain, **other)


def step(
    rollout: Rollout,
    seen: Service,
    *workers: Worker,
    target: str = R2,
    needed: int = 1,
    now: float = NOW,
    invoked_at: float = NOW,
) -> Step:
    found = step_if_any(rollout, seen, *workers, target=target, needed=needed, now=now, invoked_at=invoked_at)
    assert found is not None
    return found


def step_if_any(
    rollout: Rollout, seen: Service, *workers: Worker, target: str, needed: int, now: float, invoked_at: float
) -> Step | None:
    asked = Target(revision=target, patience_s=PATIENCE_S, invoked_at=invoked_at)
    return advance(rollout, asked, service=seen, fleet=Fleet(workers=workers), needed=needed, now=now)


def watched(
    rollout: Rollout, seen: Service, *workers: Worker, seconds: float, every_s: float = 15, **more: Any
) -> Step:
    """Take steps for a while; return the last one."""
    found = Step(rollout=rollout)
    for tick in range(int(seconds / every_s) + 1):
        found = step(found.rollout, seen, *workers, now=NOW + tick * every_s, **more)
        if found.move_to is not None:
            break
    return found


def test_the_service_is_moved_to_the_stacks_revision_until_it_has_it() -> None:
    first = step(WORKED, service(R1))
    assert (first.move_to, first.rollout.phase, first.rollout.previous) == (R2, MOVING, R1)
    assert "moves to airflow-prd-Worker:2" in first.in_words
    again = step(first.rollout, service(R1))
    assert again.move_to == R2
    there = step(again.rollout, service(R2, R1))
    assert (there.move_to, there.rollout.phase) == (None, WATCHING)


def test_it_has_worked_once_a_new_worker_takes_messages() -> None:
    rollout = step(step(WORKED, service(R1)).rollout, service(R2, R1), worker(R1), worker(R2, STARTING)).rollout
    assert rollout.phase == WATCHING
    assert step(rollout, service(R2, R1), worker(R2, trouble="no answer")).rollout.phase == WATCHING
    assert step(rollout, service(R2, R1), worker(None)).rollout.phase == WATCHING  # it may be an old one
    done = step(rollout, service(R2, R1), worker(R1), worker(R2))
    assert (done.rollout.phase, done.in_words) == (DONE, "")
    assert step(done.rollout, service(R2), now=NOW + 99 * PATIENCE_S).rollout.phase == DONE


def test_without_a_new_worker_that_works_it_goes_back_and_stays_there() -> None:
    seen = service(R2, R1)
    rollout = step(WORKED, service(R1)).rollout
    assert watched(rollout, seen, worker(R1), seconds=PATIENCE_S - 15).rollout.phase == WATCHING
    back = watched(rollout, seen, worker(R1), seconds=PATIENCE_S)
    assert (back.move_to, back.rollout.phase) == (R1, RETURNING)
    assert "goes back to airflow-prd-Worker:1: no worker of it consumed within 10 min" in back.in_words
    assert step(back.rollout, seen).move_to == R1  # ECS did not confirm
    left = step(back.rollout, service(R1, R2))
    assert (left.move_to, left.rollout.phase) == (None, GIVEN_UP)
    assert "airflow-prd-Worker:2 is given up" in left.in_words
    assert (back.is_confirmed, left.is_confirmed) == (False, True)
    assert step(left.rollout, service(R1), worker(R1), now=NOW + 99 * PATIENCE_S).move_to is None


def test_only_the_time_counts_in_which_workers_are_needed_and_the_autoscaler_ticks() -> None:
    rollout = step(WORKED, service(R1)).rollout
    assert watched(rollout, service(R2, R1), seconds=9 * PATIENCE_S, needed=0).rollout.waited_s == 0
    assert watched(rollout, service(R2, R1, desired=0), seconds=9 * PATIENCE_S).rollout.waited_s == 0
    seen = step(rollout, service(R2, R1)).rollout
    away = step(seen, service(R2, R1), now=NOW + 99 * PATIENCE_S)
    assert (away.move_to, away.rollout.waited_s) == (None, LONGEST_GAP_S)


def test_it_goes_back_at_once_when_ecs_found_the_deployment_failed() -> None:
    rollout = step(WORKED, service(R1)).rollout
    assert step(rollout, service(R2, R1, state=FAILED)).move_to == R1


def test_what_ecs_or_an_operator_set_back_is_left_there() -> None:
    rollout = Rollout(revision=R2, phase=WATCHING, previous=R1, began_at=NOW - 120, at=NOW - 5)
    for phase in (WATCHING, DONE):
        left = step(replace(rollout, phase=phase), service(R1, R2))
        assert (left.move_to, left.rollout.phase) == (None, GIVEN_UP)
        assert "ECS or an operator set the service to airflow-prd-Worker:1" in left.in_words


@pytest.mark.parametrize("phase", [WATCHING, DONE])
def test_what_an_invocation_from_before_the_update_set_back_is_moved_on(phase: str) -> None:
    """Found by the model: two deployments within a minute, and the second one was given up at once."""
    just_begun = Rollout(revision=R3, phase=phase, previous=R1, began_at=NOW - 51, at=NOW - 21)
    again = step(just_begun, service(R2, R1), target=R3)
    assert (again.move_to, again.rollout.phase) == (R3, MOVING)


def test_a_tick_that_asked_ecs_before_another_moved_the_service_confirms_nothing() -> None:
    watching = Rollout(revision=R2, phase=WATCHING, previous=R1, began_at=NOW - 120, at=NOW - 5)
    late = step(watching, service(R1))
    assert (late.rollout.is_given_up, late.is_confirmed) == (True, False)
    after = step(late.rollout, service(R2, R1))
    assert (after.rollout.phase, after.is_confirmed) == (WATCHING, False)


def test_an_operator_may_set_what_was_given_up() -> None:
    given_up = Rollout(revision=R2, phase=GIVEN_UP, previous=R1, began_at=NOW, at=NOW, waited_s=600, why="so")
    again = step(given_up, service(R2, R1), now=NOW + 5)
    assert (again.move_to, again.rollout.phase, again.rollout.waited_s) == (None, WATCHING, 0)


def test_a_later_revision_that_cloudformation_found_in_the_family_is_not_kept() -> None:
    rolled_back = Rollout(revision=R1, phase=DONE, began_at=NOW - 60, at=NOW - 60)
    assert step(rolled_back, service(R2, R1), target=R1).move_to == R1


@pytest.mark.parametrize(
    ("phase", "at", "previous"),
    [(MOVING, R1, R1), (WATCHING, R2, R1), (RETURNING, R2, R1), (DONE, R2, R2), (GIVEN_UP, R1, R1)],
)
def test_a_second_deployment_can_go_back_to_what_worked_before_the_first(phase: str, at: str, previous: str) -> None:
    first = Rollout(revision=R2, phase=phase, previous=R1, began_at=NOW - 60, at=NOW - 60)
    second = step(first, service(at, R1 if at == R2 else R2), target=R3)
    assert (second.move_to, second.rollout.previous) == (R3, previous)


def test_a_stack_that_rolled_back_goes_back_to_nothing_else() -> None:
    first = Rollout(revision=R2, phase=WATCHING, previous=R1, began_at=NOW - 60, at=NOW - 60)
    restored = step(first, service(R2, R1), target=R1)
    assert (restored.move_to, restored.rollout.previous) == (R1, "")
    assert watched(restored.rollout, service(R1, R2), seconds=9 * PATIENCE_S, target=R1).move_to is None


def test_an_invocation_from_before_the_update_changes_nothing() -> None:
    begun = step(WORKED, service(R1), now=NOW + 10).rollout
    assert step_if_any(begun, service(R2, R1), target=R1, needed=1, now=NOW + 20, invoked_at=NOW - 30) is None
    assert step(begun, service(R2, R1), target=R1, now=NOW + 20, invoked_at=NOW + 20).move_to == R1


def test_a_forged_time_does_not_keep_the_service_from_the_stacks_revision() -> None:
    forged = replace(WORKED, began_at=NOW + 1e6)
    assert step(forged, service(R1), invoked_at=NOW - 30).move_to == R2


def test_a_service_whose_revision_is_unknown_changes_nothing() -> None:
    watching = step(step(WORKED, service(R1)).rollout, service(R2, R1)).rollout
    assert step_if_any(watching, service(), target=R2, needed=1, now=NOW + 5, invoked_at=NOW) is None


def test_the_newest_deployment_that_worked_is_gone_back_to_whatever_order_ecs_lists_them_in() -> None:
    seen = service(R2, R1)
    seen = replace(seen, deployments=seen.deployments[::-1])
    worked = Rollout(revision=R2, phase=DONE, began_at=NOW - 60, at=NOW - 60)
    assert step(worked, seen, target=R3).rollout.previous == R2


def test_a_first_deployment_and_a_lost_memory_have_nothing_to_go_back_to() -> None:
    assert watched(Rollout(), service(R2), seconds=9 * PATIENCE_S).rollout.phase == WATCHING
    lost = step(Rollout(), service(R2, R1))  # but old workers tell what was before
    assert (lost.rollout.phase, lost.rollout.previous) == (WATCHING, R1)


@pytest.mark.parametrize("forged", ["arn:aws:ecs:eu-west-1:123456789012:task-definition/mallory:1", "mallory"])
def test_a_remembered_revision_of_another_family_is_asked_for_only_while_the_service_has_it(forged: str) -> None:
    rollout = Rollout(revision=R2, phase=WATCHING, previous=forged, began_at=NOW, at=NOW, waited_s=PATIENCE_S)
    assert step(rollout, service(R2, R1)).move_to is None
    assert step(rollout, service(R2, forged)).move_to == forged  # as in the first update from an earlier release
    assert step(replace(rollout, phase=MOVING), service(R2, R1), target=R3).rollout.previous == R2


def test_the_memory_keeps_the_rollout_and_refuses_another() -> None:
    rollout = Rollout(
        revision=R2, phase=RETURNING, previous=R1, began_at=NOW, at=NOW, waited_s=1.5, why="so", repeats=2
    )
    assert Memory.from_record(Memory(rollout=rollout).to_record()).rollout == rollout
    assert Memory.from_record({}).rollout == Rollout()
    of_earlier_release = {name: value for name, value in rollout.to_record().items() if name != "repeats"}
    assert Rollout.from_record(of_earlier_release) == replace(rollout, repeats=0)
    for change in (
        {"repeats": -1},
        {"repeats": "2"},
        {"phase": "lost"},
        {"previous": None},
        {"waited": -1.0},
        {"revision": 7},
        {"why": 513 * "x"},
    ):
        with pytest.raises(ValueError, match="rollout"):
            Rollout.from_record({**rollout.to_record(), **change})


def test_a_service_that_ecs_does_not_move_is_given_up_after_the_patience() -> None:
    """UpdateService may be refused for good: a revision that is no longer active, a role that may not be passed."""
    found = Step(rollout=WORKED)
    for tick in range(int(PATIENCE_S / 15) + 1):
        assert found.move_to == (R2 if tick else None)
        found = step(found.rollout, service(R1), now=NOW + tick * 15)
    assert (found.rollout.phase, found.move_to) == (GIVEN_UP, None)
    assert "airflow-prd-Worker:2 is given up: ECS did not move the service to it" in found.in_words
    assert step(found.rollout, service(R1)).is_confirmed


def test_a_pool_without_demand_does_not_go_back_once_the_schedulers_have_the_revisions_code() -> None:
    moved = watched(step(WORKED, service(R1)).rollout, service(R2), seconds=60, needed=0).rollout
    later = replace(moved, at=NOW - 60, began_at=NOW - UPDATE_LASTS_AT_MOST_S)
    waiting = watched(later, service(R2), seconds=PATIENCE_S - 75)
    assert (waiting.rollout.phase, waiting.stuck) == (WATCHING, "")
    stuck = watched(later, service(R2), seconds=PATIENCE_S + 60)
    assert (stuck.move_to, stuck.rollout.phase) == (None, WATCHING)
    assert stuck.in_words == (
        "airflow-prd-Worker:2 does not work: no worker of it consumed within 10 min, and it is too late to go back to "
        "airflow-prd-Worker:1: the schedulers have the new code by now"
    )
    assert step(stuck.rollout, service(R2), worker(R2)).rollout.phase == DONE


def test_after_releases_without_demand_the_last_of_them_is_gone_back_to() -> None:
    first = watched(step(WORKED, service(R1)).rollout, service(R2), seconds=60, needed=0).rollout
    days_later = NOW + 86_400
    assert step(first, service(R2), target=R3, now=days_later, invoked_at=days_later).rollout.previous == R2


def test_when_ecs_goes_back_further_than_to_the_last_that_worked_the_service_is_moved_on_to_that() -> None:
    """ECS's circuit breaker takes the last deployment that completed. None does while old workers have tasks."""
    watching = Rollout(revision=R3, phase=WATCHING, previous=R2, began_at=NOW - 120, at=NOW - 5)
    back = step(watching, service(R1, R3, R2), target=R3)
    assert (back.move_to, back.rollout.phase) == (R2, RETURNING)
    assert step(back.rollout, service(R1, R3, R2), target=R3).move_to == R2
    left = step(back.rollout, service(R2, R1), target=R3)
    assert (left.move_to, left.rollout.phase) == (None, GIVEN_UP)


def set_back() -> Service:
    """Return a service that ECS's circuit breaker set back from R2 to R1, while a worker of R2 is left."""
    seen = service(R1, R2)
    newest, failed = seen.deployments
    return replace(seen, deployments=(newest, replace(failed, rollout_state=FAILED)))


def test_what_ecs_set_back_after_it_worked_is_moved_again_some_times() -> None:
    """Else new schedulers would go on with workers of old code, for as long as no one answers an alarm."""
    found = step(Rollout(revision=R2, phase=DONE, previous=R1, began_at=NOW - 86_400, at=NOW - 5), set_back())
    for repeat in range(1, MOST_REPEATS + 1):
        assert (found.move_to, found.rollout.phase, found.rollout.repeats) == (R2, MOVING, repeat)
        assert found.in_words == (
            "the service moves to airflow-prd-Worker:2 again: "
            "ECS's circuit breaker set the service to airflow-prd-Worker:1"
        )
        there = step(found.rollout, service(R2, R1))
        assert (there.rollout.phase, there.is_confirmed) == (WATCHING, False)
        # The circuit breaker may act once more before or after a worker consumes.
        worked = step(there.rollout, service(R2, R1), worker(R2)) if repeat % 2 else there
        found = step(worked.rollout, set_back())
    assert (found.move_to, found.rollout.phase) == (None, GIVEN_UP)
    assert "given up: ECS's circuit breaker set the service to airflow-prd-Worker:1" in found.in_words
    wanted = step(found.rollout, service(R2, R1))  # an operator
    assert (wanted.rollout.phase, wanted.rollout.repeats) == (WATCHING, 0)


def test_what_worked_before_is_not_gone_back_from() -> None:
    again = Rollout(revision=R2, phase=WATCHING, previous=R1, began_at=NOW, at=NOW, repeats=1)
    found = watched(again, service(R2, R1), worker(R1), seconds=PATIENCE_S + 15)
    assert (found.move_to, found.rollout.phase) == (None, WATCHING)
    assert "it is too late to go back" in found.stuck


def test_what_never_worked_is_not_moved_again() -> None:
    watching = Rollout(revision=R2, phase=WATCHING, previous=R1, began_at=NOW - 600, at=NOW - 5)
    assert step(watching, set_back()).rollout.phase == GIVEN_UP


@pytest.mark.parametrize(
    ("state", "known_by"),
    [("IN_PROGRESS", "no worker of it consumed within 10 min"), (FAILED, "ECS found its deployment failed")],
)
def test_a_revision_that_does_not_work_with_none_to_go_back_to_is_stuck(state: str, known_by: str) -> None:
    watching = Rollout(revision=R1, phase=WATCHING, began_at=NOW, at=NOW)
    found = watched(watching, service(R1, state=state), target=R1, seconds=PATIENCE_S + 15)
    assert (found.rollout.phase, found.move_to) == (WATCHING, None)
    said = f"airflow-prd-Worker:1 does not work: {known_by}, and no earlier revision is known to go back to"
    assert found.in_words == said
