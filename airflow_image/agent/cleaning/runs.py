"""Old runs with their tasks and all that belongs to them, which foreign keys of the database delete with them."""

from __future__ import annotations

from agent.cleaning.connection import Steps

ENDED = "('success', 'failed')"
TASK_ENDED = "('success', 'failed', 'skipped', 'upstream_failed', 'removed')"
IS_OLD = f"run.state in {ENDED} and coalesce(run.end_date, run.run_after) < to_timestamp(:before)"
# Of a DAG that is still there the last run that someone started and the last other one stay, with their tasks: the
# scheduler plans the next run by the last one, the UI shows it, tasks with `depends_on_past` look at its tasks. A run
# with a task that has not ended stays, too: it may have been marked as failed while a task waits for its trigger.
COLLECT = f"""
    create temporary table old_run on commit preserve rows as
    with last as (
        select distinct on (run.dag_id, run.run_type = 'manual') run.id
        from dag_run run join dag on dag.dag_id = run.dag_id and not dag.is_stale
        order by run.dag_id, run.run_type = 'manual', run.run_after desc, run.id desc
    )
    select run.id, run.dag_id, run.run_id from dag_run run
    where {IS_OLD}
    and not exists (select from last where last.id = run.id)
    and not exists (
        select from task_instance task where task.dag_id = run.dag_id and task.run_id = run.run_id
        and task.state not in {TASK_ENDED}
    )
"""  # noqa: S608 - of constants only
COUNT_TASKS = """
    select count(*) from task_instance task join old_run run on run.dag_id = task.dag_id and run.run_id = task.run_id
"""
# Meanwhile someone may have cleared one of them, so that it runs again; one that is just being cleared is left for the
# next time.
LOCK_SOME = f"""
    select run.id from dag_run run
    where run.id in (select id from old_run where id > :after order by id limit :runs) and {IS_OLD}
    order by run.id for update skip locked
"""  # noqa: S608 - of constants only
DELETE_TASKS = """
    with chosen as (
        select task.id from task_instance task join dag_run run on run.dag_id = task.dag_id and run.run_id = task.run_id
        where run.id = any(:ids) limit :tasks
    ), gone as (delete from task_instance task using chosen where task.id = chosen.id returning 1)
    select count(*) from gone
"""
DELETE_RUNS = "with gone as (delete from dag_run where id = any(:ids) returning 1) select count(*) from gone"
# Where the next step begins, also after runs that could not be locked.
LAST_OF = """
    select max(id), count(*) from (select id from old_run where id > :after order by id limit :runs) step
"""
RUNS_A_STEP = 200
TASKS_A_STEP = 1000


class OldRuns:
    """The runs to delete, collected once: `runs` and `tasks` say how many there are."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        steps.rows(COLLECT)
        self.runs = steps.number("select count(*) from old_run")
        self.tasks = steps.number(COUNT_TASKS)

    def delete(self) -> tuple[int, int]:
        """Delete them step by step; return how many runs and tasks went."""
        runs = tasks = after = 0
        while True:
            with self._steps.step() as execute:
                chosen = [id for (id,) in execute(LOCK_SOME, after=after, runs=RUNS_A_STEP)]
                ((gone,),) = execute(DELETE_TASKS, ids=chosen, tasks=TASKS_A_STEP)
                tasks += gone
                if gone < TASKS_A_STEP:  # none of theirs is left
                    ((gone_runs,),) = execute(DELETE_RUNS, ids=chosen)
                    runs += gone_runs
                    ((last, count),) = execute(LAST_OF, after=after, runs=RUNS_A_STEP)
                    if not count:
                        return runs, tasks
                    after = last
