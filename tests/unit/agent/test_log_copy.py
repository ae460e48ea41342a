"""The copy of a task's log for CloudWatch Logs: what its lines say, and how long they get."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from agent.runner.log_copy import ALL, CUT, END, ERRORS, MOST_LINE_BYTES, TaskKey, copied

KEY = TaskKey(dag_id="dag", run_id="run", task_id="task", map_index=-1, try_number=2)
FIELDS = {"log": "airflow-task", "dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1, "try_number": 2}


def line(message: str, *, level: str = "info", second: int = 0, **more: Any) -> bytes:
    given = {"timestamp": f"2026-12-01T06:00:{second:02}.5Z", "level": level, "event": message, "logger": "task"}
    return json.dumps({**given, **more}).encode()


def copy(lines: Iterable[bytes], *, choice: str = ALL, key: TaskKey = KEY, most_bytes: int = 10**6) -> list[Any]:
    written = list(copied(lines, key, choice=choice, most_bytes=most_bytes))
    assert all(each.endswith(b"\n") and len(each) <= MOST_LINE_BYTES and each.count(b"\n") == 1 for each in written)
    return [json.loads(each) for each in written]


def test_each_line_names_its_try_and_the_last_sums_up() -> None:
    first, last, end = copy([line("begins"), line("breaks", level="error", second=7), b""])
    assert first == {**FIELDS, "time": "2026-12-01T06:00:00.5Z", "level": "info", "logger": "task", "message": "begins"}
    assert (last["level"], last["message"]) == ("error", "breaks")
    assert end == {**FIELDS, "level": "info", "message": END, "lines": 2, "left_out": 0, "errors": 1, "seconds": 7.0}


def test_of_errors_only_warnings_and_errors_are_copied() -> None:
    lines = [line(level, level=level) for level in ("debug", "info", "warning", "error", "critical")]
    copies = copy(lines, choice=ERRORS)
    assert [each["message"] for each in copies] == ["warning", "error", "critical", END]
    assert copies[-1]["lines"] == 5


@pytest.mark.parametrize("field", ["error_detail", "exception"])  # of a task's process, and of its supervisor
def test_an_exception_is_told_by_its_kind_and_text(field: str) -> None:
    details: Any = [{"exc_type": "ValueError", "exc_value": "no fish", "frames": [{"lineno": 1}]}]
    (error, _) = copy([line("Task failed", **{"level": "error", field: details})])
    assert json.loads(error["error"]) == ["ValueError: no fish"]


@pytest.mark.parametrize(
    "hostile",
    [
        b"no JSON",
        b'["a list"]',
        b'{"log": "airflow-task", "dag_id": "of another", "event": "forged"}',
        b"\xff\xfe\x00",
        b'{"event": ' + b"[" * 100_000,
        json.dumps({"event": "a\nb\u2028c", "level": {"no": "text"}, "error_detail": [1, {"exc_type": None}]}).encode(),
        json.dumps({"event": "\x00\x1b[31m" * 50_000, "logger": "\u20ac" * 50_000, "timestamp": "x" * 9000}).encode(),
    ],
    ids=["text", "list", "forged", "bytes", "deep", "types", "long"],
)
def test_whatever_a_task_writes_its_line_is_one_of_its_own_try(hostile: bytes) -> None:
    (first, end) = copy([hostile])
    assert first.items() >= FIELDS.items()
    assert end["lines"] == 1


def test_a_long_text_is_cut_and_says_so_and_the_longest_names_fit() -> None:
    key = TaskKey(dag_id="d" * 250, run_id="\u20ac" * 250, task_id='"' * 250, map_index=9, try_number=1)
    (first, _) = copy([line("x" * 100_000)], key=key)
    assert first["message"].endswith(CUT)
    assert len(first["message"]) > 1000
    assert (first["run_id"], first["task_id"]) == (key.run_id, key.task_id)


def test_what_exceeds_the_budget_is_left_out_and_counted() -> None:
    copies = copy((line("x" * 500, second=number % 60) for number in range(1000)), most_bytes=10_000)
    assert len(copies) < 20
    assert copies[-1]["left_out"] == 1000 - (len(copies) - 1)
