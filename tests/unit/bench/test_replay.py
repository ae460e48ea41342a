"""`make replay`: the histories that are read or refused, and the settings that are recommended."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.loads.decisions import read_decisions
from bench.loads.load import LoadError, load_of
from bench.policies.candidates import candidates, frontier, recommended
from bench.policies.catalog import MAKERS, MWAA_TODAY, OURS
from bench.policies.experiment import Result, compare
from bench.report import replay
from bench.sim.trial import Setting

LOAD = load_of("test", [(0, 30), (0, 30), (5, 60), (600, 30)])


def entries_of(*seen: tuple[float, int, int], **more: Any) -> list[dict[str, Any]]:
    """Return entries of fleet:decisions from (time, queued, active)."""
    return [{"t": t, "pool": "worker", "queued": queued, "active": active, **more} for t, queued, active in seen]


def written(folder: Path, entries: list[dict[str, Any]], *, as_lines: bool = True) -> Path:
    path = folder / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)) if as_lines else json.dumps(entries))
    return path


def result(name: str, *, hours: float, wait: float, killed: int = 0) -> Result:
    (ran,) = compare({OURS: MAKERS[OURS]}, load=LOAD, setting=Setting(slots=4), seeds=(1,))
    (outcome,) = ran.outcomes
    figures = replace(outcome.figures, wait_p95=wait)
    return replace(ran, policy=name, outcomes=(replace(outcome, worker_hours=hours, killed=killed, figures=figures),))


CHEAP, QUICK, WORSE, MIDDLE = (
    result("cheap", hours=10, wait=90),
    result("quick", hours=20, wait=10),
    result("worse", hours=21, wait=50),
    result("middle", hours=12, wait=50),
)


@pytest.mark.parametrize("as_lines", [True, False], ids=["lines, as Redis gives them", "an array"])
def test_stored_decisions_are_a_load(tmp_path: Path, as_lines: bool) -> None:
    # Two come by 115, and run by 130. One has ended by 145 (15 s), when a third has come, which runs by 160. The other
    # of the first ends by 175 (45 s), the third by 190 (30 s). The latest decision is first, as in Redis.
    entries = entries_of((100, 0, 0), (115, 2, 0), (130, 0, 2), (145, 0, 1), (160, 0, 2), (175, 0, 1), (190, 0, 0))
    load = read_decisions(written(tmp_path, entries[::-1], as_lines=as_lines))
    assert (load.arrivals, load.durations) == ([0.0, 0.0, 45.0], [15.0, 45.0, 30.0])


def test_tasks_from_before_the_first_tick_are_not_part_of_the_load(tmp_path: Path) -> None:
    entries = entries_of((0, 1, 1), (15, 0, 2), (30, 0, 0), (45, 0, 1), (60, 0, 0))
    load = read_decisions(written(tmp_path, entries))
    assert (load.arrivals, load.durations) == ([0.0], [15.0])


def test_a_tick_that_could_not_read_its_inputs_is_left_out(tmp_path: Path) -> None:
    blind = {"t": 20, "pool": "worker", "unreadable": ["redis: away"]}
    load = read_decisions(written(tmp_path, [*entries_of((0, 0, 0), (15, 0, 1)), blind, *entries_of((30, 0, 0))]))
    assert load.durations == [15.0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "x.jsonl, line 1 is not JSON"),
        ("[1]", "x.jsonl, entry 1 is not a decision"),
        ("[]", "x.jsonl has 0 decisions with their inputs: at least 2 are needed"),
        ('{"t": 1, "queued": 0, "active": 0}\n{"t": "x", "queued": 0, "active": 0}', "line 2: t is 'x', not a number"),
        ('{"t": 1, "queued": 0, "active": -1}', "line 1: active is -1, not a number"),
        (
            json.dumps([*entries_of((0, 0, 0)), *entries_of((1, 0, 0), pool="long")]),
            "several pools, choose one with --queue: long, worker",
        ),
        (json.dumps(entries_of((0, 0, 0), (15, 0, 0))), "x has no task"),
    ],
)
def test_invalid_decisions_are_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(LoadError) as refused:
        read_decisions(tmp_path / "x.jsonl")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_cheapest_setting_within_the_wait_is_recommended() -> None:
    assert recommended([CHEAP, QUICK, WORSE, MIDDLE], wait_s=60).policy == "middle"


def test_the_fastest_setting_is_recommended_if_none_is_within_the_wait() -> None:
    assert recommended([CHEAP, MIDDLE, WORSE], wait_s=5).policy == "middle"


def test_a_setting_that_kills_tasks_is_never_recommended() -> None:
    assert recommended([result("killer", hours=1, wait=1, killed=1), CHEAP], wait_s=60).policy == "cheap"


def test_the_frontier_has_only_settings_that_no_other_beats() -> None:
    assert [each.policy for each in frontier([QUICK, WORSE, MIDDLE, CHEAP])] == ["cheap", "middle", "quick"]


def test_no_candidate_has_a_minimum_above_the_maximum() -> None:
    assert max(candidate.minimum for candidate in candidates(minimum=0, maximum=2)) == 2


def test_replay_prints_a_table_and_a_recommendation_and_draws_a_plot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, plot = tmp_path / "history.csv", tmp_path / "plot.png"
    history.write_text("queued_dttm,start_date,end_date\n" + "2026-01-01,2026-01-01,2026-01-01 00:00:30\n" * 9)
    assert replay.main([str(history), "--seeds", "1", "--maximum", "3", "--plot", str(plot), "--wait", "300"]) == 0
    said = capsys.readouterr().out
    assert MWAA_TODAY in said
    assert "Recommended: PollSeconds" in said
    first = plot.read_bytes()
    assert first.startswith(b"\x89PNG")
    replay.main([str(history), "--seeds", "1", "--maximum", "3", "--plot", str(plot), "--wait", "300"])
    assert plot.read_bytes() == first


@pytest.mark.parametrize(
    ("text", "options", "why"),
    [
        ("", [], "h.csv is empty"),
        ("a,b\n1,2\n", [], "has neither the columns"),
        ("arrival_s,duration_s\n0,1\n", ["--minimum", "2", "--maximum", "1"], "--minimum 2 is above --maximum 1"),
        (
            "arrival_s,duration_s\n0,1\n",
            ["--boot-median", "100", "--boot-p95", "50"],
            "--boot-p95 50 is below --boot-median 100",
        ),
    ],
)
def test_an_invalid_history_or_option_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: list[str], why: str
) -> None:
    (tmp_path / "h.csv").write_text(text)
    assert replay.main([str(tmp_path / "h.csv"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert why in line


@pytest.mark.parametrize("option", ["--concurrency=0", "--wait=0", "--wait=soon", "--seeds=x", "--minimum=-1"])
def test_an_option_with_an_impossible_number_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit):
        replay.main([str(tmp_path / "h.csv"), option])
    assert option.partition("=")[0] in capsys.readouterr().err.splitlines()[-1]
