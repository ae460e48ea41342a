"""A fleet of any size for the version check to compare, from the records that Redis would hold."""

from __future__ import annotations

import json

from fleet.registry import CONSUMING, RUNNING, WEBSERVER, WORKER, Code, Member, Roster, member_id
from version_check.compare import Container, Seen, Tasks, compare
from version_check.verdict import Reference, Verdict

NOW = 1_000_000.0
NEW = Code(image_version="2.0", dags_hash="b" * 64, airflow_version="3.3.2")
OLD = Code(image_version="1.0", dags_hash="a" * 64, airflow_version="3.3.2")


def compare_all(members: int) -> Verdict:
    """Parses and compares a webserver and `members` workers, which all run older code; as JSON, too."""
    records = [_record(member_id(f"{number:032x}", WORKER), WORKER, OLD) for number in range(members)]
    records.append(_record(member_id("web", WEBSERVER), WEBSERVER, NEW))
    parsed = tuple(Member.from_json(record, last_seen=NOW) for record in records)
    containers = tuple(
        Container(member=each.id, role=each.role, image="airflow:2.0", digest="sha256:" + "0" * 64, started_at=NOW - 60)
        for each in parsed
    )
    tasks = Tasks(containers=containers, known=frozenset(each.id.partition("/")[0] for each in parsed))
    roster = Roster(members=parsed, malformed=(), read_at=NOW)
    answer = Reference(member=member_id("web", WEBSERVER), code=NEW)
    verdict = compare(Seen(now=NOW, tasks=tasks, roster=roster, answer=answer))
    json.dumps(verdict.to_record())
    return verdict


def _record(name: str, role: str, code: Code) -> str:
    return Member(
        id=name,
        role=role,
        pool=None,
        image_version=code.image_version,
        dags_hash=code.dags_hash,
        airflow_version=code.airflow_version,
        state=CONSUMING if role == WORKER else RUNNING,
        slots=16,
        active=16,
        protected=True,
        started_at=NOW - 60,
        task_arn=f"arn:aws:ecs:eu-central-1:123456789012:task/cluster/{name}",
        container=role,
        queues=("default",),
    ).to_json()
