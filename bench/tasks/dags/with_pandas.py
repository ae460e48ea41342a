"""Tasks that do nothing either, in a file that imports what the files of many DAGs import."""

import os
from datetime import timedelta

import numpy as np
import pandas as pd
from airflow.sdk import dag, task


@dag(
    schedule=None,
    max_active_tasks=1000,
    is_paused_upon_creation=False,
    default_args={"retries": 3, "retry_delay": timedelta(0)},
)
def with_pandas() -> None:
    @task
    def use(number: int) -> int:
        return int(pd.DataFrame({"value": np.arange(number + 1)})["value"].sum())

    use.expand(number=list(range(int(os.environ["BENCH_PANDAS_TASKS"]))))


with_pandas()
