"""Functions, references and conditions of a template have the values that CloudFormation gives them."""

from typing import Any

import pytest

from cfn.intrinsics import Scope, conditions_of, references, resolve, resolve_ifs
from cfn.template import TemplateError, parse

RESOURCES = {"Vpc": {"": "vpc-1", "Arn": "arn:vpc"}, "Db": {"": "db-1", "Endpoint.Port": "5432"}}


def _attribute(name: str, wanted: str) -> Any:
    if wanted not in RESOURCES[name]:
        raise TemplateError(f"no {wanted}")
    return RESOURCES[name][wanted]


SCOPE = Scope(
    parameters={"AWS::Region": "eu-central-1", "Name": "x", "Zones": ["a", "b"]},
    mappings={"Sizes": {"small": {"cpu": 256}}},
    ref=lambda name: RESOURCES[name][""],
    attribute=_attribute,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!Ref Vpc", "vpc-1"),
        ("!Ref Zones", ["a", "b"]),
        ("!GetAtt Db.Endpoint.Port", "5432"),
        ("{'Fn::GetAtt': [Db, Endpoint, Port]}", "5432"),
        ("!Sub '${Name}-${Vpc}-${Db.Endpoint.Port}-${!Literal}'", "x-vpc-1-5432-${Literal}"),
        ("!Sub ['${A}/${Name}', {A: !GetAtt Vpc.Arn}]", "arn:vpc/x"),
        ("!Join ['-', [a, !Ref Name, 3]]", "a-x-3"),
        ("!Select [1, !Ref Zones]", "b"),
        ("!Select ['0', !Split [',', 'q,r']]", "q"),
        ("!FindInMap [Sizes, small, cpu]", 256),
        ("!GetAZs ''", ["eu-central-1a", "eu-central-1b", "eu-central-1c"]),
        ("!Cidr [10.0.0.0/16, 2, 8]", ["10.0.0.0/24", "10.0.1.0/24"]),
        ("!Base64 hi", "aGk="),
        ("{Condition: {StringEquals: {a: !Ref Name}}}", {"Condition": {"StringEquals": {"a": "x"}}}),
    ],
)
def test_a_function_has_its_value(written: str, value: Any) -> None:
    assert resolve(parse(f"Value: {written}")["Value"], SCOPE) == value


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("!Ref Nothing", r"Unresolved resource dependencies \[Nothing\]"),
        ("!GetAtt Nothing.Arn", "undefined resource Nothing"),
        ("!GetAtt Vpc.Colour", "no Colour"),
        ("!Sub '${Nothing}'", r"\[Nothing\]"),
        ("!Select [7, !Ref Zones]", "nonexistent value at index 7"),
        ("!FindInMap [Sizes, large, cpu]", "Sizes::large::cpu"),
        ("!ImportValue other", "does not support the function Fn::ImportValue"),
        ("{'Fn::ToJsonString': 1}", "does not support the function Fn::ToJsonString"),
    ],
)
def test_an_unknown_name_or_function_is_refused_by_name(written: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        resolve(parse(f"Value: {written}")["Value"], SCOPE)


def test_a_condition_compares_text_and_may_refer_to_others() -> None:
    template = parse(
        """
        Conditions:
          Both: !And [!Condition IsLarge, !Not [!Condition IsOff]]
          IsLarge: !Equals [!Ref Size, 3]
          IsOff: !Equals [!Ref On, 'false']
          Either: !Or [!Condition IsOff, !Equals [a, b]]
        """
    )
    assert conditions_of(template, parameters={"Size": "3", "On": "true"}) == {
        "Both": True,
        "IsLarge": True,
        "IsOff": False,
        "Either": False,
    }


def test_a_condition_may_not_depend_on_itself() -> None:
    template = parse("Conditions: {A: !Not [!Condition B], B: !Not [!Condition A]}")
    with pytest.raises(TemplateError, match="circular condition dependency: A -> B -> A"):
        conditions_of(template, parameters={})


def test_resolve_ifs_keeps_the_chosen_branch_and_drops_no_value() -> None:
    node = parse(
        """
        Kept: !If [Large, 1, !Ref Nothing]
        Dropped: !If [Small, 1, !Ref AWS::NoValue]
        List: [!If [Small, a, !Ref AWS::NoValue], b]
        Deep: !If [Large, {Inner: !If [Small, 1, 2]}, 3]
        """
    )
    assert resolve_ifs(node, {"Large": True, "Small": False}) == {"Kept": 1, "List": ["b"], "Deep": {"Inner": 2}}


def test_resolve_ifs_refuses_a_condition_that_is_not_defined() -> None:
    with pytest.raises(TemplateError, match="Unresolved condition Maybe"):
        resolve_ifs({"Fn::If": ["Maybe", 1, 2]}, {})


def test_references_are_found_in_every_form() -> None:
    node = parse(
        """
        Value:
          - !Ref A
          - !GetAtt B.Arn
          - !Sub '${C} ${D.Arn} ${!E} ${F}'
          - !Sub ['${G}', {G: !Ref H}]
          - {x: !Join ['', [!Ref I]]}
        """
    )
    assert set(references(node)) == {"A", "B", "C", "D", "F", "H", "I"}
