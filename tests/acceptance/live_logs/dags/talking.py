"""A task that speaks while it runs, on each of several workers, and one that was deferred before."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, dag, get_current_context, task


def speak(word: str) -> None:
    print(f"{word} at {time.time():.2f} s", flush=True)  # noqa: T201 - goes to the task's log


class Deferred(BaseOperator):
    """Speaks, defers, and speaks again on a worker."""

    def execute(self, context: Any) -> None:
        speak("BEFORE")
        wait_s = context["dag_run"].conf["deferred_s"]
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=wait_s)), method_name="resume")

    def resume(self, context: Any, event: Any = None) -> None:  # noqa: ARG002 - Airflow gives both
        speak("AFTER")
        time.sleep(context["dag_run"].conf["seconds"])


@dag(schedule=None, catchup=False)
def talking() -> None:
    @task
    def number() -> list[int]:
        return list(range(get_current_context()["dag_run"].conf["tasks"]))

    @task
    def talk(each: int) -> None:
        conf = get_current_context()["dag_run"].conf
        time.sleep(conf["silent_s"])
        speak(f"FIRST-{each}")
        time.sleep(conf["seconds"])

    talk.expand(each=number())


@dag(schedule=None, catchup=False)
def deferred() -> None:
    Deferred(task_id="wait")


talking()
deferred()
