"""Workers as they report to the fleet registry."""

from dataclasses import replace
from typing import Any

from fleet.member import CONSUMING, Member, member_id
from fleet.pools import Pool

A_WORKER = Member(
    id="0123456789abcdef/worker",
    role="worker",
    pool="worker",
    image_version="1.2.3",
    dags_hash="abc",
    airflow_version="3.3.2",
    state=CONSUMING,
    slots=16,
    active=3,
    protected=True,
    started_at=1_700_000_000.5,
    task_arn="arn:aws:ecs:eu-central-1:123456789012:task/cluster/0123456789abcdef",
    container="worker",
    queues=("default", "long"),
)


def a_worker_of(pool: Pool, task_arn: str, /, **claims: Any) -> Member:
    """Return an idle, consuming, protected worker of the pool, with four slots, but for what it `claims`."""
    plain = replace(
        A_WORKER,
        id=member_id(task_arn.rpartition("/")[2], "worker"),
        pool=pool.name,
        queues=pool.queues,
        slots=4,
        active=0,
        started_at=0.0,
        task_arn=task_arn,
    )
    return replace(plain, **claims)
