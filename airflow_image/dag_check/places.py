"""Remembers on which line of a DAG file each DAG and task was made, and where the file is executed at present."""

from __future__ import annotations

import functools
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any


class Places:
    """The lines of one file. `root`: the folder that it is in."""

    def __init__(self, file: Path, *, root: Path) -> None:
        self._file, self._root = str(file), f"{root}/"
        self._dags: list[tuple[Any, int]] = []
        self._tasks: list[tuple[str, str, int]] = []  # DAG, task, line

    def here(self) -> int:
        """Return the line of the file that is executed at present, 0 if it is not executed."""
        return self._line_in(lambda name: name == self._file)[1]

    def module_here(self) -> str:
        """Return `, in NAME, line N` if the file has called a module of its folder; otherwise an empty text."""
        name, line = self._line_in(lambda name: name.startswith(self._root))
        return "" if name in ("", self._file) else f", in {name.removeprefix(self._root)}, line {line}"

    def _line_in(self, is_wanted: Callable[[str], bool]) -> tuple[str, int]:
        """Return the innermost file and line of this thread that is wanted, otherwise of the main thread."""
        main = sys._current_frames().get(threading.main_thread().ident or 0)
        for frame in (sys._getframe(), main):
            for name, line in _lines(frame):
                if is_wanted(name):
                    return name, line
        return "", 0

    def watch(self) -> None:
        """Remember the DAGs and tasks that are made from now on in this process."""
        from airflow.sdk import DAG

        make, add = DAG.__init__, DAG.add_task

        @functools.wraps(make)
        def make_here(dag: Any, *args: Any, **kwargs: Any) -> None:
            self._dags.append((dag, self.here()))
            make(dag, *args, **kwargs)

        @functools.wraps(add)
        def add_here(dag: Any, task: Any) -> Any:
            self._tasks.append((dag.dag_id, task.task_id, self.here()))
            return add(dag, task)

        DAG.__init__, DAG.add_task = make_here, add_here

    def of_dag(self, dag_id: str) -> int:
        """Return the line of a DAG, 1 if it is not known."""
        return next((line for each, line in self._dags if _id_of(each) == dag_id and line), 1)

    def of_message(self, text: str) -> int:
        """Return the line of the task that a message names, otherwise of the DAG, otherwise of the first DAG."""
        names = [(task, line) for _, task, line in self._tasks], [(_id_of(dag), line) for dag, line in self._dags]
        for known in names:
            for name, line in sorted(known, key=lambda each: -len(each[0])):
                if line and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text):
                    return line
        return next((line for _, line in self._dags if line), 1)

    def doubles(self) -> Iterable[tuple[str, int, int]]:
        """Yield id, line and earlier line of each DAG with tasks whose id an earlier DAG of the file has."""
        seen: dict[str, int] = {}
        for dag, line in self._dags:
            name = _id_of(dag)
            if not name or not getattr(dag, "task_dict", None):
                continue
            if name in seen:
                yield name, line or 1, seen[name] or 1
            seen.setdefault(name, line)


def _lines(frame: FrameType | None) -> Iterable[tuple[str, int]]:
    """Yield file and line of each call, the innermost first."""
    return ((each.f_code.co_filename, line) for each, line in traceback.walk_stack(frame)) if frame else ()


def _id_of(dag: Any) -> str:
    """Return a DAG's id; empty for one whose making failed."""
    return str(getattr(dag, "dag_id", ""))
