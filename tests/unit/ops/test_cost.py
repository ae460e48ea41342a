"""What a month costs: the arithmetic, and that nothing is forgotten."""

import copy
from dataclasses import replace

import pytest

from ops.cost import prices, telemetry
from ops.cost.__main__ import main
from ops.cost.compare import compare
from ops.cost.estimate import FREE, PRICED, TELEMETRY, Line, NoPrice, estimate
from ops.cost.fargate import Split, split
from ops.cost.load import IDLE, Load
from ops.cost.resolved import resolve_template
from project import environments
from stack.lib.services import ON_DEMAND_WEIGHTS, SPOT_WEIGHTS
from tests.support import rendered
from tests.support.rendered import in_environment

A_MONTH = 730  # hours


def dollars(lines: list[Line], resource: str) -> list[float]:
    return [round(line.usd, 2) for line in lines if line.resource == resource]


def test_a_database_with_a_standby_costs_two_servers_and_two_disks() -> None:
    hour, gb = prices.RDS_HOUR["db.m7g.large"], prices.RDS_GP3_GB_MONTH
    assert dollars(estimate(in_environment("prd"), load=IDLE), "Database") == [
        round(2 * hour * A_MONTH, 2),
        round(2 * 100 * gb, 2),
        0.4,
    ]


def test_idle_workers_are_the_fewest_and_copies_of_airflow_too() -> None:
    vcpu, gb = prices.FARGATE_VCPU_HOUR["X86_64"], prices.FARGATE_GB_HOUR["X86_64"]
    disk = 1 * prices.FARGATE_DISK_GB_HOUR  # 21 GiB, of which 20 are free
    idle = estimate(in_environment("prd"), load=IDLE)
    assert dollars(idle, "WorkerService") == [round(2 * (2 * vcpu + 8 * gb + disk) * A_MONTH, 2)]
    assert dollars(idle, "AirflowService")[0] == round(2 * (4 * vcpu + 16 * gb) * A_MONTH, 2)


@pytest.mark.parametrize(
    ("tasks_a_day", "task_s", "workers"),
    [
        (0, 0.0, 2.0),  # the fewest
        (86_400, 96.0, 10.0),  # 96 busy slots / 0.6 / 16
        (864_000, 960.0, 50.0),  # the most
    ],
)
def test_workers_follow_the_load_between_their_limits(tasks_a_day: int, task_s: float, workers: float) -> None:
    load = Load(tasks_a_day=tasks_a_day, task_s=task_s)
    assert load.workers(concurrency=16, least=2, most=50) == pytest.approx(workers)


def test_a_sleeping_environment_costs_its_awake_hours_and_its_disk() -> None:
    idle, asleep = (
        estimate(in_environment("prd"), load=replace(IDLE, awake_hours_a_week=hours)) for hours in (168.0, 42.0)
    )
    for service in ("AirflowService", "FlowerService", "WorkerService"):
        assert dollars(asleep, service)[0] == pytest.approx(dollars(idle, service)[0] / 4, abs=0.01)
    (server, disk, secret), (resting, *kept) = dollars(idle, "Database"), dollars(asleep, "Database")
    assert resting == pytest.approx(server / 4, abs=0.01)
    assert kept == [disk, secret]
    assert dollars(asleep, "Broker") == dollars(idle, "Broker")


def test_a_week_has_no_more_hours(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--env", "dev", "--awake-hours", "169"])
    assert "at most 168, the hours of a week" in capsys.readouterr().err


@pytest.mark.parametrize("environment", ["dev", "qa", "prd", "local"])
def test_every_resource_of_an_environment_has_a_price_or_is_free(environment: str) -> None:
    assert sum(line.usd for line in estimate(in_environment(environment), load=IDLE)) > 50


def test_nothing_is_both_free_and_priced() -> None:
    assert FREE & PRICED.keys() == set()


@pytest.mark.parametrize(
    ("title", "broken"),
    [
        ("Database", {"DBInstanceClass": "db.x9.huge"}),
        ("Broker", {"CacheNodeType": "cache.x9.huge"}),
    ],
)
def test_a_size_without_a_price_is_named_and_not_taken_for_free(title: str, broken: dict[str, str]) -> None:
    changed = copy.deepcopy(in_environment("dev"))
    changed["Resources"][title]["Properties"] |= broken
    with pytest.raises(NoPrice, match=next(iter(broken.values()))):
        estimate(changed, load=IDLE)


def test_a_type_without_a_price_is_named() -> None:
    with pytest.raises(NoPrice, match=r"AWS::New::Thing \(New\)"):
        estimate({"Resources": {"New": {"Type": "AWS::New::Thing"}}}, load=IDLE)


def test_rows_stand_side_by_side_with_nothing_left_out() -> None:
    left = [Line(resource="A", what="one", usd=3.0), Line(resource="A", what="two", usd=1.0)]
    right = [Line(resource="B", what="three", usd=9.0)]
    rows = compare(left, right)
    assert [(row.resource, row.what, row.left_usd, row.right_usd) for row in rows] == [
        ("B", "three", 0, 9.0),
        ("A", "one, two", 4.0, 0),
    ]


def strategy(*, base: int, spot_percent: int) -> list[dict[str, object]]:
    """Return the strategy as the template's conditions leave it."""
    on_demand: object = {"Fn::Select": [spot_percent, ON_DEMAND_WEIGHTS.split(",")]}
    return [
        {"CapacityProvider": "FARGATE", "Base": base, "Weight": on_demand if base or spot_percent < 100 else 0},
        {"CapacityProvider": "FARGATE_SPOT", "Weight": {"Fn::Select": [spot_percent, SPOT_WEIGHTS.split(",")]}},
    ]


@pytest.mark.parametrize(
    ("tasks", "base", "spot_percent", "on_demand", "spot"),
    [
        (10, 2, 0, 10, 0),
        (10, 2, 75, 4, 6),  # of the eight beyond the base, six
        (10, 0, 100, 0, 10),
        (1, 2, 100, 1, 0),  # the base is not reached
    ],
)
def test_tasks_beyond_the_base_are_split_by_the_share_of_spot(
    tasks: int, base: int, spot_percent: int, on_demand: float, spot: float
) -> None:
    assert split(tasks, strategy(base=base, spot_percent=spot_percent)) == Split(on_demand=on_demand, spot=spot)


def test_workers_on_spot_cost_less() -> None:
    template = copy.deepcopy(in_environment("prd"))
    template["Resources"]["WorkerService"]["Properties"]["CapacityProviderStrategy"] = strategy(
        base=1, spot_percent=100
    )
    vcpu, gb = prices.FARGATE_VCPU_HOUR["X86_64"], prices.FARGATE_GB_HOUR["X86_64"]
    processor, disk = 2 * vcpu + 8 * gb, 1 * prices.FARGATE_DISK_GB_HOUR
    assert dollars(estimate(template, load=IDLE), "WorkerService") == [
        round((1 + 1 / 1001) * (processor + disk) * A_MONTH, 2),  # beyond the base, on-demand keeps the least weight
        round(1000 / 1001 * (0.3 * processor + disk) * A_MONTH, 2),
    ]


def test_a_deployment_runs_old_and_new_tasks_for_as_long_as_new_ones_wait() -> None:
    vcpu, gb = prices.FARGATE_VCPU_HOUR["X86_64"], prices.FARGATE_GB_HOUR["X86_64"]
    lines = estimate(in_environment("prd"), load=Load(tasks_a_day=0, task_s=0.0, deployments_a_month=20))
    # Two copies, a quarter of an hour each time.
    assert round(20 * 0.25 * 2 * (4 * vcpu + 16 * gb), 2) in dollars(lines, "AirflowService")


def test_production_costs_more_than_development(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env", "dev", "--vs", "prd"]) == 0
    said = capsys.readouterr().out
    assert "difference" in said
    assert prices.AS_OF in said


def test_the_default_metrics_of_production_cost_at_most_a_twentieth_of_the_idle_month() -> None:
    prd = in_environment("prd")
    lines = estimate(prd, load=IDLE)
    (metrics,) = dollars(lines, TELEMETRY)
    assert 0 < metrics <= 0.05 * sum(line.usd for line in lines)
    # Two copies, each minute of the month.
    gb = 2 * 730 * 60 * telemetry.BYTES_A_MINUTE["default"] / 1e9
    assert metrics == round(gb * prices.OTEL_METRICS_GB, 2)


def test_all_metrics_cost_more_than_the_default_set_and_none_cost_nothing() -> None:
    each = telemetry.choices(in_environment("prd"), load=Load(tasks_a_day=10_000, task_s=60.0))
    assert each["metrics none"] == 0 < each["metrics default"] < each["metrics all"]
    spans = 10_000 * 365 / 12 * 1.2  # each task, and a run for five
    assert each["traces of all runs"] == pytest.approx(spans * telemetry.SPAN_BYTES / 1e9 * prices.OTEL_SPANS_GB)


@pytest.mark.parametrize(
    ("choice", "secrets", "said"),
    [
        ("none", [], []),
        ("default", [{"Name": "OTLP_RECEIVER", "ValueFrom": "arn"}], []),  # someone else's bill
        ("all", [], ["Airflow's metrics, all"]),
    ],
)
def test_what_another_receiver_gets_costs_nothing_here(
    choice: str, secrets: list[dict[str, str]], said: list[str]
) -> None:
    template = copy.deepcopy(in_environment("prd"))
    containers = template["Resources"]["AirflowTaskDefinition"]["Properties"]["ContainerDefinitions"]
    (scheduler,) = [container for container in containers if container["Name"] == "scheduler"]
    (entry,) = [entry for entry in scheduler["Environment"] if entry["Name"] == telemetry.CHOICE]
    entry["Value"] = choice
    scheduler["Secrets"] = [*scheduler["Secrets"], *secrets]
    assert [what for what, _ in telemetry.price_telemetry(template, load=IDLE)] == said


def test_an_unknown_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env", "nowhere"]) == 1
    assert capsys.readouterr().err.startswith("cost: unknown environment 'nowhere'")


def test_events_cost_a_dollar_a_million_where_there_is_a_bus() -> None:
    load = Load(tasks_a_day=10_000, task_s=60.0)
    without = estimate(in_environment("prd"), load=load)
    config = environments.load("prd")
    template = resolve_template(
        rendered.template(), given={**config.parameters, "EventBus": "default"}, region=config.region
    )
    whats = [line for line in estimate(template, load=load) if line.what.endswith("events on the bus")]
    assert [(line.resource, line.what) for line in whats] == [("AirflowService", "1.5 million events on the bus")]
    assert whats[0].usd == pytest.approx(10_000 * 365 / 12 * 5 / 1_000_000)
    assert not [line for line in without if "bus" in line.what]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("all", ["6.1 GB of task logs copied to CloudWatch"]),  # 10,000 a day of 20 KB
        ("errors", ["0.1 GB of task logs copied to CloudWatch"]),
        ("none", []),
    ],
)
def test_a_copy_of_task_logs_costs_what_cloudwatch_takes_for_its_bytes(choice: str, expected: list[str]) -> None:
    config = environments.load("prd")
    template = resolve_template(
        rendered.template(), given={**config.parameters, "TaskLogCopy": choice}, region=config.region
    )
    lines = estimate(template, load=Load(tasks_a_day=10_000, task_s=60.0))
    found = [line for line in lines if "copied" in line.what]
    assert [line.what for line in found] == expected
    assert {line.resource for line in found} <= {"WorkerService"}
