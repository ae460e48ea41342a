"""Reads the file in which a team declares its roles and local users."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from sign_in.names import ADMIN, BUILT_IN_ROLES

ACTIONS = ("can_create", "can_read", "can_edit", "can_delete", "menu_access")
# What Airflow has permissions for; besides, DAG:<id> and DAG Run:<id> are those of one DAG. A test compares the list
# with the constants of the installed FAB provider.
RESOURCES = frozenset(
    (
        *(
            "Admin",
            "Asset Aliases",
            "Assets",
            "Audit Logs",
            "Backfills",
            "Browse",
            "Cluster Activity",
            "Configurations",
        ),
        *("Connections", "DAG Code", "DAG Dependencies", "DAG Runs", "DAG Versions", "DAG Warnings", "DAGs", "Docs"),
        *("Documentation", "HITL Detail", "ImportError", "Jobs", "My Password", "My Profile", "Passwords"),
        *("Permission Views", "Plugins", "Pools", "Providers", "Roles", "Task Instances", "Task Logs"),
        *("Task Reschedules", "Triggers", "Users", "Variables", "Website", "XComs"),
    )
)
OF_ONE_DAG = ("DAG:", "DAG Run:")
NAME = re.compile(r"[A-Za-z0-9_.@+-]{1,64}")

Permission = tuple[str, str]  # action, resource


class DeclarationError(Exception):
    """The file declares something that cannot be; the message names it in one line."""


@dataclass(frozen=True, kw_only=True)
class DeclaredRole:
    """A role of the team's own: what `includes`, a role of Airflow's own or empty, may do, and `permissions`."""

    name: str
    includes: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, kw_only=True)
class DeclaredUser:
    """A user who signs in with a password."""

    name: str
    full_name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the file declares."""

    roles: tuple[DeclaredRole, ...] = ()
    users: tuple[DeclaredUser, ...] = ()


def parse(text: str) -> Declared:
    """Return what YAML text declares. Raises DeclarationError."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DeclarationError(f"it is not YAML: {' '.join(str(error).split())}") from None
    content = _mapping({} if content is None else content, what="the file", keys=("roles", "users"))
    roles = tuple(_role(name, role) for name, role in _mapping(content.get("roles") or {}, what="roles").items())
    known = {*BUILT_IN_ROLES, *(role.name for role in roles)}
    users = tuple(
        _user(name, user, known=known) for name, user in _mapping(content.get("users") or {}, what="users").items()
    )
    if len({user.name.lower() for user in users}) < len(users):
        raise DeclarationError("two users have the same name but for capital letters")
    return Declared(roles=roles, users=users)


def _role(name: str, content: Any) -> DeclaredRole:
    what = f"role {name}"
    if name in BUILT_IN_ROLES:
        raise DeclarationError(f"{what} is Airflow's own: declare a role of another name that includes it")
    content = _mapping(content or {}, what=what, keys=("includes", "may"))
    includes = content.get("includes") or ""
    if includes and includes not in BUILT_IN_ROLES:
        raise DeclarationError(f"{what} includes {includes!r}, not one of {', '.join(BUILT_IN_ROLES)}")
    permissions = {
        (_action(action, what=what), _resource(resource, what=what))
        for action, resources in _mapping(content.get("may") or {}, what=f"{what}, may").items()
        for resource in _list(resources, what=f"{what}, {action}")
    }
    return DeclaredRole(name=name, includes=includes, permissions=frozenset(permissions))


def _action(action: str, *, what: str) -> str:
    if action not in ACTIONS:
        raise DeclarationError(f"{what} has the action {action!r}, not one of {', '.join(ACTIONS)}")
    return action


def _resource(resource: str, *, what: str) -> str:
    if resource not in RESOURCES and not any(
        resource.startswith(prefix) and len(resource) > len(prefix) for prefix in OF_ONE_DAG
    ):
        raise DeclarationError(f"{what} has the resource {resource!r}: use DAG:<id> or one of {sorted(RESOURCES)}")
    return resource


def _user(name: str, content: Any, *, known: set[str]) -> DeclaredUser:
    what = f"user {name}"
    if name.lower() == ADMIN:
        raise DeclarationError(f"{what} is made by the stack, with the password of its secret")
    if not NAME.fullmatch(name):
        raise DeclarationError(f"{what}: a name has up to 64 letters, digits and . _ @ + -")
    content = _mapping(content or {}, what=what, keys=("roles", "full_name"))
    roles = _list(content.get("roles"), what=f"{what}, roles")
    if not roles:
        raise DeclarationError(f"{what} has no role")
    if unknown := [role for role in roles if role not in known]:
        raise DeclarationError(f"{what} has the role {unknown[0]!r}, which is neither Airflow's own nor declared")
    full_name = content.get("full_name") or name
    if not isinstance(full_name, str):
        raise DeclarationError(f"{what}: full_name is not text")
    return DeclaredUser(name=name, full_name=full_name, roles=tuple(roles))


def _mapping(content: Any, *, what: str, keys: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise DeclarationError(f"{what} must be a mapping of names")
    if keys is not None and (other := sorted(content.keys() - set(keys))):
        raise DeclarationError(f"{what} has {other[0]!r}, not only {' and '.join(keys)}")
    return content


def _list(content: Any, *, what: str) -> list[str]:
    if not isinstance(content, list) or not all(isinstance(each, str) for each in content):
        raise DeclarationError(f"{what} must be a list of names")
    return content
