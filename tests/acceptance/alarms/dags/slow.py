"""A file that takes long to parse until the stage has replaced it."""

import time

from airflow.sdk import dag

time.sleep(4)


@dag(schedule=None, catchup=False)
def slow() -> None:
    pass


slow()
