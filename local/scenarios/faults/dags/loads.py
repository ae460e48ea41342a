"""DAGs whose tasks sleep in one queue each, as the file of the same name beside this one describes them."""

from __future__ import annotations

import json
import time
from pathlib import Path

from airflow.sdk import dag, task

MOST_AT_ONCE = 10_000  # no limit of Airflow's may hold back what the pools are to hold back


def declare(name: str, queue: str, tasks: int, seconds: float, priority: int) -> None:
    """Declare a DAG of `tasks` tasks of `seconds` seconds each, all of which may run at once."""

    @dag(dag_id=name, schedule=None, catchup=False, max_active_runs=MOST_AT_ONCE, max_active_tasks=MOST_AT_ONCE)
    def load() -> None:
        @task(queue=queue, priority_weight=priority)
        def work(number: int) -> int:
            time.sleep(seconds)
            return number

        work.expand(number=list(range(tasks)))

    load()


for each in json.loads(Path(__file__).with_suffix(".json").read_text()):
    declare(**each)
