"""A run whose events and lineage are looked at: a retry, and what a task tries to forge or to find."""

import logging
import os
import time
from datetime import timedelta

import boto3
from airflow.sdk import Asset, dag, get_current_context, task
from botocore.exceptions import ClientError

log = logging.getLogger(__name__)
# A state that ends between two readings of the database, each five seconds, is not told: the run must be seen running.
SEEN_S = 15


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
        log.info("environment: %s", dict(os.environ))

    @task(outlets=[Asset("s3://shop-data/orders.csv")])
    def last(_value):
        time.sleep(SEEN_S)

    last(tried())
    forging()


followed()
