"""`make up` shows a fleet in a real Redis."""

import io
import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import redis
from rich.console import Console

from bench.micro.page import sample_fleet, webserver
from bench.micro.page.sample_fleet import a_member
from fleet import registry
from fleet.pools import read_pools
from fleet.registry import Registry
from local.ui.monitor import MOST_BROKEN, ChangeLog, draw_broken
from local.ui.screen import RESERVED_LINES, fit, picture
from local.ui.snapshot import Snapshot, read_snapshot

DECLARED = read_pools(json.dumps(webserver.DECLARED))


@pytest.fixture
def fleet(redis_server: Any) -> Iterator[redis.Redis]:
    redis_server.client.flushdb()
    sample_fleet.a_fleet(redis_server.client)
    with sample_fleet.kept_alive(redis_server.client):
        yield redis_server.client


@pytest.fixture(scope="module")
def snapshot(redis_server: Any) -> Snapshot:
    redis_server.client.flushdb()
    sample_fleet.a_fleet(redis_server.client)
    with sample_fleet.kept_alive(redis_server.client):
        return read_snapshot(redis_server.client, DECLARED)


def drawn(snapshot: Snapshot, *, width: int = 140, height: int = 60) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    return ["".join(part.text for part in line) for line in console.render_lines(fit(snapshot, console), pad=False)]


def test_the_screen_shows_code_pools_forecast_and_decisions(snapshot: Snapshot) -> None:
    lines = drawn(snapshot)
    assert "Out of sync  2 of 21 processes differ from the webserver, with 4 running tasks" in lines[0]
    (older,) = (line for line in lines if line.startswith("1.3.2"))
    assert "2 workers (image version, DAGs) with 4 running tasks" in older
    (current,) = (line for line in lines if line.startswith("1.4.0"))
    assert "webserver, dag-processor, flower, scheduler, triggerer, 14 workers with 158 running tasks" in current
    pool = next(line for line in lines if line.startswith("worker "))
    assert pool.split()[:8] == ["worker", "27", "154", "of", "160", "10", "2", "13"]
    assert "11 → 13  27 tasks wait for a slot: launch 2 workers (desired 11 -> 13)" in lines[-2]
    assert any("worker: The forecast expects runs that need 80 more slots at" in line for line in lines)


@pytest.mark.parametrize(("width", "height"), [(200, 60), (120, 40), (80, 24), (60, 40), (40, 30)])
def test_the_screen_fits_on_terminals_of_every_size_with_its_verdict_and_its_pools(
    snapshot: Snapshot, width: int, height: int
) -> None:
    lines = drawn(snapshot, width=width, height=height)
    assert len(lines) <= height - RESERVED_LINES
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("● Out of sync")
    assert any(line.startswith("worker") for line in lines)


def test_malformed_records_are_shown_beside_the_rest(fleet: redis.Redis) -> None:
    fleet.zadd(registry.MEMBERS_KEY, {"bad/worker": Registry(fleet).now()})
    fleet.set(registry.forecast_key("heavy"), "{")
    Registry(fleet).report(a_member(1, pool="gone", now=Registry(fleet).now()))
    text = "\n".join(drawn(read_snapshot(fleet, DECLARED)))
    assert "malformed records: bad/worker" in text
    assert "workers of undeclared pools: gone" in text
    assert "heavy: the forecast is not JSON" in text


def test_a_change_is_printed_once_without_a_terminal(fleet: redis.Redis) -> None:
    said: list[str] = []
    changes = ChangeLog(said.append)
    changes.print_snapshot(read_snapshot(fleet, DECLARED))
    assert said[0].startswith("Out of sync: 2 of 21 processes differ")
    assert said[1].startswith("worker: The forecast expects runs that need 80 more slots")
    assert "launch 2 workers (desired 11 -> 13)" in said[-1]
    said.clear()
    changes.print_snapshot(read_snapshot(fleet, DECLARED))
    assert said == []
    now = Registry(fleet).now()
    figures = {"queued": 0, "active": 1, "consuming": 1, "draining": 0}
    sample_fleet.decide(Registry(fleet), "worker", t=now, was=13, desired=12, **figures)
    changes.print_snapshot(read_snapshot(fleet, DECLARED))
    (told,) = said
    assert "desired 13 -> 12: 1 worker no longer needed" in told
    said.clear()
    sample_fleet.decide(Registry(fleet), "worker", t=now + 1, was=13, desired=12, **figures)
    changes.print_snapshot(read_snapshot(fleet, DECLARED))
    assert said == []


def test_a_problem_that_came_back_is_printed_again() -> None:
    said: list[str] = []
    changes = ChangeLog(said.append)
    for trouble in ("Redis is away", "Redis is away", "", "Redis is away"):
        changes.print_if_new("broker", trouble)
    assert said == ["Redis is away", "Redis is away"]


def test_the_picture_is_an_svg_that_loads_nothing(snapshot: Snapshot) -> None:
    text = picture(lambda console: fit(snapshot, console), title="make up")
    assert "url(http" not in text
    assert 'url("http' not in text
    shown = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")  # noqa: S314 - written by this test
    assert "make up" in shown
    assert "Out of sync" in shown


def test_import_errors_stand_on_the_terminal_a_line_each_and_many_are_counted() -> None:
    assert draw_broken([]).plain == ""
    lines = [f"load_{number}.py:7: ValueError: [red]" for number in range(MOST_BROKEN + 2)]
    drawn_lines = draw_broken(lines).plain.splitlines()
    assert drawn_lines[0] == "✗ load_0.py:7: ValueError: [red]"
    assert drawn_lines[MOST_BROKEN:] == ["  and 2 more: see the UI"]


def test_without_a_terminal_each_import_error_is_printed_once_and_their_end() -> None:
    said: list[str] = []
    changes = ChangeLog(said.append)
    for lines in ([], ["a.py:1: x"], ["a.py:1: x", "b.py:2: y"], ["b.py:2: y"], [], []):
        changes.print_broken(lines)
    assert said == ["a.py:1: x", "b.py:2: y", "every DAG file imports"]
