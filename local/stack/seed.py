"""Reads connections and variables for the local stack from a file, airflow_local.yaml. It may hold secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import yaml

from local.stack.rest_api import Airflow
from project import paths
from project.errors import CommandError

NAME = "airflow_local.yaml"
VARIABLES, CONNECTIONS = "variables", "connections"
FIELDS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")
EXTRA = "__extra__"  # in Airflow's URIs, the query that holds the extra fields as JSON


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What Airflow's REST API takes. Nothing of it may be printed."""

    variables: tuple[Mapping[str, Any], ...] = ()
    connections: tuple[Mapping[str, Any], ...] = ()

    def store(self, airflow: Airflow) -> None:
        """Store all of it, also over what exists. Raises NoAnswer and CommandError."""
        airflow.store(VARIABLES, self.variables)
        airflow.store(CONNECTIONS, self.connections)

    def summary(self) -> str:
        """Return how many there are."""
        return f"{len(self.variables)} variables and {len(self.connections)} connections"

    def __repr__(self) -> str:
        return f"Seed({self.summary()})"


def find_seed(dags: Path | None) -> Path:
    """Return where the file is, or would be: in the folder of DAG files, otherwise in the checkout."""
    beside = dags / NAME if dags is not None else paths.ROOT / NAME
    return beside if beside.exists() else paths.ROOT / NAME


def read_seed(path: Path) -> Seed:
    """Return what the file declares; nothing if there is none. Raises CommandError, which repeats no value."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Seed()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {type(error).__name__}") from None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Its own message repeats a part of the file.
        mark = getattr(error, "problem_mark", None)
        raise CommandError(f"{path}{f':{mark.line + 1}' if mark else ''}: this is not YAML") from None
    if found is None:
        return Seed()
    if not isinstance(found, dict) or not {*found} <= {VARIABLES, CONNECTIONS}:
        raise CommandError(f"{path}: it must be a mapping with `{VARIABLES}` and `{CONNECTIONS}`, and nothing else")
    parts = {name: found.get(name) or {} for name in (VARIABLES, CONNECTIONS)}
    for name, part in parts.items():
        if not isinstance(part, dict) or not all(isinstance(key, str) and key for key in part):
            raise CommandError(f"{path}: `{name}` must be a mapping by name")
    return Seed(
        variables=tuple(_variables(parts[VARIABLES])),
        connections=tuple(_connection(path, name, value) for name, value in parts[CONNECTIONS].items()),
    )


def _variables(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each variable; what is no text is stored as JSON."""
    for name, value in given.items():
        yield {"key": name, "value": value if isinstance(value, str) else json.dumps(value)}


def _connection(path: Path, name: str, value: Any) -> dict[str, Any]:
    fields = _of_uri(value) if isinstance(value, str) else value
    if not isinstance(fields, dict) or not {*fields} <= {*FIELDS}:
        raise CommandError(f"{path}: the connection {name} must be a URI, or a mapping with {', '.join(FIELDS)}")
    if not isinstance(fields.get("conn_type"), str) or not fields["conn_type"]:
        raise CommandError(f"{path}: the connection {name} has no conn_type")
    if fields.get("port") is not None and type(fields["port"]) is not int:
        raise CommandError(f"{path}: the port of the connection {name} is no whole number")
    extra = fields.get("extra")
    more = {} if extra is None else {"extra": extra if isinstance(extra, str) else json.dumps(extra)}
    texts = {field: each if field == "port" else str(each) for field, each in fields.items() if each is not None}
    return {"connection_id": name, **texts, **more}


def _of_uri(uri: str) -> dict[str, Any]:
    """Return the fields of a connection as Airflow writes it in a URI."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return {"conn_type": ""}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = query.pop(EXTRA, None) or (json.dumps(query) if query else None)
    kind = parts.scheme.replace("-", "_")
    fields = {
        "conn_type": "postgres" if kind == "postgresql" else kind,
        "host": unquote(parts.hostname or ""),
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "schema": unquote(parts.path.removeprefix("/")),
        "port": port,
        "extra": extra,
    }
    return {name: value for name, value in fields.items() if value not in ("", None)} | {
        "conn_type": fields["conn_type"]
    }
