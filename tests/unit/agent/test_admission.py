"""When a worker takes another message. The container has 1,900 MiB for tasks and 200 are held by others."""

import json
from typing import Any

import pytest

from agent.admission import FRESH_S, Admission
from agent.runner.protocol import MOST_MEMORY, Memory, Outcome, memory_in, memory_message

SLOTS = 8


def memory(tasks: dict[int, int] | None = None, *, others: int = 200) -> Memory:
    return Memory(usable=1900, others=others, tasks=tasks or {})


def admission_after(*peaks: int, task: str = "a") -> Admission:
    """Return one that has seen these peaks of a task."""
    admission = Admission()
    for peak in peaks:
        admission.end(admission.begin(task), Outcome(peak=peak))
    admission.measured(memory())
    return admission


def slots(admission: Admission, held: int) -> int:
    """Return the slots in use, having checked that `is_open` says the same."""
    found = admission.slots(SLOTS, held=held)
    assert found >= held
    assert held == SLOTS or admission.is_open(held=held) == (found > held)
    return found


def test_a_worker_that_knows_nothing_uses_all_slots() -> None:
    assert slots(Admission(), 3) == SLOTS
    assert slots(admission_after(), 3) == SLOTS


def test_as_many_tasks_are_taken_as_fit() -> None:
    admission = admission_after(400)
    assert slots(admission, 0) == 4  # 1,700 / 400
    for held in (1, 2, 3, 4):
        admission.begin("a")
        assert slots(admission, held) == 4


def test_a_message_that_has_not_come_to_the_runner_yet_counts_like_a_running_task() -> None:
    admission = admission_after(400)
    assert slots(admission, 4) == 4


def test_a_worker_without_a_task_takes_one_that_does_not_fit() -> None:
    admission = admission_after(5000)
    assert slots(admission, 0) == 1
    admission.begin("a")
    assert slots(admission, 1) == 1


def test_small_tasks_use_all_slots() -> None:
    assert slots(admission_after(50), 0) == SLOTS


def test_a_running_task_counts_with_its_own_peak() -> None:
    admission = admission_after(*[100] * 20)
    admission.end(admission.begin("large"), Outcome(peak=1500))
    admission.begin("large")
    assert slots(admission, 1) == 3  # 1,700 - 1,500 leave room for two of 100


def test_a_running_task_that_has_outgrown_its_peak_counts_with_what_it_holds() -> None:
    admission = admission_after(100)
    number = admission.begin("a")
    assert slots(admission, 1) == SLOTS
    admission.measured(memory({number: 1450}))
    assert slots(admission, 1) == 3
    admission.measured(memory({number: 3000}))
    assert slots(admission, 1) == 1


def test_a_task_that_has_ended_since_the_measurement_holds_nothing() -> None:
    admission = admission_after(400)
    number = admission.begin("a")
    admission.measured(memory({number: 1600}))
    assert slots(admission, 1) == 1
    admission.end(number, Outcome(peak=400))
    assert slots(admission, 0) == 4


def test_a_task_that_never_ran_before_counts_as_a_typical_one() -> None:
    admission = admission_after(400)
    for _ in range(4):
        admission.begin("unknown")
    assert slots(admission, 4) == 4


def test_a_task_that_was_ended_for_its_memory_counts_with_it_and_does_not_limit_others() -> None:
    admission = admission_after()
    admission.end(admission.begin("leak"), Outcome(peak=1600, memory_limit=2048))
    assert slots(admission, 3) == SLOTS
    admission.end(admission.begin("a"), Outcome(peak=200))
    admission.begin("leak")
    assert slots(admission, 1) == 1


def test_a_task_too_short_to_be_measured_needs_little() -> None:
    admission = admission_after(900)
    for _ in range(10):
        admission.end(admission.begin("short"), Outcome())
    assert slots(admission, 3) == SLOTS


def test_what_did_not_run_teaches_nothing() -> None:
    admission = admission_after(900)
    for outcome in (None, Outcome(is_started=False, error="OSError"), Outcome(error="SupervisorDied")):
        for _ in range(20):
            admission.end(admission.begin("a"), outcome)
    assert slots(admission, 0) == 1


def test_an_old_measurement_limits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = admission_after(400)
    later = admission._measured_at + FRESH_S + 1
    monkeypatch.setattr("agent.admission.time.monotonic", lambda: later)
    assert slots(admission, 4) == SLOTS


def test_a_measurement_is_read_as_it_was_sent() -> None:
    sent = Memory(usable=2**40, others=7, tasks={1: 5, 20: 0})
    assert memory_in(memory_message(sent)) == sent


@pytest.mark.parametrize(
    "changes", [{"usable": -1}, {"others": 1.5}, {"others": True}, {"tasks": []}, {"tasks": {"x": 1}}]
)
def test_a_malformed_measurement_is_not_taken(changes: dict[str, Any]) -> None:
    message = json.dumps({"usable": 1, "others": 1, "tasks": {"1": 1}, **changes}).encode()
    assert memory_in(message) is None


@pytest.mark.parametrize("message", [b"", b"{", b"[]", b"[" * 50_000, b'{"usable": 1}', str(MOST_MEMORY).encode()])
def test_what_is_no_measurement_is_not_taken(message: bytes) -> None:
    assert memory_in(message) is None
