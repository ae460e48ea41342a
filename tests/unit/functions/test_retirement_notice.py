"""What a notice of AWS Health names, in each form that it may have."""

from typing import Any

import pytest

from retirement.notice import MOST_CHARACTERS, MOST_NAMED, Notice, read_notice
from shared.tags import retire_before, retire_before_tag

NOW = 1_700_000_000.0
SENT = "2023-11-14T22:00:00Z"
SENT_AT = 1_699_999_200.0
TASK = "arn:aws:ecs:eu-west-1:123456789012:task/fleet/0123456789abcdef0123456789abcdef"


def noticed(*resources: Any, entities: Any = None, **other: Any) -> Notice:
    detail = {
        "service": "ECS",
        "eventTypeCode": "AWS_ECS_TASK_PATCHING_RETIREMENT",
        "eventRegion": "eu-west-1",
        "affectedEntities": [] if entities is None else entities,
        **other.pop("detail", {}),
    }
    event = {"source": "aws.health", "time": SENT, "resources": list(resources), "detail": detail, **other}
    return read_notice(event, cluster="fleet", region="eu-west-1", now=NOW)


@pytest.mark.parametrize(
    "value", ["fleet|worker", "fleet/worker", "arn:aws:ecs:eu-west-1:123456789012:service/fleet/worker"]
)
def test_a_service_is_named_by_its_cluster_or_its_arn(value: str) -> None:
    assert noticed(value).services == {"worker"}
    assert noticed(entities=[{"entityValue": value}]).services == {"worker"}


def test_tasks_and_the_whole_cluster_are_named_by_their_arns() -> None:
    assert noticed(TASK, entities=[{"entityValue": TASK}]).tasks == {TASK}
    assert noticed("arn:aws:ecs:eu-west-1:123456789012:cluster/fleet").is_whole_cluster


@pytest.mark.parametrize(
    "value",
    [
        "other|worker",
        "arn:aws:ecs:eu-west-1:123456789012:service/other/worker",
        "arn:aws:ecs:us-west-2:123456789012:service/fleet/worker",
        "arn:aws:ecs:eu-west-1:123456789012:cluster/other",
        TASK.replace("/fleet/", "/other/"),
    ],
)
def test_what_is_of_another_cluster_or_region_is_left_out(value: str) -> None:
    assert noticed(value) == Notice(at=SENT_AT, services=frozenset(), tasks=frozenset())


def test_a_copy_for_another_region_names_nothing() -> None:
    assert noticed("fleet|worker", detail={"eventRegion": "us-west-2"}).services == frozenset()


@pytest.mark.parametrize(
    ("time", "at"), [(SENT, SENT_AT), ("2023-11-14T22:00:00", SENT_AT), ("soon", NOW), (None, NOW), ("2033-01-01", NOW)]
)
def test_the_notice_was_sent_at_its_time_and_never_in_the_future(time: object, at: float) -> None:
    assert noticed("fleet|worker", time=time).at == at


@pytest.mark.parametrize("entities", [{}, "x", [None, 3, "x", {}, {"entityValue": None}, {"entityValue": [1]}]])
def test_malformed_parts_are_left_out(entities: Any) -> None:
    assert noticed("fleet|worker", None, 7, {}, entities=entities).services == {"worker"}


@pytest.mark.parametrize("event", [{}, {"resources": None, "detail": None}, {"resources": "x", "detail": []}])
def test_an_event_without_content_names_nothing(event: dict[str, Any]) -> None:
    read = read_notice(event, cluster="fleet", region="eu-west-1", now=NOW)
    assert read == Notice(at=NOW, services=frozenset(), tasks=frozenset())


def test_values_that_name_nothing_of_ecs_are_given_for_the_log_but_not_all_and_not_whole() -> None:
    unknown = noticed(*[f"{n} {'x' * 1000}" for n in range(50)]).unknown
    assert len(unknown) == MOST_NAMED
    assert {len(value) for value in unknown} == {MOST_CHARACTERS}


@pytest.mark.parametrize("value", ["", "soon", "-1", "1e9", "1700000000.5", "١٢"])
def test_a_malformed_tag_is_none(value: str) -> None:
    assert retire_before([{"key": "airflow-on-ecs:retire-before", "value": value}]) is None
    assert retire_before([]) is None


def test_a_tag_holds_whole_seconds() -> None:
    assert retire_before([retire_before_tag(1_700_000_000.9)]) == 1_700_000_000.0
