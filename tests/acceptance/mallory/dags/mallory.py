"""Two DAGs of a test: `mallory` attacks everything around its tasks, `victim` has what they must not reach."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path

from airflow.sdk import dag, get_current_context, task
from mallory_attacks import attack

HOLD_S = 900
# One task each. The order matters: what one finds must not lie in the memory that another searches.
MODULES = ("processes", "files", "broker", "database", "api", "cloud")


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def mallory() -> None:
    """Run the attacks of one module, the wrecking ones last."""

    @task
    def strike() -> None:
        context = get_current_context()
        conf = context["dag_run"].conf
        importlib.import_module(f"mallory_attacks.{conf['module']}")
        own = {"id": str(context["ti"].id), "run_id": context["run_id"]}
        facts = attack.Facts.of(conf, own)
        mine = [a for a in attack.ATTACKS.values() if a.function.__module__.endswith(f".{conf['module']}")]
        for each in sorted(mine, key=lambda a: a.is_wrecking):
            attack.run(each.name, facts)

    strike()


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def victim() -> None:
    """Say something, hold a slot of the worker until the test releases it, and let another task wait for that."""

    @task
    def say() -> str:
        return "the victim's own value"

    @task
    def hold() -> None:
        mine = f"the victim's own memory, {os.getpid()}"
        drop = Path(get_current_context()["dag_run"].conf["drop"])
        deadline = time.monotonic() + HOLD_S
        while not (drop / "release").exists() and time.monotonic() < deadline:
            time.sleep(0.5)
        print(len(mine))  # noqa: T201 - goes to the task's log

    @task
    def never() -> None:
        pass

    said = say()
    said >> hold() >> never()


mallory()
victim()
