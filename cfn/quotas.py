"""Measures a template against AWS's quotas on what grows with it, with each value as long as it can be.

Nothing else notices them before a deployment fails. Quotas: CloudFormation's for a template's resources, Lambda's for a
function's variables, IAM's for the inline policies of a role.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cfn.intrinsics import Scope, resolve, resolve_ifs
from cfn.template import Template

RESOURCES = 500  # of a template, with those that SAM adds
# Lambda measures the variables as one JSON object: names, values, and a backslash for each quote in them.
VARIABLES_BYTES = 4096
# Of all inline policies of a role, without white space.
POLICIES_CHARACTERS = 10_240

FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
PHYSICAL_RANDOM = "-" + 12 * "x"  # how CloudFormation ends the names that it makes
SECRET_RANDOM = "-" + 6 * "x"  # how Secrets Manager ends the ARNs of secrets
REGION = "ap-northeast-99"
LONGEST_TEXT = 256  # characters of a parameter for which the template sets no limit: the name of an image, say
LONGEST_REVISION = 6  # digits
LONGEST_ID = 63  # of what has an id of its own, such as a database
# ElastiCache's ids, which begin with the stack's name.
ELASTICACHE_ID = 40
_IDS = ("ReplicationGroupId", "UserGroupId", "UserId")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the template is deployed."""

    stack_name: str
    region: str = REGION
    partition: str = "aws"
    account: str = 12 * "0"


def longest_place(template: Template) -> Place:
    """Return a place with the longest name that the stack can have; GovCloud's texts are the longest of AWS's."""
    room = min((ELASTICACHE_ID - len(text) for text in _own_ids(template)), default=128)
    return Place(stack_name=max(1, room) * "s", region="us-gov-west-1", partition="aws-us-gov")


def over_quota(template: Template, place: Place, *, given: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each quota that the template, or a function or role in it, exceeds.

    `given`: the values of parameters; the others count at longest.
    """
    measured = _Measured(template, place, {**longest_values(template), **(given or {})})
    return [*_resources(template), *measured.functions(), *measured.roles()]


def _resources(template: Template) -> Iterator[str]:
    """Yield a line if there are too many resources: SAM adds a rule and a permission for each event of a function."""
    resources = template["Resources"].values()
    functions = [each["Properties"] for each in resources if each["Type"] == "AWS::Serverless::Function"]
    added = sum(("EventInvokeConfig" in own) + 2 * len(own.get("Events", {})) for own in functions)
    if len(resources) + added > RESOURCES:
        yield f"the template has {len(resources) + added} resources with SAM's, and CloudFormation accepts {RESOURCES}"


def longest_values(template: Template) -> dict[str, str]:
    """Return each parameter's longest value."""
    return {name: _longest_value(rule) for name, rule in (template.get("Parameters") or {}).items()}


def _longest_value(rule: Mapping[str, Any]) -> str:
    if choices := rule.get("AllowedValues"):
        return max(map(str, choices), key=len)
    if rule.get("Type") == "Number":
        return max((str(rule[end]) for end in ("MinValue", "MaxValue") if end in rule), key=len, default=10 * "9")
    return int(rule.get("MaxLength", LONGEST_TEXT)) * "x"


class _Measured:
    """A template with stand-ins for everything that only a deployment knows."""

    def __init__(self, template: Template, place: Place, values: Mapping[str, str]) -> None:
        self._resources = template["Resources"]
        self._conditions = list(template.get("Conditions") or {})
        self._place = place
        pseudo = {
            "AWS::StackName": place.stack_name,
            "AWS::Region": place.region,
            "AWS::Partition": place.partition,
            "AWS::AccountId": place.account,
            "AWS::URLSuffix": "amazonaws.com.cn",
        }
        self._scope = Scope(
            parameters={**values, **pseudo},
            mappings=template.get("Mappings") or {},
            ref=self._ref,
            attribute=self._attribute,
        )

    def functions(self) -> Iterator[str]:
        for title, resource in self._resources.items():
            if resource["Type"] not in FUNCTIONS:
                continue
            variables = resource["Properties"].get("Environment", {}).get("Variables", {})
            size = self._longest(variables)
            if size > VARIABLES_BYTES:
                yield f"the variables of {title} take up to {size:,} bytes, and Lambda accepts {VARIABLES_BYTES:,}"

    def roles(self) -> Iterator[str]:
        for title, resource in self._resources.items():
            if resource["Type"] != "AWS::IAM::Role":
                continue
            documents = [policy["PolicyDocument"] for policy in resource["Properties"].get("Policies", ())]
            size = sum(map(self._longest, documents))
            if size > POLICIES_CHARACTERS:
                yield f"the policies of {title} take up to {size:,} characters, and IAM accepts {POLICIES_CHARACTERS:,}"

    def _longest(self, node: Any) -> int:
        """Return the bytes of the node's JSON, whatever its conditions are."""
        decided = [resolve_ifs(node, dict.fromkeys(self._conditions, value)) for value in (False, True)]
        return max(_bytes(resolve(each, self._scope)) for each in decided)

    def _ref(self, title: str) -> str:
        kind = self._resources[title]["Type"]
        name = f"{self._place.stack_name}-{title}{PHYSICAL_RANDOM}"
        match kind:
            case "AWS::ECS::TaskDefinition":
                return self._arn("ecs", f"task-definition/{name}:{LONGEST_REVISION * '9'}")
            case "AWS::SecretsManager::Secret":
                return self._arn("secretsmanager", f"secret:{title}{PHYSICAL_RANDOM}{SECRET_RANDOM}")
            case "AWS::SNS::Topic":
                return self._arn("sns", name)
            case "AWS::RDS::DBInstance":
                return LONGEST_ID * "x"
        return name

    def _attribute(self, title: str, attribute: str) -> str:
        service = self._resources[title]["Type"].split("::")[1].lower()
        if attribute.endswith("Port"):
            return "65535"
        if attribute.endswith("Address"):
            return f"master.{ELASTICACHE_ID * 'x'}.xxxxxx.xxxxx.cache.amazonaws.com.cn"
        return self._arn(service, f"{service}:{self._place.stack_name}-{title}{PHYSICAL_RANDOM}")

    def _arn(self, service: str, rest: str) -> str:
        place = self._place
        return f"arn:{place.partition}:{service}:{place.region}:{place.account}:{rest}"


def _bytes(node: Any) -> int:
    return len(json.dumps(node, ensure_ascii=False, separators=(",", ":")).encode())


def _own_ids(template: Template) -> Iterator[str]:
    """Yield what follows the stack's name in ids of ElastiCache."""
    own = "${AWS::StackName}"
    for resource in template["Resources"].values():
        for name in _IDS:
            match resource["Properties"].get(name):
                case {"Fn::Sub": str(text)} if text.startswith(own):
                    yield text.removeprefix(own)
