"""How many bytes a copy of the service `airflow` sends each minute: what `make cost` prices, by the real encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.cost import telemetry
from telemetry import names
from tests.support.airflows_python import asked, needs_airflow

pytestmark = needs_airflow

# CloudWatch counts each point with its metric's name, its labels and its resource.
MEASURE = """
import gc, itertools, os, random
import airflow.settings
from airflow._shared.observability.metrics.metrics_registry import MetricsRegistry
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from telemetry import names, stats
from telemetry.source import resource

CHOICE, DAGS, TASKS = os.environ["CHOICE"], int(os.environ["DAGS"]), int(os.environ["TASKS"])
KINDS = {"counter": "incr", "gauge": "gauge", "timer": "timing"}
OTHERS = ("edge_", "kubernetes_", "batch_", "ecs_", "lambda_", "ol.", "local_task_job", "celery.", "resumable_job")
STATES, POOLS, QUEUES, FILES = ("success", "failed", "up_for_retry", "skipped"), 3, 4, DAGS
sizes = []

class Counting(MetricExporter):
    def export(self, data, timeout_millis=0, **_):
        for of_source in encode_metrics(data).resource_metrics:
            source = of_source.resource.ByteSize()
            for scope in of_source.scope_metrics:
                for metric in scope.metrics:
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    sizes.extend(len(metric.name) + source + point.ByteSize() for point in points)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis=0):
        return True

    def shutdown(self, timeout_millis=0, **_):
        pass

def labels(name):
    \"\"\"Return the sets of labels that the work gives a metric.\"\"\"
    variables = set(registry.get(name)["name_variables"]) | ({"state"} if name == "ti.finish" else set())
    if name.startswith(("ti", "task.", "operator_", "dagrun.")):
        variables |= {"dag_id"}
    if name.startswith(("ti", "task.", "operator_")):
        variables |= {"task_id"}
    if name in ("task.queued_duration", "ti.queued", "ti.running"):
        variables |= {"queue"}
    values = {
        "dag_id": [f"team_a_daily_report_{n:03d}" for n in range(DAGS)],
        "task_id": [f"extract_and_load_{n}" for n in range(TASKS)],
        "state": list(STATES) if variables >= {"state"} else [],
        "pool_name": [f"pool_{n}" for n in range(POOLS)],
        "queue": ["default"],
        "operator_name": ["PythonOperator"],
        "file_name": [f"daily_report_{n:03d}" for n in range(FILES)],
        "bundle_name": ["dags"],
    }
    known = sorted(variables & values.keys())
    for combination in itertools.product(*(values[each] for each in known)):
        yield dict(zip(known, combination, strict=True))

registry = MetricsRegistry()
stats.Exporter = lambda delivery, timeout_s: Counting()
logger = stats.make_stats(
    CHOICE, delivery=None, allow_list=names.allow_list(CHOICE), block_list=None, environment=os.environ
)
random.seed(1)
for name, entry in registry._metrics.items():
    if "{" in name or name.startswith(OTHERS):
        continue
    for tags in labels(name):
        record = getattr(logger, KINDS[entry["type"]])
        if entry["type"] == "timer":
            for _ in range(20):
                record(name, random.lognormvariate(8, 2), tags=tags)
        else:
            record(name, 3, tags=tags)
from opentelemetry.sdk.metrics import MeterProvider
next(each for each in gc.get_objects() if isinstance(each, MeterProvider)).force_flush()
answer([len(sizes), sum(sizes)])
"""


@pytest.mark.parametrize("choice", [names.DEFAULT, names.ALL])
def test_the_bytes_that_costs_are_computed_from_are_those_of_the_encoder(choice: str, tmp_path: Path) -> None:
    points, size = asked(
        MEASURE,
        home=tmp_path,
        CHOICE=choice,
        DAGS=str(telemetry.DAGS),
        TASKS=str(telemetry.TASKS_A_RUN),
        FLEET_ROLE="scheduler",
        FLEET_TASK_ARN="arn:aws:ecs:eu-central-1:123456789012:task/airflow-prd/0123456789abcdef0123456789abcdef",
        OTEL_RESOURCE_ATTRIBUTES="service.namespace=airflow-prd",
    )
    assert points > 30
    # Not less than was measured, and not so much more that a choice would seem dear.
    assert size <= telemetry.BYTES_A_MINUTE[choice] <= 1.5 * size
