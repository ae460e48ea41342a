"""The autoscaler's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.policy import Policy
from fleet.pools import POOLS, Pool, read_pools
from shared.settings import CLUSTER, BrokerSettings, Environment, SettingsError, required, whole_number

POLL_SECONDS = "POLL_SECONDS"
SCALE_IN_AFTER_S = "SCALE_IN_AFTER_S"
MAX_STEP_OUT = "MAX_STEP_OUT"
RACED_BOOTS_PERCENT = "RACED_BOOTS_PERCENT"
RACING_BUDGET_PERCENT = "RACING_BUDGET_PERCENT"
MAX_AGE_HOURS = "MAX_AGE_HOURS"
ROLLOUT_PATIENCE_MINUTES = "ROLLOUT_PATIENCE_MINUTES"
IMAGE_URI = "IMAGE_URI"

POLL_SECONDS_DEFAULT = 5
SCALE_IN_AFTER_DEFAULT_S = 0
# Workers launched per hundred tasks that wait without a slot. Races help only where boot times are independent of one
# another, which is AWS's to say; 0 launches only what is needed.
RACED_BOOTS_DEFAULT_PERCENT = 0
RACING_BUDGET_DEFAULT_PERCENT = 5
# AWS retires tasks a week after its notice, or later. A worker that is replaced after three days leaves its tasks four
# more, even if the notice is lost. 0 sets no limit.
MAX_AGE_DEFAULT_HOURS = 72
# New workers of a newer Airflow wait for its webserver, which migrates the schema first.
ROLLOUT_PATIENCE_DEFAULT_MINUTES = 30
MINUTE_S, HOUR_S = 60, 3600
# The schedule invokes the function each minute, and EventBridge knows no shorter rate.
SCHEDULE_PERIOD_S = 60


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`poll_seconds`: between two ticks of one invocation, at most the schedule's period.

    `rollout_patience_s`: see `revision`. `image`: the image of the pools' revisions, empty if unknown. The others: see
    Policy.
    """

    broker: BrokerSettings
    cluster: str
    pools: tuple[Pool, ...]
    poll_seconds: int
    scale_in_after_s: int
    max_step_out: int | None = None
    boots_per_task: float = 0.0
    racing_budget: float = RACING_BUDGET_DEFAULT_PERCENT / 100
    max_age_s: float | None = None
    rollout_patience_s: float = ROLLOUT_PATIENCE_DEFAULT_MINUTES * MINUTE_S
    image: str = ""

    @classmethod
    def from_environment(cls, environment: Environment) -> Settings:
        """Read the settings. Raises SettingsError or PoolsError, which name the variable."""
        settings = cls(
            broker=BrokerSettings.from_environment(environment),
            cluster=required(environment, CLUSTER),
            pools=read_pools(required(environment, POOLS), with_services=True),
            poll_seconds=whole_number(required(environment, POLL_SECONDS), name=POLL_SECONDS, lowest=1),
            scale_in_after_s=whole_number(
                environment.get(SCALE_IN_AFTER_S) or SCALE_IN_AFTER_DEFAULT_S, name=SCALE_IN_AFTER_S
            ),
            max_step_out=_step(environment),
            boots_per_task=_share(environment, RACED_BOOTS_PERCENT, default=RACED_BOOTS_DEFAULT_PERCENT),
            racing_budget=_share(environment, RACING_BUDGET_PERCENT, default=RACING_BUDGET_DEFAULT_PERCENT),
            max_age_s=_max_age_s(environment),
            rollout_patience_s=MINUTE_S
            * whole_number(
                environment.get(ROLLOUT_PATIENCE_MINUTES) or ROLLOUT_PATIENCE_DEFAULT_MINUTES,
                name=ROLLOUT_PATIENCE_MINUTES,
                lowest=1,
            ),
            image=environment.get(IMAGE_URI, ""),
        )
        if settings.poll_seconds > SCHEDULE_PERIOD_S:
            raise SettingsError(f"{POLL_SECONDS} is {settings.poll_seconds}: it must be at most {SCHEDULE_PERIOD_S}")
        return settings

    def with_names(self, names: Mapping[str, str]) -> Settings:
        """Return the settings with the names of the pools' services in place of how they begin."""
        return replace(self, pools=tuple(replace(pool, service=names[pool.service]) for pool in self.pools))

    @property
    def ticks(self) -> int:
        """Number of ticks until the schedule invokes the function again."""
        return -(-SCHEDULE_PERIOD_S // self.poll_seconds)

    def policy(self, pool: Pool) -> Policy:
        return Policy(
            minimum=pool.minimum,
            maximum=pool.maximum,
            concurrency=pool.concurrency,
            scale_in_after_s=self.scale_in_after_s,
            max_step_out=self.max_step_out,
            boots_per_task=self.boots_per_task,
            racing_budget=self.racing_budget,
            max_age_s=self.max_age_s,
        )


def _share(environment: Environment, name: str, *, default: int) -> float:
    """Read a percentage as a share."""
    return whole_number(environment.get(name) or default, name=name) / 100


def _max_age_s(environment: Environment) -> float | None:
    """Read the workers' maximum age, None when it is 0."""
    hours = whole_number(environment.get(MAX_AGE_HOURS) or MAX_AGE_DEFAULT_HOURS, name=MAX_AGE_HOURS)
    return float(hours * HOUR_S) if hours else None


def _step(environment: Environment) -> int | None:
    """Read the step limit, None when the variable is missing or empty."""
    value = environment.get(MAX_STEP_OUT)
    return whole_number(value, name=MAX_STEP_OUT, lowest=1) if value else None
