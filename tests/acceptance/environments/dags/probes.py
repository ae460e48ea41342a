"""DAGs of a test: what a task may read in AWS, which settings of Airflow it has, and one that runs until it is told."""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow.configuration import conf
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import dag, get_current_context, task
from botocore.exceptions import ClientError

log = logging.getLogger(__name__)
BUCKET = "teams-lake"  # tests.acceptance.environments.stage makes it
LOOK_EVERY_S = 1.0
LONGEST_S = 540.0


@task
def read() -> None:
    """Read the team's file with the credentials that a task has without any setting."""
    try:
        answer: Any = S3Hook().get_conn().get_object(Bucket=BUCKET, Key="fish")
    except ClientError as error:
        log.info("refused: %s", error.response["Error"]["Code"])
    else:
        log.info("read: %s", answer["Body"].read().decode())


@task(queue="default", retries=0)
def tell() -> None:
    """Say which settings the task has, and where a mail about it would lead."""
    log.info("retries: %s", conf.get("core", "default_task_retries"))
    log.info("link: %s", get_current_context()["ti"].log_url)


@task(queue="default", retries=0)
def hold() -> None:
    """Run until the test says that it may end."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        if S3Hook().check_for_key("release", bucket_name=BUCKET):
            return
        time.sleep(LOOK_EVERY_S)
    raise TimeoutError("the test did not say that the task may end")


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def reading() -> None:
    """Read in each pool."""
    read.override(task_id="worker", queue="default", retries=0)()
    read.override(task_id="lake", queue="lake", retries=0)()


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def telling() -> None:
    """Tell."""
    tell()


@dag(schedule=None, catchup=False, is_paused_upon_creation=False)
def holding() -> None:
    """Hold a worker."""
    hold.override(queue="lake")()


reading()
telling()
holding()
