"""The pauses of an idle scheduler, by a clock that only sleeping moves."""

import pytest

from agent.idle import LOOPS_AT_ONCE_S, LOOPS_SHARE, POLL_EVERY_S, POLLS_SHARE, Pauses, State

PAUSE_S = 1.0


class World:
    """`state`: what the database says, None for nothing. `changes`: when it says something else."""

    def __init__(self, state: State | None = (1,), *, query_s: float = 0.0) -> None:
        self.now = self.used_s = 0.0
        self.state = state
        self.changes: dict[float, State | None] = {}
        self.polls = 0
        self._query_s = query_s
        self._pauses = Pauses(self._read, sleep=self._sleep, now=lambda: self.now, used=lambda: self.used_s)

    def _sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def _read(self) -> State | None:
        self.polls += 1
        self.now += self._query_s
        for at in [at for at in self.changes if at <= self.now]:
            self.state = self.changes.pop(at)
        return self.state

    def paused_s(self) -> float:
        began = self.now
        self._pauses.pause(PAUSE_S)
        return self.now - began

    def loop(self, used_s: float) -> None:
        """Let the scheduler do its work."""
        self.now += used_s
        self.used_s += used_s


@pytest.fixture
def world() -> World:
    """Return a world whose state is known to the scheduler."""
    world = World()
    assert world.paused_s() == pytest.approx(POLL_EVERY_S)  # nothing was known
    return world


def test_a_pause_is_as_long_as_airflows_if_nothing_changes(world: World) -> None:
    assert world.paused_s() == pytest.approx(PAUSE_S)


def test_a_change_ends_a_pause_at_the_next_poll(world: World) -> None:
    world.changes = {world.now + 0.35: (2,)}
    assert world.paused_s() == pytest.approx(0.4)


def test_a_change_during_the_loops_ends_the_next_pause(world: World) -> None:
    world.state = (2,)
    world.loop(0.01)
    assert world.paused_s() == pytest.approx(POLL_EVERY_S)
    assert world.paused_s() == pytest.approx(PAUSE_S)


def test_a_database_that_does_not_answer_is_no_change(world: World) -> None:
    world.state = None
    assert world.paused_s() == pytest.approx(PAUSE_S)
    world.state = (1,)
    assert world.paused_s() == pytest.approx(PAUSE_S)
    world.state = (2,)
    assert world.paused_s() == pytest.approx(POLL_EVERY_S)


def test_a_slow_query_is_asked_less_often() -> None:
    world = World(query_s=0.01)
    world.paused_s()
    world.polls = 0
    assert world.paused_s() == pytest.approx(PAUSE_S)
    assert world.polls == 1 + (PAUSE_S - POLL_EVERY_S) // (0.01 / POLLS_SHARE)


def test_loops_that_go_on_without_end_get_their_share_of_a_processor(world: World) -> None:
    """Each pause could end early, after which a loop uses 20 ms."""
    began, used_s, early = world.now, world.used_s, 0
    while world.now - began < 600:
        world.state = (world.now,)
        early += world.paused_s() < PAUSE_S - 1e-6
        world.loop(0.02)
    most_s = LOOPS_AT_ONCE_S + LOOPS_SHARE * (world.now - began) + 0.02
    assert 0.8 * most_s <= 0.02 * early <= most_s
    assert world.used_s - used_s < most_s + 600 * 0.02  # and a loop after each whole pause, as ever


def test_what_was_not_used_is_saved_up_within_a_limit(world: World) -> None:
    for _ in range(600):
        world.paused_s()
    early = 0
    for number in range(100):
        world.state = (number, "changed")
        early += world.paused_s() <= POLL_EVERY_S + 1e-6
        world.loop(0.02)
    # 15 loops of 20 ms, and what these and the pauses last adds to the budget.
    assert LOOPS_AT_ONCE_S / 0.02 <= early <= 1.5 * LOOPS_AT_ONCE_S / 0.02


def test_loops_after_a_whole_pause_are_not_counted(world: World) -> None:
    for _ in range(100):
        world.paused_s()
        world.loop(0.5)
    world.state = (2,)
    assert world.paused_s() == pytest.approx(POLL_EVERY_S)
