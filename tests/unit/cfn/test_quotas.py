"""What a template gives to functions and roles is measured as AWS measures it, at the longest values."""

import json
from typing import Any

import pytest

from cfn import quotas
from cfn.quotas import Place, longest_place, longest_values, over_quota
from tests.support import rendered

PLACE = Place(stack_name="airflow-prd", region="eu-west-1", account="123456789012")


def function(**variables: Any) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": {"Environment": {"Variables": variables}}}


def measured(template: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **given: str) -> str:
    """Return the one line about a quota of nothing."""
    monkeypatch.setattr(quotas, "VARIABLES_BYTES", 0)
    monkeypatch.setattr(quotas, "POLICIES_CHARACTERS", 0)
    (line,) = over_quota(template, PLACE, given=given)
    return line


def test_variables_count_as_one_json_object_with_a_backslash_for_each_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambda's refusal says: "String measured:", and then this object."""
    text = '{"a":"é"}'
    size = len(r'{"NAME":"{\"a\":\"é\"}"}') + 1  # é takes two bytes
    line = measured({"Resources": {"F": function(NAME=text)}}, monkeypatch)
    assert line == f"the variables of F take up to {size} bytes, and Lambda accepts 0"


def test_the_limit_itself_is_accepted() -> None:
    room = quotas.VARIABLES_BYTES - len('{"N":""}')
    assert over_quota({"Resources": {"F": function(N="x" * room)}}, PLACE) == []
    (line,) = over_quota({"Resources": {"F": function(N="x" * (room + 1))}}, PLACE)
    assert line == "the variables of F take up to 4,097 bytes, and Lambda accepts 4,096"


@pytest.mark.parametrize(
    ("value", "longest"),
    [
        ({"Ref": "Number"}, "1000"),
        ({"Ref": "Choice"}, "longer"),
        ({"Ref": "Short"}, 8 * "x"),
        ({"Ref": "Text"}, quotas.LONGEST_TEXT * "x"),
        ({"Fn::Sub": "${AWS::StackName}-${Number}"}, "airflow-prd-1000"),
        ({"Fn::If": ["Is", "a", "longer"]}, "longer"),
        ({"Fn::If": ["Is", "longer", "a"]}, "longer"),
        ({"Ref": "Cluster"}, "airflow-prd-Cluster-xxxxxxxxxxxx"),
        ({"Fn::Select": [6, {"Fn::Split": [":", {"Ref": "Definition"}]}]}, "999999"),
        (
            {"Ref": "Secret"},
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:Secret-xxxxxxxxxxxx-xxxxxx",
        ),
    ],
)
def test_each_value_counts_at_its_longest(value: Any, longest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = {
        "Parameters": {
            "Number": {"Type": "Number", "MinValue": 1, "MaxValue": 1000, "Default": 5},
            "Choice": {"Type": "String", "AllowedValues": ["a", "longer"]},
            "Short": {"Type": "String", "MaxLength": 8},
            "Text": {"Type": "String"},
        },
        "Conditions": {"Is": {"Fn::Equals": ["a", "b"]}},
        "Resources": {
            "F": function(N=value),
            "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {}},
            "Definition": {"Type": "AWS::ECS::TaskDefinition", "Properties": {}},
            "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {}},
        },
    }
    size = len(json.dumps({"N": longest}, separators=(",", ":")))
    assert f" {size} bytes" in measured(template, monkeypatch)


def test_a_value_that_is_given_counts_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    template = {"Parameters": {"Text": {"Type": "String"}}, "Resources": {"F": function(N={"Ref": "Text"})}}
    assert longest_values(template)["Text"] == quotas.LONGEST_TEXT * "x"
    size = len('{"N":"abc"}')
    assert f" {size} bytes" in measured(template, monkeypatch, Text="abc")


def test_the_policies_of_a_role_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = {"PolicyName": "p", "PolicyDocument": {"Statement": [{"Resource": {"Fn::Sub": "${AWS::AccountId}"}}]}}
    role = {"Type": "AWS::IAM::Role", "Properties": {"Policies": [policy, policy]}}
    size = 2 * len('{"Statement":[{"Resource":"123456789012"}]}')
    line = measured({"Resources": {"R": role}}, monkeypatch)
    assert line == f"the policies of R take up to {size} characters, and IAM accepts 0"


def test_a_stacks_name_is_as_long_as_elasticaches_ids_allow() -> None:
    user = {"Type": "AWS::ElastiCache::User", "Properties": {"UserId": {"Fn::Sub": "${AWS::StackName}-worker-heavy"}}}
    group = {"Type": "AWS::ElastiCache::UserGroup", "Properties": {"UserGroupId": {"Fn::Sub": "${AWS::StackName}-b"}}}
    place = longest_place({"Resources": {"U": user, "G": group}})
    assert len(place.stack_name) + len("-worker-heavy") == quotas.ELASTICACHE_ID


def test_resources_count_with_those_that_sam_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    expanded = len(rendered.deployed()["Resources"])
    monkeypatch.setattr(quotas, "RESOURCES", expanded)
    assert over_quota(rendered.template(), PLACE) == []
    monkeypatch.setattr(quotas, "RESOURCES", expanded - 1)
    (line,) = over_quota(rendered.template(), PLACE)
    assert line.startswith(f"the template has {expanded} resources with SAM's")
