"""Calls AWS APIs for the CloudFormation engine, which is a client of the server that it is part of."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from local.aws.backend.shapes import request_of

READ_TIMEOUT_S = 120  # on a busy machine an answer has taken more than 20 s
# One session for all: it reads a service's description, megabytes for EC2, once instead of for every client.
_session: Any = boto3.session.Session()
_session_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """One account and region behind `endpoint`."""

    endpoint: str
    region: str
    account: str
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def partition(self) -> str:
        """The partition of the region, as in ARNs."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    def client(self, service: str) -> Any:
        """Return the service's client. It is made under a lock: boto3 sessions, unlike clients, are not thread-safe."""
        with _session_lock:
            if service not in self._clients:
                self._clients[service] = _session.client(
                    service,
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id="local",
                    aws_secret_access_key="local",  # noqa: S106 - the server checks no signature
                    # A creation that is repeated because its answer was slow finds its own name taken.
                    config=Config(
                        retries={"total_max_attempts": 1}, read_timeout=READ_TIMEOUT_S, s3={"addressing_style": "path"}
                    ),
                )
            return self._clients[service]

    def call(self, service: str, operation: str, properties: Mapping[str, Any], /, **fixed: Any) -> dict[str, Any]:
        """Call `operation` (as in boto3: `create_vpc`) with the properties as its request, plus `fixed` unchanged.

        Raises UnsupportedProperty for a property that the operation does not take, and ClientError when it refuses.
        """
        client = self.client(service)
        shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
        request = {**request_of(shape, properties), **{key: value for key, value in fixed.items() if value is not None}}
        answer: dict[str, Any] = getattr(client, operation)(**request)
        return answer
