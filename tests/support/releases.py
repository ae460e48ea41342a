"""Releases for tests of the delivery: three versions, the last with a revision that the others do not know."""

import hashlib

from ops.delivery.release import Release

REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/airflow-on-ecs"
LINEAGE = ("bbbb2222bbbb", "aaaa1111aaaa")


def a_release(version: str, *, airflow_version: str = "3.3.2", lineage: tuple[str, ...] = LINEAGE) -> Release:
    """Another version has another digest."""
    digest = hashlib.sha256(version.encode()).hexdigest()
    return Release(
        version=version,
        image=f"{REPOSITORY}@sha256:{digest}",
        airflow_version=airflow_version,
        revision=lineage[0],
        lineage=lineage,
    )


FIRST = a_release("1.0.0")
SECOND = a_release("1.1.0")
UPGRADE = a_release("2.0.0", airflow_version="3.4.0", lineage=("cccc3333cccc", *LINEAGE))
