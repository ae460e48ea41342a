"""What tasks cost, added up from rows of Airflow's real schema, in a real Postgres and Redis."""

import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

from agent.costs.ledger import Ledger, days_of_month
from agent.costs.spans import LAG_S
from agent.page.costs import read_costs
from fleet.attribution import Share, Use
from fleet.costs import DAY_S, Day, day_of
from fleet.history import STEP_S, sample_of, slot_of
from fleet.registry import costs_key, history_key
from fleet.statement import Statement, state
from tests.support.forecaster_program import Program, needs_environment, running
from tests.support.servers import PostgresServer, RedisServer

DATABASE = "costs"
LONG_S = 60.0  # for a whole month
RUN = "run"
USD_A_S = 0.04048 / 3600
MANY = 200_000

pytestmark = needs_environment


class Site:
    """Airflow's database, the broker, and a process that adds up what tasks cost. Times are seconds before `now`."""

    def __init__(self, program: Program, connection: psycopg.Connection[Any], broker: Any) -> None:
        self.ask, self.connection, self.broker = program.ask, connection, broker
        self.ledger = Ledger(broker)
        self.now = 0.0
        self._tasks = 0

    def begin(self) -> None:
        """Remove all rows and keys. Add two DAGs with a run each."""
        self.broker.flushall()
        self.connection.execute("truncate dag, dag_run, task_instance, task_instance_history cascade")
        self.now = float(int(self.ledger.now()))
        for dag, owners in (("etl", "ann"), ("ml", "bob")):
            self.ask(dags={dag: {"schedule": "@daily", "end": None, "tasks": 1}})
            self.connection.execute("update dag set owners = %s where dag_id = %s", (owners, dag))
            self.connection.execute(
                "insert into dag_run (dag_id, run_id, run_type, state, run_after) "
                "values (%s, %s, 'manual', 'running', now())",
                (dag, RUN),
            )

    def task(
        self,
        dag: str,
        ago: float,
        until: float | None,
        *,
        state: str = "success",
        host: str = "10.0.0.1",
        queue: str = "default",
        queued_ago: float | None = -1.0,
        changed_ago: float = 0.0,
        task: str | None = None,
        number: int = 1,
        table: str = "task_instance",
    ) -> str:
        """Add a try that ran from `ago` until `until` seconds before now; None for one without an end.

        `queued_ago`: None for never, -1 for a second before it started.
        """
        self._tasks += 1
        name = task or f"task{self._tasks}"
        queued = None if queued_ago is None else ago + 1 if queued_ago == -1 else queued_ago
        values: dict[str, Any] = {
            ("task_instance_id" if table == "task_instance_history" else "id"): uuid.uuid4(),
            **{"dag_id": dag, "run_id": RUN, "task_id": name, "map_index": -1, "try_number": number},
            **{"pool": "default_pool", "pool_slots": 1, "queue": queue, "state": state, "hostname": host},
            **{"queued_dttm": self._at(queued), "start_date": self._at(ago), "end_date": self._at(until)},
            "updated_at": self._at(changed_ago),
        }
        if table == "task_instance":
            values["last_heartbeat_at"] = self._at(until or 0.0)
        self.connection.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            ),
            [*values.values()],
        )
        return name

    def workers(self, number: int, *, ago: float, until: float = 0.0, pool: str = "worker") -> None:
        """Let the autoscaler have seen so many workers of a pool, every STEP_S."""
        t = self.now - ago
        while t < self.now - until:
            seen = {"t": t, "queued": 0, "active": 0, "consuming": number, "draining": 0, "desired": number}
            self.broker.hset(history_key(pool), slot_of(t), sample_of(seen))
            t += STEP_S

    def add_up(self) -> dict[str, float]:
        """Add up the whole month; return the time and memory that it took."""
        found: dict[str, float] = self.ask(costs=LONG_S)
        return found

    def days(self) -> dict[int, Day]:
        return self.ledger.read(days_of_month(self.ledger.now()))

    def statement(self) -> Statement:
        self.add_up()
        return state(self.days().values())

    def _at(self, ago: float | None) -> datetime | None:
        return None if ago is None else datetime.fromtimestamp(self.now - ago, tz=UTC)


@pytest.fixture(scope="module")
def prepared(postgres_server: PostgresServer, redis_server: RedisServer) -> Iterator[Site]:
    with (
        tempfile.TemporaryDirectory(prefix="airflow-") as home,
        running(postgres_server, database=DATABASE, broker=redis_server.url, home=home) as (program, connection),
    ):
        yield Site(program, connection, redis_server.client)


@pytest.fixture
def site(prepared: Site) -> Site:
    prepared.begin()
    return prepared


def borne(found: Statement) -> dict[str, float]:
    """Return the worker-seconds that each DAG's own tasks bear."""
    return {row.name: round(row.own_s) for row in found.dags}


def test_a_host_is_shared_by_the_tasks_that_ran_on_it_and_idle_workers_by_all(site: Site) -> None:
    site.workers(2, ago=3600, until=600)
    site.workers(0, ago=600)
    site.task("etl", 3000, 2400)  # beside the other for the last 300 s
    site.task("ml", 2700, 2100)
    site.task("ml", 1000, 900, host="10.0.0.2")
    found = site.statement()
    assert borne(found) == {"etl": 450, "ml": 550}
    # Two workers for 50 minutes, then none.
    assert found.all.worker_s == pytest.approx(2 * 3000, abs=1)
    assert sum(row.worker_s for row in found.dags) + found.unborne.worker_s == pytest.approx(found.all.worker_s)
    assert found.all.usd == pytest.approx(found.all.worker_s * USD_A_S)
    assert [(row.name, row.tasks) for row in found.owners] == [("bob", 2), ("ann", 1)]


def test_a_running_task_counts_up_to_now_and_its_further_minutes_later(site: Site) -> None:
    site.workers(1, ago=3600)
    site.task("etl", 1000, None, state="running")
    first = site.statement()
    assert 1000 - LAG_S - 60 < borne(first)["etl"] <= 1000
    assert first.dags[0].tasks == 0


def test_every_try_counts_once(site: Site) -> None:
    site.workers(1, ago=3600)
    # The first try failed; the second waits, and both tables have it: they have one number until it is scheduled.
    name = site.task("etl", 2500, 2400, state="up_for_retry", number=2)
    site.task("etl", 3000, 2900, state="failed", table="task_instance_history", task=name, number=1)
    site.task("etl", 2500, 2400, state="failed", table="task_instance_history", task=name, number=2)
    # Scheduled again, with the times of the try before.
    other = site.task("ml", 2000, 1900, state="scheduled", number=2)
    site.task("ml", 2000, 1900, state="failed", table="task_instance_history", task=other, number=1)
    found = site.statement()
    assert borne(found) == {"etl": 200, "ml": 100}
    assert {row.name: row.tasks for row in found.dags} == {"etl": 2, "ml": 1}


def test_a_deferred_task_holds_no_worker(site: Site) -> None:
    site.workers(1, ago=3600)
    site.task("etl", 3000, None, state="deferred", changed_ago=2900)
    # Deferred for a long time, then queued again.
    site.task("ml", 3000, 500, queued_ago=600)
    assert borne(site.statement()) == {"etl": 100, "ml": 100}


@pytest.mark.parametrize(
    "row",
    [
        {"queued_ago": None},  # an empty operator
        {"queue": "elsewhere"},  # of another executor
        {"state": "upstream_failed"},
        {"until": 3500},  # its clock is behind: it ends before it starts
    ],
    ids=["never-queued", "unserved-queue", "never-ran", "ends-before-it-starts"],
)
def test_what_took_no_workers_time_costs_nothing(site: Site, row: dict[str, Any]) -> None:
    site.workers(1, ago=3600)
    site.task("etl", 3000, row.pop("until", 2000), **row)
    found = site.statement()
    assert sum(row.own_s for row in found.dags) == 0
    assert found.unborne.worker_s == pytest.approx(found.all.worker_s)


def test_a_task_that_its_row_outlives_adds_nothing_to_what_the_workers_cost(site: Site) -> None:
    site.workers(1, ago=3600, until=1800)
    site.workers(0, ago=1800)
    site.task("etl", 3000, None, state="running")
    found = site.statement()
    assert found.all.worker_s == pytest.approx(1800, abs=1)
    assert borne(found)["etl"] == pytest.approx(1200, abs=1)


def test_after_redis_lost_everything_the_month_is_added_up_again(site: Site) -> None:
    site.task("etl", 10 * DAY_S, 10 * DAY_S - 600)
    site.task("ml", 3000, 2400)
    before = site.statement()
    site.broker.flushall()
    again = site.statement()
    assert borne(before) == borne(again) == {"etl": 600, "ml": 600}
    # How many workers there were is not known: only time counts in which tasks ran.
    assert again.all.worker_s == pytest.approx(1200, abs=1)
    page = read_costs(site.broker, ())
    assert "it is not known how many workers there were" in page["periods"][1]["note"]
    assert page["troubles"] == []


def test_a_second_forecaster_adds_nothing_twice(site: Site) -> None:
    site.workers(1, ago=3600)
    site.task("etl", 3000, 2000)
    assert borne(site.statement()) == borne(site.statement()) == {"etl": 1000}
    # One that read the record before the other wrote it.
    today = day_of(site.ledger.now())
    stale = Day(begin=today, until=today)
    late = stale.added({"worker": Use(shares={("x", ""): Share(worker_s=1.0)})}, {}, until=today + 1)
    assert not site.ledger.write(late, was=stale)
    assert borne(state(site.days().values())) == {"etl": 1000}


def test_a_malformed_record_is_added_up_again_and_the_page_names_it_until_then(site: Site) -> None:
    site.task("etl", 3000, 2000)
    site.add_up()
    yesterday = day_of(site.ledger.now()) - DAY_S
    site.broker.set(costs_key(yesterday), "{")
    assert len(read_costs(site.broker, ())["troubles"]) == 1
    site.add_up()
    assert read_costs(site.broker, ())["troubles"] == []


def test_the_page_shows_hours_dollars_and_shares(site: Site) -> None:
    site.workers(1, ago=3600)
    site.task("etl", 3000, 2000)
    site.add_up()
    _, month = read_costs(site.broker, ())["periods"]
    (row,) = month["dags"]
    assert row["name"] == "etl"
    assert row["worker_s"] == pytest.approx(month["all"]["worker_s"])
    assert row["usd"] == pytest.approx(row["worker_s"] * USD_A_S, abs=1e-3)
    assert row["beside"] == 1.0


def test_without_a_ledger_the_page_says_why(site: Site) -> None:
    page = read_costs(site.broker, ())
    assert page["until"] is None
    assert page["periods"][1]["dags"] == []
    if site.now - day_of(site.now) > 1200:
        assert "the forecaster" in page["troubles"][0]


@pytest.mark.slow
def test_two_hundred_thousand_task_instances_take_little_time_and_memory(site: Site) -> None:
    site.connection.execute(
        "insert into task_instance (id, dag_id, run_id, task_id, map_index, try_number, pool, pool_slots, queue, "
        "state, hostname, queued_dttm, start_date, end_date, last_heartbeat_at) "
        "select gen_random_uuid(), 'etl', 'run', 'many', n, 1, 'default_pool', 1, 'default', 'success', "
        "'10.0.' || n %% 50, t, t, t + interval '30 s', t + interval '25 s' "
        "from (select n, to_timestamp(%s) - n * interval '10 s' as t from generate_series(1, %s) as n) as rows",
        (site.now - 60, MANY),
    )
    site.connection.execute("analyze task_instance")
    took = site.add_up()
    found = state(site.days().values())
    assert found.all.tasks > MANY / 2  # those of the last 30 days
    assert took["wall_s"] < LONG_S
    assert took["memory_mib"] < 400
