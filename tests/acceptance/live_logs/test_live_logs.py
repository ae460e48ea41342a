"""The log of a task while it runs, on the whole local stack: over REST, in a browser, and without its worker."""

import json
import sys
from ipaddress import ip_address
from typing import Any

import pytest

from tests.acceptance.live_logs.stage import TASKS
from tests.support.staged import stage

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.longest, pytest.mark.timeout(900)]

TIMEOUT_S = 840
SEEN_WITHIN_S = 5.0
UNREADABLE = "Could not read served logs"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return stage("tests.acceptance.live_logs.stage", tmp_path_factory.mktemp("live-logs"), timeout_s=TIMEOUT_S)


def test_the_first_line_of_each_running_task_is_seen_at_once(found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{json.dumps({'rest_s': found['rest_s'], 'ui_s': found['ui_s']})}\n")
    assert len(found["rest_s"]) == TASKS
    assert sorted(found["rest_s"]) == found["still_running"]
    assert max(found["rest_s"].values()) < SEEN_WITHIN_S
    assert found["after_the_end"] == [True] * TASKS


def test_each_worker_serves_its_own_logs_at_an_address_of_its_own(found: Any) -> None:
    hosts = set(found["hosts"])
    assert len(hosts) == TASKS
    assert [host for host in hosts if not ip_address(host).is_loopback] == []


def test_a_browser_shows_it_too(found: Any) -> None:
    if found["ui_s"] is None:
        pytest.skip("NO BROWSER: not tested: the log of a running task in the UI. Install chromium")
    assert found["ui_s"] < SEEN_WITHIN_S


def test_the_log_of_a_deferred_task_comes_from_its_triggerer(found: Any) -> None:
    shown = found["while_deferred"]
    assert "BEFORE at" in shown
    assert ":8794/log/dag_id=deferred/" in shown
    assert "trigger" in shown
    assert UNREADABLE not in shown


def test_a_task_that_has_resumed_shows_all_of_its_log(found: Any) -> None:
    assert [word for word in ("BEFORE at", "AFTER at") if word not in found["resumed"]] == []


def test_of_a_worker_that_is_gone_the_bucket_s_part_is_shown_with_a_note(found: Any) -> None:
    shown = found["worker_gone"]
    assert "BEFORE at" in shown
    assert "AFTER at" not in shown
    assert UNREADABLE in shown
