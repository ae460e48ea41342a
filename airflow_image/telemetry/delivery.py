"""Sends telemetry over HTTP, signed for AWS where it goes there, and counts what could not be delivered.

A container's log gets one line of JSON for each failure, from which CloudWatch makes a metric. What is sent next does
not depend on it: metrics are sums since the process began, so that the next delivery makes up for a lost one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from telemetry.undelivered import FIELD, write_line

METRICS, TRACES = "metrics", "traces"
# The services of AWS whose names are in the signature.
SIGNED_FOR = {METRICS: "monitoring", TRACES: "xray"}
# Of one request and all its attempts. They are made in a thread of their own.
TIMEOUT_S = 10
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
# OpenTelemetry's own lines on each failed attempt.
LOGGERS = tuple(f"opentelemetry.exporter.otlp.proto.http.{kind}_exporter" for kind in ("metric", "trace"))


class NoCredentials(Exception):
    """The ECS task has no role, or its credentials cannot be read."""


class Signer:
    """Signs requests with the present credentials of the ECS task's role, which botocore renews."""

    def __init__(self, signal: str, environment: Mapping[str, str]) -> None:
        self._service = SIGNED_FOR[signal]
        self._region = next((environment[name] for name in REGIONS if environment.get(name)), "")
        self._credentials: Any = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the signature to a request. Raises NoCredentials."""
        # Imported at the first request, in the thread that sends: it takes some tenths of a second.
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import ContainerProvider, CredentialResolver, EnvProvider

        if self._credentials is None:
            # botocore's session would find the same ones, and takes 4 MB more in each process that sends.
            self._credentials = CredentialResolver([EnvProvider(), ContainerProvider()]).load_credentials()
        if self._credentials is None:
            raise NoCredentials("the ECS task has no role")
        headers = {"Host": urlsplit(str(request.url)).netloc, "Content-Type": request.headers.get("Content-Type", "")}
        signed = AWSRequest(method=request.method, url=request.url, data=request.body, headers=headers)
        SigV4Auth(self._credentials.get_frozen_credentials(), self._service, self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


class Delivery(requests.Session):
    """The session of an exporter. `last`: what became of the last request, in a few words without its address."""

    def __init__(self, signal: str, *, signer: Signer | None, write: Callable[[str], None] = write_line) -> None:
        super().__init__()
        self.signal, self.last, self._write = signal, "not sent", write
        self.auth = signer
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request. Raises requests.RequestException."""
        try:
            answer = super().send(request, **options)
        except requests.RequestException as error:
            self.last = type(error).__name__
            raise
        self.last = f"{answer.status_code} {answer.reason}"
        return answer

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Prepare and sign a request."""
        self.last = "not signed" if self.auth is not None else "not sent"
        return super().prepare_request(request)

    def note_failure(self, count: int) -> None:
        """Write that `count` requests of metrics, or spans of traces, were not delivered."""
        figures = {FIELD: count, "signal": self.signal, "why": self.last, "process": os.getpid()}
        self._write(json.dumps(figures))
