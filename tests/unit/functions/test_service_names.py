"""The functions find the services by how their names begin."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from shared.service_names import ASK_AGAIN_AFTER_S, ServiceNames

CLUSTER = "c"
WORKER, AIRFLOW = "airflow-prd-WorkerService", "airflow-prd-AirflowService"


class Ecs:
    """Lists services in pages, or answers with an error."""

    def __init__(self, *pages: Sequence[str]) -> None:
        self.pages, self.listed, self.is_away = pages, 0, False

    def get_paginator(self, operation: str) -> "Ecs":
        assert operation == "list_services"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        assert asked["cluster"] == CLUSTER
        self.listed += 1
        if self.is_away:
            raise EndpointConnectionError(endpoint_url="https://ecs")
        for page in self.pages:
            yield {"serviceArns": [f"arn:aws:ecs:r:1:service/{CLUSTER}/{name}" for name in page]}


def names_of(ecs: Ecs, now: Sequence[float] = (0.0,)) -> ServiceNames:
    times = iter([*now, *[now[-1]] * 10])
    return ServiceNames(ecs, cluster=CLUSTER, clock=lambda: next(times))


def test_a_name_is_found_by_its_beginning_on_any_page() -> None:
    names = names_of(Ecs([f"{AIRFLOW}-a1"], [f"{WORKER}-b2", f"{WORKER}Heavy-c3"]))
    assert names.find([WORKER, AIRFLOW]) == {WORKER: f"{WORKER}-b2", AIRFLOW: f"{AIRFLOW}-a1"}


def test_a_whole_name_is_itself() -> None:
    assert names_of(Ecs([WORKER, f"{WORKER}-b2"])).find([WORKER]) == {WORKER: WORKER}


def test_a_service_that_is_not_there_yet_is_asked_for_again() -> None:
    ecs = Ecs([])
    names = names_of(ecs)
    assert names.find([WORKER]) == {WORKER: WORKER}
    ecs.pages = ([f"{WORKER}-b2"],)
    assert names.find([WORKER]) == {WORKER: f"{WORKER}-b2"}


def test_two_services_with_one_beginning_are_not_guessed_between() -> None:
    assert names_of(Ecs([f"{WORKER}-b2", f"{WORKER}-c3"])).find([WORKER]) == {WORKER: WORKER}


def test_known_names_are_not_listed_again_for_a_while() -> None:
    ecs = Ecs([f"{WORKER}-b2"])
    names = names_of(ecs, now=[0.0, ASK_AGAIN_AFTER_S - 1, ASK_AGAIN_AFTER_S])
    for _ in range(3):
        names.find([WORKER])
    assert ecs.listed == 2


def test_names_stay_known_while_ecs_does_not_answer_and_a_warning_says_why(caplog: pytest.LogCaptureFixture) -> None:
    ecs = Ecs([f"{WORKER}-b2"])
    names = names_of(ecs, now=[0.0, ASK_AGAIN_AFTER_S])
    names.find([WORKER])
    assert caplog.records == []
    ecs.is_away = True
    assert names.find([WORKER]) == {WORKER: f"{WORKER}-b2"}
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert str(vars(warning)["problem"]).startswith("EndpointConnectionError")
