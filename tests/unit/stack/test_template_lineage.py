"""The parameter OtlpSecretArn names up to two receivers: who gets which secret, and what is there without any."""

import re
from typing import Any

import pytest

from cfn.intrinsics import Scope, resolve
from tests.support import rendered
from tests.unit.stack.test_template_replacement import with_values

OTLP, LINEAGE = (f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}" for name in ("otlp-a1", "lineage-b2"))
# The rest of what the resolved template leaves to CloudFormation.
SCOPE = Scope(parameters={}, mappings={}, ref=str, attribute=lambda name, attribute: f"{name}.{attribute}")
SENDING = ("webserver", "scheduler", "dag-processor", "triggerer")


def containers(value: str) -> dict[str, dict[str, Any]]:
    resources = with_values((("OtlpSecretArn", value),))["Resources"]
    return {
        each["Name"]: {
            **{one["Name"]: one["Value"] for one in each.get("Environment", [])},
            **{one["Name"]: resolve(one["ValueFrom"], SCOPE) for one in each.get("Secrets", [])},
        }
        for title in ("AirflowTaskDefinition", "WorkerTaskDefinition")
        for each in rendered.containers_of(resources[title]["Properties"])
    }


@pytest.mark.parametrize(
    ("value", "otlp", "lineage"),
    [
        ("", None, None),
        (OTLP, OTLP, None),
        (f"{OTLP},lineage={LINEAGE}", OTLP, LINEAGE),
        (f"aws,lineage={LINEAGE}", None, LINEAGE),
    ],
)
def test_each_receiver_goes_to_the_containers_that_send_to_it(
    value: str, otlp: str | None, lineage: str | None
) -> None:
    found = containers(value)
    assert {name: each.get("OTLP_RECEIVER") for name, each in found.items() if name in SENDING} == dict.fromkeys(
        SENDING, otlp
    )
    assert {name for name, each in found.items() if "LINEAGE_RECEIVER" in each} == ({"worker"} if lineage else set())
    assert found["worker"].get("LINEAGE_RECEIVER") == lineage
    assert bool(found["runner"]["LINEAGE_NAMESPACE"]) == bool(lineage)
    assert found["runner"]["LINEAGE_NAMESPACE"] == found["worker"]["LINEAGE_NAMESPACE"]


def test_undelivered_lineage_is_counted_where_there_is_some() -> None:
    filters = {
        value: with_values((("OtlpSecretArn", value),))["Resources"].get("WorkerLineageUndelivered")
        for value in ("", f"aws,lineage={LINEAGE}")
    }
    assert filters[""] is None
    names = {
        title: resource["MetricTransformations"][0]["MetricName"]
        for title, resource in rendered.resources("AWS::Logs::MetricFilter").items()
    }
    assert names["WorkerLineageUndelivered"] == names["TelemetryUndelivered"]


@pytest.mark.parametrize(
    "value",
    [
        *(f"lineage={LINEAGE}", f",lineage={LINEAGE}", f"{OTLP},{LINEAGE}", "aws", f"{OTLP},lineage=", "https://a"),
        f"{OTLP},lineage={LINEAGE},lineage={LINEAGE}",
    ],
)
def test_another_value_is_refused(value: str) -> None:
    pattern = rendered.template()["Parameters"]["OtlpSecretArn"]["AllowedPattern"]
    assert re.fullmatch(pattern, value) is None
