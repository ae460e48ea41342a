"""What the task definition gives, as settings of Airflow and of OpenTelemetry."""

import json

import pytest

from telemetry import settings
from telemetry.settings import ENDPOINT, HEADERS, IS_SIGNED, METRICS_ENDPOINT, TEMPORALITY

GIVEN = {
    "AIRFLOW_METRICS": "default",
    "TRACED_RUNS_PERCENT": "0",
    "STACK_NAME": "airflow-prd",
    "CLOUDWATCH_METRICS_URL": "https://monitoring.eu-central-1.amazonaws.com/v1/metrics",
    "XRAY_TRACES_URL": "https://xray.eu-central-1.amazonaws.com/v1/traces",
}


def test_by_default_metrics_go_to_cloudwatch_signed_each_minute() -> None:
    found = settings.settings(GIVEN)
    assert found[METRICS_ENDPOINT] == GIVEN["CLOUDWATCH_METRICS_URL"]
    assert found[IS_SIGNED] == "True"
    assert found["OTEL_METRIC_EXPORT_INTERVAL"] == "60000"
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == "service.namespace=airflow-prd"
    assert found["AIRFLOW__METRICS__LEGACY_NAMES_ON"] == "False"
    # Counts of task instances, which the default set does not have, are queries.
    assert int(found["AIRFLOW__SCHEDULER__TI_METRICS_INTERVAL"]) > 365 * 86_400
    assert settings.settings({**GIVEN, "AIRFLOW_METRICS": "all"})["AIRFLOW__SCHEDULER__TI_METRICS_INTERVAL"] == "60"


def test_nothing_is_set_where_nothing_is_sent() -> None:
    assert settings.settings({**GIVEN, "AIRFLOW_METRICS": "none"}) == {}
    assert settings.settings({}) == {}


def test_traces_alone_turn_no_metrics_on() -> None:
    found = settings.settings({**GIVEN, "AIRFLOW_METRICS": "none", "TRACED_RUNS_PERCENT": "5"})
    assert found[settings.SHARE] == "0.05"
    assert not [name for name in found if name.startswith("AIRFLOW__")]


def test_on_one_machine_they_go_to_the_local_api_every_few_seconds() -> None:
    found = settings.settings({**GIVEN, "AWS_ENDPOINT_URL": "http://localhost:4566/"})
    assert found[METRICS_ENDPOINT] == "http://localhost:4566/v1/metrics"
    assert found["OTEL_METRIC_EXPORT_INTERVAL"] == "5000"


def test_another_receiver_gets_its_headers_and_no_signature() -> None:
    secret = {"endpoint": "https://otlp.example.com/otlp/", "headers": {"api-key": "a,b=c d%"}, "temporality": "delta"}
    given = {**GIVEN, "OTLP_RECEIVER": json.dumps(secret)}
    assert settings.receiver(given) == {
        ENDPOINT: "https://otlp.example.com/otlp",
        HEADERS: "api-key=a%2Cb%3Dc%20d%25",  # as OpenTelemetry decodes it
        TEMPORALITY: "delta",
    }
    assert not {METRICS_ENDPOINT, IS_SIGNED} & settings.settings(given).keys()
    assert settings.receiver(GIVEN) == {}


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        ("{}", "no URL"),
        ('{"endpoint": 1}', "no URL"),
        ('{"endpoint": "otlp.example.com"}', "must be http"),
        ('{"endpoint": "ftp://otlp.example.com"}', "must be http"),
        ('{"endpoint": "https://"}', "must be http"),
        ('{"endpoint": "https://a:99999"}', "must be http"),
        ('{"endpoint": "https://hush@otlp.example.com"}', "keys go into its headers"),
        ('{"endpoint": "https://otlp.example.com?key=hush"}', "keys go into its headers"),
        ('{"endpoint": "https://otlp.example.com/a b"}', "no URL"),
        ('{"endpoint": "https://a", "headers": ["hush"]}', "headers"),
        ('{"endpoint": "https://a", "headers": {"a b": "hush"}}', "headers"),
        ('{"endpoint": "https://a", "headers": {"a": "hush\\nb: c"}}', "headers"),
        ('{"endpoint": "https://a", "headers": {"a": 1}}', "headers"),
        ('{"endpoint": "https://a", "temporality": "hush"}', "temporality"),
    ],
)
def test_a_bad_receiver_is_one_line_without_what_the_secret_holds(secret: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        settings.receiver({**GIVEN, "OTLP_RECEIVER": secret})
    assert "hush" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AIRFLOW_METRICS": "some"}, "not one of none, default, all"),
        ({"TRACED_RUNS_PERCENT": "101"}, "not a number from 0 to 100"),
        ({"TRACED_RUNS_PERCENT": "²"}, "not a number from 0 to 100"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "soon"}, "OTEL_METRIC_EXPORT_INTERVAL is 'soon', not at least 1000"),
        ({"CLOUDWATCH_METRICS_URL": ""}, "CLOUDWATCH_METRICS_URL is not set"),
    ],
)
def test_a_bad_choice_is_one_line(change: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings.settings({**GIVEN, **change})


def test_open_telemetrys_own_interval_wins() -> None:
    local = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", **GIVEN}
    assert settings.settings(local)["OTEL_METRIC_EXPORT_INTERVAL"] == "5000"
    found = settings.settings({**local, "OTEL_METRIC_EXPORT_INTERVAL": "60000"})
    assert found["OTEL_METRIC_EXPORT_INTERVAL"] == "60000"
    assert found["AIRFLOW__SCHEDULER__POOL_METRICS_INTERVAL"] == "30"
