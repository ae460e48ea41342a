"""Flower can be left out: then nothing of it is in the template as it is deployed, and nothing refers to it."""

import json
from functools import cache
from typing import Any

import pytest

from cfn.intrinsics import references
from ops.cost.compare import compare
from ops.cost.estimate import estimate
from ops.cost.load import IDLE
from ops.cost.resolved import resolve_template
from project import environments
from tests.support import rendered

TEXTS = ("Description", "AlarmDescription", "GroupDescription", "Metadata")
# What is adapted where Flower is left out; everything else stays as it is.
ADAPTED = {"BalancerGroup", "BrokerUsers"} | {
    *("RetirementFunction", "RetirementRole", "SleeperFunction", "SleeperRole"),
    *("VersionCheckFunction", "VersionCheckRole"),
}


@cache
def with_flower(is_enabled: bool, exec_allowed: bool = True) -> dict[str, Any]:
    config = environments.load("prd")
    given = {
        **config.parameters,
        "FlowerEnabled": str(is_enabled).lower(),
        "ExecAllowed": str(exec_allowed).lower(),
        "AllowedCidrs": "10.0.0.0/8,192.168.0.0/16",
    }
    return resolve_template(rendered.template(), given=given, region=config.region)


def without_texts(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_texts(value) for key, value in node.items() if key not in TEXTS}
    return [without_texts(item) for item in node] if isinstance(node, list) else node


def test_flower_runs_unless_it_is_left_out() -> None:
    assert rendered.template()["Parameters"]["FlowerEnabled"]["Default"] == "true"
    for environment in ("local", "dev", "qa", "prd"):
        assert "FlowerService" in rendered.in_environment(environment)["Resources"]


def test_nothing_of_flower_is_left() -> None:
    left = without_texts({name: with_flower(False)[name] for name in ("Resources", "Outputs")})
    named = [path for path, value in rendered.scalars(left) if "flower" in str(value).lower()]
    assert named == []
    assert [title for title in (*left["Resources"], *left["Outputs"]) if "Flower" in title] == []
    assert "5555" not in json.dumps(left)


@pytest.mark.parametrize("exec_allowed", [False, True])
@pytest.mark.parametrize("is_enabled", [False, True])
def test_nothing_refers_to_what_is_left_out(*, is_enabled: bool, exec_allowed: bool) -> None:
    found = with_flower(is_enabled, exec_allowed)
    known = {*found["Resources"], *rendered.template()["Parameters"]}
    named = {name for each in found["Resources"].values() for name in references(each["Properties"])}
    named |= {name for each in found["Outputs"].values() for name in references(each["Value"])}
    for each in found["Resources"].values():
        after = each.get("DependsOn", [])
        named |= set(after if isinstance(after, list) else [after])
    assert {name for name in named if not name.startswith("AWS::")} - known == set()


def test_the_rest_of_the_stack_stays_as_it_is() -> None:
    with_it, without_it = (with_flower(each)["Resources"] for each in (True, False))
    assert {title for title in with_it.keys() - without_it.keys() if "Flower" not in title} == set()
    assert without_it.keys() - with_it.keys() == set()
    assert {title for title, each in without_it.items() if each != with_it[title]} == ADAPTED


def test_the_functions_do_not_expect_it() -> None:
    resources = with_flower(False)["Resources"]
    for title in ("VersionCheckFunction", "RetirementFunction"):
        services = resources[title]["Properties"]["Environment"]["Variables"]["SERVICES"]["Fn::Sub"]
        assert json.loads(services).keys() == {"airflow", "worker"}
    assert "FLOWER_SERVICE" not in resources["SleeperFunction"]["Properties"]["Environment"]["Variables"]


def test_its_cost_is_a_line_of_its_own_and_is_saved_without_it() -> None:
    rows = compare(*(estimate(with_flower(each), load=IDLE) for each in (True, False)))
    saved = {row.resource: round(row.left_usd - row.right_usd, 2) for row in rows if row.left_usd != row.right_usd}
    service = saved.pop("FlowerService")
    # 512 CPU units and 1 GiB, around the clock; beside it a secret, and eleven metrics of Container Insights.
    assert service == pytest.approx(730 * (0.5 * 0.04048 + 1 * 0.004445), abs=0.02)
    assert saved == {"BrokerFlowerSecret": 0.4, "Cluster": 3.3}
