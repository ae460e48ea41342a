"""A task with Python packages of its own, from a private index: a virtual environment that the worker keeps.

The index is a connection of the type "Package Index (Python)": its URL is the host, its user the login.
"""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import dag, task

# On the worker's own disk, for all of its tasks. The root file system of a container is read-only.
CACHE = Path(os.environ.get("AIRFLOW_HOME", "/opt/airflow"), "virtualenvs")


@dag(schedule=None, catchup=False, tags=["example"])
def virtualenv() -> None:
    """Use a package that the image does not have."""

    @task.virtualenv(
        requirements=["greeting==1.0"],
        index_urls_from_connection_ids=["private_index"],
        venv_cache_path=CACHE,
        system_site_packages=False,
        expect_airflow=False,
    )
    def greet(name: str) -> str:
        import greeting

        return greeting.to(name)

    greet("a task")


virtualenv()
