"""The template as one environment deploys it: SAM expanded, conditions decided, parameters filled in."""

from __future__ import annotations

import copy
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfn import parameters as parameter_values
from cfn.intrinsics import conditions_of, resolve_ifs
from cfn.template import Template, TemplateError, parse
from cfn.transform import expand
from project import environments, paths
from project.errors import CommandError

# Stands for the CodeUri that `sam deploy` writes: no cost depends on it.
PACKAGED = "s3://packages/code"
# Sections that nothing refers to any more once all is resolved.
DECIDED = ("Parameters", "Rules", "Conditions", "Mappings", "Metadata")
PSEUDO = {"AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com", "AWS::AccountId": "123456789012"}
_HOLE = re.compile(r"\$\{([^!${}]+)\}")


def resolve_template(template: Template, *, given: Mapping[str, str], region: str) -> Template:
    """Return the template with the values `given`. Raises TemplateError for values that the template refuses.

    Values that only a deployment knows stay: references to resources, their attributes, and pseudo parameters.
    """
    template = copy.deepcopy(template)
    if refused := parameter_values.violations(template, given):
        raise TemplateError("; ".join(refused))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = PACKAGED
    values = _typed(parameter_values.effective_values(template, given), template["Parameters"])
    expanded = expand(template, parameters=values, region=region)
    conditions = conditions_of(expanded, parameters={**PSEUDO, "AWS::Region": region, **values})
    mappings = expanded.get("Mappings") or {}
    result = {name: copy.deepcopy(section) for name, section in expanded.items() if name not in DECIDED}
    for section in ("Resources", "Outputs"):
        result[section] = {
            title: _filled(
                resolve_ifs({k: v for k, v in entry.items() if k != "Condition"}, conditions), values, mappings
            )
            for title, entry in (expanded.get(section) or {}).items()
            if conditions.get(entry.get("Condition", ""), "Condition" not in entry)
        }
    for resource in result["Resources"].values():
        resource.get("Metadata", {}).pop("SamResourceId", None)
    return result


def _typed(values: Mapping[str, Any], declared: Mapping[str, Any]) -> dict[str, Any]:
    """Convert texts to numbers and booleans, as CloudFormation does where a property needs them."""
    return {name: _typed_value(value, declared[name]) for name, value in values.items()}


def _typed_value(value: str, declared: Mapping[str, Any]) -> Any:
    choices = [str(choice) for choice in declared.get("AllowedValues", ())]
    if sorted(choices) == ["false", "true"]:
        return value == "true"
    if declared["Type"] == "Number" or (choices and all(choice.isdigit() for choice in choices)):
        return int(value)
    return value


def _filled(node: Any, values: Mapping[str, Any], mappings: Mapping[str, Any]) -> Any:
    """Return the node with parameters and mappings replaced by their values."""
    if isinstance(node, list):
        return [_filled(item, values, mappings) for item in node]
    if not isinstance(node, dict):
        return node
    match node:
        case {"Ref": str(name)} if name in values:
            return values[name]
        case {"Fn::Sub": argument}:
            return _substituted(_filled(argument, values, mappings), values)
        case {"Fn::FindInMap": [name, *keys]}:
            found = mappings[name]
            for key in keys:
                found = found[str(_filled(key, values, mappings))]
            return found
        case {"Fn::Split": [separator, text]}:
            whole = _filled(text, values, mappings)
            return whole.split(separator) if isinstance(whole, str) else {"Fn::Split": [separator, whole]}
    return {key: _filled(value, values, mappings) for key, value in node.items()}


def _substituted(argument: Any, values: Mapping[str, Any]) -> Any:
    """Return an Fn::Sub with its parameters filled in; plain text when no placeholder is left."""
    text, own = argument if isinstance(argument, list) else (argument, {})
    known = {**values, **{name: value for name, value in own.items() if isinstance(value, str)}}
    text = _HOLE.sub(lambda hole: str(known.get(hole.group(1), hole.group(0))), text)
    left = {name: value for name, value in own.items() if name not in known}
    if not _HOLE.search(text):
        return text
    return {"Fn::Sub": [text, left] if left else text}


def read_template(environment: str, revision: str | None) -> dict[str, Any]:
    """Return the template with the environment's parameters filled in. Raises CommandError for what is missing."""
    if revision is None:
        config = environments.load(environment)
        return resolve_template(
            parse((paths.ROOT / "template.yaml").read_text()), given=config.parameters, region=config.region
        )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "parameters").mkdir()
        for name in ("samconfig.toml", f"parameters/{environment}.yaml"):
            (root / name).write_text(_show(revision, name))
        # A revision before it has none, and its parameters name none.
        settings = f"parameters/{environment}.airflow.yaml"
        if f"file://{Path(settings).name}" in (root / f"parameters/{environment}.yaml").read_text():
            (root / settings).write_text(_show(revision, settings))
        config = environments.load(environment, root=root)
    return resolve_template(parse(_show(revision, "template.yaml")), given=config.parameters, region=config.region)


def _show(revision: str, path: str) -> str:
    command = ["git", "show", f"{revision}:{path}"]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(
            f"git has no {path} in the revision {revision}: check the names of the environment and the revision"
        )
    return done.stdout
