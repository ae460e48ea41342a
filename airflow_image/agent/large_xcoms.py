"""Keeps large XComs of tasks in the stack's bucket; Airflow's database then holds where they are."""

from __future__ import annotations

import functools
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.xcom import BaseXCom

from agent import variables

if TYPE_CHECKING:
    from airflow.sdk.execution_time.comms import XComResult

# The keys of what stands for a value in the database, and in the UI.
WHERE, SIZE = "airflow_on_ecs.large_xcom", "bytes"
KIB = 1024
# Another task's value must not take all memory of the task that reads it.
MOST_BYTES = 256 * KIB * KIB
INSTEAD = "write the data into a bucket of yours, and return where it is"
_NAME = re.compile(r"[A-Za-z0-9-]+/[0-9a-f]{32}")  # of an object: the pool that wrote it, and what no one can guess


class LargeXComError(RuntimeError):
    """The value of an XCom cannot be read or written; the message says which and what to do."""


@dataclass(frozen=True, kw_only=True)
class _Held:
    """A value in the form that the database has, as BaseXCom reads it."""

    value: Any


class LargeXCom(BaseXCom):  # type: ignore[misc]  # mypy is told not to look into Airflow
    """Airflow's XComs, but a task's value of `XCOM_THRESHOLD_KIB` or more goes to the bucket.

    A container without the threshold, or with 0, writes all values to the database. All containers with the bucket read
    both: the pool that reads a value need not be the one that wrote it. Nothing is ever deleted here: a retry writes
    another object, and the bucket's lifecycle removes each.
    """

    @staticmethod
    def serialize_value(
        value: Any,
        *,
        key: str | None = None,
        task_id: str | None = None,
        dag_id: str | None = None,
        run_id: str | None = None,
        map_index: int | None = None,
    ) -> Any:
        """Return what the database gets: the value in JSON's types, or where it is. Raises LargeXComError."""
        del task_id, dag_id, run_id, map_index
        plain: Any = BaseXCom.serialize_value(value)
        least = _threshold_bytes(os.environ)
        if not least:
            return plain
        data = json.dumps(plain, separators=(",", ":")).encode()
        if len(data) < least:
            return plain
        if len(data) > MOST_BYTES:
            raise LargeXComError(f"the XCom {key!r} has {len(data):,} bytes, more than {MOST_BYTES:,}: {INSTEAD}")
        bucket, name = os.environ[variables.XCOM_BUCKET], f"{os.environ[variables.XCOM_PREFIX]}/{uuid.uuid4().hex}"
        try:
            _client().put_object(Bucket=bucket, Key=name, Body=data, ContentType="application/json")
        except _aws_errors() as error:
            raise LargeXComError(f"the XCom {key!r} of {len(data):,} bytes cannot be written to S3: {error}") from error
        return {WHERE: f"s3://{bucket}/{name}", SIZE: len(data)}

    @staticmethod
    def deserialize_value(result: XComResult) -> Any:
        """Return the value, never what stands for it. Raises LargeXComError for one that is not in the bucket."""
        name = _name_of(result.value)
        if name is None:
            return BaseXCom.deserialize_value(result)
        try:
            answer = _client().get_object(Bucket=os.environ[variables.XCOM_BUCKET], Key=name)
            if (length := int(answer["ContentLength"])) > MOST_BYTES:
                raise LargeXComError(
                    f"the XCom at {result.value[WHERE]} has {length:,} bytes, more than {MOST_BYTES:,}: {INSTEAD}"
                )
            data = answer["Body"].read()
        except _aws_errors() as error:
            # S3 says "access denied" also of what is not there, to those who may not list the bucket.
            raise LargeXComError(
                f"the XCom at {result.value[WHERE]} cannot be read from S3: {error}. It is deleted when it is older "
                "than the parameter TaskLogDays says: run the task that returned it again"
            ) from error
        return BaseXCom.deserialize_value(_Held(value=json.loads(data)))


def _threshold_bytes(environment: Mapping[str, str]) -> int:
    return KIB * int(environment.get(variables.XCOM_THRESHOLD_KIB) or 0)


def _name_of(value: Any) -> str | None:
    """Return the name of the object for which a value stands; None for any other value.

    A task can write what looks like one, so only objects of the stack's own bucket are read, and only by whole names.
    """
    if not isinstance(value, dict) or value.keys() != {WHERE, SIZE}:
        return None
    begin = f"s3://{os.environ[variables.XCOM_BUCKET]}/"
    where = value[WHERE]
    if not isinstance(where, str) or not where.startswith(begin) or not _NAME.fullmatch(where[len(begin) :]):
        raise LargeXComError(f"an XCom stands for {where!r}, which is no object of this environment's bucket")
    return where[len(begin) :]


@functools.cache
def _client() -> Any:
    """Return a client of S3 with the container's own role, whatever the connection `aws_default` says.

    It is made in the process of a task that needs it: most need none.
    """
    import boto3

    return boto3.session.Session().client("s3")


def _aws_errors() -> tuple[type[Exception], ...]:
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    return (Boto3Error, BotoCoreError, ClientError)
