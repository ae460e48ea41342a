"""The version check's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fleet.work import LIMITS, WorkLimits, parse_limits
from shared.settings import CLUSTER, BrokerSettings, Environment, SettingsError, json_value, required

SERVICES = "SERVICES"
TOPIC_ARN = "TOPIC_ARN"
WEBSERVER_URL = "WEBSERVER_URL"
SITE_URL = "SITE_URL"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`services`: {"airflow": name, "flower": name, <pool>: name, ...}, without "flower" where there is none.

    The environment has how the names begin, see `shared.service_names`. `topic_arn`: None for no notifications.
    `site_url`: at which people open Airflow, without a slash at its end.
    """

    broker: BrokerSettings
    cluster: str
    services: Mapping[str, str]
    webserver_url: str
    site_url: str
    limits: WorkLimits
    topic_arn: str | None = None

    @classmethod
    def from_environment(cls, environment: Environment) -> Settings:
        """Read the environment. Raises SettingsError, which names the variable."""
        services = json_value(environment, SERVICES)
        if not isinstance(services, dict) or not all(isinstance(name, str) and name for name in services.values()):
            raise SettingsError(f"{SERVICES} must be a JSON object of service names")
        url = required(environment, WEBSERVER_URL)
        if not url.startswith("http://"):
            raise SettingsError(f"{WEBSERVER_URL} is {url!r}: it must be an address that begins with http://")
        given = required(environment, LIMITS)
        try:
            limits = parse_limits(given)
        except ValueError as error:
            raise SettingsError(f"{LIMITS}: {error}") from None
        return cls(
            broker=BrokerSettings.from_environment(environment),
            cluster=required(environment, CLUSTER),
            services=services,
            webserver_url=url,
            site_url=required(environment, SITE_URL),
            limits=limits,
            topic_arn=environment.get(TOPIC_ARN) or None,
        )

    def with_names(self, names: Mapping[str, str]) -> Settings:
        """Return the settings with the names of the services in place of how they begin."""
        return replace(self, services={key: names[name] for key, name in self.services.items()})
