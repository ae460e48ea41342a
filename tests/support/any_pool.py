"""Hypothesis strategies for what the autoscaler reads and remembers of a pool, sensible or not."""

from hypothesis import strategies as st

from autoscaler.boots import Boots, Launch
from autoscaler.desired import STOPPING_HOLDS_S
from autoscaler.memory import Memory
from autoscaler.observation import Deployment, Fleet, Observation, Service, Worker
from autoscaler.policy import Policy
from autoscaler.racing import Budget
from fleet.member import DRAINED, STATES, STOPPED
from fleet.registry import ORDER_CONSUME, ORDER_DRAIN

NOW = 1_000_000.0
CONCURRENCY = 4

names = st.sampled_from([f"w{n:02}" for n in range(12)])


@st.composite
def workers(draw: st.DrawFn) -> tuple[Worker, ...]:
    """Draw up to twelve workers in any mixture of states, sensible or not."""
    return tuple(
        Worker(
            id=name,
            state=draw(st.sampled_from(sorted(STATES))),
            active=draw(st.integers(0, CONCURRENCY)),
            slots=CONCURRENCY,
            protected=draw(st.booleans()),
            order=draw(st.sampled_from([None, ORDER_CONSUME, ORDER_DRAIN])),
            started_at=NOW - draw(st.sampled_from([60, 600, 7200])),
            deployment=draw(st.sampled_from(["ecs-svc/0", "ecs-svc/1"])),
        )
        for name in draw(st.lists(names, unique=True))
    )


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    counts = st.integers(0, 20)
    deployments = tuple(
        Deployment(id=f"ecs-svc/{n}", status="ACTIVE" if n else "PRIMARY", task_definition="worker:1", running=1)
        for n in range(draw(st.integers(1, 2)))
    )
    service = Service(
        desired=draw(counts),
        running=draw(counts),
        pending=draw(counts),
        deployments=deployments,
        retire_before=draw(st.sampled_from([None, NOW - 300])),
    )
    return Observation(
        now=NOW,
        queued={"default": draw(st.integers(0, 100))},
        fleet=Fleet(workers=draw(workers()), malformed=draw(st.sampled_from([(), ("?",)]))),
        service=service,
    )


policies = st.builds(
    lambda minimum, more, raced, age: Policy(
        minimum=minimum,
        maximum=minimum + more,
        concurrency=CONCURRENCY,
        boots_per_task=raced,
        racing_budget=0.05,
        max_age_s=age,
    ),
    st.integers(0, 3),
    st.integers(0, 10) | st.just(100),
    st.sampled_from([0.0, 0.65]),
    st.sampled_from([None, 3600.0]),
)
memories = st.builds(
    Memory,
    surplus_since=st.none() | st.floats(NOW - 120, NOW + 120),
    stopping=st.dictionaries(names, st.floats(NOW - 2 * STOPPING_HOLDS_S, NOW)),
    boots=st.builds(
        Boots,
        launches=st.lists(st.builds(Launch, at=st.floats(NOW - 120, NOW + 120), tasks=st.integers(1, 9))).map(tuple),
        took_s=st.lists(st.floats(0, 600), max_size=9).map(tuple),
    ),
    racing=st.builds(
        Budget,
        left_s=st.floats(-1e4, 1e6),
        racers=st.integers(0, 50),
        workers=st.integers(0, 50),
        at=st.floats(NOW - 600, NOW + 120),
    ),
)


def parts(observation: Observation) -> tuple[Fleet, Service]:
    assert isinstance(observation.fleet, Fleet)
    assert isinstance(observation.service, Service)
    return observation.fleet, observation.service


def holds_work(worker: Worker) -> bool:
    """May hold protection now or soon: all but the stopped and the drained."""
    return worker.state != STOPPED and not (
        worker.state == DRAINED and not worker.protected and worker.order == ORDER_DRAIN
    )
