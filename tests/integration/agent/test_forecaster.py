"""The forecaster on Airflow's real schema and schedule, in a real Postgres and Redis."""

import itertools
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent import heartbeat
from fleet.forecast import Forecast
from fleet.registry import Registry
from fleet.work import BrokenFile, FailedRun, LateDag, WorkReport
from local.servers.ports import free_port
from tests.support.airflows_python import AIRFLOWS_PYTHON
from tests.support.forecaster_program import Program, environment, needs_environment, running
from tests.support.past_runs import CASES, Past, at_once
from tests.support.servers import PostgresServer, RedisServer
from tests.support.waiting import eventually

DATABASE = "forecasts"
FIVE_MINUTES_S = 300
LITTLE_S = 5
LONG_AGO = datetime(2026, 2, 1, tzinfo=UTC)
PAST_S = 3600  # between two past runs
# A run of three stages: 2 tasks at once, one more after 30 s, and at the end 4 more than at any time before.
STAGES = (
    *at_once(2, ran=50),
    Past(queued=31.5, started=32, ran=10),
    *[Past(queued=151.5, started=152, ran=10)] * 7,
)

pytestmark = needs_environment


class Site:
    """Airflow's database with DAGs that run each five minutes, and a forecaster that ticks on command."""

    def __init__(self, program: Program, connection: psycopg.Connection[Any], registry: Registry) -> None:
        self.ask, self._connection, self._registry = program.ask, connection, registry
        self._numbers = itertools.count()
        self.first = 0

    def execute(self, statement: str, *arguments: Any) -> None:
        self._connection.execute(statement.encode(), arguments)

    def dag(self, *, schedule: str = "*/5 * * * *", end: str | None = None) -> str:
        """Add an unpaused DAG, as it is after the scheduler has created the last due run."""
        dag_id = f"dag{next(self._numbers)}"
        self.write(dag_id, schedule=schedule, end=end)
        return dag_id

    def write(self, dag_id: str, *, schedule: str, end: str | None = None) -> None:
        self.ask(dags={dag_id: {"schedule": schedule, "end": end, "tasks": 1}})
        at = datetime.fromtimestamp(self.first, tz=UTC)
        self.execute(
            "update dag set is_paused = false, next_dagrun = %s, next_dagrun_create_after = %s, "
            "next_dagrun_data_interval_start = %s, next_dagrun_data_interval_end = %s where dag_id = %s",
            *(at, at, at, at, dag_id),
        )

    def past(self, dag_id: str, *tasks: Past, kind: str = "scheduled", state: str = "success") -> None:
        """Add a run later than those before it."""
        number = next(self._numbers)
        due, run_id = LONG_AGO + timedelta(seconds=PAST_S * number), f"run{number}"
        self.execute(
            "insert into dag_run (dag_id, run_id, run_type, state, run_after) values (%s, %s, %s, %s, %s)",
            *(dag_id, run_id, kind, state, due),
        )
        for index, task in enumerate(tasks):
            times = (task.queued, task.started, task.started + task.ran)
            self.execute(
                "insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots, "
                "queue, state, queued_dttm, start_date, end_date) "
                "values (%s, %s, %s, 'task', %s, 1, 'default_pool', 1, %s, 'success', %s, %s, %s)",
                *(uuid.uuid4(), dag_id, run_id, index, task.queue),
                *(None if time is None else due + timedelta(seconds=time) for time in times),
            )

    def under_way(self, dag_id: str, *, due_ago_s: float, state: str = "running") -> tuple[str, int]:
        """Add a run without tasks; return its id and when it was due, in whole seconds."""
        run_id, due = f"run{next(self._numbers)}", int(self._registry.now() - due_ago_s)
        self.execute(
            "insert into dag_run (dag_id, run_id, run_type, state, run_after) "
            "values (%s, %s, 'scheduled', %s, to_timestamp(%s))",
            *(dag_id, run_id, state, due),
        )
        return run_id, due

    def tick(self) -> dict[str, Forecast | None]:
        """Run one tick of the forecaster; return the pools' forecasts."""
        self.ask(tick=True)
        return {pool: self._registry.forecast(pool) for pool in ("worker", "long")}

    def work(self) -> WorkReport:
        """Run one tick of the report on the work; return it."""
        self.ask(work=True)
        report = self._registry.work()
        assert report is not None
        return report

    def scheduled(self, dag_id: str, state: str, *, due_ago_s: float, ended_ago_s: float | None = None) -> str:
        """Add a scheduled run that was due so long ago; return its id."""
        run_id = f"run{next(self._numbers)}"
        self.execute(
            "insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, end_date) "
            "values (%s, %s, 'scheduled', %s, now() - make_interval(secs => %s), now() - make_interval(secs => %s), "
            "now() - make_interval(secs => %s))",
            *(dag_id, run_id, state, due_ago_s, due_ago_s, ended_ago_s),
        )
        return run_id

    def task(self, dag_id: str, run_id: str, task_id: str, state: str, *, failed_ago_s: float) -> None:
        """Add a task instance with the entry in the audit log that says that a try of it failed."""
        self.execute(
            "insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots, queue, "
            "state, end_date) values (%s, %s, %s, %s, -1, 1, 'default_pool', 1, 'default', %s, now())",
            *(uuid.uuid4(), dag_id, run_id, task_id, state),
        )
        for _ in range(2):  # an entry that is there twice counts once
            self.execute(
                "insert into log (dttm, dag_id, run_id, task_id, map_index, event) "
                "values (now() - make_interval(secs => %s), %s, %s, %s, -1, 'failed')",
                *(failed_ago_s, dag_id, run_id, task_id),
            )

    def begin(self) -> None:
        """Remove all DAGs. Set `first` to when a DAG that runs each five minutes is due next, or was due just now."""
        self.execute("truncate dag, dag_run, task_instance, log, import_error, job, trigger cascade")
        now = self._registry.now()
        self.first = int(now // FIVE_MINUTES_S + (now % FIVE_MINUTES_S > LITTLE_S)) * FIVE_MINUTES_S


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="airflow-") as folder:
        yield folder


@pytest.fixture(scope="module")
def prepared(postgres_server: PostgresServer, redis_server: RedisServer, home: str) -> Iterator[Site]:
    broker = redis_server.url
    with running(postgres_server, database=DATABASE, broker=broker, home=home) as (program, connection):
        yield Site(program, connection, Registry(redis_server.client))


@pytest.fixture
def site(prepared: Site, redis_server: RedisServer) -> Site:
    redis_server.client.flushall()
    prepared.begin()
    return prepared


def slots(found: dict[str, Forecast | None], pool: str = "worker") -> int:
    """Return the slots of the first forecast run; 0 when there is none."""
    forecast = found[pool]
    assert forecast is not None
    return forecast[0][1] if forecast else 0


def first_course(site: Site) -> tuple[tuple[int, int], ...]:
    """Return (seconds after the run is due, slots) of the first forecast run."""
    forecast = site.tick()["worker"]
    assert forecast is not None
    return tuple((at - site.first, slots) for at, slots in forecast if at < site.first + FIVE_MINUTES_S)


def test_every_run_of_the_next_quarter_of_an_hour_is_forecast(site: Site) -> None:
    site.past(site.dag(), *at_once(12))
    forecast = site.tick()["worker"]
    # At 10:02: 10:05, 10:10, 10:15. A run of 10:00 that is a few seconds late is the fourth.
    assert forecast is not None
    assert [slots for _, slots in forecast] == [12] * len(forecast)
    assert [at for at, _ in forecast][:3] == [site.first + step * FIVE_MINUTES_S for step in range(3)]
    assert len(forecast) <= 4


def test_more_dags_are_forecast_than_one_query_asks_for(site: Site) -> None:
    # One more than DAGS_A_QUERY, which is 50: 51 runs of 2 slots each.
    for _ in range(51):
        site.past(site.dag(), *at_once(2))
    assert slots(site.tick()) == 102


def test_each_pool_has_its_own_forecast(site: Site) -> None:
    site.past(site.dag(), *at_once(3), *at_once(2, queue="long"), *at_once(9, queue="elsewhere"))
    found = site.tick()
    assert (slots(found), slots(found, "long")) == (3, 2)


def test_a_second_writer_changes_nothing(site: Site) -> None:
    # Each copy of the ECS task `airflow` has a forecaster: each replaces the other's forecast with the same one.
    site.past(site.dag(), *at_once(3))
    assert slots(site.tick()) == slots(site.tick()) == 3


def test_an_empty_forecast_is_written_when_nothing_is_due(site: Site) -> None:
    site.past(site.dag(schedule="0 0 1 1 *"), *at_once(3))
    site.execute("update dag set next_dagrun_create_after = now() + interval '30 days'")
    assert site.tick() == {"worker": (), "long": ()}


@pytest.mark.parametrize(
    "change",
    [
        "update dag set is_paused = true",
        "update dag set is_stale = true",
        "update dag set has_import_errors = true",
        "update dag set exceeds_max_non_backfill = true",
        """update dag set allowed_run_types = '["manual"]'""",
        "update dag set next_dagrun_create_after = null",
        # Missed: the scheduler did not create it within a minute.
        "update dag set next_dagrun_create_after = now() - interval '61 s'",
    ],
)
def test_a_dag_that_the_scheduler_will_not_run_is_not_forecast(site: Site, change: str) -> None:
    site.past(site.dag(), *at_once(3))
    assert slots(site.tick()) == 3
    site.execute(change)
    assert slots(site.tick()) == 0


def test_a_run_that_is_a_little_late_is_still_expected(site: Site) -> None:
    site.past(site.dag(), *at_once(3))
    site.execute("update dag set next_dagrun_create_after = now() - interval '30 s'")
    assert slots(site.tick()) == 3


def test_no_run_is_expected_beyond_a_dags_end(site: Site) -> None:
    last = datetime.fromtimestamp(site.first, tz=UTC)
    site.past(site.dag(end=last.isoformat()), *at_once(3))
    assert site.tick()["worker"] == ((int(last.timestamp()), 3),)


def test_a_changed_schedule_is_followed(site: Site) -> None:
    dag_id = site.dag()
    site.past(dag_id, *at_once(3))
    before = site.tick()["worker"]
    site.write(dag_id, schedule="*/1 * * * *")
    after = site.tick()["worker"]
    assert before is not None
    assert after is not None
    assert [after[1][0] - after[0][0], before[1][0] - before[0][0]] == [60, FIVE_MINUTES_S]


def test_the_next_run_of_an_unreadable_dag_is_forecast(site: Site) -> None:
    site.past(site.dag(), *at_once(3))
    site.execute("""update serialized_dag set data = '{"__version": 3, "dag": {}}', dag_hash = 'changed'""")
    forecast = site.tick()["worker"]
    assert forecast is not None
    assert len(forecast) == 1


@pytest.mark.parametrize(("tasks", "course"), CASES)
def test_a_run_is_expected_to_continue_like_the_last_one(
    site: Site, tasks: Sequence[Past], course: tuple[tuple[int, int], ...]
) -> None:
    site.past(site.dag(), *tasks)
    assert first_course(site) == course


def test_the_last_ten_runs_count(site: Site) -> None:
    dag_id = site.dag()
    for count in (500, 500, 3, 3, 3, 3, 3, 3, 3, 3, 3, 23):
        site.past(dag_id, *at_once(count))
    # Of the last ten, nine times 3 and a 23: 50 / 10.
    assert slots(site.tick()) == 5


def test_each_stage_is_the_mean_of_past_runs(site: Site) -> None:
    # Three runs, of 4, 4 and 7 tasks; in two of them 3 and 6 more after 30 s: 15 / 3 and 9 / 3.
    dag_id = site.dag()
    for first, later in ((4, 0), (4, 3), (7, 6)):
        site.past(dag_id, *at_once(first, ran=200), *[Past(queued=31.5, started=32, ran=10)] * later)
    assert first_course(site) == ((0, 5), (30, 3))


def test_a_run_without_a_task_on_the_queue_counts_as_none(site: Site) -> None:
    dag_id = site.dag()
    for count in (30, 0, 0, 0, 0, 0, 0, 0, 0, 0):
        site.past(dag_id, *at_once(count))
    assert slots(site.tick()) == 3


def test_the_later_stages_of_a_run_under_way_are_expected(site: Site) -> None:
    dag_id = site.dag(schedule="0 0 1 1 *")
    site.past(dag_id, *STAGES)
    site.execute("update dag set next_dagrun_create_after = now() + interval '30 days'")
    _, due = site.under_way(dag_id, due_ago_s=100)
    # At 0, 30 and 150 s. Rises of a minute ago are past.
    assert site.tick()["worker"] == ((due + 150, 4),)


def test_a_run_that_waits_for_its_turn_is_under_way(site: Site) -> None:
    dag_id = site.dag(schedule="0 0 1 1 *")
    site.past(dag_id, *STAGES)
    site.execute("update dag set next_dagrun_create_after = now() + interval '30 days'")
    _, due = site.under_way(dag_id, due_ago_s=10, state="queued")
    assert site.tick()["worker"] == ((due, 2), (due + 30, 1), (due + 150, 4))


def test_a_run_created_between_two_queries_counts_once(site: Site) -> None:
    # As between two statements: the run is under way, and still the next one in the DAG's row.
    dag_id = site.dag(schedule="0 0 1 1 *")
    site.past(dag_id, *STAGES)
    _, due = site.under_way(dag_id, due_ago_s=10)
    site.execute("update dag set next_dagrun_create_after = to_timestamp(%s)", due)
    assert site.tick()["worker"] == ((due, 2), (due + 30, 1), (due + 150, 4))


@pytest.mark.parametrize(
    "change",
    [
        "update dag set is_paused = true",
        "update dag set is_stale = true",
        "update dag_run set state = 'success' where run_id = %s",
        "update dag_run set state = 'failed' where run_id = %s",
        "update dag_run set run_type = 'manual' where run_id = %s",
        "update dag_run set run_type = 'backfill' where run_id = %s",
        # Beyond the window: past runs do not show what it still needs.
        "update dag_run set run_after = now() - interval '301 s' where run_id = %s",
    ],
)
def test_a_run_that_does_not_continue_adds_nothing(site: Site, change: str) -> None:
    dag_id = site.dag(schedule="0 0 1 1 *")
    # The run that lasts longest, so that only the change can be the reason.
    site.past(dag_id, Past(queued=1, started=1.5, ran=500), Past(queued=300, started=301, ran=10))
    site.execute("update dag set next_dagrun_create_after = now() + interval '30 days'")
    run_id, due = site.under_way(dag_id, due_ago_s=100)
    assert site.tick()["worker"] == ((due + 285, 1),)
    site.execute(change, *([run_id] if "%s" in change else []))
    assert site.tick()["worker"] == ()


@pytest.mark.parametrize(
    ("kind", "state"), [("manual", "success"), ("backfill", "success"), ("scheduled", "running"), ("scheduled", None)]
)
def test_only_finished_scheduled_runs_count_as_past_runs(site: Site, kind: str, state: str) -> None:
    dag_id = site.dag()
    site.past(dag_id, *at_once(3))
    site.past(dag_id, *at_once(40), kind=kind, state=state)
    assert slots(site.tick()) == 3


def test_a_failed_run_counts_as_a_past_run(site: Site) -> None:
    dag_id = site.dag()
    site.past(dag_id, *at_once(3), state="failed")
    assert slots(site.tick()) == 3


MINUTE_S, HOUR_S = 60, 3600


def test_where_nothing_happened_everything_is_zero_and_no_component_lives(site: Site) -> None:
    report = site.work()
    counts = (report.task_failures, report.run_failures, report.run_successes, report.late, report.import_errors)
    assert (counts, report.delay_s, report.triggers, report.capacity) == ((0, 0, 0, 0, 0), 0, 0, 0)
    assert report.silent == ("scheduler", "dag-processor", "triggerer")


def test_failed_runs_of_the_window_are_counted_and_named_with_their_first_failed_task(site: Site) -> None:
    dag = site.dag()
    # One that was cleared long after it was due, and failed again.
    recent = site.scheduled(dag, "failed", due_ago_s=90 * 24 * HOUR_S, ended_ago_s=5 * MINUTE_S)
    bare = site.scheduled(dag, "failed", due_ago_s=10 * MINUTE_S, ended_ago_s=MINUTE_S)
    site.scheduled(dag, "failed", due_ago_s=30 * MINUTE_S, ended_ago_s=16 * MINUTE_S)
    site.scheduled(dag, "success", due_ago_s=29 * MINUTE_S, ended_ago_s=2 * MINUTE_S)
    site.task(dag, recent, "load", "failed", failed_ago_s=5 * MINUTE_S)
    site.task(dag, recent, "extract", "success", failed_ago_s=5 * MINUTE_S)
    report = site.work()
    assert (report.run_failures, report.run_successes) == (2, 1)
    assert [(run.dag, run.run, run.task) for run in report.failed_runs] == [(dag, bare, ""), (dag, recent, "load")]
    assert isinstance(report.failed_runs[0], FailedRun)


def test_failed_tasks_of_the_window_are_counted_once_unless_they_are_retried_or_cleared(site: Site) -> None:
    dag = site.dag()
    run = site.scheduled(dag, "running", due_ago_s=HOUR_S)
    site.task(dag, run, "failed", "failed", failed_ago_s=14 * MINUTE_S)
    site.task(dag, run, "earlier", "failed", failed_ago_s=16 * MINUTE_S)
    site.task(dag, run, "retried", "up_for_retry", failed_ago_s=MINUTE_S)
    site.task(dag, run, "cleared", "success", failed_ago_s=MINUTE_S)
    assert site.work().task_failures == 1


def test_a_dag_that_has_missed_its_intervals_is_late_unless_its_tag_allows_it_or_it_is_paused(site: Site) -> None:
    late, patient, paused, manual = (site.dag(schedule="0 * * * *") for _ in range(4))
    for dag in (late, patient, paused, manual):
        site.scheduled(dag, "success", due_ago_s=4 * HOUR_S, ended_ago_s=4 * HOUR_S)
        for hours in (3, 2, 1):
            site.scheduled(
                dag, "failed", due_ago_s=hours * HOUR_S - MINUTE_S, ended_ago_s=hours * HOUR_S - 2 * MINUTE_S
            )
    site.execute("insert into dag_tag (name, dag_id) values ('expect:3', %s)", patient)
    site.execute("update dag set is_paused = true where dag_id = %s", paused)
    site.execute("update dag_run set run_type = 'manual' where dag_id = %s and state = 'failed'", manual)
    site.execute("update dag set next_dagrun_create_after = now() + interval '1 minute'")
    assert site.work().late_dags == (LateDag(dag=late, missed=2, expected=2),)
    # The next run is due and not created: one more interval has ended.
    site.execute("update dag set next_dagrun_create_after = now() - interval '1 minute'")
    assert [(each.dag, each.missed) for each in site.work().late_dags] == [(late, 3), (patient, 3)]


def test_import_errors_are_counted_and_named_by_file_and_exception(site: Site) -> None:
    trace = "Traceback:\n  File x\nModuleNotFoundError: No module named 'secret-password'\n"
    for file in ("b.py", "a.py"):
        site.execute(
            "insert into import_error (bundle_name, filename, stacktrace) values ('dags', %s, %s)", file, trace
        )
    report = site.work()
    assert report.import_errors == 2
    assert report.broken_files == tuple(
        BrokenFile(bundle="dags", file=file, error="ModuleNotFoundError") for file in ("a.py", "b.py")
    )


@pytest.mark.parametrize(
    ("change", "delay_s"),
    [
        ("update dag set next_dagrun_create_after = now() - interval '100 s'", 100),
        ("update dag set next_dagrun_create_after = now() - interval '100 s', is_paused = true", 0),
        ("update dag set next_dagrun_create_after = now() - interval '100 s', exceeds_max_non_backfill = true", 0),
        ("""update dag set next_dagrun_create_after = now() - interval '100 s', allowed_run_types = '["manual"]'""", 0),
        ("update dag_run set state = 'running', last_scheduling_decision = now() - interval '50 s'", 50),
        ("update dag_run set state = 'queued', last_scheduling_decision = now() - interval '50 s'", 0),
    ],
)
def test_the_delay_is_that_of_the_run_that_has_waited_longest_for_the_scheduler(
    site: Site, change: str, delay_s: float
) -> None:
    site.scheduled(site.dag(), "success", due_ago_s=HOUR_S)
    site.execute("update dag set next_dagrun_create_after = now() + interval '1 minute'")
    site.execute(change)
    assert site.work().delay_s == pytest.approx(delay_s, abs=5)


def test_the_slowest_file_bundles_that_are_not_parsed_and_the_load_of_triggerers(site: Site) -> None:
    for dag, seconds, minutes in ((site.dag(), 1.5, 5), (site.dag(), 30.5, 16)):
        site.execute(
            "update dag set last_parse_duration = %s, relative_fileloc = %s, "
            "last_parsed_time = now() - make_interval(mins => %s) where dag_id = %s",
            *(seconds, f"{dag}.py", minutes, dag),
        )
    for kind, seconds in (("SchedulerJob", 5), ("DagProcessorJob", 61), ("TriggererJob", 5), ("TriggererJob", 6)):
        site.execute(
            "insert into job (job_type, state, latest_heartbeat) "
            "values (%s, 'running', now() - make_interval(secs => %s))",
            *(kind, seconds),
        )
    site.execute(
        "insert into trigger (classpath, kwargs, created_date) select 'x', '', now() from generate_series(1, 500)"
    )
    report = site.work()
    ((slowest,), (bundle,)) = report.slowest, report.bundles
    assert (slowest.seconds, report.parse_s) == (30.5, 30.5)
    assert bundle.age_s == pytest.approx(5 * MINUTE_S, abs=5)
    assert (report.triggers, report.capacity, report.triggerer_load) == (500, 2000, 25)
    assert report.silent == ("dag-processor",)
    site.execute("update dag set last_parsed_time = now() - interval '16 minutes'")
    assert site.work().silent == ("dag-processor", "bundle dags")


def test_the_forecaster_cannot_write_to_airflows_database(site: Site) -> None:
    assert "read-only transaction" in site.ask(sql="create table mine (id int)")


def test_one_connection_is_kept_and_made_again_when_the_server_has_ended_it(site: Site) -> None:
    backend = site.ask(sql="select pg_backend_pid()")
    assert site.ask(sql="select pg_backend_pid()") == backend
    site.execute("select pg_terminate_backend(%s)", int(backend))
    other = site.ask(sql="select pg_backend_pid()")
    assert other.isdigit()
    assert other != backend
    assert site.ask(sql="show default_transaction_read_only") == "on"


def test_postgres_ends_a_query_that_takes_long(site: Site) -> None:
    assert site.ask(sql="show statement_timeout") == "5s"


def test_the_forecaster_keeps_running_without_its_database(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.client.flushall()
    nobody = f"postgresql+psycopg2://user:secret-password@127.0.0.1:{free_port()}/none"
    variables = environment(database=nobody, broker=redis_server.url, home=str(tmp_path))
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [AIRFLOWS_PYTHON, "-m", "agent.forecaster"], env=variables, stdout=output, stderr=output
        ) as process,
    ):
        assert eventually(lambda: "nothing can be forecast" in log.read_text(), within_s=60)
        assert "Airflow's work is not reported" in log.read_text()
        assert process.poll() is None
        # Its container works, so it is healthy.
        assert eventually(
            lambda: heartbeat.age_s({"AIRFLOW_HOME": str(tmp_path)}, heartbeat.FORECASTER) is not None, within_s=60
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert Registry(redis_server.client).forecast("worker") is None
    assert Registry(redis_server.client).work() is None
    assert "secret-password" not in log.read_text()


ENDLESS = """
import time
from agent.forecaster import process

def tick(_forecaster):
    print("a tick begins", flush=True)
    time.sleep(3600)

process.Forecaster.tick = tick
process.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_forecaster_in_the_middle_of_a_tick(tmp_path: Path, number: signal.Signals) -> None:
    variables = environment(database="postgresql+psycopg2://", broker="redis://127.0.0.1:1/0", home=str(tmp_path))
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen([AIRFLOWS_PYTHON, "-c", ENDLESS], env=variables, stdout=output, stderr=output) as process,
    ):
        try:
            assert eventually(lambda: "a tick begins" in log.read_text(), within_s=60)
            process.send_signal(number)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
