"""Replaces {{resolve:secretsmanager:...}} in properties by the secret's value when the resource is created."""

from __future__ import annotations

import json
import re
from typing import Any

from cfn.template import TemplateError
from local.aws.backend.cloud import Cloud

_ANY = re.compile(r"\{\{resolve:[^}]*\}\}")
_SECRET = re.compile(
    r"\{\{resolve:secretsmanager:"
    r"(?P<id>arn:[^:}]+:secretsmanager:[^:}]+:\d+:secret:[^:}]+|[^:}]+)"
    r"(?::SecretString(?::(?P<key>[^:}]*)(?::(?P<stage>[^:}]*)(?::(?P<version>[^:}]*))?)?)?)?\}\}"
)


def resolved(node: Any, cloud: Cloud) -> Any:
    """Return the node with every dynamic reference replaced. Raises TemplateError for one that is not supported."""
    if isinstance(node, dict):
        return {key: resolved(value, cloud) for key, value in node.items()}
    if isinstance(node, list):
        return [resolved(item, cloud) for item in node]
    if isinstance(node, str) and "{{resolve:" in node:
        return _ANY.sub(lambda match: _value(match.group(0), cloud), node)
    return node


def _value(reference: str, cloud: Cloud) -> str:
    match = _SECRET.fullmatch(reference)
    if match is None:
        raise TemplateError(f"The local AWS API does not support the dynamic reference {reference}")
    wanted = {"SecretId": match["id"], "VersionStage": match["stage"], "VersionId": match["version"]}
    request = {name: value for name, value in wanted.items() if value}
    text = cloud.client("secretsmanager").get_secret_value(**request)["SecretString"]
    if not match["key"]:
        return str(text)
    try:
        return str(json.loads(text)[match["key"]])
    except (ValueError, KeyError):
        raise TemplateError(f"Could not find a value associated with JSONKey {match['key']} in SecretString") from None
