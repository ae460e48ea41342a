"""Tells all changes since a position, by run and in order, and says how far it came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from agent.events.changes import NO_RUN, NO_TASK, Changes, Mark, Runs, Tries
from agent.events.event import Event, Site, of_run, of_try
from agent.events.rows import Run
from agent.events.sender import Sender
from agent.events.told import Told

RUNS_AT_ONCE = 500
TASKS_AT_ONCE = 1000


class Follower:
    """Tells changes once each, as long as it remembers them. `advance(time)` is called when all before it are told."""

    def __init__(self, sender: Sender, site: Site, *, told: Told, advance: Callable[[datetime], None]) -> None:
        self._sender, self._site, self._told, self._advance = sender, site, told, advance

    def tick(self, changes: Changes, *, since: datetime) -> None:
        """Tell what was written since then. Raises NotSent, or SQLAlchemyError.

        Of a run, that it is queued or runs is told before its tasks, and its end behind them: the runs are read first,
        so that all that its tasks did before the end has appeared when the tasks are read.
        """
        settled = changes.settled_until()
        run_mark, task_mark = Mark(at=since, id=NO_RUN), Mark(at=since, id=NO_TASK)
        is_all = False
        while not is_all:
            page = changes.runs(run_mark, most=RUNS_AT_ONCE)
            is_all, run_mark = page.is_all, page.mark
            self._tell(of_run(run, self._site) for run in page.runs if not run.is_ended)
            task_mark = self._tell_tasks(changes, task_mark, until=_until(page, settled), since=since)
            self._tell(of_run(run, self._site) for run in page.runs if run.is_ended)
            self._advance(max(since, settled if is_all else min(settled, run_mark.at)))

    def _tell_tasks(self, changes: Changes, mark: Mark, *, until: datetime, since: datetime) -> Mark:
        is_all = False
        while not is_all:
            page = changes.tries(mark, until=until, most=TASKS_AT_ONCE)
            is_all, mark = page.is_all, page.mark
            self._tell(of_run(run, self._site) for run in _begun(page))
            past: list[Event] = []
            for tries in changes.past(page, since=since, most=TASKS_AT_ONCE):
                past += self._told.unknown_past(of_try(each, self._site) for each in tries)
                if len(past) > TASKS_AT_ONCE:
                    self._send(_ordered(past))
                    past.clear()
            present = self._told.unknown(of_try(each, self._site) for each in page.present)
            self._send(_ordered([*past, *present]))
        return mark

    def _tell(self, events: Iterable[Event]) -> None:
        self._send(_ordered(self._told.unknown(events)))

    def _send(self, events: Sequence[Event]) -> None:
        self._sender.send(events, self._told.add)


def _until(page: Runs, settled: datetime) -> datetime:
    """Return until when tasks are read beside these runs: the last, if there are more; otherwise all."""
    return settled + timedelta(days=1) if page.is_all else page.mark.at


def _begun(page: Tries) -> list[Run]:
    """List the runs of these tasks that are queued or run, each once: they may have begun after the runs were read."""
    begun = (each.run for each in page.present if not each.run.is_ended)
    return list({(run.dag_id, run.run_id): run for run in begun}.values())


def _ordered(events: Sequence[Event]) -> list[Event]:
    """Sort by time. Tries of one task that have the same one follow their numbers."""
    return sorted(events, key=lambda event: (event.since, event.detail.get("try_number", 0)))
