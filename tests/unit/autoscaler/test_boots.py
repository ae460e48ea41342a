"""Following the boots under way."""

from autoscaler.boots import FEWEST_TO_LEARN_FROM, GIVEN_UP_AFTER_S, LONGEST_BOOT_S, MOST_LAUNCHES, Boots, Launch

NOW = 1_000.0


def under_way(*launches: tuple[float, int]) -> Boots:
    return Boots(launches=tuple(Launch(at=at, tasks=tasks) for at, tasks in launches))


def test_what_is_asked_for_is_launched_now() -> None:
    assert Boots().seen(3, now=NOW) == under_way((NOW, 3))
    assert under_way((NOW - 5, 3)).seen(4, now=NOW) == under_way((NOW - 5, 3), (NOW, 1))


def test_the_oldest_boots_end_first_and_say_how_long_they_took() -> None:
    after = under_way((NOW - 60, 2), (NOW - 40, 2)).seen(1, now=NOW)
    assert after.launches == (Launch(at=NOW - 40, tasks=1),)
    assert after.took_s == (60, 60, 40)


def test_boots_that_are_given_up_say_nothing() -> None:
    assert under_way((NOW - 60, 2), (NOW - 40, 2)).without(3) == under_way((NOW - 40, 1))


def test_what_took_too_long_was_no_boot() -> None:
    assert under_way((NOW - LONGEST_BOOT_S, 1)).seen(0, now=NOW).took_s == ()


def test_boots_in_their_first_minute_are_paid_for() -> None:
    boots = under_way((NOW - GIVEN_UP_AFTER_S, 1), (NOW - GIVEN_UP_AFTER_S + 1, 2), (NOW, 4))
    assert boots.paid_for(now=NOW) == 6


def test_half_way_is_half_of_what_boots_take_here() -> None:
    launches = under_way((NOW - 60, 1), (NOW - 45, 2), (NOW - 20, 4), (NOW - 19, 8)).launches
    assert Boots(launches=launches).half_way(now=NOW) == 3
    assert Boots(launches=launches, took_s=(40.0,) * FEWEST_TO_LEARN_FROM).half_way(now=NOW) == 7


def test_a_look_that_is_made_twice_learns_nothing_from_what_it_asked_for() -> None:
    asked = under_way((NOW - 50, 3)).seen(5, now=NOW)
    assert asked == under_way((NOW - 50, 3), (NOW, 2))
    assert asked.seen(3, now=NOW) == under_way((NOW - 50, 3))


def test_no_launch_is_in_the_future() -> None:
    assert under_way((NOW + 500, 1)).seen(1, now=NOW) == under_way((NOW, 1))


def test_seven_of_ten_boots_are_in_time_with_the_learned_lead() -> None:
    assert Boots(took_s=tuple(range(1, 51))).lead_s == 35 + 10
    assert Boots(took_s=(1.0,) * (FEWEST_TO_LEARN_FROM - 1)).lead_s == 90 + 10


def test_launches_do_not_pile_up_where_there_is_no_capacity() -> None:
    boots = Boots()
    for count in range(1, 2 * MOST_LAUNCHES):
        boots = boots.seen(count, now=NOW + count)
    assert len(boots.launches) == MOST_LAUNCHES
    assert sum(launch.tasks for launch in boots.launches) == 2 * MOST_LAUNCHES - 1
