"""Checks, before anything starts, everything for which a deployment of an environment would be refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cfn.quotas import Place, over_quota
from cfn.template import Template, TemplateError, parse
from local.aws.backend.settings import DEFAULT_ACCOUNT
from local.aws.cloudformation.planning import evaluate, pseudo_parameters
from local.aws.resources import kinds
from local.stack.airflow_settings import setting_faults
from local.stack.connection_budget import Budget, connection_budget
from local.stack.machine_roles import machine_role_faults
from project import environments, paths
from project.environments import Environment
from project.errors import CommandError

TOOLS = ("make",)  # called by `sam build` and not installed by `make setup`
# SAM's transform needs packaged code, which exists only after a build.
PACKAGED = "s3://packaged/later"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """An environment that a deployment would accept, and what its database is asked for."""

    config: Environment
    budget: Budget


def preflight(name: str, *, template: str | None = None, overrides: Mapping[str, str] | None = None) -> Preflight:
    """Return the environment if tools, parameters, sizes and template are acceptable. Raises CommandError.

    `template` is the text of another one than the committed template. `overrides` win over parameters/.
    """
    for tool in TOOLS:
        if shutil.which(tool) is None:
            raise CommandError(f"{tool} is missing; install it (Debian: apt-get install {tool}) and try again")
    config = environments.load(name)
    config = replace(config, parameters={**config.parameters, **(overrides or {})})
    try:
        parsed = parse((paths.ROOT / "template.yaml").read_text() if template is None else template)
        for resource in (parsed.get("Resources") or {}).values():
            if resource.get("Type") == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = PACKAGED
        name_and_id = {"stack_name": config.stack_name, "stack_id": config.stack_name}
        pseudo = pseudo_parameters(account=DEFAULT_ACCOUNT, region=config.region, partition="aws", **name_and_id)
        if refused := [
            *unusual_numbers(parsed, config.parameters),
            *min_above_max(parsed, config.parameters),
        ]:
            raise TemplateError("; ".join(refused))
        evaluated = evaluate(json.dumps(parsed), given=config.parameters, pseudo=pseudo, kinds=kinds(), tags={})
        place = Place(stack_name=config.stack_name, region=config.region)
        if refused := over_quota(parsed, place, given=evaluated.parameters):
            raise TemplateError(f"{'; '.join(refused)}: declare fewer pools, or shorter names of pools and queues")
    except TemplateError as error:
        raise CommandError(f"template.yaml with parameters/{name}.yaml: {error}") from None
    if refused := setting_faults(config.parameters):
        raise CommandError("\n".join(f"parameters/{name}.airflow.yaml: {line}" for line in refused))
    if refused := machine_role_faults(config.parameters):
        raise CommandError("\n".join(f"parameters/{name}.yaml: {line}" for line in refused))
    budget = connection_budget(evaluated.parameters)
    if budget.faults:
        raise CommandError(f"parameters/{name}.yaml: {'; '.join(budget.faults)}")
    return Preflight(config=config, budget=budget)


def unusual_numbers(template: Template, given: Mapping[str, str]) -> list[str]:
    """Return a line for each number in a spelling, such as 4.0, that CloudFormation accepts and passes on as it is.

    Containers and functions read whole numbers, and could not start.
    """
    declared = template.get("Parameters") or {}
    return [
        f"Parameter {name} is {text}: write a whole number without leading zeros, point or exponent"
        for name, text in given.items()
        if declared.get(name, {}).get("Type") == "Number" and not _WHOLE_NUMBER.fullmatch(text)
    ]


def min_above_max(template: Template, given: Mapping[str, str]) -> list[str]:
    """Return a line for each pair `<X>Min` above `<X>Max`. CloudFormation's rules compare only numbers up to 10."""
    declared = template.get("Parameters") or {}
    values = {name: str(given.get(name, entry.get("Default"))) for name, entry in declared.items()}
    pairs = [(name, f"{name.removesuffix('Min')}Max") for name in declared if name.endswith("Min")]
    return [
        f"{low} is {values[low]}, above {high}, which is {values[high]}"
        for low, high in pairs
        if values.get(high, "").isdigit() and values[low].isdigit() and int(values[low]) > int(values[high])
    ]
