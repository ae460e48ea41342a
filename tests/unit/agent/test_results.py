"""Unit tests of the results that the scheduler reads: hostile records."""

import pytest
from celery import states

from agent.results import read_state

NONE = ("", states.PENDING)


def test_a_record_of_ours_gives_its_id_and_state() -> None:
    assert read_state(b'{"task_id": "id", "status": "SUCCESS", "result": null}') == ("id", "SUCCESS")


@pytest.mark.parametrize(
    "payload",
    [
        None,
        3,
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"3",
        b'{"task_id": "id"}',
        b'{"task_id": "id", "status": "NO STATE"}',
        b'{"task_id": "id", "status": ["SUCCESS"]}',
        b'{"task_id": "id", "status": {}}',
        b'{"task_id": 3, "status": "SUCCESS"}',
        b"[" * 4000,
        b'{"task_id": "id", "status": "SUCCESS", "result": "' + b"x" * 5000 + b'"}',
    ],
)
def test_what_is_no_record_of_ours_reads_as_no_result(payload: object) -> None:
    assert read_state(payload) == NONE
