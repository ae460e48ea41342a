"""A task that runs with another Python of the image, whose packages were installed when the image was built."""

from __future__ import annotations

import os

from airflow.sdk import dag, task

PYTHON = os.environ.get("GREETING_PYTHON", "/opt/greeting/bin/python")


@dag(schedule=None, catchup=False, tags=["example"])
def external_python() -> None:
    """Use a package that Airflow's own Python does not have."""

    @task.external_python(python=PYTHON, expect_airflow=False)
    def greet(name: str) -> str:
        import greeting

        return greeting.to(name)

    greet("a task")


external_python()
