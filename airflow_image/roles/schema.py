"""Prints which revisions of Airflow's database this image knows, so that it is not deployed over an unknown one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agent.versions import airflow_version


def read_schema() -> dict[str, Any]:
    """Return `airflow_version`, the `revision` that `airflow db migrate` leads to, and its `lineage`, latest first.

    Airflow brings a database from any revision of the lineage to the latest. Other revisions come from other code.
    """
    # Imported here: the imports take seconds, and no role needs them.
    import airflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(airflow.__file__).with_name("migrations")))
    lineage = [script.revision for script in scripts.walk_revisions()]
    return {"airflow_version": airflow_version(), "revision": scripts.get_current_head(), "lineage": lineage}


def main() -> int:
    """Print it as JSON."""
    json.dump(read_schema(), sys.stdout)
    return 0
