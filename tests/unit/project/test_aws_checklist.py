"""Each command of docs/aws-checklist.md exists in the AWS CLI, with its options, and names what the template has."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from tests.support import rendered

ROOT = Path(__file__).parents[3]
PAGES = ("docs/aws-checklist.md", "docs/deploying.md")
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
    text = (ROOT / "docs/aws-checklist.md").read_text()
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
