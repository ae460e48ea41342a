"""The generated template for tests: the content that template_gen.py writes, not parsed from its text each time.

tests/unit/stack/test_template.py holds that the text, parsed, is this content.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from troposphere import Template

from ops.cost.resolved import resolve_template
from project import environments
from stack.render import render
from template_gen import build

REGION = "us-east-1"
Resource = dict[str, Any]
CODE_LOCATION = {"Bucket": "some-bucket", "Key": "some-key"}  # what `sam deploy` puts in CodeUri's place


@cache
def text() -> str:
    return render(build())


def content(of: Template) -> dict[str, Any]:
    """Return the content of a built template, before the SAM transform; it is the caller's own."""
    written: dict[str, Any] = json.loads(json.dumps(of.to_dict()))
    return written


@cache
def template() -> dict[str, Any]:
    """Return the template as written, before the SAM transform. It is shared: do not change it."""
    return content(build())


def expanded(source: dict[str, Any]) -> dict[str, Any]:
    """Apply the SAM transform to a freshly parsed template, as CloudFormation does; it changes its argument."""
    for resource in source["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = CODE_LOCATION
    session = boto3.Session(region_name=REGION)
    translator = Translator(managed_policy_map={}, sam_parser=Parser(), boto_session=session)
    result: dict[str, Any] = translator.translate(source, {"ImageUri": "image:tag"})
    return result


@cache
def deployed() -> dict[str, Any]:
    """Return the template after the SAM transform. It is shared: do not change it."""
    return expanded(copy.deepcopy(template()))


@cache
def in_environment(name: str) -> dict[str, Any]:
    """Return the template as an environment of samconfig.toml deploys it, with all conditions resolved.

    It is shared: do not change it.
    """
    config = environments.load(name)
    return resolve_template(template(), given=config.parameters, region=config.region)


def resources(kind: str) -> dict[str, Resource]:
    """Return the properties of all resources of a type by logical id, after the transform."""
    return {
        title: resource.get("Properties", {})
        for title, resource in deployed()["Resources"].items()
        if resource["Type"] == kind
    }


def containers() -> dict[str, Resource]:
    """Return every container definition by its name; a name in two task definitions is an error."""
    found: dict[str, Resource] = {}
    for definition in resources("AWS::ECS::TaskDefinition").values():
        for container in containers_of(definition):
            assert container["Name"] not in found
            found[container["Name"]] = container
    return found


def containers_of(definition: Resource) -> list[Resource]:
    """List the container definitions of a task definition, including those under a condition."""
    return [entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in definition["ContainerDefinitions"]]


def environment(container: Resource) -> dict[str, Any]:
    return {entry["Name"]: entry["Value"] for entry in container["Environment"]}


def secrets(container: Resource) -> dict[str, Any]:
    entries = (entry["Fn::If"][1] if "Fn::If" in entry else entry for entry in container["Secrets"])
    return {entry["Name"]: entry["ValueFrom"] for entry in entries}


def filled(sub: Mapping[str, str], **values: str) -> str:
    """Fill the placeholders of an Fn::Sub without variables from `values`, where `_` stands for `.`."""
    text = sub["Fn::Sub"]
    for name, value in values.items():
        text = text.replace(f"${{{name.replace('_', '.')}}}", value)
    return text


def scalars(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every leaf with the keys that lead to it."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from scalars(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from scalars(value, (*path, str(index)))
    else:
        yield path, node
