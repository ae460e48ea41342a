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
from autoscaler.workers import Workers, by_load
from fleet.registry import CONSUMING, STARTING


def plan_rollout(situation: Situation) -> Plan:
    """Old and new workers by count alone, as many as are needed; no boot is raced.

    What was places for old workers that are gone by now is taken back at once.
    """
    workers, needed = situation.workers, situation.needed
    places = protection_places(workers, needed)
    recall = _to_recall(workers, needed)
    if recall or not workers.is_rollout_known:
        return Plan(recall=recall, wanted=needed, protection_places=places, minimum=max(needed, places))
    replaced = (*to_be_replaced(workers, needed), *not_to_begin(workers, needed))
    leaving = {worker.id for worker in replaced}
    staying = tuple(worker for worker in workers.consuming if worker.id not in leaving)
    return Plan(
        surplus=staying[: max(0, len(staying) - needed)],
        replaced=replaced,
        wanted=needed,
        protection_places=places,
        minimum=max(needed, places),
        stoppable=len(workers.stoppable),
        cancel_at_once=situation.service.desired,
    )


def protection_places(workers: Workers, needed: int) -> int:
    """What desired must be at least, so that old workers keep their protection and new ones can take it.

    It does not grow with the tasks that it makes ECS start: a raise never leads to the next.
    """
    if not workers.is_rollout_known:
        return 0
    return max(workers.protected, workers.old_usable + min(needed, workers.new_usable))


def to_be_replaced(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """The old workers that drain now: those beyond what the new ones that consume leave to be done."""
    new_consuming = sum(worker.state == CONSUMING for worker in workers.new_serving)
    if needed and not new_consuming:
        return ()
    old = tuple(worker for worker in workers.serving if worker.id in workers.old)
    # One that has not begun to consume goes first.
    order = sorted(by_load(old), key=lambda worker: worker.state == CONSUMING)
    return tuple(order[: max(0, len(order) - max(0, needed - new_consuming))])


def not_to_begin(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """New workers that ECS started only because desired was raised: unprotected still, and more than are needed."""
    if not workers.is_rollout_known:
        return ()
    # Those that consume or may any moment stay; of the others, those that came first.
    new = sorted(
        workers.new_serving,
        key=lambda worker: (worker.state != CONSUMING, not worker.protected, worker.started_at, worker.id),
    )
    return tuple(worker for worker in new[needed:] if worker.state == STARTING and not worker.protected)


def _to_recall(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """Leaving workers that are needed, never one of a replaced deployment, and none while it is not known who is old.

    The new scheduler starts when the old workers have left their queues, and counts on it that they stay away. So old
    workers stand in for nobody: as many new ones work as are needed.

    One that drains takes one of the places that desired has for new workers, for as long as it holds protection. It
    comes back rather than have one that has not begun wait for a place.
    """
    if not workers.is_rollout_known:
        return ()
    begun = sum(worker.state == CONSUMING or worker.protected for worker in workers.new_serving)
    leaving = tuple(worker for worker in workers.recallable if worker.id not in workers.old)
    protected = sum(worker.protected for worker in leaving)  # they are the first of them
    return leaving[: max(0, needed - len(workers.new_serving), min(protected, needed - begun))]
