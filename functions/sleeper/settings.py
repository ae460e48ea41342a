"""The sleeper's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet.pools import POOLS, Pool, read_pools
from shared.settings import CLUSTER, BrokerSettings, Environment, required, whole_number

AIRFLOW_SERVICE = "AIRFLOW_SERVICE"
FLOWER_SERVICE = "FLOWER_SERVICE"
DATABASE = "DATABASE"
ALARM_PREFIX = "ALARM_PREFIX"
PATIENCE_MINUTES = "PATIENCE_MINUTES"
MINUTE_S = 60


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`flower`: None where the environment has none. `database`: the instance's identifier.

    `alarm_prefix`: the common prefix of the stack's alarm names.

    `patience_s`: how long the environment may be too busy to sleep. The environment's variables have how the services'
    names begin, see `shared.service_names`.
    """

    broker: BrokerSettings
    cluster: str
    airflow: str
    flower: str | None
    pools: tuple[Pool, ...]
    database: str
    alarm_prefix: str
    patience_s: int

    @classmethod
    def from_environment(cls, environment: Environment) -> Settings:
        """Read the environment. Raises SettingsError or PoolsError, which name the variable."""
        return cls(
            broker=BrokerSettings.from_environment(environment),
            cluster=required(environment, CLUSTER),
            airflow=required(environment, AIRFLOW_SERVICE),
            flower=environment.get(FLOWER_SERVICE) or None,
            pools=read_pools(required(environment, POOLS), with_services=True),
            database=required(environment, DATABASE),
            alarm_prefix=required(environment, ALARM_PREFIX),
            patience_s=MINUTE_S
            * whole_number(required(environment, PATIENCE_MINUTES), name=PATIENCE_MINUTES, lowest=1),
        )

    @property
    def services(self) -> tuple[str, ...]:
        """The names of all services."""
        flower = () if self.flower is None else (self.flower,)
        return (self.airflow, *flower, *(pool.service for pool in self.pools))

    def with_names(self, names: Mapping[str, str]) -> Settings:
        """Return the settings with the names of the services in place of how they begin."""
        pools = tuple(replace(pool, service=names[pool.service]) for pool in self.pools)
        flower = None if self.flower is None else names[self.flower]
        return replace(self, airflow=names[self.airflow], flower=flower, pools=pools)
