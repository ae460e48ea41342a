"""How much work a month brings, and how many workers that takes."""

from __future__ import annotations

from dataclasses import dataclass

DAYS_A_MONTH = 365 / 12
SECONDS_A_MONTH = DAYS_A_MONTH * 86_400
# Slots of running workers that hold a task, on average: bursts, boots and drains take the rest.
SLOTS_IN_USE = 0.6
# What a task leaves behind; measured with short tasks, and more with talkative ones.
LOG_KB_A_TASK = 20
HOURS_A_WEEK = 168


@dataclass(frozen=True, kw_only=True)
class Load:
    """Tasks on the average day, how long one runs on average, and how often the image is deployed anew.

    `awake_hours_a_week`: for so long the environment does not sleep, more than 0; tasks and deployments come then.
    """

    tasks_a_day: int
    task_s: float
    deployments_a_month: int = 0
    awake_hours_a_week: float = HOURS_A_WEEK

    @property
    def awake(self) -> float:
        """The share of the hours."""
        return self.awake_hours_a_week / HOURS_A_WEEK

    def workers(self, *, concurrency: int, least: int, most: int) -> float:
        """The mean number of workers of a pool that runs all of it: within its limits, as the autoscaler keeps it."""
        busy_slots = self.tasks_a_day * self.task_s / 86_400
        return min(max(busy_slots / SLOTS_IN_USE / concurrency, least * self.awake), most * self.awake)

    @property
    def log_gb_a_month(self) -> float:
        return self.tasks_a_day * DAYS_A_MONTH * LOG_KB_A_TASK / 1_000_000


IDLE = Load(tasks_a_day=0, task_s=0.0)
