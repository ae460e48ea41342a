"""The generated template as the tests read it: parsed from the very text that template_gen.py writes."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from cfn.template import parse
from ops.cost.resolved import resolved
from project import environments
from stack.render import render
from template_gen import build

REGION = "us-east-1"
Resource = dict[str, Any]
CODE_LOCATION = {"Bucket": "some-bucket", "Key": "some-key"}  # what `sam deploy` puts in CodeUri's place


@cache
def text() -> str:
    return render(build())


@cache
def template() -> dict[str, Any]:
    """As written, before the SAM transform. Shared: do not change it."""
    parsed: dict[str, Any] = yaml_parse(text())
    return parsed


@cache
def parsed() -> dict[str, Any]:
    """As written, by the local AWS API's own reader, which `ops.cost.resolved` wants. Shared: do not change it."""
    return parse(text())


def expanded(source: dict[str, Any]) -> dict[str, Any]:
    """What CloudFormation makes of a freshly parsed template by the SAM transform; changes its argument."""
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE_LOCATION
    session = boto3.Session(region_name=REGION)
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    result: dict[str, Any] = translator.translate(source, {"ImageUri": "image:tag"})
    return result


@cache
def deployed() -> dict[str, Any]:
    """After the SAM transform. Shared: do not change it."""
    return expanded(yaml_parse(text()))


@cache
def in_environment(name: str) -> dict[str, Any]:
    """As an environment of samconfig.toml deploys it, everything decided. Shared: do not change it."""
    config = environments.load(name)
    return resolved(parsed(), given=config.parameters, region=config.region)


def resources(kind: str) -> dict[str, Resource]:
    """Properties by logical id of the resources of a type, after the transform."""
    return {
        title: resource.get("Properties", {})
        for title, resource in deployed()["Resources"].items()
        if resource["Type"] == kind
    }


def containers() -> dict[str, Resource]:
    """Every container definition by its name; a name in two task definitions is an error."""
    found: dict[str, Resource] = {}
    for definition in resources("AWS::ECS::TaskDefinition").values():
        for container in containers_of(definition):
            assert container["Name"] not in found
            found[container["Name"]] = container
    return found


def containers_of(definition: Resource) -> list[Resource]:
    """The container definitions of a task definition, with those that are there under a condition only."""
    return [entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in definition["ContainerDefinitions"]]


def environment(container: Resource) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def secrets(container: Resource) -> dict[str, Any]:
    return {entry["Name"]: entry["ValueFrom"] for entry in container["Secrets"]}


def filled(sub: Mapping[str, str], **values: str) -> str:
    """The text of an Fn::Sub without variables of its own, its placeholders replaced by `values` (`.` becomes `_`)."""
    text = sub["Fn::Sub"]
    for name, value in values.items():
        text = text.replace(f"${{{name.replace('_', '.')}}}", value)
    return text


def scalars(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from scalars(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from scalars(value, (*path, str(index)))
    else:
        yield path, node
