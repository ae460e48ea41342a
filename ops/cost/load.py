"""The work of a month, and the workers that it needs."""

from __future__ import annotations

from dataclasses import dataclass

DAYS_A_MONTH = 365 / 12
# Share of running workers' slots that hold a task, on average: bursts, boots and drains take the rest.
SLOTS_IN_USE = 0.6
# Log of one task, measured with short tasks; tasks that log much leave more.
LOG_KB_A_TASK = 20
HOURS_A_WEEK = 168
# State changes that are sent to an event bus, at most: four of a task, and three of a run of three tasks.
EVENTS_A_TASK = 5


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tasks on an average day, how long one runs on average, and deployments of the image a month.

    `awake_hours_a_week`: hours in which the environment is awake, more than 0. Tasks and deployments come then.
    """

    tasks_a_day: int
    task_s: float
    deployments_a_month: int = 0
    awake_hours_a_week: float = HOURS_A_WEEK

    @property
    def awake(self) -> float:
        """Return the share of hours in which the environment is awake."""
        return self.awake_hours_a_week / HOURS_A_WEEK

    def workers(self, *, concurrency: int, least: int, most: int) -> float:
        """Return the mean number of workers of a pool that runs the whole load, within the pool's limits."""
        busy_slots = self.tasks_a_day * self.task_s / 86_400
        return min(max(busy_slots / SLOTS_IN_USE / concurrency, least * self.awake), most * self.awake)

    @property
    def tasks_a_month(self) -> float:
        return self.tasks_a_day * DAYS_A_MONTH

    @property
    def log_gb_a_month(self) -> float:
        return self.tasks_a_month * LOG_KB_A_TASK / 1_000_000

    @property
    def events_a_month(self) -> float:
        return self.tasks_a_month * EVENTS_A_TASK


IDLE = Load(tasks_a_day=0, task_s=0.0)
