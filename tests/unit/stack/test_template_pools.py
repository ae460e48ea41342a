"""A second pool needs only a declaration: the template derives everything else."""

import json
from pathlib import Path
from typing import Any

import pytest

import template_gen
from autoscaler import report
from cfn.intrinsics import Scope, no_resources, resolve
from cfn.quotas import longest_place, longest_values, over_quota
from fleet.pools import read_pools
from ops.cost.resolved import resolve_template
from stack.lib import alarms
from stack.reference import DoesNotFit
from stack.sections.pools import DeclaredPool
from template_gen import build
from tests.support import rendered

DEFAULT = DeclaredPool(name="worker", queues=("default",))
HEAVY = DeclaredPool(
    name="heavy-sql",
    queues=("sql", "reports"),
    min=0,
    max=3,
    concurrency=2,
    cpu="4096",
    memory_mib="16384",
    spot_percent=70,
    on_demand_base=0,
)


@pytest.fixture(scope="module")
def two_pools() -> dict[str, Any]:
    return rendered.content(build((DEFAULT, HEAVY)))


def test_a_pool_has_a_service_that_runs_its_worker(two_pools: dict[str, Any]) -> None:
    service = two_pools["Resources"]["HeavySqlService"]["Properties"]
    definition = two_pools["Resources"]["HeavySqlTaskDefinition"]["Properties"]
    assert service["TaskDefinition"] == definition["Family"] == {"Fn::Sub": "${AWS::StackName}-HeavySql"}
    assert "DesiredCount" not in service
    (worker, _) = two_pools["Resources"]["HeavySqlTaskDefinition"]["Properties"]["ContainerDefinitions"]
    assert worker["Command"] == ["worker"]
    assert rendered.environment(worker)["POOL"] == "heavy-sql"


def test_a_pool_has_parameters_of_its_own(two_pools: dict[str, Any]) -> None:
    declared = ("Min", "Max", "Concurrency", "Cpu", "Memory", "SpotPercent", "OnDemandBase", "PolicyArns")
    defaults = [two_pools["Parameters"][f"HeavySql{what}"]["Default"] for what in declared]
    assert defaults == [0, 3, 2, "4096", "16384", 70, 0, ""]
    (heavy, other) = (two_pools["Resources"][f"{title}TaskRole"]["Properties"] for title in ("HeavySql", "Worker"))
    assert heavy["ManagedPolicyArns"]["Fn::If"][1] == {"Fn::Split": [",", {"Ref": "HeavySqlPolicyArns"}]}
    assert other["ManagedPolicyArns"]["Fn::If"][1] == {"Fn::Split": [",", {"Ref": "WorkerPolicyArns"}]}
    assert two_pools["Outputs"]["HeavySqlTaskRoleArn"]["Value"] == {"Fn::GetAtt": ["HeavySqlTaskRole", "Arn"]}


def test_a_pools_share_on_spot_is_its_own_and_excludes_a_launch_type(two_pools: dict[str, Any]) -> None:
    service = two_pools["Resources"]["HeavySqlService"]["Properties"]
    assert "LaunchType" not in service
    on_demand, spot = service["CapacityProviderStrategy"]
    assert (on_demand["CapacityProvider"], on_demand["Base"]) == ("FARGATE", {"Ref": "HeavySqlOnDemandBase"})
    assert spot["CapacityProvider"] == "FARGATE_SPOT"
    condition, none, weight = on_demand["Weight"]["Fn::If"]
    assert (condition, none) == ("HasHeavySqlOnlySpot", 0)
    weights = []
    for selected in (weight, spot["Weight"]):
        index, choices = selected["Fn::Select"]
        assert index == {"Ref": "HeavySqlSpotPercent"}
        separator, text = choices["Fn::Split"]
        weights.append([int(number) for number in text.split(separator)])
    assert weights[0][:100] == [10 * (100 - percent) for percent in range(100)]
    assert weights[1] == [10 * percent for percent in range(101)]


@pytest.mark.parametrize(("base", "on_demand"), [("0", 0), ("2", 2)])
def test_a_pool_that_is_all_on_spot_keeps_its_base_on_demand(base: str, on_demand: int) -> None:
    """ECS places no ECS task with a provider whose weight is 0, also not for its base."""
    given = {"ImageUri": "image:tag", "WorkerSpotPercent": "100", "WorkerOnDemandBase": base}
    template = resolve_template(rendered.template(), given=given, region=rendered.REGION)
    strategy = template["Resources"]["WorkerService"]["Properties"]["CapacityProviderStrategy"]
    placed = {
        item["CapacityProvider"]: (int(item["Base"]) if "Base" in item and int(_weight(item)) else 0)
        for item in strategy
    }
    assert placed == {"FARGATE": on_demand, "FARGATE_SPOT": 0}
    weights = {item["CapacityProvider"]: int(_weight(item)) for item in strategy}
    assert weights["FARGATE_SPOT"] == 1000
    assert weights["FARGATE"] <= 1


def _weight(item: dict[str, Any]) -> Any:
    weight = item["Weight"]
    if isinstance(weight, dict):
        index, choices = weight["Fn::Select"]
        return choices[int(index)]
    return weight


def test_the_cluster_has_the_capacity_providers_that_services_name(two_pools: dict[str, Any]) -> None:
    cluster = two_pools["Resources"]["Cluster"]["Properties"]
    assert cluster["CapacityProviders"] == ["FARGATE", "FARGATE_SPOT"]


@pytest.mark.parametrize("service", ["AirflowService", "FlowerService"])
def test_only_workers_run_on_spot(two_pools: dict[str, Any], service: str) -> None:
    properties = two_pools["Resources"][service]["Properties"]
    assert properties["LaunchType"] == "FARGATE"
    assert "CapacityProviderStrategy" not in properties


def test_the_scheduler_gets_the_list_of_all_pools(two_pools: dict[str, Any]) -> None:
    containers = rendered.containers_of(two_pools["Resources"]["AirflowTaskDefinition"]["Properties"])
    (scheduler,) = (container for container in containers if container["Name"] == "scheduler")
    text = rendered.filled(
        rendered.environment(scheduler)["POOLS"],
        **{"WorkerMin": "1", "WorkerMax": "10", "WorkerConcurrency": "16"},
        **{"HeavySqlMin": "0", "HeavySqlMax": "3", "HeavySqlConcurrency": "2"},
    )
    assert json.loads(text) == [
        {"name": "worker", "queues": ["default"], "min": 1, "max": 10, "concurrency": 16},
        {"name": "heavy-sql", "queues": ["sql", "reports"], "min": 0, "max": 3, "concurrency": 2},
    ]


def test_the_autoscaler_may_scale_every_pool(two_pools: dict[str, Any]) -> None:
    (policy,) = two_pools["Resources"]["AutoscalerRole"]["Properties"]["Policies"]
    scaling = policy["PolicyDocument"]["Statement"][0]
    assert "ecs:UpdateService" in scaling["Action"]
    names = [resource["Fn::Sub"].rpartition("/")[2] for resource in scaling["Resource"]]
    assert names == ["${AWS::StackName}-WorkerService*", "${AWS::StackName}-HeavySqlService*"]


def test_the_version_check_knows_every_pool(two_pools: dict[str, Any]) -> None:
    variables = two_pools["Resources"]["VersionCheckFunction"]["Properties"]["Environment"]["Variables"]
    assert '"heavy-sql":"${AWS::StackName}-HeavySqlService"' in variables["SERVICES"]["Fn::If"][1]["Fn::Sub"]


def test_a_second_pool_changes_nothing_of_the_first(two_pools: dict[str, Any]) -> None:
    titles = [title for title in rendered.template()["Resources"] if title.startswith("Worker")]
    assert "WorkerService" in titles
    for title in titles:
        assert two_pools["Resources"][title] == rendered.template()["Resources"][title]


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (DeclaredPool(name="worker", queues=("other",)), "two pools have the same name: Worker"),
        (DeclaredPool(name="other", queues=("default",)), "two pools have the same queue: default"),
        (DeclaredPool(name="airflow", queues=("other",)), "duplicate key"),
        (DeclaredPool(name="flower", queues=("other",)), "duplicate key"),
    ],
)
def test_pools_with_the_same_name_or_queue_are_refused(second: DeclaredPool, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        build((DEFAULT, second))


MOST_POOLS = 12


def many(count: int) -> tuple[DeclaredPool, ...]:
    """Return so many pools, the default one last, with names that leave a stack's name 24 characters."""
    return (*(DeclaredPool(name=f"heavy-{n:02}", queues=(f"heavy-{n:02}",)) for n in range(1, count)), DEFAULT)


def test_as_many_pools_fit_as_cloudformation_accepts_parameters_for() -> None:
    template = build(many(MOST_POOLS)).to_dict()
    assert over_quota(template, longest_place(template)) == []
    variables = template["Resources"]["AutoscalerFunction"]["Properties"]["Environment"]["Variables"]
    place = {"AWS::StackName": "s", "AWS::Region": "r", "AWS::Partition": "aws", "AWS::AccountId": "1"}
    scope = Scope(
        parameters={**place, **longest_values(template)},
        mappings={},
        ref=lambda title: f"arn:aws:ecs:r:1:task-definition/s-{title}:7",
        attribute=no_resources,
    )
    pools = read_pools(resolve(variables["POOLS"], scope), with_services=True)
    assert [(pool.name, pool.queues, pool.service, pool.task_definition) for pool in pools] == [
        (
            each.name,
            each.queues,
            f"s-{each.title}Service",
            f"arn:aws:ecs:r:1:task-definition/s-{each.title}:7",
        )
        for each in many(MOST_POOLS)
    ]


@pytest.mark.parametrize(
    ("count", "why"),
    [
        (MOST_POOLS + 1, "CloudFormation accepts 200 parameters"),
        (40, "CloudFormation accepts 200 parameters"),
    ],
)
def test_more_pools_are_refused_in_one_line_that_says_how_many_fit(
    count: int, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(template_gen, "POOLS", many(count))
    assert template_gen.main(["--template", str(tmp_path / "template.yaml")]) == 1
    assert capsys.readouterr().err == f"{MOST_POOLS} of {count} pools fit: {why}\n"
    assert not list(tmp_path.iterdir())


def test_pools_whose_names_make_a_functions_variables_too_long_are_refused() -> None:
    queues = [f"a-queue-with-a-rather-long-name-{n:04}" for n in range(80)]
    pools = (DEFAULT, *(DeclaredPool(name=f"p{n}", queues=tuple(queues[8 * n : 8 * n + 8])) for n in range(10)))
    with pytest.raises(DoesNotFit, match=r"the variables of AutoscalerFunction take up to 4,\d\d\d bytes"):
        build(pools)
    assert template_gen.count_fitting(pools) == 8


def test_pools_without_the_default_queue_are_refused() -> None:
    with pytest.raises(ValueError, match="no pool has the queue default"):
        build((HEAVY,))


def test_an_unconsumed_queue_raises_an_alarm_for_this_cluster() -> None:
    alarm = rendered.resources("AWS::CloudWatch::Alarm")["AlarmQueueUnconsumed"]
    assert alarm["MetricName"] == report.UNCONSUMED_QUEUES == alarms.UNCONSUMED_QUEUES
    assert alarm["Dimensions"] == [{"Name": report.CLUSTER_DIMENSION, "Value": {"Ref": "Cluster"}}]
    variables = rendered.resources("AWS::Lambda::Function")["AutoscalerFunction"]["Environment"]["Variables"]
    assert alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert variables["CLUSTER"] == {"Ref": "Cluster"}  # the function's dimension


@pytest.mark.parametrize(
    ("cpu", "memory_mib", "says"),
    [
        ("2048", "2048", "with 2048 it offers 4096, 8192, 16384 MiB"),
        ("16384", "8192", "with 16384 it offers 32768, 65536, 122880 MiB"),
        ("3000", "8192", "3000 is none of its sizes"),
    ],
)
def test_a_pool_of_a_size_that_fargate_does_not_offer_is_refused(cpu: str, memory_mib: str, says: str) -> None:
    pool = DeclaredPool(name="odd", queues=("odd",), cpu=cpu, memory_mib=memory_mib)
    with pytest.raises(ValueError, match=f"a worker of the pool odd cannot have {cpu} CPU units.*: {says}"):
        build((DEFAULT, pool))
