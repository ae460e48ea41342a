"""What is known of one task instance when its story is told. Times are seconds since the epoch; None: not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.ends import End
from fleet.member import Code, Member
from fleet.pools import Pool


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try of a task. `instance`: the id that the task instance had then. `host`: where it ran."""

    instance: str
    number: int
    state: str | None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    host: str = ""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A task instance as Airflow's database has it. `attempt`: its present try; `earlier`: those before, oldest first.

    `pokes`: how often its present try has asked to go on later, and `next_poke_at` when it will.
    """

    dag: str
    run: str
    task: str
    map_index: int
    attempt: Attempt
    earlier: tuple[Attempt, ...] = ()
    max_tries: int = 0
    pool: str = "default_pool"
    pool_slots: int = 1
    queue: str = "default"
    scheduled_at: float | None = None
    heartbeat_at: float | None = None
    next_method: str = ""
    trigger_timeout_at: float | None = None
    retry_reason: str = ""
    pokes: int = 0
    next_poke_at: float | None = None

    @property
    def state(self) -> str | None:
        return self.attempt.state

    @property
    def tries(self) -> tuple[str, ...]:
        """The ids that the instance had in its tries, the present one last."""
        return tuple(attempt.instance for attempt in (*self.earlier, self.attempt))


@dataclass(frozen=True, kw_only=True)
class Run:
    """The DAG run. `active_of_dag`: how many runs of its DAG are active; `tasks_active`: how many of its own tasks."""

    state: str
    run_after: float | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    decided_at: float | None = None
    active_of_dag: int = 0
    tasks_active: int = 0


@dataclass(frozen=True, kw_only=True)
class Dag:
    """The DAG's settings. `import_error_at`: since when its file cannot be imported."""

    is_paused: bool = False
    is_stale: bool = False
    max_active_tasks: int = 16
    max_active_runs: int | None = 16
    import_error_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A task before this one in the DAG, and how many of its instances have which state ("none" without one)."""

    task: str
    states: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Task:
    """The task as the run's version of the DAG defines it. `retry_at`: when a try after the last one is due.

    `unmet`: what Airflow itself says of dependencies that are not met, by their names.
    """

    trigger_rule: str = "all_success"
    start_date: float | None = None
    execution_timeout_s: float | None = None
    retry_at: float | None = None
    is_sensor: bool = False
    upstream: tuple[Upstream, ...] = ()
    unmet: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AirflowPool:
    """A pool of Airflow (not of workers). `slots` is -1 for no limit. `holders`: slots taken, by DAG.

    DAGs that the reader may not see have no name: "".
    """

    slots: int
    taken: int
    holders: Mapping[str, int] = field(default_factory=dict)
    since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a queued task is among those that are queued for the same queue: how many are before it, of how many."""

    ahead: int
    queued: int


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """What a deferred task waits for. `heartbeat_at`: of the triggerer that runs it; None if none has taken it."""

    name: str
    created_at: float | None = None
    heartbeat_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of Airflow's audit log about the task, or its run. `text`: what it says beside its name."""

    t: float
    name: str
    text: str = ""
    try_number: int | None = None
    is_of_run: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A decision of the autoscaler, as recorded."""

    t: float
    reason: str
    desired: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The pool of workers that serves the task's queue. `trouble`: why nothing is known; empty if all is.

    `pool`: None if none serves it. `workers`: live members. `decisions`: latest first. `booting_since`: the oldest boot
    under way. `boot_takes_s`: the median of the last boots. `waiting`: tasks that wait in the scheduler for a slot.
    `webserver`: its code, None without one. `schedulers`: how many report.
    """

    trouble: str = ""
    pool: Pool | None = None
    served: tuple[str, ...] = ()
    workers: tuple[Member, ...] = ()
    decisions: tuple[Decision, ...] = ()
    booting: int = 0
    booting_since: float | None = None
    boot_takes_s: float | None = None
    waiting: int = 0
    expected: tuple[tuple[float, int], ...] = ()
    webserver: Code | None = None
    schedulers: int = 1


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What Airflow's database knows."""

    instance: Instance
    run: Run
    dag: Dag
    task: Task | None = None
    pool: AirflowPool | None = None
    place: Place | None = None
    trigger: Trigger | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Known(Recorded):
    """All of it. `ends`: how tries ended that did not end by themselves, by the id of the instance."""

    now: float
    fleet: Fleet = field(default_factory=Fleet)
    ends: Mapping[str, End] = field(default_factory=dict)
    heartbeat_timeout_s: float = 300.0
