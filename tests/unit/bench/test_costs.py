"""What a history's tasks would cost: a simulated week adds up, the printed lines, and what is refused."""

import csv
import gzip
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from autoscaler.policy import Policy
from bench.costs.command import main
from bench.costs.settings import PoolSettings, Settings, read_settings
from bench.costs.simulated import days_of
from bench.loads.load import Load, LoadError
from bench.loads.payers import PaidTask, read_payers
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.sim.boots import Boots
from bench.sim.trial import Setting, run_course, run_trial
from fleet.costs import DAY_S
from fleet.pools import Pool
from fleet.statement import state
from ops.cost.fargate import HourPrices

MONDAY = datetime(2026, 11, 16, 5, tzinfo=UTC)
COLUMNS = ("dag_id", "owners", "queue", "queued_dttm", "start_date", "end_date")
PRICES = HourPrices(on_demand_usd=0.1, spot_usd=0.03, strategy=())
BOOTS = Boots()


def a_week(*, tasks: int = 1500, seed: int = 5) -> list[PaidTask]:
    """Return tasks of twelve DAGs of three owners, with bursts in the morning; some run beyond midnight."""
    dice = random.Random(seed)
    made = []
    for number in range(tasks):
        dag = number % 12
        hour = dice.uniform(0, 24) if dag % 3 else dice.gauss(5, 0.2)
        ran_s = 20_000.0 if number % 200 == 0 else dice.expovariate(1 / 90)
        queued = MONDAY.timestamp() + DAY_S * dice.randrange(7) + 3600 * hour
        queue = "big" if dag == 11 else "default"
        made.append(PaidTask(payer=(f"dag{dag}", f"owner{dag % 3}"), queue=queue, queued=queued, ran_s=ran_s))
    return sorted(made, key=lambda task: task.queued)


def pool(name: str, *queues: str, minimum: int = 0) -> PoolSettings:
    policy = Policy(minimum=minimum, maximum=50, concurrency=8)
    declared = Pool(name=name, queues=queues, minimum=minimum, maximum=50, concurrency=8)
    return PoolSettings(pool=declared, policy=policy, prices=PRICES)


SETTINGS = Settings(name="test", pools=(pool("worker", "default"), pool("big", "big", minimum=1)), poll_s=15.0)


def test_the_costs_of_a_simulated_weeks_dags_add_up_to_what_its_workers_cost() -> None:
    tasks = a_week()
    found = state(days_of(tasks, SETTINGS, boots=BOOTS, seed=1))
    # What the simulation itself bills, pool by pool. The second pool's fewest worker runs on when its tasks have ended.
    billed_s, until = 0.0, []
    for each in SETTINGS.pools:
        own = [task for task in tasks if task.queue in each.pool.queues]
        load = Load(
            name="own", arrivals=[t.queued - tasks[0].queued for t in own], durations=[task.ran_s for task in own]
        )
        setting = Setting(slots=8, minimum=each.policy.minimum, maximum=50, boots=BOOTS)
        outcome = run_trial(OwnAutoscaler(each.policy, period_s=15.0), load=load, setting=setting, seed=1)
        billed_s += 3600 * outcome.worker_hours
        course = run_course(OwnAutoscaler(each.policy, period_s=15.0), load=load, setting=setting, seed=1)
        assert sum(end - launch for launch, end in course.lives) == pytest.approx(3600 * outcome.worker_hours)
        until.append(course.until)
    billed_s += max(until) - until[1]
    assert found.all.worker_s == pytest.approx(billed_s, rel=1e-9)
    by_dag = sum(row.worker_s for row in found.dags) + found.unborne.worker_s
    assert by_dag == pytest.approx(billed_s, rel=1e-9)  # the aim was 1 %
    assert sum(row.usd or 0.0 for row in found.dags) + (found.unborne.usd or 0.0) == pytest.approx(billed_s / 36_000)
    assert found.all.tasks == len(tasks)
    assert found.all.task_s == pytest.approx(sum(task.ran_s for task in tasks))


def test_a_pool_without_tasks_costs_its_fewest_workers_which_no_dag_bears() -> None:
    tasks = [replace(task, queue="default") for task in a_week(tasks=50)]
    found = state(days_of(tasks, SETTINGS, boots=BOOTS, seed=1))
    lasted_s = max(task.queued for task in tasks) - tasks[0].queued
    assert found.unborne.worker_s >= lasted_s


def write(path: Path, tasks: list[PaidTask], *, without: str = "") -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        rows = csv.writer(file)
        kept = [column for column in COLUMNS if column != without]
        rows.writerow(kept)
        for task in tasks:
            queued = datetime.fromtimestamp(task.queued, tz=UTC)
            times = (queued, queued + timedelta(seconds=1), queued + timedelta(seconds=1 + task.ran_s))
            values = dict(zip(COLUMNS, (*task.payer, task.queue, *map(str, times)), strict=True))
            rows.writerow([values[column] for column in kept])
    return path


def test_a_history_is_read_as_it_was_exported(tmp_path: Path) -> None:
    tasks = a_week(tasks=20)
    found = read_payers(write(tmp_path / "history.csv.gz", tasks))
    assert [(task.payer, task.queue) for task in found] == [(task.payer, task.queue) for task in tasks]
    assert [task.ran_s for task in found] == pytest.approx([task.ran_s for task in tasks], abs=1e-4)
    assert read_payers(write(tmp_path / "h.csv", tasks, without="owners"))[0].payer == (tasks[0].payer[0], "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "lacks these columns of Airflow's task_instance: dag_id, queue, queued_dttm, start_date, end_date"),
        ("arrival_s,duration_s\n1,2\n", "lacks these columns"),
        (f"{','.join(COLUMNS)}\n", "has no task that ended"),
        (f"{','.join(COLUMNS)}\na,o,default,2026-11-16,2026-11-16,\n", "has no task that ended"),
        (f"{','.join(COLUMNS)}\na,o,default,2026-11-16,soon,2026-11-16\n", "line 2: start_date is 'soon', not a time"),
    ],
    ids=["empty", "other-columns", "no-task", "running", "no-time"],
)
def test_what_is_no_history_is_refused_in_one_line(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    assert main([str(path), "--env", "prd"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert why in said[0]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--env", "nowhere"], "nowhere"),
        (["--env", "prd", "--vs-rev", "no-such-revision"], "git has no"),
        (["--env", "prd", "--boot-median", "100", "--boot-p95", "50"], "below --boot-median"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    more: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "history.csv", a_week(tasks=5))
    assert main([str(path), *more]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert why in said[0]


def test_a_queue_that_no_pool_serves_is_named_and_a_history_of_such_only_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = a_week(tasks=24)
    assert main([str(write(tmp_path / "h.csv", tasks)), "--env", "prd"]) == 0
    assert "2 tasks of queues that no pool of prd serves: big." in capsys.readouterr().out
    alone = [task for task in tasks if task.queue == "big"]
    assert main([str(write(tmp_path / "h.csv", alone)), "--env", "prd"]) == 1
    assert "no pool of prd serves a queue of the history" in capsys.readouterr().err


def test_lines_fit_80_characters_and_a_difference_is_that_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long_name = "d" * 200
    tasks = [
        replace(task, payer=(long_name, "o") if n % 9 == 0 else task.payer) for n, task in enumerate(a_week(tasks=60))
    ]
    path = write(tmp_path / "history.csv", tasks)
    assert main([str(path), "--env", "prd"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines()[2:])) <= 80
    assert "100.0%" in out
    assert main([str(path), "--env", "prd", "--vs", "prd"]) == 0
    same = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in same if line.split()[:1] == ["all"]] == ["+0.00", "+0.00"]
    assert main([str(path), "--env", "prd", "--vs", "dev"]) == 0
    (other, _) = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["all"]]
    left, right, difference = (float(text.replace(",", "")) for text in other[1:])
    assert difference == pytest.approx(right - left, abs=0.02)
    assert difference != 0


def test_the_settings_are_those_of_the_environment() -> None:
    settings = read_settings("prd", None)
    (worker,) = settings.pools
    assert (worker.policy.minimum, worker.policy.maximum) == (worker.pool.minimum, worker.pool.maximum)
    assert worker.policy.concurrency == worker.pool.concurrency
    assert worker.prices.mean_usd(1.0) > 0.1
    assert settings.poll_s == 5.0


def test_a_file_that_is_missing_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError):
        read_payers(tmp_path / "missing.csv")
