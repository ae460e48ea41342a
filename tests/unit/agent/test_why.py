"""Why a task waits and why it died, told from records: each situation with its cause and its sentence."""

from dataclasses import replace
from typing import Any

import pytest

from agent.runner.container_memory import MIB
from agent.why.facts import (
    AirflowPool,
    Attempt,
    Dag,
    Decision,
    Event,
    Fleet,
    Instance,
    Known,
    Place,
    Run,
    Task,
    Trigger,
    Upstream,
)
from agent.why.story import DIED, ENDED, RUNS, WAITS, in_text
from agent.why.telling import tell
from fleet.ends import DEADLINE, MEMORY, RUNNER, SUPERVISOR, End
from fleet.member import CONSUMING, DRAINING, STARTING, Code, Member
from fleet.pools import Pool
from project.paths import ROOT
from tests.support.members import A_WORKER

NOW = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
POOL = Pool(name="worker", queues=("default",), minimum=1, maximum=3, concurrency=4)
ID = "01890000-0000-7000-8000-000000000001"
EARLIER = "01890000-0000-7000-8000-000000000000"
HOST = "10.0.1.7"
GIB = 1024 * MIB


def worker(number: int, **changes: Any) -> Member:
    plain = replace(
        A_WORKER, id=f"{number:08x}aaaa/worker", slots=4, declared_slots=4, active=0, host=f"10.0.1.{number}"
    )
    return replace(plain, started_at=NOW - 3600, **changes)


def known(state: str | None, *, attempt: dict[str, Any] | None = None, **changes: Any) -> Known:
    """Return a task of a run that began a minute ago; `instance` holds changes of the task instance."""
    of_try = {"instance": ID, "number": 1, "state": state, **(attempt or {})}
    instance = Instance(
        dag="report",
        run="manual__1",
        task="load",
        map_index=-1,
        attempt=Attempt(**of_try),
        **changes.pop("instance", {}),
    )
    values = {
        "now": NOW,
        "instance": instance,
        "run": Run(state="running", started_at=NOW - 60, decided_at=NOW - 1),
        "dag": Dag(),
        "task": Task(),
        "pool": AirflowPool(slots=128, taken=0),
        "fleet": Fleet(pool=POOL, served=("default",), decisions=(Decision(t=NOW - 5, reason="No tasks", desired=1),)),
    }
    return Known(**{**values, **changes})


def fleet(**changes: Any) -> Fleet:
    decision = Decision(t=NOW - 5, reason="3 tasks wait for a slot; 3 queued + 4 active need 2", desired=2)
    return Fleet(**{"pool": POOL, "served": ("default",), "decisions": (decision,), **changes})


def queued(**changes: Any) -> Known:
    return known("queued", attempt={"queued_at": NOW - 30}, place=Place(ahead=2, queued=5), **changes)


def failed(*, ran_s: float = 40.0, **changes: Any) -> Known:
    of_try = {"queued_at": NOW - 100, "started_at": NOW - 90, "ended_at": NOW - 90 + ran_s, "host": HOST}
    return known("failed", attempt=of_try, **changes)


def ended(how: str, **values: Any) -> dict[str, End]:
    return {ID: End(instance=ID, try_number=1, t=NOW - 50, how=how, worker="00000007aaaa/worker", **values)}


def event(name: str, text: str = "", *, is_of_run: bool = False) -> tuple[Event, ...]:
    return (Event(t=NOW - 50, name=name, text=text, is_of_run=is_of_run),)


BUSY = worker(1, active=4)
OTHER_CODE = {"image_version": "1.3.0", "dags_hash": "old"}
BOTH_WELL = tuple(Upstream(task=name, states={"success": 1}) for name in ("a", "b"))
RETRYING = Attempt(instance=EARLIER, number=1, state="failed", started_at=NOW - 90, ended_at=NOW - 50, host=HOST)

# The situation, the kind of its story, its cause, and words of its headline.
SITUATIONS: list[Any] = [
    pytest.param(
        known(None, run=Run(state="queued", queued_at=NOW - 30, active_of_dag=16)),
        *(WAITS, "max_active_runs", "the DAG `report` has 16 active runs, and its `max_active_runs` allows 16, since"),
        id="its DAG has as many runs as it may",
    ),
    pytest.param(
        known(None, run=Run(state="queued", active_of_dag=3)),
        *(WAITS, "run_queued", "its run has not begun yet"),
        id="its run waits for the scheduler",
    ),
    pytest.param(
        known(None, dag=Dag(is_paused=True)), *(WAITS, "paused", "the DAG `report` is paused"), id="its DAG is paused"
    ),
    pytest.param(
        known(None, dag=Dag(is_stale=True)),
        *(WAITS, "dag_gone", "is no longer found in any DAG file"),
        id="its DAG is gone",
    ),
    pytest.param(
        known(None, run=Run(state="running", run_after=NOW + 60)),
        *(WAITS, "not_due", "not due before 2027-01-15 08:01:00 UTC"),
        id="its run is of the future",
    ),
    pytest.param(
        known(None, run=Run(state="failed", ended_at=NOW - 9)),
        *(WAITS, "run_ended", "will not run: its run has ended as failed, since"),
        id="its run has ended",
    ),
    pytest.param(
        known(None, task=Task(start_date=NOW + 3600)),
        *(WAITS, "start_date", "its `start_date` is 2027-01-15 09:00:00 UTC"),
        id="it starts on a later day",
    ),
    pytest.param(
        known(
            None,
            task=Task(upstream=(Upstream(task="b", states={"running": 1}), Upstream(task="a", states={"success": 1}))),
        ),
        *(WAITS, "upstream", "waits for `b` to succeed."),
        id="a task before it runs",
    ),
    pytest.param(
        known(
            None,
            task=Task(
                trigger_rule="all_done",
                upstream=(
                    Upstream(task="a", states={"failed": 1}),
                    Upstream(task="m", states={"none": 2, "success": 8}),
                ),
            ),
        ),
        *(WAITS, "upstream", "waits for `m` to end (its trigger rule is `all_done`)"),
        id="its trigger rule wants all to end",
    ),
    pytest.param(
        known(
            None,
            task=Task(trigger_rule="one_failed", upstream=BOTH_WELL),
        ),
        *(WAITS, "upstream", "waits for one of `a` and `b` to fail (its"),
        id="its trigger rule wants one to fail",
    ),
    pytest.param(
        known(None, task=Task(unmet={"Previous Dagrun State": "The tasks downstream of it have not run."})),
        *(WAITS, "depends_on_past", "`depends_on_past`: the same task of the run before has not succeeded"),
        id="it depends on the past",
    ),
    pytest.param(
        known(None, fleet=Fleet(schedulers=0)), *(WAITS, "no_scheduler", "no scheduler runs"), id="no scheduler runs"
    ),
    pytest.param(
        known(None, run=Run(state="running", decided_at=NOW - 300)),
        *(WAITS, "scheduler_late", "has not come to its run since 2027-01-15 07:55:00 UTC"),
        id="the scheduler is late",
    ),
    pytest.param(
        known("scheduled", pool=AirflowPool(slots=4, taken=4, holders={"report": 3}, since=NOW - 600)),
        *(WAITS, "pool_full", "all 4 slots of the pool `default_pool` are taken by `report` (3) and other DAGs (1)"),
        id="its pool is full",
    ),
    pytest.param(
        known("scheduled", pool=AirflowPool(slots=2, taken=0), instance={"pool_slots": 3}),
        *(WAITS, "pool_too_small", "needs 3 slots, and the pool `default_pool` has 2 altogether"),
        id="its pool is too small",
    ),
    pytest.param(
        known("scheduled", pool=None),
        *(WAITS, "pool_missing", "there is no pool `default_pool`"),
        id="its pool is missing",
    ),
    pytest.param(
        known("scheduled", run=Run(state="running", tasks_active=16)),
        *(WAITS, "dag_limit", "its run has 16 tasks queued or running, and the DAG's `max_active_tasks` allows 16"),
        id="its DAG has as many tasks as it may",
    ),
    pytest.param(
        known("scheduled", task=Task(unmet={"Task Concurrency": "The max task concurrency has been reached."})),
        *(WAITS, "task_limit", "as many instances of `load` run as its `max_active_tis_per_dag`"),
        id="it has as many instances as it may",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(BUSY,), booting=1, booting_since=NOW - 41, boot_takes_s=62.0)),
        *(WAITS, "booting", "all 4 slots of 1 worker are taken; a worker has been starting for 41 s, since"),
        id="a worker boots",
    ),
    pytest.param(
        queued(
            fleet=fleet(
                workers=(worker(1, state=STARTING), worker(2, state=DRAINING, active=2, **OTHER_CODE)),
            )
        ),
        *(WAITS, "deployment", "no worker takes tasks of this pool; a worker has been starting for 60 min, since"),
        id="a deployment replaces the workers",
    ),
    pytest.param(
        queued(
            fleet=fleet(workers=(BUSY, worker(2, active=4)), decisions=(Decision(t=NOW - 5, reason="at", desired=3),))
        ),
        *(WAITS, "pool_at_maximum", "all 8 slots of 2 workers are taken, and the pool `worker` has its maximum of 3"),
        id="its pool of workers is at its maximum",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(worker(1, active=1), worker(2, active=1)))),
        *(WAITS, "about_to_start", "6 slots of 2 workers are free"),
        id="a slot is free",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(worker(1, active=2, slots=2),))),
        *(WAITS, "memory_full", "memory is short: 1 worker uses 2 of 4 slots"),
        id="memory is short",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(worker(1, trouble="the broker gives nothing"),))),
        *(WAITS, "worker_trouble", "no worker of its pool takes messages: the broker gives nothing"),
        id="its worker is in trouble",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(worker(1, state=DRAINING, active=2),))),
        *(WAITS, "draining", "no worker of the pool `worker` takes new tasks: 1 worker finishes"),
        id="its workers drain",
    ),
    pytest.param(
        queued(fleet=fleet(decisions=(Decision(t=NOW - 5, reason="The pool is asleep; 1 queued + 0 active need 1"),))),
        *(WAITS, "asleep", "the workers of the pool `worker` sleep"),
        id="its pool sleeps",
    ),
    pytest.param(
        queued(fleet=fleet(workers=(BUSY,), decisions=(Decision(t=NOW - 600, reason="No tasks"),))),
        *(WAITS, "autoscaler_silent", "has decided nothing about the pool `worker` since 2027-01-15 07:50:00 UTC"),
        id="the autoscaler is silent",
    ),
    pytest.param(
        queued(fleet=Fleet(served=("default", "heavy")), instance={"queue": "havy"}),
        *(WAITS, "queue_unserved", "no pool of workers takes the queue `havy`"),
        id="no pool takes its queue",
    ),
    pytest.param(
        queued(fleet=Fleet(trouble="the broker does not answer the webserver.", pool=POOL)),
        *(WAITS, "fleet_unknown", "the broker does not answer the webserver."),
        id="the broker is away",
    ),
    pytest.param(
        known("deferred", trigger=Trigger(name="a.b.TimeDeltaTrigger", heartbeat_at=NOW - 2)),
        *(WAITS, "deferred", "for `TimeDeltaTrigger`, which a triggerer watches"),
        id="it is deferred",
    ),
    pytest.param(
        known("deferred", trigger=Trigger(name="a.T", heartbeat_at=NOW - 300)),
        *(WAITS, "triggerer_silent", "was last heard of at 2027-01-15 07:55:00 UTC"),
        id="its triggerer is silent",
    ),
    pytest.param(
        known("deferred", trigger=Trigger(name="a.T")),
        *(WAITS, "no_triggerer", "no triggerer has taken up"),
        id="no triggerer",
    ),
    pytest.param(
        known(
            "up_for_retry",
            attempt={"number": 1, "ended_at": NOW - 50},
            instance={"earlier": (RETRYING,), "max_tries": 2},
            task=Task(retry_at=NOW + 250),
        ),
        *(WAITS, "retry", "Try 1 of 3 has failed: its own code failed after 40 s. Waits 4 min for its retry, at"),
        id="it waits for its retry",
    ),
    pytest.param(
        known("up_for_reschedule", task=Task(is_sensor=True), instance={"next_poke_at": NOW + 60}),
        *(WAITS, "reschedule", "asks again at 2027-01-15 08:01:00 UTC"),
        id="a sensor waits",
    ),
    pytest.param(
        known("up_for_reschedule", instance={"next_poke_at": NOW + 60, "pokes": 1}),
        *(WAITS, "dag_missing_on_worker", "did not find the DAG or the task in the DAG file"),
        id="its worker does not find it",
    ),
    pytest.param(known("restarting"), *(WAITS, "restarting", "was cleared while it ran"), id="it was cleared"),
    pytest.param(
        known(
            "running",
            attempt={"started_at": NOW - 600, "host": "10.0.1.2"},
            instance={"heartbeat_at": NOW - 3},
            fleet=fleet(workers=(BUSY, worker(2, active=1))),
        ),
        *(RUNS, "running", "Runs on worker `00000002` for 10 min"),
        id="it runs",
    ),
    pytest.param(
        known(
            "running",
            attempt={"started_at": NOW - 600, "host": "10.0.1.2"},
            instance={"heartbeat_at": NOW - 3},
            fleet=fleet(workers=(worker(2, state=DRAINING, active=1),)),
        ),
        *(RUNS, "draining_worker", "Runs on worker `00000002`"),
        id="its worker drains",
    ),
    pytest.param(
        known(
            "running",
            attempt={"started_at": NOW - 600, "host": "10.0.1.2"},
            instance={"heartbeat_at": NOW - 3},
            fleet=fleet(
                workers=(worker(2, active=1),),
                webserver=Code(image_version="1.4.0", dags_hash="new", airflow_version="3.3.2"),
            ),
        ),
        *(RUNS, "older_code", "Runs on worker `00000002`"),
        id="its worker has older code",
    ),
    pytest.param(
        known(
            "running",
            attempt={"started_at": NOW - 600, "host": HOST},
            instance={"heartbeat_at": NOW - 100, "max_tries": 1},
            fleet=fleet(workers=(BUSY,)),
        ),
        *(DIED, "worker_lost", f"its worker on `{HOST}` is gone. It last reported at 2027-01-15 07:58:20 UTC; a retry"),
        id="its worker is gone",
    ),
    pytest.param(
        known(
            "running",
            attempt={"started_at": NOW - 600, "host": "10.0.1.1"},
            instance={"heartbeat_at": NOW - 100},
            fleet=fleet(workers=(BUSY,)),
        ),
        *(RUNS, "heartbeat_late", "it runs on worker `00000001`, but does not report"),
        id="it does not report",
    ),
    pytest.param(failed(), *(DIED, "own", "Failed: its own code failed after 40 s."), id="its own code fails"),
    pytest.param(
        failed(ends=ended(MEMORY, held=3 * GIB, limit=4 * GIB)),
        *(DIED, "memory", "`00000007` ran out of memory. It held 3,072 MiB; all tasks of a worker have 4,096 MiB"),
        id="it is ended for memory",
    ),
    pytest.param(
        failed(ends=ended(DEADLINE)),
        *(DIED, "stop_deadline", "`00000007` was stopped from outside"),
        id="its worker is stopped",
    ),
    pytest.param(
        failed(ends=ended(SUPERVISOR, error="SupervisorDied")),
        *(DIED, "supervisor", "the process that supervised it on worker `00000007` died or failed (`SupervisorDied`)"),
        id="its supervisor dies",
    ),
    pytest.param(
        failed(ends=ended(RUNNER)),
        *(DIED, "runner", "all tasks' processes on its worker `00000007` died"),
        id="the runner dies",
    ),
    pytest.param(
        failed(events=event("heartbeat timeout"), fleet=fleet(workers=(BUSY,))),
        *(DIED, "worker_lost", f"its worker (`{HOST}`) is gone, and the task was not heard of for 5 min"),
        id="its worker was lost",
    ),
    pytest.param(
        failed(events=event("heartbeat timeout"), fleet=fleet(workers=(worker(7),))),
        *(DIED, "heartbeat_lost", "was not heard of for 5 min: it, or its worker"),
        id="its heartbeat was lost",
    ),
    pytest.param(
        failed(events=event("stuck in queued tries exceeded")),
        *(DIED, "stuck_in_queue", "queued for too long"),
        id="it was stuck",
    ),
    pytest.param(
        failed(events=event("state mismatch", "Executor x reported ... Extra info: its message was lost 6 times")),
        *(DIED, "executor", "and the task itself had not: its message was lost 6 times."),
        id="its executor gives it up",
    ),
    pytest.param(
        failed(events=event("patch_task_instance", '{"new_state": "failed"}')),
        *(DIED, "by_hand", "someone set it to this state"),
        id="a person fails it",
    ),
    pytest.param(
        failed(events=event("fail task")), *(DIED, "fail_fast", "the DAG has `fail_fast`"), id="its DAG fails fast"
    ),
    pytest.param(
        failed(ran_s=61, task=Task(execution_timeout_s=60)),
        *(DIED, "timeout", "it ran for 61 s, and its `execution_timeout` is 60 s"),
        id="it takes too long",
    ),
    pytest.param(
        failed(instance={"next_method": "__fail__"}),
        *(DIED, "trigger_timeout", "did not come in time"),
        id="its trigger is late",
    ),
    pytest.param(
        failed(instance={"pokes": 3}),
        *(DIED, "dag_missing_on_worker", "did not find the DAG or the task in the DAG file, 3 times"),
        id="no worker finds it",
    ),
    pytest.param(
        known("failed", dag=Dag(import_error_at=NOW - 300)),
        *(DIED, "import_error", "its DAG file cannot be imported since 2027-01-15 07:55:00 UTC"),
        id="its file is broken",
    ),
    pytest.param(known("failed"), *(DIED, "not_started", "it never started"), id="it never started"),
    pytest.param(
        known("upstream_failed", task=Task(upstream=(Upstream(task="a", states={"failed": 1}),))),
        *(DIED, "upstream_failed", "Did not run: `a` failed"),
        id="a task before it failed",
    ),
    pytest.param(
        known("skipped", task=Task(upstream=(Upstream(task="a", states={"skipped": 1}),))),
        *(ENDED, "upstream_skipped", "Skipped: `a` was skipped"),
        id="a task before it was skipped",
    ),
    pytest.param(
        known("skipped", attempt={"started_at": NOW - 9}),
        *(ENDED, "skipped_itself", "its own code"),
        id="it skips itself",
    ),
    pytest.param(
        known("skipped", task=Task(upstream=(Upstream(task="a", states={"success": 1}),))),
        *(ENDED, "branch", "chose another branch"),
        id="another branch was chosen",
    ),
    pytest.param(known("removed"), *(ENDED, "removed", "has no task `load` any more"), id="it was removed"),
    pytest.param(
        known("success", attempt={"started_at": NOW - 9, "ended_at": NOW - 4}),
        *(ENDED, "success", "Succeeded after 5 s."),
        id="it succeeded",
    ),
    pytest.param(known("a_new_state"), *(WAITS, "unknown", "Its state is `a_new_state`"), id="a later Airflow's state"),
]


@pytest.mark.parametrize(("situation", "kind", "cause", "words"), SITUATIONS)
def test_a_situation_is_told(situation: Known, kind: str, cause: str, words: str) -> None:
    story = tell(situation)
    assert (story.kind, story.cause) == (kind, cause)
    assert words in in_text(story.headline)
    assert in_text(story.headline).endswith(".")


def test_thirty_situations_and_more_are_told_apart() -> None:
    assert len({situation.values[2] for situation in SITUATIONS}) >= 30


@pytest.mark.parametrize("situation", [pytest.param(each.values[0], id=each.id) for each in SITUATIONS])
def test_a_story_with_names_of_no_sense_stays_a_story(situation: Known) -> None:
    hostile = "x`\n<script>alert(1)</script>" * 200
    instance = replace(situation.instance, dag=hostile, task=hostile, pool=hostile, queue=hostile, run=hostile)
    record = tell(replace(situation, instance=instance)).to_record()
    texts = [record["text"], *(line["text"] for line in record["lines"])]
    assert all("\n" not in text and len(text) < 1200 and text.count("`") % 2 == 0 for text in texts)


def test_the_lines_tell_each_try_with_its_times_and_its_end() -> None:
    retried = known(
        "running",
        attempt={"number": 2, "queued_at": NOW - 30, "started_at": NOW - 20, "host": "10.0.1.1"},
        instance={"earlier": (RETRYING,), "max_tries": 1, "heartbeat_at": NOW},
        ends={EARLIER: replace(ended(DEADLINE)[ID], instance=EARLIER)},
        fleet=fleet(workers=(BUSY,)),
    )
    lines = [(line.t and NOW - line.t, in_text(line.parts)) for line in tell(retried).lines]
    assert lines == [
        (60, "Its run `manual__1` began."),
        (90, "Try 1 began on worker `00000007`."),
        (50, lines[2][1]),
        (30, "Try 2 was queued for `default`."),
        (20, "Try 2 began on worker `00000001`, 10 s after it was queued."),
    ]
    assert lines[2][1].startswith("Try 1 ended as failed: its worker `00000007` was stopped from outside")


def test_the_autoscalers_decisions_since_it_was_queued_are_told_once_each() -> None:
    decisions = tuple(
        Decision(t=NOW - age, reason=f"{what}; {age} queued", desired=2)
        for age, what in ((5, "launch"), (10, "launch"), (20, "All have a slot"), (900, "long ago"))
    )
    told = [in_text(line.parts) for line in tell(queued(fleet=fleet(workers=(BUSY,), decisions=decisions))).lines]
    assert [text for text in told if "autoscaler" in text] == [
        "The autoscaler: All have a slot; 20 queued.",
        "The autoscaler: launch; 10 queued.",
    ]


@pytest.mark.parametrize(
    ("name", "text", "seconds_before_its_end"),
    [
        pytest.param("patch_task_instance", '{"note": "look at this"}', 1, id="a note"),
        pytest.param("patch_dag_run", '{"state": "success"}', -30, id="its run is marked afterwards"),
        pytest.param("patch_task_instance", '{"new_state": "failed"}', 600, id="an earlier try was failed"),
        pytest.param("post_clear_task_instances", "{}", 1, id="another task is cleared"),
    ],
)
def test_what_someone_does_beside_its_end_is_not_taken_for_its_cause(
    name: str, text: str, seconds_before_its_end: float
) -> None:
    ended_at = NOW - 50
    beside = Event(t=ended_at - seconds_before_its_end, name=name, text=text, is_of_run=name == "patch_dag_run")
    assert tell(failed(events=(beside,))).cause == "own"


def test_the_forecast_is_told_of_what_is_to_come_only() -> None:
    situation = queued(fleet=fleet(workers=(BUSY,), expected=((NOW - 60, 9), (NOW + 120, 4))))
    told = [in_text(line.parts) for line in tell(situation).lines]
    assert [text for text in told if "forecast" in text] == [
        "The forecast expects runs that need 4 more slots at 2027-01-15 08:02:00 UTC."
    ]


def test_who_holds_a_pool_is_named_only_where_the_reader_may_see_it() -> None:
    situation = known("scheduled", pool=AirflowPool(slots=4, taken=4))
    assert "taken by other DAGs." in in_text(tell(situation).headline)


def test_a_worker_that_has_the_address_of_a_lost_one_since_is_not_taken_for_it() -> None:
    later = worker(7)
    running = known(
        "running",
        attempt={"started_at": NOW - 7200, "host": later.host},
        instance={"heartbeat_at": NOW - 100},
        fleet=fleet(workers=(later,)),
    )
    assert later.state == CONSUMING
    assert tell(running).cause == "worker_lost"


def test_each_cause_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    assert [cause for *_, cause, _ in (each.values for each in SITUATIONS) if f"`{cause}`" not in text] == []
