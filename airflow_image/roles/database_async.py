"""asyncpg's arguments besides the database's address. Airflow imports ARGUMENTS by its name."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from roles import database


def arguments(given: Mapping[str, str]) -> dict[str, Any]:
    """Return asyncpg's arguments. Raises OSError without the authorities' file, ssl.SSLError if it holds none."""
    mode = given["DATABASE_SSLMODE"]
    # asyncpg accepts libpq's names of the modes that verify nothing.
    verified = mode == database.VERIFY
    return {"ssl": ssl.create_default_context(cafile=database.authorities(given)) if verified else mode}


ARGUMENTS = arguments(os.environ)
