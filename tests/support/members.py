"""A worker as it reports to the fleet registry."""

from fleet.member import CONSUMING, Member

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
