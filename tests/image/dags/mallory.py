"""Runs in a task whatever Python code a test sends, as the code of any DAG could. No image contains this file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

RETRY_DELAY = timedelta(seconds=1)


@dag(  # type: ignore[untyped-decorator]  # Airflow is not typed
    schedule=None,
    catchup=False,
    default_args={"retries": 1, "retry_delay": RETRY_DELAY},
    params={"source": Param("", type="string"), "arguments": Param({}, type="object")},
)
def mallory() -> None:
    """Call the function `attack` of `source` with `arguments`; it reads the number of its try from `TRY`."""

    @task(queue="default")  # type: ignore[untyped-decorator]
    def attack() -> Any:
        context = get_current_context()
        params = context["params"]
        names: dict[str, Any] = {"TRY": context["ti"].try_number}
        exec(params["source"], names)  # noqa: S102
        return names["attack"](**params["arguments"])

    attack()


mallory()
