"""The version check's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.settings import CLUSTER, BrokerSettings, Environment, SettingsError, json_value, required

SERVICES = "SERVICES"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`services`: {"airflow": name, "flower": name, <pool>: name, ...}."""

    broker: BrokerSettings
    cluster: str
    services: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Environment) -> Settings:
        """Raises SettingsError, which names the variable."""
        services = json_value(environment, SERVICES)
        if not isinstance(services, dict) or not all(isinstance(name, str) and name for name in services.values()):
            raise SettingsError(f"{SERVICES} must be an object of services' names")
        return cls(
            broker=BrokerSettings.from_environment(environment),
            cluster=required(environment, CLUSTER),
            services=services,
        )
