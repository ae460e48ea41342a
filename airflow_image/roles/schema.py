"""Says which revisions of Airflow's database this image knows, so that nobody deploys it over one that it does not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agent.versions import airflow_version


def read_schema() -> dict[str, Any]:
    """`airflow_version`, the `revision` that `airflow db migrate` leads to, the `lineage` up to it, latest first.

    Airflow brings a database from any revision of the lineage to the latest. Another one comes from other code.
    """
    # Imported here: no role needs what it brings in, which takes seconds.
    import airflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(airflow.__file__).with_name("migrations")))
    lineage = [script.revision for script in scripts.walk_revisions()]
    return {"airflow_version": airflow_version(), "revision": scripts.get_current_head(), "lineage": lineage}


def main() -> int:
    """Prints it as JSON."""
    json.dump(read_schema(), sys.stdout)
    return 0
