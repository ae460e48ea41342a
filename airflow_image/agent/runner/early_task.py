"""Forks a task's process before its supervisor begins; Airflow forks it from a supervisor that is ready to start it.

A page that two processes share since a fork is copied when one of them writes to it. A zygote has hardly written to
any, and what the supervisor reads, as the workload's token, is in no task's memory. The task's process sets itself up
meanwhile, and then waits for the supervisor's first message as any other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agent.runner.channels import Channels
from agent.runner.orphans import end_child
from agent.runner.zygote import Closing, Task, Zygote


class EarlyTask:
    """The process of the one task that this process supervises. `task`: what the process does."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._zygote: Zygote | None = None
        self._waiting: tuple[int, Channels] | None = None

    def begin(self, *, closing: Iterable[Closing]) -> int:
        """Fork this supervisor's zygote, before it reads any workload; return its process id. Raises OSError.

        `closing`: what belongs to the supervisor, and is closed in the zygote.
        """
        self._zygote = Zygote(self._task, closing=closing)
        return self._zygote.pid

    def end(self) -> None:
        """End the zygote, if there is one."""
        if self._zygote is not None:
            self._zygote.end()

    @contextlib.contextmanager
    def forked(self, dags_hash: str, note: Callable[[int], None]) -> Iterator[None]:
        """Fork the process, and note its id; if no supervisor has taken it by the end of the block, end it.

        Raises OSError.
        """
        if self._zygote is None:
            raise RuntimeError("there is no zygote: call begin before")
        pid, ours = self._waiting = self._zygote.fork(dags_hash)
        try:
            note(pid)
            yield
        finally:
            if self.take() is not None:
                ours.close()
                end_child(pid)

    def take(self) -> tuple[int, Channels] | None:
        """Return the process id and the supervisor's ends; None if there is no process, or no longer."""
        waiting, self._waiting = self._waiting, None
        return waiting

    def install(self) -> None:
        """Let Airflow's supervisor take the process instead of forking one.

        Raises AttributeError if Airflow's supervisor is another one than this module was written for.
        """
        import psutil
        from airflow.sdk.execution_time import supervisor

        for name in ("_configure_logs_over_json_channel", "_fork_main", "_subprocess_main", "block_orm_access"):
            getattr(supervisor, name)
        watched = supervisor.WatchedSubprocess
        start, register = watched.start.__func__, watched._register_pipe_readers

        def start_early(cls: Any, /, *, target: Any = supervisor._subprocess_main, **arguments: Any) -> Any:
            if self._zygote is None:  # a workload of another kind, which has a supervisor of its own
                return start(cls, target=target, **arguments)
            is_task = target is supervisor._subprocess_main and not arguments.pop("use_exec", None)
            if not is_task or (taken := self.take()) is None:
                raise RuntimeError("a supervisor of tasks forks nothing else: it has read other tasks' workloads")
            pid, ours = taken
            logger = arguments.pop("logger", None) or supervisor.structlog.get_logger(logger_name="task").bind()
            process = cls(
                pid=pid,
                stdin=ours.requests,
                process=supervisor.PsutilTracker(psutil.Process(pid)),
                process_log=logger,
                start_time=time.monotonic(),
                **arguments,
            )
            register(process, ours.stdout, ours.stderr, ours.requests, ours.logs, data={})
            return process

        watched.start = classmethod(start_early)
