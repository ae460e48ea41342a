"""Remembers which ECS tasks stand behind the registry's records, so that ECS is asked about each task once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from shared.aws import AWS_ERRORS, in_words
from shared.ecs import TASKS_A_CALL, Described, describe_tasks

# ECS refuses a whole call that names anything else, so that one forged name would hide all tasks.
TASK_ID = re.compile(r"[0-9a-f]{32}")
# DescribeTasks may not know a task in its first seconds; a known task may have stopped.
ASK_AGAIN_AFTER_S = 30.0
# Twice the largest fleet. A registry full of forged names must not cost more calls than ten.
MOST_ASKED = 1000
STOPPED = "STOPPED"


@dataclass(frozen=True, kw_only=True)
class KnownTask:
    """An ECS task that has not stopped. `deployment`: the id of the deployment that started it, if any."""

    arn: str
    group: str
    deployment: str | None
    containers: frozenset[str]

    @property
    def service(self) -> str:
        """The name of its service, empty without one."""
        kind, _, name = self.group.partition(":")
        return name if kind == "service" else ""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """ECS's answers by task id: the task, or None for one that does not exist or has stopped.

    `problem`: why ECS did not answer about all tasks that it was asked about, empty if it did.
    """

    tasks: Mapping[str, KnownTask | None]
    problem: str = ""


class KnownTasks:
    """ECS's answers about tasks. Only those about the tasks asked for last are kept."""

    def __init__(self, ecs: Any, *, cluster: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._ecs, self._cluster, self._clock = ecs, cluster, clock
        self._answers: dict[str, tuple[float, KnownTask | None]] = {}

    def read(self, task_ids: Iterable[str], *, anew: Collection[str] = ()) -> Answers:
        """Return what ECS knows about the tasks. Never raises for AWS.

        ECS is asked about tasks that it was not asked about, and again after ASK_AGAIN_AFTER_S about those that it did
        not know and those in `anew`. What is no task's id is no task.
        """
        ids = list(dict.fromkeys(task_ids))
        self._answers = {name: self._answers[name] for name in ids if name in self._answers}
        due = [name for name in ids if TASK_ID.fullmatch(name) and self._is_due(name, anew)]
        problem = self._ask(due[:MOST_ASKED])
        if not problem and len(due) > MOST_ASKED:
            problem = f"{len(due)} ECS tasks to ask about, at most {MOST_ASKED} in a tick"
        known = {name: task for name, (_, task) in self._answers.items()}
        return Answers(tasks={**dict.fromkeys(filter(_is_no_task, ids)), **known}, problem=problem)

    def _is_due(self, name: str, anew: Collection[str]) -> bool:
        if name not in self._answers:
            return True
        at, task = self._answers[name]
        return (task is None or name in anew) and self._clock() - at >= ASK_AGAIN_AFTER_S

    def _ask(self, due: Iterable[str]) -> str:
        """Ask ECS; return why it did not answer, or nothing. Earlier answers then stay."""
        left = iter(due)
        while batch := list(islice(left, TASKS_A_CALL)):
            try:
                described = describe_tasks(self._ecs, cluster=self._cluster, tasks=batch)
            except AWS_ERRORS as error:
                return in_words(error)
            now, found = self._clock(), {_id(task): _known(task) for task in described}
            self._answers |= {name: (now, found.get(name)) for name in batch}
        return ""


def _is_no_task(name: str) -> bool:
    return TASK_ID.fullmatch(name) is None


def _id(task: Described) -> str:
    return str(task["taskArn"]).rpartition("/")[2]


def _known(task: Described) -> KnownTask | None:
    if task["lastStatus"] == STOPPED:
        return None
    return KnownTask(
        arn=task["taskArn"],
        group=task.get("group", ""),
        deployment=task.get("startedBy") or None,
        containers=frozenset(container["name"] for container in task.get("containers", ())),
    )
