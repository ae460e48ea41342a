"""Why a task waits and why it died is right on the real stack, where each situation is brought about."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.staged import stage

STAGE_TIMEOUT_S = 900
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(STAGE_TIMEOUT_S + 120)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.why.stage", tmp_path_factory.mktemp("why"), timeout_s=STAGE_TIMEOUT_S)


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        ("own", "died", "Failed: its own code failed"),
        ("retry", "waits", "Try 1 of 2 has failed: its own code failed"),
        ("memory", "died", "ran out of memory. It held"),
        ("paused", "waits", "the DAG `paused` is paused"),
        ("deferred", "waits", "for `DateTimeTrigger`, which a triggerer watches"),
        ("dag_limit", "waits", "its run has 1 task queued or running"),
        ("pool_full", "waits", "the only slot of the pool `narrow` is taken by `pooled` (1)"),
        ("by_hand", "died", "someone set it to this state at"),
        ("booting", "waits", "been starting for"),
        ("running", "runs", "Runs on worker `"),
        ("upstream", "waits", "it waits for `first` to succeed."),
        ("draining_worker", "runs", "Runs on worker `"),
        ("stop_deadline", "died", "was stopped from outside"),
        ("upstream_failed", "died", "Did not run: `first` failed"),
        ("worker_lost", "died", "is gone"),
    ],
)
def test_a_situation_on_the_stack_is_told(results: Any, cause: str, kind: str, words: str) -> None:
    told = results[cause]
    assert (told["cause"], told["kind"]) == (cause, kind), told
    assert words in told["text"]


def test_each_instance_of_a_mapped_task_has_its_own_story(results: Any) -> None:
    assert (results["mapped"]["cause"], results["mapped beside"]["cause"]) == ("own", "success")


def test_a_lost_worker_and_a_drained_one_are_named_by_what_they_were(results: Any) -> None:
    assert f"`{results['lost'][:8]}`" in results["running"]["text"]
    texts = [line["text"] for line in results["stop_deadline"]["lines"]]
    assert any(text.startswith("Try 1 began on worker `") for text in texts)
