"""Price Airflow's metrics and traces: by the bytes that the containers of the service `airflow` send in a month.

The sizes are measured with OpenTelemetry's own encoder: tests/integration/agent/test_telemetry_size.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ops.cost import prices
from ops.cost.fargate import SCHEDULER, mean_tasks
from ops.cost.load import DAYS_A_MONTH, Load

GB = 1_000_000_000
MINUTES_A_MONTH = prices.HOURS_A_MONTH * 60
# Bytes that a copy of the service sends each minute, by set, with the work of DAGS DAGs of TASKS_A_RUN tasks each.
# CloudWatch counts a point's resource with each point; so does the measurement.
DAGS, TASKS_A_RUN = 100, 5
BYTES_A_MINUTE: Mapping[str, int] = {"none": 0, "default": 60_000, "all": 2_600_000}
SPAN_BYTES = 900
CHOICE, TRACED_PERCENT, RECEIVER = "AIRFLOW_METRICS", "TRACED_RUNS_PERCENT", "OTLP_RECEIVER"


def price_telemetry(template: Mapping[str, Any], *, load: Load) -> Iterator[tuple[str, float]]:
    """Yield a description of each part and its dollars a month; nothing for what another receiver gets."""
    found = _scheduler(template)
    if found is None:
        return
    copies, given = found[0](load), found[1]
    choice, percent = given.get(CHOICE, "none"), int(given.get(TRACED_PERCENT, 0))
    if usd := price_metrics(choice, copies=copies):
        yield f"Airflow's metrics, {choice}", usd
    if usd := price_traces(percent / 100, load=load):
        yield f"traces of {percent} % of the runs", usd


def choices(template: Mapping[str, Any], *, load: Load) -> dict[str, float]:
    """Return what each set of metrics, and traces of all runs, would cost a month; nothing for another receiver."""
    found = _scheduler(template)
    if found is None:
        return {}
    metrics = {f"metrics {each}": price_metrics(each, copies=found[0](load)) for each in BYTES_A_MINUTE}
    return {**metrics, "traces of all runs": price_traces(1.0, load=load)}


def price_metrics(choice: str, *, copies: float) -> float:
    """Return the dollars a month of a set, with `copies` of the service on average."""
    return copies * MINUTES_A_MONTH * BYTES_A_MINUTE[choice] / GB * prices.OTEL_METRICS_GB


def price_traces(share: float, *, load: Load) -> float:
    """Return the dollars a month of tracing this share of the runs: a span for each task and one for the run."""
    spans = share * load.tasks_a_day * DAYS_A_MONTH * (1 + 1 / TASKS_A_RUN)
    return spans * SPAN_BYTES / GB * prices.OTEL_SPANS_GB


def _scheduler(template: Mapping[str, Any]) -> tuple[Any, dict[str, str]] | None:
    """Return the mean number of schedulers as a function of the load, and the variables of their container.

    None where there is none that sends to AWS, as in releases before it.
    """
    for title, resource in template["Resources"].items():
        if resource["Type"] != "AWS::ECS::TaskDefinition":
            continue
        definition = resource["Properties"]
        for container in definition["ContainerDefinitions"]:
            if container["Name"] != SCHEDULER or _has_receiver(container):
                continue
            given = {entry["Name"]: str(entry["Value"]) for entry in container["Environment"]}
            if CHOICE in given:
                return lambda load, t=title, d=definition: mean_tasks(t, d, template, load), given
    return None


def _has_receiver(container: Mapping[str, Any]) -> bool:
    return any(secret["Name"] == RECEIVER for secret in container.get("Secrets", ()))
