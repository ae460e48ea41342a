"""Simulates the workers that a history's tasks would have had, and divides what these cost among the tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.costs.settings import PoolSettings, Settings
from bench.loads.load import Load
from bench.loads.payers import PaidTask
from bench.policies.own_autoscaler import OwnAutoscaler
from bench.sim.boots import Boots
from bench.sim.trial import Course, Setting, run_course
from fleet.attribution import Ran, attribute, counts_of_lives
from fleet.costs import DAY_S, Day, PoolDay, day_of

HOUR_S = 3600


def days_of(tasks: Sequence[PaidTask], settings: Settings, *, boots: Boots, seed: int) -> list[Day]:
    """Return what each day would have cost: one of UTC, from the first task until the last one ended.

    `tasks`: in the order in which they were queued. Those of queues that no pool serves are left out.
    """
    begin = tasks[0].queued
    courses: dict[str, tuple[list[PaidTask], Course]] = {}
    for each in settings.pools:
        own = [task for task in tasks if task.queue in each.pool.queues]
        courses[each.pool.name] = own, _course(own, each, settings, begin=begin, boots=boots, seed=seed)
    until = max(course.until for _, course in courses.values())
    days: dict[int, dict[str, PoolDay]] = defaultdict(dict)
    for each in settings.pools:
        own, course = courses[each.pool.name]
        # The fewest workers of a pool run on when its own last task has ended.
        lives = [*course.lives, *[(course.until, until)] * each.policy.minimum]
        for day, found in _by_day(own, course, lives, each, begin=begin).items():
            days[day][each.pool.name] = found
    return [Day(begin=day, until=float(day + DAY_S), pools=pools) for day, pools in sorted(days.items())]


def _course(
    tasks: Sequence[PaidTask], each: PoolSettings, settings: Settings, *, begin: float, boots: Boots, seed: int
) -> Course:
    """Simulate one pool from the history's begin on."""
    if not tasks:
        return Course(started=(), ended=(), ran_on=(), unfinished=(), lives=(), until=0.0)
    load = Load(
        name=each.pool.name,
        arrivals=[task.queued - begin for task in tasks],
        durations=[task.ran_s for task in tasks],
    )
    policy = each.policy
    setting = Setting(slots=policy.concurrency, minimum=policy.minimum, maximum=policy.maximum, boots=boots)
    return run_course(OwnAutoscaler(policy, period_s=settings.poll_s), load=load, setting=setting, seed=seed)


def _by_day(
    tasks: Sequence[PaidTask],
    course: Course,
    lives: Sequence[tuple[float, float]],
    each: PoolSettings,
    *,
    begin: float,
) -> dict[int, PoolDay]:
    """Divide a pool's worker-seconds among its tasks, day by day."""
    pool, unfinished = each.pool.name, set(course.unfinished)
    ran: dict[int, list[Ran]] = defaultdict(list)
    for number, task in enumerate(tasks):
        if number in unfinished:
            continue
        start, end = begin + course.started[number], begin + course.ended[number]
        one = Ran(payer=task.payer, pool=pool, host=str(course.ran_on[number]), start=start, end=end)
        for day in range(day_of(start), day_of(end) + 1, DAY_S):
            ran[day].append(one)
    counts = {pool: counts_of_lives((begin + launched_at, begin + ended_at) for launched_at, ended_at in lives)}
    last = max((begin + ended_at for _, ended_at in lives), default=begin)
    found = {}
    for day in range(day_of(begin), day_of(last) + 1, DAY_S):
        use = attribute(ran[day], counts, begin=day, end=day + DAY_S)[pool]
        hours = use.worker_s / HOUR_S
        usd = hours * each.prices.mean_usd(use.worker_s / DAY_S)
        found[day] = PoolDay(use=use, usd=usd)
    return found
