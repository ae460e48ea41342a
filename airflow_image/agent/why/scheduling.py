"""Says what a scheduled task waits for: a pool of Airflow, its DAG's limits, or the scheduler."""

from __future__ import annotations

from agent.page.words import count
from agent.why.dependencies import CONCURRENCY, of_scheduler
from agent.why.facts import AirflowPool, Known
from agent.why.story import NAMED, Cause, named


def what_holds(known: Known) -> Cause:
    """Return what keeps a scheduled task from being queued, in the order in which the scheduler asks."""
    instance, dag = known.instance, known.dag
    if dag.is_paused:
        return Cause(
            name="paused",
            parts=(f"the DAG {named(instance.dag)} is paused.",),
            advice=("Unpause the DAG. Tasks that run already go on meanwhile.",),
        )
    if known.pool is None:
        return Cause(
            name="pool_missing",
            parts=(f"there is no pool {named(instance.pool)} (Airflow's pools, in the menu Admin).",),
            advice=("Make the pool, or name another one in the task.",),
        )
    return _of_pool(known, known.pool) or _of_limits(known) or of_scheduler(known)


def _of_pool(known: Known, pool: AirflowPool) -> Cause | None:
    instance = known.instance
    if pool.slots < 0:
        return None
    if instance.pool_slots > pool.slots:
        return Cause(
            name="pool_too_small",
            parts=(
                f"it needs {count(instance.pool_slots, 'slot')}, and the pool {named(instance.pool)} has "
                f"{pool.slots:,} altogether. It will never run so.",
            ),
            advice=("Give the pool more slots (Admin, Pools), or the task fewer pool_slots.",),
        )
    if pool.taken + instance.pool_slots <= pool.slots:
        return None
    which = f"{pool.taken:,} of {pool.slots:,} slots of"
    if pool.taken >= pool.slots:
        which = "the only slot of" if pool.slots == 1 else f"all {pool.slots:,} slots of"
    is_are = "is" if pool.slots == 1 else "are"
    wanted = "" if instance.pool_slots == 1 else f", and it needs {count(instance.pool_slots, 'slot')}"
    return Cause(
        name="pool_full",
        parts=(
            f"{which} the pool {named(instance.pool)} {is_are} taken by {_holders(pool)}{wanted}",
            *(() if pool.since is None else (", the longest since ", pool.since)),
            ".",
        ),
        advice=(
            "Wait for one of these tasks to end, or give the pool more slots (Admin, Pools). "
            "A task with a higher priority_weight comes first.",
        ),
    )


def _holders(pool: AirflowPool) -> str:
    known = sorted(((dag, slots) for dag, slots in pool.holders.items() if dag), key=lambda each: (-each[1], each[0]))
    texts = [f"{named(dag)} ({slots:,})" for dag, slots in known[:NAMED]]
    others = pool.taken - sum(slots for _, slots in known[:NAMED])
    if others > 0:
        texts.append(f"other DAGs ({others:,})" if texts else "other DAGs")
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:]))) or "other tasks"


def _of_limits(known: Known) -> Cause | None:
    run, dag, task = known.run, known.dag, known.task
    if run.tasks_active >= dag.max_active_tasks:
        return Cause(
            name="dag_limit",
            parts=(
                f"its run has {count(run.tasks_active, 'task')} queued or running, and the DAG's `max_active_tasks` "
                f"allows {dag.max_active_tasks:,} in a run.",
            ),
            advice=("Wait for one of them to end, or raise the DAG's max_active_tasks.",),
        )
    if task is not None and CONCURRENCY in task.unmet:
        return Cause(
            name="task_limit",
            parts=(
                f"as many instances of {named(known.instance.task)} run as its `max_active_tis_per_dag` or "
                "`max_active_tis_per_dagrun` allows.",
            ),
            advice=("Wait for one of them to end, or raise the task's limit.",),
        )
    return None
