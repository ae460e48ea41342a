"""What the version check remembers, which changes it announces, and the notification."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.registry import MEMBER_TTL_S
from tests.support.version_verdict import CODE, ODD
from version_check.compare import Container
from version_check.memory import UNKNOWN_SETTLES_S, Memory, find_silent, is_worth_telling, mark_announced, remember
from version_check.report import LONGEST_SUBJECT, SHOWN, TO_DO, TO_DO_DRAINING, message_on
from version_check.verdict import IN_SYNC, OUT_OF_SYNC, UNKNOWN, Gap, Reference, Verdict

NOW = 1_000_000.0
WORKER = Container(member="t2/worker", role="worker", image="i", digest="d", started_at=NOW - 600)


def verdict(status: str, at: float = NOW, **other: Any) -> Verdict:
    plain = Verdict(
        at=at,
        reference=Reference(member="t1/webserver", code=CODE),
        compared=6,
        out_of_sync=(ODD,) if status == OUT_OF_SYNC else (),
        unknown=(Gap(who="t3/flower", why="runs but does not report", since=at - 90),) if status == UNKNOWN else (),
    )
    return replace(plain, **other)


def after(*statuses: tuple[str, float]) -> Memory:
    """Return the memory after ticks with these statuses, each so many seconds after the one before."""
    memory, now = Memory(), NOW
    for status, seconds in statuses:
        now += seconds
        memory = mark_announced(remember(memory, verdict(status, at=now), {}))
    return memory


@pytest.mark.parametrize(
    ("ticks", "seconds"),
    [
        ([(IN_SYNC, 0)], 0),
        ([(OUT_OF_SYNC, 0)], 0),
        ([(OUT_OF_SYNC, 0), (OUT_OF_SYNC, 60)], 60),
        ([(OUT_OF_SYNC, 0), (UNKNOWN, 60), (OUT_OF_SYNC, 60)], 120),  # silence is no agreement
        ([(UNKNOWN, 0), (UNKNOWN, 60)], 60),
        ([(OUT_OF_SYNC, 0), (IN_SYNC, 60), (OUT_OF_SYNC, 60)], 0),
    ],
)
def test_the_time_out_of_sync_runs_until_all_agree(ticks: list[tuple[str, float]], seconds: float) -> None:
    assert after(*ticks).seconds_out_of_sync() == seconds


def test_a_clock_that_goes_back_gives_no_negative_time() -> None:
    assert after((OUT_OF_SYNC, 0), (OUT_OF_SYNC, -30)).seconds_out_of_sync() == 0


@pytest.mark.parametrize(
    ("ticks", "news"),
    [
        ([(IN_SYNC, 0)], False),  # all is well from the start
        ([(OUT_OF_SYNC, 0)], True),
        ([(IN_SYNC, 0), (OUT_OF_SYNC, 60)], True),
        ([(OUT_OF_SYNC, 0), (OUT_OF_SYNC, 60)], False),
        ([(OUT_OF_SYNC, 0), (IN_SYNC, 60)], True),
        ([(IN_SYNC, 0), (UNKNOWN, 60)], False),
        ([(IN_SYNC, 0), (UNKNOWN, 60), (IN_SYNC, 60)], False),
        ([(IN_SYNC, 0), (UNKNOWN, 60), (UNKNOWN, UNKNOWN_SETTLES_S)], True),
        ([(IN_SYNC, 0), (UNKNOWN, 60), (UNKNOWN, UNKNOWN_SETTLES_S), (UNKNOWN, 60)], False),
        ([(OUT_OF_SYNC, 0), (UNKNOWN, 60), (OUT_OF_SYNC, 60)], False),
    ],
)
def test_a_change_that_lasts_is_worth_a_notification(ticks: list[tuple[str, float]], news: bool) -> None:
    *before, (status, seconds) = ticks
    now = NOW + sum(each for _, each in ticks)
    assert seconds >= 0
    assert is_worth_telling(remember(after(*before), verdict(status, at=now), {})) is news


def test_a_container_that_never_reported_is_silent_since_it_started() -> None:
    new = replace(WORKER, started_at=NOW - 5)
    assert find_silent(Memory(looked_at=NOW - 60), [new], [], now=NOW) == {"t2/worker": NOW - 5}


def test_a_container_that_stopped_reporting_is_silent_since_the_registry_forgot_it() -> None:
    first = find_silent(Memory(looked_at=NOW - 60), [WORKER], [], now=NOW)
    assert first == {"t2/worker": NOW - MEMBER_TTL_S}
    again = find_silent(Memory(looked_at=NOW, silent=first), [WORKER], [], now=NOW + 60)
    assert again == first
    assert find_silent(Memory(looked_at=NOW, silent=first), [WORKER], ["t2/worker"], now=NOW + 60) == {}


def test_a_message_says_who_runs_what_since_when_and_what_to_do() -> None:
    found = verdict(OUT_OF_SYNC, notes=("wrong order: t2/worker ...",))
    message = message_on(found, Memory(status=OUT_OF_SYNC, since=NOW - 3700), cluster="prd-Cluster")
    assert message.subject == "Airflow prd-Cluster: some containers run other code than the webserver"
    assert message.body == (
        "Webserver:\n"
        "  t1/webserver: image_version 2.0, dags_hash 0123456789ab, airflow_version 3.3.2\n\n"
        "Other code:\n"
        "  t2/worker: dags_hash fedcba987654 instead of 0123456789ab (consuming, 3 active tasks)\n\n"
        "Problems:\n"
        "  wrong order: t2/worker ...\n\n"
        "Since:\n"
        "  1970-01-12 12:45:00 UTC (61 min)\n\n"
        "What to do:\n"
        f"  {TO_DO[OUT_OF_SYNC]}\n"
    )


def test_a_message_counts_one_task_in_the_singular() -> None:
    found = verdict(OUT_OF_SYNC, out_of_sync=(replace(ODD, active=1),))
    body = message_on(found, Memory(status=OUT_OF_SYNC, since=NOW), cluster="c").body
    assert "(consuming, 1 active task)\n" in body


def test_a_message_on_workers_that_only_drain_says_that_there_is_nothing_to_do() -> None:
    gap = Gap(who="worker", why="a deployment is rolling out: ...", is_draining_only=True)
    found = replace(verdict(UNKNOWN), unknown=(gap,))
    body = message_on(found, Memory(status=UNKNOWN, since=NOW), cluster="c").body
    assert body.endswith(f"What to do:\n  {TO_DO_DRAINING}\n")


def test_a_message_on_silence_names_the_silent_container_and_the_time() -> None:
    body = message_on(verdict(UNKNOWN), Memory(status=UNKNOWN, since=NOW), cluster="c").body
    assert "Unknown:\n  t3/flower: runs but does not report, for 90 s\n" in body


def test_a_message_names_a_container_once_and_not_thousands_of_them() -> None:
    several = tuple(
        replace(ODD, member=f"t{number:04}/worker", field=field, is_draining=number != 999)
        for number in range(1000)
        for field in ("dags_hash", "image_version")
    )
    found = verdict(OUT_OF_SYNC, out_of_sync=several)
    message = message_on(found, Memory(status=OUT_OF_SYNC, since=NOW), cluster="c" * 200)
    lines = message.body.splitlines()
    start = lines.index("Other code:") + 1
    assert lines[start].startswith("  t0999/worker: dags_hash")  # it takes tasks, so it comes first
    assert lines[start + SHOWN] == f"  and {1000 - SHOWN} more"
    assert len(message.subject) == LONGEST_SUBJECT
