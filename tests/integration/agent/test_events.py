"""Events on Airflow's real schema, in a real Postgres and Redis, over HTTP."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from fleet.registry import EVENTS_KEY
from local.alarms.evaluate import ALARM, OK
from project import paths
from tests.support.airflow_history import AirflowDatabase
from tests.support.airflows_python import AIRFLOWS_PYTHON, needs_airflow
from tests.support.event_bus import EventBus, event_bus
from tests.support.log_alarms import state_after
from tests.support.servers import PostgresServer, RedisServer

PROGRAM = Path(__file__).parents[2] / "support" / "airflow_events.py"
SCHEMA = json.loads((paths.ROOT / "docs" / "events.schema.json").read_text())
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/work"
# Of agent.events.process, which needs the image's environment.
TICK_EVERY_S, TICK_WITHOUT_INDEXES_EVERY_S, STANDBY_EVERY_S = 5, 60, 15

pytestmark = needs_airflow


class Program:
    """The process that sends events, which ticks on command."""

    def __init__(self, *, database: str, broker: str, bus: str, home: Path) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "EVENT_BUS": BUS,
            "STACK_NAME": "airflow-local",
            "BASE_URL": "http://airflow.example.com/",
            "AWS_ENDPOINT_URL": bus,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self.errors = home / f"{uuid.uuid4().hex}.log"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [AIRFLOWS_PYTHON, PROGRAM],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def tick(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask(tick=True)
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Site:
    """A database with one DAG, a broker, a bus, and programs that follow the database."""

    def __init__(self, database: AirflowDatabase, broker: RedisServer, bus: EventBus, folder: Path) -> None:
        self.database, self.broker, self.bus = database, broker, bus
        self._folder = folder
        self._programs: list[Program] = []

    def program(self) -> Program:
        started = Program(
            database=self.database.driver_url, broker=self.broker.url, bus=self.bus.url, home=self._folder
        )
        self._programs.append(started)
        return started

    def sql(self, statement: str, *values: Any) -> None:
        self.database.connection.execute(statement.encode(), values)

    def run(self, run_id: str, state: str) -> None:
        """Write a run as Airflow does, new or again."""
        self.sql(
            "insert into dag_run (dag_id, run_id, run_type, state, run_after, logical_date, queued_at, clear_number, "
            "log_template_id, triggered_by, updated_at) values ('dag1', %s, 'manual', 'queued', now(), now(), now(), "
            "0, 1, 'UI', now()) on conflict do nothing",
            run_id,
        )
        times = {"running": "start_date = now(),", "success": "end_date = now(),", "failed": "end_date = now(),"}
        self.sql(
            f"update dag_run set {times.get(state, '')} state = %s, updated_at = now() where run_id = %s",  # noqa: S608
            *(state, run_id),
        )

    def task(self, run_id: str, task_id: str, state: str | None, *, tried: int = 1, most: int = 0) -> None:
        """Write a task's row as Airflow does, new or again."""
        self.sql(
            "insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, max_tries, pool, "
            "pool_slots, queue, state, updated_at) values (gen_random_uuid(), 'dag1', %s, %s, -1, 0, %s, "
            "'default_pool', 1, 'default', null, now()) on conflict do nothing",
            *(run_id, task_id, most),
        )
        times: dict[str | None, str] = {"scheduled": "scheduled_dttm = now(),", "queued": "queued_dttm = now(),"}
        times |= {"running": "start_date = now(), end_date = null,", None: ""}
        self.sql(
            f"update task_instance set {times.get(state, 'end_date = now(),')} state = %s, try_number = %s, "  # noqa: S608
            "updated_at = now() where run_id = %s and task_id = %s",
            *(state, tried, run_id, task_id),
        )

    def archive(self, run_id: str, task_id: str) -> None:
        """Put the task's try into the history, as Airflow does before the next one."""
        self.sql(
            "insert into task_instance_history (task_instance_id, dag_id, run_id, task_id, map_index, try_number, "
            "max_tries, pool, pool_slots, queue, state, start_date, end_date, updated_at) select id, dag_id, run_id, "
            "task_id, map_index, try_number, max_tries, pool, pool_slots, queue, "
            "case when state = 'up_for_retry' then 'failed' else state end, start_date, end_date, updated_at "
            "from task_instance where run_id = %s and task_id = %s",
            *(run_id, task_id),
        )
        self.sql(
            "update task_instance set id = gen_random_uuid() where run_id = %s and task_id = %s", *(run_id, task_id)
        )

    def end(self) -> None:
        for each in self._programs:
            each.end()


@pytest.fixture(scope="module")
def migrated(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowDatabase]:
    """Make a database with Airflow's schema, and runs and tasks of long ago."""
    database = AirflowDatabase(postgres_server, tmp_path_factory.mktemp("home"))
    database.migrate()
    database.fill(runs=4, dags=2)
    database.connection.execute(b"update dag_run set updated_at = now() - interval '3 days'")
    database.connection.execute(b"update task_instance set updated_at = now() - interval '3 days'")
    yield database
    database.remove()


@pytest.fixture
def site(migrated: AirflowDatabase, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    """Yield the database as it is after a first deployment: what the tests before left in it is of before."""
    redis_server.client.flushdb()
    for index in ("fleet_task_instance_changes", "fleet_dag_run_changes"):
        migrated.connection.execute(f"drop index if exists {index}".encode())
    migrated.connection.execute(b"delete from dag_run where run_id in ('r', 'other')")
    with ExitStack() as stack:
        made = Site(migrated, redis_server, stack.enter_context(event_bus()), tmp_path)
        stack.callback(made.end)
        yield made


@pytest.fixture
def program(site: Site) -> Program:
    """Start a program that has sent all that there is, with the indexes."""
    started = site.program()
    assert started.ask(indexes=True) == 0
    assert started.tick()["pause_s"] == TICK_EVERY_S
    assert site.bus.told == [], "what changed before the indexes were made is not told"
    return started


def test_each_state_is_told_once_by_run_and_in_order(site: Site, program: Program) -> None:
    site.run("r", "running")
    site.task("r", "a", "running")
    program.tick()
    site.sql("update task_instance set last_heartbeat_at = now(), updated_at = now() where run_id = 'r'")
    site.sql("update dag_run set last_scheduling_decision = now(), updated_at = now() where run_id = 'r'")
    program.tick()
    assert site.bus.told == ["running", "a.1 running"]
    site.task("r", "a", "success")
    site.task("r", "b", "skipped")
    site.run("r", "success")
    program.tick()
    program.tick()
    assert site.bus.told == ["running", "a.1 running", "a.1 success", "b.1 skipped", "success"]
    assert {entry["EventBusName"] for entry in site.bus.entries} == {BUS}
    assert {entry["Source"] for entry in site.bus.entries} == {"airflow-on-ecs"}
    sequences = [each["sequence"] for each in site.bus.details]
    assert sequences == sorted(sequences)
    assert len({each["id"] for each in site.bus.details}) == 5


def test_events_are_as_the_schema_says(site: Site, program: Program) -> None:
    states = [state for state in SCHEMA["definitions"]["task"]["properties"]["state"]["enum"] if state != "removed"]
    site.run("manual__2026-12-01T00:00:00+00:00/ü \"'\n", "running")
    for number, state in enumerate(states):
        site.task("manual__2026-12-01T00:00:00+00:00/ü \"'\n", f"t{number}", state)
    program.tick()
    validator = Draft7Validator(SCHEMA)
    assert len(site.bus.details) == len(states) + 1
    assert [list(validator.iter_errors(detail)) for detail in site.bus.details] == [[]] * len(site.bus.details)
    run, task = site.bus.details[0], site.bus.details[-1]
    assert run["url"] == (
        "http://airflow.example.com/dags/dag1/runs/manual__2026-12-01T00%3A00%3A00%2B00%3A00%2F%C3%BC%20%22%27%0A"
    )
    assert task["url"] == f"{run['url']}/tasks/{task['task_id']}"
    assert list(validator.iter_errors({**task, "conf": {}})), "the schema names all fields"


def test_a_try_that_failed_between_two_ticks_is_told_before_the_next(site: Site, program: Program) -> None:
    site.run("r", "running")
    site.task("r", "a", "running", most=2)
    program.tick()
    site.task("r", "a", "up_for_retry", most=2)
    site.archive("r", "a")
    site.task("r", "a", "running", tried=2)
    site.task("r", "a", "failed", tried=2)
    site.archive("r", "a")
    site.task("r", "a", "success", tried=3)
    program.tick()
    assert site.bus.told[1:] == ["a.1 running", "a.1 up_for_retry", "a.2 up_for_retry", "a.3 success"]


def test_a_try_whose_end_was_told_is_not_told_again_when_a_person_clears_it(site: Site, program: Program) -> None:
    site.run("r", "running")
    site.task("r", "a", "failed", most=2)  # without a retry, as with AirflowFailException
    program.tick()
    site.archive("r", "a")
    site.task("r", "a", None)
    program.tick()
    assert site.bus.told == ["running", "a.1 failed"]


def test_what_appears_late_is_told(site: Site, program: Program) -> None:
    site.run("r", "running")
    program.tick()
    with site.database.server.server.superuser(site.database.name) as late:
        late.autocommit = False
        late.execute("set role airflow")
        late.execute("update dag_run set state = 'success', end_date = now(), updated_at = now() where run_id = 'r'")
        site.run("other", "running")
        for _ in range(3):
            program.tick()
        assert site.bus.told == ["running", "running"]
        kept = float(site.broker.client.get(EVENTS_KEY))  # type: ignore[arg-type]
        late.commit()
    program.tick()
    assert site.bus.told == ["running", "running", "success"]
    began = site.bus.details[0]["sequence"] / 1e6
    assert kept < began + 5


def test_while_the_bus_is_away_events_wait_and_are_told_in_order_afterwards(site: Site, program: Program) -> None:
    site.bus.is_away = True
    site.run("r", "running")
    site.task("r", "a", "success")
    assert program.tick()["sent"] == 0
    site.run("r", "success")
    program.tick()
    site.bus.is_away = False
    assert program.tick()["sent"] == 2
    assert site.bus.told == ["a.1 success", "success"]
    said = program.errors.read_text()
    assert said.count("events wait: EventBridge answers 500") == 1
    assert said.count("resolved: events wait") == 1


def test_the_alarm_on_events_that_wait_begins_and_ends(site: Site, program: Program) -> None:
    site.bus.is_away = True
    site.run("r", "success")
    lines: list[tuple[float, str]] = []
    read = 0

    def pass_minutes(until: int) -> None:
        nonlocal read
        for minute in range(len(lines), until):
            program.ask(later_s=60)
            program.tick()
            said = program.errors.read_text()
            lines.append((60.0 * minute, said[read:]))
            read = len(said)

    pass_minutes(5)
    assert state_after("AlarmEventsWaiting", lines, now=300.0) == OK
    pass_minutes(10)
    assert state_after("AlarmEventsWaiting", lines, now=600.0) == ALARM
    site.bus.is_away = False
    pass_minutes(15)
    assert site.bus.told == ["success"]
    assert state_after("AlarmEventsWaiting", lines, now=900.0) == OK


def test_a_process_that_ends_loses_nothing(site: Site, program: Program) -> None:
    site.run("r", "running")
    program.tick()
    program.process.kill()
    program.process.wait()
    site.task("r", "a", "success")
    site.run("r", "success")
    site.program().tick()
    told = site.bus.details
    assert [each["state"] for each in told][-2:] == ["success", "success"]
    # What is told again has the id that it had.
    assert len({each["id"] for each in told}) == 3


def test_a_broker_that_lost_all_lets_a_day_be_told_again(site: Site, program: Program) -> None:
    site.run("r", "running")
    site.run("r", "success")
    program.tick()
    program.process.kill()
    program.process.wait()
    site.broker.client.flushdb()
    site.bus.clear()
    site.program().tick()
    assert site.bus.told == ["success"], "but nothing of before the indexes were made"


def test_one_of_two_copies_sends_and_the_other_goes_on_when_it_ends(site: Site, program: Program) -> None:
    other = site.program()
    assert other.tick().items() >= {"pause_s": STANDBY_EVERY_S, "is_sender": False}.items()
    site.run("r", "running")
    assert (other.tick()["sent"], program.tick()["sent"]) == (0, 1)
    program.process.kill()
    program.process.wait()
    site.run("r", "success")
    assert other.tick()["is_sender"]
    assert site.bus.told[-1] == "success"


def test_without_a_bus_the_indexes_go_and_a_missing_one_is_said(site: Site, program: Program) -> None:
    count = "select count(*) from pg_indexes where indexname like 'fleet\\_%'"
    assert site.database.number(count) == 2
    site.run("r", "running")
    assert program.ask(indexes=False) == 0
    assert site.database.number(count) == 0
    answer = program.tick()
    assert (answer["pause_s"], answer["sent"]) == (TICK_WITHOUT_INDEXES_EVERY_S, 1)
    assert "an index of the database is missing, see docs/events.md" in program.errors.read_text()


def test_a_position_that_is_no_number_is_written_again(site: Site, program: Program) -> None:
    site.broker.client.set(EVENTS_KEY, "no number")
    site.run("r", "running")
    assert program.tick()["sent"] == 1
    assert float(site.broker.client.get(EVENTS_KEY)) > 0  # type: ignore[arg-type]
