"""What a worker learns of the memory that tasks need."""

from agent.peaks import LAST_OF_A_TASK, MOST_TASKS, Peaks
from fleet.peaks import LAST, PoolPeaks

MIB = 1024 * 1024


def learnt(*runs: tuple[str, int], is_whole: bool = True) -> Peaks:
    peaks = Peaks()
    for task, peak in runs:
        peaks.learn(task, peak, is_whole=is_whole)
    return peaks


def test_nothing_is_known_at_first() -> None:
    assert (Peaks().of("a"), Peaks().typical) == (None, 0)


def test_a_task_needs_the_largest_of_its_last_peaks() -> None:
    assert learnt(("a", 100), ("a", 400), ("a", 90)).of("a") == 400


def test_an_old_peak_is_forgotten() -> None:
    assert learnt(("a", 400), *[("a", 100)] * LAST_OF_A_TASK).of("a") == 100


def test_a_task_that_was_ended_needs_at_least_what_it_held() -> None:
    peaks = learnt(("a", 100))
    peaks.learn("a", 900, is_whole=False)
    assert peaks.of("a") == 900
    peaks.learn("a", 50, is_whole=False)
    assert peaks.of("a") == 900


def test_tasks_that_were_ended_are_not_typical() -> None:
    assert learnt(("a", 900), is_whole=False).typical == 0


def test_nine_of_ten_messages_need_no_more_than_what_is_typical() -> None:
    """Messages count, not tasks: a large task that seldom runs does not let small ones wait."""
    assert learnt(*[("small", 10)] * 89, *[("large", 900)] * 9).typical == 10
    assert learnt(*[("small", 10)] * 80, *[("large", 900)] * 20).typical == 900
    assert learnt(("large", 900)).typical == 900


def test_only_the_last_tasks_are_typical() -> None:
    assert learnt(*[("a", 900)] * LAST, *[("b", 10)] * LAST).typical == 10


def test_the_tasks_that_ran_last_are_remembered() -> None:
    peaks = learnt(*[(str(number), 10) for number in range(MOST_TASKS)])
    peaks.learn("0", 10, is_whole=True)
    peaks.learn("another", 10, is_whole=True)
    assert (peaks.of("0"), peaks.of("1"), peaks.of("another")) == (10, None, 10)


def test_a_worker_begins_with_what_others_have_learned_and_goes_on_with_its_own() -> None:
    peaks = learnt(("a", 10 * MIB))
    peaks.adopt(PoolPeaks(last=(400,) * LAST, room=1))
    assert peaks.typical == 400 * MIB
    for _ in range(LAST - 1):
        peaks.learn("a", 10 * MIB, is_whole=True)
    assert peaks.typical == 10 * MIB


def test_a_worker_tells_what_it_has_learned_once() -> None:
    peaks = learnt(("a", 10 * MIB), ("b", 20 * MIB + 1))
    known = PoolPeaks(last=(7,), room=1)
    assert peaks.added_to(known) == PoolPeaks(last=(7, 10, 21), room=1)
    assert peaks.added_to(known) is None
    peaks.learn("leak", 900 * MIB, is_whole=False)
    assert peaks.added_to(known) is None
