"""Which settings of Airflow let its tasks tell lineage, and what the sender gets of the receiver's secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from telemetry import settings as telemetry

# Given by the task definition of the workers: the namespace of the jobs, the stack's name; empty for no lineage.
NAMESPACE = "LINEAGE_NAMESPACE"
# Given by the task definition of the worker: a secret like that of telemetry.settings, without a temporality.
RECEIVER = "LINEAGE_RECEIVER"
# What the sender gets: the URL to which documents go, and the headers as a JSON object.
URL, HEADERS = "FLEET_LINEAGE_URL", "FLEET_LINEAGE_HEADERS"
PATH = "/api/v1/lineage"  # of OpenLineage's specification
SECTION = "AIRFLOW__OPENLINEAGE__"
OUTBOX = "agent.lineage.outbox.Outbox"
# A task waits for no receiver, but some operators ask their database which tables they used.
LONGEST_S = 5


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Where documents go. `headers` may hold a key."""

    url: str
    headers: Mapping[str, str]


def task_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return Airflow's settings of the container that runs tasks; none without lineage."""
    if not (namespace := given.get(NAMESPACE)):
        return {}
    return {
        f"{SECTION}NAMESPACE": namespace,
        f"{SECTION}TRANSPORT": json.dumps({"type": OUTBOX}),
        # A forked process would share the task's connection to its supervisor.
        f"{SECTION}EXECUTE_IN_THREAD": "True",
        f"{SECTION}EXECUTION_TIMEOUT": str(LONGEST_S),
        # The code of DAGs is nothing that the receiver needs.
        f"{SECTION}EMISSION_POLICY": json.dumps([{"scope": {}, "controls": {"include_source_code": False}}]),
    }


def sender_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the sender's variables; none without a receiver. Raises ValueError, which shows nothing of the secret."""
    if not (text := given.get(RECEIVER)):
        return {}
    found = telemetry.secret_of(text, RECEIVER)
    if unknown := found.keys() - {"endpoint", "headers"}:
        raise ValueError(f"{RECEIVER} has {len(unknown)} fields besides endpoint and headers")
    url = telemetry.endpoint_of(found.get("endpoint"), RECEIVER) + PATH
    headers = telemetry.headers_of(found.get("headers", {}), RECEIVER)
    if not all(text.isascii() for text in headers.values()):
        raise ValueError(f"the headers of {RECEIVER} must be of ASCII characters")
    return {URL: url, HEADERS: json.dumps(headers)}


def receiver_of(environment: Mapping[str, str]) -> Receiver:
    """Return what `sender_settings` has written. Raises KeyError."""
    return Receiver(url=environment[URL], headers=json.loads(environment[HEADERS]))
