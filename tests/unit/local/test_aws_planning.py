"""A template is ordered, checked and compared with the stack before anything is created."""

from datetime import UTC, datetime
from textwrap import dedent
from typing import Any

import pytest

from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud
from local.aws.cloudformation.planning import changes, evaluate, in_order
from local.aws.cloudformation.stacks import EvaluatedTemplate, Policies, Resource, Stack
from local.aws.resources.kind import Change, Kind, PhysicalResource, Properties
from local.aws.resources.schemas import Rules

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _create(_cloud: Cloud, name: str, _properties: Properties) -> PhysicalResource:
    return PhysicalResource(id=name)


def _update(_cloud: Cloud, change: Change) -> PhysicalResource:
    return change.physical


def _delete(_cloud: Cloud, _physical: PhysicalResource) -> None:
    return None


SCHEMAS = {
    "Fixed": Rules({"createOnlyProperties": ["/properties/V"]}),
    "Soft": Rules({"createOnlyProperties": ["/properties/Name"], "conditionalCreateOnlyProperties": ["/properties/W"]}),
}
KINDS = {
    kind: Kind(type=kind, create=_create, update=_update, delete=_delete, rules_of=SCHEMAS.__getitem__)
    for kind in SCHEMAS
}


def _evaluated(resources: str, **given: str) -> EvaluatedTemplate:
    return evaluate(
        "Parameters: {Size: {Type: String, Default: s}}\nConditions: {Large: !Equals [!Ref Size, l]}\n"
        + dedent(resources),
        given=given,
        pseudo={"AWS::Region": "eu-central-1"},
        kinds=KINDS,
        tags={},
    )


def _stack(**existing: dict[str, Any]) -> Stack:
    stack = Stack(id="id", name="n", status="CREATE_COMPLETE", created_at=NOW)
    for name, properties in existing.items():
        stack.resources[name] = Resource(
            logical_id=name,
            kind=KINDS["Soft" if name.startswith("Soft") else "Fixed"],
            properties=properties,
            physical=PhysicalResource(id=f"{name}-1", attributes={"Arn": f"arn:{name}"}),
            needs=frozenset(),
            policies=Policies(),
            changed_at=NOW,
        )
    return stack


def _planned(stack: Stack, evaluated: EvaluatedTemplate) -> list[tuple[str, str, str | None]]:
    return [(change.action, change.logical_id, change.replacement) for change in changes(stack, evaluated)]


def test_resources_come_after_their_needs_and_otherwise_in_the_order_written() -> None:
    evaluated = _evaluated(
        """
        Resources:
          C: {Type: Fixed, Properties: {V: !Sub '${B.Arn}'}}
          D: {Type: Fixed}
          B: {Type: Fixed, DependsOn: A}
          A: {Type: Fixed, Properties: {V: !Ref Size}}
        """
    )
    assert list(evaluated.resources) == ["D", "A", "B", "C"]


def test_a_circular_dependency_is_refused_with_its_members() -> None:
    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \['A', 'B'\]"):
        in_order({"A": ["B"], "B": ["A"]})


def test_a_resource_whose_condition_is_false_is_neither_created_nor_needed() -> None:
    resources = """
        Resources:
          A: {Type: Fixed, Condition: Large}
          B: {Type: Fixed, DependsOn: A, Properties: {V: !If [Large, !Ref A, !Ref AWS::NoValue]}}
    """
    assert list(_evaluated(resources).resources) == ["B"]
    assert list(_evaluated(resources, Size="l").resources) == ["A", "B"]


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ("Resources: {A: {Type: Odd}}", r"does not support the resource type Odd \(A\)"),
        ("Resources: {A: {Type: Fixed, Properties: {V: !Ref B}}}", r"Unresolved resource dependencies \['B'\] in A"),
        ("Resources: {A: {Type: Fixed, DependsOn: B}}", r"Unresolved resource dependencies \['B'\] of A"),
        ("Resources: {A: {Type: Fixed, Condition: Huge}}", "Unresolved condition Huge of resource A"),
        ("Resources: {A: {Type: Fixed}}\nOutputs: {O: {Value: !Ref B}}", r"\['B'\] in O"),
        ("Resources: {A: {Type: Fixed}}\nTransform: Odd-1", "transform"),
    ],
)
def test_a_template_that_cannot_be_created_is_refused_beforehand(resources: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        _evaluated(resources)


def test_parameters_are_checked_first() -> None:
    with pytest.raises(TemplateError, match=r"Parameters: \[Sise\] do not exist in the template"):
        _evaluated("Resources: {A: {Type: Odd}}", Sise="l")


def test_an_unchanged_template_plans_no_change() -> None:
    stack = _stack(A={"V": "s"}, SoftB={"V": "A-1"})
    evaluated = _evaluated(
        "Resources: {A: {Type: Fixed, Properties: {V: !Ref Size}}, SoftB: {Type: Soft, Properties: {V: !Ref A}}}"
    )
    assert _planned(stack, evaluated) == []


def test_additions_updates_replacements_and_removals_are_distinguished() -> None:
    stack = _stack(A={"V": "old"}, SoftB={"V": "old"}, SoftC={"Name": "old"}, SoftD={"W": "old"}, Gone={})
    evaluated = _evaluated(
        """
        Resources:
          A: {Type: Fixed, Properties: {V: new}}
          SoftB: {Type: Soft, Properties: {V: new}}
          SoftC: {Type: Soft, Properties: {Name: new}}
          SoftD: {Type: Soft, Properties: {W: new}}
          Added: {Type: Fixed}
        """
    )
    assert _planned(stack, evaluated) == [
        ("Modify", "A", "True"),
        ("Modify", "SoftB", "False"),
        ("Modify", "SoftC", "True"),
        ("Modify", "SoftD", "Conditional"),
        ("Add", "Added", None),
        ("Remove", "Gone", None),
    ]


def test_a_resource_that_refers_to_a_replaced_one_changes_with_it() -> None:
    stack = _stack(A={"V": "old"}, SoftB={"V": "arn:A"}, SoftC={"Name": "A-1"}, SoftD={"V": "other"})
    evaluated = _evaluated(
        """
        Resources:
          A: {Type: Fixed, Properties: {V: new}}
          SoftB: {Type: Soft, Properties: {V: !GetAtt A.Arn}}
          SoftC: {Type: Soft, Properties: {Name: !Ref A}}
          SoftD: {Type: Soft, DependsOn: A, Properties: {V: other}}
        """
    )
    assert _planned(stack, evaluated) == [
        ("Modify", "A", "True"),
        ("Modify", "SoftB", "Conditional"),
        ("Modify", "SoftC", "True"),
    ]
