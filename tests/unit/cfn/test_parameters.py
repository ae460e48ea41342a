"""Parameter values are accepted and refused as by CloudFormation."""

from typing import Any

import pytest

from cfn.parameters import effective_values, violations
from cfn.template import TemplateError


def _template(**rule: Any) -> dict[str, Any]:
    return {"Parameters": {"Size": rule}}


@pytest.mark.parametrize(
    ("rule", "value", "why"),
    [
        ({"Type": "Number"}, "many", "Parameter 'Size' must be a number"),
        ({"Type": "Number", "MinValue": 5}, "4", "Parameter 'Size' must be a number not less than 5"),
        ({"Type": "Number", "MaxValue": 60}, "61", "Parameter 'Size' must be a number not greater than 60"),
        ({"Type": "String", "MinLength": 2}, "a", "Parameter 'Size' must contain at least 2 characters"),
        ({"Type": "String", "MaxLength": 2}, "abc", "Parameter 'Size' must contain at most 2 characters"),
        (
            {"Type": "String", "AllowedValues": [True, "x"]},
            "y",
            "Parameter 'Size' must be one of AllowedValues [true, x]",
        ),
        (
            {"Type": "String", "AllowedPattern": "[a-z]+"},
            "ab1",
            "Parameter Size failed to satisfy constraint: must match pattern [a-z]+",
        ),
        (
            {"Type": "CommaDelimitedList", "AllowedPattern": "[a-z]*"},
            "ab, 1",
            "Parameter Size failed to satisfy constraint: must match pattern [a-z]*",
        ),
        (
            {"Type": "String", "AllowedPattern": "a", "ConstraintDescription": "say a"},
            "b",
            "Parameter Size failed to satisfy constraint: say a",
        ),
        ({"Type": "List<Number>"}, "1,x", "Parameter 'Size' must be a number"),
        ({"Type": "AWS::EC2::VPC::Id"}, "", "Parameter Size must not be empty: its type is AWS::EC2::VPC::Id"),
    ],
)
def test_a_value_that_breaks_a_constraint_is_named_with_the_constraint(
    rule: dict[str, Any], value: str, why: str
) -> None:
    assert violations(_template(**rule), {"Size": value}) == [why]


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ({"Type": "Number", "MinValue": 5, "MaxValue": 60}, "5"),
        ({"Type": "Number", "MinValue": 5, "MaxValue": 60}, "60"),
        ({"Type": "String", "AllowedValues": ["x", True]}, "true"),
        ({"Type": "String", "AllowedPattern": "^$|a+"}, ""),
        ({"Type": "List<AWS::EC2::Subnet::Id>"}, "subnet-1,subnet-2"),
    ],
)
def test_a_value_within_its_constraints_passes(rule: dict[str, Any], value: str) -> None:
    assert violations(_template(**rule), {"Size": value}) == []


def test_a_default_is_checked_too() -> None:
    assert violations(_template(Type="Number", MinValue=5, Default=4), {}) == [
        "Parameter 'Size' must be a number not less than 5"
    ]


def test_a_parameter_without_value_or_default_is_missing() -> None:
    assert violations(_template(Type="String"), {}) == ["Parameters: [Size] must have values"]


def test_a_parameter_that_the_template_lacks_is_refused() -> None:
    assert violations(_template(Type="String"), {"Size": "1", "Sise": "2"}) == [
        "Parameters: [Sise] do not exist in the template"
    ]


def test_an_unknown_parameter_type_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match="type AWS::SSM::Parameter::Value<String> of parameter Size"):
        violations(_template(Type="AWS::SSM::Parameter::Value<String>"), {"Size": "x"})


def test_lists_are_split_and_trimmed() -> None:
    template = {
        "Parameters": {"Ids": {"Type": "CommaDelimitedList"}, "N": {"Type": "Number", "Default": 3}},
    }
    assert effective_values(template, {"Ids": "a, b"}) == {"Ids": ["a", "b"], "N": "3"}


RULES = {
    "Parameters": {"Vpc": {"Type": "String"}, "Subnets": {"Type": "CommaDelimitedList", "Default": ""}},
    "Rules": {
        "OwnNetwork": {
            "RuleCondition": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Vpc"}, ""]}]},
            "Assertions": [
                {
                    "Assert": {"Fn::Not": [{"Fn::Contains": [{"Ref": "Subnets"}, ""]}]},
                    "AssertDescription": "Subnets are needed with Vpc.",
                }
            ],
        }
    },
}


@pytest.mark.parametrize(
    ("vpc", "subnets", "expected"),
    [
        ("", "", []),
        ("vpc-1", "subnet-1", []),
        ("vpc-1", "", ["Template error: rule OwnNetwork: Subnets are needed with Vpc."]),
    ],
)
def test_a_rule_compares_several_parameters(vpc: str, subnets: str, expected: list[str]) -> None:
    assert violations(RULES, {"Vpc": vpc, "Subnets": subnets}) == expected
