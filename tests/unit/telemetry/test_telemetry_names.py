"""Which metrics are sent, and which of their labels are left."""

import re

import pytest

from stack.sections import telemetry as section
from telemetry import undelivered
from telemetry.names import ALL, CHOICES, DEFAULT, DEFAULT_SET, NONE, OVERFLOW, Labels, allow_list


def test_the_template_and_the_image_have_the_same_choices_and_the_same_field() -> None:
    assert section.CHOICES == CHOICES
    assert undelivered.FIELD == section.UNDELIVERED_FIELD


def test_airflow_s_allow_list_is_one_pattern_of_whole_names() -> None:
    pattern = allow_list(DEFAULT)
    assert "," not in pattern  # Airflow separates patterns by commas, and compares in lower case
    assert {name for name in DEFAULT_SET if re.findall(pattern, name.lower())} == set(DEFAULT_SET)
    assert re.findall(pattern, "ti.finish.a_dag") == []
    assert re.findall(pattern, "xti_failures") == []
    assert allow_list(ALL) == allow_list(NONE) == ""


@pytest.mark.parametrize(
    ("choice", "name", "tags", "left"),
    [
        (DEFAULT, "ti.finish", {"dag_id": "a", "task_id": "b", "state": "success"}, {"state": "success"}),
        (DEFAULT, "ti_failures", {"dag_id": "a", "task_id": "b"}, {"dag_id": "a"}),
        (DEFAULT, "scheduler_heartbeat", None, {}),
        (DEFAULT, "unknown", {"dag_id": "a"}, {}),
        (
            ALL,
            "ti.finish",
            {"dag_id": "a", "task_id": "b", "run_id": "r", "try_number": 1},
            {"dag_id": "a", "task_id": "b"},
        ),
        (ALL, "triggers.running", {"hostname": "ip-10-0-0-1"}, {}),
    ],
)
def test_labels_that_grow_with_runs_or_hosts_are_left_out(
    choice: str, name: str, tags: dict[str, object] | None, left: dict[str, object]
) -> None:
    assert Labels(choice).kept(name, tags) == left


def test_beyond_the_most_sets_of_labels_the_rest_is_one_series() -> None:
    labels = Labels(ALL, most_sets=2)
    found = [labels.kept("ti_failures", {"dag_id": f"d{i}"}) for i in range(4)]
    assert found == [{"dag_id": "d0"}, {"dag_id": "d1"}, OVERFLOW, OVERFLOW]
    assert labels.kept("ti_failures", {"dag_id": "d1"}) == {"dag_id": "d1"}
    assert labels.kept("ti_successes", {"dag_id": "d3"}) == {"dag_id": "d3"}  # each metric has sets of its own
