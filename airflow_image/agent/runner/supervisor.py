"""The process that supervises tasks, one after the other, or one workload of another kind.

The runner forks it, and sends it each workload's stream. A supervisor of tasks has a zygote, which forks them, and is
used again as long as it carries nothing from one to the next. A workload of another kind is forked from its
supervisor's own memory, so that supervisor is new and used once.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from agent.runner import protocol, running
from agent.runner.carried import Carried
from agent.runner.deaths import answer
from agent.runner.early_task import EarlyTask
from agent.runner.memory_report import MemoryReport
from agent.runner.orphans import LeftBehind, adopt_orphans, bind_to_parent, has_ended, listed
from agent.runner.protocol import Outcome

log = logging.getLogger(__name__)

MOST_TASKS = 100  # then a new one begins: what Python and its libraries keep by themselves does not add up

Supervise = Callable[[str, MemoryReport], None]  # a workload


class Supervisor:
    """This process, which the runner has just forked."""

    def __init__(self, folder: Path, supervise: Supervise, report: MemoryReport) -> None:
        """`folder`: that worker and runner share. `report`: what the runner tells of the task's memory."""
        self._folder, self._supervise, self._report = folder, supervise, report

    def run_tasks(self, channel: socket.socket, tasks: EarlyTask) -> None:
        """Run what the runner sends, until it closes its end or this process must not go on. Raises OSError."""
        adopt_orphans()
        zygote = tasks.begin(closing=(channel, self._report))
        channel.send(protocol.zygote_message(zygote))
        before = Carried.by_this_process()
        try:
            for last in reversed(range(MOST_TASKS)):
                if (sent := protocol.receive_assignment(channel)) is None:
                    return
                start, stream = sent
                outcome = contextvars.copy_context().run(self._run_task, stream, start.dags_hash, tasks, zygote)
                is_reusable = bool(last) and outcome.is_whole and not has_ended(zygote) and _is_as(before, stream)
                if is_reusable:
                    # Before the answer: the worker has another task at once, for which there would be no supervisor.
                    with contextlib.suppress(OSError):
                        channel.send(protocol.IDLE)
                answer(stream, outcome)
                if not is_reusable:
                    return
        finally:
            tasks.end()

    def run_other(self, channel: socket.socket) -> None:
        """Run the one workload that the runner sends; `supervise` forks it from this process. Raises OSError."""
        if (sent := protocol.receive_assignment(channel)) is None:
            return
        channel.close()
        _, stream = sent
        left_behind = LeftBehind()
        left_behind.watch()
        bind_to_parent()
        self._report.hide_from_tasks()
        # A task, and what it leaves behind, must not keep the stream open, nor be able to write to it.
        os.register_at_fork(after_in_child=stream.close)
        with running.noted(self._folder):
            answer(stream, self._run(stream, left_behind))

    def _run_task(self, stream: socket.socket, dags_hash: str, tasks: EarlyTask, zygote: int) -> Outcome:
        left_behind = LeftBehind(but=frozenset({zygote}))
        with running.noted(self._folder):
            return self._run(stream, left_behind, lambda: tasks.forked(dags_hash, left_behind.watch_task))

    def _run(
        self,
        stream: socket.socket,
        left_behind: LeftBehind,
        begin: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> Outcome:
        """Run one workload to its end, and end what it has left behind."""
        error = reason = task = ""
        is_started = False
        try:
            with begin():
                is_started = True
                workload = protocol.receive_workload(stream)
                task = protocol.name_of(workload)
                self._supervise(workload, self._report)
        except BaseException as raised:  # noqa: BLE001 - the worker is told
            error, reason = type(raised).__name__, str(raised)[: protocol.MAX_REASON]
        if ended := left_behind.end():
            log.warning("fleet: the task %s has left processes behind, which are ended: %s", task, listed(ended))
        told = self._report.told()
        return Outcome(
            is_started=is_started,
            error=error,
            reason=reason,
            peak=told.peak,
            memory_limit=told.limit,
            left_behind=len(ended),
        )


def _is_as(before: Carried, stream: socket.socket) -> bool:
    """Return whether this process carries nothing but `stream` to the next task; not if that cannot be found out."""
    try:
        differs = Carried.by_this_process(but={stream.fileno()}).differs_in(before)
    except OSError as error:
        differs = [f"state, which cannot be read ({error})"]
    if differs:
        log.info("runner: a supervisor is not used again: a task has changed its %s", ", ".join(differs))
    return not differs
