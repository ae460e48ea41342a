"""The sleeper's plan: which steps follow from what is seen, and in which order."""

from dataclasses import replace

import pytest

from shared.tags import ASLEEP, AWAKE, DesiredState, asleep_tag, desired_state_in, is_paused, size_asleep
from sleeper.plan import ALARMS_SETTLE_S, AVAILABLE, STOPPED, Plan, Step, Verb, plan
from sleeper.world import Alarms, Service, Work, World

PATIENCE_S = 600
ASKED = 1_000_000
QUIET = Work(queued=0, busy=())
FLOWER = Service(name="flower", arn="f", desired=1, running=1, pending=0)
WORLD = World(
    now=ASKED + 10.0,
    desired_state=DesiredState(state=ASLEEP, since=ASKED),
    airflow=Service(name="airflow", arn="a", desired=2, running=2, pending=0),
    flower=FLOWER,
    pools=(
        Service(name="worker", arn="w", desired=3, running=3, pending=0),
        Service(name="sql", arn="s", desired=0, running=0, pending=0),
    ),
    work=QUIET,
    database=AVAILABLE,
    is_scaling=True,
    alarms=Alarms(loud=("Skewed", "Silent")),
)
TO_WAKE = DesiredState(state=AWAKE, since=ASKED)


def empty(service: Service, *, size_asleep: int | None) -> Service:
    return replace(service, desired=0, running=0, pending=0, size_asleep=size_asleep)


def asleep(world: World = WORLD) -> World:
    """Return the world with everything stopped."""
    return replace(
        world,
        airflow=empty(world.airflow, size_asleep=2),
        flower=empty(FLOWER, size_asleep=1),
        pools=tuple(empty(pool, size_asleep=pool.desired) for pool in world.pools),
        database=STOPPED,
        is_scaling=False,
        alarms=Alarms(silent=("Skewed", "Silent"), ringing=("Silent",)),
    )


def closed(world: World = WORLD) -> World:
    """Return the world with its pools closed."""
    return replace(world, pools=tuple(replace(pool, size_asleep=pool.desired) for pool in world.pools))


def decide(world: World) -> Plan:
    return plan(world, patience_s=PATIENCE_S)


def verbs(found: Plan) -> list[tuple[str, str]]:
    return [(step.verb.value, step.service.name if step.service else "") for step in found.steps]


class TestFallingAsleep:
    def test_nothing_happens_without_a_desired_state(self) -> None:
        found = decide(replace(WORLD, desired_state=None))
        assert (found.phase, found.steps, found.is_settled) == (AWAKE, (), True)

    def test_the_pools_close_when_nothing_is_queued_and_nothing_runs(self) -> None:
        assert decide(WORLD).steps == (
            Step(verb=Verb.MARK_ASLEEP, service=WORLD.pools[0], size=3),
            Step(verb=Verb.MARK_ASLEEP, service=WORLD.pools[1], size=0),
        )

    @pytest.mark.parametrize(
        ("work", "says"),
        [
            (Work(queued=2, busy=()), "2 queued"),
            (Work(queued=0, busy=("3 active on t/worker of pool worker",)), "3 active on t/worker of pool worker"),
            ("ConnectionError: away", "queues and running tasks could not be read: ConnectionError: away"),
        ],
    )
    def test_the_plan_waits_while_there_is_work_or_the_work_is_unknown(self, work: Work | str, says: str) -> None:
        found = decide(replace(WORLD, work=work))
        assert (found.steps, found.is_settled) == ((), False)
        assert says in found.says

    def test_the_plan_waits_for_the_end_of_a_deployment(self) -> None:
        found = decide(replace(WORLD, airflow=replace(WORLD.airflow, is_rolling_out=True)))
        assert found.steps == ()
        assert "a deployment of airflow is under way" in found.says

    def test_the_plan_waits_for_a_pool_whose_autoscaler_is_paused(self) -> None:
        paused = replace(WORLD.pools[0], paused=True)
        found = decide(replace(WORLD, pools=(paused, WORLD.pools[1])))
        assert found.steps == ()
        assert "paused for worker" in found.says

    def test_the_plan_waits_for_draining_workers_with_their_last_tasks(self) -> None:
        found = decide(replace(closed(), work=Work(queued=0, busy=("1 active on t/worker of pool worker",))))
        assert found.steps == ()
        assert "workers drain: worker (3); 1 active on t/worker of pool worker" in found.says

    def test_a_task_that_comes_while_workers_drain_opens_the_pools_again(self) -> None:
        found = decide(replace(closed(), work=Work(queued=1, busy=())))
        assert verbs(found) == [("restore tasks", "worker"), ("restore tasks", "sql")]
        assert [step.size for step in found.steps] == [3, 0]

    def test_the_scheduler_stops_only_when_all_pools_are_empty(self) -> None:
        world = closed()
        gone = replace(world, pools=tuple(empty(pool, size_asleep=pool.size_asleep) for pool in world.pools))
        assert verbs(decide(gone)) == [
            ("silence alarms", ""),
            ("suspend scaling", ""),
            ("mark asleep", "airflow"),
            ("mark asleep", "flower"),
            ("stop tasks", "airflow"),
            ("stop tasks", "flower"),
        ]
        assert ("stop tasks", "airflow") in verbs(decide(replace(gone, flower=None)))
        starting = replace(gone, pools=(replace(gone.pools[0], pending=1), gone.pools[1]))
        assert decide(starting).steps == ()

    def test_the_plan_gives_up_in_time_and_says_which_worker_was_busy(self) -> None:
        late = replace(
            closed(), now=ASKED + PATIENCE_S + 1.0, work=Work(queued=0, busy=("1 active on t/worker of pool worker",))
        )
        found = decide(late)
        assert verbs(found) == [("restore tasks", "worker"), ("restore tasks", "sql"), ("clear desired state", "")]
        assert (found.gave_up, found.is_settled, found.phase) == (True, True, AWAKE)
        assert "1 active on t/worker of pool worker" in found.says

    def test_the_plan_never_gives_up_on_a_quiet_environment(self) -> None:
        assert not decide(replace(WORLD, now=ASKED + PATIENCE_S + 1.0)).gave_up


class TestAsleep:
    def test_the_database_stops_only_when_no_task_is_left(self) -> None:
        stopping = replace(asleep(), database=AVAILABLE, airflow=replace(asleep().airflow, running=1))
        assert decide(stopping).steps == ()
        assert verbs(decide(replace(asleep(), database=AVAILABLE))) == [("stop database", "")]

    def test_messages_of_the_schedulers_last_second_are_dropped_before_the_database_stops(self) -> None:
        late = replace(asleep(), database=AVAILABLE, work=Work(queued=1, busy=()))
        assert verbs(decide(late)) == [("drop messages", ""), ("stop database", "")]

    def test_the_database_keeps_running_while_the_queues_are_unknown(self) -> None:
        assert decide(replace(asleep(), database=AVAILABLE, work="TimeoutError")).steps == ()

    def test_the_plan_is_settled_when_the_database_has_stopped(self) -> None:
        assert decide(asleep()) == Plan(phase=ASLEEP, says="asleep", is_settled=True)
        assert not decide(replace(asleep(), database="stopping")).is_settled

    def test_a_database_that_rds_starts_after_seven_days_is_stopped_again(self) -> None:
        assert decide(replace(asleep(), database="starting")).steps == ()
        assert verbs(decide(replace(asleep(), now=ASKED + 7 * 86400.0, database=AVAILABLE))) == [("stop database", "")]

    def test_changes_by_an_update_of_the_stack_are_undone(self) -> None:
        new_pool = Service(name="new", arn="n", desired=1, running=0, pending=1)
        changed = replace(
            asleep(),
            flower=replace(empty(FLOWER, size_asleep=1), desired=1),
            pools=(*asleep().pools, new_pool),
            alarms=Alarms(loud=("Skewed",)),
            is_scaling=True,
        )
        expected = [("silence alarms", ""), ("suspend scaling", ""), ("mark asleep", "new"), ("stop tasks", "flower")]
        assert verbs(decide(changed)) == expected

    def test_a_size_that_is_written_down_is_not_written_again(self) -> None:
        again = replace(asleep(), airflow=replace(asleep().airflow, desired=5))
        assert verbs(decide(again)) == [("stop tasks", "airflow")]


class TestWaking:
    def waking(self, **changes: object) -> World:
        return replace(asleep(), desired_state=TO_WAKE, **changes)  # type: ignore[arg-type]

    def test_the_database_comes_first(self) -> None:
        assert verbs(decide(self.waking())) == [("start database", "")]
        assert decide(self.waking(database="starting")).steps == ()

    def test_a_database_that_still_stops_is_waited_for(self) -> None:
        found = decide(self.waking(database="stopping"))
        assert (found.steps, found.is_settled) == ((), False)

    @pytest.mark.parametrize("database", ["backing-up", "storage-optimization"])
    def test_a_database_that_is_busy_with_itself_serves_all_the_same(self, database: str) -> None:
        assert verbs(decide(self.waking(database=database)))[0] == ("restore tasks", "airflow")

    def test_airflow_starts_after_the_database_with_the_size_it_had(self) -> None:
        found = decide(self.waking(database=AVAILABLE))
        assert verbs(found) == [("restore tasks", "airflow"), ("resume scaling", "")]
        assert found.steps[0].size == 2

    def test_the_workers_start_when_airflow_runs(self) -> None:
        starting = replace(WORLD.airflow, running=1)
        assert decide(self.waking(database=AVAILABLE, airflow=starting, is_scaling=True)).steps == ()
        found = decide(self.waking(database=AVAILABLE, airflow=WORLD.airflow, is_scaling=True))
        assert verbs(found) == [("restore tasks", "worker"), ("restore tasks", "sql")]
        assert [step.size for step in found.steps] == [3, 0]

    def test_flower_starts_when_the_workers_run(self) -> None:
        up: dict[str, object] = {"database": AVAILABLE, "airflow": WORLD.airflow, "is_scaling": True}
        starting = replace(WORLD.pools[0], running=1)
        assert decide(self.waking(**up, pools=(starting, WORLD.pools[1]))).steps == ()
        assert verbs(decide(self.waking(**up, pools=WORLD.pools))) == [("restore tasks", "flower")]

    def test_nothing_waits_for_flower_where_there_is_none(self) -> None:
        up: dict[str, object] = {"database": AVAILABLE, "airflow": WORLD.airflow, "is_scaling": True, "flower": None}
        found = decide(self.waking(**up, pools=WORLD.pools))
        assert (found.phase, found.is_settled) == (AWAKE, True)

    def test_an_alarm_that_is_on_from_the_sleep_is_not_armed_yet(self) -> None:
        awake = replace(WORLD, desired_state=TO_WAKE, alarms=Alarms(silent=("Skewed", "Silent"), ringing=("Silent",)))
        found = decide(awake)
        assert found.steps == (Step(verb=Verb.ARM_ALARMS, names=("Skewed",)),)
        assert (found.phase, found.is_settled) == (AWAKE, True)

    def test_an_alarm_that_stays_on_is_armed_and_notifies(self) -> None:
        late = ASKED + ALARMS_SETTLE_S + 1.0
        awake = replace(WORLD, now=late, desired_state=TO_WAKE, alarms=Alarms(silent=("Silent",), ringing=("Silent",)))
        assert decide(awake).steps == (
            Step(verb=Verb.REARM_ALARMS, names=("Silent",)),
            Step(verb=Verb.CLEAR_DESIRED_STATE),
        )

    def test_the_desired_state_is_cleared_when_everything_runs_again(self) -> None:
        awake = replace(WORLD, desired_state=TO_WAKE)
        assert decide(awake) == Plan(
            phase=AWAKE, says="awake", steps=(Step(verb=Verb.CLEAR_DESIRED_STATE),), is_settled=True
        )

    def test_pools_that_were_only_closed_open_again(self) -> None:
        assert verbs(decide(replace(closed(), desired_state=TO_WAKE))) == [
            ("restore tasks", "worker"),
            ("restore tasks", "sql"),
        ]


def test_a_service_that_sleeps_without_a_desired_state_is_named() -> None:
    assert "asleep: airflow, worker, sql, flower: run make sleep" in decide(replace(asleep(), desired_state=None)).says


def test_a_desired_state_is_read_as_it_was_written() -> None:
    desired_state = DesiredState(state=ASLEEP, since=ASKED)
    assert desired_state_in([{"key": "owner", "value": "x"}, desired_state.to_tag()]) == desired_state


@pytest.mark.parametrize("value", ["", "asleep", "asleep soon", "dead 1000", "asleep -1"])
def test_a_malformed_desired_state_is_none(value: str) -> None:
    assert desired_state_in([{"key": "airflow-on-ecs:sleep", "value": value}]) is None


def test_a_size_of_zero_differs_from_a_missing_size() -> None:
    assert size_asleep([asleep_tag(0)]) == 0
    assert size_asleep([]) is None


@pytest.mark.parametrize(("value", "paused"), [("true", True), (" True ", True), ("false", False), ("", False)])
def test_a_pool_is_paused_by_its_tag(value: str, paused: bool) -> None:
    assert is_paused([{"key": "airflow-on-ecs:paused", "value": value}]) is paused
