"""Leads a rolling deployment to its end: which workers drain, and how many tasks ECS must let be protected.

ECS starts as many new tasks as are desired beside the old ones, and stops an old one only when it is unprotected. Two
of its rules shape the plan:

- ECS lets no more tasks be protected than are desired. Old workers hold their protection until they are drained, so new
  ones could take none. The desired count therefore rises, but only once new workers are there to use it: to the old
  workers that are not drained plus as many new ones as are needed. It may exceed the pool's maximum by the old workers.
- The desired count is also how many new tasks ECS starts. So the raise starts more of them than are needed. They are
  told to drain before they consume, and ECS stops them when the count falls again.

Old workers consume until as many new ones do. Then the least busy of them drain first, and none is recalled: new
schedulers wait for the last one to leave its queues (see agent.gates). A new worker that waits for a newer webserver
does not consume yet, so it replaces no old one. The desired count falls with every old worker that has drained, and
never below the number of tasks that may hold protection.
"""

from __future__ import annotations

from autoscaler.desired import Plan, Situation
from autoscaler.observation import Worker
from autoscaler.workers import Workers, by_load
from fleet.member import CONSUMING, STARTING


def plan_rollout(situation: Situation) -> Plan:
    """Plan old and new workers by count alone, as many as are needed; no boot is raced.

    Places for old workers that are gone by now are taken back at once.
    """
    workers, needed = situation.workers, situation.needed
    places = protection_places(workers, needed)
    recall = _to_recall(workers, needed)
    if recall or not workers.is_rollout_known:
        return Plan(recall=recall, wanted=needed, protection_places=places, minimum=max(needed, places))
    replaced = (*to_be_replaced(workers, needed), *not_to_begin(workers, needed))
    draining = {worker.id for worker in replaced}
    staying = tuple(worker for worker in workers.consuming if worker.id not in draining)
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
    """Return the least desired count with which old workers keep their protection and new ones can take it.

    It does not grow with the tasks that it makes ECS start: a raise never leads to the next.
    """
    if not workers.is_rollout_known:
        return 0
    return max(workers.protected, workers.old_usable + min(needed, workers.new_usable))


def to_be_replaced(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """Choose the old workers that drain now: those beyond what is needed beside the new ones that consume."""
    new_consuming = sum(worker.is_consuming for worker in workers.new_serving)
    if needed and not new_consuming:
        return ()
    old = tuple(worker for worker in workers.serving if worker.id in workers.old)
    # An old worker that takes no messages, or none yet, goes first.
    order = sorted(by_load(old), key=lambda worker: worker.is_consuming)
    return tuple(order[: max(0, len(order) - max(0, needed - new_consuming))])


def not_to_begin(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """Choose new workers that only the raise started: still unprotected, and more than are needed."""
    if not workers.is_rollout_known:
        return ()
    # Workers that consume or may at any moment stay; of the others, the first to start.
    new = sorted(
        workers.new_serving,
        key=lambda worker: (worker.state != CONSUMING, not worker.protected, worker.started_at, worker.id),
    )
    return tuple(worker for worker in new[needed:] if worker.state == STARTING and not worker.protected)


def _to_recall(workers: Workers, needed: int) -> tuple[Worker, ...]:
    """Choose draining workers that are needed, none of them old, and none while it is unknown which are old.

    The new scheduler starts when the old workers have left their queues, and relies on them to stay away. So as many
    new workers consume as are needed, whatever the old ones do.

    A draining worker holds one of the places for protected new workers. Recall it before a worker that has not begun
    waits for a place.
    """
    if not workers.is_rollout_known:
        return ()
    begun = sum(worker.state == CONSUMING or worker.protected for worker in workers.new_serving)
    draining = tuple(worker for worker in workers.recallable if worker.id not in workers.old)
    protected = sum(worker.protected for worker in draining)  # they come first
    return draining[: max(0, needed - len(workers.new_serving), min(protected, needed - begun))]
