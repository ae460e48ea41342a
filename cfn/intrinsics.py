"""Evaluates CloudFormation's conditions, references and Fn:: functions, and refuses those it does not support."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cfn.template import Template, TemplateError

NO_VALUE = {"Ref": "AWS::NoValue"}
FUNCTIONS = frozenset(
    f"Fn::{name}"
    for name in ("GetAtt", "Sub", "Join", "Select", "Split", "FindInMap", "Base64", "GetAZs", "Cidr", "If")
)
CONDITION_FUNCTIONS = frozenset(("Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not"))
AVAILABILITY_ZONE_SUFFIXES = "abc"
_VARIABLE = re.compile(r"\$\{(!?)([^${}]+)\}")


def function_of(node: Any) -> tuple[str, Any] | None:
    """Return (name, argument) if the node is a function call; raise for a name that is not supported."""
    if not isinstance(node, dict) or len(node) != 1:
        return None
    name, argument = next(iter(node.items()))
    if name == "Ref" or (name == "Condition" and isinstance(argument, str)):
        return name, argument
    if not isinstance(name, str) or not name.startswith("Fn::"):
        return None
    if name not in FUNCTIONS | CONDITION_FUNCTIONS:
        raise TemplateError(f"The local AWS API does not support the function {name}")
    return name, argument


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The values of names while a node is evaluated.

    `ref` and `attribute` give those of resources. They raise KeyError for an unknown resource, and TemplateError for an
    attribute that the resource does not have.
    """

    parameters: Mapping[str, Any]
    mappings: Mapping[str, Any]
    ref: Callable[[str], Any]
    attribute: Callable[[str, str], Any]

    def lookup(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        try:
            return self.ref(name)
        except KeyError:
            raise TemplateError(f"Template format error: Unresolved resource dependencies [{name}]") from None

    def get_att(self, name: str, attribute: str) -> Any:
        try:
            return self.attribute(name, attribute)
        except KeyError:
            raise TemplateError(
                f"Template error: instance of Fn::GetAtt references undefined resource {name}"
            ) from None


def no_resources(name: str, _attribute: str = "") -> Any:
    """Stand for `ref` and `attribute` where CloudFormation allows parameters only: in conditions and rules."""
    raise KeyError(name)


def conditions_of(template: Template, *, parameters: Mapping[str, Any]) -> dict[str, bool]:
    """Evaluate every condition of the template."""
    definitions = template.get("Conditions") or {}
    scope = Scope(
        parameters=parameters,
        mappings=template.get("Mappings") or {},
        ref=no_resources,
        attribute=no_resources,
    )
    values: dict[str, bool] = {}

    def named(name: str, above: tuple[str, ...]) -> bool:
        if name in above:
            raise TemplateError(f"Template error: circular condition dependency: {' -> '.join((*above, name))}")
        if name not in definitions:
            raise TemplateError(f"Template format error: Unresolved condition {name}")
        if name not in values:
            values[name] = evaluate(definitions[name], (*above, name))
        return values[name]

    def evaluate(node: Any, above: tuple[str, ...]) -> bool:
        match function_of(node):
            case ("Condition", name):
                return named(name, above)
            case ("Fn::Equals", [left, right]):
                return bool(_comparable(resolve(left, scope)) == _comparable(resolve(right, scope)))
            case ("Fn::Not", [operand]):
                return not evaluate(operand, above)
            case ("Fn::And", [*operands]):
                return all(evaluate(operand, above) for operand in operands)
            case ("Fn::Or", [*operands]):
                return any(evaluate(operand, above) for operand in operands)
        raise TemplateError(f"Template error: not a condition: {node}")

    return {name: named(name, ()) for name in definitions}


def _comparable(value: Any) -> Any:
    """Return the value as CloudFormation compares it: as text, because YAML literals may be numbers or booleans."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, list | dict) else str(value)


def resolve_ifs(node: Any, conditions: Mapping[str, bool]) -> Any:
    """Return the node with every Fn::If replaced by its chosen branch, and without members that are AWS::NoValue."""
    if node == NO_VALUE:
        return node
    if isinstance(node, dict):
        if set(node) == {"Fn::If"}:
            if not isinstance(node["Fn::If"], list) or len(node["Fn::If"]) != 3:
                raise TemplateError("Template error: Fn::If requires a list argument with three values")
            name, when_true, when_false = node["Fn::If"]
            if name not in conditions:
                raise TemplateError(f"Template format error: Unresolved condition {name}")
            return resolve_ifs(when_true if conditions[name] else when_false, conditions)
        chosen = {key: resolve_ifs(value, conditions) for key, value in node.items()}
        return {key: value for key, value in chosen.items() if value != NO_VALUE}
    if isinstance(node, list):
        return [item for item in (resolve_ifs(item, conditions) for item in node) if item != NO_VALUE]
    return node


def references(node: Any) -> Iterator[str]:
    """Yield the names that the node refers to by Ref, Fn::GetAtt or Fn::Sub: of resources and (pseudo) parameters."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        match function_of(node):
            case ("Ref", name):
                yield name
            case ("Fn::GetAtt", argument):
                yield _attribute_parts(argument)[0]
            case ("Fn::Sub", argument):
                text, variables = _sub_parts(argument)
                yield from references(list(variables.values()))
                for escaped, name in _VARIABLE.findall(text):
                    if not escaped and name.strip() not in variables:
                        yield name.strip().split(".")[0]
            case _:
                yield from references(list(node.values()))


def resolve(node: Any, scope: Scope) -> Any:
    """Return the node's value. Call `resolve_ifs` first: Fn::If is not evaluated here."""
    if isinstance(node, list):
        return [resolve(item, scope) for item in node]
    if not isinstance(node, dict):
        return node
    call = function_of(node)
    if call is None or call[0] in CONDITION_FUNCTIONS | {"Condition"}:
        # IAM statements and ELB rules have their own members named Condition.
        return {key: resolve(value, scope) for key, value in node.items()}
    name, argument = call
    if name == "Ref":
        return scope.lookup(argument)
    if name == "Fn::GetAtt":
        resource, attribute = _attribute_parts(argument)
        return scope.get_att(resource, resolve(attribute, scope))
    if name == "Fn::Sub":
        return _sub(argument, scope)
    return _function(name, resolve(argument, scope), scope)


def _function(name: str, argument: Any, scope: Scope) -> Any:
    match name, argument:
        case "Fn::Join", [str(separator), [*items]]:
            return separator.join(_text(item) for item in items)
        case "Fn::Select", [index, [*items]]:
            if not 0 <= int(index) < len(items):
                raise TemplateError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
            return items[int(index)]
        case "Fn::Split", [str(separator), str(text)]:
            return text.split(separator)
        case "Fn::FindInMap", [mapping, first, second]:
            try:
                return scope.mappings[mapping][first][second]
            except KeyError:
                raise TemplateError(f"Template error: Unable to get mapping for {mapping}::{first}::{second}") from None
        case "Fn::Base64", str(text):
            return base64.b64encode(text.encode()).decode()
        case "Fn::GetAZs", str(region):
            return [f"{region or scope.lookup('AWS::Region')}{suffix}" for suffix in AVAILABILITY_ZONE_SUFFIXES]
        case "Fn::Cidr", [block, count, *bits]:
            network = ipaddress.ip_network(block)
            subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits[0] if bits else 8))
            return [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]
    raise TemplateError(f"Template error: {name} has an argument of the wrong form: {argument}")


def _attribute_parts(argument: Any) -> tuple[str, Any]:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if not isinstance(parts, list) or len(parts) < 2:
        raise TemplateError(f"Template error: Fn::GetAtt needs a resource and an attribute: {argument}")
    # SAM emits ["Resource", "A", "B"] for Resource.A.B
    rest = ".".join(parts[1:]) if all(isinstance(part, str) for part in parts[1:]) else parts[1]
    return parts[0], rest


def _sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    match argument:
        case str(text):
            return text, {}
        case [str(text), dict(variables)]:
            return text, variables
    raise TemplateError(f"Template error: Fn::Sub needs a string, or a string and a mapping: {argument}")


def _sub(argument: Any, scope: Scope) -> str:
    text, variables = _sub_parts(argument)
    values = {name: resolve(value, scope) for name, value in variables.items()}

    def value_of(match: re.Match[str]) -> str:
        literal, name = match.group(1), match.group(2).strip()
        if literal:
            return "${" + match.group(2) + "}"
        if name in values:
            return _text(values[name])
        resource, _, attribute = name.partition(".")
        return _text(scope.get_att(resource, attribute) if attribute else scope.lookup(name))

    return _VARIABLE.sub(value_of, text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        raise TemplateError(f"Template error: a string is needed where the template gives {value}")
    return str(value)
