"""DAGs of the generated load: when they run, and which stages of tasks a run has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
WORKDAYS = range(5)
EVERY_DAY = range(7)  # 0 is Monday
LEAST_S, MOST_S = 1.0, 4 * 3600.0  # a task's duration


@dataclass(frozen=True, kw_only=True)
class Rhythm:
    """A schedule as of a cron expression: each `every_min` minutes from `minute` on, in these hours, on these days."""

    every_min: int
    minute: int
    hours: range
    days: range

    def due(self, days: int) -> Iterator[float]:
        """Yield due times in seconds since the first midnight, which begins a Monday."""
        for day in range(days):
            if day % 7 in self.days:
                yield from self._due_of(day)

    def _due_of(self, day: int) -> Iterator[float]:
        for minute in range(self.minute, DAY_S // MINUTE_S, self.every_min):
            if minute * MINUTE_S // HOUR_S in self.hours:
                yield float(day * DAY_S + minute * MINUTE_S)


@dataclass(frozen=True, kw_only=True)
class Dag:
    """A DAG of the generated load."""

    dag_id: str
    rhythm: Rhythm  # when it runs
    widths: tuple[int, ...]  # the number of tasks of each stage of a run
    varies: float  # how much fan-outs differ from run to run: the standard deviation of the width's logarithm
    median_s: float  # the median of its tasks' durations, which are log-normal
    spread: float  # the standard deviation of their logarithm

    def draw_run(self, dice: Random) -> list[list[float]]:
        """Draw the durations of a run's tasks, by stage."""
        return [[self._duration(dice) for _ in range(self._width(width, dice))] for width in self.widths]

    def _width(self, width: int, dice: Random) -> int:
        return max(1, round(width * math.exp(dice.gauss(0, self.varies)))) if width > 1 else 1

    def _duration(self, dice: Random) -> float:
        return min(MOST_S, max(LEAST_S, self.median_s * math.exp(dice.gauss(0, self.spread))))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of DAGs."""

    dags: int  # how many there are
    every_min: int  # the minutes between two runs
    hours: tuple[range, ...]  # ranges of hours; each DAG runs in one of them
    workdays: float  # the share of the DAGs that do not run at weekends
    shapes: tuple[str, ...]  # possible shapes of a run, see KINDS
    fan_out: tuple[int, int]  # the fewest and the most tasks of a fan-out
    median_s: float  # the median of the DAGs' median durations


ALL_DAY, OFFICE, NIGHT = range(24), range(6, 20), range(7)
# Each letter of a shape is a stage: 1 is one task, n a fan-out. Many runs begin with a fan-out, for instance one task a
# table: Airflow's scheduler itself ends empty operators before it. Others begin with a task that lists the work.
KINDS = {
    "frequent": Kind(
        dags=10,
        every_min=5,
        hours=(ALL_DAY,),
        workdays=0.0,
        shapes=("1", "11"),
        fan_out=(1, 1),
        median_s=12,
    ),
    "quarter": Kind(
        dags=28,
        every_min=15,
        hours=(ALL_DAY, OFFICE),
        workdays=0.4,
        shapes=("11", "n1", "n"),
        fan_out=(5, 12),
        median_s=25,
    ),
    "hourly": Kind(
        dags=56,
        every_min=60,
        hours=(ALL_DAY, ALL_DAY, OFFICE),
        workdays=0.3,
        shapes=("111", "1n1", "n1", "n"),
        fan_out=(8, 30),
        median_s=35,
    ),
    "four-hourly": Kind(
        dags=20,
        every_min=240,
        hours=(ALL_DAY,),
        workdays=0.2,
        shapes=("1n1", "n1", "n1n1", "1111"),
        fan_out=(12, 50),
        median_s=55,
    ),
    "nightly": Kind(
        dags=71,
        every_min=1440,
        hours=(NIGHT,),
        workdays=0.2,
        shapes=("1n1", "n1", "n1n1", "1111"),
        fan_out=(20, 150),
        median_s=90,
    ),
    "weekly": Kind(
        dags=15,
        every_min=1440,
        hours=(NIGHT,),
        workdays=0.0,
        shapes=("1n1", "n1", "n1n1"),
        fan_out=(100, 400),
        median_s=120,
    ),
}
OTHER_MINUTES = (30, 15, 10, 5)  # the usual choices besides the full hour
MEDIANS_SPREAD = 0.8  # the standard deviation of the logarithm of a kind's medians


@dataclass(frozen=True, kw_only=True)
class Habits:
    """Properties in which installations differ."""

    on_the_hour: float = 0.8  # the share of DAGs that begin at minute 0, as with the presets @hourly and @daily
    longer: float = 1.0  # a factor of all durations
    wider: float = 1.0  # a factor of all fan-outs
    # The most tasks of a run that are queued or running at once: Airflow's max_active_tasks_per_dag, by default.
    most_at_once: int = 16


USUAL = Habits()


def draw_dags(dice: Random, habits: Habits = USUAL) -> Iterator[Dag]:
    """Draw the DAGs of every kind."""
    for name, kind in KINDS.items():
        for number in range(kind.dags):
            yield _draw_dag(f"{name}_{number}", kind, dice, habits, weekly=name == "weekly")


def _draw_dag(dag_id: str, kind: Kind, dice: Random, habits: Habits, *, weekly: bool) -> Dag:
    hours = dice.choice(kind.hours)
    minute = 0 if dice.random() < habits.on_the_hour else dice.choice((*OTHER_MINUTES, dice.randrange(60)))
    if kind.every_min >= DAY_S // MINUTE_S:
        minute += 60 * dice.choice(hours)
    resting = WORKDAYS if dice.random() < kind.workdays else EVERY_DAY
    day = dice.randrange(7)
    shape = dice.choice(kind.shapes)
    return Dag(
        dag_id=dag_id,
        rhythm=Rhythm(
            every_min=kind.every_min,
            minute=minute % kind.every_min,
            hours=hours,
            days=range(day, day + 1) if weekly else resting,
        ),
        widths=tuple(
            1 if stage == "1" else max(1, round(habits.wider * dice.randint(*kind.fan_out))) for stage in shape
        ),
        varies=dice.choice((0.0, 0.0, 0.3)),
        median_s=habits.longer * kind.median_s * math.exp(dice.gauss(0, MEDIANS_SPREAD)),
        spread=dice.uniform(0.2, 0.7),
    )
