"""The endpoints for OpenTelemetry of the local AWS API: what a role sends is checked, decoded and told."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from local.aws.iam.sessions import TASKS, Credentials, RoleSession, Service
from local.aws.otlp.receiver import PROTOBUF
from local.stack.telemetry import Telemetry, read_telemetry, spoil
from project import paths
from telemetry import names
from tests.support.airflows_python import AIRFLOWS_PYTHON, IMAGE, needs_airflow
from tests.support.aws_api import AwsApi

METRICS, TRACES = "cloudwatch:PutMetricData", "xray:PutTraceSegments"


def credentials_of(api: AwsApi, *actions: str) -> Credentials:
    """Return the credentials of a new role of ECS tasks that may do this."""
    iam, name = api.client("iam"), f"r{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": TASKS}}
    may = {"Effect": "Allow", "Action": actions or ["ecs:Nothing"], "Resource": "*"}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(may))
    service = Service(TASKS, endpoint=f"http://localhost:{api.port}", region=api.region)
    return RoleSession(service, made["Role"]["Arn"], session="me").credentials()


def document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def told(api: AwsApi) -> Telemetry:
    return read_telemetry(f"http://localhost:{api.port}")


SEND = """
from airflow.configuration import conf
from airflow import settings
from airflow._shared.observability.metrics import stats
from airflow.observability.metrics import stats_utils
from opentelemetry.trace import get_tracer
stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
stats.incr("ti.finish", 3, tags={"state": "success", "dag_id": "hidden"})
stats.gauge("executor.running_tasks", 7)
stats.gauge("pool.open_slots", float("inf"), tags={"pool_name": "endless"})
for ms in (10, 20, 30):
    stats.timing("task.duration", ms)
tracer = get_tracer("test")
with tracer.start_as_current_span("run", attributes={"airflow.dag_id": "d", "tries": 2, "late": True}) as span:
    tracer.start_span("task").end()
"""


@needs_airflow
def test_what_airflow_sends_with_its_role_is_decoded(api: AwsApi, tmp_path: Path) -> None:
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": paths.IMAGE_PYTHONPATH,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONFIG": str(IMAGE / "airflow.cfg"),
        "FLEET_ROLE": "scheduler",
        "FLEET_METRICS": names.DEFAULT,
        "FLEET_TRACED_SHARE": "1.0",
        "FLEET_TELEMETRY_IS_SIGNED": "True",
        "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=airflow-test",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://localhost:{api.port}/v1/metrics",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://localhost:{api.port}/v1/traces",
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "AWS_REGION": api.region,
        **credentials_of(api, METRICS, TRACES).variables,
    }
    subprocess.run([AIRFLOWS_PYTHON, "-c", SEND], env=given, capture_output=True, check=True)
    found = told(api)
    assert found.total("airflow.ti.finish", state="success") == 3
    series = {each.name: each for each in found.series if each.source.get("service.namespace") == "airflow-test"}
    assert series.keys() == {"airflow.ti.finish", "airflow.executor.running_tasks", "airflow.task.duration"}
    assert series["airflow.ti.finish"].labels == {"state": "success"}
    assert series["airflow.executor.running_tasks"].last[1:] == (7.0, None)
    assert series["airflow.task.duration"].last[1:] == (60.0, 3)
    assert {each.source["service.name"] for each in series.values()} == {"scheduler"}
    run, task = sorted((s for s in found.spans if s["name"] in ("run", "task")), key=lambda s: str(s["name"]))
    assert (task["parent"], task["trace"]) == (run["id"], run["trace"])
    assert run["attributes"] == {"airflow.dag_id": "d", "tries": 2, "late": True}
    assert run["start"] <= task["start"] <= task["end"] <= run["end"]


def post(api: AwsApi, path: str, body: bytes, **headers: str) -> tuple[int, str]:
    """Return status and body of the answer."""
    url = f"http://localhost:{api.port}{path}"
    request = urllib.request.Request(url, data=body, headers={"Content-Type": PROTOBUF, **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def keys(credentials: Credentials, *, secret: str = "") -> Keys:
    """Return the credentials as botocore has them, with another secret if one is given."""
    return Keys(credentials.key_id, secret or credentials.secret, credentials.token)


def signed(api: AwsApi, path: str, body: bytes, who: Keys, *, service: str = "monitoring") -> dict[str, str]:
    """Return the headers with the signature."""
    request = AWSRequest(method="POST", url=f"http://localhost:{api.port}{path}", data=body)
    request.headers["Content-Type"] = PROTOBUF
    SigV4Auth(who, service, api.region).add_auth(request)
    return {name: request.headers[name] for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")}


def test_a_role_that_may_not_an_unsigned_and_a_wrongly_signed_request_are_refused(api: AwsApi) -> None:
    before = told(api).requests.get("/v1/metrics", 0)
    may, may_not = credentials_of(api, METRICS), credentials_of(api)
    assert post(api, "/v1/metrics", b"")[0] == 403
    status, said = post(api, "/v1/metrics", b"", **signed(api, "/v1/metrics", b"", keys(may_not)))
    assert (status, "is not authorized to perform: cloudwatch:PutMetricData" in said) == (403, True)
    status, said = post(api, "/v1/metrics", b"", **signed(api, "/v1/metrics", b"", keys(may, secret="guessed")))
    assert (status, "SignatureDoesNotMatch" in said) == (403, True)
    # The signature covers the body, and the service whose action it is.
    status, said = post(api, "/v1/metrics", b"\n\0", **signed(api, "/v1/metrics", b"", keys(may)))
    assert (status, "SignatureDoesNotMatch" in said) == (403, True)
    status, said = post(api, "/v1/traces", b"", **signed(api, "/v1/traces", b"", keys(may), service="xray"))
    assert (status, "xray:PutTraceSegments" in said) == (403, True)
    assert told(api).requests.get("/v1/metrics", 0) == before
    assert post(api, "/v1/metrics", b"", **signed(api, "/v1/metrics", b"", keys(may)))[0] == 200
    assert told(api).requests["/v1/metrics"] == before + 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x0a\x05ab", "cut off"),
        (b"\x0a" + b"\xff" * 11, "cut off"),
        (b"\x0b", "unknown type"),
        (b"\x08\x01", "number where a message"),
        # A metric's name, which is read when the metric has a point.
        (b"\x0a\x0f\x12\x0d\x12\x0b\x0a\x03\xff\xff\xff\x2a\x04\x0a\x02\x30\x01", "UTF-8"),
    ],
    ids=["short", "endless", "type", "number", "text"],
)
def test_what_is_no_message_is_a_bad_request(api: AwsApi, body: bytes, said: str) -> None:
    who = keys(credentials_of(api, METRICS))
    status, answer = post(api, "/v1/metrics", body, **signed(api, "/v1/metrics", body, who))
    assert status == 400, answer
    assert said in answer


@pytest.mark.parametrize("status", [403, 429, 500])
def test_the_endpoints_can_be_told_to_refuse(api: AwsApi, status: int) -> None:
    who, endpoint = keys(credentials_of(api, METRICS)), f"http://localhost:{api.port}"
    spoil(endpoint, status)
    assert post(api, "/v1/metrics", b"", **signed(api, "/v1/metrics", b"", who))[0] == status
    spoil(endpoint, None)
    assert post(api, "/v1/metrics", b"", **signed(api, "/v1/metrics", b"", who))[0] == 200


def test_a_packed_request_is_unpacked_up_to_a_limit(api: AwsApi) -> None:
    who = keys(credentials_of(api, METRICS))
    for size, status in ((0, 200), (6 * 1024 * 1024, 400)):
        body = gzip.compress(b"\0" * size)
        headers = {"Content-Encoding": "gzip", **signed(api, "/v1/metrics", body, who)}
        assert post(api, "/v1/metrics", body, **headers)[0] == status
