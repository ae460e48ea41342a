"""The report: its claims, its tables and its document."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bench.loads.cron_load import cron_load
from bench.loads.load import Load, load_of
from bench.loads.schedule import Calendar, ScheduledRun
from bench.loads.stages import NONE, Stages
from bench.policies.catalog import FASTER_MWAA, MAKERS, MWAA_TODAY, OURS, OURS_FORECAST
from bench.policies.experiment import Result, compare
from bench.report import all_loads as report
from bench.report.claims import claims
from bench.report.policy_tables import FIRST_FIT
from bench.report.scenarios import FIFTH_UNKNOWN, OTHER_LOADS, SCENARIOS, WITHHELD, Scenario
from bench.report.suite import Comparison, Extent, ScenarioResult, Suite, run_suite
from bench.report.tables import BEGIN, END
from bench.sim.trial import Setting

LOAD = load_of("test", [(0, 30), (0, 30), (5, 60), (600, 30)])
POLICIES = (OURS, OURS_FORECAST, MWAA_TODAY, FASTER_MWAA)


def result(policy: str, *, hours: float, wait: float, killed: int = 0, completed: int = 4) -> Result:
    (ran,) = compare({OURS: MAKERS[OURS]}, load=LOAD, setting=Setting(slots=4), seeds=(1,))
    (outcome,) = ran.outcomes
    outcome = replace(
        outcome,
        worker_hours=hours,
        killed=killed,
        completed=completed,
        figures=replace(outcome.figures, wait_p95=wait),
    )
    return replace(ran, policy=policy, outcomes=(outcome,), cpu_s=(0.0002,))


def comparison(load: str, slots: int, *results: Result) -> Comparison:
    by_policy = {policy: result(policy, hours=100, wait=100) for policy in POLICIES}
    by_policy |= {each.policy: each for each in results}
    return Comparison(load=load, tasks=4, has_schedule=load == "cron", slots=slots, results=tuple(by_policy.values()))


def suite(*comparisons: Comparison, fifth_unknown: Result | None = None, withheld: Result | None = None) -> Suite:
    troubled = {FIFTH_UNKNOWN: fifth_unknown, WITHHELD: withheld}
    troubles = [
        ScenarioResult(name=name, comparison=comparison("cron", 16, *([each] if each else [])))
        for name, each in troubled.items()
    ]
    return Suite(seeds=1, comparisons=comparisons, fronts=(), scenarios=troubles, other_loads=(), scenario_days=1)


def verdict_of(what: str, found: Suite) -> tuple[float, bool]:
    (verdict,) = (each for each in claims(found) if each.what.startswith(what))
    return verdict.measured, verdict.holds


@pytest.mark.parametrize(
    ("slots", "hours", "wait", "holds"),
    [(16, 97, 85, (True, True)), (16, 98, 86, (False, False)), (4, 97, 85, (True, True)), (8, 96, 86, (True, False))],
)
def test_without_a_schedule_claims_compare_with_mwaa(
    slots: int, hours: float, wait: float, holds: tuple[bool, bool]
) -> None:
    found = suite(comparison("trace", slots, result(OURS, hours=hours, wait=wait)))
    whose = f"{OURS}, trace, {slots} slots"
    assert verdict_of(f"{whose}: worker-hours", found) == (hours, holds[0])
    assert verdict_of(f"{whose}: wait p95", found) == (wait, holds[1])


def test_the_mean_of_all_loads_has_limits_of_its_own() -> None:
    each = (result(OURS, hours=80, wait=70), result(OURS, hours=92, wait=74))
    found = suite(*(comparison("trace", slots, ours) for slots, ours in zip((4, 16), each, strict=True)))
    assert verdict_of(f"{OURS}, mean of all loads: worker-hours", found) == (86, False)
    assert verdict_of(f"{OURS}, mean of all loads: wait p95", found) == (72, True)


def test_with_a_known_schedule_waits_have_a_limit_in_seconds() -> None:
    found = suite(comparison("cron", 16, result(OURS_FORECAST, hours=63, wait=4)))
    whose = f"{OURS_FORECAST}, cron, 16 slots"
    assert verdict_of(f"{whose}: worker-hours", found) == (63, False)
    assert verdict_of(f"{whose}: wait p95", found) == (4, True)


def test_loads_never_used_for_tuning_are_marked() -> None:
    held_out = replace(comparison("trace, second half", 16), held_out=True)
    assert held_out.title == "trace, second half, never used for tuning, 4 tasks, 16 slots a worker"
    assert verdict_of(f"{OURS}, trace, second half (never used for tuning), 16 slots: worker-hours", suite(held_out))


def test_the_table_of_settings_marks_those_that_no_other_beats() -> None:
    settings = (
        result("cheap", hours=80, wait=90),
        result("quick", hours=90, wait=50),
        result("bad", hours=95, wait=60),
    )
    (table,) = report.tables(replace(suite(), fronts=(comparison("trace", 16, *settings),)))[:1]
    assert [row[0] for row in table.rows] == ["cheap *", "quick *", "bad", OURS, OURS_FORECAST, MWAA_TODAY, FASTER_MWAA]
    assert table.rows[0] == ("cheap *", "80", "80", "1", "0", "90.0", "90")


def test_one_killed_task_in_any_comparison_breaks_the_claim() -> None:
    killer = result(OURS_FORECAST, hours=1, wait=1, killed=1)
    found = suite(comparison("cron", 8), fifth_unknown=killer)
    assert verdict_of("tasks killed", found) == (1, False)


def test_one_unfinished_task_breaks_the_claim() -> None:
    found = suite(comparison("cron", 8, result(OURS, hours=1, wait=1, completed=3)))
    assert verdict_of("tasks not completed", found) == (1, False)


def test_tasks_killed_by_peers_do_not_count() -> None:
    found = suite(comparison("cron", 8, result(FASTER_MWAA, hours=1, wait=1, killed=1)))
    assert verdict_of("tasks killed", found) == (0, True)


def test_a_forecast_without_schedule_must_not_be_worse_than_no_forecast() -> None:
    worse = result(OURS_FORECAST, hours=101, wait=99)
    found = suite(comparison("cron", 8), withheld=worse)
    whose = f"{OURS_FORECAST}, {WITHHELD}, against {OURS}"
    assert verdict_of(f"{whose}: worker-hours", found) == (101, False)
    assert verdict_of(f"{whose}: wait p95", found) == (99, True)


def test_the_claimed_processor_time_is_that_of_the_slowest_policy() -> None:
    # 4 tasks in 0.2 ms are 100,000 in 5 s.
    seconds, holds = verdict_of("processor time", suite(comparison("cron", 8)))
    assert seconds == pytest.approx(5)
    assert holds


def test_the_table_of_other_loads_shows_their_reference_cost() -> None:
    other = ScenarioResult(name="another", comparison=comparison("cron", 16))
    *_, troubled, others = report.tables(replace(suite(), other_loads=[other]))
    assert FIRST_FIT not in [row[1] for row in troubled.rows]
    hours = other.comparison.base.first_fit_hours
    assert others.rows[-1] == ("", FIRST_FIT, f"{hours:,.0f}", f"{hours:.0f}", *["-"] * 5)


def test_the_same_figures_give_the_same_document_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "docs.md"
    monkeypatch.setattr(report, "PLOT_PATH", tmp_path / "one.png")
    monkeypatch.setattr(report, "SCENARIO_PLOT_PATH", tmp_path / "two.png")
    found = suite(comparison("cron", 8, result("unheard-of", hours=1, wait=0, killed=1)))
    written = []
    for _ in range(2):
        document.write_text(f"before\n{BEGIN}\nof the last run\n{END}\nafter\n")
        report.write_docs(found, claims(found), path=document)
        written.append([path.read_bytes() for path in sorted(tmp_path.iterdir())])
    assert written[0] == written[1]
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "of the last run" not in text
    assert "processor time" not in text  # this machine's
    for shown in ("tasks killed, in all comparisons", "| unheard-of |", "one.png", FIFTH_UNKNOWN):
        assert shown in text


def test_the_suite_compares_every_load_and_runs_every_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ScheduledRun(dag_id="d", due_at=700.0, created_at=700.0, last_stage=0)
    stages = Stages(stage_of=[0] * 4, tasks_of=[range(4)], next_of=[NONE], first_tasks=range(4), most_at_once=4)
    scheduled = replace(LOAD, name="cron", stages=stages, calendar=Calendar(runs=[run], courses={"d": [((0, 4),)]}))
    for module in ("suite", "scenarios"):
        monkeypatch.setattr(f"bench.report.{module}.cron_load", lambda **_: scheduled)
    shown: list[str] = []
    found = run_suite(
        [LOAD],
        extent=Extent(seeds=1, days=1, scenario_days=1, concurrencies=(4, 16), processes=1),
        say=lambda _: None,
        show=lambda title, _: shown.append(title),
    )
    names = ("cron", "cron, other DAGs", "test, first half", "test, second half")
    assert [(each.load, each.slots) for each in found.comparisons] == [(name, c) for name in names for c in (4, 16)]
    assert [each.has_schedule for each in found.comparisons] == [True] * 4 + [False] * 4
    assert [each.held_out for each in found.comparisons] == [False, False, True, True] * 2
    assert [each.load for each in found.fronts] == ["cron, other DAGs", "test, second half"]
    assert [scenario.name for scenario in found.scenarios] == [scenario.name for scenario in SCENARIOS]
    assert [other.name for other in found.other_loads] == [scenario.name for scenario in OTHER_LOADS]
    assert len(shown) == len(set(shown)) == len(found.everywhere)
    assert verdict_of("tasks killed", found) == (0, True)
    assert verdict_of("tasks not completed", found) == (0, True)


def test_a_missing_folder_has_no_traces(tmp_path: Path) -> None:
    assert list(report.read_traces(tmp_path / "none")) == []


def test_traces_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text("arrival_s,duration_s\n0,1\n9,1\n")
    assert [load.name for load in report.read_traces(tmp_path)] == ["a", "b"]


def test_a_trace_that_cannot_be_read_ends_the_report_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").touch()
    assert report.main(["--traces", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "bench: a.csv is empty\n"
    (tmp_path / "a.csv").write_text("arrival_s,duration_s\n0,1\n")
    assert report.main(["--traces", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "bench: a, second half has no tasks\n"


@pytest.mark.slow
@cache
def a_day() -> Load:
    return cron_load(days=1)


@pytest.mark.parametrize("scenario", [*SCENARIOS[1:], *OTHER_LOADS], ids=lambda scenario: scenario.name)
def test_each_scenario_changes_something(scenario: Scenario) -> None:
    base = Setting(slots=16)
    assert (scenario.setting(base), scenario.load(days=1)) != (base, a_day())
