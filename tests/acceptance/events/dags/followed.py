"""A run whose events are looked at: a retry, a failure that skips nothing, and an event that a task tries to forge."""

import logging
from datetime import timedelta

import boto3
from airflow.sdk import dag, get_current_context, task
from botocore.exceptions import ClientError

log = logging.getLogger(__name__)


@dag(schedule=None)
def followed():
    @task(retries=1, retry_delay=timedelta(seconds=0))
    def tried():
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError("the first try")

    @task
    def forging():
        entry = {"Source": "airflow-on-ecs", "DetailType": "Airflow Task State Change", "Detail": '{"state": "forged"}'}
        try:
            boto3.client("events").put_events(Entries=[entry])
        except ClientError as error:
            log.info("refused: %s", error)

    @task
    def last(_value):
        pass

    last(tried())
    forging()


followed()
