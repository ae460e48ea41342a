"""Checks parameter values against a template's constraints, with CloudFormation's messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cfn import rules
from cfn.template import Template, TemplateError

_SCALAR_TYPES = frozenset(("String", "Number"))
_LIST_TYPES = frozenset(("CommaDelimitedList", "List<Number>", "List<String>"))
_AWS_TYPE = re.compile(r"AWS::(EC2|Route53)::[A-Za-z:0-9]+\.?[A-Za-z]*")
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)")


def violations(template: Template, values: Mapping[str, str]) -> list[str]:
    """Return one line for each value that CloudFormation would refuse.

    `values` are strings by parameter name, as in a parameters file. Raises TemplateError for a parameter type that is
    not supported here.
    """
    declared = template.get("Parameters") or {}
    found = []
    if unknown := sorted(set(values) - set(declared)):
        found.append(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    missing = [name for name, rule in declared.items() if name not in values and "Default" not in rule]
    if missing:
        found.append(f"Parameters: [{', '.join(missing)}] must have values")
    for name, rule in declared.items():
        if name not in missing:
            found.extend(_of_parameter(name, rule, _as_text(values.get(name, rule.get("Default")))))
    return found or list(rules.violations(template, parameters=effective_values(template, values)))


def effective_values(template: Template, values: Mapping[str, str]) -> dict[str, Any]:
    """Return every parameter's value or default as Ref gives it: a list for list types, else a string."""
    given = {}
    for name, rule in (template.get("Parameters") or {}).items():
        text = _as_text(values.get(name, rule.get("Default")))
        given[name] = _items(text) if _is_list(rule["Type"]) else text
    return given


def _of_parameter(name: str, rule: Mapping[str, Any], text: str) -> Iterator[str]:
    kind = rule.get("Type")
    if not isinstance(kind, str) or not (kind in _SCALAR_TYPES | _LIST_TYPES or _is_aws_type(kind)):
        raise TemplateError(f"The local AWS API does not support the type {kind} of parameter {name}")
    values = _items(text) if _is_list(kind) else [text]
    description = rule.get("ConstraintDescription")
    for broken in _broken_constraints(name, kind, rule, values):
        yield f"Parameter {name} failed to satisfy constraint: {description}" if description else broken


def _broken_constraints(name: str, kind: str, rule: Mapping[str, Any], values: list[str]) -> Iterator[str]:
    numeric = kind in ("Number", "List<Number>")
    if _is_aws_type(kind) and not all(values or [""]):
        yield f"Parameter {name} must not be empty: its type is {kind}"
    for value in values:
        if numeric and not _NUMBER.fullmatch(value.strip()):
            yield f"Parameter '{name}' must be a number"
            continue
        allowed = [_as_text(item) for item in rule.get("AllowedValues", [])]
        if allowed and value not in allowed:
            yield f"Parameter '{name}' must be one of AllowedValues [{', '.join(allowed)}]"
        if "AllowedPattern" in rule and not re.fullmatch(rule["AllowedPattern"], value):
            yield f"Parameter {name} failed to satisfy constraint: must match pattern {rule['AllowedPattern']}"
        if "MinLength" in rule and len(value) < int(rule["MinLength"]):
            yield f"Parameter '{name}' must contain at least {rule['MinLength']} characters"
        if "MaxLength" in rule and len(value) > int(rule["MaxLength"]):
            yield f"Parameter '{name}' must contain at most {rule['MaxLength']} characters"
        if "MinValue" in rule and numeric and float(value) < float(rule["MinValue"]):
            yield f"Parameter '{name}' must be a number not less than {rule['MinValue']}"
        if "MaxValue" in rule and numeric and float(value) > float(rule["MaxValue"]):
            yield f"Parameter '{name}' must be a number not greater than {rule['MaxValue']}"


def _is_aws_type(kind: str) -> bool:
    return bool(_AWS_TYPE.fullmatch(kind.removeprefix("List<").removesuffix(">")))


def _is_list(kind: str) -> bool:
    return kind in _LIST_TYPES or kind.startswith("List<")


def _items(text: str) -> list[str]:
    """Split a list as CloudFormation does: it trims the items, and an empty string is a list of one empty string."""
    return [item.strip() for item in text.split(",")]


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
