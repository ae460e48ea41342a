"""Each command of docs/aws-checklist.md exists in the AWS CLI, with its options, and names what the template has."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from local.lambdas.schedules import matches
from retirement.notice import read_notice
from tests.support import rendered

ROOT = Path(__file__).parents[3]
PAGES = ("docs/aws-checklist.md", "docs/deploying.md", "docs/reaching.md")
GLOBAL = {"--query", "--output", "--region"}
# Commands of the CLI that are no operations of an API.
OF_THE_CLI = {("ecr", "get-login-password"), ("cloudformation", "wait")}


def commands(page: str) -> list[str]:
    """List the calls of the AWS CLI in a page's shell blocks."""
    text = "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))
    text = re.sub(r"\$\((resource|output|date) [^)]*\)", "NAME", text)
    return [found for line in text.splitlines() for found in re.findall(r"\baws [a-z0-9]+ [a-z0-9-]+[^)\n|]*", line)]


@cache
def service_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model({"s3api": "s3"}.get(service, service))


def options_of(service: str, operation: str) -> set[str]:
    model = service_model(service)
    (name,) = (each for each in model.operation_names if xform_name(each, "-") == operation)
    shape = model.operation_model(name).input_shape
    members = {} if shape is None else shape.members
    plain = {f"--{xform_name(member, '-')}" for member in members}
    return plain | {f"--no-{option[2:]}" for option in plain}


@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in commands(page)])
def test_a_command_exists_with_its_options(page: str, command: str) -> None:
    _, service, operation, *words = command.split()
    if (service, operation) not in OF_THE_CLI:
        options = {word for word in words if re.fullmatch(r"--[a-z0-9-]+", word)}
        assert options - GLOBAL <= options_of(service, operation), page


def test_the_resources_and_outputs_of_the_commands_are_the_templates() -> None:
    text = "\n".join((ROOT / page).read_text() for page in PAGES)
    template = rendered.deployed()
    named = set(re.findall(r"\$\(resource (\w+)\)", text))
    assert named
    assert named <= template["Resources"].keys()
    outputs = set(re.findall(r"\$\(output (\w+)\)", text))
    assert outputs <= template["Outputs"].keys()


def test_each_point_says_what_to_type_what_comes_back_and_what_happens_otherwise() -> None:
    points = (ROOT / "docs/aws-checklist.md").read_text().split("\n### ")[1:]
    assert len(points) >= 15
    for point in points:
        title = point.splitlines()[0]
        assert "```sh\n" in point, title
        assert re.search(r"^Expected", point, re.MULTILINE), title
        assert "Otherwise:" in point, title


def file_of(name: str) -> Any:
    """Return what the page's shell writes into a JSON file."""
    text = (ROOT / "docs/aws-checklist.md").read_text()
    (written,) = re.findall(rf"^cat > {name} <<END\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
    written = written.replace("$(date -u +%FT%TZ)", "2026-11-30T00:00:00Z")
    return json.loads(re.sub(r"\$([A-Z_]+)", lambda variable: variable[1].lower(), written))


def transformed(transformer: dict[str, Any], event: dict[str, Any]) -> Any:
    """Return what EventBridge's input transformer makes of an event: strings too are inserted as JSON."""
    text = transformer["InputTemplate"]
    for name, path in transformer["InputPathsMap"].items():
        text = text.replace(f"<{name}>", json.dumps(event[path.removeprefix("$.")]))
    return json.loads(text)


def test_the_test_notice_gets_through_the_deployed_rule() -> None:
    rule = rendered.resources("AWS::Events::Rule")["RetirementFunctionNotice"]
    assert matches(rule["EventPattern"], file_of("notice.json"))


def test_the_test_notice_names_the_workers_to_the_function() -> None:
    (entry,) = file_of("entries.json")
    event = {"time": "2026-11-30T00:00:00Z", "resources": entry["Resources"], "detail": json.loads(entry["Detail"])}
    (target,) = file_of("targets.json")
    sent = transformed(target["InputTransformer"], event)
    rule = rendered.resources("AWS::Events::Rule")["RetirementFunctionNotice"]
    assert matches(rule["EventPattern"], {**sent, "detail-type": entry["DetailType"]})
    read = read_notice(sent, cluster="cluster", region="us-east-1", now=2e9)
    assert (sorted(read.services), read.unknown, read.at) == (["workers"], (), 1795996800.0)
