"""Turns CloudFormation properties into the request of an AWS API operation, by botocore's model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape


class UnsupportedProperty(ValueError):
    """A property that the operation does not take; to skip it would deploy something other than the template."""


def request_of(shape: Shape, value: Any, path: str = "") -> Any:
    """Return `value` with the names and types of `shape`.

    Members of structures match regardless of case (`ContainerDefinitions` -> `containerDefinitions`), keys of maps are
    kept (log options, labels), scalars are converted ("256" -> 256, True -> "true"), policy documents become JSON.
    Raises UnsupportedProperty with the property's path.
    """
    if isinstance(shape, StructureShape):
        return _structure(shape, value, path)
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise UnsupportedProperty(f"{path} must be a list")
        return [request_of(shape.member, item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            raise UnsupportedProperty(f"{path} must be a mapping")
        return {key: request_of(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    return _scalar(shape, value, path)


def _structure(shape: StructureShape, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise UnsupportedProperty(f"{path} must be a mapping")
    members = {name.lower(): name for name in shape.members}
    request = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        name = members.get(key.lower())
        if name is None:
            raise UnsupportedProperty(f"property {where} is not supported")
        request[name] = request_of(shape.members[name], item, where)
    return request


def _scalar(shape: Shape, value: Any, path: str) -> Any:
    try:
        match shape.type_name:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "boolean":
                return boolean(value)
            case "string" if isinstance(value, bool):
                return str(value).lower()
            case "string" if isinstance(value, dict):
                return json.dumps(value)
            case "string" if not isinstance(value, list):
                return str(value)
            case "string":
                raise TypeError(value)
            case _:
                return value
    except (TypeError, ValueError) as error:
        raise UnsupportedProperty(f"{path}: {value!r} is not of type {shape.type_name}") from error


def boolean(value: Any) -> bool:
    """Read true or "true" as CloudFormation does. Raises ValueError on anything else."""
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError(value)
    return text == "true"
