"""The settings of the function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.settings import CLUSTER, Environment, SettingsError, json_value, required

SERVICES = "SERVICES"
AIRFLOW, FLOWER = "airflow", "flower"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`services`: {"airflow": name, "flower": name, <pool>: name, ...}, without "flower" where there is none.

    The environment has how the names begin, see `shared.service_names`.
    """

    cluster: str
    services: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Environment) -> Settings:
        """Read the environment. Raises SettingsError, which names the variable."""
        services = json_value(environment, SERVICES)
        if not isinstance(services, dict) or not all(isinstance(name, str) and name for name in services.values()):
            raise SettingsError(f"{SERVICES} must be a JSON object of service names")
        if AIRFLOW not in services:
            raise SettingsError(f"{SERVICES} lacks {AIRFLOW}")
        return cls(cluster=required(environment, CLUSTER), services=services)

    def with_names(self, names: Mapping[str, str]) -> Settings:
        """Return the settings with the names of the services in place of how they begin."""
        return replace(self, services={key: names[name] for key, name in self.services.items()})

    @property
    def replaced(self) -> dict[str, str]:
        """The services whose ECS tasks a deployment replaces; the autoscaler replaces those of the pools."""
        return {key: self.services[key] for key in (AIRFLOW, FLOWER) if key in self.services}
