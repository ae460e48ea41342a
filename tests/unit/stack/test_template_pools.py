"""A second pool needs only a declaration: the template derives everything else."""

import json
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from autoscaler import report
from ops.cost.resolved import resolve_template
from stack.lib import alarms
from stack.render import render
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
    parsed: dict[str, Any] = yaml_parse(render(build((DEFAULT, HEAVY))))
    return parsed


def test_a_pool_has_a_service_that_runs_its_worker(two_pools: dict[str, Any]) -> None:
    service = two_pools["Resources"]["HeavySqlService"]["Properties"]
    definition = two_pools["Resources"]["HeavySqlTaskDefinition"]["Properties"]
    assert service["TaskDefinition"] == definition["Family"] == {"Fn::Sub": "${AWS::StackName}-HeavySql"}
    assert "DesiredCount" not in service
    (worker, _) = two_pools["Resources"]["HeavySqlTaskDefinition"]["Properties"]["ContainerDefinitions"]
    assert worker["Command"] == ["worker"]
    assert rendered.environment(worker)["POOL"] == "heavy-sql"


def test_a_pool_has_parameters_of_its_own(two_pools: dict[str, Any]) -> None:
    declared = ("Min", "Max", "Concurrency", "Cpu", "Memory", "SpotPercent", "OnDemandBase")
    defaults = [two_pools["Parameters"][f"HeavySql{what}"]["Default"] for what in declared]
    assert defaults == [0, 3, 2, "4096", "16384", 70, 0]


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
    template = resolve_template(rendered.parsed(), given=given, region=rendered.REGION)
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
    assert '"heavy-sql":"${AWS::StackName}-HeavySqlService"' in variables["SERVICES"]["Fn::Sub"]


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
