"""Leads a rolling deployment to its end: who of the old and the new workers drains, and how many tasks ECS must grant.

ECS starts `desired` new tasks beside the old ones, and stops an old one only when it is unprotected. Two of its rules
shape what follows:

- more tasks can never be protected than are desired. Old workers hold their protection until they are drained, so the
  new ones could take none. Desired is therefore raised, but only once new workers are there to use it: to the old
  ones that stay plus as many new ones as are needed. It may exceed the pool's maximum by the old ones that drain.
- desired is also how many new tasks ECS starts. So the raise starts more of them than are needed; they are told to
  drain before they consume, and ECS stops them when desired falls again.

Old workers consume until as many new ones do; then the least busy of them drain first, and none of them comes back:
new schedulers wait for the last one to leave (see agent.gates). A new worker that waits for a newer webserver does not
consume yet, so it replaces nobody. Desired falls with every old
worker that has drained, and never below the number of tasks that may hold protection.
"""

from __future__ import annotations

from autoscaler.desired import Plan, Situation
from autoscaler.observation import Worker
from autoscaler.workers import Crew, by_load
from fleet.registry import CONSUMING, STARTING


def plan_rollout(situation: Situation) -> Plan:
    """Old and new workers by count alone, as many as are needed; no boot is raced.

    What was granted for old workers that are gone by now is taken back at once.
    """
    crew, needed = situation.crew, situation.needed
    granted = tasks_to_grant(crew, needed)
    recall = _to_recall(crew, needed)
    if recall or not crew.in_rollout:
        return Plan(recall=recall, workers=needed, granted=granted, least=max(needed, granted))
    replaced = (*to_be_replaced(crew, needed), *not_to_begin(crew, needed))
    leaving = {worker.id for worker in replaced}
    staying = tuple(worker for worker in crew.consuming if worker.id not in leaving)
    return Plan(
        surplus=staying[: max(0, len(staying) - needed)],
        replaced=replaced,
        workers=needed,
        granted=granted,
        least=max(needed, granted),
        releasable=len(crew.stoppable),
        take_back=situation.service.desired,
    )


def tasks_to_grant(crew: Crew, needed: int) -> int:
    """What desired must be at least, so that old workers keep their protection and new ones can take it.

    It does not grow with the tasks that it makes ECS start: a raise never leads to the next.
    """
    if not crew.in_rollout:
        return 0
    return max(crew.protected, crew.old_staying + min(needed, crew.new_here))


def to_be_replaced(crew: Crew, needed: int) -> tuple[Worker, ...]:
    """The old workers that drain now: those beyond what the new ones that consume leave to be done."""
    new_at_work = sum(worker.state == CONSUMING for worker in crew.new_working)
    if needed and not new_at_work:
        return ()
    old = tuple(worker for worker in crew.working if worker.id in crew.old)
    # One that has not begun to consume goes first.
    order = sorted(by_load(old), key=lambda worker: worker.state == CONSUMING)
    return tuple(order[: max(0, len(order) - max(0, needed - new_at_work))])


def not_to_begin(crew: Crew, needed: int) -> tuple[Worker, ...]:
    """New workers that ECS started only because desired was raised: unprotected still, and more than are needed."""
    if not crew.in_rollout:
        return ()
    # Those that consume or may any moment stay; of the others, those that came first.
    new = sorted(
        crew.new_working,
        key=lambda worker: (worker.state != CONSUMING, not worker.protected, worker.started_at, worker.id),
    )
    return tuple(worker for worker in new[needed:] if worker.state == STARTING and not worker.protected)


def _to_recall(crew: Crew, needed: int) -> tuple[Worker, ...]:
    """Leaving workers that are needed, never one of a replaced deployment, and none while it is not known who is old.

    The new scheduler starts when the old workers have left their queues, and counts on it that they stay away. So old
    workers stand in for nobody: as many new ones work as are needed.

    One that drains takes one of the places that desired has for new workers, for as long as it holds protection. It
    comes back rather than have one that has not begun wait for a place.
    """
    if not crew.in_rollout:
        return ()
    begun = sum(worker.state == CONSUMING or worker.protected for worker in crew.new_working)
    leaving = tuple(worker for worker in crew.recallable if worker.id not in crew.old)
    protected = sum(worker.protected for worker in leaving)  # they are the first of them
    return leaving[: max(0, needed - len(crew.new_working), min(protected, needed - begun))]
