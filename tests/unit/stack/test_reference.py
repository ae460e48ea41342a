"""The reference: every name in the template can be found by its full text."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import template_gen
from tests.support import rendered

ROOT = Path(__file__).parents[3]
KINDS = ("Parameters", "Conditions", "Rules", "Mappings", "Resources", "Outputs")
PLACE = re.compile(r"`(\w+)` in `(stack/[\w/]+\.py)`")


@cache
def committed() -> str:
    return (ROOT / "docs/reference.md").read_text()


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def rows() -> dict[str, str]:
    """Return the rest of each row by its name."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", committed(), re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_of_the_template_is_found_in_the_reference(kind: str) -> None:
    assert rendered.template()[kind].keys() <= rows().keys()


def test_the_reference_holds_no_name_that_the_template_lacks() -> None:
    assert rows().keys() == {name for kind in KINDS for name in rendered.template()[kind]}


@pytest.mark.parametrize("name", sorted(rows()))
def test_a_name_leads_to_functions_that_exist(name: str) -> None:
    places = PLACE.findall(rows()[name])
    assert places
    assert places[0][1].startswith("stack/sections/")
    assert [place for place in places if place[0] not in functions(place[1])] == []


def test_resources_that_sam_adds_have_the_names_that_the_reference_describes() -> None:
    written = rendered.template()["Resources"]
    functions = {t: r["Properties"] for t, r in written.items() if r["Type"] == "AWS::Serverless::Function"}
    events = {f"{title}{event}" for title, properties in functions.items() for event in properties["Events"]}
    added = rendered.deployed()["Resources"].keys() - written.keys()
    assert added == {
        *(f"{title}EventInvokeConfig" for title in functions),
        *events,
        *(f"{event}Permission" for event in events),
    }


def test_a_name_that_no_section_adds_is_refused() -> None:
    with pytest.raises(ValueError, match="outside of stack/sections"):
        template_gen.build().add_condition("IsStray", {})


def test_each_alarm_on_a_metric_stands_in_the_alarms_section_with_its_metric() -> None:
    section = committed().partition("\n## Alarms\n")[2].partition("\n## ")[0]
    named = dict(re.findall(r"^\| `(\w+)` \| `([\w-]+)` of ", section, re.MULTILINE))
    resources = rendered.template()["Resources"].items()
    alarms = {name: each["Properties"] for name, each in resources if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert named.keys() == alarms.keys()
    assert {
        name for name, alarm in alarms.items() if named[name].partition("-")[0] not in str(alarm["MetricName"])
    } == set()
