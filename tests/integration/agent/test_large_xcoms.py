"""Large XComs in a bucket of the local S3, as Airflow's own processes write and read them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.airflows_python import asked, needs_airflow
from tests.support.aws_api import AwsApi

pytestmark = needs_airflow
WHERE, SIZE = "airflow_on_ecs.large_xcom", "bytes"
# One process for all: each takes seconds to import Airflow, and what is tested is read anew at each call.
PROGRAM = """
import os, sys
from datetime import UTC, datetime
from airflow.sdk.execution_time.comms import XComResult
from airflow.sdk.execution_time.xcom import XCom

def write(value):
    return XCom.serialize_value(value, key="k", task_id="t", dag_id="d", run_id="r", map_index=-1)

def read(stored):
    return XCom.deserialize_value(XComResult(key="k", value=stored))

def told(call, value):
    try:
        return ["returned", call(value)]
    except Exception as error:
        return [type(error).__name__, str(error)]

def without(name, call, value):
    given, os.environ[name] = os.environ[name], "0" if name == "XCOM_THRESHOLD_KIB" else "no-such-bucket"
    try:
        return told(call, value)
    finally:
        os.environ[name] = given

def at_most(size, call, value):
    large_xcoms = sys.modules["agent.large_xcoms"]
    given, large_xcoms.MOST_BYTES = large_xcoms.MOST_BYTES, size
    try:
        return told(call, value)
    finally:
        large_xcoms.MOST_BYTES = given

before = set(sys.modules)
small = [read(write({"a": 1})), read(write({"bytes": 1})), read(write(None))]
imported = sorted(set(sys.modules) - before)
sizes = [write("x" * (1024 - 2 - less)) for less in (1, 0)]  # a JSON text has two quotes more than the text
value = {"when": datetime(2026, 12, 1, tzinfo=UTC), "some": {1, 2}, "pair": ("a", None), "text": "f\u00e4" * 2000}
rich = write(value)
references = json.loads(os.environ["REFERENCES"])
answer({
    "small": small,
    "imported": imported,
    "sizes": sizes,
    "read": [len(read(each)) for each in sizes],
    "rich": [sorted(rich), read(rich) == value],
    "switched off": [without("XCOM_THRESHOLD_KIB", *each) for each in ((write, "x" * 5000), (read, sizes[1]))],
    "too large": [at_most(1023, *each) for each in ((write, "x" * 5000), (read, sizes[1]))],
    "unwritten": without("XCOM_BUCKET", write, "x" * 5000),
    "references": {name: told(read, reference) for name, reference in references.items()},
})
"""


@pytest.fixture(scope="module")
def bucket(api: AwsApi) -> str:
    name = f"xcoms-{uuid.uuid4().hex[:8]}"
    api.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": api.region})
    return name


def references(bucket: str) -> Mapping[str, str]:
    """Return where references of other than the stack's own making lead, by what is wrong with them."""
    unknown = "heavy/0123456789abcdef0123456789abcdef"
    return {
        "gone": f"s3://{bucket}/{unknown}",
        "another bucket": f"s3://teams-lake/{unknown}",
        "another folder": f"s3://{bucket}/heavy/../logs/0123456789abcdef0123456789abcdef",
        "no such name": f"s3://{bucket}/salaries.json",
        "a line more": f"s3://{bucket}/{unknown}\n",
        "no S3": f"https://{bucket}/{unknown}",
    }


@pytest.fixture(scope="module")
def found(api: AwsApi, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {name: value for name, value in api.environment.items() if name.startswith("AWS_")}
    settings |= {"XCOM_BUCKET": bucket, "XCOM_PREFIX": "heavy", "XCOM_THRESHOLD_KIB": "1"}
    settings["AIRFLOW__CORE__XCOM_BACKEND"] = "agent.large_xcoms.LargeXCom"
    settings["REFERENCES"] = json.dumps({why: {WHERE: where, SIZE: 3} for why, where in references(bucket).items()})
    return asked(PROGRAM, home=tmp_path_factory.mktemp("airflow"), **settings)


def test_a_value_of_the_threshold_goes_to_the_bucket_and_one_below_it_does_not(
    found: Any, api: AwsApi, bucket: str
) -> None:
    plain, reference = found["sizes"]
    assert plain == "x" * 1021
    assert reference[SIZE] == 1024
    name = reference[WHERE].removeprefix(f"s3://{bucket}/")
    assert name.startswith("heavy/")
    assert api.client("s3").get_object(Bucket=bucket, Key=name)["Body"].read() == b'"%s"' % (b"x" * 1022)
    assert found["read"] == [1021, 1022]


def test_a_large_value_keeps_its_types_as_one_in_the_database_does(found: Any) -> None:
    assert found["rich"] == [[WHERE, SIZE], True]


def test_small_values_import_nothing(found: Any) -> None:
    assert found["small"] == [{"a": 1}, {"bytes": 1}, None]
    assert found["imported"] == []


def test_where_it_is_switched_off_large_values_are_read_and_none_is_written(found: Any) -> None:
    """As in the service `airflow`, and in tasks where the parameter is 0."""
    assert found["switched off"] == [["returned", "x" * 5000], ["returned", "x" * 1022]]


def test_a_value_that_cannot_be_written_is_an_error(found: Any) -> None:
    kind, text = found["unwritten"]
    assert kind == "LargeXComError"
    assert "'k' of 5,002 bytes cannot be written to S3" in text


def test_a_value_too_large_for_the_memory_of_tasks_is_neither_written_nor_read(found: Any) -> None:
    for (kind, text), size in zip(found["too large"], ("5,002", "1,024"), strict=True):
        assert kind == "LargeXComError"
        assert f"has {size} bytes, more than 1,023: write the data into a bucket of yours" in text


def test_a_value_that_is_gone_is_an_error_and_never_what_stands_for_it(found: Any, bucket: str) -> None:
    kind, text = found["references"]["gone"]
    assert kind == "LargeXComError"
    assert references(bucket)["gone"] in text
    assert "TaskLogDays" in text


@pytest.mark.parametrize("why", [why for why in references("") if why != "gone"])
def test_a_task_cannot_let_another_read_anything_else_for_it(found: Any, why: str) -> None:
    kind, text = found["references"][why]
    assert kind == "LargeXComError"
    assert "no object of this environment's bucket" in text
