"""Evaluates a template's Rules section: assertions over several parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cfn.intrinsics import Scope, no_resources, resolve
from cfn.template import Template, TemplateError


def violations(template: Template, *, parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield CloudFormation's message for every assertion that does not hold."""
    for name, rule in (template.get("Rules") or {}).items():
        if "RuleCondition" in rule and not _holds(rule["RuleCondition"], parameters):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(assertion["Assert"], parameters):
                yield f"Template error: rule {name}: {assertion.get('AssertDescription', 'an assertion failed')}"


def _holds(node: Any, parameters: Mapping[str, Any]) -> bool:
    if not isinstance(node, dict) or len(node) != 1:
        raise TemplateError(f"Template error: not a rule function: {node}")
    name, argument = next(iter(node.items()))
    match name, argument:
        case "Fn::And", [*operands]:
            return all(_holds(operand, parameters) for operand in operands)
        case "Fn::Or", [*operands]:
            return any(_holds(operand, parameters) for operand in operands)
        case "Fn::Not", [operand]:
            return not _holds(operand, parameters)
        case "Fn::Equals", [left, right]:
            return bool(_value(left, parameters) == _value(right, parameters))
        case "Fn::Contains", [items, item]:
            return _value(item, parameters) in _list(items, parameters)
        case "Fn::EachMemberEquals", [items, item]:
            return all(member == _value(item, parameters) for member in _list(items, parameters))
        case "Fn::EachMemberIn", [items, allowed]:
            return set(_list(items, parameters)) <= set(_list(allowed, parameters))
    raise TemplateError(f"The local AWS API does not support the rule function {name}")


def _value(node: Any, parameters: Mapping[str, Any]) -> Any:
    scope = Scope(parameters=parameters, mappings={}, ref=no_resources, attribute=no_resources)
    value = resolve(node, scope)
    return value if isinstance(value, list) else str(value)


def _list(node: Any, parameters: Mapping[str, Any]) -> list[str]:
    value = _value(node, parameters)
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
