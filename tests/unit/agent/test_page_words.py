"""Unit tests of the sentences about the fleet on the page and in the terminal."""

from dataclasses import replace

import pytest

from agent.page.code import code_by_role
from agent.page.entries import Check
from agent.page.words import Parts, coming, count, expected, memory, needs, verdict
from bench.micro.page.sample_fleet import OLDER, a_member
from fleet.forecast import Forecast
from fleet.member import DRAINING, WEBSERVER, Member
from fleet.peaks import PoolPeaks

NOW = 1_700_000_000.0
A_WEBSERVER = a_member(1, role=WEBSERVER, now=NOW)
WORKERS = [a_member(number, now=NOW, active=3) for number in (2, 3)]


def said(*members: Member, malformed: tuple[str, ...] = ()) -> dict[str, str]:
    return verdict(code_by_role(members, malformed=malformed), now=NOW)


def test_a_noun_is_singular_for_one() -> None:
    assert [count(number, "process", "processes") for number in (0, 1, 1200)] == [
        "0 processes",
        "1 process",
        "1,200 processes",
    ]


def test_the_verdict_of_a_fleet_in_sync_names_its_version() -> None:
    assert said(A_WEBSERVER, *WORKERS) == {"title": "In sync", "text": "All 3 processes run 1.4.0."}


def test_the_verdict_names_the_differing_members_their_differences_and_tasks() -> None:
    older = [replace(worker, **OLDER) for worker in WORKERS]
    assert said(A_WEBSERVER, *older) == {
        "title": "Out of sync",
        "text": "2 of 3 processes differ from the webserver, with 6 running tasks: 2 workers (image version, DAGs).",
    }


def test_the_verdict_of_an_unknown_fleet_gives_a_few_reasons() -> None:
    shown = said(A_WEBSERVER, malformed=("a", "b", "c", "d"))
    assert shown["title"] == "Unknown"
    assert shown["text"] == "a: its record is malformed; b: its record is malformed; c: its record is malformed."


@pytest.mark.parametrize(
    ("number", "since", "text"),
    [
        (0, NOW - 11, ""),
        (1, NOW - 11, "1 worker is starting (11 s)"),
        (3, NOW + 1, "3 workers are starting (0 s)"),  # clocks differ a little
        (3, None, "3 workers are starting"),
    ],
)
def test_workers_that_start_are_counted_with_their_time(number: int, since: float | None, text: str) -> None:
    assert coming(number, since=since, now=NOW) == text


def test_the_verdict_of_an_ordinary_scale_out_names_no_unknown() -> None:
    check = Check(status="unknown", starting=(NOW - 11, NOW - 4, NOW - 2))
    assert verdict(code_by_role([A_WEBSERVER, *WORKERS], malformed=(), check=check), now=NOW) == {
        "title": "3 workers are starting (11 s)",
        "text": "All 3 processes that report run 1.4.0.",
    }


@pytest.mark.parametrize(
    ("forecast", "parts"),
    [
        (None, ["This pool has no forecast."]),
        ((), ["The forecast expects no runs soon."]),
        (((40, 3), (50, 2)), ["The forecast expects no runs soon."]),  # they have begun
        (((40, 3), (60, 1)), ["The forecast expects runs that need ", "1 more slot at ", 60, "."]),
        (
            ((60, 1), (120, 2), (180, 3), (240, 4), (300, 5)),
            [
                "The forecast expects runs that need ",
                "1 more slot at ",
                60,
                ", 2 more slots at ",
                120,
                ", 3 more slots at ",
                180,
                ", and others at 2 later times.",
            ],
        ),
    ],
)
def test_the_forecast_is_a_sentence_with_its_first_times(forecast: Forecast | None, parts: Parts) -> None:
    assert expected(forecast, now=50) == parts


def test_memory_is_mentioned_where_it_limits_workers() -> None:
    short = replace(WORKERS[0], slots=4, declared_slots=16)
    assert memory([short, replace(WORKERS[1], slots=16, declared_slots=16)]) == "memory: takes 20 of 32 slots"
    assert memory([replace(WORKERS[0], slots=16, declared_slots=16)]) == ""
    assert memory([replace(WORKERS[0], slots=16)]) == ""  # of an older release
    assert memory([replace(short, state=DRAINING)]) == ""


def test_what_tasks_need_is_compared_with_the_slots() -> None:
    """3,280 MiB for eight tasks are 1,580 more than there are."""
    peaks = PoolPeaks(last=(*[50] * 8, 410, 1500), room=1700)
    said = "Nine of ten tasks need up to 410 MiB, the largest of the last 10 needed 1,500 MiB. "
    said += "4 slots of a worker of this size fit"
    assert needs(peaks, slots=8) == f"{said}, 8 declared: for all of them, add 2 GiB to a worker."
    assert needs(peaks, slots=4) == f"{said}, 4 declared."


def test_where_nothing_is_known_of_what_tasks_need_nothing_is_said() -> None:
    assert needs(None, slots=8) == ""
    assert needs(PoolPeaks(last=(0, 0), room=1700), slots=8) == ""
