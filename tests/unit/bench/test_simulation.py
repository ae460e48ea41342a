"""The simulation, by exact timelines of small scenarios."""

import pytest

from bench.loads.bounds import clairvoyant_hours, first_fit_hours, work_hours
from bench.loads.load import Load, load_of
from bench.policies.peer import Peer
from bench.sim.boots import Boots, BootSequence, LaunchBucket
from bench.sim.clock import Clock
from bench.sim.ecs import Bill
from bench.sim.metrics import quantile
from bench.sim.pool import SimPool
from bench.sim.trial import Outcome, Setting, run_trial

CONSTANT = Boots(median_s=60, p95_s=60)


class Script(Peer):
    """Sets the given desired counts, one a tick, and keeps the last one."""

    name = "script"
    period_s = 10.0

    def __init__(self, *counts: int, grace_s: float = 120.0) -> None:
        self._counts = list(counts)
        self.grace_s = grace_s
        self.ticked_at: list[float] = []

    def begin(self, pool: SimPool) -> None:
        super().begin(pool)
        pool.ecs.set_desired(self._counts.pop(0))

    def tick(self) -> None:
        self.ticked_at.append(self.pool.clock.now)
        if self._counts:
            self.pool.ecs.set_desired(self._counts.pop(0))


def ran(script: Script, tasks: list[tuple[float, float]], *, slots: int = 2) -> Outcome:
    load = load_of("test", tasks)
    return run_trial(script, load=load, setting=Setting(slots=slots, minimum=0, boots=CONSTANT), seed=1)


def test_actions_run_in_the_order_of_their_times_and_of_planning() -> None:
    clock = Clock()
    done: list[str] = []
    for time, what in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        clock.at(time, done.append, what)
    clock.run()
    assert (done, clock.now) == (["a", "b", "c"], 2.0)


def ticks(*, skip_until: float, plans: tuple[float, ...], end: float) -> list[tuple[float, float | None]]:
    """Return the times of a clock's ticks, each with the last tick skipped before; the period is 10 s, from 0 on."""
    clock, done = Clock(), []

    def tick() -> float:
        done.append((clock.now, clock.skipped_at))
        return skip_until

    clock.regularly(10.0, tick, first_at=0.0)
    for time in plans:
        clock.at(time, lambda _: None)
    clock.at(end, lambda _: clock.stop())
    clock.run()
    return done


def test_ticks_are_skipped_until_the_time_that_the_last_one_returned() -> None:
    assert ticks(skip_until=0.0, plans=(), end=25.0) == [(0.0, None), (10.0, None), (20.0, None)]
    assert ticks(skip_until=20.0, plans=(), end=35.0) == [(0.0, None), (20.0, 10.0), (30.0, None)]
    assert ticks(skip_until=20.5, plans=(), end=35.0) == [(0.0, None), (30.0, 20.0)]


def test_no_tick_is_skipped_after_another_action() -> None:
    assert ticks(skip_until=1000.0, plans=(12.0, 15.0, 48.0), end=65.0) == [(0.0, None), (20.0, 10.0), (50.0, 40.0)]


def test_actions_of_the_same_time_run_in_the_order_of_planning() -> None:
    # The tick of 20 is planned when that of 10 is skipped, after the other action of 20.
    assert ticks(skip_until=1000.0, plans=(20.0,), end=25.0) == [(0.0, None), (20.0, 10.0)]


def test_a_task_waits_for_the_boot_and_the_next_for_its_slot() -> None:
    # One worker of 2 slots consumes at 60. Three tasks of 100 s arrive at 0: two wait 60 s, the third until 160.
    outcome = ran(Script(1), [(0, 100), (0, 100), (0, 100)])
    assert outcome.figures.wait_p50 == 60
    assert outcome.figures.wait_p99 == 160
    assert outcome.figures.delay_p95 == 160
    assert outcome.worker_hours == 260 / 3600  # billed from 0 to the end of the third
    assert (outcome.completed, outcome.killed, outcome.boots) == (3, 0, 1)


def test_a_task_that_runs_longer_than_the_grace_is_killed_and_starts_again() -> None:
    # The worker is stopped at the first tick (phase < 10 s) after both tasks began at 60; they have 30 s of grace.
    script = Script(1, 1, 1, 1, 1, 1, 1, 0, 1, grace_s=30)
    outcome = ran(script, [(0, 100), (0, 20)])
    stopped = script.ticked_at[6]
    assert 60 <= stopped < 70
    assert outcome.killed == 1  # the one of 20 s ends within the grace
    assert outcome.redone_hours == pytest.approx((stopped + 30 - 60) / 3600)
    # The next worker is launched 10 s after the stop, and boots for 60 s; the task waits in the queue from the kill.
    assert outcome.figures.delay_p95 == pytest.approx(stopped + 10 + 60)
    assert outcome.completed == 2


def test_a_canceled_boot_costs_a_minute() -> None:
    # Two workers are launched at 0, one is canceled at the first tick, before it is ready.
    script = Script(2, 1)
    outcome = ran(script, [(0, 10)])
    assert outcome.worker_hours == pytest.approx((70 + 60) / 3600)
    assert (outcome.boots, outcome.unready) == (2, 1)


def test_a_worker_is_billed_for_at_least_a_minute_if_it_was_launched() -> None:
    bill = Bill()
    bill.add(launched_at=0, ended_at=10, was_ready=False)
    bill.add(launched_at=0, ended_at=100, was_ready=True)
    bill.add(launched_at=50, ended_at=49, was_ready=False)
    assert (bill.seconds, bill.boots, bill.unready) == (160, 2, 1)


def test_launches_beyond_the_burst_wait_for_their_tokens() -> None:
    bucket = LaunchBucket(burst=2, per_s=0.5)
    assert [bucket.take(0), bucket.take(0), bucket.take(0), bucket.take(0)] == [0, 0, 2, 4]
    assert bucket.take(10) == 10  # 10 s later 5 tokens have come: 2 were owed, 2 are kept, one is taken
    assert (bucket.late, bucket.latest_s) == (2, 4)


def test_a_trial_counts_the_launches_that_waited_for_the_quota() -> None:
    script = Script(3)
    outcome = run_trial(
        script, load=load_of("burst", [(0, 10)]), setting=Setting(slots=1, launch_burst=1, launch_per_s=0.5), seed=1
    )
    assert (outcome.late_launches, outcome.latest_launch_s) == (2, 4)


def test_boots_have_the_given_median_and_quantile() -> None:
    sequence = BootSequence(Boots(median_s=60, p95_s=110), seed=1)
    times = sorted(sequence.next(launched_at=0).takes_s for _ in range(20_000))
    assert quantile(times, 0.5) == pytest.approx(60, rel=0.02)
    assert quantile(times, 0.95) == pytest.approx(110, rel=0.02)


def test_correlated_boots_of_the_same_minutes_are_alike() -> None:
    sequence = BootSequence(Boots(correlated=1.0), seed=1)
    assert sequence.next(launched_at=10).takes_s == sequence.next(launched_at=290).takes_s
    assert sequence.next(launched_at=10).takes_s != sequence.next(launched_at=310).takes_s


def test_the_bound_pays_idling_or_a_boot_for_a_gap_whichever_is_cheaper() -> None:
    # One slot: busy 0-100, 130-200, 500-600. Work 270 s; first boot 60; gaps of 30 and 300: 30 and 60.
    load = load_of("gaps", [(0, 100), (130, 70), (500, 100)])
    assert clairvoyant_hours(load, slots=1, boot_s=60) == pytest.approx((270 + 60 + 30 + 60) / 3600)
    assert work_hours(load, slots=1) == pytest.approx(270 / 3600)


def test_the_bound_lets_tasks_move_between_workers() -> None:
    # Two slots, three tasks at once, one longer: two workers for 10 s, then one for 90 s.
    load = load_of("moves", [(0, 100), (0, 10), (0, 10)])
    assert clairvoyant_hours(load, slots=2, boot_s=60) == pytest.approx((20 + 90 + 120) / 3600)


def test_first_fit_keeps_a_worker_for_its_longest_task() -> None:
    # Two slots, three tasks at once: one worker for 100 s, one for 10 s, a boot each.
    load = load_of("stays", [(0, 100), (0, 10), (0, 10)])
    assert first_fit_hours(load, slots=2, boot_s=60) == pytest.approx((100 + 10 + 120) / 3600)


def test_first_fit_takes_the_longest_running_worker_with_a_free_slot() -> None:
    # At 20 s both workers have a free slot: the first one takes the task, so the second one ends at 50 s.
    load = load_of("gathers", [(0, 100), (0, 20), (10, 40), (20, 60)])
    assert first_fit_hours(load, slots=2, boot_s=0) == pytest.approx((100 + 40) / 3600)


def test_first_fit_boots_again_when_no_worker_is_left() -> None:
    load = load_of("gaps", [(0, 100), (130, 70)])
    assert first_fit_hours(load, slots=4, boot_s=60) == pytest.approx((170 + 120) / 3600)


@pytest.mark.parametrize("tasks", [[], [(0.0, -1.0)]])
def test_a_load_without_tasks_or_with_negative_work_is_refused(tasks: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="test has"):
        load_of("test", tasks)


def test_a_load_begins_with_its_first_arrival() -> None:
    assert load_of("x", [(7.0, 1.0), (5.0, 2.0)]) == Load(name="x", arrivals=[0.0, 2.0], durations=[2.0, 1.0])
