"""Stores users without a password: people of a provider, and machines. Issues tokens of Airflow for them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from sign_in.names import NO_PASSWORD, SEPARATOR

log = logging.getLogger(__name__)


class UnknownRole(Exception):
    """No such role exists."""


class NotActive(Exception):
    """An administrator has deactivated the user."""


def store_user(
    security: Any, *, key: str, name: str, roles: Sequence[str], first_name: str = "", last_name: str = ""
) -> Any:
    """Return the user known by `key`, made or changed to have this name and exactly these roles.

    `security`: FAB's security manager, in its application's context. `key` looks like an address and is unique; `name`
    is what logs show, and holds SEPARATOR, as no local user's does. Raises UnknownRole and NotActive.
    """
    if SEPARATOR not in name:
        raise ValueError(f"{name} could be a local user's name")
    found = {role: security.find_role(role) for role in roles}
    if unknown := sorted(role for role, stored in found.items() if stored is None):
        raise UnknownRole(f"no role is called {unknown[0]}")
    wanted = list(found.values())
    user = security.find_user(email=key)
    if user is None:
        user = _add(security, name, first_name, last_name, key, wanted)
    if not user.is_active:
        raise NotActive(f"user {name} is not active")
    user.username, user.first_name, user.last_name = name, first_name, last_name
    user.roles, user.password = wanted, NO_PASSWORD
    if not security.update_user(user):
        raise RuntimeError(f"user {name} could not be stored")
    return user


def _add(security: Any, name: str, first_name: str, last_name: str, key: str, roles: Sequence[Any]) -> Any:
    """Add the user, or return the one that another process has stored at this moment. Raises RuntimeError."""
    from airflow.providers.fab.auth_manager.security_manager.override import FabException

    try:
        return security.add_user(name, first_name, last_name, key, roles, hashed_password=NO_PASSWORD)
    except FabException:
        user = security.find_user(email=key)
    if user is None:  # the name may be another user's
        raise RuntimeError(f"user {name} could not be stored")
    return user


def end_user(security: Any, *, key: str) -> None:
    """Take every role and session from the user known by `key`, if there is one."""
    user = security.find_user(email=key)
    if user is not None and user.roles:
        user.roles = []
        security.update_user(user)
        security.reset_user_sessions(user)


def issue_token(*, key: str, name: str, roles: Sequence[str], lifetime_s: int) -> str:
    """Return a token of Airflow's REST API for a user without a password, in a webserver with this auth manager.

    Raises UnknownRole and NotActive.
    """
    from airflow import settings
    from airflow.api_fastapi.app import get_auth_manager

    manager: Any = get_auth_manager()
    try:
        with manager.flask_app.app_context():
            user = store_user(manager.security_manager, key=key, name=name, roles=roles)
            token: str = manager.generate_jwt(user, expiration_time_in_seconds=lifetime_s)
            return token
    finally:
        settings.Session.remove()  # the thread's
