"""Where telemetry goes, and how much of it: the task definition's choice as settings of Airflow and OpenTelemetry.

By default it goes to CloudWatch and X-Ray, signed with the role of the ECS task. A secret names another receiver: any
that speaks OTLP over HTTP.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from telemetry import names

# Given by the task definition.
CHOICE = "AIRFLOW_METRICS"
TRACED_PERCENT = "TRACED_RUNS_PERCENT"
STACK = "STACK_NAME"
METRICS_URL, TRACES_URL = "CLOUDWATCH_METRICS_URL", "XRAY_TRACES_URL"
RECEIVER = "OTLP_RECEIVER"  # a secret: JSON with `endpoint`, and perhaps `headers` and `temporality`
ENDPOINT_URL = "AWS_ENDPOINT_URL"  # set on a local machine only
# Given by the entrypoint, see agent.variables.
ROLE, TASK_ARN = "FLEET_ROLE", "FLEET_TASK_ARN"
DAG_PROCESSOR = "dag-processor"
# What a container's program gets, besides OpenTelemetry's own variables.
SENT, SHARE, IS_SIGNED = "FLEET_METRICS", "FLEET_TRACED_SHARE", "FLEET_TELEMETRY_IS_SIGNED"
# OpenTelemetry's own.
ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
METRICS_ENDPOINT, TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
INTERVAL_MS = "OTEL_METRIC_EXPORT_INTERVAL"
RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"

EVERY_S = 60
LOCAL_EVERY_S = 5  # a demonstration lasts two minutes
# Airflow reads the slots of its pools each 5 s, and counts task instances each 30 s: more often than is sent, and the
# counts are not in the default set.
POOLS_EVERY_S, COUNTS_EVERY_S = 30, 60
NEVER_S = 10 * 365 * 86_400
TEMPORALITIES = ("cumulative", "delta", "lowmemory")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
MOST_HEADERS = 20
METRIC_SECTION = "AIRFLOW__METRICS__"


def choice_of(given: Mapping[str, str]) -> str:
    """Return the choice of metrics; none where the task definition does not say. Raises ValueError."""
    choice = given.get(CHOICE) or names.NONE
    if choice not in names.CHOICES:
        raise ValueError(f"{CHOICE} is {choice!r}, not one of {', '.join(names.CHOICES)}")
    return choice


def traced_share(given: Mapping[str, str]) -> float:
    """Return the share of DAG runs that are traced, from 0 to 1. Raises ValueError."""
    text = given.get(TRACED_PERCENT) or "0"
    if not (text.isascii() and text.isdecimal() and int(text) <= 100):
        raise ValueError(f"{TRACED_PERCENT} is {text!r}, not a number from 0 to 100")
    return int(text) / 100


def settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a container's program; none if it sends nothing. Raises ValueError."""
    choice, share = choice_of(given), traced_share(given)
    if choice == names.NONE and not share:
        return {}
    every_s = _interval_s(given)
    found = {
        SENT: choice,
        SHARE: str(share),
        RESOURCE: f"service.namespace={given.get(STACK) or 'airflow'}",
        INTERVAL_MS: str(1000 * every_s),
    }
    if not given.get(RECEIVER):
        found |= {
            IS_SIGNED: "True",
            METRICS_ENDPOINT: _aws_url(given, METRICS_URL, "/v1/metrics"),
            TRACES_ENDPOINT: _aws_url(given, TRACES_URL, "/v1/traces"),
        }
    if choice == names.NONE:
        return found
    return {
        **found,
        # The scheduler reads pools and counts tasks only if this is on.
        f"{METRIC_SECTION}OTEL_ON": "True",
        # Names that hold ids of DAGs and tasks, beside the present ones, which have labels.
        f"{METRIC_SECTION}LEGACY_NAMES_ON": "False",
        f"{METRIC_SECTION}METRICS_ALLOW_LIST": names.allow_list(choice),
        "AIRFLOW__SCHEDULER__POOL_METRICS_INTERVAL": str(min(POOLS_EVERY_S, every_s)),
        "AIRFLOW__SCHEDULER__TI_METRICS_INTERVAL": str(COUNTS_EVERY_S if choice == names.ALL else NEVER_S),
    }


def receiver(given: Mapping[str, str]) -> dict[str, str]:
    """Return OpenTelemetry's variables for the receiver of the secret. Raises ValueError, which shows none of it."""
    if not (text := given.get(RECEIVER)):
        return {}
    found = secret_of(text, RECEIVER)
    headers, temporality = headers_of(found.get("headers", {}), RECEIVER), found.get("temporality", TEMPORALITIES[0])
    if temporality not in TEMPORALITIES:
        raise ValueError(f"the temporality of {RECEIVER} is not one of {', '.join(TEMPORALITIES)}")
    return {
        ENDPOINT: endpoint_of(found.get("endpoint"), RECEIVER),
        HEADERS: ",".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in headers.items()),
        TEMPORALITY: temporality,
    }


def _interval_s(given: Mapping[str, str]) -> int:
    """Return the seconds between two exports: what OpenTelemetry's variable says, if the container has it."""
    if not (text := given.get(INTERVAL_MS)):
        return LOCAL_EVERY_S if given.get(ENDPOINT_URL) else EVERY_S
    if not (text.isascii() and text.isdecimal() and int(text) >= 1000):
        raise ValueError(f"{INTERVAL_MS} is {text!r}, not at least 1000 milliseconds")
    return int(text) // 1000


def secret_of(text: str, variable: str) -> dict[str, Any]:
    """Return the object that a variable with a receiver's secret holds. Raises ValueError, which shows none of it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{variable} is no JSON object")
    return found


def endpoint_of(value: object, variable: str) -> str:
    """Return a receiver's endpoint without a slash at its end. Raises ValueError, which does not show it."""
    if not isinstance(value, str) or not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError(f"the endpoint of {variable} is no URL")
    try:
        parts = urlsplit(value)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or parts.username or parts.query or parts.fragment:
        raise ValueError(f"the endpoint of {variable} must be http(s)://HOST[:PORT][/PATH]: keys go into its headers")
    return value.rstrip("/")


def headers_of(value: object, variable: str) -> dict[str, str]:
    """Return a receiver's headers. Raises ValueError, which shows none of them."""
    if not isinstance(value, dict) or len(value) > MOST_HEADERS:
        raise ValueError(f"the headers of {variable} must be an object of at most {MOST_HEADERS} texts")
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name) or not isinstance(text, str) or not text.isprintable():
            raise ValueError(f"the headers of {variable} must be an object of names and texts of one line")
    return value


def _aws_url(given: Mapping[str, str], variable: str, path: str) -> str:
    if local := given.get(ENDPOINT_URL):
        return local.rstrip("/") + path
    if not (url := given.get(variable)):
        raise ValueError(f"{variable} is not set")
    return url
