"""Events: what they say, in which order they are sent, and what of them is remembered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from agent.events.event import Event, Site, of_run, of_try
from agent.events.position import AGAIN, start
from agent.events.rows import Run, Try
from agent.events.sender import ATTEMPTS, MOST_BYTES, NotSent, Sender, fitting
from agent.events.told import Told

AT = datetime(2026, 12, 1, 6, 0, tzinfo=UTC)
SITE = Site(environment="prd", url="https://airflow.example.com")
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/default"
RUN = Run(
    dag_id="dag",
    run_id="run",
    run_type="scheduled",
    state="running",
    logical_date=AT,
    queued_at=AT,
    start_date=AT + timedelta(seconds=1),
    end_date=None,
    changed_at=AT + timedelta(seconds=9),
)
TRY = Try(
    run=RUN,
    task_id="task",
    map_index=-1,
    try_number=1,
    max_tries=2,
    state="running",
    operator="PythonOperator",
    queue="default",
    pool="default_pool",
    hostname="10.0.0.1",
    scheduled_at=AT + timedelta(seconds=2),
    queued_at=AT + timedelta(seconds=3),
    start_date=AT + timedelta(seconds=4),
    end_date=None,
    changed_at=AT + timedelta(seconds=9),
)


def second(given: Try) -> float:
    return (given.since - AT).total_seconds()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"state": "scheduled"}, 2),
        ({"state": "queued"}, 3),
        ({}, 4),  # runs since its start, whatever heartbeats have changed since
        ({"queued_at": AT + timedelta(seconds=7)}, 7),  # again after a wait: its start is that of the try
        ({"state": "deferred"}, 4),
        ({"state": "success", "end_date": AT + timedelta(seconds=8)}, 8),
        ({"state": "skipped"}, 9),  # without a time of its own
    ],
)
def test_the_time_of_a_state_does_not_move_while_it_lasts(changes: dict[str, Any], expected: float) -> None:
    assert second(replace(TRY, **changes)) == expected


@pytest.mark.parametrize(
    ("state", "try_number", "is_past", "told"),
    [
        ("failed", 1, True, "up_for_retry"),  # 1 of 2 retries follows
        ("failed", 3, True, "failed"),  # the last try, cleared by a person
        ("failed", 1, False, "failed"),
        ("success", 1, True, "success"),
    ],
)
def test_a_failed_try_that_was_followed_by_another_is_told_as_one_for_retry(
    state: str, try_number: int, is_past: bool, told: str
) -> None:
    assert replace(TRY, state=state, try_number=try_number, is_past=is_past).told_state == told


def test_an_id_names_a_state_of_one_try_alone() -> None:
    events = [
        of_run(RUN, SITE),
        of_run(RUN, replace(SITE, environment="qa")),
        of_try(TRY, SITE),
        of_try(replace(TRY, try_number=2), SITE),
        of_try(replace(TRY, map_index=1), SITE),
        of_try(replace(TRY, state="deferred"), SITE),
        of_try(replace(TRY, task_id='task", "'), SITE),
    ]
    assert len({event.detail["id"] for event in events}) == len(events)
    assert of_try(replace(TRY, changed_at=AT), SITE).detail["id"] == events[2].detail["id"]
    assert events[4].detail["url"].endswith("/dags/dag/runs/run/tasks/task/mapped/1")


class Client:
    """EventBridge. `answers`: for each call, the error codes of its entries; calls after those are taken."""

    def __init__(self, *answers: Sequence[str | None] | Exception) -> None:
        self._answers = list(answers)
        self.calls: list[list[str]] = []

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append([entry["Detail"] for entry in Entries])
        codes = self._answers.pop(0) if self._answers else [None] * len(Entries)
        if isinstance(codes, Exception):
            raise codes
        return {"Entries": [{"EventId": "1"} if code is None else {"ErrorCode": code} for code in codes]}


def event(run: str, number: int = 0, *, size: int = 0) -> Event:
    detail = {"id": f"{run}{number}" + size * "x"}
    return Event(subject=(run, str(number)), run=("dag", run), state="running", since=AT, type="Task", detail=detail)


def sent(client: Client, events: Sequence[Event]) -> tuple[Sender, list[str], list[float]]:
    accepted: list[str] = []
    pauses: list[float] = []
    sender = Sender(client, BUS, sleep=pauses.append)
    sender.send(events, lambda each: accepted.append(each.detail["id"]))
    return sender, accepted, pauses


def test_a_call_has_ten_entries_at_most() -> None:
    client = Client()
    sender, accepted, _ = sent(client, [event("a", number) for number in range(23)])
    assert [len(call) for call in client.calls] == [10, 10, 3]
    assert sender.sent == len(accepted) == 23


def test_a_call_has_256_kib_at_most_and_one_entry_at_least() -> None:
    large = event("a", size=100 * 1024)
    assert fitting([large] * 10, BUS) == 2  # of 100 KiB and some
    assert fitting([event("a", size=MOST_BYTES)] * 2, BUS) == 1


def test_what_is_not_taken_is_sent_again_with_what_followed_it_in_its_run() -> None:
    client = Client([None, "ThrottlingException", None, None], ["InternalFailure", None])
    events = [event("a", 1), event("b", 1), event("a", 2), event("b", 2)]
    sender, accepted, pauses = sent(client, events)
    assert client.calls[1:] == [[e.text() for e in (events[1], events[3])]] * 2
    assert accepted == ["a1", "a2", "b1", "b2"]
    assert (sender.sent, pauses) == (4, [0.4, 0.8])


def test_an_entry_that_is_never_taken_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    sender, accepted, _ = sent(Client(["MalformedDetail", None]), [event("a", 1), event("a", 2)])
    assert (sender.sent, sender.refused, accepted) == (1, 1, ["a1", "a2"])
    assert "refused for good (MalformedDetail): event a1" in caplog.text


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([["ThrottlingException"]] * ATTEMPTS, "EventBridge answers ThrottlingException"),
        (
            [ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutEvents")],
            "EventBridge answers AccessDeniedException",
        ),
        ([EndpointConnectionError(endpoint_url="http://x")], "EventBridge cannot be reached (EndpointConnectionError)"),
        ([[None, None]], "EventBridge's answer is not whole"),
    ],
    ids=["throttled", "denied", "away", "not-whole"],
)
def test_events_wait_while_eventbridge_does_not_take_them(answers: list[Any], said: str) -> None:
    with pytest.raises(NotSent, match=said.replace("(", r"\(").replace(")", r"\)")):
        sent(Client(*answers), [event("a")])


def test_the_oldest_are_forgotten_first_and_memory_is_bounded() -> None:
    told = Told(most=2)
    for number in range(3):
        told.add(event("a", number))
    assert len(told) == 2
    assert told.unknown([event("a", number) for number in range(3)]) == [event("a", 0)]


def test_a_row_that_is_read_again_is_remembered_for_longer() -> None:
    told = Told(most=2)
    told.add(event("a", 0))
    told.add(event("a", 1))
    told.unknown([event("a", 0)])
    told.add(event("a", 2))
    assert told.unknown([event("a", 0)]) == []


@pytest.mark.parametrize(
    ("kept", "followed_since", "expected"),
    [
        (AT.timestamp() - 60, None, AT - timedelta(seconds=60)),
        (None, None, AT - AGAIN),
        (None, AT - timedelta(hours=1), AT - timedelta(hours=1)),
        (AT.timestamp() - 7200, AT - timedelta(hours=1), AT - timedelta(hours=1)),  # of when events were on before
        (AT.timestamp() + 60, None, AT - AGAIN),  # ahead
    ],
)
def test_a_process_begins_where_the_last_one_was(
    kept: float | None, followed_since: datetime | None, expected: datetime
) -> None:
    assert start(kept, now=AT, followed_since=followed_since) == expected
