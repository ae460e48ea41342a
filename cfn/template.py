"""Reads a CloudFormation template, YAML with short tags or JSON, as plain dictionaries."""

from __future__ import annotations

import json
from typing import Any

import yaml

SAM_TRANSFORM = "AWS::Serverless-2016-10-31"
SECTIONS = frozenset(
    (
        "AWSTemplateFormatVersion",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Mappings",
        "Conditions",
        "Transform",
        "Globals",
        "Resources",
        "Outputs",
    )
)
RESOURCE_ATTRIBUTES = frozenset(
    ("Type", "Properties", "DependsOn", "Condition", "Metadata", "DeletionPolicy", "UpdateReplacePolicy")
)

Template = dict[str, Any]


class TemplateError(ValueError):
    """CloudFormation would refuse the template or its use; the message is one line for the person deploying."""


class _Loader(yaml.CSafeLoader):
    """A loader with its own tags, so that other users of PyYAML do not get them."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TemplateError(
            f"Template format error: tag !{suffix} of an unknown node (line {node.start_mark.line + 1})"
        )
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise TemplateError(f"Template format error: duplicate key {key} (line {node.start_mark.line + 1})")
    return {key: loader.construct_object(value, deep=True) for key, (_, value) in zip(keys, node.value, strict=True)}


_Loader.add_multi_constructor("!", _tag)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
# CloudFormation reads 2012-10-17 as a string; PyYAML would make it a date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object. Raises ValueError for a key that stands there twice: YAML's parser then tells its line."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("duplicate key")
    return made


def _from_yaml(body: str) -> Any:
    try:
        return yaml.load(body, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        raise TemplateError("Template format error: " + " ".join(str(error).split())) from error


def parse(body: str) -> Template:
    """Return the template in `body`, YAML or JSON. Raises TemplateError for anything but a template."""
    try:
        template = json.loads(body, object_pairs_hook=_without_duplicates)  # JSON is YAML too, but read in no time
    except ValueError:
        template = _from_yaml(body)
    if not isinstance(template, dict):
        raise TemplateError("Template format error: unsupported structure.")
    return template


def check_structure(template: Template) -> None:
    """Raise TemplateError for a section or resource attribute that is not supported here."""
    if unknown := sorted(set(template) - SECTIONS):
        raise TemplateError(f"Invalid template property or properties {unknown}")
    resources = template.get("Resources")
    if not isinstance(resources, dict) or not resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    for name, resource in resources.items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise TemplateError(f"Template format error: [/Resources/{name}] Every Resource must have a Type member.")
        if unknown := sorted(set(resource) - RESOURCE_ATTRIBUTES):
            raise TemplateError(f"The local AWS API does not support {unknown} of resource {name}")
    for name, output in (template.get("Outputs") or {}).items():
        if not isinstance(output, dict) or "Value" not in output:
            raise TemplateError(f"Template format error: every Outputs member must contain a Value: {name}")
        if "Export" in output:
            raise TemplateError(f"The local AWS API does not support Export of output {name}: one stack is everything")


def transforms(template: Template) -> list[Any]:
    """Return the transforms that the template declares."""
    declared = template.get("Transform") or []
    return list(declared) if isinstance(declared, list) else [declared]
