"""The settings that the command line gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_ACCOUNT = "123456789012"
HOST = "127.0.0.1"
SERVICE_LIMIT_S = 3 * 3600.0  # CloudFormation's own
BROKER_ADMINISTRATOR = "BROKER_ADMINISTRATOR"  # the variable with the address of the broker's administrator
ACCESS_PATH = "/local/iam"  # a path of no AWS service, at which the local stack asks what was used and refused
# Clients must use localhost: with 127.0.0.1, SAM CLI parses the template's URL wrongly and finds no bucket.
CLIENT_HOST = "localhost"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A host and port."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Parse `host:port`. Raises ValueError."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return Address(host=host, port=int(port))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The API's own port and account, and the addresses of the database and of the broker.

    `broker_administrator`: the URL of the user that gives the broker's Redis its users; None for no Redis.
    `mail`: the folder in which SES leaves each mail, as a file; None for none.
    `service_limit_s`: how long CloudFormation waits for a service to become stable; 0 for no wait.
    """

    port: int
    database: Address
    broker: Address
    account: str = DEFAULT_ACCOUNT
    broker_administrator: str | None = None
    mail: Path | None = None
    service_limit_s: float = SERVICE_LIMIT_S

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        return f"http://{CLIENT_HOST}:{self.port}"
