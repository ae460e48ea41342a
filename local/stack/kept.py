"""Keeps the connections and variables of a local stack from one start to the next, in a file with a seed's format."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from local.stack.seed import Seed, read_seed
from project import paths
from project.errors import CommandError

KEPT = paths.STATE / "kept.json"  # no start empties it; readable by this user only
EXPORT_WITHIN_S = 40.0
MARK = "\nKEPT"
# Runs in a container, where the keys of connections are.
EXPORT = f"""
import json, sys
from airflow.models import Connection, Variable
from airflow.utils.session import create_session
from sqlalchemy import select

FIELDS = ("conn_type", "description", "host", "login", "password", "schema", "port", "extra")
with create_session() as session:
    connections = {{
        each.conn_id: {{name: value for name in FIELDS if (value := getattr(each, name)) not in (None, "")}}
        for each in session.scalars(select(Connection))
    }}
    variables = {{each.key: each.val for each in session.scalars(select(Variable))}}
sys.stdout.write({MARK!r} + json.dumps({{"variables": variables, "connections": connections}}))
"""
_INSIDE = "import sys; from local.stack import inside; inside.become(['python', '-c', sys.argv[1]])"


def keep() -> Seed:
    """Write the connections and variables of the running stack to the file. Raises CommandError, which has no value."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _INSIDE, EXPORT],
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=EXPORT_WITHIN_S,
            check=False,
        )
        found = json.loads(done.stdout.rpartition(MARK)[2])
    except (subprocess.TimeoutExpired, ValueError):
        raise CommandError("connections and variables could not be read; those of the last time stay kept") from None
    fresh = KEPT.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(found, file)
    fresh.replace(KEPT)
    return read_seed(KEPT)
