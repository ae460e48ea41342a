"""Makes boto3 clients for the embedded AWS API, and the variables by which local processes reach it."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config

REGION = "us-east-1"
# Valid in no AWS account: a process that missed the endpoint could do nothing with them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


def environment(endpoint: str, region: str = REGION) -> dict[str, str]:
    """Return the variables that make any SDK or CLI of AWS talk to `endpoint` as the administrator, to nothing else."""
    return {**CREDENTIALS, **environment_of_role(endpoint, region)}


def environment_of_role(endpoint: str, region: str = REGION) -> dict[str, str]:
    """Return the same variables without credentials, for a process that has those of a role."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # A developer's own configuration must not reach the local stack.
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


class Clients:
    """Clients of one endpoint, made on first use; boto3 clients may be shared by threads."""

    def __init__(self, endpoint: str, region: str = REGION) -> None:
        self.endpoint = endpoint
        self.region = region
        self._session: Any = boto3.session.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
        )
        self._made: dict[str, Any] = {}

    def __getattr__(self, service: str) -> Any:
        """Return the client of `service`, such as `clients.ecs`; `lambda`, a keyword, is read by getattr()."""
        if service.startswith("_"):
            raise AttributeError(service)
        if service not in self._made:
            config = Config(retries={"max_attempts": 3, "mode": "standard"}, max_pool_connections=20, read_timeout=30)
            self._made[service] = self._session.client(service, endpoint_url=self.endpoint, config=config)
        return self._made[service]
