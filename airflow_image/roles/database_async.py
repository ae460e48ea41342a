"""What asyncpg is told besides the database's address: Airflow imports ARGUMENTS by its name."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from roles import database


def arguments(given: Mapping[str, str]) -> dict[str, Any]:
    """How asyncpg connects. Raises OSError without the file of authorities, ssl.SSLError if there is none in it."""
    mode = given["DATABASE_SSLMODE"]
    # A mode that verifies nothing is known to asyncpg by libpq's word for it.
    verified = mode == database.VERIFY
    return {"ssl": ssl.create_default_context(cafile=database.authorities(given)) if verified else mode}


ARGUMENTS = arguments(os.environ)
