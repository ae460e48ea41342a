"""Evaluates a template, and plans the changes that a stack needs to match it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from typing import Any

from cfn import parameters as parameter_values
from cfn.intrinsics import Scope, conditions_of, references, resolve, resolve_ifs
from cfn.template import Template, TemplateError, check_structure, parse
from cfn.transform import expand
from local.aws.cloudformation.stacks import (
    DesiredResource,
    EvaluatedTemplate,
    PlannedChange,
    Policies,
    Resource,
    Stack,
)
from local.aws.resources.kind import Kind

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


def pseudo_parameters(*, account: str, region: str, partition: str, stack_id: str, stack_name: str) -> dict[str, Any]:
    """Return the values of the names that CloudFormation itself defines."""
    return {
        "AWS::AccountId": account,
        "AWS::NotificationARNs": [],
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com",
    }


def evaluate(
    body: str,
    *,
    given: Mapping[str, str],
    pseudo: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    tags: Mapping[str, str],
) -> EvaluatedTemplate:
    """Evaluate the template in `body`. Raises TemplateError, in one line, for every fault that is found beforehand."""
    template = parse(body)
    if violations := parameter_values.violations(template, given):
        raise TemplateError("; ".join(violations))
    values = parameter_values.effective_values(template, given)
    template = expand(template, parameters=values, region=pseudo["AWS::Region"])
    check_structure(template)
    scope = {**pseudo, **values}
    conditions = conditions_of(template, parameters=scope)
    resources = _desired(template, conditions=conditions, kinds=kinds)
    outputs = {
        name: resolve_ifs(output, conditions)
        for name, output in (template.get("Outputs") or {}).items()
        if conditions.get(output.get("Condition", ""), "Condition" not in output)
    }
    _check_references(resources, outputs, known=set(scope) | set(resources))
    return EvaluatedTemplate(
        body=body,
        template=template,
        parameters=scope,
        given=dict(given),
        tags=dict(tags),
        resources={name: resources[name] for name in in_order({n: d.needs for n, d in resources.items()})},
        outputs=outputs,
    )


def _desired(
    template: Template, *, conditions: Mapping[str, bool], kinds: Mapping[str, Kind]
) -> dict[str, DesiredResource]:
    written = {
        name: resource for name, resource in template["Resources"].items() if _is_wanted(name, resource, conditions)
    }
    unknown = [f"{resource['Type']} ({name})" for name, resource in written.items() if resource["Type"] not in kinds]
    if unknown:
        raise TemplateError(f"The local AWS API does not support the resource type {', '.join(unknown)}")
    desired = {}
    for name, resource in written.items():
        properties = resolve_ifs(resource.get("Properties") or {}, conditions)
        after = resource.get("DependsOn", [])
        after = [after] if isinstance(after, str) else after
        if missing := [other for other in after if other not in template["Resources"]]:
            raise TemplateError(f"Template format error: Unresolved resource dependencies {missing} of {name}")
        needs = {*after, *references(properties)} & set(written)
        desired[name] = DesiredResource(
            logical_id=name,
            kind=kinds[resource["Type"]],
            properties=properties,
            needs=frozenset(needs - {name}),
            policies=Policies(
                deletion=resource.get("DeletionPolicy", kinds[resource["Type"]].default_policy),
                replacement=resource.get("UpdateReplacePolicy", "Delete"),
            ),
        )
    return desired


def _is_wanted(name: str, resource: Mapping[str, Any], conditions: Mapping[str, bool]) -> bool:
    if "Condition" not in resource:
        return True
    if resource["Condition"] not in conditions:
        raise TemplateError(f"Template format error: Unresolved condition {resource['Condition']} of resource {name}")
    return conditions[resource["Condition"]]


def _check_references(resources: Mapping[str, DesiredResource], outputs: Mapping[str, Any], *, known: set[str]) -> None:
    for name, node in [*((n, d.properties) for n, d in resources.items()), *outputs.items()]:
        if missing := sorted(set(references(node)) - known):
            raise TemplateError(f"Template format error: Unresolved resource dependencies {missing} in {name}")


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Order names so that each comes after those it needs; ignore unknown needs. Raises TemplateError on a circle."""
    sorter = TopologicalSorter({name: [need for need in wanted if need in needs] for name, wanted in needs.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise TemplateError(f"Circular dependency between resources: {sorted(set(error.args[1]))}") from error
    rank = {name: index for index, name in enumerate(needs)}
    ordered: list[str] = []
    while sorter.is_active():
        for name in sorted(sorter.get_ready(), key=rank.__getitem__):
            ordered.append(name)
            sorter.done(name)
    return ordered


def scope_of(evaluated: EvaluatedTemplate, resources: Mapping[str, Resource]) -> Scope:
    """Return the scope in which names have the values of the resources that exist."""

    def attribute(name: str, wanted: str) -> Any:
        resource = resources[name]
        if wanted.startswith("_") or wanted not in resource.physical.attributes:
            raise TemplateError(
                f"Template error: resource {name} does not support attribute type {wanted} in Fn::GetAtt"
            )
        return resource.physical.attributes[wanted]

    return Scope(
        parameters=evaluated.parameters,
        mappings=evaluated.template.get("Mappings") or {},
        ref=lambda name: resources[name].physical.id,
        attribute=attribute,
    )


def outputs_of(evaluated: EvaluatedTemplate, scope: Scope) -> list[dict[str, str]]:
    outputs = []
    for name, output in evaluated.outputs.items():
        entry = {"OutputKey": name, "OutputValue": str(resolve(output["Value"], scope))}
        if "Description" in output:
            entry["Description"] = output["Description"]
        outputs.append(entry)
    return outputs


def changes(stack: Stack, evaluated: EvaluatedTemplate) -> list[PlannedChange]:
    """Plan the changes, in order. A reference to a resource that does not exist yet counts as a change."""
    planned = list(_additions_and_updates(stack, evaluated))
    gone = [resource for name, resource in stack.resources.items() if name not in evaluated.resources]
    for resource in gone:
        planned.append(
            PlannedChange(
                action="Remove",
                logical_id=resource.logical_id,
                physical_id=resource.physical.id,
                type=resource.kind.type,
                replacement=None,
            )
        )
    return planned


def _additions_and_updates(stack: Stack, evaluated: EvaluatedTemplate) -> Iterator[PlannedChange]:
    known = dict(stack.resources)  # without those that the plan creates or replaces, whose ids are not known yet
    scope = scope_of(evaluated, known)
    for name, desired in evaluated.resources.items():
        existing = stack.resources.get(name)
        if existing is None:
            known.pop(name, None)
            yield PlannedChange(
                action="Add", logical_id=name, physical_id=None, type=desired.kind.type, replacement=None
            )
            continue
        unknown = desired.needs - set(known)
        # A need that is not known yet may come from DependsOn alone, which is no change.
        if unknown & set(references(desired.properties)):
            replacement = _replacement_by_unknown(existing, desired, unknown=unknown)
        else:
            properties = resolve(desired.properties, scope)
            if properties == existing.properties and desired.kind is existing.kind:
                continue
            replacement = _replacement(existing, desired, properties)
        if replacement == "True":
            known.pop(name)
        yield PlannedChange(
            action="Modify",
            logical_id=name,
            physical_id=existing.physical.id,
            type=desired.kind.type,
            replacement=replacement,
        )


def _replacement(existing: Resource, desired: DesiredResource, properties: Mapping[str, Any]) -> str:
    if existing.kind is not desired.kind or desired.kind.replaces(existing.properties, properties):
        return "True"
    return "Conditional" if desired.kind.may_replace(existing.properties, properties) else "False"


def _replacement_by_unknown(existing: Resource, desired: DesiredResource, *, unknown: Set[str]) -> str:
    """Return whether properties that name resources without an id yet replace this one, too: it is the ids that change.

    In a property whose change replaces the resource it is certain, or nearly so: an attribute may stay the same.
    """
    if existing.kind is not desired.kind:
        return "True"
    stand_in = {
        name: _NEW if set(references(value)) & unknown else existing.properties.get(name)
        for name, value in desired.properties.items()
    }
    return "True" if desired.kind.replaces(existing.properties, stand_in) else "Conditional"


_NEW = "\0 an id that is not known yet"
