"""Brings Airflow's database to this image's schema, then applies roles and users: `python -m sign_in.migrate`."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sign_in import names
from sign_in.declared import DeclarationError, Declared, parse
from sign_in.people import MappingError, parse_mapping

DECLARED_FILE = Path(__file__).resolve().parents[1] / "access.yaml"
CONFIGURATION = 78  # of sysexits.h
LOCK_ID = 7_104_206_885  # any number that Airflow does not use


def main() -> int:
    """Return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        declared, passwords = read_declared(DECLARED_FILE), read_passwords(os.environ)
        mapping = parse_mapping(os.environ.get(names.ROLE_MAPPING, ""))
    except (DeclarationError, MappingError) as error:
        sys.stderr.write(f"sign-in: {error}\n")
        return CONFIGURATION
    admin_password = os.environ.pop(names.ADMIN_PASSWORD)
    os.environ.pop(names.USER_PASSWORDS, None)
    # A process of its own: its memory is free again before FAB is loaded, and it gets no password of a user.
    if code := subprocess.run(["airflow", "db", "migrate"], check=False).returncode:
        return code
    # Airflow starts without them, too: `events` says that they are missing.
    subprocess.run([sys.executable, "-m", "agent.events.indexes"], check=False)
    roles = apply_declared(declared, admin_password=admin_password, passwords=passwords)
    if unknown := sorted({role for group in mapping.values() for role in group} - roles):
        sys.stderr.write(f"sign-in: RoleMapping names the role {unknown[0]}, which does not exist\n")
        return CONFIGURATION
    return 0


def read_declared(path: Path) -> Declared:
    """Return what the file declares. Raises DeclarationError, also if there is no file."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeclarationError(f"{path.name} cannot be read ({type(error).__name__})") from None
    except DeclarationError as error:
        raise DeclarationError(f"{path.name}: {error}") from None


def read_passwords(given: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords of declared users. Raises DeclarationError, without any password."""
    try:
        passwords = json.loads(given.get(names.USER_PASSWORDS) or "{}")
    except ValueError:
        passwords = None
    if not isinstance(passwords, dict) or not all(isinstance(each, str) and each for each in passwords.values()):
        raise DeclarationError("the secret of PasswordsSecretArn is not a JSON object of names and passwords")
    return passwords


def apply_declared(declared: Declared, *, admin_password: str, passwords: Mapping[str, str]) -> set[str]:
    """Apply roles and users, and return the names of all roles.

    One process at a time does so: copies of the service may start at once.
    """
    from airflow import settings
    from sqlalchemy import text

    from sign_in.apply import apply
    from sign_in.manager import flask_application

    # A lock of its own: Airflow waits only two seconds for the one of its migrations, and fails.
    with settings.get_engine().connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": LOCK_ID})
        application = flask_application()
        with application.app_context():
            security = application.appbuilder.sm
            apply(security, declared, admin_password=admin_password, passwords=passwords)
            return {role.name for role in security.get_all_roles()}


if __name__ == "__main__":
    sys.exit(main())
