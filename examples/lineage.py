"""Tasks that say which data they read and write, for lineage: docs/lineage.md.

Operators of SQL, S3 and many others tell it by themselves. Of a Python function no one knows it: name its data by
assets.
"""

from __future__ import annotations

from airflow.sdk import Asset, dag, task

# The receiver knows them as orders.csv in s3://shop-data and as shop.public.sales in postgres://warehouse:5432.
ORDERS = Asset("s3://shop-data/orders.csv")
SALES = Asset("postgres://warehouse:5432/shop/public/sales")


@dag(schedule=None, tags=["example"])
def lineage() -> None:
    """Load orders, and sum them up."""

    @task(outlets=[ORDERS])
    def fetch() -> int:
        return 3

    @task(inlets=[ORDERS], outlets=[SALES])
    def sum_up() -> int:
        return 6

    fetch() >> sum_up()


lineage()
