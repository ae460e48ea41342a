"""What AWS's own schema of a resource type says: which properties it takes, and which changes replace a resource.

The schemas are those that cfn-lint ships: CloudFormation publishes them, and works by them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, ValidationError, validators

Schema = Mapping[str, Any]
REGION = "us-east-1"  # the schemas of other regions differ in what exists there, not in their rules
_ANY = "*"  # of a path: each item of a list


class Rules:
    """The rules of one type. `replaces`, `may_replace` and `read_only` are paths of properties, as tuples."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.replaces = _paths(schema, "createOnlyProperties")
        self.may_replace = _paths(schema, "conditionalCreateOnlyProperties")
        self.read_only = _paths(schema, "readOnlyProperties")

    def replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """List the properties whose change replaces the resource."""
        return _changed(self.replaces, old, new)

    def perhaps_replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """List the properties whose change replaces the resource in cases that the schema does not tell."""
        return _changed(self.may_replace, old, new)

    def violations(self, properties: Mapping[str, Any]) -> list[str]:
        """Return what CloudFormation says about properties that it refuses, a line each."""
        if named := [path for path in self.read_only if _find(properties, path)]:
            written = ", ".join("/".join(path) for path in named)
            return [f"Encountered unsupported property, it is read-only: [{written}]"]
        errors = self._validator.iter_errors(_coerced(self._schema, properties, self._schema))
        return [line for error in errors for line in _in_words(error)]

    @cached_property
    def _validator(self) -> Any:
        return _Validator(self._schema)


@cache
def rules_of(kind: str) -> Rules:
    """Return the rules of a resource type. Raises KeyError for a type that does not exist."""
    return Rules(json.loads((_folder() / "resources" / f"{_hashes()[kind]}.json").read_text()))


@cache
def _hashes() -> dict[str, str]:
    """Return the hash that names a type's schema, by type."""
    hashes: dict[str, str] = json.loads((_folder() / "providers" / f"{REGION}.json").read_text())
    return hashes


@cache
def _folder() -> Path:
    """Find the schemas without importing cfn-lint: it needs a second to start, and prefers what it downloaded later."""
    package = find_spec("cfnlint")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("cfnlint")
    return Path(package.origin).parent / "data/schemas"


def _paths(schema: Schema, name: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(path.split("/")[2:]) for path in schema.get(name) or ())


def _changed(paths: tuple[tuple[str, ...], ...], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted("/".join(path) for path in paths if list(_find(old, path)) != list(_find(new, path)))


def _find(node: Any, path: tuple[str, ...]) -> list[Any]:
    """Return what stands at a path: nothing, one value, or one for each item of a list."""
    if not path:
        return [node]
    name, *rest = path
    if name == _ANY and isinstance(node, list):
        return [found for item in node for found in _find(item, tuple(rest))]
    if isinstance(node, Mapping) and name in node:
        return _find(node[name], tuple(rest))
    return []


def _coerced(schema: Schema, node: Any, root: Schema) -> Any:
    """Return the node with its scalars as the schema wants them: CloudFormation takes "256" for a number."""
    schema = _resolved(schema, root)
    if isinstance(node, Mapping):
        properties = schema.get("properties") or {}
        return {key: _coerced(properties.get(key, {}), value, root) for key, value in node.items()}
    if isinstance(node, list):
        return [_coerced(schema.get("items") or {}, item, root) for item in node]
    wanted = schema.get("type", ())
    for kind in [wanted] if isinstance(wanted, str) else wanted:
        try:
            return _SCALARS[kind](node)
        except (KeyError, ValueError):
            continue
    return node


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    if not reference.startswith("#/"):
        return schema if isinstance(schema, Mapping) else {}
    found: Any = root
    for name in reference[2:].split("/"):
        found = found[name]
    return _resolved(found, root)


def _boolean(value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ValueError(value)
    return text == "true"


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    return int(str(value))


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(str(value))


def _string(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_SCALARS = {"boolean": _boolean, "integer": _integer, "number": _number, "string": _string}


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    """Check a pattern. Some use what Python's expressions do not know: they are not checked."""
    try:
        expression = re.compile(pattern)
    except re.error:
        return
    if isinstance(instance, str) and not expression.search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator: Any = validators.extend(Draft7Validator, {"pattern": _pattern})


def _in_words(error: ValidationError) -> Iterator[str]:
    where = "/".join(("#", *map(str, error.absolute_path)))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                yield f"{where}: extraneous key [{key}] is not permitted"
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield f"{where}: required key [{', '.join(missing)}] not found"
    else:
        # Never the value: it may be a secret.
        yield f"{where}: failed validation constraint for keyword [{error.validator}]"
