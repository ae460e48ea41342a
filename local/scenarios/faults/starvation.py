"""Floods one pool of ten while others have loads of their own, a misspelt queue, a pause, and no worker at first."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from fleet.member import CONSUMING, WORKER
from local.scenarios.faults.ten_pools import (
    FLOOD,
    FROM_ZERO,
    LOADS,
    MEASURED,
    MISSPELT,
    MISTAKE,
    OUTDATED,
    PARSE_TIMEOUT_S,
    PAUSED,
    load_of,
)
from local.scenarios.faults.trial import Trial
from local.scenarios.faults.waits import Boot, Reading, Waits, boots_of, waits_of
from local.scenarios.observed_stack import BURST_TASK
from local.scenarios.sampling import Sampler
from project.errors import CommandError
from project.waiting import wait_until
from shared.tags import PAUSED as PAUSED_VALUE
from shared.tags import PAUSED_TAG
from stack.sections.pools import DeclaredPool

FLOOD_TASKS = 2000
# Each pool gets its load once a round. A run of the flood takes its pool a little longer, so it outlasts the rounds.
ROUND_S = 75.0
MOST_ROUNDS_ALONE = 3
END_TIMEOUT_S = 400.0  # of the loads, and of what is left of the flood, beyond its length
REFUSED_WITHIN_S = 60.0
UNSERVED = "no pool serves the queue"
FAILED = "failed"
# A queued task that is set back counts, also when it is queued again at once.
COUNT_REQUEUED = """
    CREATE TABLE public.requeued (task_instance uuid);
    CREATE FUNCTION public.note_requeued() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        'BEGIN INSERT INTO public.requeued VALUES (NEW.id); RETURN NULL; END';
    CREATE TRIGGER note_requeued AFTER UPDATE ON task_instance FOR EACH ROW
        WHEN (OLD.state = 'queued' AND NEW.state = 'scheduled') EXECUTE FUNCTION public.note_requeued();
"""
REQUEUED = "SELECT count(*) FROM public.requeued"
# As if the queue had been another one when the DAG was parsed. Its hash stays, so it is not stored again.
PARSED_EARLIER = "UPDATE serialized_dag SET data = replace(data::text, %s, %s)::json WHERE dag_id = %s"
AUDITED = "SELECT count(DISTINCT map_index) FROM log WHERE dag_id = %s AND extra LIKE %s"

RunIds = dict[str, list[str]]  # by pool


def starve(trial: Trial, *, flood_tasks: int = FLOOD_TASKS) -> None:
    """Measure the pools' waits without a flood and beside it; see that nothing fails or is queued again for waiting."""
    rounds = max(1, flood_tasks // FLOOD.tasks)
    for load in LOADS:
        trial.observed.airflow.wait_for_dag(load.name, timeout_s=PARSE_TIMEOUT_S)
    _require_import_error(trial)
    _query(trial, COUNT_REQUEUED)
    for pool in (PAUSED, FROM_ZERO):
        wait_until(
            partial(_has_no_worker, trial, pool), what=f"the end of the worker of {pool.name}", timeout_s=END_TIMEOUT_S
        )
    with contextlib.closing(Sampler(lambda: _read(trial, FROM_ZERO), name=FROM_ZERO.name)) as sampler:
        alone = _load_pools(trial, rounds=min(rounds, MOST_ROUNDS_ALONE))
        trial.finish(timeout_s=END_TIMEOUT_S)
        with _paused(trial):
            flood = [trial.trigger_dag(FLOOD.name, tasks=FLOOD.tasks) for _ in range(rounds)]
            paused = trial.trigger_dag(load_of(PAUSED).name, tasks=load_of(PAUSED).tasks)
            _require_refusal_of_outdated(trial)
            beside = _load_pools(trial, rounds=rounds)
            trial.require(
                not all(trial.has_ended(run_id, dag=FLOOD.name) for run_id in flood),
                "the flood ended before the loads: the fault proves nothing",
            )
            _require_waiting(trial, paused)
        trial.finish(timeout_s=rounds * ROUND_S + END_TIMEOUT_S)
    _judge_waits(trial, alone, beside, boots_of(sampler.samples))
    requeued = _query(trial, REQUEUED)
    trial.figures |= {"flood": rounds * FLOOD.tasks, "requeued": requeued}
    trial.require(requeued == 0, f"{requeued} times a queued task was scheduled again")


def _load_pools(trial: Trial, *, rounds: int) -> RunIds:
    """Trigger each measured pool's load once a round, one pool after another; return the runs."""
    runs: RunIds = {pool.name: [] for pool in MEASURED}
    began = time.monotonic()
    for number in range(rounds):
        for place, pool in enumerate(MEASURED):
            due = began + ROUND_S * (number + place / len(MEASURED))
            time.sleep(max(0.0, due - time.monotonic()))
            load = load_of(pool)
            runs[pool.name].append(trial.trigger_dag(load.name, tasks=load.tasks))
    return runs


def _judge_waits(trial: Trial, alone: RunIds, beside: RunIds, boots: list[Boot]) -> None:
    """Judge each pool's waits, but for those of FROM_ZERO, whose `boots` share this machine's processors."""
    airflow = trial.observed.airflow
    trial.figures["boots_from_zero"] = len(boots)
    trial.require(bool(boots), f"pool {FROM_ZERO.name} was launched no worker: the fault proves nothing")
    for pool in MEASURED:
        found = [
            [
                wait
                for run_id in runs[pool.name]
                for wait in waits_of(
                    airflow.task_instances(load_of(pool).name, run_id, task_id=BURST_TASK),
                    boots if pool is FROM_ZERO else (),
                )
            ]
            for runs in (alone, beside)
        ]
        waits = Waits(pool=pool.name, alone=found[0], beside=found[1])
        if pool is not FROM_ZERO:
            trial.unmet += waits.problems
        if waits.alone and waits.beside:
            trial.figures |= {
                f"{pool.name}_alone_s": round(waits.alone_s, 1),
                f"{pool.name}_beside_s": round(waits.beside_s, 1),
            }


def refusal_of(queue: str, *, nearest: str) -> str:
    """Return how a queue of no pool is refused."""
    return f"{UNSERVED} '{queue}'; did you mean '{nearest}'?"


def _require_import_error(trial: Trial) -> None:
    """Require that the DAG that misspells a queue is refused, with the nearest queue."""
    said = refusal_of(MISTAKE.queue, nearest=MISSPELT.queues[0])
    wait_until(
        lambda: any(said in failure.trace for failure in trial.observed.airflow.import_failures()),
        what="the import error of a misspelt queue",
        timeout_s=PARSE_TIMEOUT_S,
    )


def _require_refusal_of_outdated(trial: Trial) -> None:
    """Run tasks that were parsed when their queue was served; require that they fail at once, with the reason."""
    airflow = trial.observed.airflow
    gone = f"{OUTDATED.queue}-away"
    _query(trial, PARSED_EARLIER, f'"{OUTDATED.queue}"', f'"{gone}"', OUTDATED.name)
    began = time.monotonic()
    run_id = airflow.trigger(OUTDATED.name, {})
    with contextlib.suppress(CommandError):  # the count below says what became of them
        wait_until(
            lambda: trial.has_ended(run_id, dag=OUTDATED.name),
            what="the end of tasks without a queue",
            timeout_s=REFUSED_WITHIN_S,
            every_s=1.0,
        )
    trial.figures["unserved_ended_after_s"] = round(time.monotonic() - began)
    failed = airflow.count(OUTDATED.name, run_id, task_id=BURST_TASK, state=FAILED)
    audited = _query(trial, AUDITED, OUTDATED.name, f"%{refusal_of(gone, nearest=OUTDATED.queue)}%")
    trial.require(
        failed == audited == OUTDATED.tasks,
        f"of {OUTDATED.tasks} tasks whose queue no pool serves, {failed} failed and {audited} have the reason",
    )


@contextlib.contextmanager
def _paused(trial: Trial) -> Iterator[None]:
    """Pause a pool without workers by its service's tag, as an operator does, and let it go on at the end."""
    ecs, arn = trial.stack.clients.ecs, str(_service(trial, PAUSED)["serviceArn"])
    ecs.tag_resource(resourceArn=arn, tags=[{"key": PAUSED_TAG, "value": PAUSED_VALUE}])
    try:
        yield
    finally:
        ecs.untag_resource(resourceArn=arn, tagKeys=[PAUSED_TAG])


def _service(trial: Trial, pool: DeclaredPool) -> dict[str, Any]:
    stack = trial.stack
    names = {"cluster": stack.outputs["ClusterName"], "services": [stack.outputs[f"{pool.title}ServiceName"]]}
    service: dict[str, Any] = stack.clients.ecs.describe_services(**names)["services"][0]
    return service


def _has_no_worker(trial: Trial, pool: DeclaredPool) -> bool:
    service = _service(trial, pool)
    return not service["desiredCount"] and not service["runningCount"]


def _read(trial: Trial, pool: DeclaredPool) -> Reading:
    desired = int(_service(trial, pool)["desiredCount"])
    roster = trial.stack.registry.members()
    is_consuming = any((m.role, m.pool, m.state) == (WORKER, pool.name, CONSUMING) for m in roster.members)
    return Reading(at=roster.read_at, desired=desired, is_consuming=is_consuming)


def _require_waiting(trial: Trial, run_id: str) -> None:
    """Require that all tasks of the paused pool are queued, and that it was launched no worker."""
    load, desired = load_of(PAUSED), _service(trial, PAUSED)["desiredCount"]
    queued = trial.observed.airflow.count(load.name, run_id, task_id=BURST_TASK, state="queued")
    trial.figures["waiting_in_paused"] = queued
    trial.require(
        queued == load.tasks and desired == 0,
        f"the paused pool has {queued} queued tasks, {load.tasks} expected, and a desired count of {desired}",
    )


def _query(trial: Trial, statement: str, *values: str) -> int:
    """Execute a statement in Airflow's database; return the count that it selects, 0 if it selects nothing."""
    with trial.stack.database_server.superuser(trial.stack.outputs["DatabaseName"]) as database:
        cursor = database.execute(statement, values or None)
        found = cursor.fetchone() if cursor.description else None
        return int(found[0]) if found else 0
