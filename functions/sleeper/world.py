"""The state of an environment as the sleeper reads it: the input of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from shared.tags import DesiredState


@dataclass(frozen=True, kw_only=True)
class Service:
    """An ECS service and its ECS tasks. `size_asleep`: the desired count before it was put to sleep; None if awake.

    `paused`: a tag forbids the autoscaler to scale it.
    """

    name: str
    arn: str
    desired: int
    running: int
    pending: int
    size_asleep: int | None = None
    is_rolling_out: bool = False
    paused: bool = False

    @property
    def is_marked_asleep(self) -> bool:
        return self.size_asleep is not None

    @property
    def is_empty(self) -> bool:
        return self.desired == self.running == self.pending == 0

    @property
    def is_up(self) -> bool:
        return self.running >= self.desired


@dataclass(frozen=True, kw_only=True)
class Work:
    """Messages in the queues of all pools; in words, the workers that run tasks, and why ECS did not tell of some."""

    queued: int
    busy: tuple[str, ...]

    @property
    def is_none(self) -> bool:
        return not self.queued and not self.busy

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"{self.queued} queued" if self.queued else "", *self.busy)))


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """Names of the stack's alarms: with actions on, with actions off, and the silent ones in state ALARM."""

    loud: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    ringing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class World:
    """`now`: seconds since the epoch. `flower`: None where there is none.

    `work`: the work, or the reason in words why it could not be read.

    `database`: its state as RDS names it. `is_scaling`: whether `airflow` is scaled by its load.
    """

    now: float
    desired_state: DesiredState | None
    airflow: Service
    flower: Service | None
    pools: tuple[Service, ...]
    work: Work | str
    database: str
    is_scaling: bool
    alarms: Alarms

    @property
    def services(self) -> tuple[Service, ...]:
        return (self.airflow, *self.pools, *self.monitors)

    @property
    def monitors(self) -> tuple[Service, ...]:
        """The service of Flower, where there is one."""
        return () if self.flower is None else (self.flower,)

    @property
    def without_pools(self) -> tuple[Service, ...]:
        """The services that have no workers."""
        return (self.airflow, *self.monitors)
