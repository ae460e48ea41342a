"""Applies Airflow's own roles, the declared ones and the local users to the tables of the auth manager."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from sign_in.declared import Declared, DeclaredRole, DeclaredUser, Permission
from sign_in.names import ADMIN, DECLARED_DOMAIN, NO_PASSWORD

log = logging.getLogger(__name__)

# Airflow's UI learns from the list of plugins that there is a Fleet page, and FAB lets only Op and Admin read it.
GRANTS: Mapping[str, frozenset[Permission]] = {
    role: frozenset({("can_read", "Plugins")}) for role in ("Viewer", "User")
}


def apply(security: Any, declared: Declared, *, admin_password: str, passwords: Mapping[str, str]) -> None:
    """Make the tables hold what is declared. `security`: FAB's security manager, in its application's context.

    `passwords`: those of declared users by name. A user without one cannot sign in.
    """
    security.sync_roles()
    for name, permissions in GRANTS.items():
        _add(security, security.find_role(name), permissions)
    for role in declared.roles:
        _set_role(security, role)
    admin = DeclaredUser(name=ADMIN, full_name="Admin", roles=("Admin",))
    _set_user(security, admin, password=admin_password)
    for user in declared.users:
        if user.name not in passwords:
            log.warning("sign-in: user %s has no password in the secret, and cannot sign in with one", user.name)
        _set_user(security, user, password=passwords.get(user.name))
    _end_others(security, declared)
    for name in sorted(passwords.keys() - {user.name for user in declared.users}):
        log.warning("sign-in: the secret has a password of %s, who is not declared", name)


def _add(security: Any, role: Any, permissions: frozenset[Permission]) -> None:
    for action, resource in sorted(permissions):
        security.add_permission_to_role(role, security.create_permission(action, resource))


def _set_role(security: Any, declared: DeclaredRole) -> None:
    """Give the role exactly what is declared, and the start page."""
    role = security.add_role(declared.name)
    wanted = {*declared.permissions, ("can_read", "Website")}
    if declared.includes:
        wanted |= {(each.action.name, each.resource.name) for each in security.find_role(declared.includes).permissions}
    for permission in list(role.permissions):
        if (permission.action.name, permission.resource.name) not in wanted:
            security.remove_permission_from_role(role, permission)
    _add(security, role, frozenset(wanted))


def _set_user(security: Any, declared: DeclaredUser, *, password: str | None) -> None:
    """Make the user what is declared; sessions end when the password changes."""
    roles = [security.find_role(name) for name in declared.roles]
    user = security.find_user(username=declared.name)
    if user is None:
        user = security.add_user(
            declared.name, "", "", f"{declared.name}@{DECLARED_DOMAIN}", roles, hashed_password=NO_PASSWORD
        )
    user.first_name, _, user.last_name = declared.full_name.partition(" ")
    user.email = f"{declared.name}@{DECLARED_DOMAIN}"
    user.active, user.roles = True, roles
    if password is None:
        has_changed, user.password = user.password != NO_PASSWORD, NO_PASSWORD
    elif has_changed := not check_password_hash(user.password or "", password):
        user.password = generate_password_hash(password)
    if not security.update_user(user):
        raise RuntimeError(f"user {declared.name} could not be stored")
    if has_changed:
        security.reset_user_sessions(user)


def _end_others(security: Any, declared: Declared) -> None:
    """Take every right from users that the file declared once and no longer does. Their entries in logs stay."""
    names = {ADMIN, *(user.name.lower() for user in declared.users)}
    for user in security.get_all_users():
        if user.email.endswith(f"@{DECLARED_DOMAIN}") and user.username.lower() not in names and user.active:
            user.active, user.roles, user.password = False, [], NO_PASSWORD
            security.update_user(user)
            security.reset_user_sessions(user)
            log.warning("sign-in: user %s is no longer declared, and cannot sign in any more", user.username)
