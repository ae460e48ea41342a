"""A burst of short tasks, to show workers being launched for the backlog and stopped after it."""

from __future__ import annotations

import random
import time
from datetime import timedelta

from airflow.sdk import Param, dag, get_current_context, task

RETRY_DELAY = timedelta(seconds=5)
MOST_TASKS = 1000  # Airflow's own limit for one mapped task is 1,024


@dag(
    schedule=None,
    catchup=False,
    max_active_tasks=MOST_TASKS,  # the default, 16, would fill only one worker's slots
    default_args={"retries": 1, "retry_delay": RETRY_DELAY},
    tags=["example"],
    params={
        "tasks": Param(120, type="integer", minimum=1, maximum=MOST_TASKS),
        "min_seconds": Param(2, type="number", minimum=0, maximum=3600),
        "max_seconds": Param(10, type="number", minimum=0, maximum=3600),
        "seed": Param(1, type="integer", description="The same seed gives the same durations."),
    },
)
def burst() -> None:
    """Run `tasks` tasks at once, each for between `min_seconds` and `max_seconds`."""

    @task
    def plan() -> list[dict[str, float]]:
        params = get_current_context()["params"]
        shortest, longest = sorted((params["min_seconds"], params["max_seconds"]))
        chance = random.Random(params["seed"])  # durations, not secrets
        return [
            {"number": number, "seconds": round(chance.uniform(shortest, longest), 3)}
            for number in range(params["tasks"])
        ]

    @task(queue="default")
    def work(number: int, seconds: float) -> int:
        print(f"burst task {number} works for {seconds} s", flush=True)  # noqa: T201 - goes to the task's log
        time.sleep(seconds)
        print(f"burst task {number} is done", flush=True)  # noqa: T201
        return number

    work.expand_kwargs(plan())


burst()
